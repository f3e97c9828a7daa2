"""Rules: an admin's `permit` and `forbid` in CEL, asked about a place's labels and source for one person.

A rule *errs* where CEL's evaluation ends in an error, in something not boolean, or meets a classification outside the
tenant's list. A permit that errs permits nothing, a forbid that errs forbids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, Integer, String, bindparam, cast, select, type_coerce
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from core.clock import db_now, from_us
from core.prepared import Prepared, among, of_tenant
from core.snapshot import memory
from core.tables import Policy, Principal, Tenant
from policies.labels import DEFAULT_CLASSIFICATION, classifications
from policies.rules_compiled import compiled
from policies.subject import Subject

Outcome = Literal["holds", "not", "errs"]
CLEARANCE = "clearance"


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
        return compiled(self.condition).reads_request


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


_STANDING = Prepared(
    select(
        Policy.id,
        Policy.key,
        Policy.effect,
        Policy.condition,
        type_coerce(Policy.enforced, Integer).label("enforced"),
        cast(Tenant.classifications, String).label("order"),
        type_coerce(db_now(), BigInteger).label("at"),
    )
    .select_from(Tenant)
    .outerjoin(Policy, (Policy.tenant_id == Tenant.id) & Policy.epoch_to.is_(None))
    .where(Tenant.id == bindparam("tenant"))
    .order_by(Policy.key)
)
"""Values as the driver tells them: what is of the tenant comes with every rule, and is read once."""


class StandingRules(NamedTuple):
    """The rules that stand, report-only ones included, by key, the tenant's classifications, and the database's now."""

    rules: tuple[Rule, ...]
    order: Sequence[str]
    at: datetime


def standing_rules(session: Session, tenant: int) -> StandingRules:
    """All that is asked of a tenant at one moment, in one statement.

    Raises:
        NoResultFound: there is no such tenant.
    """
    rows = _STANDING.plain(session, tenant=tenant)
    if not rows:
        raise NoResultFound(f"there is no tenant {tenant}")
    order = json.loads(rows[0][5])
    memory(session, "classifications")[tenant] = order
    rules = tuple([_rule(*row[:5]) for row in rows if row[0] is not None])
    return StandingRules(rules, order, from_us(int(rows[0][6])))


@lru_cache(maxsize=4096)
def _rule(id_: int, key: str, effect: str, condition: str, enforced: int) -> Rule:
    return Rule(id_, key, effect, condition, bool(enforced))


def open_rules(session: Session, tenant: int) -> tuple[Rule, ...]:
    """The rules that stand, report-only ones included, by key."""
    return standing_rules(session, tenant).rules


def rules_and_order(
    session: Session, tenant: int, rules: Sequence[Rule] | None = None
) -> tuple[tuple[Rule, ...], Sequence[str]]:
    """The rules that stand (or `rules` in their stead), and the tenant's classifications where there are any."""
    if rules is not None:
        return tuple(rules), classifications(session, tenant) if rules else []
    return standing_rules(session, tenant)[:2]


class Asking:
    """The rules of one snapshot, asked for one person through one app at one time. Not shared between threads."""

    def __init__(self, session: Session, subject: Subject, at: datetime, ordered: Sequence[str]) -> None:
        self._variables = _variables(subject, at, ordered)
        self._session, self._subject = session, subject
        self._unknown = subject.unknown
        self._context: Any = None
        self._place: Signature | None = None
        self._asked: dict[str, _Asked] = {}

    def ruling(self, rules: Iterable[Rule], place: Signature) -> Ruling:
        """What some rules say of a place."""
        return Ruling(tuple(map(Judged, rules, self.outcomes(rules, place))))

    def outcomes(self, rules: Iterable[Rule], place: Signature) -> tuple[Outcome, ...]:
        """The outcome of each of some rules at a place."""
        self.prepare(rules)
        return tuple([self._says(rule, place) for rule in rules])

    def counting(self, rules: Sequence[Rule]) -> Callable[[Signature], bool]:
        """Whether one of some rules permits or forbids at a place, for many places."""
        self.prepare(rules)
        everywhere = [self._asked[rule.condition].everywhere for rule in rules]
        if any(said and Judged(rule, said).counts for rule, said in zip(rules, everywhere, strict=True)):
            return lambda _: True
        varying = [rule for rule, said in zip(rules, everywhere, strict=True) if said is None]
        return lambda place: any(Judged(rule, self._says(rule, place)).counts for rule in varying)

    def outcome(self, rule: Rule, place: Signature) -> Outcome:
        """What the rule says of a place."""
        return self.outcomes((rule,), place)[0]

    def prepare(self, rules: Iterable[Rule]) -> None:
        """Finds out how some rules are asked for this person.

        The person's groups are read now if any of the rules may ask for them, so that no place tells by a statement of
        its own which rules were asked about it.
        """
        new = [rule.condition for rule in rules if rule.condition not in self._asked]
        principal = self._variables["principal"]
        if "groups" not in principal and any(compiled(one).reads_groups for one in new):
            principal["groups"] = _groups(self._session, self._subject)
            self._context = None
        if new:
            context = self._built() if self._place is not None else self._bare()
            self._asked |= {one: self._asking(one, context) for one in new}

    def _says(self, rule: Rule, place: Signature) -> Outcome:
        asked = self._asked[rule.condition]
        if asked.everywhere is not None:
            return asked.everywhere
        read = asked.labels_read
        seen = place if read is None else tuple([one for one in place.labels if one[0] in read])
        told = asked.told.get(seen)
        if told is None:
            told = asked.told[seen] = _told(asked.program, self._placed(place))
        return told

    def _asking(self, condition: str, nowhere: Any) -> _Asked:
        """How a condition is asked, which is first evaluated without a place, in the context `nowhere`.

        That errs where the place matters: to CEL what is not there is an error, and `&&`, `||`, `?:` and the macros let
        an error go only where no value in its stead could change what comes out.
        """
        known = compiled(condition)
        program = None if self._in_doubt(known.reads_of_principal) else known.program
        said = _told(program, nowhere) if known.may_settle else "errs"
        return _Asked(program, None if said == "errs" and program is not None else said, known.labels_read, {})

    def _in_doubt(self, reads: frozenset[str]) -> bool:
        """Whether a condition reads what nobody knows of the person."""
        return bool(self._unknown) and ("" in reads or not self._unknown.isdisjoint(reads))

    def _bare(self) -> Any:
        """The context that places are put into; None where CEL cannot take an attribute."""
        if self._context is None:
            self._context, self._place = self._built(), None
        return self._context

    def _placed(self, place: Signature) -> Any:
        """The context with this place in it; None, where CEL cannot take something, makes every rule err."""
        context = self._bare()
        if context is None or self._place is place:
            return context
        before, self._place = self._place, place
        try:
            context.add_variable("document", dict(place.labels))
            if before is None or (before.source, before.connector) != (place.source, place.connector):
                context.add_variable("source", {"id": place.source, "connector": place.connector})
        except Exception:  # noqa: BLE001 - whatever the engine raises
            self._context = None
        return self._context

    def _built(self) -> Any:
        import cel  # see `policies.rules_compiled`

        try:
            return cel.Context(self._variables)
        except Exception:  # noqa: BLE001 - whatever the engine raises
            return None


class _Asked(NamedTuple):
    """What evaluates a condition for one person; None where that errs, wherever. `everywhere`: what it says of every
    place alike; None: that depends on what of the place is in `labels_read`, by which `told` has it.
    """

    program: Any
    everywhere: Outcome | None
    labels_read: frozenset[str] | None
    told: dict[Any, Outcome]


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
