"""Who could read what at an earlier time, from the rows that are closed and never overwritten.

The world of then is put together in memory out of what stood at its epoch, and decided on as any other. Names are
resolved anew in it, since whom a name means follows from the people, groups and apps of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table, and_, func, or_, select
from sqlalchemy.orm import Session

from core.clock import from_us
from core.db import now
from core.errors import InvalidError, NotFoundError
from core.tables import (
    AclNode,
    App,
    Base,
    Directory,
    Document,
    EpochTime,
    Group,
    Principal,
    Source,
    StateHistory,
    Tenant,
    User,
)
from policies.epoch import current
from policies.model import EVERYONE
from policies.worlds import Row, deciding_tables, empty_world, fill, table_of

_KINDS: Mapping[str, type[Base]] = MappingProxyType(
    {
        "user": User,
        "group": Group,
        "app": App,
        "node": AclNode,
        "source": Source,
        "tenant": Tenant,
        "directory": Directory,
    }
)
"""Kinds of `StateHistory` and their tables; documents are taken one by one."""
_COLUMNS = MappingProxyType({"parent": "parent_id", "node": "node_id", "pending": "pending_node_id"})
"""Columns that a remembered state calls otherwise."""
_ABSENT: Mapping[str, Row] = MappingProxyType(
    {
        "user": {"email": None, "email_verified": True, "active": False, "attributes": {}, "stated": {}},
        "group": {"origin": "admin"},
        "app": {"sources": [], "acts_for": [], "models": None, "active": False},
    }
)
"""What a row that is gone is taken to have been where its history does not say."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An epoch that held at a time; `at` is also the time that entries and freshness are judged at."""

    epoch: int
    at: datetime


def moment(session: Session, tenant: int, *, at: datetime | None = None, epoch: int | None = None) -> Moment:
    """The epoch that held `at` a time, or the time an epoch began; now where neither is given.

    Raises:
        InvalidError: the time or the epoch is still to come.
        NotFoundError: it is before anything was recorded.
    """
    if epoch is not None:
        return Moment(epoch, at or _began(session, tenant, epoch))
    present = now(session)
    if at is None:
        return Moment(current(session, tenant), present)
    if at > present:
        raise InvalidError(f"{at.isoformat()} is still to come")
    found = session.scalar(select(func.max(EpochTime.epoch)).where(EpochTime.tenant_id == tenant, EpochTime.at <= at))
    if found is None:
        raise NotFoundError(f"nothing is recorded of {at.isoformat()}; access is recorded since the tenant was made")
    return Moment(found, at)


def _began(session: Session, tenant: int, epoch: int) -> datetime:
    found = session.scalar(select(EpochTime.at).where(EpochTime.tenant_id == tenant, EpochTime.epoch == epoch))
    if found is None:
        raise NotFoundError(f"there is no epoch {epoch}; the present one is {current(session, tenant)}")
    return found


@contextmanager
def as_of(session: Session, tenant: int, then: Moment, documents: Iterable[int]) -> Iterator[Session]:
    """A session on the tenant as it stood, with those of the documents that were there."""
    with empty_world(then.at) as world:
        past = _Past(session, tenant, then)
        for table in deciding_tables():
            fill(world, table, past.rows(table))
        fill(world, table_of(Document), past.documents(documents))
        yield world


class _Past:
    """Rows as they were at one epoch."""

    def __init__(self, session: Session, tenant: int, then: Moment) -> None:
        self._session, self._tenant, self._then = session, tenant, then
        self._kinds = {table_of(entity).name: kind for kind, entity in _KINDS.items()}
        self._made: dict[str, list[Row]] = {}
        self._special: Mapping[str, Callable[[], list[Row]]] = {
            "policy_epoch": lambda: [{"tenant_id": tenant, "epoch": then.epoch}],
            "principal": self._principals,
        }

    def rows(self, table: Table) -> list[Row]:
        """A table's rows."""
        if table.name in self._special:
            return self._special[table.name]()
        if "epoch_to" in table.c:
            return self._spans(table)
        if table.name in self._kinds:
            return self._states(self._kinds[table.name])
        return self._select(table, self._mine(table))

    def documents(self, ids: Iterable[int]) -> list[Row]:
        """Those of the documents that had been made by then."""
        table, wanted = table_of(Document), sorted(set(ids))
        known = self._history("document", wanted)
        rows = self._select(table, self._mine(table), table.c.id.in_(wanted), table.c.created_at <= self._then.at)
        return [{**row, **_columns(known.get(row["id"], {}))} for row in rows]

    def _spans(self, table: Table) -> list[Row]:
        """Rows that carry their own span, told as open."""
        epoch = self._then.epoch
        held = and_(table.c.epoch_from <= epoch, or_(table.c.epoch_to.is_(None), table.c.epoch_to > epoch))
        return [{**row, "epoch_to": None} for row in self._select(table, self._mine(table), held)]

    def _states(self, kind: str) -> list[Row]:
        """Rows of which earlier states are remembered."""
        if kind not in self._made:
            table = table_of(_KINDS[kind])
            past = self._history(kind)
            present = {row["id"]: row for row in self._select(table, self._mine(table))}
            found = [self._row(row, past.get(id_)) for id_, row in present.items()]
            gone = {id_: state for id_, state in past.items() if id_ not in present}
            found += [self._gone(kind, id_, state) for id_, state in gone.items()]
            self._made[kind] = [row for row in found if row is not None]
        return self._made[kind]

    def _row(self, row: Row, state: Mapping[str, Any] | None) -> Row | None:
        """A row that still stands, as it was; None where it was not there yet."""
        if state is not None:
            return {**row, **_columns(state)}
        return row if row.get("epoch_from", 0) <= self._then.epoch else None

    def _gone(self, kind: str, id_: int, state: Mapping[str, Any]) -> Row | None:
        """A row that has been removed since; its name stands in what was kept when it went."""
        last = self._session.scalar(
            select(StateHistory.state)
            .where(StateHistory.tenant_id == self._tenant, StateHistory.kind == kind, StateHistory.subject_id == id_)
            .order_by(StateHistory.epoch_to.desc())
            .limit(1)
        )
        known = {**_ABSENT.get(kind, {}), **(last or {}), **state}
        if kind not in _ABSENT or "key" not in known:
            return None
        names = {column.name for column in table_of(_KINDS[kind]).c}
        kept = {name: value for name, value in _columns(known).items() if name in names}
        return {**kept, "id": id_, "tenant_id": self._tenant, "epoch_from": 0}

    def _history(self, kind: str, ids: Iterable[int] | None = None) -> dict[int, dict[str, Any]]:
        """The remembered states that held, by row."""
        epoch = self._then.epoch
        limits = [
            StateHistory.tenant_id == self._tenant,
            StateHistory.kind == kind,
            StateHistory.epoch_from <= epoch,
            StateHistory.epoch_to > epoch,
        ]
        if ids is not None:
            limits.append(StateHistory.subject_id.in_(sorted(ids)))
        rows = self._session.execute(select(StateHistory.subject_id, StateHistory.state).where(*limits))
        return {row.subject_id: row.state for row in rows}

    def _principals(self) -> list[Row]:
        """Every name, meaning whom it meant."""
        table = table_of(Principal)
        users, groups, apps = (self._states(kind) for kind in ("user", "group", "app"))
        keys = {("user", row["key"]): row["id"] for row in users}
        keys |= {("group", row["key"]): row["id"] for row in groups} | {("app", row["key"]): row["id"] for row in apps}
        addresses: dict[str, list[int]] = {}
        for row in users:
            if row["email"] and row["active"] and row["email_verified"]:
                addresses.setdefault(row["email"].lower(), []).append(row["id"])

        def meant(kind: str, key: str) -> int | None:
            if kind == EVERYONE:
                return None
            if kind == "user" and "@" in key:
                found = addresses.get(key, [])
                return found[0] if len(found) == 1 else None
            return keys.get((kind, key))

        return [{**row, "subject_id": meant(row["kind"], row["key"])} for row in self._select(table, self._mine(table))]

    def _mine(self, table: Table) -> Any:
        return (table.c.id if table.name == Tenant.__tablename__ else table.c.tenant_id) == self._tenant

    def _select(self, table: Table, *where: Any) -> list[Row]:
        return [dict(row) for row in self._session.execute(select(*table.c).where(*where)).mappings()]


def _columns(state: Mapping[str, Any]) -> Row:
    """A remembered state in the names and types of its columns."""
    found = {_COLUMNS.get(name, name): value for name, value in state.items()}
    for name in ("access_synced_at", "synced_at"):
        if isinstance(found.get(name), int):
            found[name] = from_us(found[name])
    return found
