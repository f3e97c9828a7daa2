"""OpenAI's chat completions and models, so that their clients need a base URL and a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from answer.model import Answer, AnswerEvent
from api.context import Ctx
from api.identity import Querier, act_for, named_for
from api.problems import designed, log, openai_error, request_id
from api.routes.query import begun
from api.schemas.chat import ChatBody
from api.schemas.retrieval import CitationView
from api.streams import EventStream, chunk
from core.clock import utc_now
from core.ids import public_id
from gateway.config import DEFAULT_ROUTE

router = APIRouter(prefix="/v1", tags=["openai"])
TOP_K = 8


@router.post("/chat/completions", response_model=None)
async def chat_completions(body: ChatBody, request: Request, ctx: Ctx, cred: Querier) -> Response | dict[str, Any]:
    """A chat completion. The person is named by `X-Ambit-User`, else by `user`; citations stand in `ambit`."""
    body.refuse_unsupported()
    asked = body.request(top_k=TOP_K)
    name = named_for(request, cred)
    caller = await run_in_threadpool(act_for, ctx.runtime, cred, body.user if name is None else name)
    head = {"id": public_id("chatcmpl"), "created": int(utc_now().timestamp()), "model": body.model or DEFAULT_ROUTE}
    if not body.stream:
        answer = await run_in_threadpool(ctx.runtime.answers.answer, caller, asked)
        return _whole(head, answer)
    events = await begun(ctx.runtime.answers.stream(caller, asked))
    return EventStream(_sent(events, request, head, usage=body.includes_usage))


@router.get("/models")
def models(ctx: Ctx, cred: Querier) -> dict[str, Any]:
    """Models and routes that the app may name in `model`."""
    names = ctx.runtime.answers.models(cred.app, cred.tenant)
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "ambit"} for name in names]
    return {"object": "list", "data": rows}


def _whole(head: dict[str, Any], answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    return {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(answer),
        "ambit": _extra(answer),
    }


async def _sent(
    events: AsyncGenerator[AnswerEvent], request: Request, head: dict[str, Any], *, usage: bool
) -> AsyncGenerator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    try:
        yield chunk({**head, "choices": [_choice({"role": "assistant", "content": ""})]})
        async with aclosing(events):
            async for one in events:
                if one.kind == "delta":
                    yield chunk({**head, "choices": [_choice({"content": one.text})]})
                if one.answer is not None:
                    yield chunk({**head, "choices": [_choice({}, "stop")], "ambit": _extra(one.answer)})
                    if usage:
                        yield chunk({**head, "choices": [], "usage": _usage(one.answer)})
    except Exception as error:  # noqa: BLE001 - a stream that has begun can only tell
        known = designed(error)
        if known.status >= 500:
            log(request, known, error)
        yield chunk({"error": openai_error(known, request=request_id(request))})
    else:
        yield "data: [DONE]\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _usage(answer: Answer) -> dict[str, int]:
    used = answer.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }


def _extra(answer: Answer) -> dict[str, Any]:
    return {
        "citations": [CitationView.of(one).model_dump() for one in answer.citations],
        "model": answer.model,
        "withheld": list(answer.withheld),
    }
