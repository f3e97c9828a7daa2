"""An evaluation as one HTML file that needs nothing else: tables, and plots as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from evaluation.metrics import METRICS, Difference
from evaluation.results import Outcome

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1e21; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid #d9dce1; text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { display: block; margin: 1rem 0; max-width: 100%; }
svg text { font: 12px system-ui, sans-serif; fill: #1c1e21; }
.note { color: #5a6068; }
"""
_WIDTH, _ROW, _LEFT = 720, 26, 200
_COLOURS = ("#2f6fb0", "#9aa5b1", "#c98a2b", "#6b9a56")
_SIGNIFICANT = 0.05


def render(outcomes: Sequence[Outcome]) -> str:
    """The report of one outcome, the first, against the others."""
    first, *others = outcomes
    parts = [
        f"<h1>Retrieval on {escape(first.dataset)}</h1>",
        _about(first),
        "<h2>Figures</h2>",
        _figures(outcomes),
        '<p class="note">Means over the queries; in brackets the 95 % interval of a bootstrap over queries.</p>',
        *(_bars(metric, outcomes) for metric in METRICS),
    ]
    for other in others:
        parts += [f"<h2>{escape(first.name)} against {escape(other.name)}</h2>", *_comparison(first, other)]
    body = "\n".join(parts)
    title = f"Retrieval on {escape(first.dataset)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _about(outcome: Outcome) -> str:
    return _table(["", ""], [[str(name), str(value)] for name, value in sorted(outcome.about.items())])


def _figures(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for one in outcomes:
        means = one.means
        cells = [f"{means[m].mean:.4f} ({means[m].low:.3f}-{means[m].high:.3f})" for m in METRICS]
        rows.append([one.name, *cells, f"{one.took_ms[0]:.1f} / {one.took_ms[1]:.1f}"])
    return _table(["", *METRICS.values(), "ms, p50 / p95"], rows)


def _comparison(first: Outcome, other: Outcome) -> Iterable[str]:
    rows = [[METRICS[name], *_difference(found)] for name, found in first.against(other).items()]
    yield _table(["", "difference", "95 % interval", "p", "better on", "worse on"], rows)
    yield (
        '<p class="note">p: paired randomisation test, two-sided. Below '
        f"{_SIGNIFICANT} a difference is unlikely to be chance; * marks it.</p>"
    )
    yield _differences(first, other)


def _difference(found: Difference) -> list[str]:
    mark = " *" if found.p < _SIGNIFICANT else ""
    return [
        f"{found.mean:+.4f}",
        f"{found.low:+.4f} to {found.high:+.4f}",
        f"{found.p:.4f}{mark}",
        str(found.better),
        str(found.worse),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heading = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"


def _bars(metric: str, outcomes: Sequence[Outcome]) -> str:
    """One bar an outcome with its interval, from 0 to 1."""
    scale = _WIDTH - _LEFT - 70
    shapes = []
    for place, one in enumerate(outcomes):
        found, y = one.means[metric], place * _ROW + 30
        low, high = _LEFT + found.low * scale, _LEFT + found.high * scale
        shapes += [
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(one.name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{found.mean * scale:.1f}" height="18" fill="{_colour(place)}"/>',
            f'<path d="M{low:.1f} {y + 9}H{high:.1f}M{low:.1f} {y + 4}v10M{high:.1f} {y + 4}v10" stroke="#1c1e21"/>',
            f'<text x="{high + 8:.1f}" y="{y + 13}">{found.mean:.3f}</text>',
        ]
    return _svg(METRICS[metric], len(outcomes) * _ROW + 40, shapes)


def _differences(first: Outcome, other: Outcome) -> str:
    """nDCG@10 of each query, sorted by the difference: above the line the first is better."""
    metric = next(iter(METRICS))
    values = sorted(
        (first.scores[metric][query] - other.scores[metric][query] for query in first.scores[metric]), reverse=True
    )
    middle, half, width = 120, 90, (_WIDTH - 60) / max(len(values), 1)
    shapes = [f'<path d="M50 {middle}H{_WIDTH - 10}" stroke="#9aa5b1"/>']
    for place, value in enumerate(values):
        top = middle - value * half if value > 0 else middle
        shapes.append(
            f'<rect x="{50 + place * width:.2f}" y="{top:.2f}" width="{max(width - 0.3, 0.3):.2f}" '
            f'height="{abs(value) * half:.2f}" fill="{_colour(0 if value > 0 else 2)}"/>'
        )
    shapes += [f'<text x="8" y="{middle - half + 4}">+1</text>', f'<text x="8" y="{middle + half + 4}">-1</text>']
    return _svg(f"{METRICS[metric]}, query by query", 2 * middle, shapes)


def _svg(title: str, height: int, shapes: Iterable[str]) -> str:
    return (
        f'<svg role="img" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">'
        f'<title>{escape(title)}</title><text x="0" y="18">{escape(title)}</text>{"".join(shapes)}</svg>'
    )


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]
