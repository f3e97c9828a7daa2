"""The Celery app: it carries wake-ups, never work, so losing a message or having one twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from celery import Celery

from core.errors import SettingError
from core.settings import Settings

QUEUES: Final = {
    "list": "ambit.list",
    "parse": "ambit.parse",
    "encode": "ambit.encode",
    "place": "ambit.maintain",
    "finish": "ambit.maintain",
    "purge": "ambit.maintain",
    "profile": "ambit.maintain",
    "sweep": "ambit.maintain",
}
SWEEP_S: Final = 5.0
TASK_LIMIT_S: Final = 3600
VISIBILITY_S: Final = 2 * TASK_LIMIT_S


def make_app(settings: Settings, *, prefix: str = "") -> Celery:
    """The app on the configured broker. `prefix` sets queues apart, for installations that share one broker.

    Raises:
        SettingError: no broker is set.
    """
    if settings.broker_url is None:
        raise SettingError("broker_url is not set: set AMBIT_BROKER_URL, or run `ambit serve`, which needs no broker")
    app = Celery("ambit", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_LIMIT_S,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(settings),
        task_default_queue=prefix + QUEUES["sweep"],
        beat_schedule={"sweep": {"task": "ambit.sweep", "schedule": SWEEP_S, "options": {"expires": SWEEP_S}}},
        beat_schedule_filename=str(settings.data_dir / "beat"),
        ambit_queue_prefix=prefix,
    )
    return app


def _transport(settings: Settings) -> dict[str, Any]:
    """Redis hands a message out again when it was not acknowledged for this long."""
    url = settings.broker_url.get_secret_value() if settings.broker_url else ""
    return {"visibility_timeout": VISIBILITY_S} if url.startswith("redis") else {}


def queue_names(app: Celery, stages: Iterable[str] = QUEUES) -> list[str]:
    """The queues that carry the wake-ups of these stages."""
    return sorted({app.conf.ambit_queue_prefix + QUEUES[stage] for stage in stages})
