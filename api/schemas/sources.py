"""Sources."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Body, Key, Line, Page, View
from core.tables import Source


class SourceChange(Body):
    """What of a source can be changed; what is absent stays."""

    config: dict[str, Any] | None = Field(None, description="As the connector's schema says.")
    access: dict[str, Any] | None = Field(
        None, description="`inherit`, `allow`, `deny`, `labels` of the root, where the source gives none there."
    )
    schedule: dict[Line, Line] | None = Field(
        None, description="A cron line or an interval (`15m`) for each of `content`, `deletions`, `permissions`."
    )
    priority: int | None = Field(None, ge=-100, le=100, description="Work of a higher one is taken first.")
    max_access_age_s: int | None = Field(
        None, ge=1, le=10**10, description="Seconds after which access data is too old to show anything; null: never."
    )
    paused: bool | None = None


class SourceBody(Body):
    """A source to register."""

    id: Key
    connector: Key
    config: dict[str, Any] = Field(default_factory=dict)
    base: Line = Field(".", description="Folder that relative paths of `config` are relative to.")
    access: dict[str, Any] = Field(default_factory=dict)
    schedule: dict[Line, Line] = Field(default_factory=dict)
    priority: int = Field(0, ge=-100, le=100)
    max_access_age_s: int | None = Field(None, ge=1, le=10**10)


class SourceView(View):
    """A source; a person sees its id and connector alone."""

    id: str
    connector: str


class SourceAdminView(SourceView):
    """A source as an admin sees it. Secrets stand in `config` by name only."""

    state: str
    config: dict[str, Any]
    base: str
    access: dict[str, Any]
    schedule: dict[str, Any]
    priority: int
    max_access_age_s: int | None
    content_synced_at: datetime | None
    access_synced_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Source) -> SourceAdminView:
        """The registration as it stands."""
        return cls(
            id=row.key,
            connector=row.connector,
            state=row.state,
            config=row.config,
            base=row.base,
            access=row.access,
            schedule=row.schedule,
            priority=row.priority,
            max_access_age_s=row.max_access_age_s,
            content_synced_at=row.content_synced_at,
            access_synced_at=row.access_synced_at,
            created_at=row.created_at,
        )


class SyncBody(Body):
    """Which kind of sync."""

    kind: Literal["content", "deletions", "permissions"] = Field(
        "content", description="What changed, a whole listing, or access data alone."
    )


class RetrySourceBody(Body):
    """Which failed items are tried again; nothing given: all."""

    code: Line | None = Field(None, description="Those with this error code.")


class RetriedView(View):
    """How many items of a source wait for work again."""

    source: str
    count: int


class SourcePage(Page[SourceAdminView | SourceView]):
    """A page of sources."""
