"""What retrieval takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Collapse = Literal["off", "copies", "text", "near"]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a caller narrows a search to; every part that is given must hold.

    Attributes:
        sources: keys of sources; one that does not exist, or that the caller may not see, matches nothing.
        facets: for each facet (`language`, `author`, `mime`, `path`, attributes of a source) the values allowed.
        labels: for each label (`classification`, or another that some place has) the values allowed, as they hold at
            the document's place.
        modified_from, modified_until: half-open bounds.
    """

    sources: Sequence[str] | None = None
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modified_from: datetime | None = None
    modified_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """How passages that passed the re-check are chosen and shown; nothing here reaches one that did not.

    Attributes:
        per_document: most passages of one document; None: a document may take three quarters of the places, and
            more where others do not fill them.
        per_source: most passages of one source; None: no such limit.
        collapse: `copies`: of passages alike in title, headings and text the best stays; `text`: alike in text
            alone; `near`: nearly alike in text, whatever their figures; `off`: all stay. The others' places are listed
            with it.
        neighbour_tokens: how long a passage may become by the text around it in its document, in the encoder's
            tokens; 0: it stays as it is.
        recency_days: after so many days a document's weight has fallen half way to its floor, which is half its
            score; an unknown date is at the floor. None: age does not count.
    """

    per_document: int | None = None
    per_source: int | None = None
    collapse: Collapse = "copies"
    neighbour_tokens: int = 0
    recency_days: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One search.

    Attributes:
        top_k: how many passages are wanted at most.
        history: what the person asked before in this conversation, oldest first; a question that leans on it is
            searched with what it leans on.
    """

    text: str
    top_k: int = 8
    narrowing: Narrowing = Narrowing()
    shape: Shape = Shape()
    history: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands too, in a document that the caller may read."""

    chunk: str
    document: str
    title: str
    uri: str
    source: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk the caller may read, as it stands in the document's current version.

    Attributes:
        chunk: stable public id of the chunk.
        document: public id of the document.
        score: the fusion's; comparable within one answer alone.
        classification: the document's effective label.
        also: other documents that say the same, best first.
    """

    chunk: str
    document: str
    title: str
    uri: str
    source: str
    text: str
    heading: str
    page: int | None
    kind: str
    position: int
    score: float
    classification: str
    also: tuple[Place, ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.chunk, self.document, self.title, self.uri, self.source, self.page)

    @property
    def documents(self) -> tuple[str, ...]:
        """Public ids of every document that it shows."""
        return (self.document, *(one.document for one in self.also))


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Passages, best first, with what the audit needs.

    Attributes:
        dropped: public ids of documents that the re-check refused.
        epoch: the policy epoch the passages were decided at.
        notes: what was not done as configured, as in `rerank_late`; the passages are right without it.
    """

    passages: tuple[Passage, ...]
    dropped: tuple[str, ...]
    epoch: int
    took_ms: float
    search_ms: float
    notes: tuple[str, ...] = ()
