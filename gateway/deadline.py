"""Blocking calls that must come back in time, whatever the library below does."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call_within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises, awaited for at most `seconds`.

    A provider that sends a byte now and then never trips a socket's timeout, so the wait is bounded here. Work that
    is late goes on in a daemon thread and its result is dropped.

    Raises:
        TimeoutError: `seconds` went by.
    """
    outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread as it is
            outcome.put((None, error))

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="ambit-model", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # no error: `work` returned a T
