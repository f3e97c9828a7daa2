"""`ambit doctor`: tries every setting and connection, and says how to mend what is wrong."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from cli.context import Context, command

if TYPE_CHECKING:
    from rich.console import Console

    from cli.checks import Finding

_COLOURS = {"ok": "green", "note": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "doctor")(doctor)


def doctor(context: Context) -> None:
    """Try every setting and connection and say how to mend each. Exit status: 1 if something fails."""
    from cli.checks import examine

    findings: list[Finding] = []
    for finding in examine(context.settings):
        findings.append(finding)
        if not context.json:
            _show(context.out, finding)
    failed = sum(one.state == "fail" for one in findings)
    data = {"ok": failed == 0, "checks": [asdict(one) for one in findings]}
    told = f"{failed} to mend" if failed else "All is well."
    context.emit(data, lambda out: out.print(told, markup=False))
    raise typer.Exit(1 if failed else 0)


def _show(out: Console, finding: Finding) -> None:
    from rich.text import Text

    out.print(Text.assemble((f"{finding.state:<5}", _COLOURS[finding.state]), f"{finding.name}: {finding.detail}"))
    if finding.mend and finding.state != "ok":
        out.print(Text(f"      {finding.mend}", style="dim"))
