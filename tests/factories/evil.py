"""Files built to do harm, each small on disk: what they would become is what matters."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.factories import files

WORD = "word/document.xml"
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(objects: Mapping[int, bytes], *, root: int = 1) -> bytes:
    """A PDF of these objects with a correct table of them."""
    body, places = b"%PDF-1.7\n", {}
    for number, data in objects.items():
        places[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, data)
    start, most = len(body), max(objects)
    table = b"".join(
        b"%010d 00000 %s \n" % (places.get(n, 0), b"n" if n in places else b"f") for n in range(1, most + 1)
    )
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (most + 1)
    return body + head + table + b"trailer<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF" % (most + 1, root, start)


def many_pages(pages: int, *, count: int | None = None) -> bytes:
    """`pages` pages that are one object; `count` is what the file says there are."""
    kids = b"3 0 R " * pages
    return pdf(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages if count is None else count, kids),
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
        }
    )


def tree_without_end() -> bytes:
    """Pages that are their own grandparents."""
    return pdf(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Count 2/Parent 3 0 R/Kids[3 0 R]>>",
            3: b"<</Type/Pages/Count 2/Parent 2 0 R/Kids[2 0 R 3 0 R]>>",
        }
    )


def stream_bomb(megabytes: int) -> bytes:
    """A page whose content is that many megabytes of operators, deflated twice."""
    packer, packed = zlib.compressobj(9), b""
    for _ in range(megabytes):
        packed += packer.compress(b"BT (x) Tj ET\n" * (1 << 20 >> 4) + b" " * (1 << 20))
    twice = zlib.compress(packed + packer.flush(), 9)
    return pdf(
        {
            1: b"<</Type/Catalog/Pages 2 0 R>>",
            2: b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
            4: b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%s\nendstream" % (len(twice), twice),
        }
    )


def calling_pdf(url: str) -> bytes:
    """A PDF that asks to be taken elsewhere when it opens, by every action there is."""
    actions = b"[<</S/URI/URI(%s)>><</S/SubmitForm/F(%s)>><</S/GoToR/F(%s)>>]" % ((url.encode(),) * 3)
    script = b"<</S/JavaScript/JS(app.launchURL\\('%s'\\))/Next %s>>" % (url.encode(), actions)
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R/OpenAction %s>>" % script,
        2: b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        4: b"<</Length 37>>stream\nBT /F 12 Tf 9 9 Td (calls home) Tj ET \nendstream",
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    return pdf(objects)


def mutated(whole: bytes, seed: int) -> bytes:
    """A file with a few bytes turned, parts cut out, doubled or replaced."""
    chance, data = random.Random(seed), bytearray(whole)
    for _ in range(chance.randint(1, 12)):
        at, length = chance.randrange(len(data)), chance.randint(1, 200)
        match chance.randrange(5):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = chance.randbytes(length)
            case _:
                data[at:at] = str(chance.choice((-1, 0, 2**31, 2**63, 10**30))).encode()
    return bytes(data)


def laughs(levels: int = 9) -> str:
    """Entities that name one another, ten times each."""
    inner = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, levels + 1))
    return f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "lol">{inner}]><d>&l{levels};</d>'


def quadratic(kilobytes: int = 100) -> str:
    """One long entity, named very often."""
    return f'<!DOCTYPE d [<!ENTITY a "{"a" * kilobytes * 1024}">]><d>{"&a;" * 20_000}</d>'


def outward(url: str) -> str:
    """Entities, a DTD, a style sheet and an inclusion that stand elsewhere."""
    return (
        f'<?xml version="1.0"?><?xml-stylesheet href="{url}/s.xsl"?><!DOCTYPE d SYSTEM "{url}/d.dtd" ['
        f'<!ENTITY e SYSTEM "{url}/e"><!ENTITY % p SYSTEM "{url}/p"> %p;]>'
        f'<d xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{url}/i"/>&e;</d>'
    )


def slipping(folder: Path) -> bytes:
    """A Word file with members that would land outside of wherever it is unpacked."""
    office = files.make_docx()
    for name in (
        f"../../../../../../../..{folder}/slip.txt",
        f"{folder}/slip.txt",
        "..\\..\\slip.txt",
        "word/../../slip",
    ):
        office = files.with_member(office, name, b"slipped")
    return office


def overlapping(entries: int = 3000) -> bytes:
    """A workbook whose table of contents names one packed megabyte thousands of times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/a.bin", bytes(1 << 20))
        first = archive.filelist[-1]
        for number in range(entries):
            copy = zipfile.ZipInfo(f"xl/{number}.bin")
            for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    return buffer.getvalue()


def word(body: str) -> bytes:
    """A Word file with this body."""
    xml = f'<?xml version="1.0"?><w:document {_W}><w:body>{body}</w:body></w:document>'
    return files.with_member(files.make_docx(), WORD, xml.encode())


def nested_tables(depth: int) -> bytes:
    start, end = "<w:tbl><w:tr><w:tc>", "<w:p/></w:tc></w:tr></w:tbl>"
    return word(start * depth + "<w:p><w:r><w:t>deep</w:t></w:r></w:p>" + end * depth)


def wide_table() -> bytes:
    """A table that says it is two thousand million columns wide."""
    span = '<w:tcPr><w:gridSpan w:val="2147483647"/><w:tcW w:w="2147483647"/></w:tcPr>'
    cell = f"<w:tc>{span}<w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc>"
    return word(f"<w:tbl><w:tblGrid>{'<w:gridCol/>' * 10_000}</w:tblGrid><w:tr>{cell}</w:tr></w:tbl>")


def calling_docx(url: str) -> bytes:
    """A Word file whose template, picture and sub-document stand elsewhere."""
    kinds = ("attachedTemplate", "image", "subDocument", "oleObject", "frame")
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = "".join(
        f'<Relationship Id="x{n}" Type="{base}/{kind}" Target="{url}/{kind}" TargetMode="External"/>'
        for n, kind in enumerate(kinds)
    )
    office = files.make_docx()
    place = "word/_rels/document.xml.rels"
    told = files.member(office, place).decode().replace("</Relationships>", rows + "</Relationships>")
    return files.with_member(office, place, told.encode())


def sheet(rows: str, dimension: str = "A1:XFD1048576") -> bytes:
    """A workbook with these rows and whatever dimension it claims."""
    name = "xl/worksheets/sheet1.xml"
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    xml = f'<worksheet xmlns="{space}"><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'
    return files.with_member(files.make_xlsx(), name, xml.encode())


def blank_rows(count: int = 1_000_000) -> bytes:
    rows = "".join(f'<row r="{n}"/>' for n in range(2, count + 1))
    return sheet(f'<row r="1"><c r="A1" t="inlineStr"><is><t>only</t></is></c></row>{rows}')


def far_cell() -> bytes:
    cell = '<c r="{}" t="inlineStr"><is><t>far</t></is></c>'
    return sheet(f'<row r="1">{cell.format("A1")}</row><row r="1048576">{cell.format("XFD1048576")}</row>')


def many_attachments(count: int) -> bytes:
    part = b'--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="%d.txt"\r\n\r\nx\r\n'
    head = b'Subject: many\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nHere are the files.\r\n"
    return head + body + b"".join(part % number for number in range(count)) + b"--b--\r\n"


def mail_in_mail(depth: int) -> bytes:
    head = b"Subject: forwarded\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n"
    return head * depth + b"Subject: inner\r\n\r\nthe innermost\r\n"


def multiparts(depth: int) -> bytes:
    """Parts inside parts, each with a boundary of its own."""
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(depth))
    return b"Subject: parts\r\nMIME-Version: 1.0\r\n" + parts + b"Content-Type: text/plain\r\n\r\ninnermost\r\n"


def calling_html(url: str) -> bytes:
    return (
        f'<html><head><base href="{url}"><link rel="stylesheet" href="{url}/c"><meta http-equiv="refresh" content='
        f'"0;url={url}/r"><script src="{url}/s"></script></head><body background="{url}/b"><p>calls home</p>'
        f'<img src="{url}/i"><iframe src="{url}/f"></iframe><object data="{url}/o"></object></body></html>'
    ).encode()


def zeros(path: Path, size: int) -> None:
    """A sparse file of that many zeros."""
    with path.open("wb") as file:
        file.truncate(size)


def png(width: int, height: int) -> bytes:
    """A picture of one colour whose pixels are a thousandth of what they unpack to."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(line) for _ in range(min(height, 5000))) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


Maker = Callable[[], bytes]


def collection(url: str, folder: Path) -> dict[str, tuple[Maker, str]]:
    """Evil files by name, each with how it must end: `done`, `skipped`, or an item's error code.

    Args:
        url: where those that reach out would reach.
        folder: where those that would write would write.
    """
    text = files.make_docx
    return {
        "nested.zip": (files.nested_zip, "type_unsupported"),
        "nested.docx": (files.nested_zip, "file_broken"),
        "slip.docx": (lambda: slipping(folder), "done"),
        "overlap.xlsx": (overlapping, "expansion_too_large"),
        "bomb.xlsx": (files.zip_bomb_xlsx, "expansion_too_large"),
        "lying.xlsx": (files.lying_zip, "file_broken"),
        "laughs.xml": (lambda: laughs().encode(), "file_broken"),
        "laughs.docx": (files.billion_laughs_docx, "file_broken"),
        "laughs.html": (lambda: laughs().encode(), "done"),
        "quadratic.xml": (lambda: quadratic().encode(), "file_broken"),
        "outward.xml": (lambda: outward(url).encode(), "file_broken"),
        "outward-file.xml": (lambda: outward("file:///etc").encode(), "file_broken"),
        "outward.docx": (lambda: files.with_member(text(), WORD, outward(url).encode()), "file_broken"),
        "calls.docx": (lambda: calling_docx(url), "done"),
        "calls.html": (lambda: calling_html(url), "done"),
        "calls.pdf": (lambda: calling_pdf(url), "done"),
        "pages.pdf": (lambda: many_pages(100_000), "too_many_pages"),
        "few-said.pdf": (lambda: many_pages(100_000, count=1), "skipped"),
        "many-said.pdf": (lambda: many_pages(1, count=2**31 - 1), "skipped"),
        "endless.pdf": (tree_without_end, "file_broken"),
        "stream.pdf": (lambda: stream_bomb(24), "skipped"),
        "deep.html": (lambda: b"<div>" * 100_000 + b"deep", "file_broken"),
        "deep-table.html": (lambda: b"<table><tr><td>" * 20_000 + b"deep", "file_broken"),
        "deep.xml": (lambda: b"<a>" * 200_000, "file_broken"),
        "deep.json": (lambda: b"[" * 100_000 + b"]" * 100_000, "done"),
        "deep.md": (lambda: b"> " * 30_000 + b"[" * 30_000, "done"),
        "tables.docx": (lambda: nested_tables(3000), "file_broken"),
        "wide.docx": (wide_table, "done"),
        "blank.xlsx": (lambda: blank_rows(20_000), "done"),
        "far.xlsx": (far_cell, "done"),
        "attached.eml": (lambda: many_attachments(10_000), "done"),
        "mails.eml": (lambda: mail_in_mail(5000), "file_broken"),
        "parts.eml": (lambda: multiparts(5000), "file_broken"),
        "picture.pdf": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(500), "file_broken"),
        "large.png": (lambda: png(12_000, 12_000), "file_too_large"),
        "bomb.png": (lambda: png(200_000, 200_000), "file_too_large"),
        "sheet.docx": (files.make_xlsx, "done"),
        "program.txt": (lambda: b"\x7fELF" + bytes(4000), "type_unsupported"),
        "quote.csv": (lambda: b'a,b\n"' + b"x\n" * 2_200_000, "file_broken"),
        "line.txt": (lambda: b"x" * 300_000, "done"),
    }
