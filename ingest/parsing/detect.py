"""Which format a file has: by its extension, then by its first bytes, which win where they are unmistakable."""

from __future__ import annotations

from ingest.model import ItemError
from ingest.parsing.archive import office_kind
from ingest.parsing.clean import BINARY_PROBE, is_binary
from ingest.parsing.source import Source, broken

MIMES = {
    "text": "text/plain",
    "code": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "xml": "application/xml",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "tiff": "image/tiff",
}
_BY_MIME = {mime: kind for kind, mime in MIMES.items() if kind != "code"} | {
    "application/xhtml+xml": "html",
    "text/xml": "xml",
    "text/x-markdown": "markdown",
}
_CODE = """
    json jsonl yaml yml toml ini cfg conf py js ts tsx jsx java kt go rs c h cc cpp hpp cs rb php sh sql r scala swift
    css scss
"""
_BY_EXTENSION = {
    **dict.fromkeys(("txt", "text", "log", "rst", "org", "adoc", "tex", "srt", "vtt"), "text"),
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "mdx", "qmd"), "markdown"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    **dict.fromkeys(("docx", "docm", "dotx"), "docx"),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "potx"), "pptx"),
    **dict.fromkeys(("xlsx", "xlsm", "xltx"), "xlsx"),
    **dict.fromkeys(("jpg", "jpeg", "jpe"), "jpeg"),
    **dict.fromkeys(("tif", "tiff"), "tiff"),
    **dict.fromkeys(("csv", "tsv", "xml", "eml", "msg", "pdf", "png"), ""),
    **dict.fromkeys(_CODE.split(), "code"),
}
_OFFICE = frozenset(("docx", "pptx", "xlsx"))
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
_BINARY = _OFFICE | {"pdf", "msg", *_PICTURES.values()}
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


def detect(source: Source) -> str:
    """The format's key in `MIMES`.

    Raises:
        ItemError: `type_unsupported`, `file_encrypted`, or `file_broken` where the content belies the extension.
    """
    named = _named(source)
    found = _sniffed(source, named)
    if found is not None:
        return found
    if named in _BINARY:
        raise broken(source.name, f"its content is not {named}")
    if is_binary(source.head(BINARY_PROBE)):
        raise _unsupported(source, "it is not text and of no known type")
    return named or "text"


def _named(source: Source) -> str | None:
    """What the extension, else the media type, says."""
    extension = source.extension
    if extension in _BY_EXTENSION:
        return _BY_EXTENSION[extension] or extension
    return _BY_MIME.get((source.mime or "").split(";")[0].strip().lower())


def _sniffed(source: Source, named: str | None) -> str | None:
    """What the first bytes say beyond doubt."""
    head = source.head(1024)
    if named == "pdf" and b"%PDF-" in head:
        return "pdf"
    if head.lstrip().startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(OLE_MAGIC):
        return _ole_kind(source, named)
    if head.startswith(ZIP_MAGIC):
        return _zip_kind(source, named)
    return _picture_kind(head) or _page_kind(head, named)


def _picture_kind(head: bytes) -> str | None:
    return next((kind for magic, kind in _PICTURES.items() if head.startswith(magic)), None)


def _page_kind(head: bytes, named: str | None) -> str | None:
    """A web page without an extension that says so."""
    start = head.lstrip()[:64].lower()
    return "html" if named is None and start.startswith((b"<!doctype html", b"<html")) else None


def _zip_kind(source: Source, named: str | None) -> str:
    kind = office_kind(source)
    if kind is not None:
        return kind
    if named in _OFFICE:
        return named or ""
    raise _unsupported(source, "archives are not opened")


def _ole_kind(source: Source, named: str | None) -> str:
    """An OLE container: an Outlook message, an encrypted office file, or one of before 2007."""
    streams = _ole_streams(source)
    if "encryptedpackage" in streams:
        raise ItemError("file_encrypted", f"'{source.name}' is encrypted with a password.")
    if named == "msg" or "__properties_version1.0" in streams:
        return "msg"
    raise _unsupported(source, "office files of before 2007 are not read; save it in a present format")


def _ole_streams(source: Source) -> frozenset[str]:
    import olefile

    try:
        with source.open() as stream, olefile.OleFileIO(stream) as container:
            return frozenset(entry[0].lower() for entry in container.listdir())
    except (OSError, ValueError, IndexError, RecursionError) as error:
        raise broken(source.name, f"not a whole OLE container ({type(error).__name__})") from None


def _unsupported(source: Source, reason: str) -> ItemError:
    return ItemError("type_unsupported", f"'{source.name}' is of a type that cannot be parsed: {reason}.")
