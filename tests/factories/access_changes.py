"""Random changes to a world already written: one of every kind that a decision reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import AclNode, App, Document, Group, Policy, Source, Tenant, User
from ingest.deletion import await_move, delete_documents, hold_documents, move, show_documents
from policies import directory, nodes
from policies.decide import decide
from policies.epoch import bump, remember, source_state
from policies.labels import set_classifications
from policies.model import AccessSpec
from policies.subject import Caller, resolve_subject
from tests.factories.random_world import EMAILS, GROUPS, _entries, _labels
from tests.factories.world import Built, _to_entry

Change = Callable[[Session, Built, Random], Any]
CONDITIONS = (
    "document.classification == 'restricted'",
    "principal.department == 'hr'",
    "'staff' in principal.groups",
    "principal.id == 'ana'",
    "rank(document.classification) > rank(principal.clearance)",
)


def _pick(session: Session, table: Any, built: Built, rng: Random) -> Any:
    rows = session.scalars(select(table).where(table.tenant_id == built.tenant).order_by(table.id)).all()
    return rng.choice(rows) if rows else None


def _user(session: Session, built: Built, rng: Random) -> None:
    directory.put_user(
        session,
        built.tenant,
        rng.choice(["ana", "bob", "cy", "dan"]),
        email=rng.choice(EMAILS),
        active=rng.random() < 0.7,
        email_verified=rng.random() < 0.7,
        attributes=rng.choice([{}, {"department": "hr"}, {"clearance": "restricted"}]),
    )


def _user_groups(session: Session, built: Built, rng: Random) -> None:
    user = _pick(session, User, built, rng)
    if user is not None:
        directory.set_containers(session, built.tenant, f"user:{user.key}", rng.sample(GROUPS, 2))


def _group_groups(session: Session, built: Built, rng: Random) -> None:
    directory.set_containers(session, built.tenant, f"group:{rng.choice(GROUPS)}", rng.sample(GROUPS, 1))


def _members(session: Session, built: Built, rng: Random) -> None:
    directory.set_members(session, built.tenant, rng.choice(GROUPS), rng.sample(["everyone", "user:a@x.org"], 1))


def _group(session: Session, built: Built, rng: Random) -> None:
    directory.put_group(session, built.tenant, rng.choice([*GROUPS, "ghost"]))


def _removed(table: Any, kind: str) -> Change:
    def remove(session: Session, built: Built, rng: Random) -> None:
        row = _pick(session, table, built, rng)
        if row is not None:
            directory.remove(session, built.tenant, f"{kind}:{row.key}")

    return remove


def _app(session: Session, built: Built, rng: Random) -> None:
    sources = rng.choice([None, [], ["wiki"], ["drive"]])
    key = rng.choice(["chat", "desk"])
    directory.put_app(session, built.tenant, key, sources=sources, active=rng.random() < 0.8)


def _source(session: Session, built: Built, rng: Random) -> None:
    row = _pick(session, Source, built, rng)
    remember(session, built.tenant, "source", row, source_state(row))
    row.state = rng.choice(["active", "active", "paused", "deleted"])
    row.max_access_age_s = rng.choice([None, 3600])
    row.access_synced_at = rng.choice([None, now(session), now(session) - timedelta(hours=2)])


def _stated(session: Session, built: Built, rng: Random) -> None:
    node, at, mode = _pick(session, AclNode, built, rng), now(session), rng.choice(["inherit", "break", "narrow"])
    entries = frozenset(_to_entry(one, at) for one in _entries(rng, 3))
    spec = AccessSpec(mode=mode, entries=entries, labels=_labels(rng), closed=rng.random() < 0.15)
    nodes.state(session, node, spec)


def _admin(session: Session, built: Built, rng: Random) -> None:
    node, at = _pick(session, AclNode, built, rng), now(session)
    entries = frozenset(_to_entry(one, at) for one in _entries(rng, 2))
    nodes.state(session, node, AccessSpec(entries=entries, labels=_labels(rng)), origin="admin")


def _container(session: Session, built: Built, rng: Random) -> None:
    node = _pick(session, AclNode, built, rng)
    above = session.scalars(
        select(AclNode.id).where(AclNode.source_id == node.source_id, AclNode.id < node.id).order_by(AclNode.id)
    ).all()
    if node.key.startswith("=") or not above:
        return
    tenant = session.get_one(Tenant, built.tenant)
    spec = nodes.stated(session, node)
    nodes.put_container(
        session, tenant, node.source_id, key=node.key, parent=rng.choice(above), title=node.title, spec=spec
    )


def _released(session: Session, built: Built, rng: Random) -> None:
    nodes.release(session, session.scalars(select(AclNode).where(AclNode.tenant_id == built.tenant)).all())


def _document(session: Session, built: Built, rng: Random) -> None:
    row = _pick(session, Document, built, rng)
    target = session.scalars(select(AclNode.id).where(AclNode.source_id == row.source_id).order_by(AclNode.id)).all()
    what = rng.choice(["move", "wait", "hold", "show", "delete"])
    if what == "move":
        move(session, row, rng.choice(target))
    elif what == "wait":
        await_move(session, row, rng.choice(target))
    elif what == "delete":
        delete_documents(session, built.tenant, [row.id])
    else:
        (hold_documents if what == "hold" else show_documents)(session, built.tenant, [row.id])


def _rule(session: Session, built: Built, rng: Random) -> None:
    row = _pick(session, Policy, built, rng)
    epoch = bump(session, built.tenant)
    if row is not None and row.epoch_to is None and rng.random() < 0.5:
        row.epoch_to = epoch
        return
    session.add(
        Policy(
            tenant_id=built.tenant,
            key=f"rule-{epoch}",
            effect=rng.choice(["permit", "forbid"]),
            condition=rng.choice(CONDITIONS),
            enforced=rng.random() < 0.8,
            epoch_from=epoch,
        )
    )


def _order(session: Session, built: Built, rng: Random) -> None:
    ordered = ["public", "internal", "confidential", "restricted"]
    rng.shuffle(ordered)
    set_classifications(session, built.tenant, ordered)


CHANGES: dict[str, Change] = {
    "the order of classifications": _order,
    "a user": _user,
    "a user's groups": _user_groups,
    "a group's groups": _group_groups,
    "members": _members,
    "a group": _group,
    "a user removed": _removed(User, "user"),
    "a group removed": _removed(Group, "group"),
    "an app": _app,
    "an app removed": _removed(App, "app"),
    "a source": _source,
    "what a source states": _stated,
    "what an admin states": _admin,
    "another parent": _container,
    "what waited": _released,
    "a document": _document,
    "a rule": _rule,
}
People = dict[tuple[str, int], tuple[bool, str]]


def verdicts(session: Session, built: Built, app: str | None, documents: Iterable[int], at: Any = None) -> People:
    """What is decided for every user, active or not, one by one."""
    users = session.scalars(select(User.key).where(User.tenant_id == built.tenant)).all()
    found: People = {}
    for user in sorted(users):
        subject = resolve_subject(session, Caller(built.tenant, user, app))
        for document, verdict in decide(session, subject, documents, at=at).items():
            found[user, document] = (verdict.allowed, verdict.reason)
    return found


def own_documents(built: Built, world: Any) -> list[int]:
    """Documents of the world's own tenant."""
    return [id_ for key, id_ in built.documents.items() if key not in world.foreign]
