"""The set of access nodes a caller may read; the one thing a search takes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    func,
    select,
    type_coerce,
)
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from core.clock import db_now, from_us
from core.prepared import Prepared
from core.tables import Ace, AclNode, PolicyEpoch, Source
from policies.decide import STORED_GATE, Gate, gates_of, stored_gate
from policies.epoch import bumped
from policies.rules_places import Places, Ruled, load_places, ruled
from policies.scope_nodes import statement
from policies.subject import Caller, Subject, resolve_subject
from policies.tree import TENANT, is_lateral

_MAKER: Final = object()


class ReadScope:
    """What one caller may read, as ids the index knows. Only this package makes one.

    Attributes:
        tenant: id of the tenant; every search is within it.
        nodes: access nodes, in the order given, which is ascending: those readable, or, with `complement`, those not.
        sources: sources that may be searched at all, ascending; empty: nothing is readable.
        epoch: the policy epoch it was computed at.
        reported: for each report-only permit (by id), how many more places it would open to this caller.
    """

    __slots__ = ("complement", "epoch", "nodes", "reported", "sources", "tenant")

    def __init__(
        self,
        maker: object,
        *,
        tenant: int,
        nodes: tuple[int, ...],
        complement: bool,
        sources: Iterable[int],
        epoch: int,
        reported: Iterable[tuple[int, int]] = (),
    ) -> None:
        if maker is not _MAKER:
            raise TypeError("a ReadScope is made by policies.scope.readable alone")
        self.tenant: Final = tenant
        self.nodes: Final = nodes
        self.complement: Final = complement
        self.sources: Final = tuple(sorted(sources))
        self.epoch: Final = epoch
        self.reported: Final = tuple(reported)

    @property
    def empty(self) -> bool:
        """Whether it finds nothing."""
        return not self.sources or (not self.nodes and not self.complement)


@dataclass(frozen=True, slots=True)
class _Cached:
    epoch: int
    ends_at: datetime | None
    nodes: tuple[int, ...]
    complement: bool
    reported: tuple[tuple[int, int], ...] = ()


class ScopeCache:
    """Readable nodes by caller, good until the epoch moves or an entry begins or ends. Thread-safe.

    Beside them, for each tenant, its rules and the places they can tell apart, good until the epoch moves.
    """

    def __init__(self, size: int = 2048) -> None:
        self._size = size
        self._held: OrderedDict[Hashable, _Cached] = OrderedDict()
        self._places: OrderedDict[int, tuple[int, Places]] = OrderedDict()
        self._subjects: OrderedDict[Caller, tuple[int, Subject]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, epoch: int, at: datetime) -> _Cached | None:
        """What is held for `key`, if it still holds."""
        with self._lock:
            found = self._held.get(key)
            if found is None or found.epoch != epoch or (found.ends_at is not None and at >= found.ends_at):
                return None
            self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, value: _Cached) -> None:
        """Holds `value`, dropping the least used beyond the size."""
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > self._size:
                self._held.popitem(last=False)

    def subject(self, caller: Caller, epoch: int) -> Subject | None:
        """Who the caller is, if that is held for this epoch: everything it is made of raises the epoch."""
        with self._lock:
            found = self._subjects.get(caller)
            return found[1] if found is not None and found[0] == epoch else None

    def put_subject(self, caller: Caller, epoch: int, subject: Subject) -> None:
        """Holds who a caller is, dropping the oldest beyond the size."""
        with self._lock:
            self._subjects[caller] = (epoch, subject)
            self._subjects.move_to_end(caller)
            while len(self._subjects) > self._size:
                self._subjects.popitem(last=False)

    def places(self, tenant: int, epoch: int) -> Places | None:
        """The tenant's rules and places, if they are held for this epoch."""
        with self._lock:
            found = self._places.get(tenant)
            return found[1] if found is not None and found[0] == epoch else None

    def put_places(self, tenant: int, epoch: int, places: Places) -> None:
        """Holds a tenant's rules and places; of a few hundred tenants at most."""
        with self._lock:
            self._places[tenant] = (epoch, places)
            self._places.move_to_end(tenant)
            while len(self._places) > 256:
                self._places.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Present:
    """What every scope of a snapshot begins with: the tenant's epoch, the database's clock, and all sources."""

    epoch: int
    at: datetime
    sources: tuple[tuple[int, Gate], ...]


_PRESENT = Prepared(
    select(PolicyEpoch.epoch, type_coerce(db_now(), BigInteger).label("at"), Source.id, *STORED_GATE)
    .outerjoin(Source, Source.tenant_id == PolicyEpoch.tenant_id)
    .where(PolicyEpoch.tenant_id == bindparam("tenant"))
)


def present(session: Session, tenant: int) -> Present:
    """The present of this snapshot, in one statement.

    Raises:
        NoResultFound: there is no such tenant.
    """
    rows = _PRESENT.plain(session, tenant=tenant)
    if not rows:
        raise NoResultFound(f"there is no tenant {tenant}")
    epoch, at = rows[0][:2]
    return Present(
        epoch, from_us(int(at)), tuple([(row[2], stored_gate(row[3:])) for row in rows if row[2] is not None])
    )


def readable_by(session: Session, caller: Caller, cache: ScopeCache) -> ReadScope:
    """As `readable`, for names; within an epoch a caller is resolved once. The re-check resolves anew every time."""
    moment = present(session, caller.tenant)
    subject = cache.subject(caller, moment.epoch)
    if subject is None or (subject.ends_at is not None and moment.at >= subject.ends_at):
        subject = resolve_subject(session, caller)
        if not bumped(session, caller.tenant):
            cache.put_subject(caller, moment.epoch, subject)
    return _scope(session, subject, moment, cache)


def readable(session: Session, subject: Subject, cache: ScopeCache | None = None) -> ReadScope:
    """Everything `subject` may read in this snapshot. What a session has not committed yet is never cached."""
    return _scope(session, subject, present(session, subject.tenant), cache)


def _scope(session: Session, subject: Subject, moment: Present, cache: ScopeCache | None) -> ReadScope:
    gates = gates_of(subject, moment.at, moment.sources)
    sources = [] if subject.nobody else [one for one, shut in gates.items() if shut is None]
    held = _nodes(session, subject, moment, cache)
    return ReadScope(
        _MAKER,
        tenant=subject.tenant,
        nodes=held.nodes,
        complement=held.complement,
        sources=sources,
        epoch=moment.epoch,
        reported=held.reported,
    )


def _nodes(session: Session, subject: Subject, moment: Present, cache: ScopeCache | None) -> _Cached:
    epoch, at = moment.epoch, moment.at
    places = _places(session, subject.tenant, epoch, cache)
    varying = ruled(session, subject, at, replace(places, rules=places.by_request)) if places.by_request else None
    key = (subject.tenant, subject.user, subject.app.id if subject.app else None, subject.claims, varying)
    held = cache.get(key, epoch, at) if cache else None
    if held is None:
        held = _compute(session, subject, epoch, at, places)
        if cache and not bumped(session, subject.tenant):
            cache.put(key, held)
    return held


def _places(session: Session, tenant: int, epoch: int, cache: ScopeCache | None) -> Places:
    found = cache.places(tenant, epoch) if cache else None
    if found is None:
        found = load_places(session, tenant)
        if cache and not bumped(session, tenant):
            cache.put_places(tenant, epoch, found)
    return found


def _compute(session: Session, subject: Subject, epoch: int, at: datetime, places: Places) -> _Cached:
    ends_at = min(
        (one for one in (_next_change(session, subject.tenant, at), subject.ends_at) if one is not None), default=None
    )
    nodes = frozenset[int]()
    reported: list[tuple[int, int]] = []
    if not subject.nobody:
        nodes = _told(session, subject, at, ruled(session, subject, at, places))
        reported = _reported(session, subject, at, places, nodes)
    complement = bool(nodes) and _fewer(session, subject.tenant, 2 * len(nodes))
    if complement:
        nodes = _all_nodes(session, subject.tenant) - nodes
    return _Cached(epoch, ends_at, tuple(sorted(nodes)), complement=complement, reported=tuple(reported))


def _told(session: Session, subject: Subject, at: datetime, rules: Ruled) -> frozenset[int]:
    """The nodes that `readable_nodes` selects."""
    prepared, values = _asked(session, subject, at, rules)
    return frozenset(row[0] for row in prepared.plain(session, **values))


def _reported(
    session: Session, subject: Subject, at: datetime, places: Places, nodes: frozenset[int]
) -> list[tuple[int, int]]:
    """How many more places each report-only permit would open; what a forbid would close shows at the re-check."""
    found = []
    for rule in places.rules:
        if rule.enforced or rule.effect != "permit":
            continue
        trial = replace(places, rules=tuple(replace(one, enforced=one.enforced or one == rule) for one in places.rules))
        opened = _told(session, subject, at, ruled(session, subject, at, trial)) - nodes
        if opened:
            found.append((rule.id, len(opened)))
    return found


_ALL = Prepared(select(AclNode.id).where(AclNode.tenant_id == TENANT))
_SOME = select(AclNode.id).where(AclNode.tenant_id == TENANT).limit(bindparam("most", type_=BigInteger())).subquery()
_COUNT = Prepared(select(func.count().label("count")).select_from(_SOME))


def _all_nodes(session: Session, tenant: int) -> frozenset[int]:
    return frozenset(row[0] for row in _ALL.plain(session, tenant=tenant))


def _fewer(session: Session, tenant: int, than: int) -> bool:
    """Whether the tenant has fewer nodes than that; no more of them are counted."""
    count: int = _COUNT.first(session, tenant=tenant, most=than).count
    return count < than


_CHANGES = Prepared(
    select(
        *(
            select(func.min(column))
            .where(Ace.tenant_id == bindparam("tenant"), Ace.epoch_to.is_(None), column > bindparam("at"))
            .scalar_subquery()
            .label(name)
            for name, column in (("begins", Ace.not_before), ("ends", Ace.expires_at))
        )
    )
)


def _next_change(session: Session, tenant: int, at: datetime) -> datetime | None:
    """The next time after `at` at which an entry of the tenant begins or ends."""
    times: list[datetime | None] = _CHANGES.all(session, tenant=tenant, at=at)[0]
    return min((one for one in times if one is not None), default=None)


def readable_nodes(session: Session, subject: Subject, at: datetime, rules: Ruled) -> Select[int]:
    """The statement for the nodes whose entries and rules let `subject` read `at` a time (`policies.scope_nodes`).

    `rules` is what `policies.rules_places.ruled` says for the same subject and time.
    """
    prepared, values = _asked(session, subject, at, rules)
    asked: Any = prepared.statement
    nodes: Select[int] = asked.params(values)
    return nodes


def _asked(session: Session, subject: Subject, at: datetime, rules: Ruled) -> tuple[Prepared, dict[str, Any]]:
    """The statement for what there is to ask about, and its values."""
    through = None if subject.app is None else subject.app.principal
    prepared = statement(
        lateral=is_lateral(session),
        through_app=through is not None,
        permitted=bool(rules.permitted),
        forbidden=bool(rules.forbidden),
    )
    values: dict[str, Any] = {
        "tenant": subject.tenant,
        "at": at,
        "mine": sorted(subject.principals),
        "denied": sorted(subject.denied_as | ({through} if through is not None else set())),
    }
    if through is not None:
        values["app"] = through
    if rules.permitted:
        values["permitted"] = list(rules.permitted)
    if rules.forbidden:
        values["forbidden"] = list(rules.forbidden)
    return prepared, values
