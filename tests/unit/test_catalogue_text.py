"""What the catalogue reads out of a text: personal data by check digits, likeness, language."""

from __future__ import annotations

import random

import pytest

from ingest.catalogue.personal import KINDS, personal_data
from ingest.catalogue.similar import ALIKE, bands, likeness, similarity
from ingest.model import Element
from ingest.parsing.language import language_of

VALID = {
    "card": "4111 1111 1111 1111",
    "email": "ana.b+x@mail.example.com",
    "iban": "DE89 3704 0044 0532 0130 00",
    "id_be": "85.07.30-033 28",
    "id_br": "390.533.447-05",
    "id_ch": "756.9217.0769.85",
    "id_de": "Steuer-ID 36 574 261 809",
    "id_dk": "CPR 211062-5629",
    "id_es": "54362315K",
    "id_fi": "131052-308T",
    "id_fr": "2 95 10 99 126 111 93",
    "id_it": "RCCMNL83S18D969H",
    "id_nl": "BSN 1112.22.333",
    "id_pl": "PESEL 44051401359",
    "id_pt": "NIF 501964843",
    "id_se": "880320-0016",
    "id_us": "536-90-4399",
    "phone": "+49 30 901820",
}


def test_every_kind_has_an_example() -> None:
    assert sorted(VALID) == list(KINDS)


@pytest.mark.parametrize("kind", sorted(VALID))
def test_a_valid_value_counts_as_its_kind_alone(kind: str) -> None:
    assert personal_data(f"It reads {VALID[kind]}, as agreed.") == {kind: 1}


@pytest.mark.parametrize("kind", sorted(set(VALID) - {"email", "phone", "id_dk", "id_us"}))
def test_a_wrong_check_digit_is_not_counted(kind: str) -> None:
    """Of the nine values that differ in the last digit, one at most may pass. Danish and US numbers have no check."""
    value = VALID[kind]
    at = max(place for place, letter in enumerate(value) if letter.isdigit())
    wrong = [value[:at] + digit + value[at + 1 :] for digit in "0123456789" if digit != value[at]]
    passed = [one for one in wrong if kind in personal_data(f"It reads {one}, as agreed.")]
    assert len(passed) <= 1


def test_the_same_value_counts_once_and_others_each() -> None:
    text = "a@example.com wrote to b@example.com, then a@example.com again"
    assert personal_data(text) == {"email": 2}


@pytest.mark.parametrize(
    "text",
    [
        "Version 1.2.3.4 of 2024-10-11 costs 1,234,567.00 in 123456789 parts",
        "Order 4111 1111 1111 1112 and DE89 3704 0044 0532 0130 01",
        "36 574 261 809 units and 44051401359 rows",
        "me@localhost and @handle and a@b",
        "",
    ],
)
def test_numbers_that_are_nothing_personal(text: str) -> None:
    assert personal_data(text) == {}


@pytest.mark.parametrize("evil", ["a." * 50_000 + "@", "1 " * 50_000, "+1" * 50_000, "tel " * 30_000, "3" * 100_000])
def test_no_text_makes_the_search_explode(evil: str) -> None:
    assert set(personal_data(evil)) <= {"phone"}


def _words(seed: int, count: int = 800) -> list[str]:
    source = random.Random(seed)
    return [f"w{source.randrange(3000)}" for _ in range(count)]


def test_layout_and_case_do_not_matter() -> None:
    words = _words(1)
    assert likeness(" ".join(words)) == likeness("\n\n".join(words).upper())


def test_bands_find_what_is_nearly_alike_and_not_what_differs() -> None:
    words, other = _words(1), _words(2)
    edited = [*words[:400], "new", "sentence", *words[400:]]
    one, two, three = (likeness(" ".join(each)).signature for each in (words, edited, other))
    assert one is not None
    assert two is not None
    assert three is not None
    assert set(bands(one)) & set(bands(two))
    assert similarity(one, two) >= ALIKE
    assert not set(bands(one)) & set(bands(three))
    assert similarity(one, three) < 0.1


def test_a_signature_stays_what_it_is() -> None:
    """It is stored: a library that computes another needs `ambit catalog refresh`, and a note in the changelog."""
    signature = likeness(" ".join(f"word{number}" for number in range(50))).signature
    assert signature is not None
    assert len(signature) == 512
    assert signature[:8].hex() == "c1286fb141676f23"


def test_short_texts_are_compared_whole() -> None:
    assert likeness("Too short to say").signature is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A night in a hotel in Berlin may cost at most 140 euro, and breakfast is paid too.", "en"),
        ("Eine Nacht im Hotel darf höchstens 140 Euro kosten, und das Frühstück wird bezahlt.", "de"),
        ("Une nuit à l'hôtel peut coûter 140 euros au plus, et le petit déjeuner est payé.", "fr"),
        ("ok", None),
        ("12 33 44 EUR", None),
    ],
)
def test_language(text: str, language: str | None) -> None:
    assert language_of([Element("text", text)]) == language


def test_code_and_tables_say_nothing_of_the_language() -> None:
    assert language_of([Element("code", "for the man in the house who was there and then left it all")]) is None
