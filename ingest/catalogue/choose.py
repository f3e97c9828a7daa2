"""Which documents of the catalogue are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from core.errors import InvalidError
from core.tables import Document, DocumentFinding, DocumentProfile, DocumentVersion, Source
from ingest.catalogue.personal import KINDS
from ingest.catalogue.report import UNKNOWN, classified, copied, nearly_copied, owned

ANY = "any"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a document must be to be listed; None: whatever it is.

    Attributes:
        language: a code such as `en`; `unknown`: none was recognised.
        personal: a kind of personal data, or `any`.
        alike: `copy`: its words stand in another document that may be known of; `near`: nearly so.
        stale_before: last changed before then.
    """

    source: str | None = None
    language: str | None = None
    classification: str | None = None
    owner: str | None = None
    personal: str | None = None
    alike: Literal["copy", "near"] | None = None
    stale_before: datetime | None = None


def chosen(session: Session, tenant: int, known: Select[Any], wanted: Wanted) -> Select[Any]:
    """The statement for those of the documents that `known` selects which are wanted.

    Raises:
        InvalidError: there is no such kind of personal data.
    """
    statement = known.join(DocumentVersion, DocumentVersion.id == Document.version_id)
    for condition in _conditions(session, tenant, known, wanted):
        statement = statement.where(condition)
    return statement


def _conditions(session: Session, tenant: int, known: Select[Any], wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.source is not None:
        found.append(
            Document.source_id.in_(select(Source.id).where(Source.tenant_id == tenant, Source.key == wanted.source))
        )
    if wanted.language is not None:
        found.append(DocumentVersion.language.is_not_distinct_from(_known(wanted.language)))
    if wanted.stale_before is not None:
        found.append(DocumentVersion.modified_at < wanted.stale_before)
    if wanted.personal is not None:
        found.append(_holding(tenant, wanted.personal))
    if wanted.alike is not None:
        found.append(_alike(known, wanted.alike))
    if wanted.classification is not None or wanted.owner is not None:
        found.extend(_labelled(session, tenant, known, wanted))
    return found


def _known(language: str) -> str | None:
    return None if language == UNKNOWN else language


def _holding(tenant: int, kind: str) -> ColumnElement[bool]:
    if kind != ANY and kind not in KINDS:
        told = f"{kind!r} is no kind of personal data; there is: {ANY}, {', '.join(KINDS)}"
        raise InvalidError(told, errors=[{"field": "personal", "message": told}])
    found = select(DocumentFinding.document_id).where(DocumentFinding.tenant_id == tenant)
    return Document.id.in_(found if kind == ANY else found.where(DocumentFinding.kind == kind))


def _alike(known: Select[Any], how: str) -> ColumnElement[bool]:
    documents = known.with_only_columns(Document.id).cte("alike_known")
    condition = copied(documents) if how == "copy" else nearly_copied(documents)
    return Document.id.in_(select(DocumentProfile.document_id).where(condition))


def _labelled(session: Session, tenant: int, known: Select[Any], wanted: Wanted) -> list[ColumnElement[bool]]:
    nodes = session.scalars(known.with_only_columns(Document.node_id).distinct()).all()
    found: list[ColumnElement[bool]] = []
    if wanted.classification is not None:
        found.append(_stands_at(classified(session, tenant, nodes, wanted.classification)))
    if wanted.owner is not None:
        named, nobody = owned(session, tenant, nodes, wanted.owner)
        found.append(or_(_stands_at(named), and_(_stands_at(nobody), DocumentVersion.author == wanted.owner)))
    return found


def _stands_at(nodes: Sequence[int]) -> ColumnElement[bool]:
    """Rendered into the statement: there may be more nodes than a database takes parameters."""
    return Document.node_id.in_(bindparam(None, list(nodes), expanding=True, literal_execute=True, unique=True))
