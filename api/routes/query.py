"""Answering, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from answer.model import AnswerEvent
from api.context import Ctx
from api.identity import Asker
from api.problems import designed, log, problem, request_id
from api.schemas.retrieval import AnswerView, CitationView, QueryBody, results, summary
from api.streams import EventStream, event

router = APIRouter(prefix="/v1", tags=["query"])


@router.post("/query", response_model=AnswerView)
async def query(body: QueryBody, request: Request, ctx: Ctx, caller: Asker) -> Response | AnswerView:
    """An answer from what the person may read, with citations.

    With `stream`, server-sent events: `retrieval`, then `delta` and `citation`, then `usage` and `done`; an error on
    the way is an `error` event, after which nothing follows.
    """
    if not body.stream:
        answer = await run_in_threadpool(ctx.runtime.answers.answer, caller, body.request())
        return AnswerView.of(answer, passages=body.passages)
    events = await begun(ctx.runtime.answers.stream(caller, body.request()))
    return EventStream(_sent(events, request, body))


async def begun(events: AsyncIterator[AnswerEvent]) -> AsyncGenerator[AnswerEvent]:
    """The same events once the first is there, so that what goes wrong before it has a status of its own."""
    first = await anext(events)

    async def all_of_them() -> AsyncGenerator[AnswerEvent]:
        async with aclosing(cast("AsyncGenerator[AnswerEvent]", events)) as rest:
            yield first
            async for one in rest:
                yield one

    return all_of_them()


async def _sent(events: AsyncGenerator[AnswerEvent], request: Request, body: QueryBody) -> AsyncGenerator[str]:
    try:
        async with aclosing(events):
            async for one in events:
                yield _event(one, body)
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only tell
        yield event("error", told(request, error))
    else:
        yield event("done", {})


def told(request: Request, error: Exception) -> dict[str, Any]:
    """A problem document for an error in the middle of a stream."""
    known = designed(error)
    if known.status >= 500:
        log(request, known, error)
    return problem(known, request=request_id(request))


def _event(one: AnswerEvent, body: QueryBody) -> str:
    if one.kind == "retrieval":
        shown = results(one.passages) if body.passages else []
        return event("retrieval", {"passages": [each.model_dump() for each in shown]})
    if one.citation is not None:
        return event("citation", CitationView.of(one.citation).model_dump())
    if one.answer is not None:
        return event("usage", summary(one.answer))
    return event("delta", {"text": one.text})
