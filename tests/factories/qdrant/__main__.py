"""The stand-in's process: `python -m tests.factories.qdrant FOLDER PORT`.

It ends when its standard input does, that is with the process that started it, however that ends.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    """Serves until it is killed."""
    asked = _arguments()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    store = Store(asked.folder / "collections")
    gate = Gate(asked.folder, asked.key)
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[gate], options=_OPTIONS)
    messages.add_QdrantServicer_to_server(Health(asked.version), server)
    messages.add_CollectionsServicer_to_server(Collections(store), server)
    messages.add_PointsServicer_to_server(Points(store), server)
    address = f"127.0.0.1:{asked.port}"
    if asked.certificates is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, _credentials(asked.certificates))
    server.start()
    server.wait_for_termination()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--version", required=True)
    parser.add_argument("--key")
    parser.add_argument("--certificates", type=Path)
    return parser.parse_args()


def _credentials(folder: Path) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())])


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
