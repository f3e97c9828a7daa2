"""`ambit ask` and `ambit search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command

if TYPE_CHECKING:
    from rich.console import Console

AS = Annotated[str, typer.Option("--as", help="The person to act as: an id or e-mail. It is recorded.")]
TOP_K = Annotated[int | None, typer.Option("--top-k", help="Most passages to use.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "ask")(ask)
    command(app, "search")(search)


def ask(
    context: Context,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    as_: AS,
    model: Annotated[str | None, typer.Option("--model", help="A model or route.", show_default=False)] = None,
    top_k: TOP_K = None,
) -> None:
    """Answer a question from what a person may read."""
    from cli.asking import Asked

    told = _ask(context, "ask", Asked(question, as_, top_k, model))
    context.emit(told, lambda out: show_answer(out, told))


def search(
    context: Context, query: Annotated[str, typer.Argument(help="What to look for.")], as_: AS, top_k: TOP_K = None
) -> None:
    """Find the passages that a person may read."""
    from cli.asking import Asked

    told = _ask(context, "search", Asked(query, as_, top_k))
    context.emit(told, lambda out: _show_results(out, told))


def _ask(context: Context, what: str, asked: Any) -> dict[str, Any]:
    """Where the index is: at `url`, in the server that holds this folder, or here."""
    from cli import asking, remote
    from cli.serving import found
    from cli.store import opened

    settings = context.settings
    timeout_s = settings.model_timeout_s + 60
    if settings.url is not None:
        return remote.ask_public(settings, what, asked, timeout_s)
    serving = found(settings.data_dir)
    if serving is not None and settings.embedded_index:
        return remote.ask_local(serving, what, asked, timeout_s)
    with opened(context) as store:
        work = asking.answer if what == "ask" else asking.search
        return work(store.runtime, store.tenant, asked)


def show_answer(out: Console, told: dict[str, Any]) -> None:
    """The answer, what it rests on, and how it was made."""
    from rich.padding import Padding
    from rich.text import Text

    out.print(Padding(Text(told["answer"]), (0, 0, 0, 2), expand=False))
    for one in told["citations"]:
        place = f", page {one['page']}" if one.get("page") else ""
        out.print(
            Padding(
                Text(f"[{one['number']}] {one['title']}{place}  {one['uri']}", style="cyan"), (0, 0, 0, 2), expand=False
            )
        )
    model = told.get("model") or "no model"
    cited, read = len(told["citations"]), len(told.get("passages") or ())
    out.print(Text(f"  {model}, {cited} cited of {read} passages, {told['took_ms']:.0f} ms", style="dim"))


def _show_results(out: Console, told: dict[str, Any]) -> None:
    from rich.text import Text

    for place, one in enumerate(told["results"], 1):
        page = f", page {one['page']}" if one.get("page") else ""
        out.print(Text(f"{place}. {one['title']}{page}  {one['uri']}  {one['score']:.4f}", style="cyan"))
        out.print(Text("   " + " ".join(one["text"].split())[:300]))
    out.print(Text(f"{len(told['results'])} passages, {told['took_ms']:.0f} ms", style="dim"))
