"""A small world of people, places and documents as plain data.

Times are whole seconds relative to "now"; names are the ones a person would write. A world is read from YAML by
`parse`, judged by `tests.factories.oracle`, and written to SQL by `build`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.ids import public_id
from core.tables import Ace, AclNode, Directory, Document, Source, Tenant
from policies import directory, labels, nodes
from policies.epoch import bump
from policies.model import AccessSpec, Entry
from policies.principals import intern
from policies.rules_store import put_rule


@dataclass(frozen=True)
class WEntry:
    """An entry; `start` and `end` are seconds from now, None unbounded."""

    principal: str
    effect: str = "allow"
    start: int | None = None
    end: int | None = None
    app: str | None = None
    waived: bool = False


@dataclass(frozen=True)
class WUser:
    """A person; `groups` are keys. `by`: the directory that alone speaks of them; None: an admin does.

    `claimed`: groups that the token names by which they ask; `overage`: it had more than it could name.
    """

    groups: tuple[str, ...] = ()
    email: str | None = None
    verified: bool = True
    active: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    claimed: tuple[str, ...] = ()
    overage: bool = False


@dataclass(frozen=True)
class WDirectory:
    """A directory; `synced` is how many seconds ago its last sync began, None: never."""

    max_age: int | None = None
    synced: int | None = 0


@dataclass(frozen=True)
class WRule:
    """A rule in CEL; one that is not enforced is only counted."""

    effect: str
    when: str
    enforced: bool = True


@dataclass(frozen=True)
class WApp:
    """A program; `sources` None: all."""

    sources: tuple[str, ...] | None = None
    active: bool = True


@dataclass(frozen=True)
class WSource:
    """A source; `crawled` is how many seconds ago its last complete access crawl started, None: never."""

    max_age: int | None = None
    crawled: int | None = 0
    state: str = "active"


@dataclass(frozen=True)
class WNode:
    """A place: what its source states, and what an admin laid over it."""

    source: str
    parent: str | None = None
    mode: str = "inherit"
    closed: bool = False
    entries: tuple[WEntry, ...] = ()
    admin: tuple[WEntry, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    admin_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WDoc:
    """A document at a node, and at a second one while its widening waits."""

    node: str
    pending: str | None = None
    state: str = "live"


@dataclass(frozen=True)
class World:
    """Everything that decides. `groups` maps a known group to the groups that hold it; `members` adds principals,
    and `fed` the members that each directory states of a group.

    `address` is where every question comes from. `began` is the time from which seconds count; None: the real one.

    `foreign` are documents of the same shape in another tenant, for which every name means somebody else.
    """

    users: Mapping[str, WUser]
    groups: Mapping[str, tuple[str, ...]]
    nodes: Mapping[str, WNode]
    documents: Mapping[str, WDoc]
    apps: Mapping[str, WApp] = field(default_factory=dict)
    sources: Mapping[str, WSource] = field(default_factory=lambda: {"s": WSource()})
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    directories: Mapping[str, WDirectory] = field(default_factory=dict)
    fed: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    rules: tuple[WRule, ...] = ()
    classifications: tuple[str, ...] = ("public", "internal", "confidential", "restricted")
    address: str | None = None
    began: datetime | None = None


def parse(body: Mapping[str, Any]) -> World:
    """The world a YAML case states; what is absent is empty, and there is one source `s`."""
    _known(body, *(one.name for one in fields(World)))
    sources = {key: WSource(**(one or {})) for key, one in body.get("sources", {"s": None}).items()}
    nodes: dict[str, WNode] = {}
    for key, one in body.get("nodes", {}).items():
        nodes[key] = _node(one or {}, nodes, next(iter(sources)))
    return World(
        users={key: _user(one or {}) for key, one in body.get("users", {}).items()},
        groups={key: tuple(one or ()) for key, one in body.get("groups", {}).items()},
        members={key: tuple(one) for key, one in body.get("members", {}).items()},
        directories={key: WDirectory(**(one or {})) for key, one in body.get("directories", {}).items()},
        fed={group: {key: tuple(one) for key, one in stated.items()} for group, stated in body.get("fed", {}).items()},
        apps={key: _app(one or {}) for key, one in body.get("apps", {}).items()},
        sources=sources,
        nodes=nodes,
        documents={
            key: WDoc(one) if isinstance(one, str) else WDoc(**one) for key, one in body.get("documents", {}).items()
        },
        foreign=tuple(body.get("foreign", ())),
        rules=tuple(_rule(one) for one in body.get("rules", ())),
        classifications=tuple(body.get("classifications", World.classifications)),
        address=body.get("address"),
    )


def _known(body: Mapping[str, Any], *keys: str) -> None:
    unknown = set(body) - set(keys)
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r} in a case")


def _user(body: Mapping[str, Any]) -> WUser:
    return WUser(**{**body, **{name: tuple(body.get(name, ())) for name in ("groups", "claimed")}})


def _rule(body: Mapping[str, Any]) -> WRule:
    _known(body, "permit", "forbid", "enforced")
    effect = "permit" if "permit" in body else "forbid"
    return WRule(effect, body[effect], body.get("enforced", True))


def _app(body: Mapping[str, Any]) -> WApp:
    sources = body.get("sources")
    return WApp(sources=None if sources is None else tuple(sources), active=body.get("active", True))


def _node(body: Mapping[str, Any], known: Mapping[str, WNode], source: str) -> WNode:
    _known(body, "source", "parent", "inherit", "closed", "allow", "deny", "labels", "admin")
    parent = body.get("parent")
    admin = body.get("admin", {})
    _known(admin, "allow", "deny", "labels")
    return WNode(
        source=body.get("source") or (known[parent].source if parent else source),
        parent=parent,
        mode={True: "inherit", False: "break", "narrow": "narrow"}[body.get("inherit", True)],
        closed=body.get("closed", False),
        entries=_entries(body),
        admin=_entries(admin),
        labels=body.get("labels", {}),
        admin_labels=admin.get("labels", {}),
    )


def _entries(body: Mapping[str, Any]) -> tuple[WEntry, ...]:
    return tuple(_entry(one, effect) for effect in ("allow", "deny") for one in body.get(effect, ()))


def _entry(body: str | Mapping[str, Any], effect: str) -> WEntry:
    if isinstance(body, str):
        return WEntry(body, effect)
    _known(body, "principal", "from", "until", "app", "waived")
    return WEntry(
        principal=body["principal"],
        effect=effect,
        start=body.get("from"),
        end=body.get("until"),
        app=body.get("app"),
        waived=body.get("waived", False),
    )


@dataclass(frozen=True)
class Built:
    """A world in SQL: ids by the names the world uses."""

    tenant: int
    documents: Mapping[str, int]
    nodes: Mapping[str, int]
    sources: Mapping[str, int]


_serial = itertools.count(1)


def build(session: Session, world: World, *, directory_first: bool = True, tenant: str | None = None) -> Built:
    """Writes a world to a tenant of its own, people before places or after, as they come in life."""
    row = directory.put_tenant(session, tenant or f"t{next(_serial)}")
    labels.set_classifications(session, row.id, world.classifications)
    if directory_first:
        _write_directory(session, row.id, world)
    sources = {key: _write_source(session, row.id, key, one) for key, one in world.sources.items()}
    rows = _write_nodes(session, row, world, sources)
    ids = {key: node.id for key, node in rows.items()}
    if not directory_first:
        _write_directory(session, row.id, world)
    documents = {
        key: _write_document(
            session,
            row.id,
            doc,
            node=ids[doc.node],
            pending=ids[doc.pending] if doc.pending else None,
            source=sources[world.nodes[doc.node].source],
        )
        for key, doc in world.documents.items()
        if key not in world.foreign
    }
    documents |= _write_foreign(session, world)
    for at, rule in enumerate(world.rules):
        put_rule(session, row.id, f"r{at}", effect=rule.effect, condition=rule.when, enforced=rule.enforced)
    return Built(tenant=row.id, documents=documents, nodes=ids, sources=sources)


def spec_of(node: WNode, at: datetime, *, origin: str = "source") -> AccessSpec:
    """What the source, or an admin, states at a node."""
    mode: Any = node.mode
    entries = frozenset(_to_entry(one, at) for one in (node.entries if origin == "source" else node.admin))
    if origin == "admin":
        return AccessSpec(entries=entries, labels=dict(node.admin_labels))
    return AccessSpec(mode=mode, entries=entries, labels=dict(node.labels), closed=node.closed)


def _to_entry(one: WEntry, at: datetime) -> Entry:
    effect: Any = one.effect
    start, end = (None if s is None else at + timedelta(seconds=s) for s in (one.start, one.end))
    return Entry(one.principal, effect, start, end, one.app)


def _write_directory(session: Session, tenant: int, world: World) -> None:
    for key, one in world.directories.items():
        synced = None if one.synced is None else now(session) - timedelta(seconds=one.synced)
        epoch = bump(session, tenant)
        session.add(
            Directory(tenant_id=tenant, key=key, config={}, max_age_s=one.max_age, synced_at=synced, epoch_from=epoch)
        )
    for key, user in world.users.items():
        directory.put_user(
            session,
            tenant,
            key,
            email=user.email,
            active=user.active,
            email_verified=user.verified,
            attributes=dict(user.attributes),
            origin="admin" if user.by is None else f"ldap:{user.by}",
        )
        directory.set_containers(session, tenant, f"user:{key}", user.groups)
    for key, containers in world.groups.items():
        directory.put_group(session, tenant, key)
        directory.set_containers(session, tenant, f"group:{key}", containers)
    for group, members in world.members.items():
        directory.set_members(session, tenant, group, members, origin="source")
    for group, stated in world.fed.items():
        for key, members in stated.items():
            directory.set_members(session, tenant, group, members, origin=f"ldap:{key}")
    for key, app in world.apps.items():
        sources = None if app.sources is None else list(app.sources)
        directory.put_app(session, tenant, key, sources=sources, active=app.active)


def _write_source(session: Session, tenant: int, key: str, source: WSource) -> int:
    crawled = None if source.crawled is None else now(session) - timedelta(seconds=source.crawled)
    row = Source(
        tenant_id=tenant,
        key=key,
        connector="push",
        config={},
        state=source.state,
        max_access_age_s=source.max_age,
        access_synced_at=crawled,
        epoch_from=bump(session, tenant),
    )
    session.add(row)
    session.flush()
    return row.id


def _write_nodes(session: Session, tenant: Tenant, world: World, sources: Mapping[str, int]) -> dict[str, AclNode]:
    at = now(session)
    rows: dict[str, AclNode] = {}
    for key, node in world.nodes.items():
        spec = spec_of(node, at)
        if key.startswith("=") and node.parent:
            rows[key] = nodes.shared_node(session, tenant.id, sources[node.source], rows[node.parent], spec)
        else:
            parent = rows[node.parent].id if node.parent else None
            rows[key] = nodes.put_container(
                session, tenant, sources[node.source], key=key, parent=parent, title=key, spec=spec
            )
        nodes.state(session, rows[key], spec_of(node, at, origin="admin"), origin="admin")
        _waive(session, rows[key], "source", node.entries)
        _waive(session, rows[key], "admin", node.admin)
    return rows


def _waive(session: Session, node: AclNode, origin: str, entries: Iterable[WEntry]) -> None:
    for one in entries:
        if not one.waived:
            continue
        principal = intern(session, node.tenant_id, [one.principal])[one.principal]
        found = select(Ace.id).where(
            Ace.node_id == node.id,
            Ace.origin == origin,
            Ace.principal_id == principal,
            Ace.effect == "deny",
            Ace.epoch_to.is_(None),
        )
        for id_ in session.scalars(found).all():
            nodes.waive(session, node.tenant_id, id_)


def _write_document(session: Session, tenant: int, doc: WDoc, *, node: int, pending: int | None, source: int) -> int:
    row = Document(
        public_id=public_id("doc"),
        tenant_id=tenant,
        source_id=source,
        external_id=public_id("x"),
        node_id=node,
        pending_node_id=pending,
        state=doc.state,
        version_id=None,
        epoch_from=bump(session, tenant),
    )
    session.add(row)
    session.flush()
    return row.id


def _write_foreign(session: Session, world: World) -> dict[str, int]:
    """The foreign documents, open to everyone in a tenant with the same names."""
    if not world.foreign:
        return {}
    twin = World(
        users=world.users,
        groups=world.groups,
        nodes={"root": WNode("s", entries=(WEntry("everyone"), *(WEntry(f"user:{key}") for key in world.users)))},
        documents={key: WDoc("root") for key in world.foreign},
    )
    return dict(build(session, twin).documents)
