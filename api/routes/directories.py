"""Directories: how they stand, registering them, and syncing one now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from pydantic import Field

from api import declared
from api.context import Ctx
from api.declared import DeclaredView
from api.directory_copies import directory_view, directory_views
from api.etags import IfMatch
from api.identity import Credential
from api.rights import administers
from api.schemas.base import Body as Shape
from api.schemas.base import Key, View
from core.db import now
from ingest.directories.sync import Parts, check_directory, find_directory, sync_directory

router = APIRouter(prefix="/v1", tags=["directories"])
Lister = Annotated[Credential, Depends(administers("directory.read", "directory:*"))]
Reader = Annotated[Credential, Depends(administers("directory.read", "directory:{key}"))]
Writer = Annotated[Credential, Depends(administers("directory.write", "directory:{key}"))]
Document = Annotated[dict[str, Any], Body(description="`{config, schedule, max_age}`, as in its YAML document.")]
Syncer = Annotated[Credential, Depends(administers("directory.sync", "directory:{key}"))]


class AccessAge(View):
    """How old what it said is, in seconds, against its limit; past it, it gives nothing."""

    age_s: float | None
    max_age_s: int | None
    fresh: bool


class DirectoryView(View):
    """A directory. `told` holds the counts of the last sync, or its error."""

    id: str
    url: str | None
    schedule: str | None
    outcome: str
    told: dict[str, Any]
    synced_at: datetime | None
    tried_at: datetime | None
    access: AccessAge


class DirectoryList(View):
    """All directories."""

    data: list[DirectoryView]


class SyncBody(Shape):
    """How to sync."""

    approve: bool = Field(default=False, description="However much that removes.")


@router.get("/directories")
def list_directories(ctx: Ctx, cred: Lister) -> DirectoryList:
    """All of them."""
    with ctx.runtime.db.read(cred.tenant) as session:
        return DirectoryList.model_validate({"data": directory_views(session, cred.tenant)})


@router.get("/directories/{key}")
def get_directory(key: str, ctx: Ctx, cred: Reader) -> DirectoryView:
    """One of them."""
    with ctx.runtime.db.read(cred.tenant) as session:
        row = find_directory(session, cred.tenant, key)
        return DirectoryView.model_validate(directory_view(row, now(session)))


@router.put("/directories/{key}")
def put_directory(
    *, key: Key, body: Document, ctx: Ctx, cred: Writer, response: Response, if_match: IfMatch = None
) -> DeclaredView:
    """Registers or changes it; it gives nothing before its first sync."""
    return declared.put(ctx.runtime, cred, declared.Wanted("Directory", key, body, if_match), response)


@router.delete("/directories/{key}", status_code=204)
def delete_directory(key: str, ctx: Ctx, cred: Writer, if_match: IfMatch = None) -> None:
    """Ends it: whatever it alone gave is gone."""
    declared.delete(ctx.runtime, cred, declared.Wanted("Directory", key, {}, if_match))


@router.post("/directories/{key}/check")
def check(key: str, ctx: Ctx, cred: Syncer) -> dict[str, int]:
    """Reads it and changes nothing."""
    return check_directory(_parts(ctx), cred.tenant, key)


@router.post("/directories/{key}/sync")
def sync(key: str, body: SyncBody, ctx: Ctx, cred: Syncer) -> DirectoryView:
    """Reads it and takes it over, in this call."""
    sync_directory(_parts(ctx), cred.tenant, key, approve=body.approve, actor=cred.actor)
    return get_directory(key, ctx, cred)


def _parts(ctx: Ctx) -> Parts:
    return Parts(ctx.runtime.settings, ctx.runtime.db, ctx.runtime.keyring)
