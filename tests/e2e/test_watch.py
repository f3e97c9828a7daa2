"""`ambit sync --watch` as its user would run it: round after round, until it is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.factories.command_line import COMPANY, process, started

pytestmark = pytest.mark.e2e


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.md").write_text("# Lighthouse\n\nThe lamp turns every nine seconds.\n")
    (tmp_path / "c.yaml").write_text(COMPANY)
    env = {"AMBIT_DATA_DIR": str(tmp_path / "data"), "AMBIT_RETRY_BASE_S": "0.01", "AMBIT_LOG_LEVEL": "error"}
    for arguments in (["init"], ["apply", "c.yaml"]):
        assert process(*arguments, env=env, cwd=tmp_path).status == 0
    running = started("sync", "--watch", "--every", "1", "--json", env=env, cwd=tmp_path)
    yield running
    running.kill()
    running.communicate()


def rounds(out: IO[str]) -> Iterator[dict[str, Any]]:
    """The run of each round, as soon as it is told."""
    text = ""
    for line in out:
        text += line
        if line == "}\n":
            (run,) = json.loads(text)["runs"]
            yield run
            text = ""


def test_a_watch_follows_its_source_and_outlives_it(watch: subprocess.Popen[str], tmp_path: Path) -> None:
    assert watch.stdout is not None
    told = rounds(watch.stdout)
    first = next(told)
    assert (first["state"], first["counts"]["done"]) == ("succeeded", 1)
    (tmp_path / "files" / "b.md").write_text("# Harbour\n\nThe crane was painted turquoise.\n")
    assert next(one for one in told if one["counts"].get("done"))["unchanged"] == 1
    (tmp_path / "files").rename(tmp_path / "away")
    assert next(one for one in told if one["state"] != "succeeded")["error_code"] == "source_unreachable"
    (tmp_path / "away").rename(tmp_path / "files")
    assert next(one for one in told if one["state"] == "succeeded")["unchanged"] == 2
    watch.send_signal(signal.SIGINT)
    assert watch.wait(60) == 130
