"""Searching."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.context import Ctx
from api.identity import ToCheck
from api.schemas.retrieval import NotedRetrieveView, RetrieveBody, RetrieveView

router = APIRouter(prefix="/v1", tags=["query"])


@router.post("/retrieve", response_model=NotedRetrieveView | RetrieveView)
def retrieve(body: RetrieveBody, ctx: Ctx, asking: ToCheck) -> Response:
    """The best passages that the person may read."""
    found = ctx.runtime.retriever.retrieve(asking.caller(), body.question())
    return Response(RetrieveView.of(found).model_dump_json(), media_type="application/json")
