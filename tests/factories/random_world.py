"""Random worlds with everything that the design speaks of planted often; `tests.factories.census` counts it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from random import Random

from tests.factories.stopped_clock import BEGAN, TICK
from tests.factories.world import WApp, WDirectory, WDoc, WEntry, WNode, World, WRule, WSource, WUser

USERS = ("ana", "bob", "cy")
GROUPS = ("staff", "eng", "ops", "hr")
APPS = ("chat", "desk")
PERIOD = 4 * TICK
"""Seconds after which random times end, begin and grow too old."""
TURN = BEGAN + timedelta(seconds=PERIOD)
ALLOWED = ("everyone", "everyone", "user:ana", "user:A@x.org", "user:b@x.org", "group:ghost", "app:chat")
DENIED = ("group:hr", "group:ops", "user:bob", "user:b@x.org", "app:chat", "group:ghost", "everyone")
MEMBERS = ("everyone", "user:a@x.org", "user:B@x.org", "user:ana", "user:nobody", "group:ops", "app:chat")
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
    f"request.time >= timestamp('{TURN:%Y-%m-%dT%H:%M:%SZ}') && document.department == 'hr'",
    "!(rank(principal.clearance) >= 2)",
    "principal.email.endsWith('@x.org')",
)
CLASSES = ("public", "internal", "confidential", "restricted", "secret")


def random_world(rng: Random) -> World:
    """A world of a few people, places and documents; the same generator state gives the same world."""
    nodes = _nodes(rng)
    documents = _documents(rng, nodes)
    directories = {"corp": _directory(rng)} if rng.random() < 0.6 else {}
    return World(
        users={key: _user(rng, directories) for key in USERS},
        groups={key: tuple(g for g in (*GROUPS, "ghost") if rng.random() < 0.2) for key in GROUPS},
        members={key: _members(rng) for key in (*GROUPS, "ghost") if rng.random() < 0.3},
        directories=directories,
        fed={key: {one: _fed(rng) for one in directories} for key in GROUPS if rng.random() < 0.4},
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
    picked = rng.sample(CONDITIONS, rng.randint(1, 4))
    return tuple(WRule(rng.choice(["permit", "forbid"]), when, rng.random() < 0.8) for when in picked)


def _user(rng: Random, directories: Collection[str] = ()) -> WUser:
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
        by=rng.choice([None, None, None, *directories]),
        claimed=tuple(g for g in (*GROUPS, "ghost") if rng.random() < 0.08),
        overage=rng.random() < 0.06,
    )


def _members(rng: Random) -> tuple[str, ...]:
    return tuple(sorted({rng.choice(MEMBERS) for _ in range(2)}))


def _fed(rng: Random) -> tuple[str, ...]:
    """What a directory says: people and groups by id."""
    return tuple(sorted({rng.choice(["user:ana", "user:bob", "user:cy", "group:eng"]) for _ in range(2)}))


def _directory(rng: Random) -> WDirectory:
    return WDirectory(
        max_age=rng.choice([None, 2 * PERIOD, 2 * PERIOD]), synced=rng.choice([0, PERIOD, PERIOD, 2 * PERIOD, None])
    )


def _app(rng: Random) -> WApp:
    sources = rng.choice([None, None, ("wiki",), ("drive",), ()])
    return WApp(sources=sources, active=rng.random() < 0.9)


def _source(rng: Random) -> WSource:
    return WSource(
        max_age=rng.choice([None, 2 * PERIOD]),
        crawled=rng.choice([0, 60, PERIOD, PERIOD, 2 * PERIOD, None]),
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
    named = (*(f"group:{g}" for g in GROUPS), *ALLOWED) if effect == "allow" else DENIED
    start, end = rng.choice([(None, None)] * 5 + [(PERIOD, None), (None, -PERIOD), (-PERIOD, PERIOD), (-PERIOD, None)])
    return WEntry(
        principal=rng.choice(named),
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
