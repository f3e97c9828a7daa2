"""The set of access nodes a caller may read; the one thing a search takes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import CTE, ColumnElement, Select, func, or_, select, union
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Ace, AclNode, Principal
from policies.decide import source_gates
from policies.epoch import bumped, current
from policies.rules_places import Places, Ruled, load_places, region, ruled
from policies.subject import Caller, Subject, resolve_subject

_MAKER: Final = object()


class ReadScope:
    """What one caller may read, as ids the index knows. Only this package makes one.

    Attributes:
        tenant: id of the tenant; every search is within it.
        nodes: access nodes, ascending: those readable, or, with `complement`, those not readable.
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
        nodes: Iterable[int],
        complement: bool,
        sources: Iterable[int],
        epoch: int,
        reported: Iterable[tuple[int, int]] = (),
    ) -> None:
        if maker is not _MAKER:
            raise TypeError("a ReadScope is made by policies.scope.readable alone")
        self.tenant: Final = tenant
        self.nodes: Final = tuple(sorted(nodes))
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


def readable_by(session: Session, caller: Caller, cache: ScopeCache) -> ReadScope:
    """As `readable`, for names; within an epoch a caller is resolved once. The re-check resolves anew every time."""
    epoch = current(session, caller.tenant)
    subject = cache.subject(caller, epoch)
    if subject is None or (subject.ends_at is not None and now(session) >= subject.ends_at):
        subject = resolve_subject(session, caller)
        if not bumped(session, caller.tenant):
            cache.put_subject(caller, epoch, subject)
    return _scope(session, subject, epoch, cache)


def readable(session: Session, subject: Subject, cache: ScopeCache | None = None) -> ReadScope:
    """Everything `subject` may read in this snapshot. What a session has not committed yet is never cached."""
    return _scope(session, subject, current(session, subject.tenant), cache)


def _scope(session: Session, subject: Subject, epoch: int, cache: ScopeCache | None) -> ReadScope:
    gates = source_gates(session, subject)
    sources = [] if subject.nobody else [one for one, shut in gates.items() if shut is None]
    held = _nodes(session, subject, epoch, cache)
    return ReadScope(
        _MAKER,
        tenant=subject.tenant,
        nodes=held.nodes,
        complement=held.complement,
        sources=sources,
        epoch=epoch,
        reported=held.reported,
    )


def _nodes(session: Session, subject: Subject, epoch: int, cache: ScopeCache | None) -> _Cached:
    at = now(session)
    places = _places(session, subject.tenant, epoch, cache)
    varying = ruled(session, subject, at, replace(places, rules=places.by_request)) if places.by_request else None
    key = (subject.tenant, subject.user, subject.claims, subject.app.id if subject.app else None, varying)
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
        nodes = frozenset(session.scalars(readable_nodes(subject, at, ruled(session, subject, at, places))))
        reported = _reported(session, subject, at, places, nodes)
    known = session.scalar(select(func.count()).select_from(AclNode).where(AclNode.tenant_id == subject.tenant)) or 0
    complement = known > 0 and len(nodes) > known // 2
    if complement:
        nodes = _all_nodes(session, subject.tenant) - nodes
    return _Cached(epoch, ends_at, tuple(sorted(nodes)), complement=complement, reported=tuple(reported))


def _reported(
    session: Session, subject: Subject, at: datetime, places: Places, nodes: frozenset[int]
) -> list[tuple[int, int]]:
    """How many more places each report-only permit would open; what a forbid would close shows at the re-check."""
    found = []
    for rule in places.rules:
        if rule.enforced or rule.effect != "permit":
            continue
        trial = replace(places, rules=tuple(replace(one, enforced=one.enforced or one == rule) for one in places.rules))
        opened = set(session.scalars(readable_nodes(subject, at, ruled(session, subject, at, trial)))) - nodes
        if opened:
            found.append((rule.id, len(opened)))
    return found


def _all_nodes(session: Session, tenant: int) -> frozenset[int]:
    return frozenset(session.scalars(select(AclNode.id).where(AclNode.tenant_id == tenant)))


def _next_change(session: Session, tenant: int, at: datetime) -> datetime | None:
    """The next time after `at` at which an entry of the tenant begins or ends."""
    times = [
        session.scalar(select(func.min(column)).where(Ace.tenant_id == tenant, Ace.epoch_to.is_(None), column > at))
        for column in (Ace.not_before, Ace.expires_at)
    ]
    return min((one for one in times if one is not None), default=None)


def readable_nodes(subject: Subject, at: datetime, rules: Ruled) -> Select[int]:
    """The statement for the nodes whose entries and rules let `subject` read `at` a time, as set operations downwards.

    A source's entry reaches down to the next node that does not inherit, an admin's to the leaves, a rule to where
    other labels begin. Below a `narrow` node nothing is readable where the node above it is not. `rules` is what
    `policies.rules_places.ruled` says for the same subject and time.
    """
    allowed = union(
        select(_reach("allow_source", _entries(subject, "allow", "source", at), through_breaks=False).c.id),
        select(_reach("allow_admin", _entries(subject, "allow", "admin", at), through_breaks=True).c.id),
        *([select(region("permitted", subject.tenant, rules.permitted).c.id)] if rules.permitted else []),
    )
    refused = union(
        select(_reach("deny_source", _entries(subject, "deny", "source", at), through_breaks=False).c.id),
        select(_reach("deny_admin", _entries(subject, "deny", "admin", at), through_breaks=True).c.id),
        select(_reach("shut", _shut(subject.tenant), through_breaks=True).c.id),
        *([select(region("forbidden", subject.tenant, rules.forbidden).c.id)] if rules.forbidden else []),
    )
    own = (
        select(AclNode.id)
        .where(AclNode.tenant_id == subject.tenant, AclNode.id.in_(allowed), AclNode.id.not_in(refused))
        .cte("own")
    )
    return select(own.c.id).where(own.c.id.not_in(select(_narrowed_out(subject.tenant, own).c.id)))


def _reach(name: str, base: Select[int], *, through_breaks: bool) -> CTE:
    reach = base.cte(name, recursive=True)
    below = select(AclNode.id).join(reach, AclNode.parent_id == reach.c.id)
    return reach.union(below if through_breaks else below.where(AclNode.mode == "inherit"))


def _entries(subject: Subject, effect: str, origin: str, at: datetime) -> Select[int]:
    """Nodes with an entry of this kind in force for `subject` `at` a time."""
    unresolved = select(Principal.id).where(
        Principal.tenant_id == subject.tenant,
        Principal.kind.in_(["user", "group", "app"]),
        Principal.subject_id.is_(None),
    )
    through = [] if subject.app is None else [Ace.app_id == subject.app.principal]
    mine = set(subject.principals)
    if effect == "allow":
        who: ColumnElement[bool] = Ace.principal_id.in_(sorted(mine)) & Ace.principal_id.not_in(unresolved)
    else:
        mine |= subject.denied_as | ({subject.app.principal} if subject.app else set())
        who = or_(Ace.principal_id.in_(sorted(mine)), Ace.principal_id.in_(unresolved) & Ace.waived.is_(False))
    return select(Ace.node_id.label("id")).where(
        Ace.tenant_id == subject.tenant,
        Ace.effect == effect,
        Ace.origin == origin,
        Ace.epoch_to.is_(None),
        who,
        or_(Ace.app_id.is_(None), *through),
        or_(Ace.not_before.is_(None), Ace.not_before <= at),
        or_(Ace.expires_at.is_(None), Ace.expires_at > at),
    )


def _shut(tenant: int) -> Select[int]:
    return select(AclNode.id).where(AclNode.tenant_id == tenant, AclNode.closed)


def _narrowed_out(tenant: int, own: CTE) -> CTE:
    """Nodes that a `narrow` node above, or they themselves, take away because its parent is not readable."""
    out = (
        select(AclNode.id)
        .where(
            AclNode.tenant_id == tenant,
            AclNode.mode == "narrow",
            AclNode.parent_id.is_not(None),
            AclNode.parent_id.not_in(select(own.c.id)),
        )
        .cte("narrowed_out", recursive=True)
    )
    below = select(AclNode.id).join(out, AclNode.parent_id == out.c.id).where(AclNode.mode.in_(["inherit", "narrow"]))
    return out.union(below)
