"""Searching and answering for a person that the local operator names: always audited, the same wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import InvalidError

if TYPE_CHECKING:
    from answer.model import Answer
    from api.runtime import Runtime
    from retrieve.model import Passage, Retrieved

LONGEST_USER = 320


@dataclass(frozen=True, slots=True)
class Asked:
    """One question for one person. `top_k` None: the default."""

    query: str
    user: str
    top_k: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """Refuses what the types do not: this comes from a request too."""
        fits = isinstance(self.query, str) and isinstance(self.user, str) and 0 < len(self.user) <= LONGEST_USER
        whole = self.top_k is None or (isinstance(self.top_k, int) and not isinstance(self.top_k, bool))
        if not fits or not whole or not isinstance(self.model, str | None):
            raise InvalidError("a question needs query and user as text, and may have top_k and model")


def search(runtime: Runtime, tenant: int, asked: Asked) -> dict[str, Any]:
    """The passages that the person may read, as plain JSON.

    Raises:
        NotFoundError: there is no such active person.
        AmbitError: as `Retriever.retrieve`.
    """
    from policies.subject import Caller

    user = act_as(runtime, tenant, asked.user, "search")
    found: Retrieved = runtime.retriever.retrieve(Caller(tenant, user), _question(asked))
    return {
        "user": user,
        "results": [passage_as_data(one) for one in found.passages],
        "epoch": found.epoch,
        "took_ms": round(found.took_ms, 2),
        "search_ms": round(found.search_ms, 2),
    }


def answer(runtime: Runtime, tenant: int, asked: Asked) -> dict[str, Any]:
    """An answer from what the person may read, as plain JSON.

    Raises:
        NotFoundError: there is no such active person, model or route.
        AmbitError: as `AnswerService.answer`.
    """
    from answer.model import AnswerRequest
    from policies.subject import Caller

    user = act_as(runtime, tenant, asked.user, "ask")
    told: Answer = runtime.answers.answer(Caller(tenant, user), AnswerRequest(_question(asked), model=asked.model))
    return {
        "user": user,
        "answer": told.text,
        "citations": [{"number": one.number, **passage_as_data(one.passage)} for one in told.citations],
        "passages": [passage_as_data(one) for one in told.passages],
        "model": told.model,
        "withheld": list(told.withheld),
        "usage": {"input_tokens": told.usage.input_tokens, "output_tokens": told.usage.output_tokens},
        "took_ms": round(told.took_ms, 2),
    }


def act_as(runtime: Runtime, tenant: int, user: str, why: str) -> str:
    """Records that the local operator acts as a person, and gives that person's id.

    Raises:
        NotFoundError: there is no such active person; that is recorded too.
    """
    from core.errors import NotFoundError
    from policies.subject import Caller, resolve_subject

    with runtime.db.write() as session:
        subject = resolve_subject(session, Caller(tenant, user))
        body = {"user": subject.name, "known": not subject.nobody, "for": why}
        runtime.audit.append(session, tenant, "act_as", "local", body)
    if subject.nobody:
        raise NotFoundError(f"there is no active user {user!r}; `ambit apply` adds people")
    return subject.name


def passage_as_data(passage: Passage) -> dict[str, Any]:
    """A passage as plain JSON."""
    return {
        "chunk_id": passage.chunk,
        "document_id": passage.document,
        "title": passage.title,
        "uri": passage.uri,
        "source": passage.source,
        "text": passage.text,
        "page": passage.page,
        "heading": passage.heading,
        "score": round(passage.score, 6),
        "classification": passage.classification,
    }


def _question(asked: Asked) -> Any:
    from retrieve.model import Question

    return Question(asked.query) if asked.top_k is None else Question(asked.query, top_k=asked.top_k)
