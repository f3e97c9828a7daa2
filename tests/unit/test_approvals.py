"""The second person: what widens too far waits, is approved by somebody else, and only while it does what was shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api import approvals, keys
from api.actors import Actor
from api.changes import Asked, perform
from api.declare.shapes import Declared, check
from api.operations_config import documents
from api.runtime import Runtime
from core.clock import utc_now
from core.errors import ConflictError, ForbiddenError, HeldError, NotFoundError, StaleApprovalError
from core.settings import Settings
from core.tables import Ace, AclNode, Approval, AuditEntry, Document, Group, Membership, Source
from policies import directory, rules_store
from policies.decide import decide
from policies.grants import put_grant
from policies.model import AccessSpec, Entry
from policies.nodes import put_container
from policies.subject import Caller, resolve_subject
from policies.worlds import copied

PEOPLE, DOCUMENTS = 12, 30
GRANT: dict[str, Any] = {"objects": ["*"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}


class Company:
    """Twelve people in `all` (and `everyone`), six of them in `half`; thirty documents in each of two folders:
    `open`, which `half` reads, and `shut`, which nobody does. At most five people may gain without a second person.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.tenant = runtime, runtime.prepare()
        with runtime.db.write() as session:
            self._people(session)
            self._places(session)
        self.ana, self.bob = self.actor("ana"), self.actor("bob", app="desk")

    def _people(self, session: Session) -> None:
        for group in ("all", "half", "none"):
            directory.put_group(session, self.tenant, group)
        for number in range(PEOPLE):
            directory.put_user(session, self.tenant, f"p{number}")
            groups = ["all", "half"] if number % 2 else ["all"]
            directory.set_containers(session, self.tenant, f"user:p{number}", groups)
        for name, app in (("ana", "console"), ("bob", "desk")):
            directory.put_app(session, self.tenant, app, acts_for=["user:ana", "user:bob", "user:cy"])
            keys.create(session, self.runtime.keyring, self.tenant, app, ["admin"])
            directory.put_user(session, self.tenant, name)
            put_grant(session, self.tenant, name, {**GRANT, "principals": [f"user:{name}"], "rights": ["*"]})
        directory.put_user(session, self.tenant, "cy")

    def _places(self, session: Session) -> None:
        tenant = directory.put_tenant(session, self.runtime.settings.tenant)
        source = Source(tenant_id=self.tenant, key="files", connector="push", config={}, epoch_from=1)
        session.add(source)
        session.flush()
        self.source = source.id
        root = put_container(session, tenant, source.id, key="", parent=None, title="", spec=AccessSpec())
        for name, spec in (("open", AccessSpec(entries=frozenset({Entry("group:half")}))), ("shut", AccessSpec())):
            node = put_container(session, tenant, source.id, key=name, parent=root.id, title=name, spec=spec)
            for number in range(DOCUMENTS):
                session.add(self.document(node, f"{name}/{number}"))

    def document(self, node: AclNode, name: str) -> Document:
        return Document(
            public_id=f"doc_{name}",
            tenant_id=self.tenant,
            source_id=self.source,
            external_id=name,
            node_id=node.id,
            state="live",
            epoch_from=1,
        )

    def actor(self, user: str, *, app: str = "console") -> Actor:
        return Actor(self.tenant, f"user:{user}", f"app:{app}", (("app", app),), user=user, app=app)

    def do(self, operation: str, *, by: Actor | None = None, **args: Any) -> Any:
        return perform(self.runtime, by or self.ana, Asked(operation, args))

    def held(self, operation: str, *, by: Actor | None = None, **args: Any) -> str:
        with pytest.raises(HeldError, match="held, needs a second person") as told:
            self.do(operation, by=by, **args)
        return str(told.value.extra["approval"])

    def reads(self, user: str, name: str = "shut/0") -> bool:
        with self.runtime.db.read() as session:
            subject = resolve_subject(session, Caller(self.tenant, user))
            found = session.scalars(select(Document.id).where(Document.external_id == name)).one()
            return decide(session, subject, [found])[found].allowed

    def state(self, name: str) -> dict[str, Any]:
        with self.runtime.db.read() as session:
            return approvals.told(session, approvals.find(session, self.tenant, name))

    def audited(self, kind: str) -> list[dict[str, Any]]:
        with self.runtime.db.read() as session:
            rows = session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)).all()
            return [{"actor": row.actor, **row.body} for row in rows]


BOTH = pytest.mark.parametrize("company", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def company(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Company]:
    home = tmp_path / "data"
    home.mkdir()
    more: dict[str, Any] = {}
    if getattr(request, "param", "sqlite") == "sqlite":
        shutil.copyfile(sqlite_template, home / "ambit.db")
    else:
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_url"))
    runtime = Runtime(
        Settings(_env_file=None, data_dir=home, widening_people=5, widening_documents=40, approval_hours=2, **more)
    )
    try:
        yield Company(runtime)
    finally:
        runtime.close()


def entries(*principals: str, place: str = "files:shut", **more: Any) -> dict[str, Any]:
    return {"body": {"place": place, "entries": [{"principal": one, **more} for one in principals], "labels": {}}}


def later(seconds: int) -> str:
    return (utc_now() + timedelta(seconds=seconds)).isoformat()


@BOTH
def test_a_change_waits_is_shown_and_made_by_another_person(company: Company) -> None:
    name = company.held("entries.put", **entries("everyone"))
    assert not company.reads("p0")
    shown = company.state(name)
    assert (shown["state"], shown["proposed_by"], shown["hand"]) == ("pending", "user:ana", "app:console")
    assert (shown["effect"]["people"], shown["effect"]["documents"]) == (PEOPLE + 3, DOCUMENTS)
    assert shown["effect"]["gains"][0]["samples"]
    assert company.held("entries.put", **entries("everyone")) == name, "the same waits once"
    approvals.approve(company.runtime, company.bob, name, "as agreed")
    assert company.reads("p0")
    assert (company.state(name)["state"], company.state(name)["note"]) == ("approved", "as agreed")
    (made,) = company.audited("admin.access.entries")
    assert (made["actor"], made["approval"], made["by"]) == ("user:ana", name, "user:bob")
    assert (made["before"]["entries"], made["after"]["entries"][0]["principal"]) == ([], "everyone")
    assert [one["approval"] for one in company.audited("approval.propose")] == [name]
    assert [one["actor"] for one in company.audited("approval.approved")] == ["user:bob"]
    with company.runtime.db.read() as session:
        assert session.scalars(select(Approval.request)).one() == "", "what was asked for is kept no longer than needed"
    with pytest.raises(ConflictError, match="approved"):
        approvals.approve(company.runtime, company.bob, name)


WIDENING: dict[str, Callable[[Company], tuple[str, dict[str, Any]]]] = {
    "an entry": lambda _: ("entries.put", entries("group:all")),
    "an entry to come": lambda _: ("entries.put", entries("group:all", not_before=later(3600))),
    "an entry through an app": lambda _: ("entries.put", entries("group:all", app="desk")),
    "a permit": lambda _: ("policy.put", {"key": "p", "body": {"effect": "permit", "when": "true", "enforced": True}}),
    "a permit that reads the request": lambda _: (
        "policy.put",
        {"key": "p", "body": {"effect": "permit", "when": "request.time > timestamp('2099-01-01T00:00:00Z')",
                              "enforced": True}},
    ),
    "a group in a group": lambda _: ("group.join", {"group": "half", "member": "group:all"}),
    "everyone in a group": lambda _: ("group.join", {"group": "half", "member": "everyone"}),
    "an app that may name more": lambda _: (
        "app.put", {"key": "desk", "body": {"acts_for": ["everyone"], "sources": None}},
    ),
    "the access of a push source": lambda _: (
        "source.change", {"key": "files", "body": {"access": {"allow": ["everyone"]}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WIDENING)
def test_each_kind_of_widening_is_held(company: Company, what: str) -> None:
    operation, args = WIDENING[what](company)
    name = company.held(operation, **args)
    assert not company.reads("p0")
    approvals.approve(company.runtime, company.bob, name)
    assert company.state(name)["state"] == "approved"


@BOTH
def test_ending_what_refused_is_a_widening_too(company: Company) -> None:
    company.do("entries.put", **entries("group:half", place="files:open", effect="deny"))
    assert not company.reads("p1", "open/0")
    company.held("entries.put", **entries(place="files:open"))
    company.held("entries.put", **entries("group:half", place="files:open", effect="deny", expires_at=later(60)))
    company.held("entries.put", **entries("group:half", place="files:open", effect="deny", app="desk"))
    company.do("policy.put", key="no", body={"effect": "forbid", "when": "true", "enforced": True})
    company.do("entries.put", **entries(place="files:open"))
    company.held("policy.delete", key="no")
    company.held("policy.put", key="no", body={"effect": "forbid", "when": "true", "enforced": False})


def test_labels_and_their_order_widen_by_rules(company: Company) -> None:
    rule = "rank(document.classification) > rank(principal.clearance)"
    company.do("policy.put", key="clearance", body={"effect": "forbid", "when": rule, "enforced": True})
    labelled = {"body": {"place": "files:open", "entries": [], "labels": {"classification": "confidential"}}}
    company.do("entries.put", **labelled)
    assert not company.reads("p1", "open/0")
    company.held("entries.put", **entries(place="files:open"))
    company.held("classification.put", order=["public", "confidential", "internal", "restricted"])
    assert not company.reads("p1", "open/0")


def test_more_documents_than_the_limit_for_one_person_are_held(company: Company) -> None:
    company.do("entries.put", **entries("user:p0"))
    assert company.reads("p0"), "thirty documents to one person are within the limit"
    name = company.held("entries.put", **entries("user:p2", place="files:"))
    assert company.state(name)["effect"]["documents"] == 2 * DOCUMENTS


def test_narrowing_and_what_is_within_the_limits_is_never_held(company: Company) -> None:
    for group in ("all", "half"):
        company.do("group.leave", group=group, member="user:p1")
    company.do("entries.put", **entries("everyone", effect="deny"))
    company.do("group.delete", key="half")
    company.do("user.put", key="p3", body={"active": False})
    company.do("entries.put", **entries("user:p2", place="files:open"))
    company.do("app.put", key="console", body={"acts_for": ["user:ana"]})
    company.do("policy.put", key="no", body={"effect": "forbid", "when": "true", "enforced": True})
    with company.runtime.db.read() as session:
        assert session.scalars(select(Approval)).all() == []


def test_somebody_new_gains_only_what_not_everybody_has(company: Company) -> None:
    with company.runtime.db.write() as session:
        tenant = directory.put_tenant(session, company.runtime.settings.tenant)
        root = session.scalars(select(AclNode).where(AclNode.key == "")).one()
        node = put_container(session, tenant, company.source, key="canteen", parent=root.id, title="",
                             spec=AccessSpec(entries=frozenset({Entry("everyone")})))  # fmt: skip
        session.add_all(company.document(node, f"canteen/{number}") for number in range(50))
    company.do("user.put", key="dan", body={})
    company.do("user.put", key="dora", body={"groups": ["half"]})
    assert company.reads("dora", "open/0")
    many = [Declared("User", f"n{number}", check("User", f"n{number}", {"groups": ["half"]})) for number in range(9)]
    company.held("config.apply", documents=documents(many), prune=False)


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(("ana", "console"), id="the same"),
        pytest.param(("bob", "console"), id="another name by the same key's app"),
        pytest.param(("ana", "desk"), id="the same name by another app"),
    ],
)
def test_who_proposed_it_cannot_approve_it(company: Company, by: tuple[str, str]) -> None:
    name = company.held("entries.put", **entries("everyone"))
    with pytest.raises(ForbiddenError, match="another person"):
        approvals.approve(company.runtime, company.actor(by[0], app=by[1]), name)
    assert company.state(name)["state"] == "pending"


def test_logins_of_the_machine_are_people_of_their_own(company: Company) -> None:
    ada, bea = (Actor(company.tenant, "local", f"local:{one}", (("login", one),)) for one in ("ada", "bea"))
    name = company.held("group.join", by=ada, group="half", member="everyone")
    with pytest.raises(ForbiddenError):
        approvals.approve(company.runtime, ada, name)
    approvals.approve(company.runtime, bea, name)
    assert company.reads("p0", "open/0")
    assert company.audited("access.membership")[0]["login"] == "ada"


def test_approving_takes_the_right(company: Company) -> None:
    name = company.held("entries.put", **entries("everyone"))
    cy = company.actor("cy", app="desk")
    with pytest.raises(ForbiddenError, match=r"approval.decide"):
        approvals.approve(company.runtime, cy, name)
    with pytest.raises(ForbiddenError, match=r"approval.decide"):
        approvals.reject(company.runtime, cy, name)
    assert not company.reads("p0")


def test_what_a_proposer_may_no_longer_do_is_not_made(company: Company) -> None:
    name = company.held("entries.put", **entries("everyone"))
    with company.runtime.db.write() as session:
        directory.put_user(session, company.tenant, "ana", active=False)
    with pytest.raises(ForbiddenError):
        approvals.approve(company.runtime, company.bob, name)
    assert not company.reads("p0")


STALE: dict[str, Callable[[Session, Company], object]] = {
    "one more person": lambda s, c: directory.put_user(s, c.tenant, "late"),
    "one more document": lambda s, c: s.add(
        c.document(s.scalars(select(AclNode).where(AclNode.key == "shut")).one(), "shut/late")
    ),
    "one person less": lambda s, c: directory.put_user(s, c.tenant, "p0", active=False),
    "a rule": lambda s, c: rules_store.put_rule(s, c.tenant, "no", effect="forbid", condition="principal.id == 'p0'"),
}


@pytest.mark.parametrize("what", STALE)
def test_what_would_do_something_else_now_is_stale(company: Company, what: str) -> None:
    name = company.held("entries.put", **entries("everyone"))
    with company.runtime.db.write() as session:
        STALE[what](session, company)
    with pytest.raises(StaleApprovalError, match="anew"):
        approvals.approve(company.runtime, company.bob, name)
    assert company.state(name)["state"] == "stale"
    assert not company.reads("p2")
    assert company.held("entries.put", **entries("everyone")) != name


def test_what_waits_too_long_expires(company: Company) -> None:
    name = company.held("entries.put", **entries("everyone"))
    with company.runtime.db.write() as session:
        session.execute(update(Approval).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert company.state(name)["state"] == "expired"
    with pytest.raises(ConflictError, match="expired"):
        approvals.approve(company.runtime, company.bob, name)
    assert company.held("entries.put", **entries("everyone")) != name


def test_a_rejected_change_is_gone_and_the_proposer_may_take_it_back(company: Company) -> None:
    first, second = company.held("entries.put", **entries("everyone")), company.held("group.join", group="half",
                                                                                      member="everyone")  # fmt: skip
    approvals.reject(company.runtime, company.bob, first, "too much")
    approvals.reject(company.runtime, company.ana, second)
    for one in (first, second):
        assert company.state(one)["state"] == "rejected"
        with pytest.raises(ConflictError, match="rejected"):
            approvals.approve(company.runtime, company.bob, one)
    assert not company.reads("p0")
    with pytest.raises(NotFoundError):
        approvals.reject(company.runtime, company.bob, "apr_none")


@BOTH
def test_an_apply_is_held_whole_and_a_plan_says_so(company: Company) -> None:
    from api.declare import apply
    from api.making import limits
    from policies.widening import would_widen

    declared = [Declared("Group", "all", check("Group", "all", {"groups": ["half"]}))]
    with company.runtime.db.read() as session:
        found = would_widen(
            session, company.tenant, lambda copy: apply(copy, company.tenant, declared, audit=company.runtime.audit),
            limits(company.runtime.settings),
        )  # fmt: skip
    assert (found.held, found.people, found.documents) == (True, PEOPLE // 2, DOCUMENTS)
    name = company.held("config.apply", documents=documents(declared), prune=False)
    assert company.state(name)["summary"] == "change Group/all"
    assert not company.reads("p0", "open/0")
    approvals.approve(company.runtime, company.bob, name)
    assert company.reads("p0", "open/0")


@BOTH
def test_a_copy_and_the_truth_are_left_as_they_were_by_counting(company: Company) -> None:
    with company.runtime.db.read() as session:
        before = {table: len(session.scalars(select(table)).all()) for table in (Ace, Group, Membership, AclNode)}
        with copied(session, company.tenant, [], at=utc_now()):
            pass
    company.held("entries.put", **entries("group:all", app="desk"))
    company.do("entries.put", **entries("user:p0", app="desk", not_before=later(60)))
    with company.runtime.db.read() as session:
        after = {table: len(session.scalars(select(table)).all()) for table in before}
        row = session.scalars(select(Ace).where(Ace.origin == "admin")).one()
        assert (row.app_id is not None, row.not_before is not None) == (True, True)
    assert after == before | {Ace: before[Ace] + 1}
