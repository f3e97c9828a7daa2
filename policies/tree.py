"""The tree of places as statements walk it, down and up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnElement, Label, Select, bindparam, except_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.prepared import Prepared, among, dialect_of
from core.tables import AclNode

Column = InstrumentedAttribute[Any] | Label[Any]
TENANT: Any = bindparam("tenant", type_=BigInteger())


def is_lateral(session: Session) -> bool:
    """Whether the database takes a lateral join, and without one would read all places to find a few, since it cannot
    tell how many a recursive statement meets.
    """
    return dialect_of(session) == "postgresql"


@dataclass(frozen=True, slots=True)
class Tree:
    """The places of the tenant bound as `tenant`; `lateral` is what `is_lateral` says."""

    lateral: bool

    def below(self, reached: CTE, *which: ColumnElement[bool]) -> Select[int]:
        """The places directly below those reached, as the recursive part of a statement."""
        mine = (AclNode.tenant_id == TENANT, AclNode.parent_id == reached.c.id, *which)
        return _joined(reached, (AclNode.id,), mine, lateral=self.lateral)

    def without(self, ids: Select[int], out: Select[int]) -> Select[int]:
        """Those of some ids that are not among others, as sets: an id may be told twice.

        PostgreSQL guesses far too many for `NOT IN` to be looked up; for SQLite `EXCEPT` sorts.
        """
        if self.lateral:
            return select(except_(ids, out).subquery().c.id)
        those = ids.subquery()
        return select(those.c.id).where(those.c.id.not_in(out))


def chains_up(columns: Sequence[Column]) -> dict[bool, Prepared]:
    """By `is_lateral`, the statement for places with the given `ids` and everything above them, each once.

    `columns` are those to read, with the id and the parent among them.
    """
    return {lateral: _up(columns, lateral=lateral) for lateral in (False, True)}


def _up(columns: Sequence[Column], *, lateral: bool) -> Prepared:
    chain = select(*columns).where(among(AclNode.id, "ids")).cte("chain", recursive=True)
    chain = chain.union(_joined(chain, columns, (AclNode.id == chain.c.parent_id,), lateral=lateral))
    return Prepared(select(*chain.c))


def _joined(
    reached: CTE, columns: Sequence[Any], which: Sequence[ColumnElement[bool]], *, lateral: bool
) -> Select[Any]:
    if not lateral:
        return select(*columns).select_from(reached).join(AclNode, true()).where(*which)
    one_by_one = select(*columns).where(*which).offset(0).correlate(reached).lateral()
    return select(*one_by_one.c).select_from(reached).join(one_by_one, true())
