"""Each format's structure: headings, lists, tables with their header, pages, what a reader does not see."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.model import Content, Element, EmptyError, Parsed
from ingest.parsing import Limits, parse, parsed_from_elements
from ingest.parsing.crossing import join_across_pages
from ingest.splitting import split
from tests.factories import files
from tests.factories.tokenizer import minilm_tokenizer


def parsed(name: str, body: bytes | str) -> Parsed:
    data = body.encode() if isinstance(body, str) else body
    return parse(Content(name=name, body=data), Limits())


def shapes(document: Parsed) -> list[tuple[str, str]]:
    return [(element.kind, element.text) for element in document.elements]


def words(document: Parsed) -> str:
    return "\n".join(f"{e.header or ''}\n{e.text}" for e in document.elements)


def test_text_has_paragraphs_and_a_title() -> None:
    document = parsed("a.txt", "Welcome to us\n\nFirst line\nsecond line.\n\n- one\n- two\n")
    assert document.title == "Welcome to us"
    assert shapes(document) == [
        ("heading", "Welcome to us"),
        ("text", "First line\nsecond line."),
        ("list", "- one\n- two"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_decoded(encoding: str) -> None:
    document = parsed("a.txt", "Größe „groß“. Müller, 5 €.".encode(encoding))
    assert document.elements[0].text == "Größe „groß“. Müller, 5 €."


def test_text_holds_nothing_postgres_refuses_or_a_reader_cannot_see() -> None:
    document = parsed("a.html", "<p>a\x01b\u200bc\u202ed&#xD800;e\U000e0041f</p>")
    assert document.elements[0].text.replace("\ufffd", "") == "abcdef"


def test_markdown_structure() -> None:
    source = (
        "---\ntitle: The manual\n---\n# Valves #\nText of\ntwo lines.\n<!-- hidden -->\n\nSub\n---\n"
        "* one\n  more\n* two\n\n"
        "| Part | Price |\n|---|--:|\n| Spring | 4.20 |\n| Seat \\| ring | 7.90 |\n"
        "```py\n# no heading\nx = 1\n```\n## Last\nEnd."
    )
    document = parsed("a.md", source)
    assert document.title == "The manual"
    assert [(e.kind, e.level, e.text, e.header) for e in document.elements] == [
        ("heading", 1, "Valves", None),
        ("text", 0, "Text of\ntwo lines.", None),
        ("heading", 2, "Sub", None),
        ("list", 0, "* one more\n* two", None),
        ("table", 0, "Spring | 4.20\nSeat / ring | 7.90", "Part | Price"),
        ("code", 0, "# no heading\nx = 1", None),
        ("heading", 2, "Last", None),
        ("text", 0, "End.", None),
    ]


def test_html_structure_without_what_a_reader_does_not_see() -> None:
    document = parsed("a.html", files.make_html())
    assert document.title == "Valve manual"
    assert [(e.kind, e.level, e.text, e.header) for e in document.elements] == [
        ("heading", 1, "Valves", None),
        ("text", 0, "They open at forty bar.\nThey close at thirty-eight.", None),
        ("list", 0, "- a spring\n- of steel\n- a seat", None),
        ("heading", 2, "Prices", None),
        ("table", 0, "Spring | 4.20\nSeat | 7.90", "Part | Price"),
        ("code", 0, "if a:\n    open()", None),
    ]


def test_html_keeps_every_visible_word_in_order() -> None:
    body = "<div>a<p>b<i>c</i>d</p>e<table><tr><td><h2>f</h2>g</td></tr></table>h<ul>i<li>j<p>k</p>l</li></ul>m</div>"
    assert "".join(words(parsed("a.html", body)).replace("- ", "").split()) == "abcdefghijklm"


def test_pdf_pages_headings_and_rows() -> None:
    pages = [
        [
            "# Results",
            "Revenue rose in the third quarter of the year, as the table shows to the reader.",
            "Net sales 14.8 12.1",
        ],
        [
            "Cost of sales 7.2 6.9",
            "Gross margin 7.6 5.2",
            "The end of the report is here, and nothing follows it at all.",
        ],
        [],
    ]
    document = parsed("a.pdf", files.make_pdf(pages, title="Q3"))
    assert document.title == "Q3"
    assert [(e.kind, e.page) for e in document.elements] == [
        ("heading", 1),
        ("text", 1),
        ("table", 1),
        ("table", 2),
        ("text", 2),
    ]
    assert document.elements[3].text == "Cost of sales 7.2 6.9\nGross margin 7.6 5.2"
    assert document.note == "Pages without text: 3."


def test_pdf_joins_wrapped_lines_only() -> None:
    lines = [
        "A line as long as the page is wide goes on in the next one, which is exam-",
        "ple enough.",
        "Pin 1 supply",
        "Pin 2 ground",
    ]
    document = parsed("a.pdf", files.make_pdf([lines]))
    text = "\n".join(e.text for e in document.elements)
    assert "which is example enough." in text
    assert "Pin 1 supply\nPin 2 ground" in text


def test_a_sentence_that_crosses_a_page_stands_whole_on_the_page_it_begins_on() -> None:
    pages = [
        ["# Rules", "The first rule stands alone.", "The second rule says that every visitor must show a docu-"],
        ["ment at the gate, without exception. The third rule is short.", "# More", "Nothing else."],
        ["A page that begins a sentence of its own."],
    ]
    elements = parsed("a.pdf", files.make_pdf(pages)).elements
    by_page = {page: " ".join(e.text for e in elements if e.page == page) for page in (1, 2, 3)}
    assert by_page[1].endswith("every visitor must show a document at the gate, without exception.")
    assert by_page[2].startswith("The third rule is short.")
    assert by_page[3] == "A page that begins a sentence of its own."
    chunks = split(parsed("a.pdf", files.make_pdf(pages)), minilm_tokenizer(), max_tokens=60)
    assert [(one.page, "document at the gate" in one.text) for one in chunks if "second rule" in one.text] == [
        (1, True)
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The first page ends here.", "and this is a list item in small letters."),
        ("The first page ends in a word", "But this begins anew. More text."),
        ("The table of", "x" * 1200),
    ],
)
def test_what_may_be_no_rest_of_a_sentence_stays_on_its_page(first: str, second: str) -> None:
    elements = [Element("text", first, page=1), Element("text", second, page=2)]
    assert join_across_pages(elements) == elements


def test_rows_and_headings_never_cross_a_page() -> None:
    elements = [Element("heading", "Costs of", page=1), Element("text", "goods rose.", page=2)]
    assert join_across_pages(elements) == elements
    table = [Element("table", "a | b", page=1), Element("text", "goods rose.", page=2)]
    assert join_across_pages(table) == table


def test_a_scanned_pdf_is_empty_with_a_note() -> None:
    with pytest.raises(EmptyError, match="Pages without text: 1-2"):
        parsed("a.pdf", files.make_pdf([[], []]))


def test_docx_structure() -> None:
    document = parsed("a.docx", files.make_docx())
    assert (document.title, document.author) == ("Valve manual", "Ana Ferrelo")
    assert [(e.kind, e.level, e.text, e.header) for e in document.elements] == [
        ("heading", 1, "Valves", None),
        ("text", 0, files.BODY, None),
        ("heading", 2, "Parts", None),
        ("list", 0, "- a spring\n- a seat", None),
        ("table", 0, "Spring | 4.20\nSeat | 7.90", "Part | Price"),
    ]


def test_docx_reads_insertions_and_controls_but_no_deletions() -> None:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = (
        "<w:p><w:ins><w:r><w:t>new </w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    xml = f"<w:document {space}><w:body>{body}</w:body></w:document>".encode()
    document = parsed("a.docx", files.with_member(files.make_docx(), "word/document.xml", xml))
    assert shapes(document) == [("text", "new link"), ("text", "control")]


def test_pptx_slides_are_pages() -> None:
    document = parsed("a.pptx", files.make_pptx())
    assert [(e.kind, e.page, e.text, e.header) for e in document.elements] == [
        ("heading", 1, "Valves in brief", None),
        ("list", 1, "- They open at forty bar\n- They close at thirty-eight", None),
        ("text", 1, "Notes: Say that the spring is new.", None),
        ("heading", 2, "Prices", None),
        ("table", 2, "Spring | 4.20\nSeat | 7.90", "Part | Price"),
    ]


def test_xlsx_sheets_are_pages() -> None:
    when = datetime(2026, 4, 1)  # noqa: DTZ001  Excel knows no zones
    sheets: dict[str, list[list[Any]]] = {
        "Prices": [["Part", "Price", "Since"], ["Spring", 4.2, when], ["Seat", 8.0, None]],
        "Empty": [],
        "Notes": [["All prices are net."]],
    }
    document = parsed("a.xlsx", files.make_xlsx(sheets))
    assert [(e.kind, e.page, e.text, e.header) for e in document.elements] == [
        ("heading", 1, "Prices", None),
        ("table", 1, "Spring | 4.2 | 2026-04-01\nSeat | 8", "Part | Price | Since"),
        ("heading", 3, "Notes", None),
        ("text", 3, "All prices are net.", None),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_finds_its_delimiter(delimiter: str) -> None:
    rows = [["term", "meaning"], ["T-7", '"a, sensor; small"'], ["P-40", '"two\nlines"']]
    document = parsed("a.csv", "\n".join(delimiter.join(row) for row in rows))
    assert document.elements == (Element("table", "T-7 | a, sensor; small\nP-40 | two lines", header="term | meaning"),)


def test_eml_headers_body_and_attachments() -> None:
    document = parsed("a.eml", files.make_eml(attachment=files.nested_zip()))
    assert document.title == "Prüfung of the valve"
    assert document.author == "Ana Ferrelo <ana@example.com>"
    assert document.modified_at == datetime(2026, 10, 12, 7, 14, tzinfo=UTC)
    assert document.note == "Attachments not read: 1."
    assert document.elements[0].text.startswith(
        "Subject: Prüfung of the valve\nFrom: Ana Ferrelo <ana@example.com>\nTo: bob"
    )
    assert [e.text for e in document.elements[1:]] == [files.BODY, "Attachments: drawings.zip"]


def test_eml_html_body() -> None:
    document = parsed("a.eml", files.make_eml(html="<html><title>x</title><p>Dear <b>Bob</b></p></html>"))
    assert document.title == "Prüfung of the valve"
    assert document.elements[1].text == "Dear Bob"


def test_msg_headers_and_body_without_a_network() -> None:
    document = parsed("a.msg", files.make_msg())
    assert (document.title, document.author) == ("About the valve", "ana@example.com")
    assert document.elements[0].text.startswith("Subject: About the valve\nFrom: ana@example.com")
    assert document.elements[1].text == files.BODY


def test_a_mail_of_many_encoded_words_is_read() -> None:
    document = parsed("a.eml", b"Subject: " + b"=?utf-8?q?a?= " * 20000 + b"\n\nbody")
    assert document.elements[-1].text == "body"


def test_xml_text() -> None:
    document = parsed("a.xml", "<a><b>one</b> two <c>three</c></a>")
    assert shapes(document) == [("text", "one"), ("text", "two"), ("text", "three")]


def test_code_keeps_its_indentation() -> None:
    assert shapes(parsed("a.py", "def f():\n    return 1\n\n\nx = f()\n")) == [
        ("code", "def f():\n    return 1"),
        ("code", "x = f()"),
    ]


@pytest.mark.parametrize(
    ("name", "mime"), [("page", "text/html; charset=utf-8"), ("page.unknown", "text/html"), ("page", None)]
)
def test_type_by_media_type_or_content_where_there_is_no_extension(name: str, mime: str | None) -> None:
    document = parse(Content(name=name, body=files.make_html(), mime=mime), Limits())
    assert document.mime == "text/html"


def test_content_wins_over_a_text_extension() -> None:
    assert parsed("a.txt", files.make_pdf([["Some text of the page"]])).mime == "application/pdf"
    assert parsed("a.xlsx", files.make_docx()).mime.endswith("wordprocessingml.document")


def test_what_the_connector_says_wins() -> None:
    document = parse(
        Content(name="a.md", body=b"# Own title\n\ntext", title="Given", author="Bob", attributes={"k": 1}), Limits()
    )
    assert (document.title, document.author, document.attributes) == ("Given", "Bob", {"k": 1})


def test_elements_need_no_parser() -> None:
    elements = (Element("table", "a\x00 | b", header="x | y"), Element("text", " "))
    document = parsed_from_elements(Content(name="row 1", elements=elements, title="Row"))
    assert document.elements == (Element("table", "a | b", header="x | y"),)
    with pytest.raises(EmptyError):
        parsed_from_elements(Content(name="row 2", elements=(Element("text", "\x00"),)))


def test_headings_alone_are_text() -> None:
    assert shapes(parsed("a.md", "# One\n\n# Two")) == [("text", "One"), ("text", "Two")]


def _stated(kind: str, author: str, at: datetime) -> bytes:
    """A file of a kind that says who wrote it and when it last changed."""
    if kind == "pdf":
        return files.make_pdf([["Some text of the page"]], author=author)
    made = {"docx": files.make_docx, "pptx": files.make_pptx, "xlsx": files.make_xlsx}[kind]()
    told = (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:creator>{author}</dc:creator>"
        f'<dcterms:modified xsi:type="dcterms:W3CDTF">{at:%Y-%m-%dT%H:%M:%SZ}</dcterms:modified></cp:coreProperties>'
    )
    return files.with_member(made, "docProps/core.xml", told.encode())


@pytest.mark.parametrize("kind", ["pdf", "docx", "pptx", "xlsx"])
def test_a_file_says_who_wrote_it_and_when_it_changed(kind: str) -> None:
    at = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
    document = parsed(f"a.{kind}", _stated(kind, "Cara Dunmore", at))
    assert document.author == "Cara Dunmore"
    if kind != "pdf":  # whose dates `test_parsing_thread.py` reads
        assert document.modified_at is not None
        assert document.modified_at.replace(tzinfo=UTC) == at
