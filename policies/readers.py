"""Who can read a document, everyone of them, and why: set by set, since most people differ in nothing that matters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Ace, AclNode, Document, Principal
from policies.chains import load_chains
from policies.decide import Verdict, decide, source_gates
from policies.epoch import current
from policies.model import EVERYONE
from policies.people import Memberships, Person, classes, load_both, rule_trait
from policies.scope import readable
from policies.subject import Caller, Subject, resolve_subject

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Reader:
    """One person who may read, and what lets them.

    Attributes:
        by: principal of the deciding entry; None where a rule permits it.
        node: key of the place the entry stands at; `title` its name for people.
        origin: who stated the entry: `source` or `admin`.
        path: names from `user:<id>` to `by`, each a member of the next, by the fewest steps.
        rule: key of the rule that permits it, where no entry does.
    """

    user: str
    by: str | None
    node: str | None
    origin: str | None
    expires_at: datetime | None
    path: tuple[str, ...]
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Readers:
    """Everyone who may read a document at one instant.

    Attributes:
        people: how many active people there are.
        refused: how many of them may not read it, by reason as in `policies.decide.Verdict`.
        shut: why the source is shut to all, None where it is open.
    """

    document: int
    readers: tuple[Reader, ...]
    people: int
    refused: Mapping[str, int]
    shut: str | None
    epoch: int
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; times in ISO 8601."""
        told = [{**asdict(one), "expires_at": stamp(one.expires_at)} for one in self.readers]
        return {
            "readers": told,
            "count": len(told),
            "people": self.people,
            "refused": dict(self.refused),
            "shut": self.shut,
            "epoch": self.epoch,
            "at": self.at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Documents that no decision can tell apart, one of them to ask about, and how many they are."""

    document: int
    node: int
    pending: int | None
    source: int
    state: str
    count: int


def who_can_read(
    session: Session, tenant: int, document: int, *, app: str | None = None, at: datetime | None = None
) -> Readers:
    """Everyone who may read the document (through `app`, where one is named) in this snapshot, and why.

    A document that does not exist has no readers.
    """
    at = at or now(session)
    memberships, people = load_both(session, tenant)
    node, pending, source = _place(session, tenant, document)
    named = named_on(session, tenant, [one for one in (node, pending) if one is not None])
    teller = Teller(session, memberships)
    refused: dict[str, int] = {}
    found: list[Reader] = []
    for same in classes(people.values(), named, rule_trait(session, tenant)).values():
        subject = subject_of(session, tenant, same[0], app)
        verdict = decide(session, subject, [document], at=at)[document]
        if verdict.allowed:
            found += teller.readers(same, verdict)
        else:
            refused[verdict.reason] = refused.get(verdict.reason, 0) + len(same)
    shut = _shut(session, tenant, source, app, at)
    readers = tuple(sorted(found, key=lambda one: one.user))
    return Readers(document, readers, len(people), refused, shut, current(session, tenant), at)


def subject_of(session: Session, tenant: int, person: Person, app: str | None = None) -> Subject:
    """The person as a decision takes them."""
    return resolve_subject(session, Caller(tenant, person.key, app))


def places(session: Session, tenant: int, *, held: bool = False) -> list[Place]:
    """The tenant's live documents (with `held`, the hidden ones too) by all that decides who reads them."""
    alike = (Document.node_id, Document.pending_node_id, Document.source_id, Document.state)
    rows = session.execute(
        select(func.min(Document.id), *alike, func.count())
        .where(Document.tenant_id == tenant, Document.state.in_(["live", "held"] if held else ["live"]))
        .group_by(*alike)
    )
    return [Place(*row) for row in rows]


def visible(session: Session, subject: Subject) -> tuple[frozenset[int], frozenset[int]]:
    """Nodes and sources in the person's scope, as ids."""
    scope = readable(session, subject)
    nodes = frozenset(scope.nodes)
    if scope.complement:
        nodes = frozenset(session.scalars(select(AclNode.id).where(AclNode.tenant_id == subject.tenant))) - nodes
    return nodes, frozenset(scope.sources)


def named_on(session: Session, tenant: int, nodes: Iterable[int]) -> frozenset[int]:
    """Principals that an open entry names on the way from any of these nodes to its root."""
    chains = load_chains(session, nodes)
    wanted = sorted({node.id for chain in chains.values() for node in chain})
    found: set[int] = set()
    for start in range(0, len(wanted), _BATCH):
        found.update(
            session.scalars(
                select(Ace.principal_id)
                .where(Ace.tenant_id == tenant, Ace.epoch_to.is_(None), Ace.node_id.in_(wanted[start : start + _BATCH]))
                .distinct()
            )
        )
    return frozenset(found)


class Teller:
    """Tells why people may read, with the names of what it meets."""

    def __init__(self, session: Session, memberships: Memberships) -> None:
        self._session = session
        self._memberships = memberships
        self._steps: dict[int, dict[int, int | None]] = {}
        self._names: dict[int, str] = {}
        self._keys: dict[int, str] = {}

    def readers(self, people: Iterable[Person], verdict: Verdict) -> list[Reader]:
        """Each of some people whom one verdict allows."""
        entry = verdict.entry
        if entry is None:
            rule = verdict.rule.key if verdict.rule else None
            return [Reader(one.key, None, None, None, None, (f"user:{one.key}",), rule) for one in people]
        node = self._node_key(entry.node)
        return [
            Reader(one.key, entry.name, node, entry.origin, entry.expires_at, self.path(one, entry.principal))
            for one in people
        ]

    def path(self, person: Person, principal: int) -> tuple[str, ...]:
        """Names from the person to a principal they are, by the fewest steps."""
        if principal not in self._steps:
            self._steps[principal] = self._memberships.steps_to(principal)
            self._learn(self._steps[principal])
        steps = self._steps[principal]
        ways = [_way(steps, start) for start in sorted(person.principals) if start in steps and self._first(start)]
        if not ways:
            return ()
        names = min(
            ([self._names[one] for one in way] for way in ways),
            key=lambda way: (len(way), not way[0].startswith("user:"), way[0] != f"user:{person.key}"),
        )
        own = f"user:{person.key}"
        return tuple(names if names[0] == own else [own, *names])

    def _first(self, principal: int) -> bool:
        """Whether a way may begin here: at one of the person's own names."""
        return self._names[principal].startswith("user:") or self._names[principal] == EVERYONE

    def _node_key(self, node: int) -> str:
        if node not in self._keys:
            chain = load_chains(self._session, [node])[node]
            self._keys |= {one.id: one.key for one in chain}
        return self._keys[node]

    def _learn(self, ids: Collection[int]) -> None:
        missing = sorted(set(ids) - set(self._names))
        for start in range(0, len(missing), _BATCH):
            rows = self._session.execute(
                select(Principal.id, Principal.kind, Principal.key).where(
                    Principal.id.in_(missing[start : start + _BATCH])
                )
            )
            self._names |= {id_: EVERYONE if kind == EVERYONE else f"{kind}:{key}" for id_, kind, key in rows}


def _way(steps: Mapping[int, int | None], start: int) -> list[int]:
    way = [start]
    while (following := steps[way[-1]]) is not None:
        way.append(following)
    return way


def _place(session: Session, tenant: int, document: int) -> tuple[int | None, int | None, int | None]:
    row = session.execute(
        select(Document.node_id, Document.pending_node_id, Document.source_id).where(
            Document.tenant_id == tenant, Document.id == document
        )
    ).one_or_none()
    return (row[0], row[1], row[2]) if row else (None, None, None)


def _shut(session: Session, tenant: int, source: int | None, app: str | None, at: datetime) -> str | None:
    """Why the source is shut, whoever asks."""
    if source is None:
        return None
    anyone = resolve_subject(session, Caller(tenant, "nobody-at-all", app))
    return source_gates(session, anyone, [source], at=at).get(source, "source_gone")


def stamp(value: datetime | None) -> str | None:
    """A time in ISO 8601."""
    return value.isoformat() if value else None
