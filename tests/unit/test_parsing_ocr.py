"""Pictures and scanned pages: read by tesseract in the parser process, with page numbers, or noted and passed over."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from ingest.model import Content, EmptyError, ItemError, Parsed
from ingest.parsing import ocr
from ingest.parsing.limits import Limits
from ingest.parsing.parse import parse
from ingest.parsing.sandbox import ParserPool, PoolSettings
from tests.factories import files

FIRST = ["Travel rules of the company", "One night in a hotel may cost 140 euro."]
SECOND = ["The canteen serves soup on Mondays."]


@pytest.fixture
def tesseract() -> Path:
    found = ocr.program()
    if found is None:
        missing = "tesseract is not installed: apt-get install tesseract-ocr"
        pytest.fail(missing, pytrace=False) if os.environ.get("AMBIT_TEST_REQUIRE_SERVICES") else pytest.skip(missing)
    return found


def scan(lines: Sequence[str], *, turned: int = 0) -> Image.Image:
    """A page as a scanner makes it."""
    image = Image.new("L", (1240, 600), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=40)
    for number, line in enumerate(lines):
        draw.text((80, 80 + 90 * number), line, font=font, fill=0)
    return image.rotate(turned, expand=True)


def saved(kind: str, *pages: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    more = {"save_all": True, "append_images": list(pages[1:])} if len(pages) > 1 else {}
    pages[0].save(out, kind, **more, **options)
    return out.getvalue()


def read(name: str, body: bytes, **limits: object) -> Parsed:
    return parse(Content(name, body), Limits(**limits))  # type: ignore[arg-type]


def told(document: Parsed) -> dict[int | None, str]:
    found: dict[int | None, str] = {}
    for element in document.elements:
        found[element.page] = f"{found.get(element.page, '')} {element.text}".strip()
    return found


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("photo", "PNG")])
def test_a_picture_is_read_in_the_parser_process(tesseract: Path, name: str, kind: str) -> None:
    with ParserPool(Limits(), PoolSettings(processes=1, programs=(tesseract,))) as pool:
        document = pool.parse(Content(name, saved(kind, scan(FIRST))))
    assert "may cost 140 euro." in told(document)[1]
    assert document.mime == f"image/{kind.lower()}"
    assert document.title == Path(name).stem
    assert document.note is None


def test_each_page_of_a_tiff_and_of_a_scanned_pdf_keeps_its_number(tesseract: Path) -> None:
    pages = (scan(FIRST), scan(SECOND))
    for name, kind in (("a.tiff", "TIFF"), ("a.pdf", "PDF")):
        found = told(read(name, saved(kind, *pages)))
        assert sorted(found, key=str) == [1, 2]
        assert "140 euro" in found[1]
        assert "serves soup" in found[2]


def test_only_pages_without_a_text_layer_are_read_as_pictures(tesseract: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pypdfium2

    whole = pypdfium2.PdfDocument(files.make_pdf([["A page with a text layer of its own."], []]))
    whole.import_pages(pypdfium2.PdfDocument(saved("PDF", scan(SECOND))))
    out = io.BytesIO()
    whole.save(out)
    asked: list[int] = []
    run = ocr._run
    monkeypatch.setattr(ocr, "_run", lambda data, *rest, **named: asked.append(1) or run(data, *rest, **named))
    document = read("a.pdf", out.getvalue())
    assert "text layer" in told(document)[1]
    assert "serves soup" in told(document)[3]
    assert len(asked) == 1
    assert document.note == "Pages read by OCR: 3. Pages without text: 2."


def test_a_picture_is_turned_upright_as_the_camera_says(tesseract: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = saved("JPEG", scan(FIRST, turned=90), exif=exif)
    assert "140 euro" in told(read("a.jpg", body))[1]


def test_without_tesseract_the_note_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "program", lambda: None)
    with pytest.raises(EmptyError, match="tesseract is not installed; install the package tesseract-ocr"):
        read("a.png", saved("PNG", scan(FIRST)))
    with pytest.raises(EmptyError, match="Pages without text: 1"):
        read("a.pdf", saved("PDF", scan(FIRST)))


def test_other_reasons_are_told_too(tesseract: Path) -> None:
    body = saved("PNG", scan(FIRST))
    with pytest.raises(EmptyError, match="setting ocr_languages"):
        read("a.png", body, ocr_languages="")
    with pytest.raises(EmptyError, match="lacks a language of 'tlh'"):
        read("a.png", body, ocr_languages="tlh")
    with pytest.raises(EmptyError, match="within the time for one file"):
        read("a.png", body, seconds=0.0)


def test_a_blank_picture_is_empty_and_no_failure(tesseract: Path) -> None:
    with pytest.raises(EmptyError):
        read("a.png", saved("PNG", Image.new("L", (300, 300), 255)))


def test_a_parser_that_may_start_nothing_says_so(tesseract: Path) -> None:
    with (
        ParserPool(Limits(), PoolSettings(processes=1)) as pool,
        pytest.raises(EmptyError, match="may not be started here"),
    ):
        pool.parse(Content("a.png", saved("PNG", scan(FIRST))))


def test_pictures_that_are_too_large_or_none() -> None:
    bomb = saved("PNG", Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 1_000_000
    with pytest.raises(ItemError) as error:
        read("a.png", bomb)
    assert error.value.item_code == "file_too_large"
    for body in (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"not a picture", saved("PNG", scan(FIRST))[:400]):
        with pytest.raises(ItemError) as error:
            read("a.png", body)
        assert error.value.item_code == "file_broken"
    with pytest.raises(ItemError) as error:
        read("a.tif", saved("TIFF", *[scan([])] * 3), max_pages=2)
    assert error.value.item_code == "too_many_pages"
