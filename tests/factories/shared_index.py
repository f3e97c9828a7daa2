"""The embedded engine in one process that many processes ask, as they would ask a Qdrant server."""

from __future__ import annotations

import tempfile
import threading
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from embed.index.base import IndexUnavailableError
from embed.index.edge import EdgeIndex
from embed.index.host import _serve
from embed.index.hosted import HostedIndex
from tests.factories.children import Child, wait_for


class SharedIndex(HostedIndex):
    """Each call is a connection of its own to the process that holds the index."""

    def __init__(self, address: str) -> None:
        super().__init__(Path(address))
        self._address = address

    def _call(self, method: str, *arguments: Any, searching: bool = False) -> Any:
        try:
            with Client(self._address) as line:
                line.send((method, arguments))
                failed, value = line.recv()
        except (EOFError, OSError) as error:
            raise IndexUnavailableError("the process of the index is away") from error
        if failed:
            raise value
        return value


class IndexHolder:
    """The process that holds the index of a folder; it may be killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = tempfile.TemporaryDirectory(prefix="ambit-test-")
        self.address = str(Path(self._place.name) / "s")
        self.start()

    def start(self) -> None:
        Path(self.address).unlink(missing_ok=True)
        self.child = Child(hold, str(self._folder), self.address)
        wait_for(Path(self.address).exists, limit_s=30)

    def kill(self) -> None:
        self.child.kill()

    def close(self) -> None:
        self.kill()
        self._place.cleanup()


def hold(folder: str, address: str) -> None:
    index = EdgeIndex(Path(folder))
    with Listener(address) as listener:
        while True:
            threading.Thread(target=_serve, args=(index, listener.accept()), daemon=True).start()
