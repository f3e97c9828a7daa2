"""`ambit reembed`: change the encoder with no gap."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.context import Context, command
from core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from cli.store import Store
    from ingest.rebuild import Progress

POLL_S = 0.5
TELL_S = 5.0

ENCODER = Annotated[str | None, typer.Option("--encoder", help="Model by name or path.", show_default=False)]
BACKEND = Annotated[
    Literal["auto", "openvino", "torch"] | None,
    typer.Option("--backend", help="What runs it here; else the setting encoder_backend.", show_default=False),
]
RATE = Annotated[
    float | None,
    typer.Option("--rate", min=0.0, help="Most chunks a second; else the setting reembed_rate.", show_default=False),
]
EVALUATE = Annotated[
    Path | None,
    typer.Option(
        "--evaluate", help="Data set to measure both encoders on first; else reembed_evaluation.", show_default=False
    ),
]
AS = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Whom to ask as, where the data set has no corpus and asks of this installation's documents; recorded.",
        show_default=False,
    ),
]
FORCE = Annotated[bool, typer.Option("--force", help="Go on although the new encoder finds worse.")]
LANGUAGE = Annotated[
    str | None,
    typer.Option("--language", help="Of BM25's terms, as in german; else as it was.", show_default=False),
]
BACK = Annotated[bool, typer.Option("--switch-back", help="Catch the former index up and make it live again.")]
DROP = Annotated[bool, typer.Option("--drop", help="Remove every index that is not live; stops one being built.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "reembed")(reembed)


def reembed(
    context: Context,
    *,
    encoder: ENCODER = None,
    language: LANGUAGE = None,
    backend: BACKEND = None,
    rate: RATE = None,
    evaluate: EVALUATE = None,
    as_: AS = None,
    force: FORCE = False,
    switch_back: BACK = False,
    drop: DROP = False,
) -> None:
    """Build the index anew beside the live one, with another encoder or language, then switch. Again, it goes on."""
    from cli.store import opened

    if (encoder is not None or language is not None) + switch_back + drop != 1:
        raise InvalidError("say one of --encoder NAME or --language NAME, --switch-back, --drop")
    if backend is not None:
        vars(context)["settings"] = context.settings.model_copy(update={"encoder_backend": backend})
    here = _works_here(context)
    if not here and (backend is not None or rate is not None):
        raise InvalidError("`ambit serve` does the work; set encoder_backend and reembed_rate for it instead")
    with opened(context) as store:
        if drop:
            _drop(context, store, here=here)
            return
        encoder = _model(store) if encoder is None and language is not None else encoder
        path = evaluate or context.settings.reembed_evaluation
        after = encoder is not None and path is not None and _asks_built(path, as_, here=here)
        measured = None
        if encoder is not None and not after:
            measured = _measured(context, store, encoder, path, force=force)
        number = _begin(store, encoder, language, judged=after)
        if here:
            judge = _Judge(context, store, path, as_ or "", force=force) if path is not None and after else None
            _build(context, store, rate, judge)
            measured = judge.told if judge is not None else measured
        else:
            _follow(context, store, number)
        _report(context, store, number, measured)


def _asks_built(path: Path, user: str | None, *, here: bool) -> bool:
    """Whether the data set asks of the installation's own documents, so that it is the built index that is measured.

    Raises:
        InvalidError: nobody was named to ask as, or a server would switch before anything was measured.
    """
    from evaluation.datasets import has_corpus

    if has_corpus(path):
        return False
    if user is None:
        raise InvalidError(f"{path} has no corpus.jsonl: it asks of this installation's documents; say --as whom")
    if not here:
        raise InvalidError("`ambit serve` switches by itself; stop it, to measure the built index first")
    return True


def _works_here(context: Context) -> bool:
    """Whether no server does what waits in SQL."""
    from cli.serving import found

    serving = found(context.settings.data_dir)
    return serving is None or not serving.works


def _measured(context: Context, store: Store, encoder: str, path: Path | None, *, force: bool) -> dict[str, Any] | None:
    """How the new encoder does beside the one in use; None: there is nothing to measure on, or it was begun before.

    Raises:
        EncoderWorseError: worse than is allowed, and nobody forced it.
    """
    from cli.reembed_compare import compared, data
    from embed.encoders.spec import canonical
    from embed.generations import standing_generation
    from ingest.rebuild import building

    live = standing_generation(store.db)
    if live is None or canonical(encoder) == canonical(live.model):
        return None
    if building(store.db) is not None:
        if path is not None:
            context.note("the encoders are not compared again: this index was begun before; stop it with --drop first")
        return None
    if path is None:
        context.note("the encoders are not compared: name a labelled data set with --evaluate, or reembed_evaluation")
        return None
    found = compared(context, live.model, canonical(encoder), path)
    if not force:
        found.check(context.settings.reembed_margin)
    return data(found)


def _model(store: Store) -> str:
    """The encoder in use, which a change of language alone keeps."""
    from embed.generations import standing_generation

    live = standing_generation(store.db)
    return store.runtime.settings.encoder if live is None else live.model


def _begin(store: Store, encoder: str | None, language: str | None, *, judged: bool) -> int:
    from embed.encoders.spec import canonical
    from ingest.rebuild import begin, begin_back

    if encoder is None:
        return begin_back(store.db)
    model = canonical(encoder)
    return begin(store.db, store.runtime.stack.encoder_of(model), model, judged=judged, language=language)


def _build(context: Context, store: Store, rate: float | None, judge: _Judge | None) -> None:
    from ingest.rebuild import build

    limit = store.runtime.settings.reembed_rate if rate is None else rate
    build(store.runtime.pipeline, rate=limit, tell=_Teller(context), judge=judge)


class _Judge:
    """Measures the whole new index beside the live one, before the switch."""

    def __init__(self, context: Context, store: Store, path: Path, user: str, *, force: bool) -> None:
        self._context, self._store, self._path, self._user, self._force = context, store, path, user, force
        self.told: dict[str, Any] | None = None

    def __call__(self, number: int) -> None:
        """Compares, and refuses what finds worse.

        Raises:
            EncoderWorseError: worse than is allowed, and nobody forced it; the index stays as built.
        """
        from cli.reembed_compare import built, data

        found = built(self._context, self._store, self._path, self._user, number)
        self.told = data(found)
        if not self._force:
            found.check(self._context.settings.reembed_margin)


def _follow(context: Context, store: Store, number: int) -> None:
    """Until the server is done with it."""
    from ingest.rebuild import building, progress

    tell = _Teller(context)
    while building(store.db) == number:
        tell(progress(store.db, number))
        time.sleep(POLL_S)


def _drop(context: Context, store: Store, *, here: bool) -> None:
    from ingest.rebuild import drop_marked, mark_dropped

    dropped = mark_dropped(store.db)
    if here:
        drop_marked(store.runtime.pipeline)
    told = f"dropped {len(dropped)}" if here else f"`ambit serve` drops {len(dropped)}"
    context.emit({"dropped": dropped}, lambda out: out.print(told, markup=False))


def _report(context: Context, store: Store, number: int, measured: dict[str, Any] | None) -> None:
    """How it ended.

    Raises:
        NotFoundError: it was given up meanwhile.
    """
    from ingest.rebuild import live_number, progress

    if live_number(store.db) != number:
        raise NotFoundError(f"generation {number} did not go live; it was given up, or another one went live since")
    at = progress(store.db, number)
    data: dict[str, Any] = {"generation": number, "encoder": at.encoder, "chunks": at.total, "live": True}
    if measured is not None:
        data["evaluation"] = measured
    told = f"{at.total} chunks, live now with {at.encoder}; the former index is kept until `ambit reembed --drop`"
    context.emit(data, lambda out: out.print(told, markup=False))


class _Teller:
    """Says how far it is, every few seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told = time.monotonic()

    def __call__(self, at: Progress) -> None:
        """Says it, if it is time."""
        if time.monotonic() - self._told >= TELL_S:
            self._told = time.monotonic()
            self._context.note(f"generation {at.generation}, {at.encoder}: {at.done} of {at.total} chunks")
