"""Office files are zip archives: what they would unpack to is checked before anything is unpacked."""

from __future__ import annotations

import re
import zipfile

from ingest.model import ItemError
from ingest.parsing.limits import Limits
from ingest.parsing.source import Source, broken

MAX_MEMBERS = 20_000
"""Most members of an office file; the largest real ones have a few thousand (one for each picture)."""

_DECLARATION = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCRYPTED_FLAG = 0x1


def check_archive(source: Source, limits: Limits) -> None:
    """Refuses archives that are broken, encrypted, would unpack to too much, or whose XML declares entities.

    The declared sizes are binding: `zipfile` never reads beyond them. OPC forbids DTDs in every part.

    Raises:
        ItemError: `file_broken`, `file_encrypted`, `expansion_too_large`.
    """
    try:
        with source.open() as stream, zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(source, members, limits)
            if any(_declares_entities(archive, member) for member in members):
                raise broken(source.name, "its XML declares a DTD")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise broken(source.name, f"not a whole zip archive ({type(error).__name__})") from None


def _check_members(source: Source, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(members) > MAX_MEMBERS:
        detail = f"'{source.name}' has {len(members)} members; at most {MAX_MEMBERS} are unpacked."
        raise ItemError("expansion_too_large", detail)
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        raise ItemError("file_encrypted", f"'{source.name}' is encrypted.")
    total, allowed = sum(member.file_size for member in members), limits.unpacked(source.size())
    if total > allowed:
        detail = f"'{source.name}' unpacks to {total} bytes; at most {allowed} are allowed for its size."
        raise ItemError("expansion_too_large", detail)


def _declares_entities(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not member.filename.lower().endswith((".xml", ".rels", ".vml")):
        return False
    with archive.open(member) as stream:
        head = stream.read(4096)
    return _DECLARATION.search(head.replace(b"\0", b"")) is not None


def office_kind(source: Source) -> str | None:
    """`docx`, `pptx` or `xlsx` by the main part that the archive holds; None for any other archive."""
    try:
        with source.open() as stream, zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError):
        return None
    if "[Content_Types].xml" not in names:
        return None
    folders = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
    return next((kind for folder, kind in folders.items() if any(n.startswith(folder) for n in names)), None)
