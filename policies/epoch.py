"""The policy epoch: a counter per tenant that every change to an input of a decision raises in its own transaction.

The update locks the tenant's row until the commit, so epochs are committed in order and a query that starts after a
commit, in any process, reads the new one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from core.clock import to_us
from core.prepared import Prepared, insertion
from core.tables import EpochTime, PolicyEpoch, Source, StateHistory
from core.writing import innermost

_CURRENT = Prepared(select(PolicyEpoch.epoch).where(PolicyEpoch.tenant_id == bindparam("tenant")))

_RAISE = Prepared(
    update(PolicyEpoch)
    .where(PolicyEpoch.tenant_id == bindparam("tenant"))
    .values(epoch=PolicyEpoch.epoch + literal_column("1"))
    .returning(PolicyEpoch.epoch)
)
_BEGUN = insertion(EpochTime, "tenant_id", "epoch")


def current(session: Session, tenant: int) -> int:
    """The epoch this snapshot sees."""
    row = _CURRENT.first(session, tenant=tenant)
    if row is None:
        raise NoResultFound(f"tenant {tenant} has no policy epoch")
    epoch: int = row.epoch
    return epoch


def bump(session: Session, tenant: int) -> int:
    """Raises the epoch once per transaction, however often it is called, and returns the new one."""
    key = ("ambit_epoch", tenant)
    if not bumped(session, tenant):
        raised = _RAISE.first(session, tenant=tenant)
        if raised is None:
            raise NoResultFound(f"tenant {tenant} has no policy epoch")
        epoch_now: int = raised.epoch
        _BEGUN.all(session, tenant_id=tenant, epoch=epoch_now)
        session.info[key] = (innermost(session), epoch_now)
    epoch: int = session.info[key][1]
    return epoch


def bumped(session: Session, tenant: int) -> bool:
    """Whether this transaction has raised the epoch, so that what it reads is not committed yet.

    A raise within a savepoint counts there alone: it is gone when the savepoint is rolled back.
    """
    held = session.info.get(("ambit_epoch", tenant))
    if held is None:
        return False
    if held[0] is None:  # raised before the session was whole: in the transaction itself
        return True
    at = innermost(session)
    while at is not None:
        if held[0] is at:
            return True
        at = at.parent
    return False


def remember(session: Session, tenant: int, kind: str, row: Any, state: dict[str, Any]) -> None:
    """Keeps what `row` was for decisions until now, and stamps it with this transaction's epoch.

    `state` holds the old values; call it before or after changing the row, once per transaction.
    """
    epoch = bump(session, tenant)
    if row.epoch_from < epoch:
        session.add(
            StateHistory(
                tenant_id=tenant,
                kind=kind,
                subject_id=row.id,
                state=state,
                epoch_from=row.epoch_from,
                epoch_to=epoch,
            )
        )
    row.epoch_from = epoch


def source_state(row: Source) -> dict[str, Any]:
    """What of a source goes into decisions, as `remember` takes it; the time in microseconds since 1970."""
    synced = row.access_synced_at
    return {
        "state": row.state,
        "max_access_age_s": row.max_access_age_s,
        "access_synced_at": None if synced is None else to_us(synced),
    }
