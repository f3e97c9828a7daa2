"""A file's name is embedded with its text where it says what the title does not."""

from __future__ import annotations

import pytest

from ingest.model import Element, Parsed
from ingest.splitting import split
from ingest.splitting.naming import told
from tests.factories.tokenizer import minilm_tokenizer


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("QUILLON_2021_10K.pdf", "Annual report", "QUILLON 2021 10K: Annual report"),
        ("leave-policy.md", "Leave policy", "Leave policy"),
        ("annualReport.docx", "", "annual Report"),
        ("2026-q3-results.pdf", "Results for Q3 2026", "Results for Q3 2026"),
        ("9f86d081884c7d65.pdf", "Annual report", "Annual report"),
        ("report-20210925.pdf", "Annual report", "Annual report"),
        ("12.pdf", "Annual report", "Annual report"),
        ("a-name-that-is-a-whole-sentence-of-more-than-eight.pdf", "Report", "Report"),
        ("Übersicht_Werk_2.xlsx", "Zahlen", "Übersicht Werk 2: Zahlen"),
        ("", "Report", "Report"),
    ],
)
def test_the_name_goes_before_a_title_that_does_not_say_it(name: str, title: str, expected: str) -> None:
    assert told(name, title) == expected


def test_each_chunk_is_embedded_with_the_name() -> None:
    elements = (Element("heading", "Results", level=1), Element("text", "Sales rose. " * 80))
    parsed = Parsed("Annual report", elements, "application/pdf")
    chunks = split(parsed, minilm_tokenizer(), name="QUILLON_2021_10K.pdf")
    assert len(chunks) > 1
    assert {one.context for one in chunks} == {"QUILLON 2021 10K: Annual report > Results"}
