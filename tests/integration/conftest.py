"""A whole installation behind HTTP; encoder and parsers are loaded once a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api import keys
from api.app import create_app
from api.runtime import Runtime
from core.settings import Settings
from embed.encoders.base import Encoder
from embed.encoders.factory import make_encoder
from ingest.parsing.limits import MIB, Limits
from ingest.parsing.sandbox import ParserPool, PoolSettings
from policies import directory
from tests.factories.drain import drain
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.serving import served


@dataclass
class Installation:
    """A running API, with its admin's key and shorthands for what tests do often."""

    runtime: Runtime
    tenant: int
    url: str
    admin_key: str
    client: httpx.Client
    woken: list[str] = field(default_factory=list)
    ready: dict[str, bool] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def admin(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """A request with the admin's key."""
        return self.call(method, path, self.admin_key, **kwargs)

    def call(self, method: str, path: str, key: str, *, user: str | None = None, **kwargs: Any) -> httpx.Response:
        """A request with any key, for a person where one is named."""
        headers = {"Authorization": f"Bearer {key}", **kwargs.pop("headers", {})}
        if user is not None:
            headers["X-Ambit-User"] = user
        return self.client.request(method, path, headers=headers, **kwargs)

    def app(self, name: str, rights: list[str], **body: Any) -> str:
        """A new app and its key."""
        with self.runtime.db.write() as session:
            directory.put_app(session, self.tenant, name, **body)
            _, key = keys.create(session, self.runtime.keyring, self.tenant, name, rights)
        self.keys[name] = key
        return key

    def chat(self, path: str, user: str, body: dict[str, Any], *, key: str | None = None) -> httpx.Response:
        """A query of a person through the app `chat`, which acts for everyone."""
        return self.call("POST", path, key or self.keys["chat"], user=user, json=body)

    def found(self, user: str, query: str, **body: Any) -> list[str]:
        """Titles that a search finds."""
        answer = self.chat("/v1/retrieve", user, {"query": query, **body})
        assert answer.status_code == 200, answer.text
        return [one["title"] for one in answer.json()["results"]]

    def push(self, id_: str, text: str, *, source: str = "notes", **body: Any) -> dict[str, Any]:
        """A pushed document, ingested."""
        accepted = self.call(
            "POST", "/v1/documents", self.keys["feeder"], json={"source": source, "id": id_, "text": text, **body}
        )
        assert accepted.status_code == 202, accepted.text
        drain(self.runtime.pipeline)
        job: dict[str, Any] = accepted.json()
        return job


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The default encoder, warm."""
    made = make_encoder(Settings(encoder_threads=1))
    made.warm_up()
    return made


@pytest.fixture(scope="session")
def parsers() -> Iterator[ParserPool]:
    """Parser processes for all tests."""
    pool = ParserPool(Limits(), PoolSettings(processes=1, memory=512 * MIB))
    yield pool
    pool.close()


@pytest.fixture
def runtime(tmp_path: Path, sqlite_template: Path, encoder: Encoder, parsers: ParserPool) -> Iterator[Runtime]:
    """An installation of this test's own in SQLite, its index open."""
    home = tmp_path / "data"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "ambit.db")
    yield from _opened(home, encoder, parsers)


@pytest.fixture
def ambit(runtime: Runtime) -> Iterator[Installation]:
    """A served installation: `ana` (engineering, staff), `bob` (staff), `eve` (no group); apps `chat` and `feeder`;
    a push source `notes` that staff may read.
    """
    yield from _served(runtime)


@pytest.fixture
def postgres_ambit(tmp_path: Path, postgres_url: str, encoder: Encoder, parsers: ParserPool) -> Iterator[Installation]:
    """The same in PostgreSQL."""
    for made in _opened(tmp_path / "data", encoder, parsers, database_url=SecretStr(postgres_url)):
        yield from _served(made)


@pytest.fixture
def remote_index(
    tmp_path: Path, sqlite_template: Path, encoder: Encoder, parsers: ParserPool
) -> Iterator[tuple[Installation, PrivateQdrant]]:
    """The same in SQLite, its index on a server of this test's own."""
    home = tmp_path / "data"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "ambit.db")
    with PrivateQdrant() as server:
        for made in _opened(home, encoder, parsers, **server.settings):
            for one in _served(made):
                yield one, server


def _opened(home: Path, encoder: Encoder, parsers: ParserPool, **settings: Any) -> Iterator[Runtime]:
    made = Runtime(Settings(_env_file=None, data_dir=home, body_max_mb=2, retry_base_s=0.01, **settings))
    made.stack.__dict__["_encoder"] = encoder
    made.stack._verified.add(made.settings.encoder)
    own, made.pipeline.parsers = made.pipeline.parsers, parsers
    own.close()
    yield made
    made.pipeline.connectors.close()
    made.stack.close()
    made.db.close()


def _served(runtime: Runtime) -> Iterator[Installation]:
    tenant = runtime.prepare()
    with runtime.db.write() as session:
        admin_key = keys.bootstrap(session, runtime)
        assert admin_key is not None
        for name, groups in (("ana", ["engineering"]), ("bob", ["staff"]), ("eve", [])):
            directory.put_user(session, tenant, name, email=f"{name}@example.com")
            directory.set_containers(session, tenant, f"user:{name}", groups)
        directory.put_group(session, tenant, "staff")
        directory.put_group(session, tenant, "engineering")
        directory.set_containers(session, tenant, "group:engineering", ["staff"])
    woken: list[str] = []
    ready = {"index": True, "encoder": True}
    app = create_app(runtime, wake=woken.append, ready=lambda: ready)
    with served(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        made = Installation(runtime, tenant, url, admin_key, client, woken, ready)
        made.app("chat", ["query"], acts_for=["everyone"])
        made.app("feeder", ["ingest"])
        source = {"id": "notes", "connector": "push", "access": {"allow": ["group:staff"]}}
        assert made.admin("POST", "/v1/sources", json=source).status_code == 201
        yield made
