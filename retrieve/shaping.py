"""Which of the passages that passed are shown: copies collapsed, newer ones first where asked, none crowding others.

Everything here works on candidates that the re-check let through, so no choice can bring back what it refused, and
what a person may not read neither takes a place nor moves another passage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from retrieve.alike import nearly_alike
from retrieve.model import Passage, Shape

FLOOR = 0.5
"""What remains of the score of a very old document."""
_CROWD = 0.75
"""Share of the places that one document may take while others have something to show."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that passed, with what choosing needs and nobody is shown.

    Attributes:
        version: id of the document's current version.
        tokens: length of the text as the encoder counts it.
    """

    passage: Passage
    version: int
    tokens: int
    modified: datetime | None


def shape_up(candidates: Iterable[Candidate], shape: Shape, top_k: int, *, at: datetime) -> list[Candidate]:
    """At most `top_k` candidates in the order they are shown; `at` is what ages are counted to."""
    ordered = _by_age(candidates, shape.recency_days, at)
    single = _collapsed(ordered, shape)
    allowed = _capped(single, shape.per_source, lambda one: one.passage.source)
    if shape.per_document is not None:
        return list(_capped(allowed, shape.per_document, lambda one: one.passage.document))[:top_k]
    return _uncrowded(list(allowed), top_k)


def settled(shape: Shape) -> Shape:
    """What is left of a shape for candidates that were aged and collapsed already: the caps."""
    return replace(shape, collapse="off", recency_days=None)


def wants_more(shape: Shape) -> bool:
    """Whether choosing needs more candidates than are shown."""
    return shape.recency_days is not None or shape.per_document is not None or shape.per_source is not None


def _by_age(candidates: Iterable[Candidate], half_life: float | None, at: datetime) -> list[Candidate]:
    if half_life is None:
        return list(candidates)
    aged = [
        replace(one, passage=replace(one.passage, score=one.passage.score * _weight(one.modified, half_life, at)))
        for one in candidates
    ]
    return sorted(aged, key=lambda one: -one.passage.score)


def _weight(modified: datetime | None, half_life: float, at: datetime) -> float:
    if modified is None:
        return FLOOR
    days = max(at - modified, timedelta()) / timedelta(days=1)
    return FLOOR + (1 - FLOOR) * float(0.5 ** (days / half_life))


def _collapsed(candidates: Sequence[Candidate], shape: Shape) -> list[Candidate]:
    """The best of each group of copies, with the places of the others.

    Copies of another classification stay apart: one may go to a model that the other may not.
    """
    if shape.collapse == "off":
        return list(candidates)
    passages = [one.passage for one in candidates]
    groups: dict[tuple[Hashable, str], list[Candidate]] = {}
    for one, common in zip(candidates, _in_common(passages, shape), strict=True):
        groups.setdefault((common, one.passage.classification), []).append(one)
    return [_joined(group) for group in groups.values()]


def _in_common(passages: Sequence[Passage], shape: Shape) -> Sequence[Hashable]:
    """For each passage what its copies have too; the name of the file is no part of it."""
    if shape.collapse == "copies":
        return [(one.title, one.heading, one.text) for one in passages]
    if shape.collapse == "near":
        return nearly_alike([one.text for one in passages])
    return [" ".join(one.text.casefold().split()) for one in passages]


def _joined(group: Sequence[Candidate]) -> Candidate:
    best = group[0]
    if len(group) == 1:
        return best
    places = {one.passage.document: one.passage.place for one in reversed(group[1:])}
    places.pop(best.passage.document, None)
    also = tuple(places[one] for one in dict.fromkeys(o.passage.document for o in group[1:]) if one in places)
    return replace(best, passage=replace(best.passage, also=also))


def _capped(
    candidates: Iterable[Candidate], most: int | None, key: Callable[[Candidate], Hashable]
) -> Iterable[Candidate]:
    """The first `most` of each key."""
    counts: Counter[Hashable] = Counter()
    for one in candidates:
        counts[key(one)] += 1
        if most is None or counts[key(one)] <= most:
            yield one


def _uncrowded(candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
    """The first `top_k`, where a document that has its share waits until the others have shown what they have.

    The order of those shown stays the order they were found in.
    """
    most = max(3, round(top_k * _CROWD))
    first = list(_capped(candidates, most, lambda one: one.passage.document))[:top_k]
    chosen = {id(one) for one in first}
    rest = [one for one in candidates if id(one) not in chosen][: top_k - len(first)]
    kept = chosen | {id(one) for one in rest}
    return [one for one in candidates if id(one) in kept]
