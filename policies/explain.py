"""Why a person may or may not read a document: the decision, told with everything that went into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Document, Source
from policies.chains import NodeView, load_chains
from policies.decide import Verdict, decide, decide_nodes, source_gates
from policies.epoch import current
from policies.labels import CLASSIFICATION, LabelView, classifications, rank, sources_of
from policies.paths import membership_path
from policies.rulings import Rulings, load_rulings
from policies.stated import StatedEntry, entries_at, why_not
from policies.subject import Subject


@dataclass(frozen=True, slots=True)
class EntryTold:
    """An entry on the way up, and whether it counts in this decision.

    `why` is one of: counts, above_break, not_begun, ended, other_app, unresolved, uncertain, waived, app_never_allows,
    not_yours.
    """

    id: int
    node: str
    principal: str
    effect: str
    origin: str
    app: str | None
    not_before: datetime | None
    expires_at: datetime | None
    counts: bool
    why: str


@dataclass(frozen=True, slots=True)
class RuleTold:
    """A rule that stands, and what it says of a place. `outcome` is holds, not or errs.

    `counts`: it permits or forbids there, were it the only word; `enforced` False: it is only counted.
    """

    key: str
    effect: str
    condition: str
    enforced: bool
    node: str
    outcome: str
    counts: bool


@dataclass(frozen=True, slots=True)
class NodeTold:
    """A node on the way up with everything stated at it."""

    key: str
    title: str
    mode: str
    closed: bool
    entries: tuple[EntryTold, ...]


@dataclass(frozen=True, slots=True)
class GateTold:
    """What the document's source and the app allow. `shut` names why the source is shut, None where it is open."""

    source: str
    state: str
    shut: str | None
    max_access_age_s: int | None
    access_synced_at: datetime | None
    age_s: float | None
    app: str | None
    app_sources: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class LabelTold:
    """A label that holds and who states it where; `node` None: the default."""

    name: str
    value: str
    origin: str
    node: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its grounds, all from one snapshot at one instant.

    Attributes:
        reason: as in `policies.decide.Verdict`.
        entry: the entry that decided it, if one did; `losing` are those it outweighed.
        rule: the rule that decided it, if one did, at the place that decided.
        rules: what every rule says of the document's place, and of the one that it will move to; none where the
            person or app is unknown.
        reported: keys of report-only rules each of which, were it enforced, would alone turn the decision round.
        path: how the person comes to be the entry's principal, from `user:<id>` on, by the fewest steps.
        chain: the document's place and everything above it, nearest first; `waiting` the same for the place that it
            will move to, which must allow too.
        labels: those of the document; of two places the higher classification.
        above: for each narrow place that is passed on the way up, its key and the reason of the decision above it,
            which must allow too.
        notes: what is in doubt about the person: outdated directories, too many groups in a token.
    """

    document: int
    person: str
    allowed: bool
    reason: str
    epoch: int
    at: datetime
    entry: EntryTold | None = None
    path: tuple[str, ...] = ()
    decided_at: str | None = None
    chain: tuple[NodeTold, ...] = ()
    waiting: tuple[NodeTold, ...] = ()
    gate: GateTold | None = None
    labels: tuple[LabelTold, ...] = ()
    losing: tuple[EntryTold, ...] = field(default=())
    rule: RuleTold | None = None
    rules: tuple[RuleTold, ...] = ()
    reported: tuple[str, ...] = ()
    above: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; times in ISO 8601."""
        told: dict[str, Any] = _plain(asdict(self))
        return told


def explain(session: Session, subject: Subject, document_id: int) -> Explanation:
    """Why `subject` may or may not read the document in this snapshot.

    A document that does not exist, or of another tenant, is explained as `unknown` and nothing else.
    """
    at = now(session)
    verdict = decide(session, subject, [document_id], at=at)[document_id]
    epoch = current(session, subject.tenant)
    place = session.execute(
        select(Document.node_id, Document.pending_node_id, Document.source_id).where(
            Document.id == document_id, Document.tenant_id == subject.tenant
        )
    ).one_or_none()
    person = f"user:{subject.name}"
    if place is None:
        return Explanation(document_id, person, verdict.allowed, verdict.reason, epoch, at)
    node, pending, source = place
    wanted = [one for one in (node, pending) if one is not None]
    chains = load_chains(session, wanted)
    teller = _Teller(session, subject, chains, at)
    rulings = load_rulings(session, subject, chains, at)
    return Explanation(
        document=document_id,
        person=person,
        allowed=verdict.allowed,
        reason=verdict.reason,
        epoch=epoch,
        at=at,
        entry=teller.entry(verdict.entry.id) if verdict.entry else None,
        path=membership_path(session, subject, verdict.entry.principal) if verdict.entry else (),
        decided_at=_decided_at(verdict, chains),
        chain=teller.chain(node),
        waiting=teller.chain(pending) if pending is not None else (),
        gate=_gate(session, subject, source, at),
        labels=_labels(session, subject.tenant, wanted),
        losing=tuple(teller.entry(one.id) for one in verdict.losing),
        rule=_decided_by(verdict, list(chains.values()), rulings),
        rules=tuple(one for chain in chains.values() for one in _rules(chain, rulings)),
        reported=tuple(rule.key for rule in verdict.reported),
        above=_above(session, subject, chains.values(), at),
        notes=subject.notes,
    )


def _above(
    session: Session, subject: Subject, chains: Iterable[Sequence[NodeView]], at: datetime
) -> tuple[tuple[str, str], ...]:
    """What is decided above each narrow place, up to the first break of each chain."""
    asked = {key: parent for chain in chains for key, parent in _narrow(chain)}
    verdicts = decide_nodes(session, subject, asked.values(), at=at) if asked else {}
    return tuple((key, verdicts[parent].reason) for key, parent in asked.items())


def _narrow(chain: Sequence[NodeView]) -> Iterator[tuple[str, int]]:
    for node in chain:
        if node.mode == "narrow" and node.parent is not None:
            yield node.key, node.parent
        elif node.mode == "break":
            return


def _rules(chain: Sequence[NodeView], rulings: Rulings) -> list[RuleTold]:
    """What every rule says of the first node of a chain."""
    return [
        RuleTold(
            key=one.rule.key,
            effect=one.rule.effect,
            condition=one.rule.condition,
            enforced=one.rule.enforced,
            node=chain[0].key,
            outcome=one.outcome,
            counts=one.counts,
        )
        for one in rulings(chain).told
    ]


def _decided_by(verdict: Verdict, chains: Sequence[Sequence[NodeView]], rulings: Rulings) -> RuleTold | None:
    """The deciding rule, at the nearest place of which it says so: with `narrow` that may be one further up."""
    if verdict.rule is None:
        return None
    parts = [chain[at:] for chain in chains for at in range(len(chain))]
    told = [one for part in parts for one in _rules(part, rulings) if one.key == verdict.rule.key and one.counts]
    return told[0]


class _Teller:
    """Tells nodes and entries, each judged in the chain that it stands on."""

    def __init__(
        self, session: Session, subject: Subject, chains: Mapping[int, Sequence[NodeView]], at: datetime
    ) -> None:
        self._chains = chains
        ids = {node.id for chain in chains.values() for node in chain}
        self._stated, self._titles = entries_at(session, subject.tenant, ids)
        self._subject, self._at = subject, at
        self._told: dict[int, EntryTold] = {}
        self._nodes = {start: self._tell(chain) for start, chain in chains.items()}

    def chain(self, start: int) -> tuple[NodeTold, ...]:
        """The nodes from `start` up, nearest first."""
        return self._nodes.get(start, ())

    def entry(self, id_: int) -> EntryTold:
        """An entry on one of the chains, as it counted where it counted."""
        return self._told[id_]

    def _tell(self, chain: Sequence[NodeView]) -> tuple[NodeTold, ...]:
        reach = next((at for at, node in enumerate(chain) if node.mode == "break"), len(chain))
        return tuple(self._node(node, above_break=at > reach) for at, node in enumerate(chain))

    def _node(self, node: NodeView, *, above_break: bool) -> NodeTold:
        entries = tuple(self._entry(node, one, above_break) for one in self._stated.get(node.id, ()))
        return NodeTold(node.key, self._titles[node.id], node.mode, bool(node.closed), entries)

    def _entry(self, node: NodeView, stated: StatedEntry, above_break: bool) -> EntryTold:
        cut_off = above_break and stated.origin != "admin"
        why = "above_break" if cut_off else why_not(stated, self._subject, self._at)
        told = EntryTold(
            id=stated.id,
            node=node.key,
            principal=stated.principal,
            effect=stated.effect,
            origin=stated.origin,
            app=stated.app,
            not_before=stated.not_before,
            expires_at=stated.expires_at,
            counts=why == "counts" or (why in ("unresolved", "uncertain") and stated.effect == "deny"),
            why=why,
        )
        if not (stated.id in self._told and self._told[stated.id].counts):
            self._told[stated.id] = told
        return told


def _decided_at(verdict: Verdict, chains: Mapping[int, Sequence[NodeView]]) -> str | None:
    """Key of the node at which the deciding entry, or the closed door, stands."""
    wanted = verdict.entry.node if verdict.entry else verdict.node.id if verdict.node else None
    return next((node.key for chain in chains.values() for node in chain if node.id == wanted), None)


def _gate(session: Session, subject: Subject, source: int, at: datetime) -> GateTold | None:
    row = session.execute(
        select(Source.key, Source.state, Source.max_access_age_s, Source.access_synced_at).where(
            Source.id == source, Source.tenant_id == subject.tenant
        )
    ).one_or_none()
    if row is None:
        return None
    key, state, limit, synced = row
    app = subject.app
    return GateTold(
        source=key,
        state=state,
        shut=source_gates(session, subject, [source], at=at).get(source, "source_gone"),
        max_access_age_s=limit,
        access_synced_at=synced,
        age_s=(at - synced).total_seconds() if synced else None,
        app=app.key if app else None,
        app_sources=tuple(sorted(app.sources)) if app and app.sources is not None else None,
    )


def _labels(session: Session, tenant: int, nodes: Sequence[int]) -> tuple[LabelTold, ...]:
    """Labels of the first node, with the highest classification of all of them."""
    found = sources_of(session, tenant, nodes)
    held = dict(found.get(nodes[0], {}))
    ordered = classifications(session, tenant)
    strict = [labels[CLASSIFICATION] for labels in found.values()]
    if strict:
        held[CLASSIFICATION] = max(strict, key=lambda one: rank(one.value, ordered))
    return tuple(_label(one) for one in held.values())


def _label(one: LabelView) -> LabelTold:
    return LabelTold(one.name, one.value, one.origin, one.node.key if one.node else None)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
