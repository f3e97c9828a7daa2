"""`Idempotency-Key`: a write that is repeated is done once and answered alike, also when both come at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.errors import IdempotencyMismatchError
from api.identity import Credential
from core.db import insert_or_skip
from core.tables import IdempotencyKey

Key = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, description="Makes a repeat harmless.")
]


def fingerprint(address: str, body: BaseModel) -> str:
    """Names a request exactly."""
    text = address + "\n" + body.model_dump_json()
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def once(
    session: Session, cred: Credential, key: str | None, request: str, act: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """What `act` returned the first time this key was used, and whether that was now.

    The key's row is written first: a request that comes at the same time waits for this transaction and then finds
    its answer. A request that fails leaves no row.

    Raises:
        IdempotencyMismatchError: the key came before with another request.
    """
    if key is None:
        return act(), True
    if _reserve(session, cred, key, request):
        answer = act()
        session.execute(update(IdempotencyKey).where(*_of(cred, key)).values(response=answer))
        return answer, True
    held = session.scalars(select(IdempotencyKey).where(*_of(cred, key))).one()
    if held.request_hash != request:
        raise IdempotencyMismatchError("this Idempotency-Key came before with another request; use a new one")
    return held.response, False


def _reserve(session: Session, cred: Credential, key: str, request: str) -> bool:
    done: Any = session.execute(
        insert_or_skip(session, IdempotencyKey)
        .values(tenant_id=cred.tenant, app_id=cred.app_id, key=key, request_hash=request, status=202, response={})
        .returning(IdempotencyKey.id)
    )
    return done.first() is not None


def _of(cred: Credential, key: str) -> list[Any]:
    return [
        IdempotencyKey.tenant_id == cred.tenant,
        IdempotencyKey.app_id == cred.app_id,
        IdempotencyKey.key == key,
    ]
