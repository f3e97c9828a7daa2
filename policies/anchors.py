"""The places of a tenant that state labels, and what holds at each, for rules that are asked about all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.prepared import Prepared, among, of_tenant
from core.tables import AclNode, Label
from policies.labels import LabelView, settle

T = TypeVar("T")
Said = tuple[str, str, str]
"""Name, value and origin of a label."""
Own = tuple[Said, ...]
"""The labels that a place states."""
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
        self._unstated = {name: one.value for name, one in settle({}, order).items()}
        self._parent: dict[int, int | None] = {}
        self._source: dict[int, int] = {}
        self._owns: list[Own] = []
        self._stated = self._statements(session, tenant)
        named = [frozenset(one[::2] for one in own) for own in self._owns]
        sets = _numbered([frozenset[tuple[str, str]](), *named])
        self._names: dict[int | None, int] = {None: 0}
        self._names |= {number: sets[names] for number, names in enumerate(named)}
        self._named = list(sets)
        roots = self._take(_ROOTS.plain(session, tenant=tenant))
        self._load(session, tenant)
        self._ids = sorted({*roots, *self._stated})
        self._states: list[State] = [()]
        self._numbers: dict[State, int] = {(): 0}
        self._held: dict[int | None, int] = {None: 0}
        self._made: dict[tuple[int, int], int] = {}
        self._kept: dict[tuple[int, int], int] = {}

    def _statements(self, session: Session, tenant: int) -> dict[int, int]:
        """The number of what each place states; `_owns` has what the numbers mean."""
        rows = _STATED.plain(session, tenant=tenant)
        nodes, parents, sources, *labels = list(zip(*rows, strict=True)) or [()] * 6
        self._parent.update(zip(nodes, parents, strict=True))
        self._source.update(zip(nodes, sources, strict=True))
        if len(self._parent) < len(rows):
            stated = _several(nodes, zip(*labels, strict=True))
            numbers = _numbered(stated.values())
            self._owns = list(numbers)
            return {node: numbers[own] for node, own in stated.items()}
        single = _numbered(zip(*labels, strict=True))
        self._owns = [(label,) for label in single]
        return dict(zip(nodes, map(single.__getitem__, zip(*labels, strict=True)), strict=True))

    @property
    def sources(self) -> set[int]:
        """Ids of the sources that the places are of."""
        return set(map(self._source.__getitem__, self._ids))

    def alike(self) -> dict[tuple[Labels, int], list[int]]:
        """The anchors by the labels that hold there, in order, and by their source."""
        sources = map(self._source.__getitem__, self._ids)
        held = defaultdict[tuple[int, int], list[int]](list)
        for one, key in zip(self._ids, zip(self._at_all(), sources, strict=True), strict=True):
            held[key].append(one)
        found: dict[tuple[Labels, int], list[int]] = {}
        for (state, source), ids in held.items():
            found.setdefault((self._labels(self._states[state]), source), []).extend(ids)
        return found

    def _at_all(self) -> Iterable[int]:
        """The number of the state of each anchor."""
        parents = list(map(self._parent.__getitem__, self._ids))
        for one in set(parents) - self._held.keys():
            self._find(one)
        above = list(map(self._held.__getitem__, parents))
        owns = list(map(self._stated.get, self._ids))
        names = list(map(self._names.__getitem__, owns))
        kept = {pair: self._without(*pair) for pair in set(zip(above, names, strict=True))}
        below = list(map(kept.__getitem__, zip(above, names, strict=True)))
        made = {pair: self._state(*pair) for pair in set(zip(below, owns, strict=True))}
        return map(made.__getitem__, zip(below, owns, strict=True))

    def _load(self, session: Session, tenant: int) -> None:
        """Everything above the places that are known, a level at a time."""
        wanted = self._unknown(self._parent.values())
        while wanted:
            taken = self._take(_SOME.plain(session, tenant=tenant, ids=wanted))
            wanted = self._unknown(self._parent[one] for one in taken)

    def _unknown(self, above: Iterable[int | None]) -> list[int]:
        return sorted(one for one in set(above).difference(self._parent) if one is not None)

    def _take(self, rows: Sequence[Sequence[Any]]) -> list[int]:
        for node, parent, source in rows:
            self._parent[node], self._source[node] = parent, source
        return [row[0] for row in rows]

    def _labels(self, state: State) -> Labels:
        stated = {name: value for (name, _), (_, value) in state}
        if len(stated) == len(state):  # no name is stated by both origins
            return tuple(sorted((self._unstated | stated).items()))
        nearest = {key: (distance, LabelView(key[0], value, key[1])) for key, (distance, value) in state}
        return tuple(sorted((name, one.value) for name, one in settle(nearest, self._order).items()))

    def _find(self, start: int | None) -> None:
        """Works out the state of a place and of all above it."""
        way: list[int | None] = []
        at = start
        while at not in self._held and len(way) <= len(self._parent):
            way.append(at)
            at = None if at is None else self._parent.get(at)
        state = self._held.get(at, 0)
        for one in reversed(way):
            own = None if one is None else self._stated.get(one)
            state = self._held[one] = self._state(self._without(state, self._names[own]), own)

    def _state(self, kept: int, own: int | None) -> int:
        """The number of the nearest statements at a place, from what it states itself and what that leaves `_without`
        of those at its parent.
        """
        if own is None:
            return kept
        made = self._made.get((kept, own))
        if made is None:
            made = self._made[kept, own] = self._number(_nearest(self._states[kept], self._owns[own]))
        return made

    def _without(self, above: int, names: int) -> int:
        """The number of a state without the statements that others by the same names and origins take the place of."""
        if not names:
            return above
        kept = self._kept.get((above, names))
        if kept is None:
            state = tuple(one for one in self._states[above] if one[0] not in self._named[names])
            kept = self._kept[above, names] = self._number(state)
        return kept

    def _number(self, state: State) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number


def _several(nodes: Iterable[int], labels: Iterable[Said]) -> dict[int, Own]:
    """What each place states, where some state more than one label."""
    stated: dict[int, Own] = {}
    for node, label in zip(nodes, labels, strict=True):
        stated[node] = (*stated.get(node, ()), label)
    return stated


def _numbered(each: Iterable[T]) -> dict[T, int]:
    """Numbers from 0 for what is alike."""
    return {one: number for number, one in enumerate(dict.fromkeys(each))}


def _nearest(above: State, own: Own) -> State:
    nearest = dict(above)
    for name, value, origin in reversed(own):
        nearest[name, origin] = (0, value)
    for name in {name for name, _, origin in own if origin == "admin"}:
        farther = nearest.get((name, "source"))
        if farther is not None and all(one[::2] != (name, "source") for one in own):
            nearest[name, "source"] = (1, farther[1])
    return tuple(sorted(nearest.items()))
