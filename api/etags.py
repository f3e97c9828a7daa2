"""ETags: a name for exactly what a resource says, so that nobody overwrites what they have not seen."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header, Response
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import PreconditionFailedError
from core.tables import Tenant

IfMatch = Annotated[str | None, Header(description="ETag of the state that the change was made from.")]


def etag(view: BaseModel) -> str:
    """The strong ETag of a resource."""
    return f'"{hashlib.blake2b(view.model_dump_json().encode(), digest_size=12).hexdigest()}"'


def tagged(response: Response, view: BaseModel) -> None:
    """Gives the response the ETag of what it shows."""
    response.headers["ETag"] = etag(view)


def lock(session: Session, tenant: int) -> None:
    """Makes changes of a tenant's objects wait for one another, so that what was checked still holds when it is
    written.
    """
    session.execute(select(Tenant.id).where(Tenant.id == tenant).with_for_update(key_share=True))


def check(view: BaseModel | None, if_match: str | None) -> None:
    """Refuses a change made from another state than the present one (None: it does not exist).

    Raises:
        PreconditionFailedError: it changed, or is gone.
    """
    if if_match is None:
        return
    wanted = {one.strip() for one in if_match.split(",")}
    if view is None or not wanted & {"*", etag(view)}:
        raise PreconditionFailedError("it changed since that ETag was given; read it again and repeat the change")
