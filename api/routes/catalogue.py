"""The catalogue: what is there, how old, how alike, and where personal data stands."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.catalogue import STALE_DAYS, listing, overview, stale_before
from api.context import Ctx
from api.identity import Viewer
from api.paging import Cursor, Limit
from api.rights import Acting, require
from api.schemas.base import Page
from api.schemas.catalogue import CatalogueDocumentView, CatalogueView
from ingest.catalogue.choose import Wanted

router = APIRouter(prefix="/v1", tags=["catalogue"])

Name = Annotated[str | None, Query(max_length=200)]
Days = Annotated[int | None, Query(ge=0, le=36_500, description="Last changed more days ago than this.")]


@router.get("/catalog")
def show_catalogue(
    *, ctx: Ctx, cred: Acting, viewer: Viewer, stale_days: Annotated[int, Query(ge=0, le=36_500)] = STALE_DAYS
) -> CatalogueView:
    """Figures by source: to an admin over all documents, to a person over those they may read."""
    with ctx.runtime.db.read(cred.tenant) as session:
        if viewer is None:
            require(session, cred, "document.read", "source:*")
        return CatalogueView(data=overview(session, cred.tenant, viewer, stale_days=stale_days))


@router.get("/catalog/documents")
def list_catalogue(
    *,
    ctx: Ctx,
    cred: Acting,
    viewer: Viewer,
    source: Name = None,
    language: Name = None,
    classification: Name = None,
    owner: Name = None,
    personal: Annotated[str | None, Query(max_length=20, description="A kind of personal data, or `any`.")] = None,
    alike: Annotated[Literal["copy", "near"] | None, Query()] = None,
    stale_days: Days = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CatalogueDocumentView]:
    """Documents that fit all that is asked for, without text: to a person of those they may read."""
    with ctx.runtime.db.read(cred.tenant) as session:
        if viewer is None:
            require(session, cred, "document.read", f"source:{'*' if source is None else source}")
        wanted = Wanted(
            source=source,
            language=language,
            classification=classification,
            owner=owner,
            personal=personal,
            alike=alike,
            stale_before=None if stale_days is None else stale_before(session, stale_days),
        )
        return listing(session, cred.tenant, viewer, wanted, limit=limit, cursor=cursor)
