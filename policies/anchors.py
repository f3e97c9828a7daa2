"""The places of a tenant that state labels, and what holds at each, for rules that are asked about all of them."""

from __future__ import annotations

from collections.abc import Sequence
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
    select(Label.node_id, Label.name, Label.value, Label.origin)
    .where(Label.tenant_id == bindparam("tenant"), Label.epoch_to.is_(None))
    .order_by(Label.node_id)
)
_PLACE = (AclNode.id, AclNode.parent_id, AclNode.source_id)
_ROOTS = Prepared(select(*_PLACE).where(AclNode.tenant_id == bindparam("tenant"), AclNode.parent_id.is_(None)))
_SOME = Prepared(select(*_PLACE).where(of_tenant(AclNode.tenant_id), among(AclNode.id, "ids")))


class Anchors:
    """All places of a tenant that state labels, all roots, and what holds at each.

    There may be thousands, so that what is alike in two of them is worked out once.
    """

    def __init__(self, session: Session, tenant: int, order: Sequence[str]) -> None:
        self._order = order
        self._stated: dict[int, Own] = {}
        for node, *label in _STATED.plain(session, tenant=tenant):
            self._stated[node] = (*self._stated.get(node, ()), (label[0], label[1], label[2]))
        self._parent: dict[int, int | None] = {}
        self._source: dict[int, int] = {}
        roots = self._take(_ROOTS.plain(session, tenant=tenant))
        self._load(session, tenant)
        self._ids = sorted({*roots, *(self._stated.keys() & self._parent.keys())})
        self._held: dict[int, State] = {}
        self._made: dict[tuple[State, Own], State] = {}

    @property
    def sources(self) -> set[int]:
        """Ids of the sources that the places are of."""
        return {self._source[one] for one in self._ids}

    def alike(self) -> dict[tuple[Labels, int], list[int]]:
        """The anchors by the labels that hold there, in order, and by their source."""
        held: dict[tuple[State, int], list[int]] = {}
        for one in self._ids:
            held.setdefault((self._state(one), self._source[one]), []).append(one)
        found: dict[tuple[Labels, int], list[int]] = {}
        for (state, source), ids in held.items():
            found.setdefault((self._labels(state), source), []).extend(ids)
        return found

    def _load(self, session: Session, tenant: int) -> None:
        """The places that state labels and everything above them, a level at a time."""
        wanted = sorted(self._stated.keys() - self._parent.keys())
        while wanted:
            taken = self._take(_SOME.plain(session, tenant=tenant, ids=wanted))
            above = {self._parent[one] for one in taken}
            wanted = sorted(one for one in above if one is not None and one not in self._parent)

    def _take(self, rows: Sequence[Sequence[Any]]) -> list[int]:
        self._parent |= {row[0]: row[1] for row in rows}
        self._source |= {row[0]: row[2] for row in rows}
        return [row[0] for row in rows]

    def _labels(self, state: State) -> Labels:
        nearest = {key: (distance, LabelView(key[0], value, key[1])) for key, (distance, value) in state}
        return tuple(sorted((name, one.value) for name, one in settle(nearest, self._order).items()))

    def _state(self, start: int) -> State:
        """The nearest statements at a place: those at its parent, but for what it states itself."""
        way: list[int] = []
        at: int | None = start
        while at is not None and at in self._parent and at not in self._held and len(way) <= len(self._parent):
            way.append(at)
            at = self._parent[at]
        state = () if at is None else self._held.get(at, ())
        for one in reversed(way):
            own = self._stated.get(one)
            state = self._held[one] = state if own is None else self._below(state, own)
        return state

    def _below(self, above: State, own: Own) -> State:
        """The nearest statements at a place that states `own`, where `above` are those at its parent."""
        if (above, own) not in self._made:
            nearest = dict(above)
            for name, value, origin in reversed(own):
                nearest[name, origin] = (0, value)
            for name in {name for name, _, origin in own if origin == "admin"}:
                farther = nearest.get((name, "source"))
                if farther is not None and all(one[::2] != (name, "source") for one in own):
                    nearest[name, "source"] = (1, farther[1])
            self._made[above, own] = tuple(sorted(nearest.items()))
        return self._made[above, own]
