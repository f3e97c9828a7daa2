"""The beat: it sends the sweep, which starts what SQL says is due; and it reports that it lives."""

from __future__ import annotations

import time
from typing import Any

from celery.beat import Scheduler
from sqlalchemy.exc import SQLAlchemyError

from core.db import Database
from core.telemetry import logger
from ingest.presence import BEAT_S, own_name, report


class ReportingScheduler(Scheduler):  # type: ignore[misc]
    """Keeps its schedule in memory: what is due stands in SQL, so that nothing is lost with this process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._told_at = 0.0
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Sends what is due, then reports: a broker that does not take the sweep shows as silence."""
        wait = super().tick(*args, **kwargs)
        if time.monotonic() >= self._told_at + BEAT_S:
            self._told_at = time.monotonic()
            self._tell()
        return min(wait, BEAT_S) if wait is not None else BEAT_S

    def _tell(self) -> None:
        db = Database(self.app.ambit_settings.sql_url)
        try:
            with db.write() as session:
                report(session, own_name("beat"), "beat", [])
        except SQLAlchemyError as error:
            logger().warning("beat.unreported", reason=type(error).__name__)
        finally:
            db.close()
