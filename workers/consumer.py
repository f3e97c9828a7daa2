"""A worker's consumer: it refuses what is not plain JSON, and reports that it lives."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from sqlalchemy.exc import SQLAlchemyError

from core.db import Database
from core.telemetry import logger
from ingest.presence import BEAT_S, own_name, report

_LOG = logging.getLogger(__name__)


class StrictConsumer(Consumer):  # type: ignore[misc]
    """Refuses a message that is no wake-up, without logging what is in it, and counts it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refused = 0
        self.lost: BaseException | None = None

    def watch(self, message: Any) -> None:
        """Notes where the broker is lost while this message is settled.

        Kombu logs that alone: as the message then counts as in hand for ever, a worker that may have no more of them at
        a time would ask for no other one, and so never see that the connection is gone.
        """
        for name in ("ack", "reject"):
            setattr(message, name, self._watched(getattr(message, name)))

    def _watched(self, settle: Callable[..., None]) -> Callable[..., None]:
        def watched(*arguments: Any, **named: Any) -> None:
            try:
                settle(*arguments, **named)
            except self.connection_errors as error:
                self.lost = error
                raise

        return watched

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """It is broken: gone from the queue."""
        self._refuse(message, type(exc).__name__)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """It is in another format than JSON, or no call of a task: gone from the queue, unread."""
        self._refuse(message, type(exc).__name__)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It says of no task what it is for."""
        self._refuse(message, "UnknownMessage")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """It names a task that is none of ours."""
        self._refuse(message, "UnknownTask")

    def _refuse(self, message: Any, reason: str) -> None:
        self.refused += 1
        logger().error("message.refused", kind=str(message.content_type), reason=reason)
        self.watch(message)
        message.reject_log_error(_LOG, self.connection_errors)


class Attention(bootsteps.StartStopStep):  # type: ignore[misc]
    """Connects anew once the consumer noted that the broker was lost."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Looks at each turn of the consumer's loop."""
        consumer.lost = None
        self._look = partial(_raise_loss, consumer)
        if consumer.hub is not None:
            consumer.hub.on_tick.add(self._look)

    def stop(self, consumer: Any) -> None:
        """Looks no more."""
        if consumer.hub is not None:
            consumer.hub.on_tick.discard(self._look)


def _raise_loss(consumer: Any) -> None:
    """An error of the connection that ends the loop, which Celery then begins with another connection."""
    if consumer.lost is not None:
        raise consumer.lost


class Presence(bootsteps.StartStopStep):  # type: ignore[misc]
    """Reports from the consumer's own loop, so that a loop that stands still goes silent."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        self._told = 0

    def start(self, consumer: Any) -> None:
        """The first report at once."""
        self._tell(consumer)
        self._timer = consumer.timer.call_repeatedly(BEAT_S, self._tell, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Says nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, consumer: Any) -> None:
        """With a connection of its own each time: one that is open must not come to a forked child."""
        settings = consumer.app.ambit_settings
        refused = getattr(consumer, "refused", 0)
        db = Database(settings.sql_url)
        try:
            with db.write() as session:
                stages = consumer.app.conf.ambit_stages
                report(session, consumer.app.conf.ambit_worker, "worker", stages, refused=refused - self._told)
            self._told = refused
        except SQLAlchemyError as error:
            logger().warning("worker.unreported", reason=type(error).__name__)
        finally:
            db.close()


def worker_name() -> str:
    """The name of this process's row."""
    return own_name("worker")
