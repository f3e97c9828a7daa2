"""`ambit eval`: how well retrieval finds what a labelled data set says it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import Context, command
from cli.store import log_little

if TYPE_CHECKING:
    from rich.console import Console

    from evaluation.datasets import Dataset
    from evaluation.results import Outcome

PATH = Annotated[Path, typer.Argument(help="Folder with corpus.jsonl, queries.jsonl and qrels.tsv (the BEIR layout).")]
BASELINE = Annotated[
    list[str] | None,
    typer.Option("--baseline", help="What to compare with: dense, bm25, or a file that --save wrote.", metavar="NAME"),
]
REPORT = Annotated[Path | None, typer.Option("--report", help="Write a report with plots to this HTML file.")]
SAVE = Annotated[Path | None, typer.Option("--save", help="Write the outcome, to be a baseline later.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Measure retrieval on labelled data.", no_args_is_help=True)
    command(group, "retrieval")(retrieval)
    app.add_typer(group, name="eval")


def retrieval(
    context: Context, path: PATH, baseline: BASELINE = None, report: REPORT = None, save: SAVE = None
) -> None:
    """Ingest a labelled data set into a temporary installation and measure what a reader finds there."""
    from evaluation.datasets import load
    from evaluation.report import render

    log_little(context.settings)
    dataset = load(path)
    outcomes = _outcomes(context, dataset, baseline or [])
    if save is not None:
        outcomes[0].save(save)
    if report is not None:
        report.write_text(render(outcomes), encoding="utf-8")
    context.emit(_data(outcomes), lambda out: _show(out, outcomes))


def _outcomes(context: Context, dataset: Dataset, baselines: Sequence[str]) -> list[Outcome]:
    """Those of the settings in force first, then each baseline's; a saved one is named by its file."""
    from evaluation.results import load_outcome
    from evaluation.service import evaluate
    from evaluation.systems import SYSTEMS

    saved = {one: replace(load_outcome(Path(one)), name=Path(one).stem) for one in baselines if one not in SYSTEMS}
    live = ["default", *(one for one in baselines if one in SYSTEMS and one != "default")]
    context.note(f"ingesting {len(dataset.corpus)} documents into a temporary installation")
    found = {one.name: one for one in evaluate(dataset, context.settings, live)}
    return [found["default"], *(saved.get(one) or found[one] for one in dict.fromkeys(baselines) if one != "default")]


def _data(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    first, *others = outcomes
    return {
        "dataset": first.dataset,
        "about": dict(first.about),
        "outcomes": [
            {"name": one.name, "metrics": {name: asdict(mean) for name, mean in one.means.items()}} for one in outcomes
        ],
        "differences": [
            {"baseline": one.name, "metrics": {name: asdict(d) for name, d in first.against(one).items()}}
            for one in others
        ],
    }


def _show(out: Console, outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table

    from evaluation.metrics import METRICS

    first, *others = outcomes
    table = Table("", *METRICS.values(), title=f"{first.dataset}: {len(first.scores['ndcg10'])} queries")
    for one in outcomes:
        table.add_row(one.name, *(f"{m.mean:.4f} ({m.low:.3f}-{m.high:.3f})" for m in one.means.values()))
    out.print(table)
    for one in others:
        for name, found in first.against(one).items():
            told = f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p = {found.p:.4f}"
            out.print(f"{METRICS[name]} against {one.name}: {told}", markup=False)
