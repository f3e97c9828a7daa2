"""Searching and answering."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from answer.model import Answer, AnswerRequest, Citation
from api.schemas.base import Body, Line, Text, Time, View
from api.schemas.shaping import Options, PlaceView
from gateway.model import Message
from retrieve.model import Narrowing, Passage, Question, Retrieved

_TURNS = 100


class Filters(Body):
    """Narrows a search; every part that is given must hold. A name that nobody knows matches nothing."""

    sources: list[Text] | None = Field(None, max_length=100, description="Keys of sources.")
    facets: dict[Text, list[Text]] = Field(
        default_factory=dict,
        max_length=20,
        description="Allowed values by facet: language, author, mime, path, or an attribute of the source.",
    )
    labels: dict[Text, list[Text]] = Field(
        default_factory=dict,
        max_length=20,
        description="Allowed values by label: classification, or another that a place has.",
    )
    modified_from: Time | None = None
    modified_until: Time | None = Field(None, description="Just before this time.")

    def narrowing(self) -> Narrowing:
        """The same for retrieval."""
        return Narrowing(
            sources=self.sources,
            facets=self.facets,
            labels=self.labels,
            modified_from=self.modified_from,
            modified_until=self.modified_until,
        )


class Turn(Body):
    """An earlier turn of a conversation."""

    role: Literal["user", "assistant"]
    content: str


class RetrieveBody(Body):
    """A search."""

    query: str = Field(min_length=1)
    top_k: int = Field(8, ge=1)
    filters: Filters = Field(default_factory=Filters)
    options: Options = Field(default_factory=Options)
    history: list[Turn] = Field(default_factory=list, max_length=_TURNS, description="Earlier turns, oldest first.")

    def question(self) -> Question:
        """The same for retrieval."""
        return Question(
            text=self.query,
            top_k=self.top_k,
            narrowing=self.filters.narrowing(),
            shape=self.options.shape(),
            history=[one.content for one in self.history if one.role == "user"],
        )


class QueryBody(RetrieveBody):
    """A question to be answered."""

    model: Line | None = Field(None, description="Key of a model or a route; absent: the default route.")
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    passages: bool = Field(default=True, description="Whether the answer lists everything that was retrieved.")
    stream: bool = Field(default=False, description="Whether the answer comes as server-sent events.")

    def request(self) -> AnswerRequest:
        """The same for answering."""
        return AnswerRequest(
            question=self.question(),
            model=self.model,
            history=[Message(one.role, one.content) for one in self.history],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )


class ResultView(View):
    """A passage that the person may read; `score` compares within one response alone."""

    chunk_id: str
    document_id: str
    title: str
    uri: str
    source: str
    text: str
    page: int | None
    heading: str
    score: float
    citation: str


class RepeatedView(ResultView):
    """A passage that stands in other documents too, which the person may read as well."""

    also: list[PlaceView]


class RetrieveView(View):
    """Passages, best first."""

    results: list[RepeatedView | ResultView]
    took_ms: float

    @classmethod
    def of(cls, found: Retrieved) -> RetrieveView:
        """What was retrieved, numbered from 1."""
        shown, took = results(found.passages), round(found.took_ms, 3)
        if found.notes:
            return NotedRetrieveView(results=shown, took_ms=took, notes=list(found.notes))
        return cls(results=shown, took_ms=took)


class NotedRetrieveView(RetrieveView):
    """Passages of a search in which something was not done as configured, as in `rerank_late`."""

    notes: list[str]


class CitationView(View):
    """A passage the answer rests on; `number` is what stands in brackets in the answer."""

    number: int
    document_id: str
    chunk_id: str
    title: str
    uri: str
    source: str
    page: int | None
    heading: str
    citation: str

    @classmethod
    def of(cls, one: Citation) -> CitationView:
        """The citation without the passage's text."""
        passage = one.passage
        return cls(
            number=one.number,
            document_id=passage.document,
            chunk_id=passage.chunk,
            title=passage.title,
            uri=passage.uri,
            source=passage.source,
            page=passage.page,
            heading=passage.heading,
            citation=citation_label(passage, one.number),
        )


class UsageView(View):
    """Tokens in and out; `estimated` where the provider did not say."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class AnswerView(View):
    """An answer and what it rests on.

    `model` None: no model was called. `withheld`: numbers of passages that were not sent to the model, for its limit.
    `notes`: what was not done as configured in the search.
    """

    answer: str
    citations: list[CitationView]
    passages: list[RepeatedView | ResultView] | None
    usage: UsageView
    model: str | None
    withheld: list[int]
    notes: list[str]
    took_ms: float

    @classmethod
    def of(cls, answer: Answer, *, passages: bool) -> AnswerView:
        """The whole answer."""
        return cls(
            answer=answer.text,
            citations=[CitationView.of(one) for one in answer.citations],
            passages=results(answer.passages) if passages else None,
            **summary(answer),
        )


def summary(answer: Answer) -> dict[str, object]:
    """How an answer was made."""
    usage = answer.usage
    return {
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "estimated": usage.estimated,
        },
        "model": answer.model,
        "withheld": list(answer.withheld),
        "notes": list(answer.notes),
        "took_ms": round(answer.took_ms, 3),
    }


def results(passages: tuple[Passage, ...]) -> list[RepeatedView | ResultView]:
    """Passages numbered from 1, as citations number them."""
    return [_result(passage, number) for number, passage in enumerate(passages, 1)]


def _result(passage: Passage, number: int) -> RepeatedView | ResultView:
    plain = ResultView(
        chunk_id=passage.chunk,
        document_id=passage.document,
        title=passage.title,
        uri=passage.uri,
        source=passage.source,
        text=passage.text,
        page=passage.page,
        heading=passage.heading,
        score=passage.score,
        citation=citation_label(passage, number),
    )
    if not passage.also:
        return plain
    return RepeatedView(**plain.model_dump(), also=[PlaceView.of(one) for one in passage.also])


def citation_label(passage: Passage, number: int) -> str:
    """How a citation reads, as in `[1] Travel policy, p. 3`."""
    page = f", p. {passage.page}" if passage.page is not None else ""
    return f"[{number}] {passage.title}{page}"
