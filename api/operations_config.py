"""Changes of declared objects: many at once by `apply`, or a single model, route or directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from api import declare
from api.declare.differences import shown
from api.declare.single import put_one, remove_one
from api.needs import needs_app, needs_grant, needs_group, needs_user, over
from api.operation import Args, Changed, Doing, Need, Operation
from core.errors import ForbiddenError, NotFoundError
from gateway.config import EXTRACTIVE

_LIBRARY = "llama_index.llms."
SINGLE = ("Model", "Route", "Directory")
"""Kinds that have no resource of their own beside their documents."""


def documents(declared: Iterable[declare.Declared]) -> list[Args]:
    """Declared objects as plain JSON, as `config.apply` takes them."""
    return [
        {"kind": one.kind, "id": one.id, "body": one.body, "file": str(one.file) if one.file else None}
        for one in declared
    ]


def _declared(args: Args) -> list[declare.Declared]:
    given = [{**one, "file": Path(one["file"]) if one["file"] else None} for one in args["documents"]]
    return [declare.Declared(**one) for one in given]


def _apply(doing: Doing, args: Args) -> Changed:
    """Every difference is in the entry that `declare.apply` itself writes."""
    told = declare.apply(
        doing.session,
        doing.tenant,
        _declared(args),
        args["prune"],
        audit=doing.runtime.audit,
        actor=doing.actor.name,
        noted=dict(doing.actor.noted),
    )
    return Changed("", {}, told=told)


def _needs_apply(doing: Doing, args: Args) -> Iterable[Need]:
    """For each object that would change what changing it alone needs; at the machine itself nothing is asked."""
    if doing.actor.trusted:
        return [("*", "*")]
    declared = _declared(args)
    bodies = {(one.kind, one.id): one.body for one in declared}
    found: list[Need] = []
    for one in declare.plan(doing.session, doing.tenant, declared, args["prune"]):
        if one.action != "unchanged":
            body = bodies.get((one.kind, one.id))
            found += _NEEDS[one.kind](doing, {"key": one.id, **({} if body is None else {"body": body})})
    return found


def _needs_model(doing: Doing, args: Args) -> Iterable[Need]:
    """Naming a class imports its module: code of others is named by who runs the machine, and by nobody over HTTP."""
    yield "model.write", f"model:{args['key']}"
    named = str(args.get("body", {}).get("class", EXTRACTIVE.class_path))
    if not doing.actor.trusted and named != EXTRACTIVE.class_path and not named.startswith(_LIBRARY):
        raise ForbiddenError(f"class {named!r} is none of LlamaIndex's own; apply it with `ambit apply` at the machine")


_NEEDS: Mapping[str, Callable[[Doing, Args], Iterable[Need]]] = MappingProxyType(
    {
        "Group": needs_group,
        "User": needs_user,
        "App": needs_app,
        "Grant": needs_grant,
        **{kind: over(f"{kind.lower()}.write", kind.lower()) for kind in ("Source", "Policy", *SINGLE)},
        "Model": _needs_model,
    }
)


def _put(kind: str) -> Callable[[Doing, Args], Changed]:
    name = kind.lower()

    def do(doing: Doing, args: Args) -> Changed:
        before, after = put_one(doing.session, doing.tenant, declare.Declared(kind, args["key"], args["body"]))
        changed = f"admin.{name}.put" if before != after else ""
        return Changed(changed, {name: args["key"]}, shown(before), shown(after), shown(after))

    return do


def _delete(kind: str) -> Callable[[Doing, Args], Changed]:
    name = kind.lower()

    def do(doing: Doing, args: Args) -> Changed:
        before = remove_one(doing.session, doing.tenant, kind, args["key"])
        if before is None:
            raise NotFoundError(f"there is no {name} {args['key']!r}")
        return Changed(f"admin.{name}.delete", {name: args["key"]}, shown(before))

    return do


CONFIG: Mapping[str, Operation] = MappingProxyType(
    {
        "config.apply": Operation(_apply, _needs_apply),
        **{f"{kind.lower()}.put": Operation(_put(kind), _NEEDS[kind]) for kind in SINGLE},
        **{f"{kind.lower()}.delete": Operation(_delete(kind), _NEEDS[kind]) for kind in SINGLE},
    }
)
