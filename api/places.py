"""What admins state at places and for single documents, beside what the sources state there."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import documents
from api.identity import Credential
from api.rights import Unproven
from api.schemas.access import AdminAccessBody, AdminAccessView
from core.errors import InvalidError, NotFoundError
from core.tables import AclNode, Source
from ingest.own_access import state_document
from policies.model import AccessSpec, Entry, check_principal
from policies.nodes import dump, state, stated


def check_right(session: Session, unproven: Unproven, body: AdminAccessBody) -> Credential:
    """The caller, who may do their right in the source of the place or document.

    Raises:
        ForbiddenError: they may not, whether there is such a document or not.
        NotFoundError: there is no such document.
    """
    if body.document is None:
        return unproven.over(session, f"source:{source_of(session, unproven.tenant, body)}")
    row = documents.known(session, unproven.tenant, body.document)
    cred = unproven.over_source(session, row.source_id if row else None)
    if row is None:
        raise documents.not_found()
    return cred


def source_of(session: Session, tenant: int, body: AdminAccessBody) -> str:
    """Key of the source in which the place or document stands.

    Raises:
        NotFoundError: there is no such document.
    """
    if body.document is not None:
        return documents.source_key(session, documents.find(session, tenant, body.document))
    return (body.place or "").partition(":")[0]


def put(session: Session, tenant: int, body: AdminAccessBody, *, actor: str) -> tuple[AdminAccessView, AdminAccessView]:
    """Makes the body all that admins state there; returns what it was and what it is.

    Raises:
        NotFoundError: there is no such place or document.
        InvalidError: both or neither are named, or an entry names no principal.
    """
    if (body.document is None) == (body.place is None):
        raise InvalidError("name a document or a place, and not both", errors=[{"field": "document"}])
    spec = AccessSpec(entries=frozenset(_entries(body)), labels=dict(body.labels))
    if body.document is not None:
        before = state_document(session, documents.find(session, tenant, body.document), spec, actor=actor)
    else:
        node = _place(session, tenant, body.place or "")
        before = stated(session, node, origin="admin")
        state(session, node, spec, origin="admin")
    return _view(body, before), _view(body, spec)


def _entries(body: AdminAccessBody) -> list[Entry]:
    return [
        Entry(check_principal(one.principal), one.effect, one.not_before, one.expires_at, one.app)
        for one in body.entries
    ]


def _place(session: Session, tenant: int, name: str) -> AclNode:
    source, _, key = name.partition(":")
    found = session.scalars(
        select(AclNode)
        .join(Source, Source.id == AclNode.source_id)
        .where(AclNode.tenant_id == tenant, Source.tenant_id == tenant, Source.key == source, AclNode.key == key)
    ).one_or_none()
    if found is None or key.startswith("="):
        raise NotFoundError(f"there is no place {name!r}; write source:key, as in files:hr, or files: for the root")
    return found


def _view(body: AdminAccessBody, spec: AccessSpec) -> AdminAccessView:
    told = dump(spec)
    names = ("principal", "effect", "not_before", "expires_at", "app")
    entries = [dict(zip(names, one, strict=True)) for one in told["entries"]]
    return AdminAccessView(document=body.document, place=body.place, entries=entries, labels=told["labels"])
