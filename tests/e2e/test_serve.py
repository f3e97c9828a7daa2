"""`ambit serve` as its user would run it, with other commands beside it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.factories.command_line import COMPANY, process, started

pytestmark = pytest.mark.e2e


class Server:
    """A server on a port of its own, over one document."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.env = {"AMBIT_DATA_DIR": str(self.data), "AMBIT_LOG_LEVEL": "error"}
        (folder / "files").mkdir()
        (folder / "files" / "a.md").write_text("# Lighthouse\n\nThe lighthouse lamp turns every nine seconds.\n")
        (folder / "c.yaml").write_text(COMPANY)
        self.folder = folder
        self.process = started("serve", "--port", "0", env=self.env, cwd=folder)
        assert self.process.stdout is not None
        self.greeting = [self.process.stdout.readline(), self.process.stdout.readline()]
        self.url = self.greeting[0].split()[-1]

    def ambit(self, *arguments: str) -> object:
        """What a command beside the server says."""
        ran = process(*arguments, "--json", env=self.env, cwd=self.folder)
        assert ran.status == 0, ran.out + ran.err
        return ran.json

    def until(self, path: str) -> None:
        """Waits until a path answers with success."""
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            try:
                if httpx.get(self.url + path, timeout=5, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)
        raise AssertionError(f"{path} never answered")

    def close(self) -> int:
        """Asks it to stop; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    if running.process.poll() is None:
        running.close()


def test_commands_beside_a_server_go_through_it(server: Server) -> None:
    assert "Admin key, shown this once: ambit_" in server.greeting[1]
    server.until("/healthz")
    assert (server.data / "serve.json").stat().st_mode & 0o777 == 0o600
    server.ambit("apply", "c.yaml")
    synced = server.ambit("sync")
    assert isinstance(synced, dict)
    assert synced["runs"][0]["state"] == "succeeded"
    server.until("/readyz")
    told = server.ambit("ask", "How often does the lighthouse lamp turn?", "--as", "ana")
    assert isinstance(told, dict)
    assert "nine seconds" in told["answer"]
    second = process("serve", env=server.env, cwd=server.folder)
    assert second.status == 2
    assert server.url in second.err or "cannot listen" in second.err
    token = json.loads((server.data / "serve.json").read_text())["token"]
    question = {"query": "lamp", "user": "ana"}
    assert httpx.post(f"{server.url}/local/search", json=question, trust_env=False).status_code == 404
    headers = {"X-Ambit-Local": token}
    found = httpx.post(f"{server.url}/local/search", json=question, headers=headers, timeout=60, trust_env=False)
    assert found.json()["results"][0]["title"] == "Lighthouse"
    assert server.close() == 0
    assert not (server.data / "serve.json").exists()
    after = server.ambit("status")
    assert isinstance(after, dict)
    assert (after["serving"], after["index"]["points"]) == (None, 1)


def test_it_stops_at_once_when_it_is_asked_while_it_warms_up(server: Server) -> None:
    server.until("/healthz")
    assert server.close() == 0
    assert not (server.data / "serve.json").exists()
