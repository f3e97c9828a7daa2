"""Commands over runs, documents and access, on rows that no pipeline has to make."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from core.clock import db_now
from core.db import Database
from core.ids import public_id
from core.tables import AuditEntry, Document, Item, Run, Source, Tenant
from policies import nodes
from policies.epoch import bump
from policies.model import access_spec
from tests.factories.command_line import ambit

COMPANY = """
kind: Group
id: hr
---
kind: User
id: hana
email: hana@example.com
groups: [hr]
---
kind: User
id: ana
---
kind: Source
id: files
connector: folder
config: {path: ./files}
max_access_age: 24h
"""


class World:
    """One installation with a source, one document of it, and one run that took that and failed with another."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        (folder / "c.yaml").write_text(COMPANY)
        (folder / "files").mkdir()
        (folder / "files" / "a.md").write_text("# A\n\nText.\n")
        ambit(self.data, "init")
        ambit(self.data, "apply", str(folder / "c.yaml"))
        self.db = Database(f"sqlite:///{self.data / 'ambit.db'}")
        self._fill()

    def _fill(self) -> None:
        with self.db.write() as session:
            tenant = session.scalars(select(Tenant)).one()
            row = session.scalars(select(Source)).one()
            source = row.id
            row.access_synced_at = db_now()
            root = access_spec(["group:hr"], mode="break")
            node = nodes.put_container(session, tenant, source, key="", parent=None, title="files", spec=root)
            self.document = public_id("doc")
            document = Document(
                public_id=self.document, tenant_id=tenant.id, source_id=source, external_id="hr/a.md", node_id=node.id,
                epoch_from=bump(session, tenant.id),
            )  # fmt: skip
            run = Run(
                public_id=public_id("run"), tenant_id=tenant.id, source_id=source, kind="content", state="partial",
                listed=3, unchanged=1, listed_all=True, started_at=db_now(), ended_at=db_now(),
            )  # fmt: skip
            session.add_all([document, run])
            session.flush()
            self.run = run.public_id
            for name, state, code in (
                ("b.pdf", "failed", "file_broken"),
                ("c.txt", "skipped", None),
                ("d.md", "done", None),
            ):
                session.add(
                    Item(
                        public_id=public_id("itm"), tenant_id=tenant.id, run_id=run.id, source_id=source,
                        external_id=name,
                        state=state, payload={}, error_code=code, error_detail="the file is broken" if code else None,
                        note="no text" if state == "skipped" else None,
                    )
                )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    built = World(tmp_path)
    built.db.close()
    return built


def test_runs_are_listed_with_their_counts(world: World) -> None:
    (run,) = ambit(world.data, "runs", "list", "--json").json["runs"]
    assert (run["id"], run["state"], run["counts"]) == (world.run, "partial", {"failed": 1, "skipped": 1, "done": 1})
    assert ambit(world.data, "runs", "list", "--source", "files", "--json").json["runs"] == [run]
    missing = ambit(world.data, "runs", "list", "--source", "fils")
    assert missing.status == 2
    assert "there is: files" in missing.err


def test_a_run_shows_each_file_and_why(world: World) -> None:
    items = ambit(world.data, "runs", "show", world.run, "--json").json["items"]
    assert [(one["file"], one["state"], one["code"], one["reason"]) for one in items] == [
        ("b.pdf", "failed", "file_broken", "the file is broken"),
        ("c.txt", "skipped", None, "no text"),
    ]
    shown = ambit(world.data, "runs", "show", world.run).out
    assert "b.pdf" in shown
    assert "the file is broken" in shown


def test_failed_items_go_back_to_work(world: World) -> None:
    assert ambit(world.data, "runs", "retry", world.run, "--code", "other", "--json").json["retried"] == 0
    assert ambit(world.data, "runs", "retry", world.run, "--json").json["retried"] == 1
    assert ambit(world.data, "runs", "show", world.run, "--json").json["state"] == "working"
    assert ambit(world.data, "runs", "cancel", world.run, "--json").json["state"] == "cancelled"
    again = ambit(world.data, "runs", "cancel", world.run)
    assert again.status == 2
    assert "has ended as cancelled" in again.err


def test_one_item_or_those_of_a_source_go_back_to_work(world: World) -> None:
    with world.db.read() as session:
        items = {one.external_id: one.public_id for one in session.scalars(select(Item))}
    world.db.close()
    retry = ("runs", "retry")
    for item, count in ((items["d.md"], 0), ("itm_x", 0), (items["b.pdf"], 1), (items["b.pdf"], 0)):
        assert ambit(world.data, *retry, world.run, "--item", item, "--json").json["retried"] == count
    _fail_again(world)
    assert ambit(world.data, *retry, "--source", "files", "--code", "other", "--json").json["retried"] == 0
    assert ambit(world.data, *retry, "--source", "files", "--code", "file_broken", "--json").json["retried"] == 1
    for wrong in ([], [world.run, "--source", "files"], ["--source", "files", "--item", items["b.pdf"]]):
        ran = ambit(world.data, *retry, *wrong)
        assert ran.status == 2
        assert "name a run, or a source" in ran.err


def _fail_again(world: World) -> None:
    with world.db.write() as session:
        item = session.scalars(select(Item).where(Item.external_id == "b.pdf")).one()
        item.state, item.error_code = "failed", "file_broken"
    world.db.close()


def test_a_run_is_paused_and_goes_on(world: World) -> None:
    assert "is partial; it cannot be paused" in ambit(world.data, "runs", "pause", world.run).err
    ambit(world.data, "runs", "retry", world.run)
    for verb, told, state in (("pause", "paused", "paused"), ("resume", "going on", "working")):
        assert ambit(world.data, "runs", verb, world.run, "--json").json["state"] == told
        assert ambit(world.data, "runs", "show", world.run, "--json").json["state"] == state
    assert "is working, not paused" in ambit(world.data, "runs", "resume", world.run).err


def test_a_held_run_is_rejected_with_its_reason(world: World) -> None:
    assert "not held" in ambit(world.data, "runs", "reject", world.run).err
    with world.db.write() as session:
        session.scalars(select(Run)).one().state = "held"
    world.db.close()
    told = ambit(world.data, "runs", "reject", world.run, "--reason", "a mistake at the source", "--json").json
    assert told["state"] == "cancelled"
    with world.db.read() as session:
        assert session.scalars(select(Run)).one().error_detail == "rejected: a mistake at the source"
    world.db.close()


def test_only_a_held_run_is_approved(world: World) -> None:
    assert "not held" in ambit(world.data, "runs", "approve", world.run).err
    with world.db.write() as session:
        session.scalars(select(Run)).one().state = "held"
        session.scalars(select(Document)).one().state = "held"
    world.db.close()
    assert ambit(world.data, "runs", "approve", world.run, "--json").json["documents"] == 1


def test_an_unknown_run_is_named(world: World) -> None:
    assert "there is no run 'run_x'" in ambit(world.data, "runs", "show", "run_x").err


@pytest.mark.parametrize("person", ["hana", "hana@example.com"])
@pytest.mark.parametrize("by", ["place", "id"])
def test_access_is_checked_by_any_name(world: World, person: str, by: str) -> None:
    document = "files:hr/a.md" if by == "place" else world.document
    allowed = ambit(world.data, "access", "check", person, document, "--json")
    assert (allowed.status, allowed.json["allowed"], allowed.json["user"]) == (0, True, "hana")
    refused = ambit(world.data, "access", "check", "ana", document, "--json")
    assert (refused.status, refused.json["allowed"], refused.json["reason"]) == (1, False, "no_entry")


def test_access_is_explained_and_the_asking_recorded(world: World) -> None:
    told = ambit(world.data, "access", "explain", "hana", "files:hr/a.md", "--json").json
    assert (told["allowed"], told["path"], told["document"]) == (True, ["user:hana", "group:hr"], world.document)
    assert "may not read hr/a.md" in ambit(world.data, "access", "explain", "ana", "files:hr/a.md").out
    with world.db.read() as session:
        acted = [row.body for row in session.scalars(select(AuditEntry).where(AuditEntry.kind == "act_as"))]
    world.db.close()
    assert [(one["user"], one["for"], one["document"]) for one in acted] == [
        ("hana", "access.explain", world.document), ("ana", "access.explain", world.document),
    ]  # fmt: skip


@pytest.mark.parametrize("document", ["files:hr/b.md", "doc_x", "fils:hr/a.md", ""])
def test_an_unknown_document_is_named(world: World, document: str) -> None:
    ran = ambit(world.data, "access", "check", "hana", document)
    assert ran.status == 2
    assert f"there is no document {document!r}" in ran.err


def test_status_tells_how_fresh_access_is(world: World) -> None:
    (source,) = ambit(world.data, "status", "--json").json["sources"]
    assert source["access"]["fresh"] is True
    assert source["last_run"]["id"] == world.run
    with world.db.write() as session:
        session.scalars(select(Source)).one().max_access_age_s = 0
    world.db.close()
    (source,) = ambit(world.data, "status", "--json").json["sources"]
    assert source["access"]["fresh"] is False
    assert "limit 0 s" in ambit(world.data, "status").out


def test_a_dry_run_says_what_would_happen_and_writes_nothing(world: World) -> None:
    with world.db.read() as session:
        before = len(session.scalars(select(Run)).all())
    world.db.close()
    (told,) = ambit(world.data, "sync", "--dry-run", "--json").json["sources"]
    assert told["added"] == ["a.md"]
    assert told["deleted"] == ["hr/a.md"]
    assert told["access"] == ["(root)"], "the folder states nothing, so nobody would read it"
    assert told["readers"] == {
        "documents_gained_by_somebody": 0, "documents_lost_by_somebody": 0, "complete": True, "effects": []
    }, "nothing is readable yet"  # fmt: skip
    with world.db.read() as session:
        assert len(session.scalars(select(Run)).all()) == before
    world.db.close()
    assert ambit(world.data, "sync", "--dry-run", "--watch").status == 2


def test_an_unknown_source_cannot_be_synced(world: World) -> None:
    ran = ambit(world.data, "sync", "fils")
    assert ran.status == 2
    assert "there is no source 'fils'; there is: files" in ran.err
