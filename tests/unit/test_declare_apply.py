from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from api.declare import Difference, apply, load, plan
from core.audit import Audit
from core.db import Database
from core.errors import InvalidError
from core.ids import public_id
from core.secrets import Keyring
from core.tables import (
    ApiKey,
    App,
    AuditEntry,
    Base,
    ConfigObject,
    Document,
    Membership,
    Run,
    Source,
    StateHistory,
    User,
)
from core.tables import Tenant as TenantRow
from ingest.runs import start_run
from policies import directory, nodes
from policies.epoch import bump, current
from policies.model import access_spec
from policies.subject import Caller, resolve_subject

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "company"

SMALL = """
kind: Group
id: staff
---
kind: Group
id: hr
groups: [staff]
---
kind: User
id: ana
email: Ana@Example.com
groups: [hr]
attributes: {clearance: restricted}
---
kind: Source
id: files
connector: folder
config: {path: ./files}
access: {allow: [everyone]}
max_access_age: 24h
schedule: {content: "*/15 * * * *"}
---
kind: App
id: chat
sources: [files]
acts_for: [group:staff]
models: [local]
---
kind: Model
id: local
class: llama_index.llms.openai_like.OpenAILike
arguments: {api_base: "http://me:hunter2@127.0.0.1/v1", model: m, api_key: {secret: LOCAL_KEY}, token: hunter3}
---
kind: Route
id: default
models: [local, extractive]
"""


class Tenant:
    """A tenant of a migrated SQLite file, and its folder of YAML."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self.file = db, folder / "conf" / "company.yaml"
        self.file.parent.mkdir()
        self.audit = Audit(Keyring(folder / "keys"))
        with db.write() as session:
            self.id = directory.put_tenant(session, "default").id

    def apply(self, text: str, prune: bool = False) -> dict[str, str]:
        self.file.write_text(text)
        with self.db.write() as session:
            return _actions(apply(session, self.id, load(self.file), prune, audit=self.audit))

    def plan(self, text: str, prune: bool = False) -> list[Difference]:
        self.file.write_text(text)
        with self.db.read() as session:
            return plan(session, self.id, load(self.file), prune)

    def epoch(self) -> int:
        with self.db.read() as session:
            return current(session, self.id)

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table."""
        with self.db.read() as session:
            return {t.name: [tuple(row) for row in session.execute(select(t))] for t in Base.metadata.sorted_tables}


@pytest.fixture
def tenant(sqlite_db: Database, tmp_path: Path) -> Tenant:
    return Tenant(sqlite_db, tmp_path)


def _actions(differences: list[Difference]) -> dict[str, str]:
    return {f"{one.kind}/{one.id}": one.action for one in differences}


def test_everything_declared_stands(tenant: Tenant) -> None:
    assert set(tenant.apply(SMALL).values()) == {"create"}
    with tenant.db.read() as session:
        source = session.scalars(select(Source)).one()
        assert (source.key, source.connector, source.config) == ("files", "folder", {"path": "./files"})
        assert (source.base, source.max_access_age_s) == (str(tenant.file.parent), 86400)
        assert source.schedule == {"content": "*/15 * * * *"}
        app = session.scalars(select(App)).one()
        assert (app.sources, app.acts_for, app.models) == (["files"], ["group:staff"], ["local"])
        assert {row.kind for row in session.scalars(select(ConfigObject))} == {"Model", "Route"}
        subject = resolve_subject(session, Caller(tenant.id, "ana@example.com"))
        assert subject.name == "ana"
        assert len(subject.principals) == 5, "id, e-mail, everyone, hr, and staff through hr"


def test_applying_twice_writes_nothing(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    before = tenant.dump()
    assert set(tenant.apply(SMALL).values()) == {"unchanged"}
    assert tenant.dump() == before


def test_the_example_company_twice(sqlite_db: Database, tenant: Tenant) -> None:
    declared = load(EXAMPLES)
    with sqlite_db.write() as session:
        apply(session, tenant.id, declared, audit=tenant.audit)
    before = tenant.dump()
    with sqlite_db.write() as session:
        again = apply(session, tenant.id, declared, prune=True, audit=tenant.audit)
    assert {one.action for one in again} == {"unchanged"}
    assert tenant.dump() == before


def test_the_order_in_the_file_does_not_matter(tenant: Tenant) -> None:
    tenant.apply("\n---\n".join(reversed(SMALL.split("---"))))
    assert set(tenant.apply(SMALL).values()) == {"unchanged"}


def test_a_change_shows_each_field_before_and_after(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    text = SMALL.replace("groups: [hr]", "groups: [staff]").replace("max_access_age: 24h", "max_access_age: 1h")
    changed = {one.id: one for one in tenant.plan(text) if one.action != "unchanged"}
    assert {one: changed[one].as_dict()["fields"] for one in changed} == {
        "ana": [{"field": "groups", "before": ["hr"], "after": ["staff"]}],
        "files": [{"field": "max_access_age", "before": 86400, "after": 3600}],
    }
    epoch = tenant.epoch()
    tenant.apply(text)
    assert tenant.epoch() == epoch + 1
    with tenant.db.read() as session:
        assert [row.state["max_access_age_s"] for row in session.scalars(select(StateHistory))] == [86400]


def test_planning_writes_nothing(tenant: Tenant) -> None:
    before = tenant.dump()
    tenant.plan(SMALL, prune=True)
    assert tenant.dump() == before


def test_secrets_are_never_shown(tenant: Tenant) -> None:
    told = str([one.as_dict() for one in tenant.plan(SMALL)])
    assert "hunter" not in told
    assert "LOCAL_KEY" in told
    tenant.apply(SMALL)
    told = str(
        [one.as_dict() for one in tenant.plan(SMALL.replace("hunter3", "hunter4").replace("model: m", "model: n"))]
    )
    assert "hunter" not in told
    assert "'action': 'change'" in told


def test_what_is_absent_stays_unless_pruned(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    rest = "kind: Group\nid: staff\n"
    assert tenant.apply(rest) == {"Group/staff": "unchanged"}
    actions = tenant.apply(rest, prune=True)
    assert {one for one, action in actions.items() if action == "delete"} == {
        "Group/hr", "User/ana", "Source/files", "App/chat", "Model/local", "Route/default",
    }  # fmt: skip
    with tenant.db.read() as session:
        assert session.scalars(select(User)).all() == []
        assert session.scalars(select(Membership).where(Membership.epoch_to.is_(None))).all() == []
        assert session.scalars(select(Source)).one().state == "deleted"
        assert resolve_subject(session, Caller(tenant.id, "ana")).nobody
    assert set(tenant.apply(rest, prune=True).values()) == {"unchanged"}


def test_pruning_spares_the_admin_app_and_groups_that_a_source_states(tenant: Tenant) -> None:
    with tenant.db.write() as session:
        directory.put_app(session, tenant.id, "admin", acts_for=["everyone"])
        directory.put_group(session, tenant.id, "from-source")
        directory.set_members(session, tenant.id, "from-source", ["user:x"], origin="source:files")
    actions = tenant.apply("kind: Group\nid: staff\n", prune=True)
    assert "delete" not in actions.values()


def test_pruning_a_source_takes_its_documents_and_runs(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    with tenant.db.write() as session:
        source = session.scalars(select(Source)).one()
        start_run(session, source)
        spec = access_spec(["everyone"], mode="break")
        row = session.get_one(TenantRow, tenant.id)
        node = nodes.put_container(session, row, source.id, key="", parent=None, title="", spec=spec)
        session.add(
            Document(
                public_id=public_id("doc"), tenant_id=tenant.id, source_id=source.id, external_id="a.md",
                node_id=node.id, epoch_from=bump(session, tenant.id),
            )
        )  # fmt: skip
    tenant.apply("kind: Group\nid: staff\n", prune=True)
    with tenant.db.read() as session:
        assert session.scalars(select(Document.state)).all() == ["deleted"]
        assert session.scalars(select(Run.state)).all() == ["cancelled"]


def test_a_source_that_comes_back_starts_anew(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    with tenant.db.write() as session:
        session.scalars(select(Source)).one().cursor = {"at": 1}
    tenant.apply("kind: Group\nid: staff\n", prune=True)
    assert tenant.apply(SMALL)["Source/files"] == "create"
    with tenant.db.read() as session:
        source = session.scalars(select(Source)).one()
        assert (source.state, source.cursor, source.access_synced_at) == ("active", None, None)


def test_a_source_that_points_elsewhere_is_listed_from_the_start(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    with tenant.db.write() as session:
        session.scalars(select(Source)).one().cursor = {"at": 1}
    tenant.apply(SMALL.replace("max_access_age: 24h", "max_access_age: 2h"))
    with tenant.db.read() as session:
        assert session.scalars(select(Source.cursor)).one() == {"at": 1}
    tenant.apply(SMALL.replace("path: ./files", "path: ./others"))
    with tenant.db.read() as session:
        assert session.scalars(select(Source.cursor)).one() is None


def test_a_pruned_app_loses_its_keys(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    with tenant.db.write() as session:
        app = session.scalars(select(App)).one()
        session.add(ApiKey(tenant_id=tenant.id, app_id=app.id, prefix="p", digest=b"d", rights=[]))
    tenant.apply("kind: Group\nid: staff\n", prune=True)
    with tenant.db.read() as session:
        assert session.scalars(select(ApiKey.revoked_at)).one() is not None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("groups: [hr]", "groups: [hrr]", "User 'ana': 'groups': there is no group 'hrr'"),
        ("sources: [files]", "sources: [fils]", "App 'chat': 'sources': there is no source 'fils'"),
        ("models: [local]", "models: [lokal]", "App 'chat': 'models': there is no model or route 'lokal'"),
        ("models: [local, extractive]", "models: [gone]", "Route 'default': 'models': there is no model 'gone'"),
        ("connector: folder", "connector: foldr", "Source 'files': no connector is named 'foldr'"),
        ("path: ./files", "paht: ./files", "Source 'files': configuration of connector 'folder' does not fit"),
    ],
)
def test_one_wrong_document_changes_nothing(tenant: Tenant, old: str, new: str, told: str) -> None:
    before = tenant.dump()
    with pytest.raises(InvalidError) as caught:
        tenant.apply(SMALL.replace(old, new))
    assert told in caught.value.detail
    assert "company.yaml:" in caught.value.detail
    assert tenant.dump() == before


def test_an_error_while_the_last_is_written_undoes_the_first(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tenant.dump()

    def fail(*_: object, **__: object) -> None:
        raise InvalidError("no")

    monkeypatch.setattr(directory, "put_app", fail)
    with pytest.raises(InvalidError):
        tenant.apply(SMALL)
    assert tenant.dump() == before


def test_pruning_what_is_still_named_is_refused(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    with pytest.raises(InvalidError, match="there is no group 'staff'"):
        tenant.apply("kind: Group\nid: hr\ngroups: [staff]\n", prune=True)


def test_a_secret_in_a_configuration_needs_no_value_yet(tenant: Tenant) -> None:
    text = (
        "kind: Source\nid: crm\nconnector: sql\nconfig:\n  url: {secret: CRM_URL}\n"
        "  tables: [{name: t, key: id, title: '{id}'}]\n"
    )
    assert tenant.apply(text) == {"Source/crm": "create"}
    with pytest.raises(InvalidError, match=r"config\.tables"):
        tenant.apply(text.replace("tables: [{name: t, key: id, title: '{id}'}]", "tables: 3"))


def test_each_apply_that_changes_something_is_in_the_audit(tenant: Tenant) -> None:
    tenant.apply(SMALL)
    tenant.apply(SMALL)
    tenant.apply("kind: User\nid: ana\n")
    with tenant.db.read() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        assert [one.kind for one in entries] == ["config.apply"] * 2
        before, after = entries[1].body.pop("before"), entries[1].body.pop("after")
        assert entries[1].body == {"create": [], "change": ["User/ana"], "delete": []}
        assert before["User/ana"]["attributes"] == {"clearance": "restricted"}
        assert after["User/ana"]["attributes"] == {}
        assert entries[0].body["before"]["User/ana"] is None
