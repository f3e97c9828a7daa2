"""Rules in Cedar: conditions written in both languages, and Cedar's own answer about a person and a place.

Cedar skips a `forbid` that errs, so each translation first says what must be there: a forbid forbids unless that
holds and its condition is false, a permit permits when that holds and its condition is true. `rank` is a number that
is there only for classifications of the list, `groups` only where they are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cedarpy

_REQUEST = {"principal": 'User::"u"', "action": 'Action::"read"', "resource": 'Document::"d"', "context": {}}


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
    Twin("'hr' in principal.groups", 'principal.groups.contains("hr")', "principal has groups"),
    Twin(
        "principal.id == 'ana' || document.department == 'law'",
        'principal.key == "ana" || resource.department == "law"',
        'principal.key == "ana" || resource has department',
    ),
    Twin(
        "principal.id == 'bob' || principal.department.startsWith('l')",
        'principal.key == "bob" || principal.department like "l*"',
        'principal.key == "bob" || principal has department',
    ),
    Twin(
        "principal.id == 'bob' && document.department == 'law'",
        'principal.key == "bob" && resource.department == "law"',
        'principal.key != "bob" || resource has department',
    ),
    Twin("principal.level * 2 > 3", "principal.level * 2 > 3", "principal has level"),
    Twin(
        "source.id == 'wiki' && !(document.classification == 'public')",
        'resource.source == "wiki" && !(resource.classification == "public")',
    ),
)
TWIN_OF = {twin.cel: twin for twin in TWINS}


@dataclass(frozen=True)
class Person:
    """Who asks: attributes that are there, and group keys; None: nobody knows them."""

    key: str
    attributes: Mapping[str, Any]
    groups: Sequence[str] | None


def permits(rules: Iterable[tuple[str, str]], person: Person, place: Mapping[str, str], ordered: Sequence[str]) -> bool:
    """Whether Cedar permits under rules, each an effect and a condition in CEL that has a twin.

    `place` holds the labels of the document and its source as `source`; `ordered` are the classifications.
    """
    written = "\n".join(_policy(effect, TWIN_OF[condition]) for effect, condition in rules)
    told = cedarpy.is_authorized(_REQUEST, written, _entities(person, place, ordered))
    assert not told.diagnostics.errors, (written, told.diagnostics.errors)
    return bool(told.allowed)


def _policy(effect: str, twin: Twin) -> str:
    if effect == "permit":
        return f"permit(principal, action, resource) when {{ ({twin.needs}) && ({twin.cedar}) }};"
    return f"forbid(principal, action, resource) unless {{ ({twin.needs}) && !({twin.cedar}) }};"


def _entities(person: Person, place: Mapping[str, str], ordered: Sequence[str]) -> list[dict[str, Any]]:
    document: dict[str, Any] = dict(place)
    asking: dict[str, Any] = {**person.attributes, "key": person.key}
    if person.groups is not None:
        asking["groups"] = list(person.groups)
    for held, name in ((document, place["classification"]), (asking, person.attributes.get("clearance", "internal"))):
        if name in ordered:
            held["rank"] = list(ordered).index(name)
    return [
        {"uid": {"type": "User", "id": "u"}, "attrs": asking, "parents": []},
        {"uid": {"type": "Document", "id": "d"}, "attrs": document, "parents": []},
    ]
