"""Writes a migration from the tables in the code: `python -m migrations.autogenerate [first | "what it does"]`.

`first` (the default) writes 0001 anew, for as long as no release has been made from it. Read what was written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command

from core.row_security import SAYS, WHOSE, rules, statements
from core.tables import Base
from migrations.runner import alembic_config, exclusive, scripts

FOLDER = Path(__file__).parent / "versions"


def write(message: str) -> Path:
    """One new migration: the difference between the migrations so far and the tables in the code."""
    count = len(list(scripts().walk_revisions()))
    with TemporaryDirectory() as folder, exclusive(f"sqlite:///{folder}/empty.db") as connection:
        config = alembic_config(connection)
        command.upgrade(config, "head")
        command.revision(config, message, autogenerate=True, rev_id=f"{count + 1:04d}")
    return _tidy(f"{count + 1:04d}")


def write_first() -> Path:
    """0001 anew. Refused once another migration builds on it."""
    paths = sorted(FOLDER.glob("[0-9]*.py"))
    if len(paths) > 1:
        raise SystemExit("0001 has successors: say what the new migration does instead of writing 0001 anew")
    for path in paths:
        path.unlink()
    return write("first")


def _walled(lines: list[str]) -> list[str]:
    """Puts the tables that a migration makes behind row-level security, where it has made them."""
    made = set(re.findall(r"op\.create_table\(\s*['\"]([a-z_]+)", "\n".join(lines)))
    told = {table: rule for table, rule in rules(Base.metadata).items() if table in made}
    if not told:
        return lines
    at = next(number for number, line in enumerate(lines) if line.startswith("def downgrade"))
    wall = [
        '    if op.get_bind().dialect.name == "postgresql":',
        f'        says = "{SAYS}"',
        f'        whose = "{WHOSE}"',
        f"        for table, condition in {list(told.items())!r}:",
        "            rule = condition.replace('WHOSE', whose)",
        *(f"            op.execute(f{one!r})" for one in statements("{table}", "{rule}", says="{says}")),
        "",
        "",
    ]
    return [*lines[:at], *wall, *lines[at:]]


def _tidy(revision: str) -> Path:
    path = next(FOLDER.glob(f"{revision}_*.py"))
    lines = [line for line in path.read_text().splitlines() if not line.strip().startswith("# ###")]
    lines = _walled(lines)
    path.write_text("\n".join(lines) + "\n")
    for arguments in ("check --silent --fix --exit-zero", "format -q", "check -q --select PLR0915 --add-noqa"):
        subprocess.run([sys.executable, "-m", "ruff", *arguments.split(), str(path)], check=True)  # noqa: S603
    return path


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "first"
    sys.stdout.write(f"{write_first() if wanted == 'first' else write(wanted)}\n")
