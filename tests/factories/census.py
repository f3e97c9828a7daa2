"""Counts what a world holds of all that the design speaks of; a suite of worlds fails where one kind never occurred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.factories import oracle
from tests.factories.random_world import PERIOD
from tests.factories.world import WNode, World, WUser


def features(world: World, at: int = 0, until: int = PERIOD) -> Counter[str]:
    """How often each kind occurs in a world that is looked at from `at` to `until`."""
    timed = (kinds(world, at, until) for kinds in (_directories, _stated, _gates))
    found = (_people(world), _places(world), _ruled(world), *timed)
    return Counter(name for names in found for name in names)


def missing(counted: Counter[str]) -> list[str]:
    """The kinds that never occurred."""
    return sorted(name for name in FEATURES if not counted[name])


def _ruled(world: World) -> Iterator[str]:
    for rule in world.rules:
        yield f"{rule.effect} rule" if rule.enforced else "report-only rule"
        if "request" in rule.when:
            yield "rule about the request"
        if "request.time >=" in rule.when:
            yield "rule that turns during the run"
        if "app.id" in rule.when:
            yield "rule about the app"
        says = {
            key: {oracle.rule_says(world, rule.when, person, None, key) for person in world.users}
            for key in world.nodes
        }
        if rule.enforced and any("errs" in one for one in says.values()):
            yield f"{rule.effect} rule that errs"
        if rule.effect == "permit" and rule.enforced:
            yield from (f"permit at a {world.nodes[key].mode} node" for key, one in says.items() if True in one)
        if len({frozenset(one) for one in says.values()}) > 1:
            yield "rule that tells places apart"


def _people(world: World) -> Iterator[str]:
    for key in world.groups:
        above = _above(world, key)
        if key in above:
            yield "cyclic groups"
        if any(_above(world, one) for one in above):
            yield "nested groups"
    yield from ("everyone in a group" for members in world.members.values() if "everyone" in members)
    yield from (kind for user in world.users.values() for kind in _person(user))
    addresses = [user.email for user in world.users.values() if user.email and user.active and user.verified]
    if len(addresses) != len(set(addresses)):
        yield "shared e-mail"


def _person(user: WUser) -> Iterator[str]:
    if not user.active:
        yield "inactive user"
    if user.email and not user.verified:
        yield "unverified e-mail"
    if user.overage:
        yield "token with too many groups"
    elif user.claimed:
        yield "token that names groups"


def _above(world: World, group: str) -> set[str]:
    found: set[str] = set()
    todo = list(world.groups.get(group, ()))
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += world.groups.get(one, ())
    return found


def _directories(world: World, at: int, until: int) -> Iterator[str]:
    now, then = oracle.stale(world, at), oracle.stale(world, until)
    for key, one in world.directories.items():
        if one.max_age is not None:
            yield "directory never read" if one.synced is None else "old directory" if key in now else "fresh directory"
        if key in then - now:
            yield "directory that grows too old during the run"
        if key in now:
            yield from ("person of an old directory" for user in world.users.values() if user.by == key)
            yield from ("group fed by an old directory" for stated in world.fed.values() if key in stated)
    if world.directories and not now:
        yield from ("group fed by a directory" for _ in world.fed)


def _places(world: World) -> Iterator[str]:
    for node in world.nodes.values():
        above = [world.nodes[one] for one in oracle._upwards(world, node.parent)]
        denies = any(e.effect == "deny" for e in node.entries)
        if node.parent is None and node.entries:
            yield "entry at the root"
        if denies and any(one.mode == "break" for one in above):
            yield "deny below a break"
        if node.closed:
            yield "closed node"
        if node.admin_labels:
            yield "admin label"
        if node.mode != "inherit":
            yield from _cut(node, above)


def _cut(node: WNode, above: list[WNode]) -> Iterator[str]:
    """What stands above a break or a narrow place, and itself."""
    yield f"{node.mode} node"
    if node.mode == "break" and not node.entries:
        yield "break without entries"
    if any(e.effect == "deny" for one in above for e in one.entries):
        yield "deny above a break"
    if any(name not in node.labels for one in above for name in one.labels):
        yield "label across a break"
    if any(one.admin for one in above):
        yield "admin entry above a break"
    if any(one.closed for one in above):
        yield "closed above a break"
    if node.mode == "narrow" and any(one.mode == "narrow" for one in above):
        yield "narrow below narrow"


def _stated(world: World, at: int, until: int) -> Iterator[str]:
    for entry in (e for node in world.nodes.values() for e in (*node.entries, *node.admin)):
        if entry.app is not None:
            yield f"app-bound {entry.effect}"
        if entry.principal.startswith("app:"):
            yield f"app principal {entry.effect}"
        if entry.principal == "everyone":
            yield f"{entry.effect} of everyone"
        if entry.end is not None and entry.end <= until:
            yield "expired entry" if entry.end <= at else f"{entry.effect} that ends during the run"
        if entry.start is not None and entry.start > at:
            yield "entry to come"
        known = oracle.resolved(world, entry.principal)
        if not known:
            yield f"unresolved {entry.effect}"
        if entry.waived:
            yield f"waived {'resolved' if known else 'unresolved'}"
        if "@" in entry.principal and known:
            yield "e-mail principal"


def _gates(world: World, at: int, until: int) -> Iterator[str]:
    for key, source in world.sources.items():
        if source.max_age is not None:
            aged = "fresh" if (source.crawled or 0) + at < source.max_age else "stale"
            yield "never crawled" if source.crawled is None else aged
        if oracle._fresh(world, key, at) and not oracle._fresh(world, key, until):
            yield "source that grows too old during the run"
        if source.state == "deleted":
            yield "deleted source"
    yield from ("app's sources" for app in world.apps.values() if app.sources is not None)
    yield from ("inactive app" for app in world.apps.values() if not app.active)
    for doc in world.documents.values():
        if doc.pending is not None and doc.pending != doc.node:
            yield "pending node"
        if doc.state != "live":
            yield "hidden document"
    yield from ("foreign document" for _ in world.foreign)


FEATURES = frozenset(
    {
        "cyclic groups", "nested groups", "everyone in a group", "inactive user", "shared e-mail", "unverified e-mail",
        "token that names groups", "token with too many groups", "directory never read", "old directory",
        "fresh directory", "directory that grows too old during the run", "person of an old directory",
        "group fed by an old directory", "group fed by a directory", "entry at the root", "deny above a break",
        "deny below a break", "label across a break", "break node", "break without entries", "narrow node",
        "narrow below narrow", "admin entry above a break", "closed above a break", "closed node", "admin label",
        "app-bound allow", "app-bound deny", "app principal allow", "app principal deny", "allow of everyone",
        "deny of everyone", "expired entry", "allow that ends during the run", "deny that ends during the run",
        "entry to come", "unresolved allow", "unresolved deny", "waived resolved", "waived unresolved",
        "e-mail principal", "never crawled", "fresh", "stale", "source that grows too old during the run",
        "deleted source", "app's sources", "inactive app", "pending node", "hidden document", "foreign document",
        "time opens a document", "time closes a document", "permit rule", "forbid rule", "report-only rule",
        "rule about the request", "rule about the app",
        "rule that turns during the run", "permit rule that errs", "forbid rule that errs", "permit at a break node",
        "permit at a narrow node", "permit at a inherit node", "rule that tells places apart",
    }
)  # fmt: skip
