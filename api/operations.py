"""Every change of an administrator by name: what it needs, what it does, and what it leaves in the audit.

An operation takes plain JSON, so that one which waits for a second person can be kept and made later exactly as it was
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from api import directory, places, sources
from api.declare import differences
from api.declare.rules import policy_body
from api.needs import app_of, group_of, needs_app, needs_grant, needs_group, needs_user, over, user_of
from api.operation import Args, Changed, Doing, Need, Operation
from api.operations_config import CONFIG
from api.operations_erasure import ERASURES
from api.operations_work import WORK
from api.schemas.access import AdminAccessBody
from api.schemas.directory import AppBody, GroupBody, UserBody
from api.schemas.sources import SourceAdminView, SourceBody, SourceChange
from core.errors import InvalidError, NotFoundError
from core.tables import Group
from policies import break_glass, entries, grants, labels, nodes, rules_store
from policies import directory as people
from policies.model import check_principal


def _plain(view: Any) -> Any:
    return None if view is None else view.model_dump(mode="json")


def _put_user(doing: Doing, args: Args) -> Changed:
    before = user_of(doing, args["key"])
    view = directory.put_user(doing.session, doing.tenant, args["key"], UserBody.model_validate(args["body"]))
    return Changed("admin.user.put", {"user": args["key"]}, _plain(before), _plain(view), view)


def _put_group(doing: Doing, args: Args) -> Changed:
    before = group_of(doing, args["key"])
    view = directory.put_group(doing.session, doing.tenant, args["key"], GroupBody.model_validate(args["body"]))
    return Changed("admin.group.put", {"group": args["key"]}, _plain(before), _plain(view), view)


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
    before = app_of(doing, args["key"])
    view = directory.put_app(doing.session, doing.tenant, args["key"], AppBody.model_validate(args["body"]))
    return Changed("admin.app.put", {"app": args["key"]}, _plain(before), _plain(view), view)


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


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        **CONFIG,
        **ERASURES,
        **WORK,
        "app.delete": Operation(_delete("app", app_of), over("app.write", "app")),
        "app.put": Operation(_put_app, needs_app),
        "break_glass.end": Operation(_end_glass, _of_glass("break_glass.end"), reading=False),
        "break_glass.open": Operation(_open_glass, _of_glass("break_glass.open"), reading=False),
        "classification.put": Operation(
            _put_classifications, lambda *_: [("classification.write", "classification:*")]
        ),
        "entries.put": Operation(_put_entries, _needs_entries),
        "entry.waive": Operation(_waive_entry, _of_standing),
        "grant.delete": Operation(_delete_grant, needs_grant, reading=False),
        "grant.put": Operation(_put_grant, needs_grant, reading=False),
        "group.delete": Operation(_delete("group", group_of), needs_group),
        "group.join": Operation(_join_group, lambda _, args: [("group.write", f"group:{args['group']}")]),
        "group.leave": Operation(_leave_group, lambda _, args: [("group.write", f"group:{args['group']}")]),
        "group.put": Operation(_put_group, needs_group),
        "policy.delete": Operation(_delete_policy, over("policy.write", "policy")),
        "policy.put": Operation(_put_policy, over("policy.write", "policy")),
        "source.change": Operation(_change_source, over("source.write", "source")),
        "source.create": Operation(_create_source, lambda _, args: [("source.write", f"source:{args['body']['id']}")]),
        "source.delete": Operation(_delete_source, over("source.write", "source")),
        "user.delete": Operation(_delete("user", user_of), needs_user),
        "user.put": Operation(_put_user, needs_user),
    }
)
