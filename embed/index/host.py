"""The process that holds the embedded index for another one: `python -m embed.index.host FOLDER DURABLE SOCKET...`.

Each socket carries calls one after the other, as (method, arguments), and for each its answer, as (failed, value). The
process ends when the sockets do, that is when the one that started it ends, however that ends.
"""

from __future__ import annotations

import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import AmbitError
from embed.index.base import IndexUnavailableError
from embed.index.edge import EdgeIndex

METHODS = frozenset(
    {"ensure", "drop", "upsert", "place", "describe", "delete", "search_many", "existing", "count", "page"}
)


def main(folder: str, durable: str, *sockets: str) -> None:
    """Serves every socket until all are closed at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    index = EdgeIndex(Path(folder), durable=durable == "1")
    threads = [threading.Thread(target=_serve, args=(index, Connection(int(one)))) for one in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index.close()


def _serve(index: EdgeIndex, connection: Connection) -> None:
    while True:
        try:
            method, arguments = connection.recv()
            connection.send(_answer(index, method, arguments))
        except (EOFError, OSError):
            return


def _answer(index: EdgeIndex, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return False, _called(index, method, arguments)
    except (AmbitError, ValueError) as error:
        return True, error
    except Exception as error:  # noqa: BLE001 - told to the caller, which has the log
        return True, IndexUnavailableError(f"the vector engine failed: {type(error).__name__}")


def _called(index: EdgeIndex, method: str, arguments: tuple[Any, ...]) -> Any:
    if method not in METHODS:
        raise ValueError(f"no such call: {method}")
    return getattr(index, method)(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
