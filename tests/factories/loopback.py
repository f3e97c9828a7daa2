"""A loopback address that counts who comes: whatever a test must not let out would come here."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self


class Listener:
    """A TCP port, a UDP port and a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.path = str(folder / "s")
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        self.unix.listen()
        self.all = (self.tcp, self.udp, self.unix)

    @property
    def port(self) -> int:
        return int(self.tcp.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def nobody_came(self) -> bool:
        return not any(map(self._came, self.all))

    def _came(self, one: socket.socket) -> bool:
        one.setblocking(False)
        try:
            if one is self.udp:
                one.recvfrom(10)
            else:
                one.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.all:
            one.close()
