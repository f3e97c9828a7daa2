"""What admins state at places and for single documents, beside what the sources state there."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api import documents
from api.identity import Credential
from api.rights import Unproven
from api.schemas.access import AdminAccessBody, AdminAccessView
from core.errors import InvalidError
from core.tables import AclNode
from ingest.own_access import state_document
from policies.entries import no_place, place_node
from policies.model import AccessSpec, Entry, check_principal
from policies.nodes import dump, state_admin, stated


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
        state_admin(session, tenant, node.id, spec)
    return _view(body, before), _view(body, spec)


def _entries(body: AdminAccessBody) -> list[Entry]:
    return [
        Entry(check_principal(one.principal), one.effect, one.not_before, one.expires_at, one.app)
        for one in body.entries
    ]


def _place(session: Session, tenant: int, name: str) -> AclNode:
    node = session.get_one(AclNode, place_node(session, tenant, name))
    if node.key.startswith("="):
        raise no_place(name)
    return node


def _view(body: AdminAccessBody, spec: AccessSpec) -> AdminAccessView:
    told = dump(spec)
    names = ("principal", "effect", "not_before", "expires_at", "app")
    entries = [dict(zip(names, one, strict=True)) for one in told["entries"]]
    return AdminAccessView(document=body.document, place=body.place, entries=entries, labels=told["labels"])
