"""The statement for the nodes that entries and rules let somebody read, as set operations downwards.

A source's entry reaches down to the next node that does not inherit, an admin's to the leaves, a rule to where other
labels begin. Below a `narrow` node nothing is readable where the node above it is not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, bindparam, literal_column, or_, select, text, union_all

from core.clock import Instant
from core.prepared import Prepared, among
from core.tables import Ace, AclNode, Principal
from policies.rules_places import region
from policies.tree import TENANT, Tree


@cache
def statement(*, lateral: bool, through_app: bool, permitted: bool, forbidden: bool) -> Prepared:
    """Put together once for each of the few forms it has."""
    tree = Tree(lateral)

    def reach(effect: str, origin: str) -> Select[int]:
        entries = _entries(effect, origin, through_app=through_app)
        return select(_reach(tree, f"{effect}_{origin}", entries, through_breaks=origin == "admin").c.id)

    allowed = union_all(
        *(reach("allow", origin) for origin in ("source", "admin")),
        *([select(region(tree, "permitted").c.id)] if permitted else []),
    )
    refused = union_all(
        *(reach("deny", origin) for origin in ("source", "admin")),
        select(_reach(tree, "shut", _shut(), through_breaks=True).c.id),
        *([select(region(tree, "forbidden").c.id)] if forbidden else []),
    )
    own = tree.without(select(allowed.subquery().c.id), select(refused.subquery().c.id)).cte("own")
    return Prepared(tree.without(select(own.c.id), select(_narrowed_out(tree, own).c.id)))


def _reach(tree: Tree, name: str, base: Select[int], *, through_breaks: bool) -> CTE:
    reach = base.cte(name, recursive=True)
    return reach.union(tree.below(reach, *(() if through_breaks else (AclNode.mode == literal_column("'inherit'"),))))


def _entries(effect: str, origin: str, *, through_app: bool) -> Select[int]:
    """Nodes with an entry of this kind in force for the caller `at` a time."""
    unresolved = select(Principal.id).where(
        Principal.tenant_id == TENANT,
        Principal.kind.in_([literal_column(f"'{kind}'") for kind in ("user", "group", "app")]),
        Principal.subject_id.is_(None),
    )
    if effect == "allow":
        who: ColumnElement[bool] = among(Ace.principal_id, "mine") & Ace.principal_id.not_in(unresolved)
    else:
        who = or_(among(Ace.principal_id, "denied"), Ace.principal_id.in_(unresolved) & Ace.waived.is_(False))
    at: Any = bindparam("at", type_=Instant())
    return select(Ace.node_id.label("id")).where(
        Ace.tenant_id == TENANT,
        Ace.effect == literal_column(f"'{effect}'"),
        Ace.origin == literal_column(f"'{origin}'"),
        Ace.epoch_to.is_(None),
        who,
        or_(Ace.app_id.is_(None), *([Ace.app_id == bindparam("app")] if through_app else [])),
        or_(Ace.not_before.is_(None), Ace.not_before <= at),
        or_(Ace.expires_at.is_(None), Ace.expires_at > at),
    )


def _shut() -> Select[int]:
    return select(AclNode.id).where(AclNode.tenant_id == TENANT, text("acl_node.closed"))


def _narrowed_out(tree: Tree, own: CTE) -> CTE:
    """Nodes that a `narrow` node above, or they themselves, take away because its parent is not readable."""
    out = (
        select(AclNode.id)
        .where(
            AclNode.tenant_id == TENANT,
            AclNode.mode == literal_column("'narrow'"),
            (AclNode.parent_id + 0).is_not(None),
            AclNode.parent_id.not_in(select(own.c.id)),
        )
        .cte("narrowed_out", recursive=True)
    )
    return out.union(tree.below(out, AclNode.mode.in_([literal_column("'inherit'"), literal_column("'narrow'")])))
