"""Random worlds with every feature of the design planted often, and a census of what a world holds."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.factories import oracle
from tests.factories.world import WApp, WDoc, WEntry, WNode, World, WRule, WSource, WUser

USERS = ("ana", "bob", "cy")
GROUPS = ("staff", "eng", "ops", "hr")
APPS = ("chat", "desk")
HOUR = 3600
ALLOWED = ("everyone", "everyone", "user:ana", "user:A@x.org", "user:b@x.org", "group:ghost", "app:chat")
EMAILS = ("a@x.org", "b@x.org", None)
CLEARANCES = ("public", "internal", "confidential", "restricted", "cosmic", None)
CONDITIONS = (
    "rank(document.classification) > rank(principal.clearance)",
    "document.department == principal.department",
    "has(document.department) && document.department != 'law'",
    "principal.level > 1",
    "10 / principal.level > 4 && document.department == 'law'",
    "principal.badge",
    "principal.department == 'law' || principal.level == 1",
    "'staff' in principal.groups && document.classification != 'restricted'",
    "app.id == 'chat'",
    "has(app.id) && app.id == 'desk' || document.classification == 'public'",
    "source.id == 'wiki' && principal.id != 'cy'",
    "request.address.startsWith('10.') && document.department == 'law'",
    "request.time < timestamp('2020-01-01T00:00:00Z') || principal.groups.exists(g, g == 'hr')",
    "!(rank(principal.clearance) >= 2)",
    "principal.email.endsWith('@x.org')",
)
CLASSES = ("public", "internal", "confidential", "restricted", "secret")


def random_world(rng: Random) -> World:
    """A world of a few people, places and documents; the same generator state gives the same world."""
    nodes = _nodes(rng)
    documents = _documents(rng, nodes)
    return World(
        users={key: _user(rng) for key in USERS},
        groups={key: tuple(g for g in (*GROUPS, "ghost") if rng.random() < 0.2) for key in GROUPS},
        members={key: tuple({_member(rng) for _ in range(2)}) for key in (*GROUPS, "ghost") if rng.random() < 0.3},
        apps={key: _app(rng) for key in APPS},
        sources={"wiki": _source(rng), "drive": _source(rng)},
        nodes=nodes,
        documents=documents,
        foreign=("foreign",),
        rules=_rules(rng),
        address=rng.choice([None, "10.0.0.7", "192.168.0.7"]),
    )


def _rules(rng: Random) -> tuple[WRule, ...]:
    """None in half of the worlds, so that entries alone are tried as much as entries with rules."""
    if rng.random() < 0.5:
        return ()
    picked = rng.sample(CONDITIONS, rng.randint(1, 3))
    return tuple(WRule(rng.choice(["permit", "forbid"]), when, rng.random() < 0.8) for when in picked)


def _user(rng: Random) -> WUser:
    return WUser(
        groups=tuple(g for g in (*GROUPS, "ghost") if rng.random() < 0.25),
        email=rng.choice(EMAILS),
        verified=rng.random() < 0.8,
        active=rng.random() < 0.85,
        attributes={
            "clearance": rng.choice(CLEARANCES),
            "department": rng.choice(["law", "hr", None]),
            "level": rng.choice([0, 1, 2, 5, "high", None]),
            "badge": rng.choice([True, False, "blue", None]),
        },
    )


def _member(rng: Random) -> str:
    return rng.choice(["everyone", "user:a@x.org", "user:B@x.org", "user:ana", "user:nobody", "group:ops", "app:chat"])


def _app(rng: Random) -> WApp:
    sources = rng.choice([None, None, ("wiki",), ("drive",), ()])
    return WApp(sources=sources, active=rng.random() < 0.9)


def _source(rng: Random) -> WSource:
    return WSource(
        max_age=rng.choice([None, None, HOUR]),
        crawled=rng.choice([0, 60, 60, 2 * HOUR, None]),
        state="deleted" if rng.random() < 0.05 else "active",
    )


def _nodes(rng: Random) -> dict[str, WNode]:
    nodes: dict[str, WNode] = {}
    for source in ("wiki", "drive"):
        keys: list[str] = []
        for at in range(rng.randint(2, 5)):
            parent = rng.choice(keys[-2:]) if keys else None
            key = f"{source}{at}"
            nodes[key] = _node(rng, source, parent)
            keys.append(key)
        if rng.random() < 0.5:
            nodes[f"={source}"] = _node(rng, source, keys[-1], shared=True)
    return nodes


def _node(rng: Random, source: str, parent: str | None, *, shared: bool = False) -> WNode:
    return WNode(
        source=source,
        parent=parent,
        mode=rng.choice(["inherit", "inherit", "inherit", "break", "narrow"]),
        closed=rng.random() < 0.04,
        entries=_entries(rng, 2 if parent else 3),
        admin=() if shared or rng.random() < 0.6 else _entries(rng, 1),
        labels=_labels(rng),
        admin_labels={} if shared else _labels(rng),
    )


def _labels(rng: Random) -> dict[str, str]:
    found = {"classification": rng.choice(CLASSES)} if rng.random() < 0.25 else {}
    return {**found, "department": rng.choice(["law", "hr"])} if rng.random() < 0.25 else found


def _entries(rng: Random, most: int) -> tuple[WEntry, ...]:
    """Entries that differ in more than the waiver, as SQL keeps them."""
    found = {(e.principal.lower(), e.effect): e for e in (_entry(rng) for _ in range(rng.randint(0, most)))}
    return tuple(found.values())


def _entry(rng: Random) -> WEntry:
    effect = "allow" if rng.random() < 0.72 else "deny"
    if effect == "allow":
        principal = rng.choice([*(f"group:{g}" for g in GROUPS), *ALLOWED])
    else:
        principal = rng.choice(["group:hr", "group:ops", "user:bob", "user:b@x.org", "app:chat", "group:ghost"])
    start, end = rng.choice([(None, None)] * 5 + [(HOUR, None), (None, -HOUR), (-HOUR, HOUR), (-HOUR, None)])
    return WEntry(
        principal=principal,
        effect=effect,
        start=start,
        end=end,
        app=rng.choice([None, None, None, "chat", "lost"]),
        waived=effect == "deny" and rng.random() < 0.4,
    )


def _documents(rng: Random, nodes: dict[str, WNode]) -> dict[str, WDoc]:
    documents = {f"doc-{key.lstrip('=')}{'s' if key[0] == '=' else ''}": WDoc(key) for key in nodes}
    for at in range(2):
        node = rng.choice(list(nodes))
        same = [key for key, one in nodes.items() if one.source == nodes[node].source]
        documents[f"waiting{at}"] = WDoc(node, pending=rng.choice(same))
    documents["hidden"] = WDoc(rng.choice(list(nodes)), state=rng.choice(["held", "deleted"]))
    documents["foreign"] = WDoc(next(iter(nodes)))
    return documents


def features(world: World) -> set[str]:
    """Names of what the design speaks of and this world holds."""
    return {*_people(world), *_places(world), *_stated(world), *_gates(world), *_ruled(world)}


def _ruled(world: World) -> Iterator[str]:
    for rule in world.rules:
        yield f"{rule.effect} rule" if rule.enforced else "report-only rule"
        if "request" in rule.when:
            yield "rule about the request"
        if "app.id" in rule.when:
            yield "rule about the app"
        says = {
            key: {oracle.rule_says(world, rule.when, person, None, key) for person in world.users}
            for key in world.nodes
        }
        if any("errs" in one for one in says.values()):
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
    yield from ("inactive user" for user in world.users.values() if not user.active)
    addresses = [user.email for user in world.users.values() if user.email and user.active and user.verified]
    if len(addresses) != len(set(addresses)):
        yield "shared e-mail"
    yield from ("unverified e-mail" for user in world.users.values() if user.email and not user.verified)


def _above(world: World, group: str) -> set[str]:
    found: set[str] = set()
    todo = list(world.groups.get(group, ()))
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += world.groups.get(one, ())
    return found


def _places(world: World) -> Iterator[str]:
    for node in world.nodes.values():
        if node.mode != "inherit":
            yield f"{node.mode} node"
            above = [world.nodes[one] for one in oracle._upwards(world, node.parent)]
            if any(one.admin for one in above):
                yield "admin entry above a break"
            if any(e.effect == "deny" for one in above for e in one.entries):
                yield "source deny above a break"
            if any(one.closed for one in above):
                yield "closed above a break"
            if node.mode == "narrow" and any(one.mode == "narrow" for one in above):
                yield "narrow below narrow"
        if node.closed:
            yield "closed node"
        if node.admin_labels:
            yield "admin label"


def _stated(world: World) -> Iterator[str]:
    for entry in (e for node in world.nodes.values() for e in (*node.entries, *node.admin)):
        if entry.app is not None:
            yield f"app-bound {entry.effect}"
        if entry.principal.startswith("app:"):
            yield f"app principal {entry.effect}"
        if entry.end is not None and entry.end < 0:
            yield "expired entry"
        if entry.start is not None and entry.start > 0:
            yield "entry to come"
        known = oracle.resolved(world, entry.principal)
        if not known:
            yield f"unresolved {entry.effect}"
        if entry.waived:
            yield f"waived {'resolved' if known else 'unresolved'}"
        if "@" in entry.principal and known:
            yield "e-mail principal"
        if entry.principal == "everyone":
            yield "everyone"


def _gates(world: World) -> Iterator[str]:
    for source in world.sources.values():
        if source.max_age is not None:
            yield "never crawled" if source.crawled is None else "fresh" if source.crawled < source.max_age else "stale"
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
        "break node", "narrow node", "admin entry above a break", "source deny above a break", "closed above a break",
        "narrow below narrow", "closed node", "admin label", "app-bound allow", "app-bound deny",
        "app principal allow", "app principal deny", "expired entry", "entry to come", "unresolved allow",
        "unresolved deny", "waived resolved", "waived unresolved", "e-mail principal", "everyone", "never crawled",
        "fresh", "stale", "deleted source", "app's sources", "inactive app", "pending node", "hidden document",
        "foreign document", "permit rule", "forbid rule", "report-only rule", "rule about the request",
        "rule about the app", "permit rule that errs", "forbid rule that errs", "permit at a break node",
        "permit at a narrow node", "permit at a inherit node", "rule that tells places apart",
    }
)  # fmt: skip
