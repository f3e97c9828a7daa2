"""Rules asked without a place, and about the labels they read alone: what is said is what the engine says of each."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import product
from random import Random
from typing import Any

import cel
import pytest
from sqlalchemy.orm import Session

from policies import rules
from policies.rules import Asking, Outcome, Rule, Signature
from policies.rules_compiled import compiled, ranked
from policies.subject import Subject

LIST = ("public", "internal", "secret")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANA = Subject(
    tenant=1,
    user=1,
    name="ana",
    principals=frozenset(),
    attributes={"clearance": "internal", "team": "law", "level": 2},
)
PLACES = [
    Signature(tuple(sorted({"classification": c, **({"team": t} if t else {})}.items())), source, "push")
    for c, t, source in product(("public", "secret", "odd"), (None, "law", "hr"), ("wiki", "drive"))
]
ATOMS = (
    "true", "false", "principal.team == 'law'", "principal.team == 'hr'", "principal.nothing == 1", "1 / 0 == 1",
    "'text'", "has(principal.team)", "has(document.team)", "document.team == 'law'", "document.team == principal.team",
    "rank(document.classification) > rank(principal.clearance)", "document['team'] == 'hr'", "'team' in document",
    "source.id == 'wiki'", "has(document.gone)", "document == document", "size(document) > 1", "document.team",
    "[1, 2].exists(x, x == principal.level || document.team == 'hr')", "[].all(x, document.team == 'x')",
    "[document.classification].exists(x, x == 'secret')", "[1].exists(document, document == 1)",
)  # fmt: skip


def _condition(rng: Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(ATOMS)
    shape = rng.choice(("({} && {})", "({} || {})", "!({})", "({} ? {} : {})"))
    return shape.format(*(_condition(rng, depth - 1) for _ in range(shape.count("{}"))))


def _asking() -> Asking:
    return Asking(Session(), ANA, AT, LIST)


def _by_itself(condition: str, place: Signature) -> Outcome:
    """The outcome in a context that is built for this one question."""
    source = {"id": place.source, "connector": place.connector}
    variables = {**rules._variables(ANA, AT, LIST), "document": dict(place.labels), "source": source}
    try:
        value = cel.compile(ranked(condition)).execute(cel.Context(variables))
    except Exception:  # noqa: BLE001 - whatever the engine raises is an error of the rule
        return "errs"
    return "errs" if not isinstance(value, bool) else "holds" if value else "not"


@pytest.mark.parametrize("seed", range(4))
def test_a_rule_says_what_it_says_when_it_is_asked_about_one_place_alone(seed: int) -> None:
    rng = Random(seed)
    settled: Counter[Outcome | None] = Counter()
    for _ in range(250):
        rule = Rule(1, "r", rng.choice(("permit", "forbid")), _condition(rng, 3))
        asking, counts = _asking(), _asking().counting([rule])
        for place in PLACES:
            told = _by_itself(rule.condition, place)
            assert asking.outcome(rule, place) == told, (rule.condition, place)
            counted = told == "holds" or (told == "errs" and rule.effect == "forbid")
            assert counts(place) is counted, (rule.condition, place)
        settled[asking._asked[rule.condition].everywhere] += 1
    assert settled.keys() == {"holds", "not", None}
    assert min(settled.values()) > 10


def test_what_the_person_alone_decides_is_asked_of_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Signature] = []
    placed = Asking._placed

    def placing(asking: Asking, place: Signature) -> Any:
        asked.append(place)
        return placed(asking, place)

    monkeypatch.setattr(Asking, "_placed", placing)
    theirs = Rule(1, "a", "forbid", "has(document.team) && document.team == 'x' && principal.team != 'law'")
    label = Rule(2, "b", "forbid", "document.classification == 'secret'")
    counts = _asking().counting([theirs])
    assert not any(counts(place) for place in PLACES)
    assert not asked
    counts = _asking().counting([theirs, label])
    assert [counts(place) for place in PLACES] == [("classification", "secret") in place.labels for place in PLACES]
    assert len(asked) == 3  # once a classification, whatever else the places have


@pytest.mark.parametrize(
    ("condition", "read"),
    [
        ("document.a == 'x' && has(document.b)", {"a", "b"}),
        ("principal.a == 'x'", set()),
        ("document['a'] == 'x'", None),
        ("document.a == source.id", None),
        ("document == {}", None),
        ("document.size() == 1", None),
        ("[document].exists(x, x.a == 'b')", None),
        ("document", None),
    ],
)
def test_the_labels_that_a_condition_reads(condition: str, read: set[str] | None) -> None:
    assert compiled(condition).labels_read == read
