"""Running a worker in this process until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Sequence

from core.settings import Settings
from core.telemetry import configure_logging
from workers.app import QUEUES, queue_names
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
    queues = ",".join(queue_names(app, stages or QUEUES))
    argv = ["worker", "--queues", queues, "--concurrency", str(settings.worker_threads), "--pool", pool]
    argv += ["--loglevel", settings.log_level, "--without-mingle", "--without-gossip"]
    argv += ["--hostname", f"ambit-{os.getpid()}@%h"]
    app.worker_main([*argv, "--beat"] if beat else argv)
