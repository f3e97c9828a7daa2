"""Files as people have them, the whole way to chunks: what each chunk says of where it stands."""

from __future__ import annotations

import datetime as dt
import io

from ingest.model import ChunkDraft, Content, Parsed
from ingest.parsing.limits import Limits
from ingest.parsing.parse import parse
from ingest.splitting import split
from tests.factories.tokenizer import minilm_tokenizer

PAGE = """<!doctype html><html lang="en"><head><title>Travel expenses | Quillon intranet</title>
<meta name="author" content="Cara Dunmore"><style>.x{color:red}</style></head><body>
<div id="cookie-bar" role="dialog">We use cookies. <button>Accept</button></div>
<header role="banner"><a href="/">Quillon</a> <form role="search"><input value="Search"></form></header>
<ul class="main-menu menu"><li><a href="/a">News</a></li><li><a href="/b">Canteen</a></li></ul>
<div class="breadcrumb"><a href="/">Home</a> / <a href="/f">Finance</a> / Travel</div>
<div class="layout"><div class="sidebar"><a href="/x">Salary</a> <a href="/y">Holidays</a></div>
<div class="menu-notes">The canteen menu changes each Monday, and <a href="/m">vegetarians</a> find two dishes.</div>
<h1>Travel expenses</h1><p>Claims are paid within <b>ten</b> days.</p>
<h2>Daily rates</h2><table><tr><th>Country</th><th>Rate 2026</th></tr>ROWS</table>
<p hidden>draft: eleven days</p></div>
<div class="pagination"><a href="?p=2">Next page</a></div>
<footer>© Quillon 2026 <a href="/imprint">Imprint</a></footer></body></html>"""


def parsed(name: str, body: bytes) -> Parsed:
    return parse(Content(name, body=body), Limits())


def chunks(document: Parsed, name: str) -> list[ChunkDraft]:
    return split(document, minilm_tokenizer(), name=name, max_tokens=80)


def test_a_page_of_an_intranet_without_what_surrounds_its_text() -> None:
    rows = "".join(f"<tr><td>Country {number}</td><td>{number}.50</td></tr>" for number in range(40))
    document = parsed("travel.html", PAGE.replace("ROWS", rows).encode())
    assert (document.title, document.author) == ("Travel expenses | Quillon intranet", "Cara Dunmore")
    text = "\n".join(one.text for one in document.elements)
    for absent in ("cookies", "News", "Canteen", "Home", "Salary", "Next page", "Imprint", "eleven", "Search"):
        assert absent not in text
    assert "Claims are paid within ten days." in text
    assert "The canteen menu changes each Monday, and vegetarians find two dishes." in text
    tables = [one for one in chunks(document, "travel.html") if one.kind == "table"]
    assert len(tables) > 2
    assert all(one.text.startswith("Country | Rate 2026\n") for one in tables)
    assert {one.context for one in tables} == {"Travel expenses | Quillon intranet > Travel expenses > Daily rates"}


def test_a_workbook_by_sheet_with_the_heads_of_its_columns() -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = "Spare parts", "Ana Ferrelo"
    book.properties.modified = dt.datetime(2026, 10, 12, 7, 14)  # noqa: DTZ001 - as office files state it
    prices, stock = book.active, book.create_sheet("Stock 2026")
    assert prices is not None
    prices.title = "Prices"
    prices.append(["Valid from October 2026"])
    prices.append(["Part", "Price in EUR"])
    stock.append(["Part", "Quenby", "Harrow"])
    for number in range(60):
        prices.append([f"P-{number}", number * 1.5])
        stock.append([f"P-{number}", number, number * 2])
    buffer = io.BytesIO()
    book.save(buffer)
    document = parsed("parts_2026.xlsx", buffer.getvalue())
    assert (document.title, document.author) == ("Spare parts", "Ana Ferrelo")
    found = chunks(document, "parts_2026.xlsx")
    heads = {1: "Part | Price in EUR\n", 2: "Part | Quenby | Harrow\n"}
    contexts = {1: "parts 2026: Spare parts > Prices", 2: "parts 2026: Spare parts > Stock 2026"}
    for page in (1, 2):
        own = [one for one in found if one.page == page]
        assert len(own) > 3
        assert all(heads[page] in one.text for one in own)
        assert {one.context for one in own} == {contexts[page]}
        lines = "\n".join(one.text for one in own).split("\n")
        parts = [line.partition(" ")[0] for line in lines if line.startswith("P-")]
        assert parts == [f"P-{number}" for number in range(60)]
    assert "Valid from October 2026" in found[0].text
