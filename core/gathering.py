"""Micro-batching: what several threads ask for at the same time goes through the model together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")


class _Place(Generic[Asked, Given]):
    """One caller: what it asks, and later either the answer, an error, or the batch that it is to work on."""

    __slots__ = ("answer", "asked", "batch", "error", "turn")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Given | None = None
        self.error: BaseException | None = None
        self.batch: list[_Place[Asked, Given]] | None = None
        self.turn = threading.Event()


class Gathering(Generic[Asked, Given]):
    """Calls `work` for one caller at once, and for those who come meanwhile together. Thread-safe.

    Nobody waits for company: while fewer than `lanes` batches are being worked on, a caller goes straight through. The
    others queue, and the thread that ends a batch hands the next `most` of them to the first of these.

    Args:
        work: answers for each of what was asked, in the same order.
        lanes: batches worked on at the same time.
        most: of one batch.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Given]], *, lanes: int = 1, most: int = 8) -> None:
        self._work = work
        self._most = most
        self._free = lanes
        self._guard = threading.Lock()
        self._waiting: deque[_Place[Asked, Given]] = deque()

    def one(self, asked: Asked) -> Given:
        """The answer to one; what `work` raises for a batch, each of its callers gets."""
        place = _Place[Asked, Given](asked)
        with self._guard:
            if self._free:
                self._free -= 1
                place.batch = [place]
            else:
                self._waiting.append(place)
        if place.batch is None:
            self._wait(place)
        if place.batch is not None:
            self._lead(place.batch)
        if place.error is not None:
            raise place.error
        return place.answer  # type: ignore[return-value]  # no error: there is an answer

    def _wait(self, place: _Place[Asked, Given]) -> None:
        try:
            place.turn.wait()
        except BaseException:
            self._give_up(place)
            raise

    def _give_up(self, place: _Place[Asked, Given]) -> None:
        """An interrupted wait leaves the queue; a batch that was already given to it goes to another."""
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.batch is not None:
                self._waiting.extendleft(one for one in reversed(place.batch) if one is not place)
                self._pass_on()

    def _lead(self, batch: list[_Place[Asked, Given]]) -> None:
        try:
            for place, answer in zip(batch, self._work([one.asked for one in batch]), strict=True):
                place.answer = answer
        except BaseException as error:  # noqa: BLE001 - every caller of the batch gets it
            for place in batch:
                place.error = error
        with self._guard:
            self._pass_on()
        for place in batch[1:]:
            place.turn.set()

    def _pass_on(self) -> None:
        """Gives the lane to the first who waits, with those behind it; frees it where nobody does."""
        if not self._waiting:
            self._free += 1
            return
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        batch[0].batch = batch
        batch[0].turn.set()
