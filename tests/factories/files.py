"""Makers of sample files, each as bytes: whole, encrypted, broken, and built to do harm."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

BODY = "The valve opens at forty bar and closes at thirty-eight."


def make_pdf(
    pages: Sequence[Sequence[str]], *, title: str | None = None, author: str | None = None, password: str | None = None
) -> bytes:
    """A page for each list of lines; a line that starts with `# ` is a heading in a larger font."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    encryption = StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(buffer, encrypt=encryption)
    if title is not None:
        canvas.setTitle(title)
    if author is not None:
        canvas.setAuthor(author)
    for lines in pages:
        height = 800
        for line in lines:
            canvas.setFont(*(("Helvetica-Bold", 16) if line.startswith("# ") else ("Helvetica", 10)))
            canvas.drawString(50, height, line.removeprefix("# "))
            height -= 20
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_docx(*, title: str = "Valve manual", paragraphs: Sequence[tuple[str, str]] | None = None) -> bytes:
    """Paragraphs as pairs of style and text; by default headings, a list, a table."""
    import docx

    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = "Ana Ferrelo"
    if paragraphs is not None:
        for style, text in paragraphs:
            document.add_paragraph(text, style=style)
    else:
        document.add_heading("Valves", level=1)
        document.add_paragraph(BODY)
        document.add_heading("Parts", level=2)
        document.add_paragraph("a spring", style="List Bullet")
        document.add_paragraph("a seat", style="List Bullet")
        _fill_table(document.add_table(rows=3, cols=2))
    return _saved(document)


def _fill_table(table: Any) -> None:
    for row, values in zip(table.rows, (("Part", "Price"), ("Spring", "4.20"), ("Seat", "7.90")), strict=True):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value


def make_pptx() -> bytes:
    """Two slides: one with points and speaker notes, one with a table."""
    import pptx
    from pptx.util import Inches

    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Valves in brief"
    frame = first.placeholders[1].text_frame
    frame.text = "They open at forty bar"
    frame.add_paragraph().text = "They close at thirty-eight"
    first.notes_slide.notes_text_frame.text = "Say that the spring is new."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Prices"
    _fill_table(second.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table)
    return _saved(deck)


def make_xlsx(sheets: Mapping[str, Sequence[Sequence[Any]]] | None = None) -> bytes:
    """A sheet for each entry, its rows as given."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in (sheets or {"Prices": (("Part", "Price"), ("Spring", 4.2), ("Seat", 8))}).items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return _saved(book)


def _saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def make_eml(*, html: str | None = None, attachment: bytes | None = None, body: str = BODY) -> bytes:
    """A mail with a plain body, with HTML instead, or with an attachment."""
    message = EmailMessage()
    message["Subject"] = "Prüfung of the valve"
    message["From"] = "Ana Ferrelo <ana@example.com>"
    message["To"] = "bob@example.com"
    message["Date"] = "Mon, 12 Oct 2026 09:14:00 +0200"
    if html is None:
        message.set_content(body)
    else:
        message.set_content(html, subtype="html")
    if attachment is not None:
        message.add_attachment(attachment, maintype="application", subtype="zip", filename="drawings.zip")
    return message.as_bytes()


HTML = """<!doctype html><html><head><title>Valve manual</title><script>alert("script")</script>
<style>p { color: red }</style></head><body><nav><a href="/">Home link</a></nav>
<h1>Valves</h1><p>They open at <b>forty</b> bar.<br>They close at thirty-eight.</p>
<p style="display:none">hidden words</p><ul><li>a spring<ul><li>of steel</li></ul></li><li>a seat</li></ul>
<h2>Prices</h2><table><tr><th>Part</th><th>Price</th></tr><tr><td>Spring</td><td>4.20</td></tr>
<tr><td>Seat</td><td>7.90</td></tr></table><pre>if a:
    open()</pre><footer>footer words</footer></body></html>"""


def make_html() -> bytes:
    """A page with navigation, a script, hidden text, a list, a table and code."""
    return HTML.encode()


def encrypted(office: bytes, password: str = "secret") -> bytes:
    """An office file encrypted as Office does: the package inside an OLE container."""
    from msoffcrypto.format.ooxml import OOXMLFile

    buffer = io.BytesIO()
    OOXMLFile(io.BytesIO(office)).encrypt(password, buffer)
    return buffer.getvalue()


def with_member(office: bytes, name: str, data: bytes) -> bytes:
    """The archive with one member added, or replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(office)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            if member.filename != name:
                new.writestr(member, old.read(member))
        new.writestr(name, data)
    return buffer.getvalue()


def member(office: bytes, name: str) -> bytes:
    """One member of an archive."""
    with zipfile.ZipFile(io.BytesIO(office)) as archive:
        return archive.read(name)


def billion_laughs_docx() -> bytes:
    """A Word file whose body is entities that would expand to 3 GB."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "lol">{levels}]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body></w:document>"
    )
    return with_member(make_docx(), "word/document.xml", xml.encode())


def zip_bomb_xlsx(size: int = 32 * 1024 * 1024) -> bytes:
    """A workbook with a member of `size` zeros, a thousandth of that when packed."""
    return with_member(make_xlsx(), "xl/media/image1.bin", b"\0" * size)


def nested_zip() -> bytes:
    """A zip in a zip in a zip."""
    data = b"text"
    for level in range(3):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"level{level}.zip", data)
        data = buffer.getvalue()
    return data


def lying_zip() -> bytes:
    """A workbook whose sheet declares fewer bytes than it unpacks to."""
    data = make_xlsx({"Big": [["x" * 50, str(n)] for n in range(2000)]})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo("xl/worksheets/sheet1.xml")
    true, lie = struct.pack("<I", info.file_size), struct.pack("<I", 10)
    return data.replace(true, lie)


def make_msg() -> bytes:
    """An Outlook message with a subject, a sender and a plain body."""
    texts = {0x001A: "IPM.Note", 0x0037: "About the valve", 0x0C1F: "ana@example.com", 0x1000: BODY}
    streams = {f"__substg1.0_{tag:04X}001F": text.encode("utf-16-le") for tag, text in texts.items()}
    entries = [struct.pack("<HHIII", 0x1F, tag, 6, len(text) * 2 + 2, 0) for tag, text in texts.items()]
    streams["__properties_version1.0"] = bytes(32) + b"".join(entries)
    return ole_container(streams)


def ole_container(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (MS-CFB, version 3) whose streams are all shorter than 4096 bytes."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    mini, minifat, starts = b"", list[int](), list[int]()
    for data in streams.values():
        starts.append(len(minifat))
        mini += data + bytes(-len(data) % 64)
        minifat += [*range(len(minifat) + 1, len(mini) // 64), end]
    entries = [_ole_entry("Root Entry", 5, 1, 0, len(mini))]
    for number, ((name, data), start) in enumerate(zip(streams.items(), starts, strict=True), start=1):
        entries.append(_ole_entry(name, 2, free, start, len(data), right=number + 1 if number < len(streams) else free))
    while len(entries) % 4:
        entries.append(bytes(68) + struct.pack("<III", free, free, free) + bytes(48))
    directory = len(entries) // 4
    body = mini + bytes(-len(mini) % 512)
    first_mini = 1 + directory + 1
    entries[0] = _ole_entry("Root Entry", 5, 1, first_mini, len(mini))
    chain = [0xFFFFFFFD, *range(2, 1 + directory), end, end, *range(first_mini + 1, first_mini + len(body) // 512), end]
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, 1 + directory, 1, end, 0, 0)
    header += struct.pack("<I", free) * 108
    return b"".join((header, _sector(chain), *entries, _sector(minifat), body))


def _sector(numbers: Sequence[int]) -> bytes:
    return struct.pack("<128I", *numbers, *[0xFFFFFFFF] * (128 - len(numbers)))


def _ole_entry(name: str, kind: int, child: int, start: int, size: int, *, right: int = 0xFFFFFFFF) -> bytes:
    encoded = name.encode("utf-16-le")
    fields = struct.pack("<HBBIII", len(encoded) + 2, kind, 1, 0xFFFFFFFF, right, child)
    return encoded.ljust(64, b"\0") + fields + bytes(36) + struct.pack("<IQ", start, size)
