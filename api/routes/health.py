"""Whether the process lives, whether it can serve, and its metrics. No key; counts and states alone."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.context import Context, Ctx
from api.schemas.base import View

router = APIRouter(tags=["health"])


class HealthView(View):
    """Alive."""

    status: str = "ok"


class ReadyView(View):
    """Ready when every part is."""

    ready: bool
    parts: dict[str, bool]


@router.get("/healthz")
def healthz() -> HealthView:
    """The process is up."""
    return HealthView()


@router.get("/readyz", responses={503: {"model": ReadyView}})
def readyz(ctx: Ctx, response: Response) -> ReadyView:
    """Whether SQL answers, the index is open and the encoder is warm; 503 names the part that is not."""
    parts = {"sql": _sql(ctx), **ctx.ready()}
    ready = all(parts.values())
    response.status_code = 200 if ready else 503
    return ReadyView(ready=ready, parts=parts)


@router.get("/metrics", response_class=Response)
def metrics(ctx: Ctx) -> Response:
    """Prometheus text."""
    return Response(ctx.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _sql(ctx: Context) -> bool:
    try:
        with ctx.runtime.db.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
