"""A real Dovecot on loopback with mailboxes of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
HOW = "Dovecot is not installed, or this is not root: apt-get install dovecot-imapd"

CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:~/Maildir
first_valid_uid = 1
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service stats {{
  client_limit = 100
}}
passdb {{
  driver = static
  args = password=hunter2
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={home}/%u
}}
"""


def needed() -> str:
    """The program; skips where it cannot run, or fails where services are required."""
    if PROGRAM is None or os.geteuid() != 0:
        if os.environ.get("AMBIT_TEST_REQUIRE_SERVICES") == "1":
            pytest.fail(HOW, pytrace=False)
        pytest.skip(HOW)
    return PROGRAM


@contextmanager
def running() -> Iterator[int]:
    """The port of a Dovecot whose every user has the password `hunter2` and an empty mailbox."""
    program = needed()
    home = Path(tempfile.mkdtemp(prefix="ambit-dovecot-"))
    home.chmod(0o755)
    shutil.chown(home, "mail", "mail")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (home / "dovecot.conf").write_text(CONFIG.format(home=home, port=port))
    process = subprocess.Popen([program, "-F", "-c", str(home / "dovecot.conf")], stderr=subprocess.DEVNULL)
    try:
        _wait(port, home / "log")
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _wait(port: int, log: Path) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"Dovecot did not start: {log.read_text() if log.exists() else 'no log'}")
