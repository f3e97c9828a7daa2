"""What works: the processes, and how long their stages take. Nothing here decides anything."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import db_now
from core.tables.base import Base, PrimaryKey


class WorkerBeat(Base):
    """A process that works, as it last reported itself."""

    __tablename__ = "worker_beat"
    __table_args__ = (Index(None, "beat_at"),)

    id: Mapped[PrimaryKey]
    name: Mapped[str] = mapped_column(unique=True)
    host: Mapped[str]
    role: Mapped[str]
    """worker (takes wake-ups), beat (sends them on a schedule) or threads (of `ambit serve` or `ambit sync`)."""
    stages: Mapped[list[str]]
    started_at: Mapped[datetime] = mapped_column(default=db_now())
    beat_at: Mapped[datetime] = mapped_column(default=db_now())
    worked_at: Mapped[datetime | None]
    """When a stage last came to the end of its turn."""
    refused: Mapped[int] = mapped_column(default=0)
    """Messages that were not taken, because they were not plain JSON."""


class StageTime(Base):
    """How many turns of a stage took at most so many milliseconds, and more than the next shorter bound."""

    __tablename__ = "stage_time"

    stage: Mapped[str] = mapped_column(primary_key=True)
    le_ms: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    turns: Mapped[int] = mapped_column(default=0)
    total_ms: Mapped[int] = mapped_column(default=0)
