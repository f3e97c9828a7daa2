"""Files that are broken, locked, or built to do harm: one code each, and never their text in a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.model import Content, EmptyError, ItemError
from ingest.parsing import Limits, parse
from tests.factories import files

SMALL = Limits(max_pages=3, max_expansion=200, max_bytes=200_000)


def code_of(name: str, body: bytes, limits: Limits = SMALL) -> str:
    with pytest.raises(ItemError) as caught:
        parse(Content(name=name, body=body), limits)
    assert name in str(caught.value)
    return caught.value.item_code


Maker = Callable[[], bytes]

CASES: list[tuple[str, Maker, str]] = [
    ("cut.pdf", lambda: files.make_pdf([["text"]])[:400], "file_broken"),
    ("noise.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 10, "file_broken"),
    ("text.pdf", lambda: b"no pdf", "file_broken"),
    ("locked.pdf", lambda: files.make_pdf([["text"]], password="secret"), "file_encrypted"),
    ("long.pdf", lambda: files.make_pdf([["text"]] * 4), "too_many_pages"),
    ("locked.docx", lambda: files.encrypted(files.make_docx()), "file_encrypted"),
    ("cut.docx", lambda: files.make_docx()[:9000], "file_broken"),
    ("laughs.docx", files.billion_laughs_docx, "file_broken"),
    ("other.docx", files.nested_zip, "file_broken"),
    ("odd.docx", lambda: files.with_member(files.make_docx(), "word/document.xml", b"<x/>"), "file_broken"),
    ("bomb.xlsx", files.zip_bomb_xlsx, "expansion_too_large"),
    ("lying.xlsx", files.lying_zip, "file_broken"),
    ("many.xlsx", lambda: files.make_xlsx({f"s{n}": [["a"]] for n in range(4)}), "too_many_pages"),
    ("nested.zip", files.nested_zip, "type_unsupported"),
    ("old.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "file_broken"),
    ("noise.bin", lambda: b"\x01\x00\x02\x00" * 100, "type_unsupported"),
    ("noise.txt", lambda: b"text\x00text", "type_unsupported"),
    ("large.txt", lambda: b"a" * 200_001, "file_too_large"),
    ("deep.html", lambda: b"<div>" * 5000 + b"deep", "file_broken"),
    ("deep.xml", lambda: b"<a>" * 50_000, "file_broken"),
    ("lol.xml", lambda: b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "file_broken"),
]


@pytest.mark.parametrize(("name", "make", "code"), CASES, ids=[name for name, _, _ in CASES])
def test_one_code_each(name: str, make: Maker, code: str) -> None:
    assert code_of(name, make()) == code


@pytest.mark.parametrize("body", [b"", b" \n\n", b"\xef\xbb\xbf", b"<p></p>"])
def test_empty_files_are_skipped(body: bytes) -> None:
    with pytest.raises(EmptyError):
        parse(Content(name="a.html", body=body), SMALL)


def test_xml_entities_of_files_and_hosts_are_not_read() -> None:
    part = files.member(files.make_docx(), "word/document.xml").replace(
        b"<w:document", b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hostname">]><w:document', 1
    )
    assert code_of("xxe.docx", files.with_member(files.make_docx(), "word/document.xml", part)) == "file_broken"


def test_text_that_outgrows_its_file_is_refused() -> None:
    rows = [["x" * 30_000]] + [["x" * 30_000]] * 40
    assert (
        code_of("shared.xlsx", files.make_xlsx({"s": rows}), replace(SMALL, max_bytes=100_000)) == "expansion_too_large"
    )


def test_a_file_of_nothing_but_tags_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.parsing.draft.MAX_ELEMENTS", 100)
    assert code_of("tags.html", b"<p>x" * 101) == "expansion_too_large"
    assert len(parse(Content(name="tags.html", body=b"<p>x" * 100), SMALL).elements) == 100


def test_sparse_sheets_do_not_fill_up() -> None:
    body = files.make_xlsx({"s": [["a", "b"], ["c", "d"]]})
    sheet = (
        files.member(body, "xl/worksheets/sheet1.xml").replace(b'r="2"', b'r="1048576"').replace(b'A2"', b'A1048576"')
    )
    sheet = sheet.replace(b'B2"', b'XFD1048576"')
    document = parse(Content(name="a.xlsx", body=files.with_member(body, "xl/worksheets/sheet1.xml", sheet)), SMALL)
    assert sum(len(e.text) for e in document.elements) < 100_000


def test_naughty_strings_come_through_every_text_format() -> None:
    strings = [
        "\u202etest",
        "Ω≈ç√∫",
        "田中さん",
        "<script>alert(1)</script>",
        "\ufeff",
        "$(touch /x)",
        "x\u0000y",
        "👾 🙇",
    ]
    for name in ("a.md", "a.csv", "a.html", "a.eml"):
        body = "\n\n".join(["start", *strings]).replace("\0", "").encode("utf-8")
        document = parse(Content(name=name, body=body), SMALL)
        dumped = json.dumps([e.text for e in document.elements], ensure_ascii=False)
        dumped.encode("utf-8")
        assert "\0" not in dumped
        assert "田中さん" in dumped


def test_errors_never_hold_text() -> None:
    secret = "CANARY-7361"
    body = files.with_member(files.make_docx(), "word/document.xml", f"<w>{secret}".encode())
    with pytest.raises(ItemError) as caught:
        parse(Content(name="a.docx", body=body), SMALL)
    assert secret not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["md", "html", "csv", "eml", "xml", "pdf", "docx", "txt", "json", ""]))
def test_any_bytes_parse_or_fail_by_design(body: bytes, extension: str) -> None:
    try:
        document = parse(Content(name=f"a.{extension}", body=body), SMALL)
    except ItemError:
        return
    for element in document.elements:
        element.text.encode("utf-8")
        assert "\0" not in element.text
        assert element.text.strip()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_office_files_and_pdfs_parse_or_fail_by_design(data: st.DataObject) -> None:
    name, whole = data.draw(st.sampled_from(sorted(WHOLE.items())))
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(Content(name=name, body=bytes(body)), SMALL)
    except ItemError:
        return


WHOLE = {
    "a.docx": files.make_docx(),
    "a.pptx": files.make_pptx(),
    "a.xlsx": files.make_xlsx(),
    "a.pdf": files.make_pdf([["# Heading", "Some text of the page"]]),
}
