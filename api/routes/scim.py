"""SCIM 2.0 at /scim/v2, for keys with the right `provision`; each sees and changes what it wrote itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api import etags, scim
from api.context import Ctx
from api.identity import Credential, require
from api.schemas.base import View
from api.scim.errors import MEDIA_TYPE, ScimError, ScimUnsupportedError, read_strictly
from core.errors import NotFoundError
from core.tables import ExternalIdentity

if TYPE_CHECKING:
    from api.scim.stated import Stated
    from api.scim.store import Owner


class ScimProblem(View):
    """An error as RFC 7644 writes it (3.12)."""

    schemas: list[str]
    status: str
    detail: str
    scimType: str | None = None  # noqa: N815 - the RFC's name


router = APIRouter(
    prefix="/scim/v2",
    tags=["scim"],
    responses={
        "4XX": {"model": ScimProblem, "description": "What the caller can mend."},
        "5XX": {"model": ScimProblem, "description": "What the caller cannot."},
    },
)

Provisioner = Annotated[Credential, Depends(require("provision"))]
Asked = Annotated[Any, Body()]
IfMatch = Annotated[str | None, Header()]
Names = Annotated[str | None, Query()]
NotNames = Annotated[str | None, Query(alias="excludedAttributes")]
Start = Annotated[int, Query(alias="startIndex")]
Filter = Annotated[str | None, Query(max_length=2000)]


@router.get("/ServiceProviderConfig")
def service_provider_config(cred: Provisioner) -> Response:
    """What is supported."""
    return _json(scim.resources.service_provider_config())


@router.get("/ResourceTypes")
def resource_types(cred: Provisioner, asked: Annotated[str | None, Query(alias="filter")] = None) -> Response:
    """The resource types."""
    _refuse_filter(asked)
    return _json(scim.resources.listed([one.model_dump() for one in scim.resources.resource_types().values()]))


@router.get("/ResourceTypes/{name}")
def resource_type(name: str, cred: Provisioner) -> Response:
    """One resource type."""
    return _json(_one(scim.resources.resource_types(), name).model_dump())


@router.get("/Schemas")
def schemas(cred: Provisioner, asked: Annotated[str | None, Query(alias="filter")] = None) -> Response:
    """The schemas."""
    _refuse_filter(asked)
    return _json(scim.resources.listed([one.model_dump() for one in scim.resources.schemas().values()]))


@router.get("/Schemas/{urn}")
def schema(urn: str, cred: Provisioner) -> Response:
    """One schema."""
    return _json(_one(scim.resources.schemas(), urn).model_dump())


@router.post("/.search")
def search(cred: Provisioner) -> None:
    """Users and groups are listed apart, each with a filter."""
    raise ScimUnsupportedError("ask /Users or /Groups with a filter")


@router.get("/Users")
def list_users(
    *,
    ctx: Ctx,
    cred: Provisioner,
    asked: Annotated[Filter, Query(alias="filter")] = None,
    start: Start = 1,
    count: int = 100,
    attributes: Names = None,
    excluded: NotNames = None,
) -> Response:
    """Users that this provisioner made, page by page."""
    with ctx.runtime.db.read(cred.tenant) as session:
        found, total = scim.store.page(
            session, _owner(cred), "user", asked=asked, start=start, count=count, render=scim.users.render
        )
    return _json(scim.resources.listed([_shown(one, attributes, excluded) for one in found], total=total, start=start))


@router.post("/Users")
def create_user(body: Asked, ctx: Ctx, cred: Provisioner) -> Response:
    """Makes a user; entries that name their address reach them from the next query on."""
    with ctx.runtime.db.write(cred.tenant) as session:
        etags.lock(session, cred.tenant)
        row, key = scim.users.create(session, _owner(cred), body)
        _record(session, ctx, cred, "user.create", key=key, before=None, after=scim.stated.stated(session, row, key))
        session.refresh(row)
        return _resource(scim.users.render(row, key), status=201)


@router.get("/Users/{key}")
def get_user(
    *, key: str, ctx: Ctx, cred: Provisioner, request: Request, attributes: Names = None, excluded: NotNames = None
) -> Response:
    """One user."""
    with ctx.runtime.db.read(cred.tenant) as session:
        row = scim.store.find(session, _owner(cred), "user", key)
        return _read(request, row, _shown(scim.users.render(row, key), attributes, excluded))


@router.put("/Users/{key}")
def replace_user(key: str, body: Asked, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> Response:
    """Makes the user what the body says."""
    with ctx.runtime.db.write(cred.tenant) as session:
        row = _for_change(session, cred, "user", key, if_match)
        before = scim.stated.stated(session, row, key)
        if scim.users.replace(session, _owner(cred), row, key, body):
            _record(
                session, ctx, cred, "user.replace", key=key, before=before, after=scim.stated.stated(session, row, key)
            )
            session.refresh(row)
        return _resource(scim.users.render(row, key))


@router.patch("/Users/{key}")
def patch_user(key: str, body: Asked, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> Response:
    """Changes the user; `active: false` ends all their rights with the commit."""
    with ctx.runtime.db.write(cred.tenant) as session:
        row = _for_change(session, cred, "user", key, if_match)
        before = scim.stated.stated(session, row, key)
        if scim.users.patch(session, _owner(cred), row, key, body):
            _record(
                session, ctx, cred, "user.patch", key=key, before=before, after=scim.stated.stated(session, row, key)
            )
            session.refresh(row)
        return _resource(scim.users.render(row, key))


@router.delete("/Users/{key}", status_code=204)
def delete_user(key: str, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> None:
    """Takes back all that was said of the user, which ends the rights that came of it."""
    with ctx.runtime.db.write(cred.tenant) as session:
        before = scim.stated.stated(session, _for_change(session, cred, "user", key, if_match), key)
        scim.users.remove(session, _owner(cred), key)
        _record(session, ctx, cred, "user.delete", key=key, before=before, after=None)


@router.get("/Groups")
def list_groups(
    *,
    ctx: Ctx,
    cred: Provisioner,
    asked: Annotated[Filter, Query(alias="filter")] = None,
    start: Start = 1,
    count: int = 100,
    attributes: Names = None,
    excluded: NotNames = None,
) -> Response:
    """Groups that this provisioner made, page by page."""
    members = not (excluded and "members" in excluded.lower()) or bool(asked and "members" in asked.lower())
    with ctx.runtime.db.read(cred.tenant) as session:

        def render(row: ExternalIdentity, key: str) -> dict[str, Any]:
            return scim.groups.render(session, row, key, members=members)

        found, total = scim.store.page(
            session, _owner(cred), "group", asked=asked, start=start, count=count, render=render
        )
    return _json(scim.resources.listed([_shown(one, attributes, excluded) for one in found], total=total, start=start))


@router.post("/Groups")
def create_group(body: Asked, ctx: Ctx, cred: Provisioner) -> Response:
    """Makes a group; entries that name it reach its members from the next query on."""
    with ctx.runtime.db.write(cred.tenant) as session:
        etags.lock(session, cred.tenant)
        row, key = scim.groups.create(session, _owner(cred), body)
        _record(session, ctx, cred, "group.create", key=key, before=None, after=scim.stated.stated(session, row, key))
        session.refresh(row)
        return _resource(scim.groups.render(session, row, key), status=201)


@router.get("/Groups/{key}")
def get_group(
    *, key: str, ctx: Ctx, cred: Provisioner, request: Request, attributes: Names = None, excluded: NotNames = None
) -> Response:
    """One group."""
    members = not (excluded and "members" in excluded.lower())
    with ctx.runtime.db.read(cred.tenant) as session:
        row = scim.store.find(session, _owner(cred), "group", key)
        return _read(request, row, _shown(scim.groups.render(session, row, key, members=members), attributes, excluded))


@router.put("/Groups/{key}")
def replace_group(key: str, body: Asked, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> Response:
    """Makes the group what the body says."""
    with ctx.runtime.db.write(cred.tenant) as session:
        row = _for_change(session, cred, "group", key, if_match)
        before = scim.stated.stated(session, row, key)
        if scim.groups.replace(session, _owner(cred), row, key, body):
            _record(
                session, ctx, cred, "group.replace", key=key, before=before, after=scim.stated.stated(session, row, key)
            )
            session.refresh(row)
        return _resource(scim.groups.render(session, row, key))


@router.patch("/Groups/{key}")
def patch_group(key: str, body: Asked, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> Response:
    """Changes the group; answers without its members, of which there may be thousands."""
    with ctx.runtime.db.write(cred.tenant) as session:
        row = _for_change(session, cred, "group", key, if_match)
        before = scim.stated.stated(session, row, key)
        if scim.groups.patch(session, _owner(cred), row, key, body):
            _record(
                session, ctx, cred, "group.patch", key=key, before=before, after=scim.stated.stated(session, row, key)
            )
            session.refresh(row)
        return Response(status_code=204, headers={"ETag": scim.store.version(row)})


@router.delete("/Groups/{key}", status_code=204)
def delete_group(key: str, ctx: Ctx, cred: Provisioner, if_match: IfMatch = None) -> None:
    """Removes the group; an entry that names it gives nothing, and a deny that names it closes its place."""
    with ctx.runtime.db.write(cred.tenant) as session:
        before = scim.stated.stated(session, _for_change(session, cred, "group", key, if_match), key)
        scim.groups.remove(session, _owner(cred), key)
        _record(session, ctx, cred, "group.delete", key=key, before=before, after=None)


def _owner(cred: Credential) -> Owner:
    return scim.store.Owner(cred.tenant, cred.app)


def _for_change(session: Session, cred: Credential, kind: str, key: str, if_match: str | None) -> ExternalIdentity:
    etags.lock(session, cred.tenant)
    row = scim.store.find(session, _owner(cred), kind, key)
    scim.store.check(row, if_match)
    return row


def _record(
    session: Session, ctx: Ctx, cred: Credential, verb: str, *, key: str, before: Stated | None, after: Stated | None
) -> None:
    was, is_ = scim.stated.differing(before, after)
    body = {verb.partition(".")[0]: key, "key": cred.prefix}
    ctx.runtime.audit.change(session, cred.tenant, f"scim.{verb}", cred.actor, body, before=was, after=is_)


def _one(found: dict[str, Any], name: str) -> Any:
    if name not in found:
        raise NotFoundError(f"there is no {name[:200]!r}")
    return found[name]


def _refuse_filter(asked: str | None) -> None:
    if asked is not None:
        raise ScimError("filters are not taken here (RFC 7644, 4)", scim_type="invalidFilter")


def _shown(told: dict[str, Any], attributes: str | None, excluded: str | None) -> dict[str, Any]:
    """The resource with the attributes that were asked for."""
    if attributes is None and excluded is None:
        return told
    from scim2_models import Context, Group, ResponseParameters

    model: Any = scim.resources.ScimUser if told["meta"]["resourceType"] == "User" else Group
    with read_strictly():
        wanted = ResponseParameters[model].model_validate({"attributes": attributes, "excludedAttributes": excluded})
        found: dict[str, Any] = model.model_validate(told).model_dump(
            scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=wanted
        )
    return found


def _read(request: Request, row: ExternalIdentity, told: dict[str, Any]) -> Response:
    if request.headers.get("if-none-match") in (scim.store.version(row), "*"):
        return Response(status_code=304, headers={"ETag": scim.store.version(row)})
    return _json(told, headers={"ETag": scim.store.version(row)})


def _resource(told: dict[str, Any], *, status: int = 200) -> Response:
    meta = told["meta"]
    headers = {"ETag": meta["version"], "Location": meta["location"]}
    return _json(told, status=status, headers=headers)


def _json(body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)
