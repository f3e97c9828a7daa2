"""A Celery worker process for tests, with the small encoder."""

from __future__ import annotations

import json
import sys
from typing import Any

from core.settings import Settings
from embed.stack import VectorStack
from tests.factories.encoders import WordEncoder


def main(options: str) -> None:
    chosen: dict[str, Any] = json.loads(options)
    first_init = VectorStack.__init__

    def init(stack: VectorStack, *arguments: Any) -> None:
        first_init(stack, *arguments)
        stack.__dict__["_encoder"] = WordEncoder(chosen["delay_s"])

    VectorStack.__init__ = init  # type: ignore[method-assign]
    from workers.run import run_worker

    settings = Settings(_env_file=None, **chosen["settings"])
    run_worker(settings, stages=chosen["stages"], beat=chosen["beat"], pool=chosen["pool"])


if __name__ == "__main__":
    main(*sys.argv[1:])
