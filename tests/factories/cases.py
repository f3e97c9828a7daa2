"""The policy cases: small worlds in YAML, each holding one sentence of the design."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.factories.world import World, parse

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "cases" / "policies"
GUIDE = ROOT / "docs" / "access.md"
_FENCED = re.compile(r"^```yaml case\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Check:
    """One question and its answer; `reason` is as in `policies.decide.Verdict`, where the case states one.

    `reported`: keys (`r0` is the first) of the report-only rules that would turn the answer round.
    """

    user: str
    document: str
    allowed: bool
    app: str | None = None
    reason: str | None = None
    reported: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Case:
    """A world and what holds in it. `design` is the sentence it fixes, `reading` how that sentence is taken."""

    name: str
    design: str
    world: World
    checks: tuple[Check, ...]
    reading: str | None = None


def load_cases() -> list[Case]:
    """Every case in the folder and every example in the guide, by file and order."""
    bodies = [one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load(path.read_text())]
    return [_case(one) for one in (*bodies, *guide_examples())]


def guide_examples() -> list[Mapping[str, Any]]:
    """The examples fenced as `yaml case` in docs/access.md."""
    return [yaml.safe_load(one) for one in _FENCED.findall(GUIDE.read_text())]


def _check(body: Mapping[str, Any]) -> Check:
    reported = body.get("reported")
    return Check(**{**body, "reported": None if reported is None else tuple(reported)})


def _case(body: Mapping[str, Any]) -> Case:
    unknown = set(body) - {"name", "design", "reading", "world", "checks"}
    if unknown or not body["checks"]:
        raise ValueError(f"case {body.get('name')!r}: no checks, or an unknown key in {sorted(unknown)}")
    return Case(
        name=body["name"],
        design=body["design"],
        reading=body.get("reading"),
        world=parse(body["world"]),
        checks=tuple(_check(one) for one in body["checks"]),
    )
