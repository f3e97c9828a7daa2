"""Documents as one caller may know of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from api.identity import Credential
from api.paging import page
from api.push import forget_uploads
from api.rights import require_in
from api.schemas.base import Page
from api.schemas.documents import DocumentAdminView, DocumentView, JobView, PassageView
from api.sources import PUSH, readable_documents
from core.errors import ConflictError, NotFoundError
from core.prepared import Prepared
from core.tables import Chunk, Document, DocumentVersion, Source, VersionChunk
from ingest.deletion import delete_documents
from policies.decide import decide
from policies.subject import Caller, resolve_subject


def not_found() -> NotFoundError:
    """The one answer for a document that does not exist and for one that the caller may not read."""
    return NotFoundError("there is no such document")


def find(session: Session, tenant: int, public: str) -> Document:
    """The document of that public id, whoever asks.

    Raises:
        NotFoundError: there is none in this tenant.
    """
    row = known(session, tenant, public)
    if row is None:
        raise not_found()
    return row


def known(session: Session, tenant: int, public: str) -> Document | None:
    """The document of that public id, whoever asks; None where there is none in this tenant."""
    return session.scalars(
        select(Document).where(Document.tenant_id == tenant, Document.public_id == public)
    ).one_or_none()


def administered(session: Session, cred: Credential, public: str) -> Document:
    """The document, if the caller may see that documents of its source exist.

    Raises:
        ForbiddenError: they may not, whether there is one or not.
        NotFoundError: there is none.
    """
    row = known(session, cred.tenant, public)
    require_in(session, cred, "document.read", row.source_id if row else None)
    if row is None:
        raise not_found()
    return row


def read(session: Session, caller: Caller, public: str) -> tuple[Document, DocumentVersion]:
    """The document and its current version, if the person may read it now.

    Raises:
        NotFoundError: there is none, or they may not: the same answer from the same statements.
    """
    subject = resolve_subject(session, caller)
    asked = _ASKED.first(session, tenant=caller.tenant, public=public)
    id_ = 0 if asked is None else asked.id or asked.other
    allowed = decide(session, subject, [id_])[id_].allowed
    row = session.get(Document, id_) if allowed and asked is not None and asked.id is not None else None
    version = None if row is None else session.get(DocumentVersion, row.version_id or 0)
    if row is None or version is None:
        raise not_found()
    return row, version


_SOURCES = select(Source.id).where(Source.tenant_id == bindparam("tenant"))
_OTHER = select(Document.id).where(Document.source_id.in_(_SOURCES)).limit(1).subquery()
_ASKED = Prepared(
    select(_OTHER.c.id.label("other"), Document.id)
    .select_from(_OTHER)
    .outerjoin(Document, (Document.tenant_id == bindparam("tenant")) & (Document.public_id == bindparam("public")))
)
"""The document of a public id, and another one of the tenant. The other is decided in the stead of one that is not
there, so that refusing what does not exist is the same work as refusing what may not be read.
"""


def readable_page(
    session: Session, caller: Caller, *, narrowed: dict[str, str], limit: int, cursor: str | None
) -> Page[DocumentView]:
    """Documents the person may read. The statement finds candidates, `decide` is the authority."""
    subject = resolve_subject(session, caller)
    statement = _narrowed(readable_documents(subject, session), narrowed)
    rows, following = page(session, statement, Document.id, limit=limit, cursor=cursor)
    verdicts = decide(session, subject, [row.id for row in rows])
    kept = [row for row in rows if verdicts[row.id].allowed]
    versions, sources = _versions(session, kept), _sources(session, kept)
    views = [DocumentView.of(row, versions[row.id], sources[row.source_id]) for row in kept if row.id in versions]
    return Page(data=views, next_cursor=following)


def admin_page(
    session: Session, tenant: int, *, narrowed: dict[str, str], limit: int, cursor: str | None
) -> Page[DocumentAdminView]:
    """All documents of the tenant, without their text."""
    statement = _narrowed(select(Document).where(Document.tenant_id == tenant), narrowed)
    rows, following = page(session, statement, Document.id, limit=limit, cursor=cursor)
    versions, sources = _versions(session, rows), _sources(session, rows)
    views = [DocumentAdminView.of(row, versions.get(row.id), sources[row.source_id]) for row in rows]
    return Page(data=views, next_cursor=following)


def view(session: Session, row: Document, version: DocumentVersion) -> DocumentView:
    """A document that was read."""
    return DocumentView.of(row, version, source_key(session, row))


def admin_view(session: Session, row: Document) -> DocumentAdminView:
    """A document for an admin."""
    version = session.get(DocumentVersion, row.version_id) if row.version_id else None
    return DocumentAdminView.of(row, version, source_key(session, row))


def job_view(job: str, row: Document, source: str) -> JobView:
    """What was accepted."""
    return JobView(job_id=job, document_id=row.public_id, source=source, id=row.external_id)


def passages(session: Session, version: DocumentVersion, *, after: int, limit: int) -> list[PassageView]:
    """Pieces of a version that was read, after a position (-1: from the first), one more than `limit` at most."""
    rows = session.execute(
        select(VersionChunk, Chunk.text)
        .join(Chunk, Chunk.id == VersionChunk.chunk_id)
        .where(VersionChunk.version_id == version.id, VersionChunk.position > after)
        .order_by(VersionChunk.position)
        .limit(limit + 1)
    )
    return [
        PassageView(position=one.position, text=text, heading=one.heading, page=one.page, kind=one.kind)
        for one, text in rows
    ]


def remove(session: Session, cred: Credential, public: str) -> Document:
    """Deletes a pushed document: it is gone from answers with this transaction.

    Raises:
        NotFoundError: there is none, or the app may not know of its source.
        ConflictError: its source is synced, and would bring it back.
    """
    row = known(session, cred.tenant, public)
    if "ingest" not in cred.rights:
        require_in(session, cred, "document.write", row.source_id if row else None)
    source = session.get(Source, row.source_id if row else 0)
    hidden = source is None or ("admin" not in cred.rights and not cred.sees(source.key))
    if row is None or source is None or hidden or row.state == "deleted":
        raise not_found()
    if source.connector != PUSH:
        raise ConflictError(f"documents of source {source.key!r} are synced; delete it there, or delete the source")
    delete_documents(session, cred.tenant, [row.id])
    forget_uploads(session, row)
    return row


def pushed_state(session: Session, cred: Credential, source: str, external_id: str) -> dict[str, str] | None:
    """How a document stands before it is pushed; None: there is none."""
    row = session.scalars(
        select(Document)
        .join(Source, Source.id == Document.source_id)
        .where(Document.tenant_id == cred.tenant, Source.key == source, Document.external_id == external_id)
    ).one_or_none()
    return None if row is None else {"state": row.state}


def source_key(session: Session, row: Document) -> str:
    """Key of the document's source."""
    return session.get_one(Source, row.source_id).key


def _narrowed(statement: Any, narrowed: dict[str, str]) -> Any:
    if "source" in narrowed:
        keys = select(Source.id).where(Source.key == narrowed["source"], Source.tenant_id == Document.tenant_id)
        statement = statement.where(Document.source_id.in_(keys))
    if "external_id" in narrowed:
        statement = statement.where(Document.external_id == narrowed["external_id"])
    return statement


def _versions(session: Session, rows: list[Document]) -> dict[int, DocumentVersion]:
    ids = {row.version_id: row.id for row in rows if row.version_id is not None}
    found = session.scalars(select(DocumentVersion).where(DocumentVersion.id.in_(sorted(ids))))
    return {ids[one.id]: one for one in found}


def _sources(session: Session, rows: list[Document]) -> dict[int, str]:
    ids = sorted({row.source_id for row in rows})
    return {row.id: row.key for row in session.scalars(select(Source).where(Source.id.in_(ids)))}
