"""Taking in pushed documents: access and content are stored in one transaction, the rest is work for the pipeline."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from api.errors import BodyTooLargeError
from api.identity import Credential
from api.schemas.documents import PushBody
from api.sources import PUSH, find, not_found, settle_root
from core.clock import db_now
from core.errors import ConflictError, InvalidError
from core.ids import public_id
from core.secrets import Keyring
from core.settings import Settings
from core.tables import AclNode, Document, Item, Run, Source, Upload
from ingest.deletion import await_move, move
from ingest.dispatch import OPEN
from ingest.erasure.asking import refuse_erasing
from ingest.erasure.withheld import withheld
from ingest.model import ItemRef
from ingest.refs import dump_ref
from policies.model import parse_access
from policies.own_nodes import own_nodes, place_at


def push(
    session: Session, settings: Settings, keyring: Keyring, cred: Credential, body: PushBody
) -> tuple[Run, Document]:
    """Stores what was pushed and queues it; the document's new audience holds at once where it is narrower.

    Raises:
        NotFoundError: there is no such source, or the app may not know of it.
        ConflictError: the source is not a push source, or is paused, or the document was or is being erased.
        InvalidError: the access does not fit.
        BodyTooLargeError: the content is larger than files may be.
    """
    source = _source(session, cred, body.source)
    content = body.content()
    if len(content) > settings.max_file_mb * 1024 * 1024:
        raise BodyTooLargeError(f"the content is larger than {settings.max_file_mb} MiB")
    if withheld(session, keyring, source.id, [body.id]):
        raise ConflictError(
            f"{source.key}:{body.id} was erased and is kept out; `ambit erase readmit` lets it in again"
        )
    known = session.scalars(
        select(Document).where(Document.source_id == source.id, Document.external_id == body.id)
    ).one_or_none()
    if known is not None:
        refuse_erasing(session, source.tenant_id, "document", known.id, f"{source.key}:{body.id}")
    target = _target(session, source, body, known)
    document = _document(session, source, body.id, target, known)
    run = _run(session, source, cred)
    document.seen_run_id = run.id
    upload = Upload(tenant_id=source.tenant_id, source_id=source.id, external_id=body.id, body=content)
    session.add(upload)
    session.flush()
    session.add(_item(run, document, target, _payload(body, upload.id, len(content))))
    session.flush()
    return run, document


def forget_uploads(session: Session, document: Document) -> None:
    """Drops content that waits for an item which will never be done."""
    session.execute(
        delete(Upload).where(Upload.source_id == document.source_id, Upload.external_id == document.external_id)
    )


def refuse_overtaken(session: Session, run: Run) -> None:
    """Refuses to take up an old push again once a newer one of the same document came: its audience would be the
    newer one's.

    Raises:
        ConflictError: that is so.
    """
    if run.kind != PUSH:
        return
    newest = select(func.max(Item.run_id)).where(
        Item.document_id.in_(select(Item.document_id).where(Item.run_id == run.id))
    )
    if (session.scalar(newest) or run.id) > run.id:
        raise ConflictError(f"a newer push of the same document came after run {run.public_id}; push it again instead")


def _source(session: Session, cred: Credential, key: str) -> Source:
    """The source, locked, so that pushes of one document come one after the other."""
    if not cred.sees(key):
        raise not_found(key)
    source = find(session, cred.tenant, key)
    if source.connector != PUSH:
        raise ConflictError(f"source {key!r} is synced from {source.connector!r}; documents are pushed to push sources")
    if source.state != "active":
        raise ConflictError(f"source {key!r} is {source.state}")
    return session.scalars(select(Source).where(Source.id == source.id).with_for_update(key_share=True)).one()


def _target(session: Session, source: Source, body: PushBody, known: Document | None) -> AclNode:
    root = settle_root(session, source)
    assert root is not None, "a push source has a root"
    own = own_nodes(session, source.tenant_id, [known.id]).get(known.id, []) if known is not None else []
    if body.access is None:
        return place_at(session, root, None, own)
    try:
        spec = parse_access(body.access)
    except InvalidError as error:
        raise InvalidError(error.detail, errors=[{"field": "access", "message": error.detail}]) from error
    return place_at(session, root, spec, own)


def _document(session: Session, source: Source, external_id: str, target: AclNode, row: Document | None) -> Document:
    if row is None:
        row = Document(
            public_id=public_id("doc"),
            tenant_id=source.tenant_id,
            source_id=source.id,
            external_id=external_id,
            node_id=target.id,
            epoch_from=target.epoch_from,
        )
        session.add(row)
    elif row.version_id is None:
        move(session, row, target.id)
        row.state, row.deleted_at = "live", None
    else:
        await_move(session, row, target.id)
    session.flush()
    _supersede(session, row)
    return row


def _supersede(session: Session, document: Document) -> None:
    """Stops earlier pushes of the document that are still under way: each would get this one's audience."""
    session.execute(
        update(Item)
        .where(Item.document_id == document.id, Item.state.in_(OPEN))
        .values(state="skipped", note="overtaken by a newer push", lease_until=None, lease_token=Item.lease_token + 1)
    )
    forget_uploads(session, document)


def _run(session: Session, source: Source, cred: Credential) -> Run:
    run = Run(
        public_id=public_id("run"),
        tenant_id=source.tenant_id,
        source_id=source.id,
        kind=PUSH,
        trigger=cred.actor,
        state="working",
        listed=1,
        listed_all=True,
        started_at=db_now(),
    )
    session.add(run)
    session.flush()
    return run


def _payload(body: PushBody, upload: int, size: int) -> dict[str, Any]:
    ref = ItemRef(
        id=body.id,
        node="",
        title=body.title or body.id,
        uri=body.uri,
        mime=body.mime or (None if body.text is None or body.name else "text/markdown"),
        size=size,
        modified_at=body.modified_at,
        data={"upload": upload, "name": body.name or _name(body), "attributes": body.attributes},
    )
    return dump_ref(ref)


def _name(body: PushBody) -> str:
    """A file name that says nothing of the format where the media type does, else the end of the id."""
    return "document" if body.mime or body.text is not None else body.id.rpartition("/")[2] or body.id


def _item(run: Run, document: Document, target: AclNode, payload: dict[str, Any]) -> Item:
    return Item(
        public_id=public_id("itm"),
        tenant_id=run.tenant_id,
        run_id=run.id,
        source_id=run.source_id,
        document_id=document.id,
        external_id=document.external_id,
        state="pending",
        stage="parse",
        payload={**payload, "target": target.id},
    )
