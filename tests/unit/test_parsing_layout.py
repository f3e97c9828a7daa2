"""Lines of pages to headings and tables: what a page's fonts and its figures say."""

from __future__ import annotations

from ingest.model import Element, Parsed
from ingest.parsing.draft import Draft
from ingest.parsing.layout import Line, fill_pages
from ingest.parsing.limits import Limits
from ingest.splitting import split
from tests.factories.tokenizer import minilm_tokenizer

PROSE = "The company sells cork flooring to builders and to homes, and this line is as long as a page is wide."
STATEMENT = (
    "(In thousands)",
    "26 Weeks Ended",
    "July 29, July 30,",
    "2023 2022",
    "Operating activities",
    "Net income $ 647,153 $ 627,072",
    "Adjustments to reconcile net income to net cash provided by operating activities:",
    "Depreciation 119,862 123,721",
    "Other, net (3) % (4) %",
)


def elements(*pages: list[Line]) -> list[Element]:
    draft = Draft("a.pdf", Limits())
    fill_pages(draft, list(pages))
    return draft.elements


def plain(*texts: str) -> list[Line]:
    return [Line(text, 10.0) for text in texts]


def tables(found: list[Element]) -> list[tuple[str | None, str]]:
    return [(one.header, one.text) for one in found if one.kind == "table"]


def test_the_lines_above_a_table_are_its_heads_and_its_labels_stay_in_it() -> None:
    found = elements(plain(PROSE, *STATEMENT, PROSE))
    assert [one.kind for one in found] == ["text", "table", "text"]
    assert tables(found) == [
        ("(In thousands) 26 Weeks Ended July 29, July 30, 2023 2022", "\n".join(STATEMENT[4:])),
    ]


def test_every_chunk_of_a_long_table_says_what_its_figures_are() -> None:
    rows = [f"Expense number {number} $ {number},153 $ {number},072" for number in range(60)]
    found = elements(plain(*STATEMENT[:4], *rows))
    chunks = split(Parsed("Statement", tuple(found), "application/pdf"), minilm_tokenizer(), max_tokens=100)
    assert len(chunks) > 5
    assert all(one.text.startswith("(In thousands) 26 Weeks Ended July 29, July 30, 2023 2022\n") for one in chunks)
    assert [line for one in chunks for line in one.text.split("\n")[1:]] == rows


def test_a_second_row_of_years_begins_another_table() -> None:
    found = elements(plain("2023 2022", "Rent 1,100 1,050", "Buildings", "2021 2020", "Land 70 60", "Halls 8 9"))
    assert tables(found) == [("2023 2022", "Rent 1,100 1,050"), ("Buildings 2021 2020", "Land 70 60\nHalls 8 9")]


def test_a_table_that_goes_on_has_the_heads_of_its_beginning_until_a_heading_or_other_columns_come() -> None:
    first = plain(PROSE, "2023 2022", "Rent 1,100 1,050")
    found = elements(first, plain("Light 12 14", PROSE, "Heat 9 8", PROSE, "Staff 1 2 3"))
    assert [header for header, _ in tables(found)] == ["2023 2022", "2023 2022", "2023 2022", None]
    found = elements(first, [Line("Staff", 16.0, bold=True), *plain("Full time 12 14", PROSE)])
    assert [header for header, _ in tables(found)] == ["2023 2022", None]


def test_column_heads_set_in_bold_over_one_another_are_no_headings() -> None:
    heads = [Line(text, 10.0, bold=True) for text in ("Adjusted", "Cost", "Unrealized", "Gains", "Fair", "Value")]
    title = Line("Marketable Securities", 10.0, bold=True)
    found = elements([title, *plain(PROSE, PROSE), *heads, *plain("Funds 175 11 185", "Bonds 8 2 10", PROSE)])
    assert [(one.kind, one.header) for one in found] == [
        ("heading", None),
        ("text", None),
        ("table", "Adjusted Cost Unrealized Gains Fair Value"),
        ("text", None),
    ]


def test_a_heading_above_a_table_stays_one_and_a_label_below_the_period_is_none() -> None:
    bold = [Line(text, 10.0, bold=True) for text in ("BALANCE SHEETS", "September 25, 2021", "ASSETS")]
    found = elements([*bold, *plain("Cash $ 34,940 $ 38,016", "Stock 6,580 4,061", PROSE, PROSE)])
    assert [(one.kind, one.text) for one in found if one.kind == "heading"] == [("heading", "BALANCE SHEETS")]
    assert tables(found) == [("September 25, 2021", "ASSETS\nCash $ 34,940 $ 38,016\nStock 6,580 4,061")]


def test_an_address_before_a_sentence_is_no_head() -> None:
    found = elements(plain("Quillon Ltd", "5 Mill Lane.", "Pumps 12 14", "Seals 9 8", PROSE))
    assert tables(found) == [(None, "Pumps 12 14\nSeals 9 8")]


def test_numbered_bold_lines_are_headings_by_their_depth() -> None:
    numbered = [
        Line("14. Reportable Segments", 10.0, bold=True),
        *plain(PROSE),
        Line("14.2 Other Segments", 10.0, bold=True),
        *plain(PROSE),
        Line("12 weeks ended", 10.0, bold=True),
        *plain(PROSE),
    ]
    found = [(one.text, one.level) for one in elements(numbered) if one.kind == "heading"]
    assert found == [("14. Reportable Segments", 2), ("14.2 Other Segments", 3)]


def test_a_page_in_small_print_has_its_headings_too() -> None:
    small = [Line("Statements of Income", 7.0, bold=True), Line("Net income $ 1,100 $ 1,050", 7.0), Line(PROSE, 7.0)]
    found = elements(plain(PROSE, PROSE, PROSE), small)
    assert [one.text for one in found if one.kind == "heading"] == ["Statements of Income"]
    assert [one.level for one in found if one.kind == "heading"] == [3]
