"""`ambit access rules`: the rules that stand, and what those that only report would have done."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from cli.context import Context, command
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console


def register(group: typer.Typer) -> None:
    """Adds the command."""
    command(group, "rules")(rules)


def rules(context: Context) -> None:
    """List the rules, and what each report-only one would have done since it last changed."""
    from policies.rules import open_rules
    from policies.rules_store import reports

    with opened(context) as store, store.db.read() as session:
        counted = {one.key: asdict(one) for one in reports(session, store.tenant)}
        found = [
            {
                "id": rule.key,
                "effect": rule.effect,
                "when": rule.condition,
                "enforced": rule.enforced,
                "reported": _reported(counted.get(rule.key)),
            }
            for rule in open_rules(session, store.tenant)
        ]
    context.emit({"rules": found}, lambda out: _show(out, found))


def _reported(counted: dict[str, Any] | None) -> dict[str, Any] | None:
    if counted is None:
        return None
    last = counted["last_at"]
    kept = {name: counted[name] for name in ("queries", "documents", "places")}
    return {**kept, "last_at": last.isoformat() if last else None}


def _show(out: Console, found: list[dict[str, Any]]) -> None:
    from rich.text import Text

    if not found:
        out.print("no rules")
    for one in found:
        out.print(Text(f"{one['effect']} {one['id']}{'' if one['enforced'] else ' (report only)'}: {one['when']}"))
        if one["reported"]:
            told = "  would have refused {documents} documents and opened {places} places in {queries} queries"
            out.print(Text(told.format(**one["reported"])))
