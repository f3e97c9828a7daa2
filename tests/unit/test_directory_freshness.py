"""A directory whose data is too old gives nothing, and loses no deny."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from core.db import Database, now
from core.tables import AclNode, Directory, Document, Source
from policies import directory, nodes
from policies.decide import decide
from policies.epoch import bump
from policies.explain import explain
from policies.model import AccessSpec, access_spec
from policies.readers import who_can_read
from policies.rules_store import put_rule
from policies.scope import ScopeCache, readable, readable_by
from policies.subject import Caller, resolve_subject
from policies.worlds import copied

HOUR = 3600


class Office:
    """`ana` only the directory knows, `bob` an admin too, `cy` an admin alone; `law` holds the first two."""

    def __init__(self, session: Session, age_s: int | None) -> None:
        self.session = session
        self.tenant_row = directory.put_tenant(session, "acme")
        self.tenant = self.tenant_row.id
        synced = None if age_s is None else now(session) - timedelta(seconds=age_s)
        self.directory = Directory(
            tenant_id=self.tenant, key="corp", config={}, max_age_s=HOUR, synced_at=synced,
            epoch_from=bump(session, self.tenant),
        )  # fmt: skip
        session.add(self.directory)
        for name in ("law", "temps"):
            directory.put_group(session, self.tenant, name, origin="ldap:corp")
        directory.put_group(session, self.tenant, "staff")
        directory.set_containers(session, self.tenant, "group:law", ["staff"])
        for name in ("ana", "bob"):
            directory.put_user(session, self.tenant, name, attributes={"region": "eu"}, origin="ldap:corp")
        directory.set_members(session, self.tenant, "law", ["user:ana", "user:bob"], origin="ldap:corp")
        for name in ("bob", "cy"):
            directory.put_user(session, self.tenant, name)
        self.source = Source(
            tenant_id=self.tenant, key="s", connector="push", config={}, epoch_from=bump(session, self.tenant)
        )
        session.add(self.source)
        session.flush()

    def place(self, spec: AccessSpec) -> int:
        """A document at a place of its own."""
        number = self.session.query(AclNode).count()
        node = nodes.put_container(
            self.session, self.tenant_row, self.source.id, key=f"n{number}", parent=None, title="", spec=spec
        )
        document = Document(
            public_id=f"d{number}", tenant_id=self.tenant, source_id=self.source.id, external_id=f"x{number}",
            node_id=node.id, epoch_from=1,
        )  # fmt: skip
        self.session.add(document)
        self.session.flush()
        return document.id

    def reason(self, user: str, document: int) -> str:
        """Decided, and agreed on by scope and explanation."""
        subject = resolve_subject(self.session, Caller(self.tenant, user))
        verdict = decide(self.session, subject, [document])[document]
        told = explain(self.session, subject, document)
        assert (told.allowed, told.reason) == (verdict.allowed, verdict.reason)
        scope = readable(self.session, subject)
        node = self.session.get_one(Document, document).node_id
        assert ((node in scope.nodes) != scope.complement) == verdict.allowed
        readers = {one.user for one in who_can_read(self.session, self.tenant, document).readers}
        assert (user in readers) == verdict.allowed
        return verdict.reason


@pytest.mark.parametrize(
    ("age", "ana", "bob"),
    [(10, "allowed", "allowed"), (HOUR, "nobody", "no_entry"), (None, "nobody", "no_entry")],
)
def test_past_its_limit_its_people_and_groups_give_nothing(db: Database, age: int | None, ana: str, bob: str) -> None:
    with db.write() as session:
        office = Office(session, age)
        for name in ("law", "staff"):
            document = office.place(access_spec(allow=[f"group:{name}"]))
            assert (office.reason("ana", document), office.reason("bob", document)) == (ana, bob)
        own = office.place(access_spec(allow=["user:bob", "user:cy", "user:ana"]))
        assert office.reason("ana", own) == ana
        assert office.reason("bob", own) == office.reason("cy", own) == "allowed", "an admin's word does not grow old"


def test_past_its_limit_denies_through_its_groups_hold_for_all(db: Database) -> None:
    with db.write() as session:
        office = Office(session, 10)
        spec = access_spec(allow=["everyone"], deny=["group:law"])
        known, empty = office.place(spec), office.place(access_spec(allow=["everyone"], deny=["group:temps"]))
        above = office.place(access_spec(allow=["everyone"], deny=["group:staff"]))
        assert [office.reason(one, known) for one in ("bob", "cy")] == ["denied", "allowed"]
        assert [office.reason(one, empty) for one in ("bob", "cy")] == ["allowed", "allowed"]
        office.directory.synced_at = now(session) - timedelta(seconds=HOUR)
        session.flush()
        for document in (known, empty, above):
            assert [office.reason(one, document) for one in ("bob", "cy")] == ["deny_uncertain", "deny_uncertain"]
        told = explain(session, resolve_subject(session, Caller(office.tenant, "cy")), empty)
        assert told.entry is not None
        assert (told.entry.principal, told.entry.why) == ("group:temps", "uncertain")
        assert told.notes == ("ldap:corp: its data is too old; its groups allow nothing and may deny",)


@pytest.mark.parametrize(
    ("effect", "condition", "fresh", "stale"),
    [
        ("permit", "'law' in principal.groups", "permitted", "no_entry"),
        ("permit", "!('temps' in principal.groups)", "permitted", "no_entry"),
        ("permit", "!has(principal.region) || principal.region == 'eu'", "permitted", "no_entry"),
        ("permit", "principal.region == 'eu' || true", "permitted", "no_entry"),
        ("permit", "principal.id == 'bob'", "permitted", "permitted"),
        ("forbid", "has(principal.groups) && 'temps' in principal.groups", "allowed", "forbid_erred"),
        ("forbid", "has(principal.region) && principal.region == 'us'", "allowed", "forbid_erred"),
        ("forbid", "principal['region'] == 'us'", "allowed", "forbid_erred"),
    ],
)
def test_rules_that_read_what_is_in_doubt_err(
    db: Database, effect: str, condition: str, fresh: str, stale: str
) -> None:
    with db.write() as session:
        office = Office(session, 10)
        put_rule(session, office.tenant, "r", effect=effect, condition=condition)
        document = office.place(access_spec(allow=["user:bob"] if effect == "forbid" else ["user:cy"]))
        assert office.reason("bob", document) == fresh
        office.directory.synced_at = now(session) - timedelta(seconds=HOUR)
        session.flush()
        assert office.reason("bob", document) == stale


def test_what_is_cached_ends_when_the_limit_is_reached(db: Database) -> None:
    with db.write() as session:
        office = Office(session, 10)
        document = office.place(access_spec(allow=["group:law"]))
        node, tenant = session.get_one(Document, document).node_id, office.tenant
    cache, caller = ScopeCache(), Caller(tenant, "bob")
    with db.read() as session:
        assert node in readable_by(session, caller, cache).nodes or readable_by(session, caller, cache).complement
        later = now(session) + timedelta(seconds=HOUR)
    with db.read() as session, copied(session, tenant, [document], at=later) as then:
        scope = readable_by(then, caller, cache)
        assert node not in scope.nodes
        assert not scope.complement


def test_a_directory_without_a_limit_is_never_too_old(db: Database) -> None:
    with db.write() as session:
        office = Office(session, 10 * HOUR)
        office.directory.max_age_s = None
        session.flush()
        assert office.reason("ana", office.place(access_spec(allow=["group:law"]))) == "allowed"
