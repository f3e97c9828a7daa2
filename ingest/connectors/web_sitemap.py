"""Sitemaps (sitemaps.org): the addresses they list and when each changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, ParseError

from dateutil import parser as dates
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_BYTES = 50 * 1024 * 1024
"""Of one sitemap unpacked; the protocol's own limit."""


class SitemapError(Exception):
    """It is no sitemap; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One address; `nested`: it is another sitemap."""

    url: str
    changed: str | None
    nested: bool


def read_sitemap(body: bytes) -> Iterator[Entry]:
    """The entries of a sitemap or sitemap index, also of a compressed one.

    Raises:
        SitemapError: it is broken, forbidden XML, or too large unpacked.
    """
    try:
        root = fromstring(_unpacked(body))
    except (ParseError, DefusedXmlException, ValueError):
        raise SitemapError("is not well-formed XML, or holds entities") from None
    kind = _name(root)
    if kind not in ("urlset", "sitemapindex"):
        raise SitemapError("is no sitemap: neither <urlset> nor <sitemapindex>")
    for child in root:
        given = {_name(one): (one.text or "").strip() for one in child}
        if given.get("loc"):
            yield Entry(given["loc"], given.get("lastmod") or None, kind == "sitemapindex")


def instant(text: str | None) -> datetime | None:
    """A W3C date and time; None where it is none."""
    try:
        moment = dates.isoparse(text) if text else None
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    engine = zlib.decompressobj(wbits=31)
    try:
        text = engine.decompress(body, MAX_BYTES)
    except zlib.error:
        raise SitemapError("is broken: it cannot be unpacked") from None
    if engine.unconsumed_tail:
        raise SitemapError(f"unpacks to more than {MAX_BYTES} bytes")
    return text


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
