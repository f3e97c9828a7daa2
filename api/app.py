"""The API: routes over a composed installation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import problems
from api.context import Context
from api.direct import Direct
from api.metrics import Metrics
from api.middleware import Edge
from api.rights import declared
from api.routes import (
    access,
    access_readers,
    approvals,
    apps,
    audit,
    break_glass,
    catalogue,
    chat,
    config,
    directories,
    documents,
    entries,
    erasures,
    grants,
    groups,
    health,
    keys,
    policies,
    query,
    retrieve,
    runs,
    scim,
    sources,
    users,
)
from api.runtime import Runtime
from api.schemas.base import Problem

_ROUTERS = (
    retrieve, query, chat, sources, runs, directories, config, documents, keys, users, groups, apps, policies, grants,
    access, access_readers, approvals, break_glass, entries, audit, erasures, catalogue, health,
    scim,
)  # fmt: skip


def create_app(
    runtime: Runtime,
    *,
    wake: Callable[[str], None] = lambda stage: None,
    ready: Callable[[], Mapping[str, bool]],
) -> FastAPI:
    """The app over an installation that the caller prepares, warms up and closes. Opens nothing.

    Args:
        wake: tells whoever works that a stage (a name in `ingest.stages.STAGES`) has something to do.
        ready: whether each part that opens at start is open, as in `{"index": True, "encoder": False}`; SQL is asked
            here.
    """
    app = FastAPI(
        title="Ambit",
        summary="Answers each person only from what that person may read.",
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": Problem, "description": "What the caller can mend."},
            "5XX": {"model": Problem, "description": "What the caller cannot."},
        },
    )
    metrics = Metrics(runtime.db)
    app.state.ambit = Context(runtime=runtime, metrics=metrics, wake=wake, ready=ready)
    app.add_middleware(Direct, context=app.state.ambit)
    app.add_middleware(Edge, metrics=metrics, max_body=runtime.settings.body_max_mb * 1024 * 1024)
    problems.install(app)
    for module in _ROUTERS:
        for route in module.router.routes:
            if isinstance(route, APIRoute):
                route.openapi_extra = {"x-ambit-right": declared(route)}
        app.include_router(module.router)
    return app
