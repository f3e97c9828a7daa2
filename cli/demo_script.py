"""What the demo asks, what must come out, and whether an answer holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Expected:
    """What one person's answer must rest on. `document` None: nothing readable may be found."""

    document: str | None
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """A right that is taken away. Then `user` must get what `then` says, and never `hides`."""

    user: str
    group: str
    question: int
    hides: str
    then: Expected


@dataclass(frozen=True, slots=True)
class Script:
    """Questions, each with what every person must get."""

    people: tuple[str, ...]
    questions: tuple[tuple[str, Mapping[str, Expected]], ...]
    revoke: Revoke


@dataclass(frozen=True, slots=True)
class Told:
    """An answer with the documents it rests on, by their path in the source."""

    answer: dict[str, Any]
    cited: tuple[tuple[str, str], ...]
    """Path and text of each cited passage."""
    read: frozenset[str] = field(default_factory=frozenset)
    """Paths of everything retrieved."""


def read_script(path: Path) -> Script:
    """The script in a YAML file."""
    body = yaml.safe_load(path.read_text("utf-8"))
    questions = tuple((one["text"], {who: _expected(one, who) for who in body["people"]}) for one in body["questions"])
    taken = body["revoke"]
    other = next(who for who in body["people"] if _differs(questions[taken["question"]][1], who, taken))
    then = questions[taken["question"]][1][other]
    revoke = Revoke(taken["user"], taken["group"], taken["question"], taken["hides"], then)
    return Script(tuple(body["people"]), questions, revoke)


def _expected(question: Mapping[str, Any], who: str) -> Expected:
    return Expected(question["expect"][who], question.get("contains", {}).get(who))


def _differs(expected: Mapping[str, Expected], who: str, taken: Mapping[str, Any]) -> bool:
    """Whether this is the person whose answer the other one gets afterwards."""
    return who != taken["user"] and expected[who].document not in (None, taken["hides"])


def faults(told: Told, expected: Expected) -> list[str]:
    """What of an answer is not as expected; empty where all holds."""
    if expected.document is None:
        return ["something was found"] if told.cited or told.read else []
    texts = [text for path, text in told.cited if path == expected.document]
    if not texts:
        return [f"{expected.document} is not cited"]
    if expected.contains and not any(_flat(expected.contains) in _flat(text) for text in texts):
        return [f"no cited passage of {expected.document} says {expected.contains!r}"]
    return []


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
