"""An independent decision, written from the design's pages on access alone: naive, recursive, no SQL, no cache.

Nothing here may be shared with `policies`; the two agreeing is the proof. Where the design leaves a reading open, the
docstring names the reading and `docs/access.md` its case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

from tests.factories import oracle_rules
from tests.factories.world import WEntry, World

F = TypeVar("F", bound=Callable[..., Any])


def once_a_world(function: F) -> F:
    """Keeps what a function of a world answers with that world, which never changes."""

    @wraps(function)
    def kept(world: World, *asked: Any, **more: Any) -> Any:
        held = vars(world).setdefault("answers", {})
        key = (function.__name__, asked, *more.items())
        if key not in held:
            held[key] = function(world, *asked, **more)
        return held[key]

    return cast("F", kept)


def allowed(world: World, user: str, app: str | None, document: str, at: int = 0) -> bool:
    """Whether `user` (a key or an e-mail) may read `document` through `app`, `at` seconds from now."""
    doc = world.documents[document]
    if document in world.foreign or doc.state != "live":
        return False
    person = _person(world, user, at)
    if person is None or not _app_works(world, app):
        return False
    source = world.nodes[doc.node].source
    if not _app_sees(world, app, source) or not _fresh(world, source, at):
        return False
    return all(place_allows(world, person, app, node, at=at) for node in (doc.node, doc.pending) if node is not None)


def place_allows(world: World, person: str, app: str | None, node: str, at: int) -> bool:
    """Whether the entries and the state of the places let an active person read at `node`."""
    if any(world.nodes[place].closed for place in _upwards(world, node)):
        return False
    names = names_of(world, person, at)
    maybe = maybe_names_of(world, person, at)
    entries = [entry for entry in _chain(world, node) if _in_force(entry, app, at)]
    for entry in entries:
        if entry.effect == "deny" and _deny_hits(world, entry, maybe, app):
            return False
    if _a_rule(world, "forbid", person, app, node, at=at):
        return False
    allowing = any(entry.effect == "allow" and _gives(world, entry, names) for entry in entries)
    if not allowing and not _a_rule(world, "permit", person, app, node, at=at):
        return False
    above = _parent_that_must_allow(world, node)
    return above is None or place_allows(world, person, app, above, at)


def _a_rule(world: World, effect: str, person: str, app: str | None, node: str, *, at: int) -> bool:
    """Whether an enforced rule of this effect applies: it is true or, a forbid, errs."""
    counting: dict[str, set[bool | str]] = {"permit": {True}, "forbid": {True, "errs"}}
    return any(
        rule.enforced
        and rule.effect == effect
        and rule_says(world, rule.when, person, app, node, at=at) in counting[effect]
        for rule in world.rules
    )


def rule_says(world: World, when: str, person: str, app: str | None, node: str, *, at: int = 0) -> bool | str:
    """True, False or `errs`: what a condition comes to for a person at a place, by its effective labels.

    While a directory is too old, or their token has too many groups, nobody knows which groups they are in, so a
    condition that speaks of them errs.
    """
    user = world.users[person]
    if (stale(world, at) or user.overage) and "principal.groups" in when:
        return "errs"
    principal = {name: value for name, value in user.attributes.items() if value is not None}
    principal = {"clearance": "internal", **principal, "id": person}
    principal["groups"] = sorted(n.partition(":")[2] for n in names_of(world, person, at) if n.startswith("group:"))
    principal.pop("email", None)
    if user.email and user.verified:
        principal["email"] = user.email.lower()
    request: dict[str, object] = {"time": (world.began or datetime.now(UTC)) + timedelta(seconds=at)}
    if world.address:
        request["address"] = world.address
    return oracle_rules.says(
        when,
        {
            "principal": principal,
            "app": {"id": app} if app else {},
            "document": labels_at(world, node),
            "source": {"id": world.nodes[node].source, "connector": "push"},
            "request": request,
        },
        world.classifications,
    )


def labels_at(world: World, node: str) -> dict[str, str]:
    """Each label from the nearest place; an admin's wins, but a source's higher classification at or below it."""
    found = {"classification": "internal"}
    places = [world.nodes[one] for one in _upwards(world, node)]
    for name in {name for place in places for name in (*place.labels, *place.admin_labels)}:
        source = next((at for at, place in enumerate(places) if name in place.labels), None)
        admin = next((at for at, place in enumerate(places) if name in place.admin_labels), None)
        if admin is None:
            found[name] = places[source or 0].labels[name]
            continue
        found[name] = places[admin].admin_labels[name]
        if source is not None and source <= admin and name == "classification":
            stated = places[source].labels[name]
            found[name] = stated if _level(world, stated) > _level(world, found[name]) else found[name]
    return found


def _level(world: World, classification: str) -> int:
    """A classification nobody listed is above all that are."""
    listed = list(world.classifications)
    return listed.index(classification) if classification in listed else len(listed)


def stale(world: World, at: int) -> set[str]:
    """Directories at or past their limit; one with a limit that was never synced is."""
    return {
        key
        for key, one in world.directories.items()
        if one.max_age is not None and (one.synced is None or one.synced + at >= one.max_age)
    }


@once_a_world
def maybe_names_of(world: World, person: str, at: int) -> frozenset[str]:
    """Every principal the person may be: what a directory that is too old last said, and whatever it may say now;
    and, where their token could not name all their groups, any.
    """
    old = stale(world, at)
    names = {*names_of(world, person, at, forget=False)}
    names |= {f"group:{group}" for group, stated in world.fed.items() if group in world.groups and old & set(stated)}
    if world.users[person].overage:
        names |= {f"group:{group}" for group in world.groups}
    return _closed(world, names, set())


@once_a_world
def names_of(world: World, person: str, at: int = 0, *, forget: bool = True) -> frozenset[str]:
    """Every principal an active person is: id, e-mail, everyone, and all groups to any depth.

    Without `forget` also through directories that are too old.
    """
    names = {f"user:{person}", "everyone"}
    address = world.users[person].email
    if address and email_owner(world, address) == person:
        names.add(f"user:{address.lower()}")
    return _closed(world, names, stale(world, at) if forget else set())


def _closed(world: World, names: set[str], old: set[str]) -> frozenset[str]:
    """The names and every group above any of them, to any depth, without what some directories say."""
    while True:
        more = {
            f"group:{group}"
            for group in world.groups
            for name in names
            if _directly_holds(world, group, name, old) and f"group:{group}" not in names
        }
        if not more:
            return frozenset(names)
        names |= more


def email_owner(world: World, address: str) -> str | None:
    """The one active user with that verified address; None for none or several."""
    found = [
        key
        for key, user in world.users.items()
        if user.email and user.email.lower() == address.lower() and user.active and user.verified
    ]
    return found[0] if len(found) == 1 else None


def resolved(world: World, principal: str) -> bool:
    """Whether a name means something that is known: a user by id or e-mail, a group, an app, everyone."""
    kind, _, key = principal.partition(":")
    if kind == "everyone":
        return True
    if kind == "user":
        return email_owner(world, key) is not None if "@" in key else key in world.users
    return key in {"group": world.groups, "app": world.apps}[kind]


def _person(world: World, user: str, at: int) -> str | None:
    key = email_owner(world, user) if "@" in user else user
    if key is None or key not in world.users or world.users[key].by in stale(world, at):
        return None
    return key if world.users[key].active else None


def _app_works(world: World, app: str | None) -> bool:
    return app is None or (app in world.apps and world.apps[app].active)


def _app_sees(world: World, app: str | None, source: str) -> bool:
    if app is None:
        return True
    sources = world.apps[app].sources
    return sources is None or source in sources


def _fresh(world: World, source: str, at: int) -> bool:
    """Whether the source stands and was crawled within its limit; a source without a limit is never stale."""
    if world.sources[source].state == "deleted":
        return False
    limit, crawled = world.sources[source].max_age, world.sources[source].crawled
    if limit is None:
        return True
    return crawled is not None and crawled + at < limit


def _upwards(world: World, node: str | None) -> Iterator[str]:
    while node is not None:
        yield node
        node = world.nodes[node].parent


def _chain(world: World, node: str) -> list[WEntry]:
    """All entries up to and with the first break (a narrow is one), and only an admin's above it."""
    found: list[WEntry] = []
    broken = False
    for place in _upwards(world, node):
        found += world.nodes[place].admin
        if not broken:
            found += world.nodes[place].entries
        broken = broken or world.nodes[place].mode != "inherit"
    return found


def _parent_that_must_allow(world: World, node: str) -> str | None:
    """The parent of the first break if that is a narrow; a narrow with nothing above it narrows nothing."""
    for place in _upwards(world, node):
        mode = world.nodes[place].mode
        if mode != "inherit":
            return world.nodes[place].parent if mode == "narrow" else None
    return None


def _in_force(entry: WEntry, app: str | None, at: int) -> bool:
    begun = entry.start is None or entry.start <= at
    ended = entry.end is not None and at >= entry.end
    return begun and not ended and (entry.app is None or entry.app == app)


def _deny_hits(world: World, entry: WEntry, names: frozenset[str], app: str | None) -> bool:
    if not resolved(world, entry.principal):
        return not entry.waived
    if entry.principal.startswith("app:"):
        return app is not None and entry.principal == f"app:{app}"
    return _same_name(entry.principal) in names


def _gives(world: World, entry: WEntry, names: frozenset[str]) -> bool:
    if entry.principal.startswith("app:") or not resolved(world, entry.principal):
        return False
    return _same_name(entry.principal) in names


def _same_name(principal: str) -> str:
    return principal.lower() if "@" in principal else principal


def _directly_holds(world: World, group: str, name: str, old: set[str]) -> bool:
    kind, _, key = name.partition(":")
    if any(name in members for fed, members in world.fed.get(group, {}).items() if fed not in old):
        return True
    if name in {_same_name(member) for member in world.members.get(group, ())}:
        return True
    if kind == "user":
        user = world.users.get(key)
        return user is not None and (group in user.groups or (group in user.claimed and not user.overage))
    return kind == "group" and group in world.groups.get(key, ())
