"""What changes of people, groups, apps and grants need beside the right over the object itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from api import directory
from api.operation import Args, Doing, Need
from core.errors import ForbiddenError
from core.tables import App, Group, User
from policies import grants
from policies.rights import may_give, who


def user_of(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, User, doing.tenant, key)
    return directory.user_view(doing.session, row) if row else None


def group_of(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, Group, doing.tenant, key)
    return directory.group_view(doing.session, row) if row else None


def app_of(doing: Doing, key: str) -> Any:
    row = directory.find(doing.session, App, doing.tenant, key)
    return directory.app_view(doing.session, row) if row else None


def needs_user(doing: Doing, args: Args) -> Iterable[Need]:
    """Whoever puts somebody into a group, or takes them out, changes that group."""
    yield "user.write", f"user:{args['key']}"
    before = user_of(doing, args["key"])
    yield from _containers(before.groups if before else (), args.get("body", {}).get("groups", ()))


def needs_group(doing: Doing, args: Args) -> Iterable[Need]:
    yield "group.write", f"group:{args['key']}"
    before = group_of(doing, args["key"])
    yield from _containers(before.groups if before else (), args.get("body", {}).get("groups", ()))


def _containers(before: Iterable[str], after: Iterable[str]) -> Iterable[Need]:
    return [("group.write", f"group:{key}") for key in sorted(set(before) ^ set(after))]


def needs_app(doing: Doing, args: Args) -> Iterable[Need]:
    """Letting an app name people is acting as them by another's hand."""
    yield "app.write", f"app:{args['key']}"
    before = app_of(doing, args["key"])
    if set(args.get("body", {}).get("acts_for", ())) - set(before.acts_for if before else ()):
        yield "access.act_as", "user:*"


def needs_grant(doing: Doing, args: Args) -> Iterable[Need]:
    """Nobody gives more than they have; a deny is touched only by who may do everything."""
    yield "grant.write", f"grant:{args['key']}"
    if doing.actor.trusted:
        return
    bodies = [grants.grant_bodies(doing.session, doing.tenant).get(args["key"]), args.get("body")]
    stated = [one for one in bodies if one is not None]
    everything = ["*"] if any(one["effect"] == "deny" for one in stated) else []
    giving = args.get("body") or {"rights": [], "objects": []}
    lasting = who(doing.session, doing.tenant, user=doing.actor.user, app=doing.actor.app)
    lacks = next(
        filter(
            None,
            (
                may_give(doing.session, subject, rights, objects)
                for subject in (lasting, doing.actor.subject(doing.session))  # a token's groups end, and still deny
                for rights, objects in ((everything, everything), (giving["rights"], giving["objects"]))
            ),
        ),
        None,
    )
    if lacks is not None:
        raise ForbiddenError(f"nobody gives or takes back what they have not for good themselves: {lacks}")


def over(right: str, kind: str) -> Callable[[Doing, Args], Iterable[Need]]:
    return lambda doing, args: [(right, f"{kind}:{args['key']}")]
