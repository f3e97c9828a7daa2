"""Models and routes: each is put whole, as its document says it; If-Match guards what was not seen."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response

from api import declared
from api.context import Ctx
from api.declared import DeclaredView
from api.etags import IfMatch
from api.identity import Credential
from api.rights import administers
from api.schemas.base import Key, Page

router = APIRouter(prefix="/v1", tags=["config"])
ModelLister = Annotated[Credential, Depends(administers("model.read", "model:*"))]
ModelReader = Annotated[Credential, Depends(administers("model.read", "model:{key}"))]
ModelWriter = Annotated[Credential, Depends(administers("model.write", "model:{key}"))]
RouteLister = Annotated[Credential, Depends(administers("route.read", "route:*"))]
RouteReader = Annotated[Credential, Depends(administers("route.read", "route:{key}"))]
RouteWriter = Annotated[Credential, Depends(administers("route.write", "route:{key}"))]
Document = Annotated[dict[str, Any], Body(description="As in its YAML document, without `kind` and `id`.")]


@router.get("/config/models")
def list_models(ctx: Ctx, cred: ModelLister) -> Page[DeclaredView]:
    """All models; what may be a secret is hidden."""
    return declared.listed(ctx.runtime, cred, "Model")


@router.get("/config/models/{key}")
def get_model(key: str, ctx: Ctx, cred: ModelReader, response: Response) -> DeclaredView:
    """One of them, with its ETag."""
    return declared.one(ctx.runtime, cred, "Model", key, response)


@router.put("/config/models/{key}")
def put_model(
    *, key: Key, body: Document, ctx: Ctx, cred: ModelWriter, response: Response, if_match: IfMatch = None
) -> DeclaredView:
    """Makes or replaces a model; it holds from the next question on."""
    return declared.put(ctx.runtime, cred, declared.Wanted("Model", key, body, if_match), response)


@router.delete("/config/models/{key}", status_code=204)
def delete_model(key: str, ctx: Ctx, cred: ModelWriter, if_match: IfMatch = None) -> None:
    """Ends a model that no app and no route names."""
    declared.delete(ctx.runtime, cred, declared.Wanted("Model", key, {}, if_match))


@router.get("/config/routes")
def list_routes(ctx: Ctx, cred: RouteLister) -> Page[DeclaredView]:
    """All routes."""
    return declared.listed(ctx.runtime, cred, "Route")


@router.get("/config/routes/{key}")
def get_route(key: str, ctx: Ctx, cred: RouteReader, response: Response) -> DeclaredView:
    """One of them, with its ETag."""
    return declared.one(ctx.runtime, cred, "Route", key, response)


@router.put("/config/routes/{key}")
def put_route(
    *, key: Key, body: Document, ctx: Ctx, cred: RouteWriter, response: Response, if_match: IfMatch = None
) -> DeclaredView:
    """Makes or replaces a route; it holds from the next question on."""
    return declared.put(ctx.runtime, cred, declared.Wanted("Route", key, body, if_match), response)


@router.delete("/config/routes/{key}", status_code=204)
def delete_route(key: str, ctx: Ctx, cred: RouteWriter, if_match: IfMatch = None) -> None:
    """Ends a route that no app names."""
    declared.delete(ctx.runtime, cred, declared.Wanted("Route", key, {}, if_match))
