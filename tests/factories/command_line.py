"""Runs `ambit` as its user would: in this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
_WIDE = "200"
"""Columns of the terminal that commands print to, so that no table breaks a cell, however long a path is."""

COMPANY = """
kind: User
id: ana
---
kind: Source
id: files
connector: folder
config: {path: ./files}
access: {allow: [everyone]}
"""
"""One person, and a folder that everyone may read, to apply."""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


def ambit(data_dir: Path, *arguments: str, stdin: str | None = None) -> Ran:
    """Runs a command in this process."""
    try:
        result = CliRunner(env={"COLUMNS": _WIDE}).invoke(app, ["--data-dir", str(data_dir), *arguments], input=stdin)
    finally:
        structlog.reset_defaults()  # the command's log went to a stream that is closed now
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def process(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, python: str = "cli.main") -> Ran:
    """Runs a module of ours as a process of its own."""
    running = started(*arguments, env=env, cwd=cwd, python=python)
    try:
        out, err = running.communicate(timeout=280)
    finally:
        running.kill()
    return Ran(running.returncode, out, err)


def started(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, python: str = "cli.main"
) -> subprocess.Popen[str]:
    """The same, while it runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AMBIT_")}
    return subprocess.Popen(
        [sys.executable, "-m", python, *arguments],
        env={**clean, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
