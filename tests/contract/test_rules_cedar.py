"""Rules against Cedar: the same conditions, written in its language, decide alike for every person and label.

Cedar skips a `forbid` that errs, so each translation first says what must be there: a forbid forbids unless that
holds and its condition is false, a permit permits when that holds and its condition is true. `rank` is a number that
is there only for classifications of the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import cedarpy
import pytest

from core.db import Database, now
from policies import directory, rules, subject
from policies.rules import Asking, Rule, Signature

LIST = ("public", "internal", "confidential")
REQUEST = {"principal": 'User::"ana"', "action": 'Action::"read"', "resource": 'Document::"d"', "context": {}}


@dataclass(frozen=True)
class Twin:
    """A condition in CEL and in Cedar; `needs`: what Cedar must find for the condition not to err."""

    cel: str
    cedar: str
    needs: str = "true"


TWINS = (
    Twin(
        "rank(document.classification) > rank(principal.clearance)",
        "resource.rank > principal.rank",
        "resource has rank && principal has rank",
    ),
    Twin(
        "document.department == principal.department",
        "resource.department == principal.department",
        "resource has department && principal has department",
    ),
    Twin(
        "has(document.department) && document.department != 'law'",
        'resource has department && resource.department != "law"',
    ),
    Twin("'hr' in principal.groups", 'principal.groups.contains("hr")'),
    Twin("principal.id == 'ana' || document.department == 'law'", "true"),
    Twin(
        "principal.id == 'bob' || principal.department.startsWith('l')",
        'principal.department like "l*"',
        "principal has department",
    ),
    Twin("principal.id == 'bob' && document.department == 'law'", "false"),
    Twin(
        "principal.level * 2 > 3",
        "principal.level * 2 > 3",
        "principal has level",
    ),
    Twin("source.id == 'wiki' && !(document.classification == 'public')",
         'resource.source == "wiki" && !(resource.classification == "public")'),
)  # fmt: skip


def _cedar(effect: str, twin: Twin) -> str:
    if effect == "permit":
        return f"permit(principal, action, resource) when {{ ({twin.needs}) && ({twin.cedar}) }};"
    return f"forbid(principal, action, resource) unless {{ ({twin.needs}) && !({twin.cedar}) }};"


def _entities(attributes: Mapping[str, Any], groups: list[str], place: Signature) -> list[dict[str, Any]]:
    labels = dict(place.labels)
    document: dict[str, Any] = {**labels, "source": place.source}
    person: dict[str, Any] = {"groups": groups, **attributes}
    for held, name in ((document, labels["classification"]), (person, attributes.get("clearance", "internal"))):
        if name in LIST:
            held["rank"] = LIST.index(name)
    return [
        {"uid": {"type": "User", "id": "ana"}, "attrs": person, "parents": []},
        {"uid": {"type": "Document", "id": "d"}, "attrs": document, "parents": []},
    ]


def _people() -> Iterator[dict[str, Any]]:
    for clearance, department, level in product((None, "public", "confidential", "odd"), (None, "law"), (None, 1, 2)):
        given = {"clearance": clearance, "department": department, "level": level}
        yield {name: value for name, value in given.items() if value is not None}


def _places() -> list[Signature]:
    return [
        Signature(tuple(sorted({"classification": c, **({"department": d} if d else {})}.items())), source, "push")
        for c, d, source in product(("public", "confidential", "odd"), (None, "law", "hr"), ("wiki", "drive"))
    ]


def _allows(asking: Asking, chosen: tuple[Rule, ...], place: Signature) -> bool:
    ruling = asking.ruling(chosen, place)
    return bool(ruling.counting("permit")) and not ruling.counting("forbid")


@pytest.mark.parametrize("seed", range(6))
def test_cedar_decides_alike(sqlite_db: Database, seed: int) -> None:
    rng = Random(seed)
    answers: set[bool] = set()
    with sqlite_db.write() as session:
        tenant = directory.put_tenant(session, "t").id
        for attributes in _people():
            groups = rng.choice([[], ["hr"]])
            directory.put_user(session, tenant, "ana", attributes=attributes)
            for group in groups:
                directory.put_group(session, tenant, group)
            directory.set_containers(session, tenant, "user:ana", groups)
            who = subject.resolve_subject(session, subject.Caller(tenant, "ana"))
            picked = [(rng.choice(["permit", "permit", "forbid"]), twin) for twin in rng.sample(TWINS, 3)]
            chosen = tuple(rules.Rule(at, f"r{at}", effect, twin.cel) for at, (effect, twin) in enumerate(picked))
            written = "\n".join(_cedar(effect, twin) for effect, twin in picked)
            asking = Asking(session, who, now(session), LIST)
            for place in _places():
                told = cedarpy.is_authorized(REQUEST, written, _entities(attributes, groups, place))
                assert not told.diagnostics.errors
                assert _allows(asking, chosen, place) == told.allowed, (written, attributes, place)
                answers.add(told.allowed)
    assert answers == {True, False}
