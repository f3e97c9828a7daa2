"""An installation whose work is done by Celery workers, each a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from celery import Celery

from core.settings import Settings
from tests.factories.children import Child, wait_for
from tests.factories.fault_child import free_port
from tests.factories.installation import ENDED, Installation
from tests.factories.qdrant.process import PrivateQdrant
from tests.factories.worker_child import Duty, answer, work
from workers.app import make_app, queue_names
from workers.tasks import waker


class Fleet:
    """The workers, and the installation as a test sees it.

    `shared`: the index is on a server that all ask; else the one worker that writes to it holds it, and nobody asks
    meanwhile.
    """

    def __init__(
        self, folder: Path, *, database_url: str, broker_url: str, shared: bool = False, **settings: Any
    ) -> None:
        self.index = PrivateQdrant() if shared else None
        chosen = {
            "database_url": database_url,
            "broker_url": broker_url,
            "lease_s": 3,
            "parse_timeout_s": 1,
            **({} if self.index is None else self.index.settings),
            **settings,
        }
        self._data, self._chosen = folder / "data", chosen
        self.settings = {**chosen, "data_dir": str(self._data), "encoder": "word-hash", "log_level": "error"}
        self.settings["retry_base_s"] = 0.05
        if self.index is not None:
            self.index.start()
        self.place = Installation(self._data, **chosen)
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.place.close()
        if self.index is not None:
            self.index.__exit__()

    def start(self, stages: Sequence[str], *, pool: str = "solo", **duty: Any) -> Child:
        """A worker at these stages."""
        child = Child(work, Duty(self.settings, stages, pool=pool, **duty))
        self.children.append(child)
        return child

    def serve(self) -> int:
        """A server that answers over HTTP; its port. For a shared index."""
        assert self.index is not None
        port = free_port()
        self.children.append(Child(answer, str(self._data), self._chosen, port))
        return port

    def stop(self) -> None:
        """Lets every worker end its turn."""
        for child in self.children:
            child.process.terminate()
        for child in self.children:
            child.end()

    def app(self) -> Celery:
        """The app as a sender has it."""
        return make_app(Settings(_env_file=None, **self.settings))

    def queue(self, stage: str) -> str:
        (name,) = queue_names(self.app(), [stage])
        return name

    def start_sync(self) -> int:
        """A run that the workers have been told of."""
        run = self.place.start()
        waker(Settings(_env_file=None, **self.settings))("list")
        return run

    def done(self, run: int) -> int:
        """Items that came to their end."""
        return sum(item.state == "done" for item in self.place.items(run).values())

    def await_end(self, run: int) -> None:
        wait_for(lambda: self.place.run(run).state in ENDED)

    def check(self, run: int, documents: int) -> None:
        """The run ends well, and every document is there once."""
        self.await_end(run)
        self.stop()
        assert self.place.run(run).state == "succeeded"
        self.place.drain()
        assert len(self.place.documents()) == documents
        assert len(self.place.search("ana", "duck", top_k=100)) == documents
        self.place.check_consistent()


def ducks(fleet: Fleet, folder: Path, count: int) -> None:
    """A source of so many one-line files that `ana` may read."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"Duck number {number} swims.")
    fleet.place.add_user("ana")
    fleet.place.add_folder(folder)
