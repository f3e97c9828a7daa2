"""Objects that were erased: known by a keyed digest alone, and passed over when their source lists them again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.db import insert_new
from core.secrets import Keyring
from core.tables import ErasedObject


def digest(keyring: Keyring, source: int, external_id: str) -> bytes:
    """What stands for an object of a source: HMAC-SHA256 under a key of the installation."""
    text = f"{source}/{external_id}"
    return hmac.new(keyring.derive("erased"), text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def withhold(session: Session, keyring: Keyring, tenant: int, source: int, external_id: str) -> None:
    """Keeps an object out from now on."""
    row = {"tenant_id": tenant, "source_id": source, "digest": digest(keyring, source, external_id)}
    insert_new(session, ErasedObject, [row])


def readmit(session: Session, keyring: Keyring, source: int, external_id: str) -> bool:
    """Lets an object in again with the next sync that lists it; False: it was not kept out."""
    mine = (ErasedObject.source_id == source, ErasedObject.digest == digest(keyring, source, external_id))
    found = session.scalars(select(ErasedObject.id).where(*mine)).all()
    session.execute(delete(ErasedObject).where(*mine))
    return bool(found)


def withheld(session: Session, keyring: Keyring, source: int, external_ids: Iterable[str]) -> set[str]:
    """Those of some objects of a source that are kept out."""
    ids = list(external_ids)
    if (
        not ids
        or session.scalars(select(ErasedObject.id).where(ErasedObject.source_id == source).limit(1)).first() is None
    ):
        return set()
    named = {digest(keyring, source, one): one for one in ids}
    mine = (ErasedObject.source_id == source, ErasedObject.digest.in_(list(named)))
    return {named[one] for one in session.scalars(select(ErasedObject.digest).where(*mine))}
