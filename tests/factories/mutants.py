"""Faults to plant in the real engine: suites that call themselves proofs must fail with each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Select, false, select
from sqlalchemy.orm import Session

from core.prepared import Prepared
from core.tables import Ace, AclNode, Principal
from policies import anchors, chains, decide, labels, rules, rules_places, scope, scope_nodes
from policies.chains import EntryView, NodeView
from policies.rules_places import NOT_RULED
from policies.subject import Subject
from policies.tree import Tree

Plant = Callable[[pytest.MonkeyPatch], None]


def _no_deny_inheritance(patch: pytest.MonkeyPatch) -> None:
    judge = decide.judge

    def mutant(
        chain: Sequence[NodeView], entries: Mapping[int, Sequence[EntryView]], subject: Subject, *rest: Any
    ) -> Any:
        nearest = {
            node.id: [e for e in entries.get(node.id, ()) if e.effect == "allow" or node is chain[0]] for node in chain
        }
        return judge(chain, nearest, subject, *rest)

    patch.setattr(decide, "judge", mutant)


def _no_deny_inheritance_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    reach = scope_nodes._reach

    def mutant(tree: Tree, name: str, base: Select[int], *, through_breaks: bool) -> Any:
        return base.cte(name) if name.startswith("deny") else reach(tree, name, base, through_breaks=through_breaks)

    patch.setattr(scope_nodes, "_reach", mutant)


def _expiry_ignored(patch: pytest.MonkeyPatch) -> None:
    load = chains.load_entries

    def mutant(session: Session, tenant: int, ids: Iterable[int], principals: Any, at: datetime) -> Any:
        past = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
        wanted = list(ids)
        found = load(session, tenant, wanted, principals, at)
        for node, entries in load(session, tenant, wanted, principals, past).items():
            found.setdefault(node, []).extend(entries)
        return found

    patch.setattr(decide, "load_entries", mutant)


def _closed_ignored_below_breaks(patch: pytest.MonkeyPatch) -> None:
    judge = decide.judge

    def mutant(
        chain: Sequence[NodeView], entries: Mapping[int, Sequence[EntryView]], subject: Subject, *rest: Any
    ) -> Any:
        first_break = next((at for at, node in enumerate(chain) if node.mode == "break"), len(chain))
        seen = [node._replace(closed=node.closed and at <= first_break) for at, node in enumerate(chain)]
        return judge(seen, entries, subject, *rest)

    patch.setattr(decide, "judge", mutant)


def _closed_ignored_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scope_nodes, "_shut", lambda: select(AclNode.id).where(false()))


def _union_with_the_apps_sources(patch: pytest.MonkeyPatch) -> None:
    original = decide.decide

    def mutant(session: Session, subject: Subject, documents: Iterable[int]) -> dict[int, decide.Verdict]:
        found = original(session, subject, documents)
        granted = subject.app is not None and subject.app.sources is not None
        return {
            id_: replace(one, allowed=True) if granted and one.reason == "no_entry" else one
            for id_, one in found.items()
        }

    patch.setattr(decide, "decide", mutant)


def _apps_sources_ignored(patch: pytest.MonkeyPatch) -> None:
    gate = decide._gate

    def mutant(subject: Subject, at: datetime, source: decide.Gate) -> str | None:
        return gate(replace(subject, app=None), at, source)

    patch.setattr(decide, "_gate", mutant)


def _unresolved_deny_ignored(patch: pytest.MonkeyPatch) -> None:
    load = chains.load_entries

    def mutant(*arguments: Any) -> Any:
        found = load(*arguments)
        return {node: [e for e in entries if not e.unresolved] for node, entries in found.items()}

    patch.setattr(decide, "load_entries", mutant)


def _unresolved_deny_ignored_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    entries = scope_nodes._entries

    def mutant(effect: str, origin: str, *, through_app: bool) -> Any:
        known = select(Principal.id).where(Principal.subject_id.is_not(None) | (Principal.kind == "everyone"))
        return entries(effect, origin, through_app=through_app).where(Ace.principal_id.in_(known))

    patch.setattr(scope_nodes, "_entries", mutant)


def _narrow_is_only_a_break(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scope_nodes, "_narrowed_out", lambda tree, own: select(AclNode.id).where(false()).cte("narrowed_out"))


def _admin_stops_at_breaks(patch: pytest.MonkeyPatch) -> None:
    reach = scope_nodes._reach

    def mutant(tree: Tree, name: str, base: Select[int], *, through_breaks: bool) -> Any:
        return reach(tree, name, base, through_breaks=through_breaks and name == "shut")

    patch.setattr(scope_nodes, "_reach", mutant)


def _missing_classification_is_public(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(labels, "DEFAULT_CLASSIFICATION", "public")


def _missing_clearance_is_restricted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "DEFAULT_CLASSIFICATION", "restricted")


def _a_forbid_that_errs_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules.Judged, "counts", property(lambda self: self.outcome == "holds"))


def _a_permit_that_errs_permits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules.Judged, "counts", property(lambda self: self.outcome != "not"))


def _a_forbid_that_errs_is_ignored_in_the_decision_alone(patch: pytest.MonkeyPatch) -> None:
    weigh = decide._weigh

    def mutant(entries: Any, subject: Subject, ruling: rules.Ruling) -> Any:
        told = tuple(one for one in ruling.told if one.outcome != "errs")
        return weigh(entries, subject, rules.Ruling(told))

    patch.setattr(decide, "_weigh", mutant)


def _rules_ignored_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scope, "ruled", lambda *_: NOT_RULED)


def _a_rule_reaches_past_other_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules_places, "_is_anchor", lambda: AclNode.parent_id.is_(None))


def _the_sources_label_beats_an_admins_nearer_one_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    nearest = anchors._nearest

    def mutant(above: anchors.State, own: anchors.Own) -> anchors.State:
        return tuple((key, (0, value)) for key, (_, value) in nearest(above, own))

    patch.setattr(anchors, "_nearest", mutant)


def _report_only_rules_enforced(patch: pytest.MonkeyPatch) -> None:
    counting = rules.Ruling.counting

    def mutant(ruling: rules.Ruling, effect: str, *, enforced: bool = True) -> Any:
        return (*counting(ruling, effect), *counting(ruling, effect, enforced=False)) if enforced else ()

    patch.setattr(rules.Ruling, "counting", mutant)


def _a_permit_opens_closed_places(patch: pytest.MonkeyPatch) -> None:
    judge = decide.judge

    def mutant(
        chain: Sequence[NodeView], entries: Mapping[int, Sequence[EntryView]], subject: Subject, *rest: Any
    ) -> Any:
        permitted = bool(rest and rest[0](chain).counting("permit"))
        return judge([node._replace(closed=node.closed and not permitted) for node in chain], entries, subject, *rest)

    patch.setattr(decide, "judge", mutant)


def _values_outside_the_list_rank_lowest(patch: pytest.MonkeyPatch) -> None:
    variables = rules._variables

    def mutant(subject: Subject, at: datetime, ordered: Sequence[str]) -> Any:
        return variables(subject, at, ["cosmic", "secret", *ordered])

    patch.setattr(rules, "_variables", mutant)


MUTANTS: list[Plant] = [
    _no_deny_inheritance,
    _no_deny_inheritance_in_the_scope,
    _expiry_ignored,
    _closed_ignored_below_breaks,
    _closed_ignored_in_the_scope,
    _union_with_the_apps_sources,
    _apps_sources_ignored,
    _unresolved_deny_ignored,
    _unresolved_deny_ignored_in_the_scope,
    _narrow_is_only_a_break,
    _admin_stops_at_breaks,
    _missing_classification_is_public,
    _missing_clearance_is_restricted,
    _a_forbid_that_errs_is_ignored,
    _a_permit_that_errs_permits,
    _a_forbid_that_errs_is_ignored_in_the_decision_alone,
    _rules_ignored_in_the_scope,
    _a_rule_reaches_past_other_labels,
    _the_sources_label_beats_an_admins_nearer_one_in_the_scope,
    _report_only_rules_enforced,
    _a_permit_opens_closed_places,
    _values_outside_the_list_rank_lowest,
]


def no_deny_inheritance(patch: pytest.MonkeyPatch) -> None:
    """A deny counts only where it stands."""
    _no_deny_inheritance(patch)
    _no_deny_inheritance_in_the_scope(patch)


def ignored_expiry(patch: pytest.MonkeyPatch) -> None:
    """An entry that has ended counts as ever."""
    entries = scope_nodes._entries

    def mutant(effect: str, origin: str, *, through_app: bool) -> Any:
        return _unending(entries(effect, origin, through_app=through_app))

    patch.setattr(scope_nodes, "_entries", mutant)
    patch.setattr(chains, "_IN_FORCE", Prepared(_unending(chains._IN_FORCE.statement)))


def _unending(statement: Any) -> Any:
    kept = tuple(one for one in statement._where_criteria if "expires_at" not in str(one))
    assert len(kept) == len(statement._where_criteria) - 1
    endless = statement._generate()
    endless._where_criteria = kept
    return endless


def missing_label_as_public(patch: pytest.MonkeyPatch) -> None:
    """What nobody classified is public."""
    _missing_classification_is_public(patch)


def stale_cache(patch: pytest.MonkeyPatch) -> None:
    """A readable set from the cache is good whatever the epoch."""
    get = scope.ScopeCache.get

    def mutant(self: scope.ScopeCache, key: Any, epoch: int, at: datetime) -> Any:
        held = self._held.get(key)
        return get(self, key, held.epoch if held else epoch, at)

    patch.setattr(scope.ScopeCache, "get", mutant)


def union_with_the_app(patch: pytest.MonkeyPatch) -> None:
    """Through an app one may read what oneself or the app may."""
    _apps_sources_ignored(patch)
    weigh, told = decide._weigh, scope._told

    def weighed(entries: Any, subject: Subject, ruling: rules.Ruling) -> Any:
        found = weigh(entries, subject, ruling)
        lent = found.reason == "no_entry" and subject.app is not None and subject.app.sources is not None
        return replace(found, allowed=True) if lent else found

    def all_told(session: Session, subject: Subject, at: datetime, ruled: Any) -> Any:
        if subject.app is None or subject.app.sources is None:
            return told(session, subject, at, ruled)
        return scope._all_nodes(session, subject.tenant)

    patch.setattr(decide, "_weigh", weighed)
    patch.setattr(scope, "_told", all_told)


THE_FIVE: list[Plant] = [no_deny_inheritance, ignored_expiry, missing_label_as_public, stale_cache, union_with_the_app]
"""Planted in the decision and in the scope alike, so that only who stands outside of both can object."""
