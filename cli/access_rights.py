"""`ambit access rights`: who may administer what, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import opened

if TYPE_CHECKING:
    from rich.console import Console


def register(group: typer.Typer) -> None:
    """Adds the command."""
    command(group, "rights")(rights)


def rights(
    context: Context,
    who: Annotated[str, typer.Argument(help="The person: an id or e-mail; or app:<id> for an app itself.")],
    right: Annotated[str | None, typer.Argument(help="As in group.write; absent: list every one they hold.")] = None,
    target: Annotated[str, typer.Argument(help="kind:id, kind:* or *.")] = "*",
) -> None:
    """Say whether somebody may administer something, by which grant, and what lost; or list their rights over it."""
    from policies.grants import check_object, check_right
    from policies.rights import decide_right, matching
    from policies.rights import who as resolved

    asked = matching(check_right(right or "*"))
    user, app = (None, who.removeprefix("app:")) if who.startswith("app:") else (who, None)
    with opened(context) as store, store.db.read() as session:
        subject = resolved(session, store.tenant, user=user, app=app)
        told = [decide_right(session, subject, one, check_object(target)).as_dict() for one in asked]
    shown = told if right else [one for one in told if one["allowed"]]
    context.emit({"who": subject.name, "rights": shown}, lambda out: _show(out, subject.name, shown))


def _show(out: Console, who: str, told: list[dict[str, Any]]) -> None:
    from rich.text import Text

    if not told:
        out.print(f"{who} holds no right over that", markup=False)
    for one in told:
        word, colour = ("may", "green") if one["allowed"] else ("may not", "red")
        by = f" by grant {one['grant']}" if one["grant"] else ""
        out.print(Text(f"{who} {word} {one['right']} over {one['object']}: {one['reason']}{by}", style=colour))
        if len(one["path"]) > 1:
            out.print(Text("  as " + " → ".join(one["path"]), style="dim"))
        if one["losing"]:
            out.print(Text("  outweighed: " + ", ".join(one["losing"]), style="dim"))
