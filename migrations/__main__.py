"""`python -m migrations`: brings the configured database to the newest schema; `--check` only says whether it is."""

from __future__ import annotations

import sys

from core.errors import AmbitError
from core.settings import Settings
from migrations.runner import current, head, upgrade


def main(arguments: list[str]) -> int:
    """Exit status: 0 when the schema is the newest (afterwards), 1 when it is not, 2 for bad usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m migrations [--check]\n")
        return 2
    url = Settings().sql_url
    try:
        if not arguments:
            upgrade(url)
        at = current(url)
    except AmbitError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    sys.stdout.write(f"schema {at or 'absent'}, needed {head()}\n")
    return 0 if at == head() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
