"""Runs and their items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from api.schemas.base import Body, Line, Page, View
from core.tables import Item, Run


class RunView(View):
    """A run and how many of its items stand where."""

    id: str
    source: str
    kind: str
    trigger: str
    state: str
    listed: int
    unchanged: int
    deleted: int
    widened: int
    held_for: str | None
    counts: dict[str, int]
    error_code: str | None
    error_detail: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, run: Run, source: str, counts: Mapping[str, int]) -> RunView:
        """The run as it stands."""
        return cls(
            id=run.public_id,
            source=source,
            kind=run.kind,
            trigger=run.trigger,
            state=run.state,
            listed=run.listed,
            unchanged=run.unchanged,
            deleted=run.deleted,
            widened=run.widened,
            held_for=run.held_for,
            counts=dict(counts),
            error_code=run.error_code,
            error_detail=run.error_detail,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
        )


class ItemView(View):
    """One object of a run."""

    id: str
    external_id: str
    document_id: str | None
    stage: str
    state: str
    attempts: int
    error_code: str | None
    error_detail: str | None
    note: str | None

    @classmethod
    def of(cls, item: Item, document: str | None) -> ItemView:
        """The item as it stands."""
        return cls(
            id=item.public_id,
            external_id=item.external_id,
            document_id=document,
            stage=item.stage,
            state=item.state,
            attempts=item.attempts,
            error_code=item.error_code,
            error_detail=item.error_detail,
            note=item.note,
        )


class RunDetail(RunView):
    """A run with a page of its items."""

    items: Page[ItemView]


class RetryBody(Body):
    """Which failed items are tried again; nothing given: all."""

    item: Line | None = Field(None, description="Public id of one item.")
    code: Line | None = Field(None, description="Those with this error code.")


class RejectBody(Body):
    """Why a held run is rejected."""

    reason: Line = Field("", description="Kept with the run and in the audit.")


class Affected(View):
    """A run after a change, and how many items or documents that touched."""

    run: RunView
    count: int
