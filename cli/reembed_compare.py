"""What `ambit reembed` shows before it switches: how the new encoder does beside the one in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from cli.context import Context
    from cli.store import Store
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


def built(context: Context, store: Store, path: Path, user: str, new: int) -> Comparison:
    """Asks both indexes of this installation, as a person, what the data set at `path` asks of its documents."""
    from cli.asking import act_as
    from evaluation.datasets import load_questions
    from evaluation.generations import GenerationComparer
    from ingest.rebuild import live_number
    from policies.subject import Caller

    dataset, live = load_questions(path), live_number(store.db)
    assert live is not None
    caller = Caller(store.tenant, act_as(store.runtime, store.tenant, user, "evaluation"))
    context.note(f"measuring both indexes on {dataset.name} as {caller.user}: {len(dataset.queries)} questions")
    runtime = store.runtime
    comparer = GenerationComparer(runtime.settings, runtime.db, runtime.stack, runtime.audit, caller)
    found = comparer.compare(dataset, live, new)
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
