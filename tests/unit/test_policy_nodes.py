"""What a sync states: narrowing holds at once, widening waits, an admin's rows stay."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.clock import utc_now
from core.db import Database
from core.errors import NotFoundError
from core.tables import Ace, AclNode, Label, Tenant
from policies import decide, nodes, subject
from policies.directory import put_user
from policies.labels import CLASSIFICATION, effective, rank
from policies.model import CLOSED, AccessSpec, Entry, access_spec
from policies.rules_store import put_rule
from tests.factories import oracle
from tests.factories.random_world import random_world
from tests.factories.world import Built, WApp, WDoc, WEntry, WNode, World, WUser, build, spec_of

ORDERED = ["public", "internal", "confidential", "restricted"]
PRINCIPALS = ["everyone", "user:ana", "user:bob", "group:eng", "group:ghost", "app:chat"]
MODES = ["inherit", "break", "narrow"]

entries = st.builds(
    Entry,
    principal=st.sampled_from(PRINCIPALS),
    effect=st.sampled_from(["allow", "allow", "deny"]),
    app=st.sampled_from([None, None, "chat"]),
)
labels = st.one_of(st.just({}), st.builds(lambda one: {CLASSIFICATION: one}, st.sampled_from([*ORDERED, "odd"])))
specs = st.builds(
    AccessSpec,
    mode=st.sampled_from(MODES),
    entries=st.frozensets(entries, max_size=4),
    labels=labels,
    closed=st.integers(0, 9).map(lambda one: one == 0),
)


def _node(spec: AccessSpec, parent: str | None) -> WNode:
    stated = tuple(WEntry(e.principal, e.effect, app=e.app) for e in spec.entries)
    return WNode("s", parent=parent, mode=spec.mode, closed=spec.closed, entries=stated)


def _world(spec: AccessSpec, above: AccessSpec | None, below: AccessSpec) -> World:
    """A place with `spec`, under `above` or a root itself, and places of every mode below it."""
    placed: dict[str, WNode] = {}
    if above is not None:
        placed["above"] = _node(above, None)
    placed["place"] = _node(spec, "above" if above is not None else None)
    placed |= {mode: _node(replace(below, mode=mode), "place") for mode in ("inherit", "break", "narrow")}
    return World(
        users={"ana": WUser(groups=("eng",)), "bob": WUser()},
        groups={"eng": ()},
        apps={"chat": WApp()},
        nodes=placed,
        documents={key: WDoc(key) for key in placed},
    )


def _readers(world: World) -> set[tuple[str, str | None, str]]:
    return {
        (user, app, document)
        for user in world.users
        for app in (None, "chat")
        for document in world.documents
        if oracle.place_allows(world, user, app, world.documents[document].node, 0)
    }


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(old=specs, new=specs, above=st.one_of(st.none(), specs), below=specs)
def test_the_interim_is_read_by_nobody_whom_old_or_new_refuses(
    old: AccessSpec, new: AccessSpec, above: AccessSpec | None, below: AccessSpec
) -> None:
    held = nodes.interim(old, new, ORDERED, root=above is None)
    readers = _readers(_world(held, above, below))
    assert readers <= _readers(_world(old, above, below))
    assert readers <= _readers(_world(new, above, below))


@settings(max_examples=80, derandomize=True, deadline=None, database=None)
@given(old=specs, dropped=st.frozensets(entries, max_size=3), added=st.frozensets(entries, max_size=3))
def test_pure_narrowing_holds_at_once(old: AccessSpec, dropped: frozenset[Entry], added: frozenset[Entry]) -> None:
    old = replace(old, closed=False)
    less = {e for e in old.entries if e.effect == "deny" or e not in dropped}
    new = replace(old, entries=frozenset(less | {replace(e, effect="deny") for e in added}))
    assert nodes.interim(old, new, ORDERED) == new
    assert nodes.interim(old, replace(new, closed=True), ORDERED) == replace(new, closed=True)


@settings(max_examples=50, derandomize=True, deadline=None, database=None)
@given(old=specs, new=specs, inherited=st.sampled_from(ORDERED))
def test_the_interim_has_the_higher_classification_of_the_two(old: AccessSpec, new: AccessSpec, inherited: str) -> None:
    held = nodes.interim(replace(old, closed=False), replace(new, closed=False), ORDERED, inherited=inherited)
    before, after, between = (rank(spec.labels.get(CLASSIFICATION, inherited), ORDERED) for spec in (old, new, held))
    assert between == max(before, after)


@settings(max_examples=50, derandomize=True, deadline=None, database=None)
@given(spec=specs)
def test_what_is_held_back_is_kept_whole(spec: AccessSpec) -> None:
    timed = replace(spec, entries=spec.entries | {Entry("user:ana", "allow", utc_now(), None, "chat")})
    assert nodes.load(nodes.dump(timed)) == timed
    assert nodes.digest(timed) == nodes.digest(nodes.load(nodes.dump(timed)))


def _readable(db: Database, built: Built, world: World) -> set[tuple[str, str | None, str]]:
    found = set()
    with db.read() as session:
        for user in world.users:
            for app in (None, "chat"):
                who = subject.resolve_subject(session, subject.Caller(built.tenant, user, app))
                verdicts = decide.decide(session, who, built.documents.values())
                found |= {(user, app, key) for key, id_ in built.documents.items() if verdicts[id_].allowed}
    return found


def _restate(db: Database, built: Built, key: str, spec: AccessSpec, parent: str | None) -> None:
    with db.write() as session:
        tenant = session.get_one(Tenant, built.tenant)
        above = built.nodes[parent] if parent else None
        nodes.put_container(session, tenant, built.sources["s"], key=key, parent=above, title=key, spec=spec)


def _release(db: Database, built: Built) -> int:
    with db.write() as session:
        waiting = session.scalars(select(AclNode).where(AclNode.tenant_id == built.tenant)).all()
        return nodes.release(session, waiting)


@settings(max_examples=15, derandomize=True, deadline=None, database=None)
@given(data=st.data())
def test_in_sql_widening_waits_for_release_and_then_holds(module_db: Database, data: st.DataObject) -> None:
    above = data.draw(st.one_of(st.none(), specs.map(lambda one: replace(one, closed=False))))
    old, new, below = data.draw(specs), data.draw(specs), data.draw(specs)
    before, after = _world(old, above, below), _world(new, above, below)
    with module_db.write() as session:
        built = build(session, before)
    _restate(module_db, built, "place", new, "above" if above is not None else None)
    assert _readable(module_db, built, before) <= _readers(before) & _readers(after)
    _release(module_db, built)
    assert _readable(module_db, built, before) == _readers(after)
    assert _release(module_db, built) == 0


@pytest.fixture(scope="module")
def module_db(tmp_path_factory: pytest.TempPathFactory, sqlite_template: object) -> Database:
    """One migrated file for all worlds of the property test, each a tenant of its own."""
    import shutil

    path = tmp_path_factory.mktemp("nodes") / "ambit.db"
    shutil.copyfile(str(sqlite_template), path)
    return Database(f"sqlite:///{path}")


@pytest.mark.parametrize("seed", range(6))
def test_an_admins_rows_survive_any_sync(sqlite_db: Database, seed: int) -> None:
    rng = Random(seed)
    world = random_world(rng)
    with sqlite_db.write() as session:
        built = build(session, world)
    before = _admin_rows(sqlite_db, built)
    assert before
    for _ in range(2):
        other = random_world(rng)
        with sqlite_db.write() as session:
            tenant = session.get_one(Tenant, built.tenant)
            for key, node in world.nodes.items():
                spec = spec_of(rng.choice(list(other.nodes.values())), utc_now())
                parent = built.nodes[node.parent] if node.parent else None
                source = built.sources[node.source]
                if not key.startswith("="):
                    nodes.put_container(session, tenant, source, key=key, parent=parent, title=key, spec=spec)
        _release(sqlite_db, built)
    assert _admin_rows(sqlite_db, built) == before


def _admin_rows(db: Database, built: Built) -> set[tuple[object, ...]]:
    with db.read() as session:
        return {
            (table.__tablename__, *row)
            for table in (Ace, Label)
            for row in session.execute(
                select(table.id, table.node_id).where(
                    table.tenant_id == built.tenant, table.origin == "admin", table.epoch_to.is_(None)
                )
            )
        }


def _small(db: Database) -> tuple[Built, World]:
    world = World(
        users={"ana": WUser(), "bob": WUser()},
        groups={},
        nodes={
            "root": WNode("s", entries=(WEntry("user:ana"), WEntry("user:bob"))),
            "other": WNode("s", parent="root", mode="break"),
            "place": WNode("s", parent="root"),
        },
        documents={"note": WDoc("place")},
        apps={"chat": WApp()},
    )
    with db.write() as session:
        return build(session, world), world


@pytest.mark.parametrize(
    ("above", "before", "after", "between"),
    [
        ("restricted", None, "public", "restricted"),
        ("restricted", "public", None, "restricted"),
        ("public", "restricted", None, "restricted"),
        ("public", None, "restricted", "restricted"),
        (None, None, "public", "internal"),
    ],
)
def test_a_classification_rises_at_once_and_falls_at_release(
    sqlite_db: Database, above: str | None, before: str | None, after: str | None, between: str
) -> None:
    def said(value: str | None) -> dict[str, str]:
        return {CLASSIFICATION: value} if value else {}

    places = {"root": WNode("s", labels=said(above)), "place": WNode("s", parent="root", labels=said(before))}
    with sqlite_db.write() as session:
        built = build(session, World(users={}, groups={}, nodes=places, documents={}))
    _restate(sqlite_db, built, "place", access_spec(labels=said(after)), "root")
    assert _classification(sqlite_db, built) == between
    _release(sqlite_db, built)
    assert _classification(sqlite_db, built) == (after or above)


def _classification(db: Database, built: Built) -> str:
    with db.read() as session:
        return effective(session, built.tenant, [built.nodes["place"]])[built.nodes["place"]][CLASSIFICATION]


def test_at_a_root_a_break_with_other_readers_lets_them_in_only_at_release(sqlite_db: Database) -> None:
    world = World(
        users={"ana": WUser(), "bob": WUser()},
        groups={},
        nodes={"root": WNode("s", entries=(WEntry("user:ana"),))},
        documents={"note": WDoc("root")},
    )
    with sqlite_db.write() as session:
        built = build(session, world)
    _restate(sqlite_db, built, "root", access_spec(["user:bob"], mode="break"), None)
    assert _readable(sqlite_db, built, world) == set()
    assert _release(sqlite_db, built) == 1
    assert {user for user, app, _ in _readable(sqlite_db, built, world) if app is None} == {"bob"}


def test_a_moved_container_is_closed_until_release(sqlite_db: Database) -> None:
    built, world = _small(sqlite_db)
    assert _readable(sqlite_db, built, world)
    _restate(sqlite_db, built, "place", access_spec(["user:ana"]), "other")
    assert _readable(sqlite_db, built, world) == set()
    _release(sqlite_db, built)
    assert {user for user, app, _ in _readable(sqlite_db, built, world) if app is None} == {"ana"}


def test_a_place_that_closes_and_opens_is_read_again_only_at_release(sqlite_db: Database) -> None:
    built, world = _small(sqlite_db)
    before = _readable(sqlite_db, built, world)
    _restate(sqlite_db, built, "place", CLOSED, "root")
    assert _readable(sqlite_db, built, world) == set()
    _restate(sqlite_db, built, "place", AccessSpec(), "root")
    assert _readable(sqlite_db, built, world) == set()
    _release(sqlite_db, built)
    assert _readable(sqlite_db, built, world) == before


def test_a_widening_taken_back_before_release_leaves_what_was(sqlite_db: Database) -> None:
    built, world = _small(sqlite_db)
    before = _readable(sqlite_db, built, world)
    _restate(sqlite_db, built, "other", access_spec(["everyone"], mode="break"), "root")
    _restate(sqlite_db, built, "other", AccessSpec(mode="break"), "root")
    assert _release(sqlite_db, built) == 0
    assert _readable(sqlite_db, built, world) == before


def test_equal_access_shares_a_node_and_other_access_does_not(sqlite_db: Database) -> None:
    built, _ = _small(sqlite_db)
    with sqlite_db.write() as session:
        parent = session.get_one(AclNode, built.nodes["place"])
        one = nodes.shared_node(session, built.tenant, built.sources["s"], parent, access_spec(["user:ana"]))
        same = nodes.shared_node(session, built.tenant, built.sources["s"], parent, access_spec(["user:ana"]))
        other = nodes.shared_node(session, built.tenant, built.sources["s"], parent, access_spec(["user:bob"]))
        assert one.id == same.id != other.id


def test_a_waiver_is_kept_over_a_sync_and_of_a_deny_alone(sqlite_db: Database) -> None:
    built, world = _small(sqlite_db)
    _restate(sqlite_db, built, "place", access_spec([], ["group:ghost"]), "root")
    assert _readable(sqlite_db, built, world) == set()
    with sqlite_db.write() as session:
        deny = session.scalars(select(Ace.id).where(Ace.effect == "deny", Ace.epoch_to.is_(None))).one()
        nodes.waive(session, built.tenant, deny)
    assert _readable(sqlite_db, built, world)
    _restate(sqlite_db, built, "place", access_spec(["user:ana"], ["group:ghost"]), "root")
    _release(sqlite_db, built)
    assert _readable(sqlite_db, built, world)
    with sqlite_db.write() as session:
        allow = session.scalars(select(Ace.id).where(Ace.effect == "allow", Ace.epoch_to.is_(None))).first()
        for wrong in (allow, deny, 10_000):
            with pytest.raises(NotFoundError):
                nodes.waive(session, built.tenant, wrong or 0)


def _labelled(db: Database) -> tuple[Built, World]:
    """ana reads by an entry; a rule forbids her what is of the law department, and one permits bob what is of hr."""
    world = World(
        users={"ana": WUser(), "bob": WUser()},
        groups={},
        nodes={
            "root": WNode("s", entries=(WEntry("user:ana"),)),
            "place": WNode("s", parent="root", labels={"department": "law"}),
            "below": WNode("s", parent="place", mode="break", entries=(WEntry("user:ana"),)),
        },
        documents={"note": WDoc("place"), "deep": WDoc("below")},
    )
    with db.write() as session:
        return build(session, world), world


FORBID_LAW = {"effect": "forbid", "condition": "has(document.department) && document.department == 'law'"}
PERMIT_HR = {"effect": "permit", "condition": "has(document.department) && document.department == 'hr'"}


@pytest.mark.parametrize("rule_first", [True, False])
@pytest.mark.parametrize("rule", [FORBID_LAW, PERMIT_HR])
def test_a_label_that_a_rule_reads_changes_nobodys_rights_before_release(
    db: Database, rule: dict[str, str], rule_first: bool
) -> None:
    built, world = _labelled(db)

    def save_rule() -> None:
        with db.write() as session:
            put_rule(session, built.tenant, "rule", **rule)

    if rule_first:
        save_rule()
    _restate(db, built, "place", access_spec(labels={"department": "hr"}), "root")
    if not rule_first:
        assert _readable(db, built, world), "without a rule a label decides nothing"
        save_rule()
    assert _readable(db, built, world) == set()
    _release(db, built)
    people = {user for user, app, _ in _readable(db, built, world) if app is None}
    assert people == ({"ana"} if rule is FORBID_LAW else {"ana", "bob"})


@pytest.mark.parametrize(
    ("condition", "effect", "open_"),
    [
        ("rank(document.classification) > rank(principal.clearance)", "forbid", True),
        ("rank(document.classification) >= 3 && principal.id != 'ana'", "forbid", False),
        ("document.classification == 'public'", "forbid", False),
        ("rank(document.classification) > 1", "permit", False),
        ("!(rank(document.classification) > 1)", "forbid", False),
    ],
)
def test_a_rising_classification_closes_only_where_a_rule_might_let_more_in(
    sqlite_db: Database, condition: str, effect: str, open_: bool
) -> None:
    built, world = _small(sqlite_db)
    with sqlite_db.write() as session:
        put_rule(session, built.tenant, "rule", effect=effect, condition=condition)
        put_user(session, built.tenant, "ana", attributes={"clearance": "restricted"})
    _restate(sqlite_db, built, "place", access_spec(labels={CLASSIFICATION: "restricted"}), "root")
    assert bool(_readable(sqlite_db, built, world)) is open_
    with sqlite_db.read() as session:
        assert session.get_one(AclNode, built.nodes["place"]).closed is not open_


def test_a_report_only_rule_closes_nothing(sqlite_db: Database) -> None:
    built, world = _labelled(sqlite_db)
    with sqlite_db.write() as session:
        put_rule(session, built.tenant, "rule", enforced=False, **FORBID_LAW)
    before = _readable(sqlite_db, built, world)
    _restate(sqlite_db, built, "place", access_spec(labels={"department": "hr"}), "root")
    assert _readable(sqlite_db, built, world) == before != set()
