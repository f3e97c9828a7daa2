"""Running a worker in this process until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Sequence

from core.db import Database
from core.settings import Settings
from core.telemetry import configure_logging
from workers.app import QUEUES, queue_names
from workers.consumer import Attention, Presence, worker_name
from workers.tasks import worker_app


def run_worker(
    settings: Settings, *, stages: Sequence[str] = (), beat: bool = False, pool: str = "prefork", prefix: str = ""
) -> None:
    """Works at `stages` (none named: all) with `worker_threads` processes; SIGTERM lets each end its turn.

    With `beat` it also sends the sweep on its schedule; exactly one worker of an installation should.

    Raises:
        SettingError: no broker is set.
    """
    app = worker_app(settings, prefix=prefix)
    configure_logging(settings)
    app.conf.ambit_worker, app.conf.ambit_stages = worker_name(), list(stages or QUEUES)
    app.steps["consumer"].update((Attention, Presence))
    serve_metrics(settings)
    queues = ",".join(queue_names(app, stages or QUEUES))
    argv = ["worker", "--queues", queues, "--concurrency", str(settings.worker_threads), "--pool", pool]
    argv += ["--loglevel", settings.log_level, "--without-mingle", "--without-gossip", "--without-heartbeat"]
    argv += ["--hostname", f"ambit-{os.getpid()}@%h"]
    app.worker_main([*argv, "--beat"] if beat else argv)


def serve_metrics(settings: Settings) -> None:
    """Answers `/metrics` on `worker_metrics_port`, where one is set, with what SQL says of the whole installation."""
    if not settings.worker_metrics_port:
        return
    from prometheus_client import CollectorRegistry, start_http_server

    from ingest.metrics import WorkMetrics

    registry = CollectorRegistry()
    registry.register(WorkMetrics(Database(settings.sql_url), keep_open=False))
    start_http_server(settings.worker_metrics_port, addr=settings.worker_metrics_host, registry=registry)
