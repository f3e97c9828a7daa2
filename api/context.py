"""What every route is given: the composed installation and how to tell workers of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.metrics import Metrics
from api.runtime import Runtime

Wake = Callable[[str], None]
Ready = Callable[[], Mapping[str, bool]]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one app.

    Attributes:
        wake: tells whoever works that a stage has something to do; called after the commit.
        ready: whether each part that opens at start (as in `index`, `encoder`) is open.
    """

    runtime: Runtime
    metrics: Metrics
    wake: Wake
    ready: Ready


async def context(request: Request) -> Context:
    """The app's parts."""
    found: Context = request.app.state.ambit
    return found


Ctx = Annotated[Context, Depends(context)]
