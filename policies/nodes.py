"""Access nodes as a sync states them: narrowing holds at once, widening waits for the content it was meant for.

A sync changes what it stated before and nothing else: an admin's entries and labels stay. When a container's access
changes, what holds at once is the *interim* of old and new, readable by nobody whom either would refuse; what the
source wants is kept in `pending` and applied by `release` when the run's content is in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.prepared import Prepared, of_tenant
from core.tables import Ace, AclNode, Label, Principal, Tenant
from policies.entries import put_entry
from policies.epoch import bump, remember
from policies.label_changes import changed, reads, undecided
from policies.labels import CLASSIFICATION, DEFAULT_CLASSIFICATION, inherited_at, stricter
from policies.model import CLOSED, EVERYONE, AccessSpec, Entry
from policies.principals import intern
from policies.rules import Rule

_EVERYONE = Entry(EVERYONE)
HIDDEN = "=closed"
"""Key of a source's node under which nobody reads."""


def digest(spec: AccessSpec) -> str:
    """Name of exactly this access."""
    return hashlib.blake2b(json.dumps(dump(spec), sort_keys=True).encode(), digest_size=16).hexdigest()


def dump(spec: AccessSpec) -> dict[str, Any]:
    """The access as plain JSON."""
    return {
        "mode": spec.mode,
        "closed": spec.closed,
        "labels": dict(sorted(spec.labels.items())),
        "entries": [
            [e.principal, e.effect, _stamp(e.not_before), _stamp(e.expires_at), e.app]
            for e in sorted(spec.entries, key=_order)
        ],
    }


def _order(entry: Entry) -> tuple[str, ...]:
    """Tells any two entries apart, so that equal access has one name in every process."""
    return (entry.principal, entry.effect, str(entry.not_before), str(entry.expires_at), entry.app or "")


def load(body: Mapping[str, Any]) -> AccessSpec:
    """The access that `dump` wrote."""
    entries = frozenset(
        Entry(p, effect, _time(start), _time(end), app) for p, effect, start, end, app in body["entries"]
    )
    return AccessSpec(mode=body["mode"], closed=body["closed"], labels=body["labels"], entries=entries)


def interim(
    old: AccessSpec,
    new: AccessSpec,
    classifications: Sequence[str],
    *,
    root: bool = False,
    inherited: str = DEFAULT_CLASSIFICATION,
) -> AccessSpec:
    """Access that refuses everyone whom `old` or `new` would refuse, and is `new` where that only narrows.

    At a `root` every mode means the same, since nothing above it could narrow. `inherited` is the classification
    that holds where the place states none. Free labels stay the old ones: whoever reads rules from them closes the
    place (`put_container`).
    """
    if new.closed:
        return new
    if old.closed:
        return AccessSpec(mode="break", closed=True, labels=new.labels)
    allows = {e for e in new.entries if e.effect == "allow"}
    before = {e for e in old.entries if e.effect == "allow"}
    denies = {e for e in (*old.entries, *new.entries) if e.effect == "deny"}
    labels = {**_free(old.labels), **stricter(old.labels, new.labels, inherited, classifications)}
    if old.mode == new.mode or root:
        return AccessSpec(mode=new.mode, entries=frozenset(_both(allows, before) | denies), labels=labels)
    if old.mode == "inherit":
        kept = allows
    elif new.mode == "inherit":
        kept = before
    else:
        kept = _both(allows, before)
    return AccessSpec(mode="narrow", entries=frozenset(kept | denies), labels=labels)


def _free(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != CLASSIFICATION}


def _both(one: set[Entry], other: set[Entry]) -> set[Entry]:
    """Allow entries for those whom both sets allow, as far as names tell: whoever is named is one of `everyone`."""
    kept = one & other
    for mine, theirs in ((one, other), (other, one)):
        if _EVERYONE in theirs:
            kept |= mine
    return kept


def put_container(
    session: Session,
    tenant: Tenant,
    source: int,
    *,
    key: str,
    parent: int | None,
    title: str,
    spec: AccessSpec,
    run: int | None = None,
) -> AclNode:
    """Makes or changes the node of a container as its source states it, in `run` where a run says so."""
    node = session.scalars(select(AclNode).where(AclNode.source_id == source, AclNode.key == key)).one_or_none()
    if node is None:
        return make_node(session, tenant.id, source, key=key, parent=parent, title=title, spec=spec)
    wanted = digest(spec)
    if node.access_hash != wanted or node.parent_id != parent:
        before = stated(session, node)
        held = interim(
            before,
            spec,
            tenant.classifications,
            root=parent is None,
            inherited=inherited_at(session, tenant.id, parent),
        )
        if node.parent_id != parent:
            _move(session, node, parent)
            held = replace(held, closed=True)
        elif undecided(session, tenant.id, before.labels, spec.labels):
            held = replace(held, closed=True)
        state(session, node, held)
        node.pending = None if held == spec else dump(spec)
        node.access_hash = wanted
    if node.pending is not None and run is not None:
        node.pending_run_id = max(run, node.pending_run_id or 0)
    node.title = title
    return node


def shared_node(session: Session, tenant: int, source: int, parent: AclNode, spec: AccessSpec) -> AclNode:
    """The node of all single documents that stand at `parent` with exactly this access of their own."""
    key = f"={parent.id}.{digest(spec)}"
    node = session.scalars(select(AclNode).where(AclNode.source_id == source, AclNode.key == key)).one_or_none()
    return node or make_node(session, tenant, source, key=key, parent=parent.id, spec=spec)


def closed_node(session: Session, tenant: int, source: int) -> AclNode:
    """The node under which nobody reads: for documents whose access is not settled."""
    node = session.scalars(select(AclNode).where(AclNode.source_id == source, AclNode.key == HIDDEN)).one_or_none()
    return node or make_node(session, tenant, source, key=HIDDEN, parent=None, spec=CLOSED)


def release(session: Session, nodes: Iterable[AclNode]) -> int:
    """Applies what was held back; returns how many nodes widened."""
    count = 0
    for node in nodes:
        if node.pending is not None:
            state(session, node, load(node.pending))
            node.pending = None
            count += 1
    return count


def shut_waiting(session: Session, tenant: int, rule: Rule) -> None:
    """Closes, until they are released, the places whose labels wait to change and are read by this new rule."""
    waiting = select(AclNode).where(AclNode.tenant_id == tenant, AclNode.pending.is_not(None), ~AclNode.closed)
    for node in session.scalars(waiting).all():
        held, wanted = stated(session, node), load(node.pending or {})
        if reads(rule, changed(held.labels, wanted.labels)):
            state(session, node, replace(held, closed=True))


def approve_pending(session: Session, source: int) -> int:
    """Marks what a source's nodes hold back as approved, so that it is not held a second time; returns how many."""
    rows = session.scalars(select(AclNode).where(AclNode.source_id == source, AclNode.pending.is_not(None))).all()
    for node in rows:
        node.pending = {**(node.pending or {}), "approved": True}
    return len(rows)


def waive(session: Session, tenant: int, entry: int) -> None:
    """Lets a deny whose principal means nobody known stand open; it denies as ever once the principal resolves.

    Raises:
        NotFoundError: there is no such deny in force.
    """
    row = session.get(Ace, entry)
    if row is None or row.tenant_id != tenant or row.effect != "deny" or row.epoch_to is not None:
        raise NotFoundError(f"there is no deny entry {entry}")
    if row.waived:
        return
    epoch = bump(session, tenant)
    kept = {c.key: getattr(row, c.key) for c in Ace.__table__.columns if c.key not in {"id", "waived", "epoch_from"}}
    session.add(Ace(**kept, waived=True, epoch_from=epoch))
    row.epoch_to = epoch
    session.flush()


def stated(session: Session, node: AclNode, *, origin: str = "source") -> AccessSpec:
    """What the rows of one origin, unless told the source's own, say at this node now."""
    rows = session.execute(
        select(Ace, Principal)
        .join(Principal, Principal.id == Ace.principal_id)
        .where(Ace.node_id == node.id, Ace.origin == origin, Ace.epoch_to.is_(None))
    ).all()
    apps = _names(session, [ace.app_id for ace, _ in rows if ace.app_id is not None])
    entries = frozenset(
        Entry(_name(p), "deny" if a.effect == "deny" else "allow", a.not_before, a.expires_at, apps.get(a.app_id or 0))
        for a, p in rows
    )
    labels = {row.name: row.value for row in _labels(session, node.tenant_id, node.id, origin)}
    mode: Any = node.mode
    return AccessSpec(mode=mode, entries=entries, labels=labels, closed=node.closed)


def state(session: Session, node: AclNode, spec: AccessSpec, *, origin: str = "source") -> None:
    """Makes the rows of one origin at this node say exactly `spec`; closed rows stay as history."""
    if origin == "source" and (node.mode, node.closed) != (spec.mode, spec.closed):
        remember(session, node.tenant_id, "node", node, _placement(node))
        node.mode, node.closed = spec.mode, spec.closed
    _align(session, node.tenant_id, node.id, spec, origin)
    session.flush()


def state_admin(session: Session, tenant: int, node: int, spec: AccessSpec) -> None:
    """Makes an admin's entries and labels at a node say exactly what `spec` does; closed rows stay as history."""
    _align(session, tenant, node, spec, "admin")


def make_node(
    session: Session,
    tenant: int,
    source: int,
    *,
    key: str,
    parent: int | None,
    spec: AccessSpec,
    title: str = "",
    document: int | None = None,
) -> AclNode:
    """A new node with what its source states there."""
    node = AclNode(
        tenant_id=tenant,
        source_id=source,
        key=key,
        title=title,
        parent_id=parent,
        mode=spec.mode,
        closed=spec.closed,
        document_id=document,
        access_hash=digest(spec),
        epoch_from=bump(session, tenant),
    )
    session.add(node)
    session.flush()
    state(session, node, spec)
    return node


def _move(session: Session, node: AclNode, parent: int | None) -> None:
    """A container under another parent; it is closed to all until the run's content is in."""
    remember(session, node.tenant_id, "node", node, _placement(node))
    node.parent_id = parent


def _placement(node: AclNode) -> dict[str, Any]:
    return {"parent": node.parent_id, "mode": node.mode, "closed": node.closed}


def _align(session: Session, tenant: int, node: int, spec: AccessSpec, origin: str) -> None:
    _align_entries(session, tenant, node, spec.entries, origin)
    _align_labels(session, tenant, node, spec.labels, origin)


def _align_entries(session: Session, tenant: int, node: int, entries: frozenset[Entry], origin: str) -> None:
    ids = intern(session, tenant, {e.principal for e in entries} | {f"app:{e.app}" for e in entries if e.app})
    wanted = {
        (ids[e.principal], e.effect, e.not_before, e.expires_at, ids[f"app:{e.app}"] if e.app else None)
        for e in entries
    }
    rows = _ENTRIES.all(session, tenant=tenant, node=node, origin=origin)
    present = {row[1:]: row.id for row in rows}
    for key, id_ in present.items():
        if key not in wanted:
            session.get_one(Ace, id_).epoch_to = bump(session, tenant)
    for principal, effect, start, end, app in sorted(wanted - set(present), key=str):
        put_entry(
            session,
            tenant_id=tenant,
            node_id=node,
            principal_id=principal,
            effect=effect,
            origin=origin,
            app_id=app,
            not_before=start,
            expires_at=end,
        )


_ENTRIES = Prepared(
    select(Ace.id, Ace.principal_id, Ace.effect, Ace.not_before, Ace.expires_at, Ace.app_id).where(
        of_tenant(Ace.tenant_id),
        Ace.node_id == bindparam("node"),
        Ace.origin == bindparam("origin"),
        Ace.epoch_to.is_(None),
    )
)


def _align_labels(session: Session, tenant: int, node: int, labels: Mapping[str, str], origin: str) -> None:
    present = {row.name: row for row in _labels(session, tenant, node, origin)}
    for name, row in present.items():
        if labels.get(name) != row.value:
            session.get_one(Label, row.id).epoch_to = bump(session, tenant)
    for name, value in labels.items():
        if name not in present or present[name].value != value:
            epoch = bump(session, tenant)
            session.add(Label(tenant_id=tenant, node_id=node, name=name, value=value, origin=origin, epoch_from=epoch))


_LABELS = Prepared(
    select(Label.id, Label.name, Label.value).where(
        Label.tenant_id == bindparam("tenant"),
        Label.node_id == bindparam("node"),
        Label.origin == bindparam("origin"),
        Label.epoch_to.is_(None),
    )
)


def _labels(session: Session, tenant: int, node: int, origin: str) -> Sequence[Any]:
    return _LABELS.all(session, tenant=tenant, node=node, origin=origin)


def _names(session: Session, ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    return {row.id: row.key for row in session.scalars(select(Principal).where(Principal.id.in_(ids)))}


def _name(principal: Principal) -> str:
    return principal.kind if principal.kind == "everyone" else f"{principal.kind}:{principal.key}"


def _stamp(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
