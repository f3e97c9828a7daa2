"""Rules against Cedar: the same conditions, written in its language, decide alike for every person and label."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest

from core.db import Database, now
from policies import directory, rules, subject
from policies.rules import Asking, Rule, Signature
from tests.factories import cedar

LIST = ("public", "internal", "confidential")


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


@pytest.mark.parametrize("key", ["ana", "bob"])
@pytest.mark.parametrize("seed", range(3))
def test_cedar_decides_alike(sqlite_db: Database, seed: int, key: str) -> None:
    rng = Random(seed)
    answers: set[bool] = set()
    with sqlite_db.write() as session:
        tenant = directory.put_tenant(session, "t").id
        for attributes in _people():
            groups = rng.choice([[], ["hr"]])
            directory.put_user(session, tenant, key, attributes=attributes)
            for group in groups:
                directory.put_group(session, tenant, group)
            directory.set_containers(session, tenant, f"user:{key}", groups)
            who = subject.resolve_subject(session, subject.Caller(tenant, key))
            picked = [(rng.choice(["permit", "permit", "forbid"]), one.cel) for one in rng.sample(cedar.TWINS, 3)]
            chosen = tuple(rules.Rule(at, f"r{at}", effect, cel) for at, (effect, cel) in enumerate(picked))
            asking = Asking(session, who, now(session), LIST)
            person = cedar.Person(key, attributes, groups)
            for place in _places():
                told = cedar.permits(picked, person, {**dict(place.labels), "source": place.source}, LIST)
                assert _allows(asking, chosen, place) == told, (picked, attributes, place)
                answers.add(told)
    assert answers == {True, False}
