"""What retrieval takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a caller narrows a search to; every part that is given must hold.

    Attributes:
        sources: keys of sources; one that does not exist, or that the caller may not see, matches nothing.
        facets: for each facet (`language`, `author`, `mime`, `path`, attributes of a source) the values allowed.
        modified_from, modified_until: half-open bounds.
    """

    sources: Sequence[str] | None = None
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modified_from: datetime | None = None
    modified_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One search. `top_k` is how many passages are wanted at most."""

    text: str
    top_k: int = 8
    narrowing: Narrowing = Narrowing()


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk the caller may read, as it stands in the document's current version.

    Attributes:
        chunk: stable public id of the chunk.
        document: public id of the document.
        score: the fusion's; comparable within one answer alone.
        classification: the document's effective label.
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


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Passages, best first, with what the audit needs.

    Attributes:
        dropped: public ids of documents that the re-check refused.
        epoch: the policy epoch the passages were decided at.
    """

    passages: tuple[Passage, ...]
    dropped: tuple[str, ...]
    epoch: int
    took_ms: float
    search_ms: float
