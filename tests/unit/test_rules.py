"""Keeping rules, their immediate effect, how often they are evaluated, and what report-only ones are counted for."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import Database, now
from core.errors import InvalidError, NotFoundError
from core.tables import Policy, StateHistory, Tenant
from policies import decide, directory, epoch, labels, rules, rules_places, rules_store, scope, subject
from policies.rules import Asking, Outcome, Rule, Signature
from policies.rules_syntax import RuleError
from tests.factories.agreement import differences
from tests.factories.world import Built, WDoc, WEntry, WNode, World, WRule, WUser, build

WORLD = World(
    users={"ana": WUser(attributes={"department": "law", "wage": 3}), "bob": WUser()},
    groups={},
    nodes={
        "root": WNode("s", entries=(WEntry("everyone"),)),
        "law": WNode("s", parent="root", labels={"department": "law"}),
        "bare": WNode("s", parent="law", mode="break"),
    },
    documents={"note": WDoc("root"), "brief": WDoc("law"), "lost": WDoc("bare")},
)


def _built(db: Database, world: World = WORLD) -> Built:
    with db.write() as session:
        return build(session, world)


def _put(session: Session, built: Built, condition: str, *, effect: str = "forbid", enforced: bool = True) -> Policy:
    return rules_store.put_rule(session, built.tenant, "r0", effect=effect, condition=condition, enforced=enforced)


def _may(db: Database, built: Built, person: str = "ana", address: str | None = None) -> set[str]:
    with db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, person, address=address))
        verdicts = decide.decide(session, who, built.documents.values())
    return {key for key, id_ in built.documents.items() if verdicts[id_].allowed}


def test_a_rule_holds_with_its_commit_and_is_gone_with_its_removal(db: Database) -> None:
    built, cache = _built(db), scope.ScopeCache()
    assert differences(db, WORLD, built, cache) == []
    for condition in ("document.department == 'law'", "principal.id == 'ana'"):
        with db.write() as session:
            _put(session, built, condition)
        ruled = replace(WORLD, rules=(WRule("forbid", condition),))
        assert differences(db, ruled, built, cache) == []
    with db.write() as session:
        rules_store.remove_rule(session, built.tenant, "r0")
    assert differences(db, WORLD, built, cache) == []


def test_attributes_and_labels_and_their_order_take_effect_at_once(db: Database) -> None:
    condition = "rank(document.classification) > rank(principal.clearance)"
    world = replace(WORLD, rules=(WRule("forbid", condition),))
    built, cache = _built(db, world), scope.ScopeCache()
    assert differences(db, world, built, cache) == []
    with db.write() as session:
        directory.put_user(session, built.tenant, "bob", attributes={"clearance": "public"})
    world = replace(world, users={**world.users, "bob": WUser(attributes={"clearance": "public"})})
    assert differences(db, world, built, cache) == []
    assert _may(db, built, "bob") == set()
    with db.write() as session:
        labels.set_classifications(session, built.tenant, ["internal", "public"])
    world = replace(world, classifications=("internal", "public"))
    assert differences(db, world, built, cache) == []
    assert _may(db, built, "bob") == {"note", "brief"}


def test_a_rule_that_changes_keeps_what_it_was(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        first = _put(session, built, "true").epoch_from
    with sqlite_db.write() as session:
        second = _put(session, built, "false", enforced=False).epoch_from
    with sqlite_db.write() as session:
        assert _put(session, built, "false", enforced=False).epoch_from == second
        assert epoch.current(session, built.tenant) == second
        rows = session.scalars(select(Policy).where(Policy.tenant_id == built.tenant).order_by(Policy.id)).all()
        kept = [(row.condition, row.enforced, row.epoch_from, row.epoch_to) for row in rows]
    assert kept == [("true", True, first, second), ("false", False, second, None)]


def test_the_order_of_the_classifications_keeps_what_it_was(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        labels.set_classifications(session, built.tenant, ["public", "internal", "secret"])
        labels.set_classifications(session, built.tenant, ["internal", "secret"])
    with sqlite_db.write() as session:
        labels.set_classifications(session, built.tenant, ["internal"])
        rows = session.scalars(select(StateHistory).where(StateHistory.kind == "tenant").order_by(StateHistory.id))
        kept = [row.state["classifications"] for row in rows]
        assert session.get_one(Tenant, built.tenant).classifications == ["internal"]
    assert kept == [["public", "internal", "confidential", "restricted"], ["internal", "secret"]]


@pytest.mark.parametrize("listed", [[], ["public"], ["internal", "internal"], ["internal", ""]])
def test_a_list_of_classifications_that_cannot_rank_is_refused(sqlite_db: Database, listed: list[str]) -> None:
    built = _built(sqlite_db)
    with pytest.raises(InvalidError), sqlite_db.write() as session:
        labels.set_classifications(session, built.tenant, listed)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("principal.wages > 1", "did you mean wage?"),
        ("document.projekt == 'x'", "unknown attribute document.projekt"),
        ("rank('cosmic') > 1", "'cosmic' is no classification"),
        ("1 +", "did not expect"),
    ],
)
def test_a_rule_that_cannot_mean_anything_is_not_kept(sqlite_db: Database, condition: str, told: str) -> None:
    built = _built(sqlite_db)
    with pytest.raises(RuleError, match="line 1, column") as refused, sqlite_db.write() as session:
        _put(session, built, condition)
    assert told in refused.value.detail
    with sqlite_db.read() as session:
        assert rules.open_rules(session, built.tenant) == ()


def test_an_attribute_that_one_person_has_is_known(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        _put(session, built, "principal.wage > 5")
        with pytest.raises(InvalidError):
            rules_store.put_rule(session, built.tenant, "No Key", effect="forbid", condition="true")
        with pytest.raises(InvalidError):
            rules_store.put_rule(session, built.tenant, "r1", effect="allow", condition="true")
        with pytest.raises(NotFoundError):
            rules_store.remove_rule(session, built.tenant, "r1")


def test_rules_of_one_tenant_are_not_anothers(sqlite_db: Database) -> None:
    mine, theirs = _built(sqlite_db), _built(sqlite_db)
    with sqlite_db.write() as session:
        _put(session, theirs, "true")
    assert _may(sqlite_db, mine) == {"note", "brief"}
    assert _may(sqlite_db, theirs) == set()


def test_a_rule_about_the_request_is_asked_at_every_query_even_with_a_cache(db: Database) -> None:
    built, cache = _built(db), scope.ScopeCache()
    with db.write() as session:
        _put(session, built, "has(request.address) && !request.address.startsWith('10.')")
    with db.read() as session:
        for address, count in (("10.0.0.1", 1), ("192.0.2.1", 0), ("10.0.0.2", 1), (None, 1)):
            who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana", address=address))
            found = scope.readable(session, who, cache)
            assert found.empty is (count == 0)


def test_a_rule_about_the_time_reads_the_clock_of_the_database(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        _put(session, built, "request.time > timestamp('2000-01-01T00:00:00Z') && request.time.getHours() < 24")
    assert _may(sqlite_db, built) == set()


def _count_evaluations(patch: pytest.MonkeyPatch) -> Counter[tuple[int, Signature]]:
    seen: Counter[tuple[int, Signature]] = Counter()
    """By program and place; what is asked without a place is not counted."""
    placed, told, at = Asking._placed, rules._told, list[Any]()

    def placing(asking: Asking, place: Signature) -> Any:
        at[:] = [place, placed(asking, place)]
        return at[-1]

    def counted(program: Any, context: Any) -> Outcome:
        if at and context is at[-1]:
            seen[id(program), at[0]] += 1
        return told(program, context)

    patch.setattr(Asking, "_placed", placing)
    patch.setattr(rules, "_told", counted)
    return seen


def _wide(signatures: int, count: int) -> World:
    names = {f"n{at}": at % signatures for at in range(count)}
    nodes = {"root": WNode("s", entries=(WEntry("everyone"),))}
    nodes |= {key: WNode("s", parent="root", labels={"department": f"d{at}"}) for key, at in names.items()}
    return replace(
        WORLD,
        nodes=nodes,
        documents={key: WDoc(key) for key in names},
        rules=(
            WRule("forbid", "has(document.department) && document.department == 'd1'"),
            WRule("forbid", "rank(document.classification) > 2"),
        ),
    )


def test_each_rule_is_evaluated_once_for_the_labels_that_it_reads(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = _built(sqlite_db, _wide(4, 24))
    for ask in (_decide_all, _scope_all):
        seen = _count_evaluations(monkeypatch)
        ask(sqlite_db, built)
        assert set(seen.values()) == {1}
        assert len(seen) == (5 if ask is _decide_all else 6)  # the scope asks the root too, without a department
        monkeypatch.undo()


def _decide_all(db: Database, built: Built) -> None:
    assert len(_may(db, built)) == 18


def _scope_all(db: Database, built: Built) -> None:
    with db.read() as session:
        found = scope.readable(session, subject.resolve_subject(session, subject.Caller(built.tenant, "ana")))
    assert (len(found.nodes), found.complement) == (6, True)


def test_a_cached_scope_evaluates_nothing(sqlite_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    built, cache = _built(sqlite_db, _wide(4, 8)), scope.ScopeCache()
    with sqlite_db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        first = scope.readable(session, who, cache)
        seen = _count_evaluations(monkeypatch)
        monkeypatch.setattr(rules_places, "Anchors", None)
        assert scope.readable(session, who, cache).nodes == first.nodes
    assert not seen


def test_what_is_not_committed_is_not_held(sqlite_db: Database) -> None:
    built, cache = _built(sqlite_db), scope.ScopeCache()
    with sqlite_db.write() as session:
        _put(session, built, "true")
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        assert scope.readable(session, who, cache).empty
        session.rollback()
    assert differences(sqlite_db, WORLD, built, cache) == []


PLACE = Signature((("classification", "internal"),), "s", "push")


def _asking(db: Database, built: Built, attributes: dict[str, Any]) -> Asking:
    with db.read() as session:
        who = subject.resolve_subject(session, subject.Caller(built.tenant, "ana"))
        return Asking(session, replace(who, attributes=attributes), now(session), ["internal"])


def test_attributes_that_cel_cannot_take_make_every_rule_err(sqlite_db: Database) -> None:
    asking = _asking(sqlite_db, _built(sqlite_db), {"odd": object()})
    assert asking.outcome(Rule(1, "r", "forbid", "true"), PLACE) == "errs"


def test_a_condition_that_cannot_be_compiled_errs(sqlite_db: Database) -> None:
    asking = _asking(sqlite_db, _built(sqlite_db), {})
    assert asking.outcome(Rule(1, "r", "forbid", "true &&"), PLACE) == "errs"
    assert asking.outcome(Rule(1, "r", "forbid", "rank(document.classification) == 0"), PLACE) == "holds"


def test_an_error_prints_nothing(sqlite_db: Database, capfd: pytest.CaptureFixture[str]) -> None:
    asking = _asking(sqlite_db, _built(sqlite_db), {"clearance": "canary-7f3a"})
    for condition in ("rank(principal.clearance) > 1", "int(principal.clearance) > 1", "principal.nothing"):
        assert asking.outcome(Rule(1, "r", "permit", condition), PLACE) == "errs"
    assert capfd.readouterr() == ("", "")


def test_threads_share_what_is_compiled(sqlite_db: Database) -> None:
    built = _built(sqlite_db, replace(WORLD, rules=(WRule("forbid", "document.department == principal.department"),)))
    found: list[set[str]] = []
    threads = [threading.Thread(target=lambda: found.append(_may(sqlite_db, built))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [set()] * 4


def test_report_only_rules_are_counted_by_wording(sqlite_db: Database) -> None:
    built = _built(sqlite_db)
    with sqlite_db.write() as session:
        rule = _put(session, built, "true", enforced=False).id
        rules_store.count(session, built.tenant, {rule: 3}, {})
        rules_store.count(session, built.tenant, {rule: 1}, {rule: 2})
        rules_store.count(session, built.tenant + 1, {rule: 1}, {})
        (told,) = rules_store.reports(session, built.tenant)
        assert (told.key, told.queries, told.documents, told.places) == ("r0", 2, 4, 2)
        assert told.last_at is not None
        _put(session, built, "false", enforced=False)
        (told,) = rules_store.reports(session, built.tenant)
        assert (told.queries, told.documents, told.last_at) == (0, 0, None)
        _put(session, built, "false")
        assert rules_store.reports(session, built.tenant) == []


def test_a_scope_tells_what_a_report_only_permit_would_open(sqlite_db: Database) -> None:
    world = replace(WORLD, rules=(WRule("permit", "document.department == principal.department", enforced=False),))
    built = _built(sqlite_db, world)
    with sqlite_db.read() as session:
        (rule,) = rules.open_rules(session, built.tenant)
        for person, expected in (("ana", ((rule.id, 1),)), ("bob", ())):
            who = subject.resolve_subject(session, subject.Caller(built.tenant, person))
            assert scope.readable(session, who).reported == expected
