"""The places of a tenant that state labels, and what holds at each, for rules that are asked about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared, among, of_tenant
from core.tables import AclNode, Label
from policies.labels import LabelView, settle

Own = tuple[tuple[str, str, str], ...]
"""Name, value and origin of the labels that a place states."""
State = tuple[tuple[tuple[str, str], tuple[int, str]], ...]
"""What `policies.labels.Nearest` says of a place, in order: by name and origin the value, and 1 where the admin's
statement of that name is nearer than the source's, else 0. No more of how far away they stand can matter."""
Labels = tuple[tuple[str, str], ...]

_STATED = Prepared(
    select(Label.node_id, AclNode.parent_id, AclNode.source_id, Label.name, Label.value, Label.origin)
    .join(AclNode, (AclNode.id == Label.node_id) & (AclNode.tenant_id == Label.tenant_id))
    .where(Label.tenant_id == bindparam("tenant"), Label.epoch_to.is_(None))
)
_PLACE = (AclNode.id, AclNode.parent_id, AclNode.source_id)
_ROOTS = Prepared(select(*_PLACE).where(AclNode.tenant_id == bindparam("tenant"), AclNode.parent_id.is_(None)))
_SOME = Prepared(select(*_PLACE).where(of_tenant(AclNode.tenant_id), among(AclNode.id, "ids")))


class Anchors:
    """All places of a tenant that state labels, all roots, and what holds at each.

    There may be thousands, so that what is alike in two of them is worked out once: states and statements have numbers,
    and what a number of the one makes of a number of the other is kept.
    """

    def __init__(self, session: Session, tenant: int, order: Sequence[str]) -> None:
        self._order = order
        self._parent: dict[int, int | None] = {}
        self._source: dict[int, int] = {}
        self._stated = self._statements(session, tenant)
        stating = list(self._parent)
        roots = self._take(_ROOTS.plain(session, tenant=tenant))
        self._load(session, tenant)
        self._ids = sorted({*roots, *stating})
        self._states: list[State] = [()]
        self._numbers: dict[State, int] = {(): 0}
        self._held: dict[int, int] = {}
        self._made: dict[tuple[int, int], int] = {}

    def _statements(self, session: Session, tenant: int) -> dict[int, int]:
        """The number of what each place states; `_owns` has what the numbers mean."""
        stated: dict[int, Own] = {}
        for node, parent, source, name, value, origin in _STATED.plain(session, tenant=tenant):
            self._parent[node], self._source[node] = parent, source
            own = ((name, value, origin),)
            stated[node] = own if node not in stated else stated[node] + own
        numbers: dict[Own, int] = {}
        found = {node: numbers.setdefault(own, len(numbers)) for node, own in stated.items()}
        self._owns = list(numbers)
        return found

    @property
    def sources(self) -> set[int]:
        """Ids of the sources that the places are of."""
        return {self._source[one] for one in self._ids}

    def alike(self) -> dict[tuple[Labels, int], list[int]]:
        """The anchors by the labels that hold there, in order, and by their source."""
        held: dict[tuple[int, int], list[int]] = {}
        for one in self._ids:
            parent = self._parent[one]
            above = 0 if parent is None else self._held.get(parent)
            state = self._state(one) if above is None else self._at(one, above)
            held.setdefault((state, self._source[one]), []).append(one)
        found: dict[tuple[Labels, int], list[int]] = {}
        for (state, source), ids in held.items():
            found.setdefault((self._labels(self._states[state]), source), []).extend(ids)
        return found

    def _load(self, session: Session, tenant: int) -> None:
        """Everything above the places that are known, a level at a time."""
        wanted = self._unknown(self._parent.values())
        while wanted:
            taken = self._take(_SOME.plain(session, tenant=tenant, ids=wanted))
            wanted = self._unknown(self._parent[one] for one in taken)

    def _unknown(self, above: Iterable[int | None]) -> list[int]:
        return sorted(one for one in set(above) if one is not None and one not in self._parent)

    def _take(self, rows: Sequence[Sequence[Any]]) -> list[int]:
        for node, parent, source in rows:
            self._parent[node], self._source[node] = parent, source
        return [row[0] for row in rows]

    def _labels(self, state: State) -> Labels:
        nearest = {key: (distance, LabelView(key[0], value, key[1])) for key, (distance, value) in state}
        return tuple(sorted((name, one.value) for name, one in settle(nearest, self._order).items()))

    def _state(self, start: int) -> int:
        """The number of the nearest statements at a place: those at its parent, but for what it states itself."""
        way: list[int] = []
        at: int | None = start
        while at is not None and at in self._parent and at not in self._held and len(way) <= len(self._parent):
            way.append(at)
            at = self._parent[at]
        state = 0 if at is None else self._held.get(at, 0)
        for one in reversed(way):
            state = self._at(one, state)
        return state

    def _at(self, place: int, above: int) -> int:
        """The number of the nearest statements at a place, where `above` is that of its parent."""
        own = self._stated.get(place)
        if own is None:
            self._held[place] = above
            return above
        made = self._made.get((above, own))
        if made is None:
            state = _nearest(self._states[above], self._owns[own])
            made = self._made[above, own] = self._numbers.setdefault(state, len(self._states))
            if made == len(self._states):
                self._states.append(state)
        self._held[place] = made
        return made


def _nearest(above: State, own: Own) -> State:
    nearest = dict(above)
    for name, value, origin in reversed(own):
        nearest[name, origin] = (0, value)
    for name in {name for name, _, origin in own if origin == "admin"}:
        farther = nearest.get((name, "source"))
        if farther is not None and all(one[::2] != (name, "source") for one in own):
            nearest[name, "source"] = (1, farther[1])
    return tuple(sorted(nearest.items()))
