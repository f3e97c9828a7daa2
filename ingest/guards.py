"""What a run may not do without somebody's approval: delete, or show to more people, a large share of its source."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.settings import Settings
from core.tables import AclNode, Document, Run
from ingest.batches import batched
from ingest.deletion import delete_documents, hold_documents

DELETION = "deletion"
WIDENING = "widening"


def judge(session: Session, settings: Settings, run: Run, gone: Sequence[int]) -> None:
    """Deletes what a complete listing did not show and lets access widen, or holds the run for approval.

    Documents that a held run would delete are hidden; audiences that it would widen stay as they are.
    """
    told = [_deletion(session, settings, run, gone), _widening(session, settings, run)]
    reasons = [one for one in told if one is not None]
    if reasons:
        run.state = "held"
        run.held_for = " and ".join(kind for kind, _ in reasons)
        run.error_detail = "; ".join(text for _, text in reasons) + ": approve or reject the run"


def _deletion(session: Session, settings: Settings, run: Run, gone: Sequence[int]) -> tuple[str, str] | None:
    if not gone:
        return None
    alive = (Document.source_id == run.source_id) & Document.state.in_(["live", "held"])
    total = session.scalar(select(func.count()).select_from(Document).where(alive)) or 0
    if not _large(len(gone), total, settings.deletion_guard, settings.deletion_guard_min):
        delete_documents(session, run.tenant_id, gone)
        run.deleted += len(gone)
        return None
    hold_documents(session, run.tenant_id, gone)
    return DELETION, f"{len(gone)} of {total} documents are missing from the listing; they are hidden, not deleted"


def _widening(session: Session, settings: Settings, run: Run) -> tuple[str, str] | None:
    run.widened += _below_wider(session, run.source_id)
    if not run.widened:
        return None
    total = session.scalar(select(func.count()).select_from(Document).where(*_shown(run.source_id))) or 0
    if not _large(run.widened, total, settings.widening_guard, settings.widening_guard_min):
        return None
    return WIDENING, f"{run.widened} of {total} documents would be shown to more people; none of that is applied yet"


def _large(count: int, total: int, share: float, least: int) -> bool:
    return count > least and count > share * total


def _shown(source: int) -> tuple[ColumnElement[bool], ...]:
    return (Document.source_id == source, Document.state == "live", Document.version_id.is_not(None))


def _below_wider(session: Session, source: int) -> int:
    """Documents at or below the places that would widen and that nobody approved yet."""
    waiting = session.scalars(select(AclNode).where(AclNode.source_id == source, AclNode.pending.is_not(None))).all()
    wider = {node.id for node in waiting if not (node.pending or {}).get("approved")}
    if not wider:
        return 0
    found = 0
    for part in batched(sorted(_subtree(session, source, wider)), 5000):
        rows = select(func.count()).select_from(Document).where(*_shown(source), Document.node_id.in_(part))
        found += session.scalar(rows) or 0
    return found


def _subtree(session: Session, source: int, roots: set[int]) -> set[int]:
    below: dict[int | None, list[int]] = {}
    for node, parent in session.execute(select(AclNode.id, AclNode.parent_id).where(AclNode.source_id == source)):
        below.setdefault(parent, []).append(node)
    found, ahead = set(roots), list(roots)
    while ahead:
        fresh = [one for one in below.get(ahead.pop(), []) if one not in found]
        found.update(fresh)
        ahead += fresh
    return found
