"""What rules say along chains of places that are loaded, for a decision and its explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared, among
from core.tables import Source
from policies.chains import NodeView, load_labels
from policies.labels import combine
from policies.rules import SILENT, Asking, Judged, Outcome, Rule, Ruling, Signature, StandingRules, rules_and_order
from policies.subject import Subject

Rulings = Callable[[Sequence[NodeView]], Ruling]
"""Rules for one subject at one time, asked about the first node of a chain."""


def no_rules(_: Sequence[NodeView]) -> Ruling:
    """The rulings of a tenant without rules."""
    return SILENT


@dataclass(slots=True)
class Rulebook:
    """`Rulings` over chains that are loaded: labels as stated on them, and their sources."""

    rules: Sequence[Rule]
    ordered: Sequence[str]
    stated: Mapping[int, Sequence[tuple[str, str, str]]]
    sources: Mapping[int, tuple[str, str]]
    asking: Asking
    _seen: dict[tuple[int, int], Ruling] = field(default_factory=dict)
    _alike: dict[tuple[Outcome, ...], Ruling] = field(default_factory=dict)

    def __call__(self, chain: Sequence[NodeView]) -> Ruling:
        """What the rules say of the first node of a chain; each is evaluated once for the labels that it reads."""
        anchor = chain[-1]
        for node in chain:
            if node.id in self.stated:
                anchor = node
                break
        key = (anchor.id, chain[0].source)
        found = self._seen.get(key)
        if found is None:
            place = signature_of(chain, self.stated, self.ordered, self.sources)
            outcomes = self.asking.outcomes(self.rules, place)
            found = self._alike.get(outcomes)
            if found is None:
                found = self._alike[outcomes] = Ruling(tuple(map(Judged, self.rules, outcomes)))
            self._seen[key] = found
        return found


def stated_for(rulings: Rulings) -> Iterable[int]:
    """The loaded places that state labels which rules may read."""
    return rulings.stated if isinstance(rulings, Rulebook) else ()


def signature_of(
    chain: Sequence[NodeView],
    stated: Mapping[int, Sequence[tuple[str, str, str]]],
    ordered: Sequence[str],
    sources: Mapping[int, tuple[str, str]],
) -> Signature:
    """What rules see of the first node of a chain. A source that is gone has no name."""
    labels = {name: one.value for name, one in combine(chain, stated, ordered).items()}
    return Signature(tuple(sorted(labels.items())), *sources.get(chain[0].source, ("", "")))


_SOURCES = Prepared(
    select(Source.id, Source.key, Source.connector).where(
        Source.tenant_id == bindparam("tenant"), among(Source.id, "ids")
    )
)


def load_sources(session: Session, tenant: int, ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Key and connector of sources."""
    rows = _SOURCES.all(session, tenant=tenant, ids=sorted(ids))
    return {id_: (key, connector) for id_, key, connector in rows}


def load_rulings(
    session: Session,
    subject: Subject,
    chains: Mapping[int, Sequence[NodeView]],
    at: datetime,
    rules: Sequence[Rule] | None = None,
    *,
    standing: StandingRules | None = None,
    sources: Mapping[int, tuple[str, str]] | None = None,
) -> Rulings:
    """The rulings for a person over some chains: one statement where there are no rules, a few where there are.

    `rules` are those to ask instead of the ones that stand, as a simulation does; `standing` are the ones that stand,
    and `sources` what is known of the sources, as `load_sources` tells it, where they are read already.
    """
    found, ordered = standing[:2] if standing else rules_and_order(session, subject.tenant, rules)
    if not found or subject.nobody:
        return no_rules
    nodes = {node.id: node.source for chain in chains.values() for node in chain}
    known = sources or {}
    unknown = set(nodes.values()) - known.keys()
    asking = Asking(session, subject, at, ordered)
    asking.prepare(found)
    return Rulebook(
        rules=found,
        ordered=ordered,
        stated=load_labels(session, subject.tenant, nodes),
        sources={**known, **load_sources(session, subject.tenant, unknown)} if unknown else known,
        asking=asking,
    )
