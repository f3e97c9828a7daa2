"""Erasures: what is asked for, how far they are, and what proves them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from api.schemas.base import Body, Line, View
from core.tables import Erasure


class EraseBody(Body):
    """Why something is erased."""

    reason: Line = Field("", description="For the record; without names, which are struck out of it.")


class EraseDocumentBody(EraseBody):
    """Why a document is erased, and whether its source may bring it back."""

    may_return: bool = Field(False, description="True: the next sync that lists it takes it in again.")


class ReadmitBody(Body):
    """An object that was erased and may come back."""

    id: Line = Field(description="Its id at the source, as in `hr/salaries.xlsx`.")


class ErasureView(View):
    """An erasure. `target` of a person is what stands in their stead everywhere."""

    id: str
    kind: Literal["document", "source", "person"]
    target: str
    state: Literal["erasing", "proven", "left"]
    reason: str
    asked_by: str
    created_at: datetime
    ended_at: datetime | None
    done: dict[str, Any] = Field(description="Rows removed by table, and values struck by column.")
    proof: dict[str, Any] = Field(description="What the scan looked at and found; empty before it.")

    @classmethod
    def of(cls, row: Erasure) -> Self:
        """As it stands."""
        return cls(
            id=row.public_id,
            kind=row.kind,
            target=row.target,
            state=row.state,
            reason=row.reason,
            asked_by=row.asked_by,
            created_at=row.created_at,
            ended_at=row.ended_at,
            done=row.done,
            proof=row.proof,
        )
