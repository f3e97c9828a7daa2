"""Every change of an administrator by name: what it needs, what it does, and what it leaves in the audit.

An operation takes plain JSON, so that one which waits for a second person can be kept and made later exactly as it was
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from api import declare, directory, places, sources
from api.actors import Actor
from api.declare import differences
from api.declare.rules import policy_body
from api.runtime import Runtime
from api.schemas.access import AdminAccessBody
from api.schemas.directory import AppBody, GroupBody, UserBody
from api.schemas.sources import SourceAdminView, SourceBody, SourceChange
from core.errors import ForbiddenError, InvalidError, NotFoundError
from core.tables import App, Group, User
from policies import break_glass, entries, grants, labels, nodes, rules_store
from policies import directory as people
from policies.model import check_principal
from policies.rights import may_give, who

Args = dict[str, Any]
Need = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Doing:
    """A transaction in which somebody changes something."""

    session: Session
    runtime: Runtime
    actor: Actor

    @property
    def tenant(self) -> int:
        """Whose tenant it is."""
        return self.actor.tenant


@dataclass(frozen=True, slots=True)
class Changed:
    """What was changed.

    Attributes:
        kind: of the audit entry; empty where nothing changed, which leaves none.
        body: names what was changed.
        before, after: what it was and is, without secrets; None: it was not, or is not.
        told: what the caller is told.
    """

    kind: str
    body: dict[str, Any]
    before: Any = None
    after: Any = None
    told: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of change."""

    do: Callable[[Doing, Args], Changed]
    needs: Callable[[Doing, Args], Iterable[Need]] = field(default=lambda doing, args: ())
    reading: bool = True
    """Whether it may change who reads what."""


def _user(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, User, doing.tenant, key)
    return directory.user_view(doing.session, row) if row else None


def _group(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, Group, doing.tenant, key)
    return directory.group_view(doing.session, row) if row else None


def _app(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, App, doing.tenant, key)
    return directory.app_view(doing.session, row) if row else None


def _plain(view: Any) -> Any:
    return None if view is None else view.model_dump(mode="json")


def _put_user(doing: Doing, args: Args) -> Changed:
    before = _user(doing, args["key"])
    view = directory.put_user(doing.session, doing.tenant, args["key"], UserBody.model_validate(args["body"]))
    return Changed("admin.user.put", {"user": args["key"]}, _plain(before), _plain(view), view)


def _needs_user(doing: Doing, args: Args) -> Iterable[Need]:
    """Whoever puts somebody into a group, or takes them out, changes that group."""
    yield "user.write", f"user:{args['key']}"
    before = _user(doing, args["key"])
    yield from _containers(before.groups if before else (), args.get("body", {}).get("groups", ()))


def _put_group(doing: Doing, args: Args) -> Changed:
    before = _group(doing, args["key"])
    view = directory.put_group(doing.session, doing.tenant, args["key"], GroupBody.model_validate(args["body"]))
    return Changed("admin.group.put", {"group": args["key"]}, _plain(before), _plain(view), view)


def _needs_group(doing: Doing, args: Args) -> Iterable[Need]:
    yield "group.write", f"group:{args['key']}"
    before = _group(doing, args["key"])
    yield from _containers(before.groups if before else (), args.get("body", {}).get("groups", ()))


def _containers(before: Iterable[str], after: Iterable[str]) -> Iterable[Need]:
    return [("group.write", f"group:{key}") for key in sorted(set(before) ^ set(after))]


def _join_group(doing: Doing, args: Args) -> Changed:
    group, member = args["group"], args["member"]
    directory.require(doing.session, Group, doing.tenant, group)
    new = people.add_member(doing.session, doing.tenant, group, member)
    return _membership(args, new=new, joined=True)


def _leave_group(doing: Doing, args: Args) -> Changed:
    group, member = args["group"], args["member"]
    directory.require(doing.session, Group, doing.tenant, group)
    found = people.remove_member(doing.session, doing.tenant, group, check_principal(member))
    return _membership(args, new=found, joined=False)


def _membership(args: Args, *, new: bool, joined: bool) -> Changed:
    body = {"group": args["group"], "member": args["member"], "joined": joined}
    return Changed("access.membership" if new else "", body, joined is not new, joined, new)


def _put_app(doing: Doing, args: Args) -> Changed:
    before = _app(doing, args["key"])
    view = directory.put_app(doing.session, doing.tenant, args["key"], AppBody.model_validate(args["body"]))
    return Changed("admin.app.put", {"app": args["key"]}, _plain(before), _plain(view), view)


def _needs_app(doing: Doing, args: Args) -> Iterable[Need]:
    """Letting an app name people is acting as them by another's hand."""
    yield "app.write", f"app:{args['key']}"
    before = _app(doing, args["key"])
    if set(args.get("body", {}).get("acts_for", ())) - set(before.acts_for if before else ()):
        yield "access.act_as", "user:*"


def _delete(kind: str, find: Callable[[Doing, str], Any]) -> Callable[[Doing, Args], Changed]:
    def do(doing: Doing, args: Args) -> Changed:
        before = find(doing, args["key"])
        if before is None:
            raise NotFoundError(f"there is no {kind} {args['key']!r}")
        if kind == "app":
            directory.end_keys(doing.session, doing.tenant, args["key"])
        people.remove(doing.session, doing.tenant, f"{kind}:{args['key']}")
        return Changed(f"admin.{kind}.delete", {kind: args["key"]}, _plain(before))

    return do


def _put_policy(doing: Doing, args: Args) -> Changed:
    body = args["body"]
    before = policy_body(doing.session, doing.tenant, args["key"])
    rules_store.put_rule(
        doing.session,
        doing.tenant,
        args["key"],
        effect=body["effect"],
        condition=body["when"],
        enforced=body["enforced"],
    )
    after = policy_body(doing.session, doing.tenant, args["key"])
    return Changed("admin.policy.put", {"policy": args["key"]}, before, after, after)


def _delete_policy(doing: Doing, args: Args) -> Changed:
    before = policy_body(doing.session, doing.tenant, args["key"])
    rules_store.remove_rule(doing.session, doing.tenant, args["key"])
    return Changed("admin.policy.delete", {"policy": args["key"]}, before)


def _put_classifications(doing: Doing, args: Args) -> Changed:
    before = labels.classifications(doing.session, doing.tenant)
    labels.set_classifications(doing.session, doing.tenant, args["order"])
    return Changed("admin.classification.put", {}, list(before), list(args["order"]), list(args["order"]))


def _create_source(doing: Doing, args: Args) -> Changed:
    row = sources.create(doing.session, doing.tenant, SourceBody.model_validate(args["body"]))
    view = sources.refreshed(doing.session, row)
    return Changed("admin.source.create", {"source": row.key}, None, _source(view), view)


def _change_source(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"])
    before = _source(SourceAdminView.of(row))
    body = SourceChange.model_validate(args["body"])
    sources.change(doing.session, row, body)
    view = sources.refreshed(doing.session, row)
    told = {"source": row.key, "fields": sorted(body.model_fields_set)}
    return Changed("admin.source.change", told, before, _source(view), view)


def _delete_source(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"])
    before = _source(SourceAdminView.of(row))
    count = sources.delete(doing.session, row)
    return Changed("admin.source.delete", {"source": row.key, "documents": count}, before)


def _source(view: SourceAdminView) -> Any:
    """A registration as the audit may keep it: what may be a secret is hidden, and when it was synced is no part."""
    return differences.shown(view.model_dump(mode="json", exclude={"access_synced_at", "content_synced_at"}))


def _put_grant(doing: Doing, args: Args) -> Changed:
    before = grants.grant_bodies(doing.session, doing.tenant).get(args["key"])
    grants.put_grant(doing.session, doing.tenant, args["key"], args["body"])
    return Changed("admin.grant.put", {"grant": args["key"]}, before, args["body"], args["body"])


def _delete_grant(doing: Doing, args: Args) -> Changed:
    before = grants.grant_bodies(doing.session, doing.tenant).get(args["key"])
    grants.remove_grant(doing.session, doing.tenant, args["key"])
    return Changed("admin.grant.delete", {"grant": args["key"]}, before)


def _needs_grant(doing: Doing, args: Args) -> Iterable[Need]:
    """Nobody gives more than they have; a deny is touched only by who may do everything."""
    yield "grant.write", f"grant:{args['key']}"
    if doing.actor.trusted:
        return
    bodies = [grants.grant_bodies(doing.session, doing.tenant).get(args["key"]), args.get("body")]
    stated = [one for one in bodies if one is not None]
    everything = ["*"] if any(one["effect"] == "deny" for one in stated) else []
    giving = args.get("body") or {"rights": [], "objects": []}
    subject = who(doing.session, doing.tenant, user=doing.actor.user, app=doing.actor.app)
    lacks = may_give(doing.session, subject, everything, everything) or may_give(
        doing.session, subject, giving["rights"], giving["objects"]
    )
    if lacks is not None:
        raise ForbiddenError(f"nobody gives or takes back what they have not for good themselves: {lacks}")


def _put_entries(doing: Doing, args: Args) -> Changed:
    body = AdminAccessBody.model_validate(args["body"])
    before, after = places.put(doing.session, doing.tenant, body, actor=doing.actor.name)
    return Changed("admin.access.entries", {}, _plain(before), _plain(after), _plain(after))


def _needs_entries(doing: Doing, args: Args) -> Iterable[Need]:
    source = places.source_of(doing.session, doing.tenant, AdminAccessBody.model_validate(args["body"]))
    return [("entry.write", f"source:{source}")]


def _waive_entry(doing: Doing, args: Args) -> Changed:
    before = entries.standing_entry(doing.session, doing.tenant, args["entry"]).as_dict()
    nodes.waive(doing.session, doing.tenant, args["entry"])
    after = {**before, "waived": True}
    return Changed("admin.entry.waive", {"entry": args["entry"], "place": before["place"]}, before, after)


def _open_glass(doing: Doing, args: Args) -> Changed:
    longest = doing.runtime.settings.break_glass_max_s
    if not 0 < args["for_s"] <= longest:
        raise InvalidError(f"emergency access is for {longest} seconds at most", errors=[{"field": "for_s"}])
    row = break_glass.open_glass(
        doing.session,
        doing.tenant,
        args["user"],
        args["places"],
        reason=args["reason"],
        seconds=args["for_s"],
        by=doing.actor.hand if doing.actor.trusted else doing.actor.name,
    )
    after = break_glass.glass_as_dict(row, row.opened_at)
    return Changed("break_glass.open", {"break_glass": row.public_id}, None, after, after)


def _end_glass(doing: Doing, args: Args) -> Changed:
    row = break_glass.find_glass(doing.session, doing.tenant, args["id"])
    before = break_glass.glass_as_dict(row, row.opened_at)
    by = doing.actor.hand if doing.actor.trusted else doing.actor.name
    row = break_glass.end_glass(doing.session, doing.tenant, args["id"], by=by)
    after = break_glass.glass_as_dict(row, row.ended_at or row.ends_at)
    return Changed("break_glass.end", {"break_glass": args["id"]}, before, after, after)


def _of_glass(right: str) -> Callable[[Doing, Args], Iterable[Need]]:
    def needs(doing: Doing, args: Args) -> Iterable[Need]:
        named = args.get("places") or break_glass.find_glass(doing.session, doing.tenant, args["id"]).places
        return sorted({(right, f"source:{place.partition(':')[0]}") for place in named})

    return needs


def _of_standing(doing: Doing, args: Args) -> Iterable[Need]:
    place = entries.standing_entry(doing.session, doing.tenant, args["entry"]).place
    return [("entry.write", f"source:{place.partition(':')[0]}")]


def _apply(doing: Doing, args: Args) -> Changed:
    """Every difference is in the entry that `declare.apply` itself writes."""
    given = [{**one, "file": Path(one["file"]) if one["file"] else None} for one in args["documents"]]
    told = declare.apply(
        doing.session,
        doing.tenant,
        [declare.Declared(**one) for one in given],
        args["prune"],
        audit=doing.runtime.audit,
        actor=doing.actor.name,
        noted=dict(doing.actor.noted),
    )
    return Changed("", {}, told=told)


def documents(declared: Iterable[declare.Declared]) -> list[Args]:
    """Declared objects as plain JSON, as `config.apply` takes them."""
    return [
        {"kind": one.kind, "id": one.id, "body": one.body, "file": str(one.file) if one.file else None}
        for one in declared
    ]


def _key(right: str, kind: str) -> Callable[[Doing, Args], Iterable[Need]]:
    return lambda doing, args: [(right, f"{kind}:{args['key']}")]


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "app.delete": Operation(_delete("app", _app), _key("app.write", "app")),
        "app.put": Operation(_put_app, _needs_app),
        "break_glass.end": Operation(_end_glass, _of_glass("break_glass.end"), reading=False),
        "break_glass.open": Operation(_open_glass, _of_glass("break_glass.open"), reading=False),
        "classification.put": Operation(
            _put_classifications, lambda *_: [("classification.write", "classification:*")]
        ),
        "config.apply": Operation(_apply, lambda *_: [("*", "*")]),
        "entries.put": Operation(_put_entries, _needs_entries),
        "entry.waive": Operation(_waive_entry, _of_standing),
        "grant.delete": Operation(_delete_grant, _needs_grant, reading=False),
        "grant.put": Operation(_put_grant, _needs_grant, reading=False),
        "group.delete": Operation(_delete("group", _group), _needs_group),
        "group.join": Operation(_join_group, lambda _, args: [("group.write", f"group:{args['group']}")]),
        "group.leave": Operation(_leave_group, lambda _, args: [("group.write", f"group:{args['group']}")]),
        "group.put": Operation(_put_group, _needs_group),
        "policy.delete": Operation(_delete_policy, _key("policy.write", "policy")),
        "policy.put": Operation(_put_policy, _key("policy.write", "policy")),
        "source.change": Operation(_change_source, _key("source.write", "source")),
        "source.create": Operation(_create_source, lambda _, args: [("source.write", f"source:{args['body']['id']}")]),
        "source.delete": Operation(_delete_source, _key("source.write", "source")),
        "user.delete": Operation(_delete("user", _user), _needs_user),
        "user.put": Operation(_put_user, _needs_user),
    }
)
