"""What a change would do before it is made: who would gain or lose which documents.

The change is made to a copy in memory of what decides. Nothing is locked and nothing is written, on any database; the
answer is about the snapshot that the copy was taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import now
from core.tables import Document, Source
from policies.decide import decide
from policies.difference import touched
from policies.epoch import current
from policies.people import Person, classes, load_people, rule_trait
from policies.readers import Place, named_on, places, subject_of, visible
from policies.worlds import copied

Change = Callable[[Session], object]
MOST_CLASSES = 2000
FEW = 1000
"""Places up to which each is decided; beyond it, the scopes of both worlds say which may differ."""
_NOBODY = Person(0, "", None, {}, frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Shift:
    """What one person would gain or lose: how many documents, and some of them as `source:id at the source`."""

    user: str
    documents: int
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """All gains, or all losses.

    Attributes:
        people, documents: how many different ones.
        pairs: how many times a person would gain (or lose) a document.
        samples: those who would gain or lose most, each with some documents.
    """

    people: int
    documents: int
    pairs: int
    samples: tuple[Shift, ...]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a change would do. `complete`: everybody it may touch was asked about."""

    gains: Side
    losses: Side
    people: int
    complete: bool
    epoch: int
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "at": self.at.isoformat()}


def simulate(
    session: Session,
    tenant: int,
    change: Change,
    *,
    app: str | None = None,
    samples: int = 10,
    most: int = MOST_CLASSES,
) -> Simulated:
    """Who would gain or lose what, were `change` made to this snapshot; asked through `app` where one is named.

    `change` is given a session on the copy and may do there whatever it would do to the truth. `most` bounds how many
    classes of people are asked about; where that is not all, `complete` is false.
    """
    at = now(session)
    standing = {one.document: one for one in places(session, tenant, held=True)}
    with copied(session, tenant, standing, at=at) as after:
        change(after)
        after.flush()
        worlds = (World(session, tenant, app), World(after, tenant, app))
        compared = Compared(worlds, standing, at)
        asked = list(compared.questions())
        found = [compared.shift(*one) for one in asked[:most]]
        people = worlds[0].people.keys() | worlds[1].people.keys()
    told = Told(session, standing, samples)
    gains = told.side([(one.people, one.gained) for one in found])
    losses = told.side([(one.people, one.lost) for one in found])
    return Simulated(gains, losses, len(people), len(asked) <= most, current(session, tenant), at)


@dataclass(frozen=True, slots=True)
class Shifted:
    """People whom one pair of decisions stands for, and the places that they would gain and lose."""

    people: Sequence[Person]
    gained: frozenset[int]
    lost: frozenset[int]


class World:
    """One world and what it says of people."""

    def __init__(self, session: Session, tenant: int, app: str | None) -> None:
        self.session, self.tenant, self.app = session, tenant, app
        self.people = load_people(session, tenant)
        self._trait = rule_trait(session, tenant)

    def allowed(self, person: int, asked: Iterable[int], at: datetime) -> frozenset[int]:
        """Which of the places asked about the person may read."""
        held = self.people.get(person)
        return frozenset() if held is None else self.read_by(held, asked, at)

    def read_by(self, held: Person, asked: Iterable[int], at: datetime) -> frozenset[int]:
        """The same of anybody who is in this world."""
        subject = subject_of(self.session, self.tenant, held, self.app)
        verdicts = decide(self.session, subject, asked, at=at)
        return frozenset(one for one, verdict in verdicts.items() if verdict.allowed)

    def visible(self, person: int) -> tuple[frozenset[int], frozenset[int]]:
        """Nodes and sources in the person's scope."""
        held = self.people.get(person)
        if held is None:
            return frozenset(), frozenset()
        return visible(self.session, subject_of(self.session, self.tenant, held, self.app))

    def told_apart_by(self, person: int, named: frozenset[int]) -> Hashable:
        """What of a person can matter here, to entries that name `named` and to rules."""
        held = self.people.get(person)
        told = held or _NOBODY
        return (held is None, told.principals & named, told.doubt, self._trait(told))


class Compared:
    """The world that stands and the one with the change.

    `bare` is somebody of the changed world who is in nothing: with them, who is new gains only what they have not.
    """

    def __init__(
        self, worlds: tuple[World, World], standing: Mapping[int, Place], at: datetime, *, bare: Person | None = None
    ) -> None:
        self._before, self._after = worlds
        self._bare = bare
        self._standing, self._at = standing, at
        self._touched = touched(
            self._before.session, self._after.session, self._before.tenant, standing,
            through_app=self._before.app is not None,
        )  # fmt: skip

    def questions(self, only: frozenset[int] | None = None) -> Iterator[tuple[Sequence[Person], frozenset[int] | None]]:
        """Each class of people with the places to ask about; None: wherever their scopes differ.

        Of people who are what they were, those that are any of the principals `only` (None: all).
        """
        before, after = self._before.people, self._after.people
        everyone = {**before, **after}
        moved = {one for one in everyone if before.get(one) != after.get(one)}
        for same in self._classes([everyone[one] for one in sorted(moved)], self._named(self._standing)):
            yield same, None
        if self._touched:
            rest = [one for id_, one in sorted(everyone.items()) if id_ not in moved]
            rest = [one for one in rest if only is None or one.principals & only]
            for same in self._classes(rest, self._named(self._touched)):
                yield same, self._touched

    def shift(self, same: Sequence[Person], limit: frozenset[int] | None) -> Shifted:
        """What changes for a class of people."""
        person = same[0].id
        asked = limit if limit is not None and len(limit) <= FEW else self._suspects(person)
        before, after = (world.allowed(person, asked, self._at) for world in (self._before, self._after))
        if self._bare is not None and person not in self._before.people:
            before = self._after.read_by(self._bare, asked, self._at)
        return Shifted(same, gained=after - before, lost=before - after)

    def _suspects(self, person: int) -> frozenset[int]:
        """Places whose decision may differ for a person: by the scopes of both worlds, and all that wait to move."""
        before, after = self._before.visible(person), self._after.visible(person)
        nodes, sources = before[0] ^ after[0], before[1] ^ after[1]
        return frozenset(
            key
            for key, one in self._standing.items()
            if one.node in nodes or one.source in sources or one.pending is not None
        )

    def _named(self, wanted: Collection[int]) -> frozenset[int]:
        """Principals that entries name on the way up from these places, in either world."""
        standing = [self._standing[one] for one in wanted]
        ids = {one.node for one in standing} | {one.pending for one in standing if one.pending is not None}
        found = [named_on(world.session, world.tenant, ids) for world in (self._before, self._after)]
        return found[0] | found[1]

    def _classes(self, people: Iterable[Person], named: frozenset[int]) -> Iterable[list[Person]]:
        """People whom neither world tells apart."""
        return classes(
            people, (), lambda one: tuple(w.told_apart_by(one.id, named) for w in (self._before, self._after))
        ).values()


class Told:
    """Counts and names of what was found."""

    def __init__(self, session: Session, standing: Mapping[int, Place], samples: int) -> None:
        self._session, self._standing, self._samples = session, standing, samples

    def side(self, found: Sequence[tuple[Sequence[Person], frozenset[int]]]) -> Side:
        """The sum of what some classes of people gain, or lose."""
        counted = [(people, keys, self._count(keys)) for people, keys in found if keys]
        people = sum(len(same) for same, _, _ in counted)
        every = frozenset(key for _, keys, _ in counted for key in keys)
        most = sorted(counted, key=lambda one: (-one[2], one[0][0].key))[: self._samples]
        shifts = [Shift(person.key, count, self._names(keys)) for same, keys, count in most for person in same][
            : self._samples
        ]
        return Side(people, self._count(every), sum(len(same) * count for same, _, count in counted), tuple(shifts))

    def _count(self, keys: Iterable[int]) -> int:
        return sum(self._standing[key].count for key in keys)

    def _names(self, keys: Iterable[int]) -> tuple[str, ...]:
        """Some of the documents, one of each place first."""
        wanted = sorted(keys)[: self._samples]
        rows = self._session.execute(
            select(Source.key, Document.external_id)
            .join(Source, Source.id == Document.source_id)
            .where(Document.id.in_(wanted))
            .order_by(Document.id)
        )
        return tuple(f"{source}:{external}" for source, external in rows)
