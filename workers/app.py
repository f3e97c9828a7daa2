"""The Celery app: it carries wake-ups, never work, so losing a message or having one twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from celery import Celery
from celery.schedules import crontab

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
RECONCILE: Final = crontab(hour="3", minute="17")
"""When the index is compared with SQL, in UTC: by the clock, so that a beat which restarts each day does it too."""
TASK_LIMIT_S: Final = 3600
SOFT_LIMITS_S: Final = {
    "list": 3000,
    "parse": 3000,
    "encode": 1800,
    "place": 900,
    "finish": 900,
    "purge": 3000,
    "profile": 900,
    "sweep": 300,
    "reconcile": 3000,
}
"""After so long a turn is told to end: what it has in hand counts as failed for now and is tried again."""
GRACE_S: Final = 120
"""How long a turn has for that before its process is killed."""
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
        task_soft_time_limit=TASK_LIMIT_S - GRACE_S,
        worker_max_memory_per_child=settings.worker_memory_mb * 1024 if settings.worker_memory_mb else None,
        worker_consumer="workers.consumer:StrictConsumer",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(settings),
        task_default_queue=prefix + QUEUES["sweep"],
        beat_schedule={
            "sweep": {"task": "ambit.sweep", "schedule": SWEEP_S, "options": {"expires": SWEEP_S, **limits("sweep")}},
            "reconcile": {"task": "ambit.reconcile", "schedule": RECONCILE, "options": limits("reconcile")},
        },
        beat_scheduler="workers.beat:ReportingScheduler",
        ambit_queue_prefix=prefix,
    )
    app.ambit_settings = settings
    return app


def limits(stage: str) -> dict[str, int]:
    """The soft and hard time limit of a stage's turn, in seconds, as a message carries them."""
    soft = SOFT_LIMITS_S[stage]
    return {"soft_time_limit": soft, "time_limit": soft + GRACE_S}


def _transport(settings: Settings) -> dict[str, Any]:
    """Redis hands a message out again when it was not acknowledged for this long."""
    url = settings.broker_url.get_secret_value() if settings.broker_url else ""
    return {"visibility_timeout": VISIBILITY_S} if url.startswith("redis") else {}


def queue_names(app: Celery, stages: Iterable[str] = QUEUES) -> list[str]:
    """The queues that carry the wake-ups of these stages."""
    return sorted({app.conf.ambit_queue_prefix + QUEUES[stage] for stage in stages})
