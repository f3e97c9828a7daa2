"""What `ambit reembed` shows before it begins: how the new encoder does beside the one in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from cli.context import Context
    from evaluation.comparing import Comparison

_SHOWN = ("ndcg10", "recall10", "recall100")


def compared(context: Context, old: str, new: str, path: Path) -> Comparison:
    """Measures both on the data set at `path`; on a terminal the figures are shown at once."""
    from evaluation.comparing import compare_encoders
    from evaluation.datasets import load

    dataset = load(path)
    context.note(f"measuring {old} and {new} on {dataset.name}: {len(dataset.corpus)} documents, twice ingested")
    found = compare_encoders(dataset, context.settings, old, new)
    if not context.json:
        show(context.out, found)
    return found


def data(found: Comparison) -> dict[str, Any]:
    """For scripts."""
    return {
        "dataset": found.new.dataset,
        "queries": len(found.new.scores[_SHOWN[0]]),
        **{
            side: {name: asdict(mean) for name, mean in outcome.means.items()}
            for side, outcome in (("old", found.old), ("new", found.new))
        },
        "differences": {name: asdict(one) for name, one in found.differences.items()},
    }


def show(out: Console, found: Comparison) -> None:
    """Means with their intervals, then the differences with theirs and how likely chance alone makes them."""
    from rich.table import Table

    from evaluation.metrics import METRICS

    table = Table("", *(METRICS[name] for name in _SHOWN), title=found.new.dataset)
    for outcome in (found.old, found.new):
        means = [outcome.means[name] for name in _SHOWN]
        table.add_row(outcome.name, *(f"{one.mean:.4f} ({one.low:.3f}-{one.high:.3f})" for one in means))
    changes = [found.differences[name] for name in _SHOWN]
    table.add_row(
        "difference", *(f"{one.mean:+.4f} ({one.low:+.3f} to {one.high:+.3f}), p {one.p:.3f}" for one in changes)
    )
    out.print(table)
