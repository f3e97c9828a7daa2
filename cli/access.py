"""`ambit access`: who may read what, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import access_break_glass, access_readers, access_review, access_rights, access_rules, access_simulate
from cli.access_readers import APP, place
from cli.context import Context, command
from cli.store import Store, find_document, opened

if TYPE_CHECKING:
    from rich.console import Console

    from core.tables import Document
    from policies.subject import Subject

USER = Annotated[str, typer.Argument(help="The person: an id or e-mail.")]
_SAYS = {"holds": "holds", "not": "does not hold", "errs": "errs"}
DOCUMENT = Annotated[str, typer.Argument(help="A public id, or source:path as in files:hr/salaries.xlsx.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Ask who may read what, and why.", no_args_is_help=True)
    command(group, "check")(check)
    command(group, "explain")(explain)
    for part in (access_readers, access_simulate, access_review, access_rules, access_rights, access_break_glass):
        part.register(group)
    app.add_typer(group, name="access")


def check(context: Context, user: USER, document: DOCUMENT, app: APP = None) -> None:
    """Say whether a person may read a document. Exit status: 0 allowed, 1 refused."""
    from policies.decide import decide

    with opened(context) as store, store.db.write() as session:
        subject, found = _both(session, store, (user, app), document, "access.check")
        verdict = decide(session, subject, [found.id])[found.id]
        data = {
            "user": subject.name,
            "document": found.public_id,
            "external_id": found.external_id,
            "allowed": verdict.allowed,
            "reason": verdict.reason,
        }

    def show(out: Console) -> None:
        colour = "green" if data["allowed"] else "red"
        out.print(f"[{colour}]{'allowed' if data['allowed'] else 'refused'}[/]: {data['reason']}")

    context.emit(data, show)
    raise typer.Exit(0 if data["allowed"] else 1)


def explain(context: Context, user: USER, document: DOCUMENT, app: APP = None) -> None:
    """Say why a person may or may not read a document: the deciding entry, the path, the chain of places."""
    from policies.explain import explain as why

    with opened(context) as store, store.db.write() as session:
        subject, found = _both(session, store, (user, app), document, "access.explain")
        told: dict[str, Any] = why(session, subject, found.id).as_dict()
        told["document"], told["external_id"] = found.public_id, found.external_id
    context.emit(told, lambda out: show_explanation(out, told))


def _both(session: Any, store: Store, who: tuple[str, str | None], document: str, why: str) -> tuple[Subject, Document]:
    """The person, through the app if one is named, and the document; that it was asked is recorded with the answer."""
    from policies.subject import Caller, resolve_subject

    subject = resolve_subject(session, Caller(store.tenant, *who))
    found = find_document(session, store.tenant, document)
    body = {"user": subject.name, "known": not subject.nobody, "app": who[1], "for": why}
    body["document"] = found.public_id
    store.runtime.audit.append(session, store.tenant, "act_as", "local", body)
    return subject, found


def show_explanation(out: Console, told: dict[str, Any]) -> None:
    """An explanation, for people."""
    from rich.text import Text

    colour = "green" if told["allowed"] else "red"
    word = "may read" if told["allowed"] else "may not read"
    out.print(Text(f"{told['person']} {word} {told['external_id']}: {told['reason']}", style=colour))
    if told["path"]:
        out.print(Text("  as " + " → ".join(told["path"])))
    if told["entry"]:
        out.print(Text(f"  by {_entry(told['entry'])}"))
    if told["rule"]:
        out.print(
            Text(f"  by rule {told['rule']['key']}, which {told['rule']['outcome']}: {told['rule']['condition']}")
        )
    _show_beside(out, told)
    if told["gate"]:
        out.print(Text(f"  {_gate(told['gate'])}"))
    for one in told["labels"]:
        at = "" if one["node"] is None else f", at {place(one['node'])}"
        out.print(Text(f"  label {one['name']}: {one['value']} ({one['origin']}{at})"))
    for title, chain in (("places, nearest first", told["chain"]), ("will move to", told["waiting"])):
        if chain:
            out.print(f"  {title}:")
            for node in chain:
                _show_node(out, node)
    out.print(Text(f"  at {told['at']}, policy epoch {told['epoch']}", style="dim"))


def _show_beside(out: Console, told: dict[str, Any]) -> None:
    """What was outweighed, what every rule says, and what is in doubt."""
    from rich.text import Text

    for one in told["losing"]:
        out.print(Text(f"  outweighed: {_entry(one)}", style="dim"))
    for one in told["rules"]:
        at = f" at {place(one['node'])}" if told["waiting"] else ""
        only = "" if one["enforced"] else ", report only"
        out.print(Text(f"  rule {one['key']} ({one['effect']}{only}) {_SAYS[one['outcome']]}{at}", style="dim"))
    for key, reason in told["above"]:
        out.print(Text(f"  {place(key)} is narrow, and above it is decided: {reason}", style="dim"))
    for one in told["reported"]:
        out.print(Text(f"  rule {one}, were it enforced, would alone turn this round", style="yellow"))
    for one in told["notes"]:
        out.print(Text(f"  in doubt: {one}", style="yellow"))


def _gate(gate: dict[str, Any]) -> str:
    """What the source and the app allow, and how old the source's access data is."""
    age, limit, app = gate["age_s"], gate["max_access_age_s"], gate["app_sources"]
    parts = [f"source {gate['source']}: {gate['shut'] or 'open'}"]
    if limit is not None:
        parts.append(f"access data {'never read' if age is None else f'{age:.0f} s old'}, limit {limit} s")
    if app is not None:
        parts.append(f"app {gate['app']} sees {', '.join(app) or 'no source'}")
    return "; ".join(parts)


def _show_node(out: Console, node: dict[str, Any]) -> None:
    from rich.text import Text

    closed = ", closed" if node["closed"] else ""
    out.print(Text(f"    {node['title'] or place(node['key'])} ({node['mode']}{closed})"))
    for one in node["entries"]:
        counts = "" if one["counts"] else f"  [{one['why']}]"
        out.print(Text(f"      {one['effect']} {one['principal']} ({one['origin']}{_bounds(one)}){counts}"))


def _entry(one: dict[str, Any]) -> str:
    at = place(one["node"])
    return f"{one['effect']} {one['principal']} at {at}, stated by the {one['origin']}{_bounds(one)}"


def _bounds(one: dict[str, Any]) -> str:
    """The app that an entry is bound to, and the times between which it holds."""
    named = (("through", one["app"]), ("from", one["not_before"]), ("until", one["expires_at"]))
    return "".join(f", {word} {value}" for word, value in named if value is not None)
