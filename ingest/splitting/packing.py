"""Which units share a chunk: the fewest chunks, cut where it hurts least, and kept as they were where they still fit.

Cuts that follow from the text alone cannot be both tight and local: over 1,000 paragraphs, greedy packing changed 13
chunks for one replaced paragraph, cuts chosen by hashes 3 to 5, at the price of 5 to 15 % more chunks. So the chunks of
the version before are taken as a hint: those that can stay do, and what lies between them is packed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ingest.splitting.units import Section, Unit

Span = tuple[int, int]
SMALL = 0.25
"""Share of the largest chunk below which one is a crumb: too little text to be found by."""
SEVERAL = 0.6
"""Share of the largest chunk that several whole sections may fill together: more subjects blur what a vector says."""
CRUMB = 0.1
"""Cost of a crumb, in chunks."""
ROOM = 0.97
"""Share of the chunks beside an edit that may be counted on to be filled."""


def pack(units: Sequence[Unit], size: int, previous: Collection[str] = ()) -> list[Span]:
    """Consecutive spans of `units`, each of at most `size` in weight, that together cover them all."""
    kept = _kept(units, size, frozenset(previous)) if previous else []
    spans: list[Span] = []
    start = 0
    for begin, end in (*kept, (len(units), len(units))):
        spans.extend(_fewest(units, start, begin, size))
        if end > begin:
            spans.append((begin, end))
        start = end
    return spans


def _fewest(units: Sequence[Unit], start: int, end: int, size: int) -> list[Span]:
    """The cheapest partition of `units[start:end]`: a chunk costs 1, a cut what its unit says."""
    best = [0.0] * (end - start + 1)
    origin = [start] * (end - start + 1)
    for stop in range(start + 1, end + 1):
        cheapest = float("inf")
        for begin, weight in _starts(units, start, stop, size):
            cost = best[begin - start] + (CRUMB if weight < size * SMALL else 0.0)
            if cost < cheapest:
                cheapest = cost
                origin[stop - start] = begin
        best[stop - start] = cheapest + 1 + units[stop - 1].cut
    spans: list[Span] = []
    while end > start:
        spans.append((origin[end - start], end))
        end = origin[end - start]
    return spans[::-1]


def _starts(units: Sequence[Unit], start: int, stop: int, size: int) -> Iterator[Span]:
    """Where a chunk that ends before unit `stop` may begin, nearest first, and what it then weighs.

    It holds part of one section, or several short sections under one parent, whole, each with its heading as a line.
    """
    last = units[stop - 1].section
    whole_end = stop == len(units) or units[stop].section.index != last.index
    weight, table, extent = 0, None, Extent(last)
    for begin in range(stop - 1, start - 1, -1):
        unit = units[begin]
        if unit.section.index != extent.section.index and not (whole_end and extent.take(unit.section)):
            return
        weight += unit.weight
        if unit.table is not None and unit.table is not table:
            weight += unit.table.weight
        table = unit.table
        room = size if extent.count == 1 else size * SEVERAL
        if weight + extent.lines > room and begin < stop - 1:
            return
        whole_begin = begin == 0 or units[begin - 1].section.index != unit.section.index
        if extent.count == 1 or whole_begin:
            yield begin, weight


class Extent:
    """The sections of a chunk while it grows towards the front, and what their heading lines weigh."""

    __slots__ = ("_all", "common", "count", "section", "shortest")

    def __init__(self, section: Section) -> None:
        self.section = section
        self.count = 1
        self.common = self.shortest = len(section.path)
        self._all = section.sums[-1] + len(section.path)

    @property
    def lines(self) -> int:
        """Weight of the heading lines: what each path has beyond the part that all share."""
        if self.count == 1:
            return 0
        return self._all - self.count * (self.section.sums[self.common] + self.common)

    def take(self, section: Section) -> bool:
        """Adds the section before; False where it stands on another slide or under another parent."""
        common = min(self.common, shared(section.path, self.section.path))
        shortest = min(self.shortest, len(section.path))
        if section.group != self.section.group or common < shortest - 1:
            return False
        self.section, self.common, self.shortest = section, common, shortest
        self.count += 1
        self._all += section.sums[-1] + len(section.path)
        return True


def shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Length of the common start of two paths."""
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def render(units: Sequence[Unit]) -> tuple[str, tuple[str, ...]]:
    """Text and heading path of one chunk."""
    sections = {unit.section.index: unit.section for unit in units}
    paths = [section.path for section in sections.values()]
    common = len(paths[0]) if len(paths) == 1 else min(shared(paths[0], path) for path in paths)
    parts: list[str] = []
    before: Unit | None = None
    for unit in units:
        parts.extend(_opening(unit, before, common if len(paths) > 1 else None))
        parts.append(unit.text)
        before = unit
    return "".join(parts), paths[0][:common]


def _opening(unit: Unit, before: Unit | None, common: int | None) -> Iterator[str]:
    """What stands before a unit: its glue, the heading it opens, the header of its table."""
    opens = common is not None and (before is None or before.section.index != unit.section.index)
    heading = " > ".join(unit.section.path[common:]) if opens else ""
    if before is not None:
        yield "\n\n" if heading else unit.glue
    if heading:
        yield heading + "\n"
    if unit.table is not None and (before is None or before.table is not unit.table):
        yield unit.table.header + "\n"


def _kept(units: Sequence[Unit], size: int, previous: frozenset[str]) -> list[Span]:
    """Spans whose text was a chunk before, in order, none overlapping; the longest from each start."""
    found: list[Span] = []
    start = 0
    while start < len(units):
        stop = _longest(units, start, size, previous)
        if stop is not None:
            found.append((start, stop))
        start = stop or start + 1
    return _without_crumbs(units, found, size)


def _longest(units: Sequence[Unit], start: int, size: int, previous: frozenset[str]) -> int | None:
    weight, longest = 0, None
    for stop in range(start + 1, len(units) + 1):
        weight += units[stop - 1].weight
        if weight > size:
            break
        if render(units[start:stop])[0] in previous and _allowed(units, start, stop, size):
            longest = stop
    return longest


def _allowed(units: Sequence[Unit], start: int, stop: int, size: int) -> bool:
    return any(begin == start for begin, _ in _starts(units, start, stop, size))


def _without_crumbs(units: Sequence[Unit], found: list[Span], size: int) -> list[Span]:
    """Lets go of kept spans that a changed stretch beside them takes in without an additional chunk."""
    kept: list[Span] = []
    grown = 0
    for index, span in enumerate(found):
        left = found[index - 1][1] if index else 0
        right = found[index + 1][0] if index + 1 < len(found) else len(units)
        if index and left != span[0] and grown == left:
            kept.append(span)
        elif _joins(units, (left, span[0]), span, size):
            grown = -1
        elif _joins(units, (span[1], right), span, size):
            grown = span[1]
        else:
            kept.append(span)
    return kept


def _joins(units: Sequence[Unit], gap: Span, span: Span, size: int) -> bool:
    """Whether `span` fits into what is left over of the chunks that `gap` needs anyway, in the same section."""
    if gap[0] == gap[1]:
        return False
    nearest = units[gap[1] - 1] if gap[1] == span[0] else units[gap[0]]
    touching = units[span[0]] if gap[1] == span[0] else units[span[1] - 1]
    if nearest.section.index != touching.section.index:
        return False
    changed = sum(unit.weight for unit in units[gap[0] : gap[1]])
    room = -(-changed // size) * size * ROOM
    return changed + sum(unit.weight for unit in units[span[0] : span[1]]) <= room
