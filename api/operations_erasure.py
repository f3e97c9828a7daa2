"""Erasing documents, sources and people: what each takes, and what begins in the transaction that asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from api import documents, sources
from api.needs import over
from api.operation import Args, Changed, Doing, Need, Operation
from api.push import forget_uploads
from api.schemas.erasures import ErasureView
from core.errors import NotFoundError
from core.tables import Erasure, Source
from ingest.erasure import asking, withheld
from policies.erasure import Erased

_LIVE, _ERASING = {"state": "kept"}, {"state": "erasing"}


def _document(doing: Doing, args: Args) -> Changed:
    row = documents.find(doing.session, doing.tenant, args["key"])
    forget_uploads(doing.session, row)
    begun = asking.erase_document(
        doing.session,
        doing.runtime.keyring,
        row,
        by=doing.actor.name,
        reason=args.get("reason", ""),
        may_return=args.get("may_return", False),
    )
    return _begun(doing, begun)


def _source(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"], deleted=True)
    if row.state != "deleted":
        sources.delete(doing.session, row)
    asked = {"by": doing.actor.name, "reason": args.get("reason", "")}
    return _begun(doing, asking.erase_source(doing.session, doing.runtime.keyring, row, **asked))


def _person(doing: Doing, args: Args) -> Changed:
    asked = {"by": doing.actor.name, "reason": args.get("reason", "")}
    return _begun(doing, asking.erase_person(doing.session, doing.runtime.keyring, doing.tenant, args["key"], **asked))


def _begun(doing: Doing, row: Erasure) -> Changed:
    body = {"erasure": row.public_id, "kind": row.kind, "target": row.target}
    return Changed("erasure.begin", body, _LIVE, _ERASING, _told(doing, row))


def _verify(doing: Doing, args: Args) -> Changed:
    row = asking.look_again(doing.session, doing.tenant, args["key"])
    return Changed("erasure.verify", {"erasure": row.public_id}, {"state": "left"}, _ERASING, _told(doing, row))


def _readmit(doing: Doing, args: Args) -> Changed:
    row = sources.find(doing.session, doing.tenant, args["key"])
    if not withheld.readmit(doing.session, doing.runtime.keyring, row.id, args["id"]):
        raise NotFoundError(f"nothing of that id is kept out of source {row.key!r}")
    return Changed("erasure.readmit", {"source": row.key}, {"kept_out": True}, {"kept_out": False})


def _told(doing: Doing, row: Erasure) -> dict[str, Any]:
    doing.session.refresh(row)
    return ErasureView.of(row).model_dump(mode="json")


def _of_document(doing: Doing, args: Args) -> Iterable[Need]:
    row = documents.find(doing.session, doing.tenant, args["key"])
    return [("document.erase", f"source:{doing.session.get_one(Source, row.source_id).key}")]


def _of_person(doing: Doing, args: Args) -> Iterable[Need]:
    """The right over each of their ids, by whichever name they are asked for: no deny is a matter of spelling."""
    yield "user.erase", f"user:{args['key']}"
    with suppress(NotFoundError):
        yield from (("user.erase", f"user:{key}") for key in Erased(doing.session, doing.tenant, args["key"]).keys)


ERASURES: Mapping[str, Operation] = MappingProxyType(
    {
        "document.erase": Operation(_document, _of_document),
        "erasure.readmit": Operation(_readmit, over("document.erase", "source"), reading=False),
        "erasure.verify": Operation(_verify, over("erasure.verify", "erasure"), reading=False),
        "source.erase": Operation(_source, over("source.erase", "source")),
        "user.erase": Operation(_person, _of_person),
    }
)
