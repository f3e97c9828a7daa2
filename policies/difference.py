"""Where two worlds of one tenant differ in what decides: which people, which nodes, which documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from core.db import json_text
from core.tables import Ace, AclNode, App, Base, Document, Label, Policy, Principal, Source, Tenant
from policies.chains import load_chains
from policies.readers import Place
from policies.worlds import deciding_tables, table_of

_BATCH = 5000
_DECIDES_NOTHING = frozenset(
    {
        "access", "access_hash", "base", "config", "content_hash", "content_synced_at", "created_at",
        "access_cursor", "cursor", "deleted_at", "epoch_from", "epoch_to", "pending", "pending_run_id", "priority",
        "schedule", "source_version", "structure", "title", "version_id",
    }
)  # fmt: skip
_BY_PERSON = frozenset({"group", "membership", "user"})
"""Tables whose differences show in what people are."""
_BY_PLACE = frozenset({"ace", "acl_node", "app", "label", "policy", "principal", "source", "tenant"})
_SILENT = frozenset({"admin_grant", "config_object", "policy_epoch"})


def touched(
    before: Session, after: Session, tenant: int, standing: Mapping[int, Place], *, through_app: bool
) -> frozenset[int]:
    """Keys of the places of which anything but the people differs between the worlds."""
    worlds = (before, after)
    if _everywhere(worlds, tenant, through_app=through_app):
        return frozenset(standing)
    below = _below(worlds, changed_nodes(worlds, tenant), standing)
    sources = differing(worlds, tenant, Source)
    documents = _documents(worlds, tenant, standing)
    return frozenset(
        key
        for key, one in standing.items()
        if one.node in below or one.pending in below or one.source in sources or key in documents
    )


def changed_nodes(worlds: tuple[Session, Session], tenant: int) -> set[int]:
    """Nodes whose own state, entries or labels differ, or where an entry's name means somebody it did not."""
    found = differing(worlds, tenant, AclNode)
    for entity in (Ace, Label):
        found |= differing(worlds, tenant, entity, key="node_id")
    names = differing(worlds, tenant, Principal)
    entries = select(Ace.node_id).where(Ace.tenant_id == tenant, Ace.epoch_to.is_(None))
    for world in worlds:
        for part in _parts(names):
            found |= set(world.scalars(entries.where(Ace.principal_id.in_(part) | Ace.app_id.in_(part))))
    return found


def differing(worlds: tuple[Session, Session], tenant: int, entity: type[Base], *, key: str = "id") -> set[int]:
    """Values of `key` of the open rows that only one of the worlds has, or has so."""
    return _differing(worlds, tenant, table_of(entity), key)


def _differing(worlds: tuple[Session, Session], tenant: int, table: Table, key: str) -> set[int]:
    """A row of entries or labels is what it says; which id it says it under decides nothing."""
    silent = _DECIDES_NOTHING | ({"id"} if key != "id" else set())
    columns = [table.c[key], *(one for one in table.c if one.name not in silent and one.name != key)]
    mine = table.c.id if table.name == Tenant.__tablename__ else table.c.tenant_id
    limits = [mine == tenant, *([table.c.epoch_to.is_(None)] if "epoch_to" in table.c else [])]
    first, second = (
        {tuple(_plain(value) for value in row) for row in world.execute(select(*columns).where(*limits))}
        for world in worlds
    )
    return {row[0] for row in first ^ second}


def _everywhere(worlds: tuple[Session, Session], tenant: int, *, through_app: bool) -> bool:
    """Whether something differs that may decide about any document: rules, the order of labels, an unknown table."""
    entities: list[type[Base]] = [Tenant, Policy, *([App] if through_app else [])]
    if any(differing(worlds, tenant, one) for one in entities):
        return True
    known = _BY_PERSON | _BY_PLACE | _SILENT
    others = [table for table in deciding_tables() if table.name not in known]
    return any(_differing(worlds, tenant, table, table.primary_key.columns[0].name) for table in others)


def _below(worlds: tuple[Session, Session], nodes: Collection[int], standing: Mapping[int, Place]) -> set[int | None]:
    """Nodes of places that stand under any of `nodes` in either world, or are one of them."""
    if not nodes:
        return set()
    starts = {one.node for one in standing.values()}
    starts |= {one.pending for one in standing.values() if one.pending is not None}
    wanted = set(nodes)
    return {
        start
        for world in worlds
        for start, chain in load_chains(world, starts).items()
        if any(node.id in wanted for node in chain)
    }


def _documents(worlds: tuple[Session, Session], tenant: int, ids: Iterable[int]) -> set[int]:
    """Which of these documents differ in where they stand or whether they are live."""
    statement = select(
        Document.id, Document.node_id, Document.pending_node_id, Document.source_id, Document.state
    ).where(Document.tenant_id == tenant)
    found: set[int] = set()
    for part in _parts(ids):
        first, second = (
            {tuple(row) for row in world.execute(statement.where(Document.id.in_(part)))} for world in worlds
        )
        found |= {int(row[0] or 0) for row in first ^ second}
    return found


def _parts(ids: Iterable[int]) -> Iterable[list[int]]:
    wanted = sorted(set(ids))
    return (wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH))


def _plain(value: Any) -> Any:
    return json_text(value) if isinstance(value, (dict, list)) else value
