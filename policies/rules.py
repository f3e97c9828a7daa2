"""Rules: an admin's `permit` and `forbid` in CEL, asked about a place's labels and source for one person.

A rule *errs* where CEL's evaluation ends in an error, in something not boolean, or meets a classification outside the
tenant's list. A permit that errs permits nothing, a forbid that errs forbids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared, among, of_tenant
from core.snapshot import memory
from core.tables import Policy, Principal, Source, Tenant
from policies.chains import NodeView, load_labels
from policies.labels import DEFAULT_CLASSIFICATION, classifications, combine
from policies.rules_syntax import RuleError, parse
from policies.subject import Subject

if TYPE_CHECKING:
    import cel

Outcome = Literal["holds", "not", "errs"]
CLEARANCE = "clearance"
_UNBUILT = object()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that stands. `id` is that of its present wording; `enforced` False: it is only counted."""

    id: int
    key: str
    effect: str
    condition: str
    enforced: bool = True

    @property
    def reads_request(self) -> bool:
        """Whether its outcome may change from one query to the next."""
        return _compiled(self.condition).reads_request


@dataclass(frozen=True, slots=True)
class Signature:
    """All that rules see of a place: where two places have the same, every rule says the same of both."""

    labels: tuple[tuple[str, str], ...]
    source: str
    connector: str


class Judged(NamedTuple):
    """What a rule says of a place."""

    rule: Rule
    outcome: Outcome

    @property
    def counts(self) -> bool:
        """Whether it permits or forbids there, enforced or not."""
        return self.outcome == "holds" or (self.outcome == "errs" and self.rule.effect == "forbid")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What all rules say of a place, by key. `quiet`: none of them permits or forbids there, enforced or not."""

    told: tuple[Judged, ...] = ()
    quiet: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quiet", not any(one.counts for one in self.told))

    def counting(self, effect: str, *, enforced: bool = True) -> tuple[Judged, ...]:
        """The rules of one effect that permit or forbid there."""
        if self.quiet:
            return ()
        return tuple(
            one for one in self.told if one.rule.effect == effect and one.counts and one.rule.enforced == enforced
        )


SILENT = Ruling()


Rulings = Callable[[Sequence[NodeView]], Ruling]
"""Rules for one subject at one time, asked about the first node of a chain."""


def no_rules(_: Sequence[NodeView]) -> Ruling:
    """The rulings of a tenant without rules."""
    return SILENT


_OPEN = Prepared(
    select(Policy.id, Policy.key, Policy.effect, Policy.condition, Policy.enforced, Tenant.classifications)
    .join(Tenant, Tenant.id == Policy.tenant_id)
    .where(Policy.tenant_id == bindparam("tenant"), Policy.epoch_to.is_(None))
    .order_by(Policy.key)
)


def open_rules(session: Session, tenant: int) -> tuple[Rule, ...]:
    """The rules that stand, report-only ones included, by key."""
    return tuple(Rule(*row[:-1]) for row in _OPEN.all(session, tenant=tenant))


def rules_and_order(
    session: Session, tenant: int, rules: Sequence[Rule] | None = None
) -> tuple[tuple[Rule, ...], Sequence[str]]:
    """The rules that stand (or `rules` in their stead), and the tenant's classifications where there are any."""
    if rules is not None:
        return tuple(rules), classifications(session, tenant) if rules else []
    rows = _OPEN.plain(session, tenant=tenant)
    if rows:
        memory(session, "classifications")[tenant] = rows[0][-1]
    return tuple(Rule(*row[:-1]) for row in rows), rows[0][-1] if rows else []


@dataclass(frozen=True, slots=True)
class _Compiled:
    program: cel.Program | None
    reads_request: bool
    reads_of_principal: frozenset[str] = frozenset()

    @property
    def reads_groups(self) -> bool:
        """Whether it may ask for the person's groups."""
        return "groups" in self.reads_of_principal or "" in self.reads_of_principal


@lru_cache(maxsize=4096)
def _compiled(condition: str) -> _Compiled:
    """A condition, compiled once a process. One that cannot be compiled errs, like any other error."""
    import cel  # loads its own command line; only tenants with rules need it

    try:
        tree = parse(condition)
        reads = any(part.kind == "name" and part.name == "request" for part in tree.walk())
        return _Compiled(cel.compile(ranked(condition)), reads, reads_of_principal(condition))
    except (RuleError, ValueError):
        return _Compiled(None, reads_request=False)


_READS = re.compile(r"\bprincipal\b(?:\s*\.\s*([A-Za-z_]\w*))?")


def reads_of_principal(condition: str) -> frozenset[str]:
    """Names of what a condition reads of the principal; an empty one where it reads it otherwise than by a name."""
    return frozenset(_READS.findall(condition))


def ranked(condition: str) -> str:
    """The condition with `rank(x)` as the look-up `rank[x]`, so that a value outside the list is an error of CEL's.

    A Python function in its place would be slower, and the engine prints what such a function raises.
    """
    text = list(condition)
    for part in parse(condition).walk():
        if part.kind == "call" and part.name == "rank":
            text[part.around[0]], text[part.around[1]] = "[", "]"
    return "".join(text)


class Asking:
    """The rules of one snapshot, asked for one person through one app at one time. Not shared between threads."""

    def __init__(self, session: Session, subject: Subject, at: datetime, ordered: Sequence[str]) -> None:
        self._variables = _variables(subject, at, ordered)
        self._session, self._subject = session, subject
        self._unknown = subject.unknown
        self._context: Any = _UNBUILT
        self._place: Signature | None = None
        self._programs: dict[str, cel.Program | None] = {}

    def ruling(self, rules: Iterable[Rule], place: Signature) -> Ruling:
        """What some rules say of a place."""
        self.read_groups(rules)
        context = self._placed(place)
        return Ruling(tuple(Judged(rule, _told(self._program(rule), context)) for rule in rules))

    def counting(self, rules: Sequence[Rule]) -> Callable[[Signature], bool]:
        """Whether one of some rules permits or forbids at a place, for many places."""
        self.read_groups(rules)
        asked = [(self._program(rule), rule.effect == "forbid") for rule in rules]

        def counts(place: Signature) -> bool:
            context = self._placed(place)
            for program, forbids in asked:
                told = _told(program, context)
                if told == "holds" or (forbids and told == "errs"):
                    return True
            return False

        return counts

    def outcome(self, rule: Rule, place: Signature) -> Outcome:
        """What the rule says of a place."""
        return self.ruling((rule,), place).told[0].outcome

    def _program(self, rule: Rule) -> cel.Program | None:
        """What evaluates a rule; None where that errs for this person, wherever."""
        if rule.condition not in self._programs:
            compiled = _compiled(rule.condition)
            doubtful = self._in_doubt(compiled.reads_of_principal)
            self._programs[rule.condition] = None if doubtful else compiled.program
        return self._programs[rule.condition]

    def _in_doubt(self, reads: frozenset[str]) -> bool:
        """Whether a condition reads what nobody knows of the person."""
        return bool(self._unknown) and ("" in reads or not self._unknown.isdisjoint(reads))

    def read_groups(self, rules: Iterable[Rule]) -> None:
        """Reads the person's groups now if any of the rules may ask for them, so that no place tells by a statement
        of its own which rules were asked about it.
        """
        if any(_compiled(rule.condition).reads_groups for rule in rules):
            self._with_groups()

    def _with_groups(self) -> None:
        """The person's groups among the variables; read only once a rule asks for them."""
        principal = self._variables["principal"]
        if "groups" not in principal:
            principal["groups"] = _groups(self._session, self._subject)
            self._context = _UNBUILT

    def _placed(self, place: Signature) -> Any:
        """The context with this place in it; None where CEL cannot take an attribute, which makes every rule err."""
        import cel  # see _compiled

        try:
            if self._context is _UNBUILT:
                self._context = cel.Context(self._variables)
                self._place = None
            if self._place is not place:
                before, self._place = self._place, None
                self._context.add_variable("document", dict(place.labels))
                if before is None or (before.source, before.connector) != (place.source, place.connector):
                    self._context.add_variable("source", {"id": place.source, "connector": place.connector})
                self._place = place
        except Exception:  # noqa: BLE001 - whatever the engine raises
            return None
        return self._context


def _told(program: Any, context: Any) -> Outcome:
    """What a compiled condition says; None in either place is an error."""
    if program is None or context is None:
        return "errs"
    try:
        value = program.execute(context)
    except Exception:  # noqa: BLE001 - whatever the engine raises is the rule's error
        return "errs"
    if value is True:
        return "holds"
    return "not" if value is False else "errs"


def _variables(subject: Subject, at: datetime, ordered: Sequence[str]) -> dict[str, Any]:
    principal = {name: value for name, value in subject.attributes.items() if value is not None}
    principal.setdefault(CLEARANCE, DEFAULT_CLASSIFICATION)
    own = {"id": subject.name, "email": subject.email}
    request: dict[str, Any] = {"time": at}
    if subject.address is not None:
        request["address"] = subject.address
    return {
        "principal": {
            **{name: value for name, value in principal.items() if name not in {*own, "groups"}},
            **{name: value for name, value in own.items() if value is not None},
        },
        "app": {"id": subject.app.key} if subject.app else {},
        "request": request,
        "rank": {name: place for place, name in enumerate(ordered)},
    }


_NAMES = Prepared(
    select(Principal.key, Principal.kind, Principal.subject_id).where(
        of_tenant(Principal.tenant_id), among(Principal.id, "ids")
    )
)


def _groups(session: Session, subject: Subject) -> list[str]:
    """Keys of every group the person is in, to any depth."""
    rows = _NAMES.all(session, tenant=subject.tenant, ids=list(subject.principals))
    return sorted({row.key for row in rows if row.kind == "group" and row.subject_id is not None})


@dataclass(slots=True)
class Rulebook:
    """`Rulings` over chains that are loaded: labels as stated on them, and their sources."""

    rules: Sequence[Rule]
    ordered: Sequence[str]
    stated: Mapping[int, Sequence[tuple[str, str, str]]]
    sources: Mapping[int, tuple[str, str]]
    asking: Asking
    _seen: dict[tuple[int, int], Ruling] = field(default_factory=dict)
    _alike: dict[Signature, Ruling] = field(default_factory=dict)

    def __call__(self, chain: Sequence[NodeView]) -> Ruling:
        """What the rules say of the first node of a chain; each is evaluated once a signature."""
        anchor = chain[-1]
        for node in chain:
            if node.id in self.stated:
                anchor = node
                break
        key = (anchor.id, chain[0].source)
        found = self._seen.get(key)
        if found is None:
            place = signature_of(chain, self.stated, self.ordered, self.sources)
            if place not in self._alike:
                self._alike[place] = self.asking.ruling(self.rules, place)
            found = self._seen[key] = self._alike[place]
        return found


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
    sources: Mapping[int, tuple[str, str]] | None = None,
) -> Rulings:
    """The rulings for a person over some chains: one statement where there are no rules, a few where there are.

    `rules` are those to ask instead of the ones that stand, as a simulation does; `sources` what is known of the
    sources already, as `load_sources` tells it.
    """
    found, ordered = rules_and_order(session, subject.tenant, rules)
    if not found or subject.nobody:
        return no_rules
    nodes = {node.id: node for chain in chains.values() for node in chain}
    known = dict(sources or {})
    unknown = {node.source for node in nodes.values()} - known.keys()
    asking = Asking(session, subject, at, ordered)
    asking.read_groups(found)
    return Rulebook(
        rules=found,
        ordered=ordered,
        stated=load_labels(session, subject.tenant, nodes),
        sources=known | (load_sources(session, subject.tenant, unknown) if unknown else {}),
        asking=asking,
    )
