"""The decision itself: may this person, through this app, read these documents now?

Deny by default; a deny wins at whatever level it stands. A node's chain runs from it up to the first node that does
not inherit, whose own entries count, plus every admin's entry above that. Rules are asked about the place's labels
and source. docs/access.md tells it in full.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, bindparam, select, type_coerce
from sqlalchemy.orm import Session

from core.clock import from_us
from core.db import now
from core.prepared import Prepared, among
from core.tables import Document, Source
from policies.chains import EntryView, NodeView, load_chains, load_entries
from policies.rules import Rule, Ruling, StandingRules, standing_rules
from policies.rulings import Rulings, load_rulings, no_rules, stated_for
from policies.subject import Subject

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a place is readable, and what decided it.

    `entry` or `rule` decided it; `losing` are entries that were outweighed. `reported` are report-only rules each of
    which, were it enforced, would alone turn this decision round.

    `reason` is one of: allowed, permitted, no_entry, denied, deny_unresolved, deny_uncertain, forbidden, forbid_erred,
    access_unreadable, not_current, app_source, access_stale, source_gone, nobody, unknown.
    """

    allowed: bool
    reason: str
    entry: EntryView | None = None
    node: NodeView | None = None
    losing: tuple[EntryView, ...] = field(default=())
    rule: Rule | None = None
    reported: tuple[Rule, ...] = field(default=())


NOBODY = Verdict(allowed=False, reason="nobody")
NO_ENTRY = Verdict(allowed=False, reason="no_entry")
UNKNOWN = Verdict(allowed=False, reason="unknown")
NOWHERE = NodeView(id=0, source=0, key="", parent=None, mode="inherit", closed=False)
"""Where documents that do not exist stand: a place of no tenant, asked about and judged as any other is, so that
neither statements nor the work on them tell what is not there from what may not be read.
"""


class Gate(NamedTuple):
    """What of a source says whether anybody may read in it now. A source that is gone has no key."""

    key: str | None
    state: str | None
    max_age_s: int | None
    synced: datetime | None
    connector: str


class _Place(NamedTuple):
    id: int
    node: int
    pending: int | None
    source: int
    state: str


def decide(
    session: Session, subject: Subject, documents: Iterable[int], *, at: datetime | None = None
) -> dict[int, Verdict]:
    """Decides every document in this snapshot, in a handful of statements however many there are.

    Entries and freshness are judged at one instant, `at` (None: the database's now).
    """
    standing = standing_rules(session, subject.tenant)
    at = at or standing.at
    wanted = sorted(set(documents))
    places, gates = _places(session, subject.tenant, wanted)
    nodes = {place.node for place in places.values()}
    nodes.update(place.pending for place in places.values() if place.pending is not None)
    if len(places) < len(wanted):
        nodes.add(NOWHERE.id)
    known = {source: (gate.key, gate.connector) for source, gate in gates.items() if gate.key}
    known[NOWHERE.source] = ("", "")
    verdicts = decide_nodes(session, subject, nodes, at=at, standing=standing, sources=known)
    shut = gates_of(subject, at, gates.items())
    return {one: _document(places.get(one), verdicts, shut) for one in wanted}


def _document(place: _Place | None, verdicts: Mapping[int, Verdict], gates: Mapping[int, str | None]) -> Verdict:
    if place is None:
        return UNKNOWN
    if place.state != "live":
        return Verdict(allowed=False, reason="not_current")
    closed = gates[place.source]
    if closed is not None:
        return Verdict(allowed=False, reason=closed)
    verdict = verdicts.get(place.node, UNKNOWN)
    if place.pending is None:
        return verdict
    return _both(verdict, verdicts.get(place.pending, UNKNOWN))


def _both(first: Verdict, other: Verdict) -> Verdict:
    """The decision where both must allow; a report-only rule is told where it alone would turn that round."""
    if first.allowed and not other.allowed:
        return other
    if other.allowed and not first.allowed:
        return first
    told = {one.id: one for one in (*first.reported, *other.reported)}
    if not first.allowed:
        both = {one.id for one in first.reported} & {one.id for one in other.reported}
        told = {id_: one for id_, one in told.items() if id_ in both}
    return replace(first, reported=tuple(told.values()))


GATE = (Source.key, Source.state.label("gate"), Source.max_access_age_s, Source.access_synced_at, Source.connector)
"""The columns of a `Gate`, in order."""
STORED_GATE = (*GATE[:3], type_coerce(Source.access_synced_at, BigInteger).label("synced"), GATE[4])
"""The same with the time as it is stored, for `stored_gate`."""
_PLACES = Prepared(
    select(Document.id, Document.node_id, Document.pending_node_id, Document.source_id, Document.state, *STORED_GATE)
    .outerjoin(Source, (Source.id == Document.source_id) & (Source.tenant_id == Document.tenant_id))
    .where(Document.tenant_id == bindparam("tenant"), among(Document.id, "ids"))
)
_GATES = select(Source.id, *GATE).where(Source.tenant_id == bindparam("tenant"))
_ALL_GATES, _SOME_GATES = Prepared(_GATES), Prepared(_GATES.where(among(Source.id, "ids")))


def _places(session: Session, tenant: int, documents: Sequence[int]) -> tuple[dict[int, _Place], dict[int, Gate]]:
    """Where documents stand, and the gates of their sources."""
    places: dict[int, _Place] = {}
    gates: dict[int, Gate] = {}
    for offset in range(0, len(documents), _BATCH):
        for row in _PLACES.plain(session, tenant=tenant, ids=documents[offset : offset + _BATCH]):
            source = row[3]
            if source not in gates:
                gates[source] = stored_gate(row[5:])
            places[row[0]] = _Place._make(row[:5])
    return places, gates


def stored_gate(row: Sequence[Any]) -> Gate:
    """The gate that `STORED_GATE` selects."""
    key, state, max_age_s, synced, connector = row
    return Gate(key, state, max_age_s, None if synced is None else from_us(synced), connector)


def source_gates(
    session: Session, subject: Subject, sources: Iterable[int] | None = None, *, at: datetime | None = None
) -> dict[int, str | None]:
    """For each source (None: all of the tenant), why it is shut for this caller, or None where it is open."""
    at = at or now(session)
    if sources is None:
        rows = _ALL_GATES.all(session, tenant=subject.tenant)
    else:
        rows = _SOME_GATES.all(session, tenant=subject.tenant, ids=sorted(sources))
    return gates_of(subject, at, ((row[0], Gate(*row[1:])) for row in rows))


def gates_of(subject: Subject, at: datetime, sources: Iterable[tuple[int, Gate]]) -> dict[int, str | None]:
    """As `source_gates`, for sources that are read already."""
    return {id_: _gate(subject, at, gate) for id_, gate in sources}


def _gate(subject: Subject, at: datetime, source: Gate) -> str | None:
    if source.key is None or source.state == "deleted":
        return "source_gone"
    if subject.app is not None and subject.app.sources is not None and source.key not in subject.app.sources:
        return "app_source"
    age_s, synced = source.max_age_s, source.synced
    if age_s is not None and (synced is None or at - synced >= timedelta(seconds=age_s)):
        return "access_stale"
    return None


def decide_nodes(
    session: Session,
    subject: Subject,
    nodes: Iterable[int],
    *,
    at: datetime | None = None,
    standing: StandingRules | None = None,
    sources: Mapping[int, tuple[str, str]] | None = None,
) -> dict[int, Verdict]:
    """Decides places by their entries and the rules, without the gates of their source.

    `standing` and `sources` are what `policies.rules.load_rulings` takes by these names.
    """
    wanted = sorted(set(nodes))
    if subject.nobody:
        return dict.fromkeys(wanted, NOBODY)
    found = load_chains(session, wanted)
    chains = found if len(found) == len(wanted) else {one: found.get(one, [NOWHERE]) for one in wanted}
    on_chains = {node.id for chain in chains.values() for node in chain}
    principals = subject.denied_as | ({subject.app.principal} if subject.app else frozenset())
    at = at or now(session)
    entries = load_entries(session, subject.tenant, on_chains, principals, at)
    rulings = load_rulings(session, subject, chains, at, standing=standing, sources=sources)
    counting = {*entries, *stated_for(rulings)}
    alike: dict[int, Verdict] = {}
    verdicts: dict[int, Verdict] = {}
    for start, chain in chains.items():
        place = _decides(chain, counting)
        verdict = alike.get(chain[place].id)
        if verdict is None:
            verdict = alike[chain[place].id] = judge(chain[place:], entries, subject, rulings)
        verdicts[start] = verdict
    return {one: verdicts[one] if one in found else UNKNOWN for one in wanted}


def _decides(chain: Sequence[NodeView], counting: Container[int]) -> int:
    """Where on a chain the place stands whose decision is that of the first: those below it state nothing, no entry in
    force and no label, and inherit within their source. `counting` are the places with such a statement.
    """
    for at, node in enumerate(chain[:-1]):
        if node.id in counting or node.closed or node.mode != "inherit" or node.source != chain[at + 1].source:
            return at
    return len(chain) - 1


def judge(
    chain: Sequence[NodeView],
    entries: Mapping[int, Sequence[EntryView]],
    subject: Subject,
    rulings: Rulings = no_rules,
) -> Verdict:
    """Decides one place from its chain, nearest node first."""
    reach = len(chain) - 1
    counted: list[EntryView] = []
    for at, node in enumerate(chain):
        if node.closed:
            return Verdict(allowed=False, reason="access_unreadable", node=node)
        if at < reach and node.mode != "inherit":
            reach = at
        if node.id in entries:
            near = at <= reach
            counted += [one for one in entries[node.id] if (near or one.origin == "admin") and applies(one, subject)]
    verdict = _weigh(counted, subject, rulings(chain))
    narrow = chain[reach].mode == "narrow" and len(chain) > reach + 1
    if narrow and (verdict.allowed or verdict.reported):
        return _both(verdict, judge(chain[reach + 1 :], entries, subject, rulings))
    return verdict


def applies(entry: EntryView, subject: Subject) -> bool:
    """Whether an entry bound to an app is asked about through that app; an unbound one always is."""
    return entry.app is None or (subject.app is not None and entry.app == subject.app.principal)


def _weigh(entries: Sequence[EntryView], subject: Subject, ruling: Ruling) -> Verdict:
    """Denies first, then forbids, then what allows; report-only rules are told beside it."""
    if not entries and ruling.quiet:
        return NO_ENTRY
    denies = [e for e in entries if e.effect == "deny"]
    mine = [e for e in entries if e.effect == "allow" and e.principal in subject.principals and not e.unresolved]
    if denies:
        first = denies[0]
        reason = "deny_unresolved" if first.unresolved else "denied"
        if first.principal in subject.uncertain:
            reason = "deny_uncertain"
        return Verdict(allowed=False, reason=reason, entry=first, losing=(*denies[1:], *mine))
    for forbid in ruling.counting("forbid"):
        reason = "forbidden" if forbid.outcome == "holds" else "forbid_erred"
        return Verdict(allowed=False, reason=reason, rule=forbid.rule, losing=tuple(mine))
    would_forbid = tuple(one.rule for one in ruling.counting("forbid", enforced=False))
    if mine:
        return Verdict(allowed=True, reason="allowed", entry=mine[0], losing=tuple(mine[1:]), reported=would_forbid)
    for permit in ruling.counting("permit"):
        return Verdict(allowed=True, reason="permitted", rule=permit.rule, reported=would_forbid)
    would_permit = () if would_forbid else tuple(one.rule for one in ruling.counting("permit", enforced=False))
    return Verdict(allowed=False, reason="no_entry", reported=would_permit)
