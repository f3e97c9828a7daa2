"""An admin's own entries and labels at places: stated, ended, listed. A sync leaves them alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, aliased

from core.db import now
from core.errors import InvalidError, NotFoundError
from core.prepared import Prepared, insertion, of_tenant
from core.tables import Ace, AclNode, Label, Principal, Source
from policies.epoch import bump
from policies.model import EVERYONE, check_principal
from policies.principals import intern


@dataclass(frozen=True, slots=True)
class StatedEntry:
    """An admin's entry at a place, named `source:key of the place`; `source:` is the source's root."""

    place: str
    principal: str
    effect: Literal["allow", "deny"] = "allow"
    app: str | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StandingEntry:
    """An entry that stands, of an admin or a source. `waived`: an unresolved deny that an admin let stand open."""

    id: int
    place: str
    principal: str
    effect: str
    origin: str
    app: str | None
    not_before: datetime | None
    expires_at: datetime | None
    waived: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        times = {name: getattr(self, name) for name in ("not_before", "expires_at")}
        return {**asdict(self), **{name: at.isoformat() if at else None for name, at in times.items()}}


def add_entry(session: Session, tenant: int, entry: StatedEntry) -> int:
    """States an entry from now on, and returns its id.

    Raises:
        NotFoundError: there is no such place.
        InvalidError: something named is no principal, or its time is over or ends before it begins.
    """
    if entry.expires_at is not None and entry.expires_at <= max(entry.not_before or now(session), now(session)):
        raise InvalidError("expires_at is over, or not after not_before", errors=[{"field": "expires_at"}])
    names = [check_principal(entry.principal), *([f"app:{entry.app}"] if entry.app else [])]
    ids = intern(session, tenant, names)
    return put_entry(
        session,
        tenant_id=tenant,
        node_id=place_node(session, tenant, entry.place),
        principal_id=ids[entry.principal],
        effect=entry.effect,
        origin="admin",
        app_id=ids[f"app:{entry.app}"] if entry.app else None,
        not_before=entry.not_before,
        expires_at=entry.expires_at,
    )


_ENTRY = insertion(
    Ace,
    "tenant_id", "node_id", "principal_id", "effect", "origin", "app_id", "not_before", "expires_at", "waived",
    "epoch_from", returning="id",
)  # fmt: skip


def put_entry(session: Session, *, tenant_id: int, **columns: Any) -> int:
    """Writes an entry of these columns that holds from this transaction's epoch on; returns its id."""
    epoch = bump(session, tenant_id)
    id_: int = _ENTRY.first(session, tenant_id=tenant_id, **columns, waived=False, epoch_from=epoch).id
    return id_


def end_entries(session: Session, tenant: int, ids: Iterable[int], *, origin: str | None = None) -> None:
    """Ends entries; of one origin alone, where it is given.

    Raises:
        NotFoundError: there is no such entry in force.
    """
    for id_ in ids:
        row = session.get(Ace, id_)
        gone = row is None or row.tenant_id != tenant or row.epoch_to is not None
        if row is None or gone or (origin is not None and row.origin != origin):
            raise NotFoundError(f"there is no entry {id_} in force")
        row.epoch_to = bump(session, tenant)
    session.flush()


def place_node(session: Session, tenant: int, place: str) -> int:
    """The node of a place.

    Raises:
        NotFoundError: there is none.
    """
    source, _, key = place.partition(":")
    found = _PLACE.first(session, tenant=tenant, source=source, key=key)
    if found is None:
        raise no_place(place)
    node: int = found.id
    return node


def no_place(place: str) -> NotFoundError:
    """Says that there is no such place."""
    return NotFoundError(f"there is no place {place!r}; write source:key, as in files:hr, or files: for the root")


_PLACE = Prepared(
    select(AclNode.id)
    .join(Source, Source.id == AclNode.source_id)
    .where(
        of_tenant(AclNode.tenant_id),
        Source.tenant_id == bindparam("tenant"),
        Source.key == bindparam("source"),
        AclNode.key == bindparam("key"),
    )
)


def standing_entry(session: Session, tenant: int, id_: int) -> StandingEntry:
    """An entry that stands, by its id.

    Raises:
        NotFoundError: there is none.
    """
    found = _standing(session, tenant, Ace.id == id_)
    if not found:
        raise NotFoundError(f"there is no entry {id_} in force")
    return found[0]


def source_of_standing(session: Session, tenant: int, id_: int) -> int | None:
    """Internal id of the source in which an entry stands; None where there is no such entry in force."""
    return session.scalar(
        select(AclNode.source_id)
        .join(Ace, Ace.node_id == AclNode.id)
        .where(Ace.tenant_id == tenant, Ace.id == id_, Ace.epoch_to.is_(None))
    )


def admin_entries(session: Session, tenant: int, source: str | None = None) -> list[StandingEntry]:
    """What admins have stated, everywhere or in one source."""
    return _standing(session, tenant, Ace.origin == "admin", *([Source.key == source] if source else []))


def admin_labels(session: Session, tenant: int, source: str | None = None) -> list[dict[str, str]]:
    """Labels that admins have stated, everywhere or in one source."""
    rows = session.execute(
        select(Source.key, AclNode.key, Label.name, Label.value)
        .join(AclNode, AclNode.id == Label.node_id)
        .join(Source, Source.id == AclNode.source_id)
        .where(
            Label.tenant_id == tenant,
            Label.epoch_to.is_(None),
            Label.origin == "admin",
            *([Source.key == source] if source else []),
        )
        .order_by(Source.key, AclNode.key, Label.name)
    )
    return [{"place": f"{of}:{key}", "name": name, "value": value} for of, key, name, value in rows]


def _standing(session: Session, tenant: int, *where: Any) -> list[StandingEntry]:
    app = aliased(Principal)
    rows = session.execute(
        select(Ace, Source.key, AclNode.key, Principal.kind, Principal.key, app.key)
        .join(AclNode, AclNode.id == Ace.node_id)
        .join(Source, Source.id == AclNode.source_id)
        .join(Principal, Principal.id == Ace.principal_id)
        .outerjoin(app, app.id == Ace.app_id)
        .where(Ace.tenant_id == tenant, Ace.epoch_to.is_(None), *where)
        .order_by(Ace.id)
    )
    return [
        StandingEntry(
            id=row.id,
            place=f"{source}:{place}",
            principal=EVERYONE if kind == EVERYONE else f"{kind}:{key}",
            effect=row.effect,
            origin=row.origin,
            app=through,
            not_before=row.not_before,
            expires_at=row.expires_at,
            waived=row.waived,
        )
        for row, source, place, kind, key, through in rows
    ]
