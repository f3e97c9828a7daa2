"""What an operation is: one kind of change, the transaction it is made in, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from api.actors import Actor
from api.runtime import Runtime

Args = dict[str, Any]
Need = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Doing:
    """A transaction in which somebody changes something."""

    session: Session
    runtime: Runtime
    actor: Actor

    @property
    def tenant(self) -> int:
        """Whose tenant it is."""
        return self.actor.tenant


@dataclass(frozen=True, slots=True)
class Changed:
    """What was changed.

    Attributes:
        kind: of the audit entry; empty where nothing changed, which leaves none.
        body: names what was changed.
        before, after: what it was and is, without secrets; None: it was not, or is not.
        told: what the caller is told.
    """

    kind: str
    body: dict[str, Any]
    before: Any = None
    after: Any = None
    told: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of change."""

    do: Callable[[Doing, Args], Changed]
    needs: Callable[[Doing, Args], Iterable[Need]] = field(default=lambda doing, args: ())
    reading: bool = True
    """Whether it may change who reads what."""
