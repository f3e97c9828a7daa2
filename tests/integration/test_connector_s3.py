"""The object-store connector against a server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from ingest.connectors import fsspec as module
from ingest.connectors.conformance import ConnectorConformance
from ingest.connectors.fsspec import FsspecConnector
from ingest.model import Connector, ConnectorContext, ItemRef, NodeChange, SourceError, Upsert
from policies.model import access_spec

pytest.importorskip("s3fs", reason="pip install s3fs")
server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    made = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


class TestS3(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = FsspecConnector

    @pytest.fixture(autouse=True)
    def source(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        import boto3

        monkeypatch.setattr(module, "CHECKPOINT_EVERY", 2)
        self.bucket, self.endpoint = f"b{uuid4().hex}", endpoint
        self.rules: list[dict[str, Any]] = [{"paths": ["a/**"], "allow": ["group:a"]}]
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=self.bucket)
        for name in ("top.md", "a/one.md", "a/two.md", "a/deep/three.md", "b/four.md", "b/five.md"):
            self.put(name, f"text of {name}")
        self.client.put_object(Bucket=self.bucket, Key="outside.md", Body=b"not below the prefix")
        yield
        self.client.close()

    def put(self, name: str, text: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"docs/{name}", Body=text.encode())

    def config(self) -> dict[str, Any]:
        options = {"key": "k", "secret": {"secret": "S3"}, "endpoint_url": self.endpoint}
        return {"url": f"s3://{self.bucket}/docs", "options": options, "rules": self.rules}

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/x"), access_spec(["everyone"]), secrets={"S3": "s"})

    def add(self) -> str:
        self.put("b/added.md", "new")
        return "b/added.md"

    def change(self, item: ItemRef) -> None:
        self.put(item.id, "other text")

    def delete(self, item: ItemRef) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"docs/{item.id}")

    def revoke(self, item: ItemRef) -> None:
        self.rules = [*self.rules, {"paths": [item.id], "inherit": False}]

    def test_access_goes_by_prefix_and_nothing_beside_the_prefix_is_listed(self) -> None:
        self.client.put_object(Bucket=self.bucket, Key="docs2/near.md", Body=b"another prefix with the same start")
        self.rules = [
            {"paths": ["a/**"], "inherit": False, "allow": ["group:a"]},
            {"paths": ["a/deep/**"], "allow": ["group:deep"], "labels": {"classification": "confidential"}},
        ]
        with self.connected() as connector:
            found = list(connector.changes(None))
        items = {one.item.id: one.item.access for one in found if isinstance(one, Upsert)}
        places = {one.key: one.access for one in found if isinstance(one, NodeChange)}
        assert set(items) == {"top.md", "a/one.md", "a/two.md", "a/deep/three.md", "b/four.md", "b/five.md"}
        stated = {**dict.fromkeys(items), **items}
        assert access_spec(["everyone"], mode="break") == places[""]
        closed = access_spec(["group:a"], mode="break")
        assert (stated["a/one.md"] or places["a"]) == closed
        deep = access_spec(["group:deep"], labels={"classification": "confidential"})
        assert (stated["a/deep/three.md"] or places["a/deep"]) == deep
        assert (stated["b/four.md"] or places["b"]).plain

    def test_a_whole_bucket_is_read(self) -> None:
        with self.connected() as below:
            few = {one.item.id for one in below.changes(None) if isinstance(one, Upsert)}
        whole = FsspecConnector(
            FsspecConnector.Config.model_validate({**self.config(), "url": f"s3://{self.bucket}"}), self.context()
        )
        found = {one.item.id for one in whole.changes(None) if isinstance(one, Upsert)}
        whole.close()
        assert found == {"outside.md", *(f"docs/{one}" for one in few)}

    def test_a_bucket_that_is_not_there_is_said(self) -> None:
        self.bucket = "nowhere"
        with self.connected() as connector, pytest.raises(SourceError, match="nowhere"):
            connector.check()
