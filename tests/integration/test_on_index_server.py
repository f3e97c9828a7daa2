"""The whole product with its index on a server: ingested, asked, revoked, lost, mended, re-embedded, by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embed.encoders.base import Encoder
from embed.index.server import ServerIndex
from tests.factories.children import wait_for
from tests.factories.command_line import Ran, ambit
from tests.factories.encoders import HalfEncoder, WordEncoder
from tests.factories.qdrant.process import PrivateQdrant
from tests.integration.conftest import Installation

OTHER = HalfEncoder.name
FIRST, SECOND = "g1_word-hash", f"g2_{OTHER}"
COMPANY = """
kind: Group
id: staff
---
kind: User
id: ana
groups: [staff]
---
kind: User
id: bob
---
kind: Source
id: files
connector: folder
config: {path: ./files}

"""
ACCESS = "allow: [everyone]\nfiles:\n  pay.md: {inherit: false, allow: [group:staff]}\n"


class Company:
    """An installation whose index is on a server; every command opens and closes it."""

    def __init__(self, folder: Path, server: PrivateQdrant) -> None:
        self.folder, self.server = folder, server
        files = folder / "files"
        files.mkdir()
        (files / "handbook.md").write_text("# Handbook\n\nThe office opens at nine.\n")
        (files / "pay.md").write_text("# Pay\n\nThe office pays on the first.\n")
        (files / ".access.yaml").write_text(ACCESS)
        (folder / "c.yaml").write_text(COMPANY)

    def ambit(self, *arguments: str) -> Ran:
        return ambit(self.folder / "data", *arguments)

    def told(self, *arguments: str) -> Any:
        """What a command says that succeeds."""
        ran = self.ambit("--json", *arguments)
        assert ran.status == 0, ran.out + ran.err
        return ran.json

    def apply(self) -> None:
        self.told("apply", str(self.folder / "c.yaml"))

    def found(self, user: str) -> set[str]:
        """Titles that a person finds."""
        return {one["title"] for one in self.told("search", "office", "--as", user)["results"]}

    def check(self, name: str) -> dict[str, Any]:
        """What the doctor says of one thing."""
        checks: list[dict[str, Any]] = self.ambit("--json", "doctor").json["checks"]
        return next(one for one in checks if one["name"] == name)


@pytest.fixture(scope="module")
def running() -> Iterator[PrivateQdrant]:
    with PrivateQdrant() as server:
        yield server


@pytest.fixture
def server(running: PrivateQdrant, monkeypatch: pytest.MonkeyPatch) -> PrivateQdrant:
    """The server, which the settings name and no earlier test has left anything on."""
    index = running.index()
    for name in (FIRST, SECOND):
        index.drop(name)
    index.close()
    running.forget()
    monkeypatch.setenv("AMBIT_INDEX_URL", running.url)
    monkeypatch.setenv("AMBIT_INDEX_GRPC_PORT", str(running.port))
    monkeypatch.setenv("AMBIT_INDEX_TIMEOUT_S", "5")
    return running


@pytest.fixture
def company(server: PrivateQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Applied and synced, with small encoders."""
    known: dict[str, Encoder] = {"word-hash": WordEncoder(), OTHER: HalfEncoder()}
    monkeypatch.setattr("embed.stack.make_encoder", lambda settings, model=None: known[model or settings.encoder])
    monkeypatch.setenv("AMBIT_ENCODER", "word-hash")
    made = Company(tmp_path, server)
    made.told("init")
    made.apply()
    (run,) = made.told("sync")["runs"]
    assert run["state"] == "succeeded"
    return made


@pytest.fixture
def index(server: PrivateQdrant) -> Iterator[ServerIndex]:
    """What somebody else does to the index."""
    made = server.index()
    yield made
    made.close()


def writes(server: PrivateQdrant) -> int:
    return sum(len(server.received(f"Points/{call}")) for call in ("Upsert", "SetPayload", "Delete"))


def test_each_finds_what_they_may_read_and_a_lost_right_writes_no_point(company: Company) -> None:
    assert company.found("ana") == {"Handbook", "Pay"}
    assert company.found("bob") == {"Handbook"}
    before = writes(company.server)
    (company.folder / "c.yaml").write_text(COMPANY.replace("groups: [staff]", "groups: []"))
    company.apply()
    assert company.found("ana") == {"Handbook"}
    assert writes(company.server) == before > 0


def test_the_points_hold_integers_and_the_scope_stands_in_every_search(company: Company) -> None:
    company.found("bob")
    for one in company.server.messages("Points/Upsert"):
        for point in one.points:
            kinds = {value.WhichOneof("kind") for key, value in point.payload.items() if key != "tenant_key"}
            assert kinds <= {"integer_value", "list_value"}
    (asked,) = company.server.messages("Points/Query")
    for leg in asked.prefetch:
        assert {one.field.key for one in leg.filter.must} >= {"tenant", "acl"}


def test_what_differs_from_sql_is_told_and_mended(company: Company, index: ServerIndex) -> None:
    assert company.told("index", "verify")["agree"]
    points = dict(index.scan(FIRST))
    lost, misplaced = points
    index.delete(FIRST, [lost])
    index.place(FIRST, [misplaced], acl=77)
    ran = company.ambit("--json", "index", "verify")
    assert (ran.status, ran.json["missing"], ran.json["misplaced"]) == (1, 1, 1)
    assert company.told("index", "repair")["agree"]
    assert dict(index.scan(FIRST)) == points
    index.drop(FIRST)
    assert company.check("index")["state"] == "fail"
    assert company.told("index", "repair")["found"]["missing"] == 2
    assert company.found("ana") == {"Handbook", "Pay"}


def test_the_encoder_is_changed_back_and_dropped(company: Company, index: ServerIndex) -> None:
    assert company.told("reembed", "--encoder", OTHER)["live"]
    company.server.forget()
    assert company.found("bob") == {"Handbook"}
    assert {one.collection_name for one in company.server.messages("Points/Query")} == {SECOND}
    assert company.told("index", "verify")["agree"]
    assert company.told("reembed", "--switch-back")["generation"] == 1
    assert company.found("ana") == {"Handbook", "Pay"}
    assert company.told("reembed", "--drop") == {"dropped": [2]}
    assert index.count(FIRST) == 2
    assert [one.collection_name for one in company.server.messages("Collections/Delete")] == [SECOND]


def test_while_the_server_is_away_commands_say_so_and_afterwards_all_is_there(company: Company) -> None:
    company.server.kill()
    try:
        ran = company.ambit("--json", "search", "office", "--as", "ana")
        assert (ran.status != 0, ran.json["code"]) == (True, "index_unavailable")
        told = company.check("index")
        assert (told["state"], "AMBIT_INDEX_URL" in told["mend"]) == ("fail", True)
        (company.folder / "files" / "new.md").write_text("# New\n\nThe office moves.\n")
        assert company.ambit("--json", "sync").status != 0
    finally:
        company.server.start()
    company.told("sync")
    assert company.found("bob") == {"Handbook", "New"}
    assert company.told("index", "verify")["agree"]


def test_over_http_an_index_that_is_away_is_a_503_and_back_again_it_answers(
    remote_index: tuple[Installation, PrivateQdrant],
) -> None:
    served, index = remote_index
    served.push("lamp", "The lighthouse lamp turns every nine seconds.", title="Lamp")
    assert served.found("ana", "lighthouse lamp") == ["Lamp"]
    assert served.found("eve", "lighthouse lamp") == []
    index.kill()
    for path, body in (("/v1/retrieve", {"query": "lamp"}), ("/v1/query", {"query": "lamp"})):
        told = served.chat(path, "ana", body)
        assert (told.status_code, told.json()["code"]) == (503, "index_unavailable")
        assert "grpc" not in told.text.lower()
    index.start()
    wait_for(lambda: served.chat("/v1/retrieve", "ana", {"query": "lamp"}).status_code == 200, limit_s=30)
    assert served.found("ana", "lighthouse lamp") == ["Lamp"]
