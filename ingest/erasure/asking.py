"""Asking for an erasure: in one transaction it is gone from answers, and what is left to do stands in a row."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.clock import db_now
from core.errors import ConflictError, NotFoundError
from core.ids import public_id
from core.names import Form, Names, form
from core.secrets import Keyring
from core.tables import Chunk, Document, DocumentVersion, Erasure, Source, VersionChunk
from ingest.deletion import delete_documents
from ingest.erasure.withheld import withhold
from policies.erasure import Erased, forget
from policies.rights import KINDS

PROBES = 5
PROBE_LENGTH = 60
_LEAST = 6
_RESERVED = frozenset({*KINDS, "everyone", "file", "http", "https", "ldap", "local", "mailto", "scim", "token"})
"""Words before a colon that lead to something else than a place, although a source may be called so."""


def erase_document(
    session: Session, keyring: Keyring, document: Document, *, by: str, reason: str = "", may_return: bool = False
) -> Erasure:
    """Begins to erase a document. Unless it `may_return`, its source's syncs pass over it from now on."""
    source = session.get_one(Source, document.source_id)
    names, texts = _document_names(session, source, document), _texts(session, document)
    delete_documents(session, document.tenant_id, [document.id])
    if not may_return:
        withhold(session, keyring, document.tenant_id, source.id, document.external_id)
    return _begin(
        session,
        Erasure(tenant_id=document.tenant_id, kind="document", subject_id=document.id, target=document.public_id),
        _seal(keyring, names, texts),
        by=by,
        reason=reason,
        chunks=_chunks(session, Document.id == document.id),
    )


def erase_source(session: Session, keyring: Keyring, source: Source, *, by: str, reason: str = "") -> Erasure:
    """Begins to erase a source with everything in it; its documents have been deleted before in this transaction."""
    told = form(f"{source.key}:", f"{source.key}:erased", before=r"(?<![:/])", rest=True)
    forms = () if source.key in _RESERVED else (told,)
    row = Erasure(tenant_id=source.tenant_id, kind="source", subject_id=source.id, target=source.key)
    chunks = _chunks(session, Document.source_id == source.id)
    return _begin(session, row, _seal(keyring, Names("erased", forms)), by=by, reason=reason, chunks=chunks)


def erase_person(session: Session, keyring: Keyring, tenant: int, name: str, *, by: str, reason: str = "") -> Erasure:
    """Begins to erase a person, who may be gone already.

    Raises:
        NotFoundError: nobody is or was called so.
        ConflictError: all their names are somebody else's by now.
    """
    erased = Erased(session, tenant, name)
    if not erased.keys:
        raise ConflictError(f"{name!r} is another person's id by now; nothing tells one from the other")
    token = public_id("erased").replace("_", "-")[:19]
    names = erased.names(token)
    forget(session, tenant, erased, token)
    row = Erasure(tenant_id=tenant, kind="person", subject_id=erased.id, target=token)
    return _begin(session, row, _seal(keyring, names), by=by, reason=names.text(reason))


def refuse_erasing(session: Session, tenant: int, kind: str, subject: int, name: str) -> None:
    """Refuses to take up again what still goes, since what is new of it would go as well.

    Raises:
        ConflictError: that is so.
    """
    mine = (Erasure.tenant_id == tenant, Erasure.kind == kind, Erasure.subject_id == subject)
    found = session.scalars(select(Erasure.public_id).where(*mine, Erasure.state == "erasing")).first()
    if found is not None:
        raise ConflictError(f"{name} is being erased; try again once {found} has ended")


def find_erasure(session: Session, tenant: int, name: str) -> Erasure:
    """The one of that id.

    Raises:
        NotFoundError: there is none.
    """
    mine = (Erasure.tenant_id == tenant, Erasure.public_id == name)
    row = session.scalars(select(Erasure).where(*mine)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no erasure {name!r}; `ambit erase list` shows them")
    return row


def look_again(session: Session, tenant: int, name: str) -> Erasure:
    """Has one that found something left strike and scan once more.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is proven, and what was erased is known to nobody any more; or it has not ended.
    """
    row = find_erasure(session, tenant, name)
    if row.state != "left":
        raise ConflictError(f"{name} is {row.state}; only one that found something left is looked at again")
    row.state, row.not_before, row.lease_until, row.ended_at = "erasing", db_now(), None, None
    session.flush()
    return row


def _begin(session: Session, row: Erasure, sealed: str, *, by: str, reason: str, chunks: int = 0) -> Erasure:
    row.public_id, row.state, row.names = public_id("era"), "erasing", sealed
    row.asked_by, row.reason = by, reason
    row.done = {"chunk": chunks} if chunks else {}
    session.add(row)
    session.flush()
    return row


def _chunks(session: Session, documents: ColumnElement[bool]) -> int:
    """How many pieces of text go; the purge removes them beside, and counts nothing."""
    counted = select(func.count()).select_from(Chunk).join(Document, Document.id == Chunk.document_id)
    return session.scalar(counted.where(documents)) or 0


def _seal(keyring: Keyring, names: Names, texts: tuple[str, ...] = ()) -> str:
    return keyring.seal(json.dumps({"names": names.dumps(), "texts": list(texts)}))


def _document_names(session: Session, source: Source, document: Document) -> Names:
    """Its place and its addresses; an id that might be anything is looked for only where the source is named too."""
    versions = select(DocumentVersion.uri).where(DocumentVersion.document_id == document.id)
    told = {document.external_id, *session.scalars(versions)}
    known = sorted(one for one in told if len(one) >= _LEAST and any(sign in one for sign in "/.\\"))
    forms: list[Form] = [form(f"{source.key}:{document.external_id}", f"{source.key}:erased")]
    return Names("erased", (*forms, *(form(one, "erased") for one in known)))


def _texts(session: Session, document: Document) -> tuple[str, ...]:
    """Pieces of its text, from the longest chunks, by which a copy is known."""
    longest = session.scalars(
        select(Chunk.text)
        .join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
        .where(VersionChunk.version_id == (document.version_id or 0), Chunk.document_id == document.id)
        .order_by(func.length(Chunk.text).desc(), Chunk.id)
        .limit(PROBES)
    )
    pieces = (max(text.splitlines() or [""], key=len).strip()[:PROBE_LENGTH] for text in longest)
    return tuple(dict.fromkeys(one for one in pieces if len(one) >= PROBE_LENGTH // 2))
