"""Everything stated at a set of nodes, whether it counts or not; for explanations alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.tables import Ace, AclNode, Principal
from policies.model import EVERYONE
from policies.subject import Subject


@dataclass(frozen=True, slots=True)
class StatedEntry:
    """An open entry, in force or not. `known`: whether its principal means somebody."""

    id: int
    node: int
    principal_id: int
    principal: str
    effect: str
    origin: str
    app_id: int | None
    app: str | None
    not_before: datetime | None
    expires_at: datetime | None
    waived: bool
    known: bool


def entries_at(
    session: Session, tenant: int, nodes: Iterable[int]
) -> tuple[dict[int, list[StatedEntry]], dict[int, str]]:
    """All open entries by node, oldest first, and the nodes' titles."""
    wanted = sorted(set(nodes))
    app = aliased(Principal)
    found: dict[int, list[StatedEntry]] = {}
    rows = session.execute(
        select(Ace, Principal, app.key)
        .join(Principal, Principal.id == Ace.principal_id)
        .outerjoin(app, app.id == Ace.app_id)
        .where(Ace.tenant_id == tenant, Ace.node_id.in_(wanted), Ace.epoch_to.is_(None))
        .order_by(Ace.id)
    )
    for ace, principal, app_key in rows:
        found.setdefault(ace.node_id, []).append(_stated(ace, principal, app_key))
    titles = session.execute(select(AclNode.id, AclNode.title).where(AclNode.id.in_(wanted)))
    return found, {row.id: row.title for row in titles}


def _stated(ace: Ace, principal: Principal, app: str | None) -> StatedEntry:
    return StatedEntry(
        id=ace.id,
        node=ace.node_id,
        principal_id=principal.id,
        principal=EVERYONE if principal.kind == EVERYONE else f"{principal.kind}:{principal.key}",
        effect=ace.effect,
        origin=ace.origin,
        app_id=ace.app_id,
        app=app,
        not_before=ace.not_before,
        expires_at=ace.expires_at,
        waived=ace.waived,
        known=principal.subject_id is not None or principal.kind == EVERYONE,
    )


def why_not(entry: StatedEntry, subject: Subject, at: datetime) -> str:
    """`counts`, or the first thing that keeps an entry from counting for this caller.

    For a deny, `unresolved` counts: it makes the place unreadable for all; so does `uncertain`, for this caller.
    """
    if entry.not_before is not None and at < entry.not_before:
        return "not_begun"
    if entry.expires_at is not None and at >= entry.expires_at:
        return "ended"
    through = subject.app.principal if subject.app else None
    if entry.app_id is not None and entry.app_id != through:
        return "other_app"
    if not entry.known:
        return "waived" if entry.waived else "unresolved"
    if entry.principal.startswith("app:"):
        return _app_entry(entry, through)
    return _of_caller(entry, subject)


def _of_caller(entry: StatedEntry, subject: Subject) -> str:
    if entry.principal_id in subject.uncertain:
        return "uncertain"
    return "counts" if entry.principal_id in subject.principals else "not_yours"


def _app_entry(entry: StatedEntry, through: int | None) -> str:
    if entry.effect == "allow":
        return "app_never_allows"
    return "counts" if entry.principal_id == through else "not_yours"
