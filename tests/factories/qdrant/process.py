"""The stand-in as a test has it: started on a folder and a port of its own, killed, frozen, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embed.index.server import ServerIndex
from embed.index.server_options import ServerOptions
from tests.factories.command_line import ROOT
from tests.factories.private_services import Private
from tests.factories.qdrant.wire import RECORD, Fault, Received, read_received

VERSION = "1.19.1"
"""The server that docker-compose.yml names; the stand-in passes for it and is not it."""


class PrivateQdrant(Private):
    """Killed and started again, it has every write that it acknowledged.

    `certificates`: a folder of them, for TLS.
    """

    scheme = "http://"
    binary = Path(sys.executable)

    def __init__(self, *, version: str = VERSION, key: str | None = None, certificates: Path | None = None) -> None:
        super().__init__(os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        self._arguments = [str(self.folder), str(self.port), "--version", version]
        self._arguments += ["--key", key] if key else []
        self._arguments += ["--certificates", str(certificates)] if certificates else []
        self._key = key
        self._skip = 0

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.factories.qdrant", *self._arguments], cwd=ROOT, stdin=subprocess.PIPE
        )
        self._await(self._answers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdin is not None
        self.process.stdin.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing, as a machine that swaps or a disk that hangs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def fail_next(self, method: str, code: str = "", *, update: str = "", **trailing: str) -> None:
        """The next call of `method`, as in `Points/Upsert`, is answered so."""
        Fault(code, update, trailing).plan(self.folder, method.replace("/", "."))

    def received(self, method: str) -> list[Received]:
        """Every call of `method` since `forget`."""
        return read_received(self.folder, method, skip=self._skip)

    def forget(self) -> None:
        """What came until now is not asked for any more."""
        self._skip = len((self.folder / RECORD).read_text().splitlines())

    def messages(self, method: str) -> list[Any]:
        """What those calls carried."""
        return [one.message for one in self.received(method)]

    @property
    def settings(self) -> dict[str, Any]:
        """What an installation is given that keeps its index here."""
        return {"index_url": self.url, "index_grpc_port": self.port, "index_api_key": self._key}

    def index(self, *, options: ServerOptions | None = None, key: str | None = None, **more: Any) -> ServerIndex:
        """The product's own adapter, connected to it."""
        return ServerIndex(self.url, key or self._key, options=options, grpc_port=self.port, **more)
