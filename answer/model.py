"""What answering takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.model import Message, Usage
from retrieve.model import Passage, Question

EventKind = Literal["retrieval", "delta", "citation", "usage"]
NOTHING_READABLE = "I found nothing that you may read that answers this."


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question to be answered, with earlier turns. `model` names a model or a route; None: the default route."""

    question: Question
    model: str | None = None
    history: Sequence[Message] = ()
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A numbered passage that the answer rests on."""

    number: int
    passage: Passage


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, what it rests on, and how it was made.

    Attributes:
        model: key of the model that answered; None: none was called, for want of evidence.
        passages: everything retrieved, in the order of its numbers.
        withheld: numbers of passages that no model of the route may be sent, or that the one which answered may not.
        notes: what was not done as configured in the search.
    """

    text: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    model: str | None
    usage: Usage
    withheld: tuple[int, ...]
    took_ms: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """One step of a streamed answer: `retrieval` first, then `delta` and `citation`, at last `usage`."""

    kind: EventKind
    text: str = ""
    passages: tuple[Passage, ...] = ()
    citation: Citation | None = None
    answer: Answer | None = field(default=None)
