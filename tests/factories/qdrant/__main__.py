"""The stand-in's process: `python -m tests.factories.qdrant FOLDER PORT VERSION [KEY]`.

It ends when its standard input does, that is with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from qdrant_client import grpc as messages

from tests.factories.qdrant.services import Collections, Health, Points
from tests.factories.qdrant.store import Store
from tests.factories.qdrant.wire import Gate

_OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main(folder: str, port: str, version: str, key: str | None = None) -> None:
    """Serves until it is killed."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    store = Store(Path(folder) / "collections")
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[Gate(Path(folder), key)], options=_OPTIONS)
    messages.add_QdrantServicer_to_server(Health(version), server)
    messages.add_CollectionsServicer_to_server(Collections(store), server)
    messages.add_PointsServicer_to_server(Points(store), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
