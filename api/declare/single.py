"""One declared object, by the rules that hold for those of a file."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from api.declare.applying import put_body, remove_body
from api.declare.differences import plan, wanted_body
from api.declare.present import present
from api.declare.references import check_references
from api.declare.shapes import Declared

Body = dict[str, Any]


def find_one(session: Session, tenant: int, kind: str, key: str) -> Body | None:
    """The canonical body of an object; None: there is none."""
    return present(session, tenant).get((kind, key))


def put_one(session: Session, tenant: int, one: Declared) -> tuple[Body | None, Body]:
    """Makes an object what its document says; its body before (None: there was none) and after.

    Raises:
        InvalidError: it names what is not there.
    """
    before, after = find_one(session, tenant, one.kind, one.id), wanted_body(one)
    (difference,) = plan(session, tenant, [one])
    if difference.action != "unchanged":
        put_body(session, tenant, one.kind, one.id, after)
    return before, after


def remove_one(session: Session, tenant: int, kind: str, key: str) -> Body | None:
    """Removes an object; its body until then, None: there was none.

    Raises:
        InvalidError: another object names it.
    """
    standing = present(session, tenant)
    before = standing.pop((kind, key), None)
    if before is not None:
        naming = [Declared(*name, body) for name, body in standing.items() if name[0] in ("App", "Route")]
        check_references(naming, standing, [(kind, key)])
        remove_body(session, tenant, kind, key)
    return before
