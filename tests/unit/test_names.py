"""Names are struck wherever they stand, whole and in any case, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from core.names import Names, form, load_names, spoken
from core.tables import Base
from core.traces import CONTENT, SEALED_VALUES, WRITTEN

ANA = Names(
    "erased-1",
    (
        form("ana", "erased-1", before="user:"),
        form("ana", "erased-1", before=r"token:[^:\s]+:"),
        form("ana@example.com", "erased-1-1@erased.invalid"),
        form("Ana Lima", "erased-1"),
    ),
    frozenset({"ana"}),
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("user:ana", "user:erased-1"),
        ("said by user:ana.", "said by user:erased-1."),
        ("(user:ana, user:anabel)", "(user:erased-1, user:anabel)"),
        ("user:ana-maria and user:ana.b", "user:ana-maria and user:ana.b"),
        ("token:desk:ana", "token:desk:erased-1"),
        ("Write to Ana@Example.com!", "Write to erased-1-1@erased.invalid!"),
        ("ana@example.com.au, diana@example.com", "ana@example.com.au, diana@example.com"),
        ("ANA LIMA left; Ana Limassol stayed", "erased-1 left; Ana Limassol stayed"),
        ("group:ana", "group:ana"),
        ("o'ana@example.com", "o'ana@example.com"),
        ("user:ana--b and user:ana..b", "user:ana--b and user:ana..b"),
        ("ana", "ana"),
    ],
)
def test_a_text_loses_exactly_the_name(text: str, left: str) -> None:
    assert ANA.text(text) == left


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"user": "ana", "group": "ana"}, {"user": "erased-1", "group": "ana"}),
        ({"members": ["user:ana", "user:bob"]}, {"members": ["user:erased-1", "user:bob"]}),
        ({"people": ["ana", "bob"], "count": 2}, {"people": ["erased-1", "bob"], "count": 2}),
        ({"User/ana": {"a": 1}}, {"User/ana": {"a": 1}}),
        ({"gain": {"ana": ["doc_1"]}}, {"gain": {"erased-1": ["doc_1"]}}),
        ({"id": "ana", "email": "x@y.org", "attributes": {"room": 3}}, {"erased": "erased-1"}),
        ({"id": "ana", "what": 1}, {"id": "erased-1", "what": 1}),
        (
            {"group": "ana", "before": None, "after": {"id": "ana"}},
            {"group": "ana", "before": None, "after": {"id": "ana"}},
        ),
        ({"kind": "Group", "id": "ana"}, {"kind": "Group", "id": "ana"}),
        ({"kind": "user", "key": "ana"}, {"kind": "user", "key": "erased-1"}),
        (
            {"operation": "group.put", "after": {"id": "ana", "by": "ana"}},
            {"operation": "group.put", "after": {"id": "ana", "by": "erased-1"}},
        ),
        (
            {"user": "ana", "before": {"givenName": "Ana"}, "after": None},
            {"user": "erased-1", "before": {"erased": "erased-1"}, "after": None},
        ),
        ([1, None, True, 2.5], [1, None, True, 2.5]),
        ({"user": ["ana", {"user": {}}], "kind": []}, {"user": ["erased-1", {"user": {}}], "kind": []}),
    ],
)
def test_json_loses_it_too(value: Any, left: Any) -> None:
    assert ANA.strike(value) == left
    assert ANA.strike(left) == left, "what was struck names nobody"


def test_who_is_called_like_a_field_takes_no_field() -> None:
    admin = Names("erased-1", (), frozenset({"admin", "user", "after"}))
    value = {"user": "admin", "after": {"origin": "admin", "admin": {"active": True}}, "by": "admin"}
    assert admin.strike(value) == {"user": "erased-1", "after": {"erased": "erased-1"}, "by": "erased-1"}
    state = {"group": "staff", "after": {"origin": "admin", "admin": {"active": True}}}
    assert admin.strike(state) == state


def test_names_are_kept_as_text() -> None:
    import json

    assert load_names(json.loads(ANA.dumps())) == ANA


def test_probes_are_part_of_whatever_the_forms_fit() -> None:
    for one in ANA.forms:
        assert one.probe in {"ana", "ana@example.com", "ana lima"}
    odd = form("Zoë\\Müller & Söhne", "x")
    assert odd.probe in "zoë\\müller & söhne"
    assert odd.probe.isascii()


def test_what_is_spoken_is_no_single_word() -> None:
    assert spoken(["Ana", "Ana Lima", "a@b.c", "engineer", None, "x y"]) == ["Ana Lima", "a@b.c"]


def test_every_column_that_is_left_alone_exists() -> None:
    known = {f"{table.name}.{column.name}" for table in Base.metadata.sorted_tables for column in table.c}
    assert (CONTENT | WRITTEN | SEALED_VALUES) - known == set()
