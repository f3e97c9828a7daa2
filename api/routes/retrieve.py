"""Searching."""

from __future__ import annotations

from fastapi import APIRouter

from api.context import Ctx
from api.identity import Asker
from api.schemas.retrieval import NotedRetrieveView, RetrieveBody, RetrieveView

router = APIRouter(prefix="/v1", tags=["query"])


@router.post("/retrieve")
def retrieve(body: RetrieveBody, ctx: Ctx, caller: Asker) -> NotedRetrieveView | RetrieveView:
    """The best passages that the person may read."""
    return RetrieveView.of(ctx.runtime.retriever.retrieve(caller, body.question()))
