"""Servers of a test's own, on ports of their own, to be killed and started again; nothing of them stays."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import pytest

from tests.factories.fault_child import free_port
from tests.integration.services import REQUIRED

_START_S = 90.0
Given = TypeVar("Given", bound="Private")


def provided(kind: type[Given]) -> Given:
    """A server of the test's own; skips, or fails where services are required, where it is not installed."""
    if kind.binary is None:
        reason = f"{kind.__name__}: its server is not installed"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    return kind()


def program(name: str, *folders: str) -> Path | None:
    """Where a server's program is, if it is installed."""
    found = shutil.which(name)
    candidates = [Path(found)] if found else []
    for pattern in folders:
        candidates += sorted(Path("/").glob(f"{pattern}/{name}"), reverse=True)
    return candidates[0] if candidates else None


class Private:
    """One server with a folder and a port of its own; `room`: where the folder is made, else where others are."""

    scheme = ""
    binary: Path | None = None

    def __init__(self, room: str | None = None) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ambit-test-", dir=room))

    @property
    def url(self) -> str:
        return f"{self.scheme}127.0.0.1:{self.port}"

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _await(self, ready: Callable[[], bool]) -> None:
        ends = time.monotonic() + _START_S
        while not ready():
            assert time.monotonic() < ends, f"{type(self).__name__} did not start"
            time.sleep(0.1)


class PrivateRedis(Private):
    """Redis that keeps nothing on disk: killed, it has lost every message."""

    scheme = "redis://"
    binary = program("redis-server")

    def start(self) -> None:
        command = [str(self.binary), "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        self._await(self._answers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


class PrivateRabbitMQ(Private):
    """A second RabbitMQ node; its queues are emptied with its folder."""

    scheme = "amqp://guest:guest@"
    binary = program("rabbitmq-server", "usr/lib/rabbitmq/bin", "usr/lib/rabbitmq/lib/*/sbin")

    def start(self) -> None:
        base = self.folder / f"at-{time.monotonic_ns()}"
        base.mkdir()
        plugins, settings, nothing = base / "plugins", base / "node.conf", base / "env"
        plugins.write_text("[].")
        settings.write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        nothing.write_text("")
        server = next(iter(sorted(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server"))), self.binary)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(base),
            "RABBITMQ_NODENAME": f"ambit-test-{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(nothing),
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(base),
            "RABBITMQ_LOG_BASE": str(base),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_PID_FILE": str(base / "pid"),
        }
        self.process = subprocess.Popen(
            [str(server)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._await(self._answers)

    def kill(self) -> None:
        """The whole session: the shell that starts the node, and the node."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self._await(lambda: not self._answers())


class PrivatePostgres(Private):
    """A cluster in a new folder; run by `postgres` where the tests are root's, as it refuses root."""

    scheme = "postgresql+psycopg://postgres@"
    binary = program("initdb", "usr/lib/postgresql/*/bin")

    @property
    def url(self) -> str:
        return f"{super().url}/postgres"

    def start(self) -> None:
        if not (self.folder / "data").exists():
            if os.geteuid() == 0:
                os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
            self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", self._options(), "start")

    def _options(self) -> str:
        """No sync to disk: killed servers lose nothing by that, only machines that lose power do."""
        return f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"

    def restart(self) -> None:
        """At once, as after a crash: every connection and every open transaction is lost."""
        self._run("pg_ctl", "-w", "-m", "immediate", "-l", str(self.folder / "log"), "restart")

    def kill(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, name: str, *arguments: str) -> None:
        assert self.binary is not None
        command = [str(self.binary.with_name(name)), "-D", str(self.folder / "data"), *arguments]
        user = "postgres" if os.geteuid() == 0 else None
        subprocess.run(command, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
