"""A machine that mixes changes of access with queries: whoever says what may be read must agree after each of them.

They are the decision, the scope (the cached one) through a real index, the whole path of a query with its re-check,
and the oracle; about rules also Cedar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from policies import decide, rules, scope, subject
from policies.labels import classifications
from retrieve.model import Question
from tests.factories import cedar, oracle
from tests.factories.access_stage import Stage
from tests.factories.agreement import caller_of, callers, differences, found
from tests.factories.census import features
from tests.factories.changing_people import steady
from tests.factories.changing_places import ChangingWorld
from tests.factories.drain import drain
from tests.factories.random_world import PERIOD, random_world
from tests.factories.stopped_clock import BEGAN, TICK
from tests.factories.world import Built, WEntry, WNode, World, WRule, build

CHANGES: dict[str, Callable[[ChangingWorld, Random], None]] = {
    name: getattr(ChangingWorld, name)
    for name in (*vars(ChangingWorld.__mro__[1]), *vars(ChangingWorld))
    if name.startswith(("a_", "an_", "the_", "what_", "members"))
}
SEEDS = st.integers(0, 2**32 - 1)


class AccessMachine(RuleBasedStateMachine):
    """One world, changed step by step."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.cache = scope.ScopeCache()
        self.steps = 0

    @initialize(seed=SEEDS, directory_first=st.booleans())
    def begins(self, seed: int, directory_first: bool) -> None:
        self.stage.clock.move(0)
        rng = Random(seed)
        world = _opened(random_world(rng), rng)
        self.order = rng.sample([*CHANGES, "time"], len(CHANGES) + 1)
        with self.stage.db.write() as session:
            built = build(session, world, directory_first=directory_first)
        self.stage.publish(built)
        self.changing = ChangingWorld(self.stage.db, self.stage.clock, world, built)
        self.changing.between = self._waits
        self.stage.index.written.clear()
        self.readable = self._readable()

    @rule(seed=SEEDS)
    def changes(self, seed: int) -> None:
        """The next change, each kind in turn: to the index nothing, or a moved document's payload once a chunk."""
        name, before = self.order[self.steps % len(self.order)], self.world
        note(name)
        if name == "time":
            self._wait(Random(seed).randint(1, 8))
            return
        rng = Random(seed)
        for _ in range(4):  # a change may happen to state what is so already
            if self.world == before:
                CHANGES[name](self.changing, rng)
        self.stage.counted[f"change: {name}"] += before != self.world
        assert self.stage.index.written == [], "a change of access wrote points"
        if name.startswith("a_document"):
            self._ask()
        drain(self.stage.runtime.pipeline)
        written, self.stage.index.written[:] = Counter(self.stage.index.written), []
        moved = {"place"} if before.documents != self.world.documents else set()
        assert {how for how, _ in written} <= ({"delete"} if name == "a_document_deleted" else moved), (name, written)
        assert max(written.values(), default=0) <= 1, "a point was written twice"
        self.stage.counted["point moved"] += sum(how == "place" for how, _ in written)

    def _wait(self, ticks: int) -> None:
        before, after = self.stage.clock.at, self.stage.clock.at + ticks * TICK
        self.stage.clock.move(after)
        entries = [one for node in self.world.nodes.values() for one in (*node.entries, *node.admin)]
        self.stage.counted["entry that ended"] += sum(before < (one.end or 0) <= after for one in entries)
        self.stage.counted["change: time"] += 1

    @invariant()
    def all_agree(self) -> None:
        self.steps += 1
        asking = list(self._asking())
        at, built = self.stage.clock.at, self.changing.built
        told = differences(self.stage.db, self.world, built, self.cache, asking=asking, at=at)
        assert [*told, *self._index_differences(asking), *self._cedar_differences()] == []
        self._ask()
        self.stage.counted.update(features(self.world, at, at + PERIOD))
        after = self._readable()
        self.stage.counted["opened"] += len(after - self.readable)
        self.stage.counted["closed"] += len(self.readable - after)
        self.readable = after

    @property
    def world(self) -> World:
        return self.changing.world

    def _asking(self) -> Iterator[tuple[str, str | None]]:
        """Everyone alone, and through one app or another by turns."""
        apps = [None, *self.world.apps]
        turn = apps[self.steps % len(apps)]
        return (one for one in callers(self.world) if one[1] in {None, turn})

    def _readable(self) -> set[tuple[str, str]]:
        at = self.stage.clock.at
        return {
            (person, key)
            for person in self.world.users
            for key in self.world.documents
            if oracle.allowed(self.world, person, None, key, at)
        }

    def _waits(self, before: World, after: World) -> None:
        """While a source's change waits for its content, nobody reads what they could not before or may not after."""
        built, at = self.changing.built, self.stage.clock.at
        with self.stage.db.read() as session:
            for person, app in callers(before):
                who = subject.resolve_subject(session, caller_of(before, built, person, app))
                for key, verdict in zip(built.documents, self._verdicts(session, who, built), strict=True):
                    told = [oracle.allowed(world, person, app, key, at) for world in (before, after)]
                    assert all(told) or not verdict.allowed, f"{person} through {app}: {key} while it waits: {told}"
                    self.stage.counted["readable while it waits"] += verdict.allowed

    def _verdicts(self, session: Session, who: subject.Subject, built: Built) -> list[decide.Verdict]:
        verdicts = decide.decide(session, who, built.documents.values())
        return [verdicts[one] for one in built.documents.values()]

    def _ask(self) -> None:
        """A query by the whole path, for one after the other: what the oracle allows, each document, nothing else."""
        built, at = self.changing.built, self.stage.clock.at
        asking = list(callers(self.world))
        person, app = asking[self.steps % len(asking)]
        question = Question("note", top_k=100)
        passages = self.stage.runtime.retriever.retrieve(caller_of(self.world, built, person, app), question).passages
        shown = {one.title for one in passages}
        expected = {key for key in built.documents if oracle.allowed(self.world, person, app, key, at)}
        assert shown <= expected, f"{person} through {app} was shown {sorted(shown - expected)}"
        self.stage.counted["document shown"] += len(shown)

    def _index_differences(self, asking: list[tuple[str, str | None]]) -> Iterator[str]:
        built, world, stack = self.changing.built, self.world, self.stage.runtime.stack
        live = {
            key: doc.node for key, doc in world.documents.items() if doc.state != "deleted" and key not in world.foreign
        }
        with self.stage.db.read() as session:
            for person, app in asking:
                who = subject.resolve_subject(session, caller_of(world, built, person, app))
                selected = scope.readable(session, who, self.cache)
                expected = {
                    built.documents[key]
                    for key, node in live.items()
                    if found(selected, built.nodes[node], built.sources[world.nodes[node].source])
                }
                hits = {hit.document for hit in stack.search("note", selected, limit=10_000)}
                deleted = {built.documents[key] for key, doc in world.documents.items() if doc.state == "deleted"}
                if hits - deleted != expected:
                    yield f"{person} through {app}: the index does not find what the scope stands for"

    def _cedar_differences(self) -> Iterator[str]:
        """Where the rules of the engine and of Cedar part, by the labels that the oracle sees."""
        world, built, at = self.world, self.changing.built, self.stage.clock.at
        enforced = [(one.effect, one.when) for one in world.rules if one.enforced]
        with self.stage.db.read() as session:
            standing = [one for one in rules.open_rules(session, built.tenant) if one.enforced]
            ordered = classifications(session, built.tenant)
            for key in world.users if enforced else ():
                who = subject.resolve_subject(session, caller_of(world, built, key, None))
                if who.nobody:
                    continue
                asking = rules.Asking(session, who, self.stage.clock.now, ordered)
                for node, place in world.nodes.items():
                    labels = oracle.labels_at(world, node)
                    ruling = asking.ruling(
                        standing, rules.Signature(tuple(sorted(labels.items())), place.source, "push")
                    )
                    ours = bool(ruling.counting("permit")) and not ruling.counting("forbid")
                    seen = {**labels, "source": place.source}
                    if cedar.permits(enforced, _person(world, key, at), seen, world.classifications) != ours:
                        yield f"{key} at {node}: Cedar and the rules differ"
                    self.stage.counted[f"Cedar says {ours}"] += 1


def _opened(world: World, rng: Random) -> World:
    """The world with much to read, so that there is something to lose; with rules that Cedar knows."""
    return replace(
        world,
        nodes={key: _open(node, rng) for key, node in world.nodes.items()},
        users={key: replace(steady(user), active=True) for key, user in world.users.items()},
        sources={key: replace(source, max_age=None, state="active") for key, source in world.sources.items()},
        rules=tuple(WRule("permit", twin.cel) for twin in rng.sample(cedar.TWINS, rng.randint(0, 2))),
        began=BEGAN,
    )


def _open(node: WNode, rng: Random) -> WNode:
    """The place, read by everyone where it is a root, and without most of its denies."""
    kept = [one for one in node.entries if one.effect == "deny" and rng.random() < 0.4]
    allows = [one for one in node.entries if one.effect == "allow" and one.principal != "everyone"]
    everyone = [WEntry("everyone")] if node.parent is None or rng.random() < 0.3 else []
    return replace(node, closed=False, entries=(*everyone, *allows, *kept))


def _person(world: World, key: str, at: int) -> cedar.Person:
    user = world.users[key]
    names = sorted(name.partition(":")[2] for name in oracle.names_of(world, key, at) if name.startswith("group:"))
    known = not oracle.stale(world, at) and not user.overage
    attributes = {name: value for name, value in user.attributes.items() if value is not None}
    return cedar.Person(key, attributes, names if known else None)


def run(stage: Stage, *, examples: int, steps: int, shrink: bool = True) -> Counter[str]:
    """Lets machines run at a fixed seed; returns how often each kind and each change occurred.

    Raises:
        AssertionError: somebody disagreed.
    """
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=phases, report_multiple_bugs=False,
    )  # fmt: skip
    stage.counted.clear()
    run_state_machine_as_test(lambda: AccessMachine(stage), settings=chosen)
    return stage.counted
