"""Searching. `api.direct` comes to the same function by a shorter way."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute

from api.context import Context, Ctx
from api.identity import Asking, ToCheck
from api.schemas.retrieval import NotedRetrieveView, RetrieveBody, RetrieveView

router = APIRouter(prefix="/v1", tags=["query"])


@router.post("/retrieve", response_model=NotedRetrieveView | RetrieveView)
def retrieve(body: RetrieveBody, ctx: Ctx, asking: ToCheck) -> Response:
    """The best passages that the person may read."""
    return Response(searched(asking, ctx, body), media_type="application/json")


def searched(asking: Asking, ctx: Context, body: RetrieveBody) -> bytes:
    """What a search finds, as JSON; blocks."""
    return RetrieveView.of(ctx.runtime.retriever.retrieve(asking.caller(), body.question())).model_dump_json().encode()


ROUTE: APIRoute = next(one for one in router.routes if isinstance(one, APIRoute))
