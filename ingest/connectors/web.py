"""Pages of a website, found by its links or its sitemap, with the access that the registration states."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import httpx

from core.errors import AmbitError
from core.outbound import USER_AGENT, Outbound, origin, shown
from ingest.connectors.http import BUSY, Polite, expect, item_error, refused, secret_headers, source_error
from ingest.connectors.web_config import WebConfig
from ingest.connectors.web_crawl import Crawl, Wanted, root
from ingest.connectors.web_page import normal
from ingest.connectors.web_robots import MAX_BYTES as ROBOTS_BYTES
from ingest.connectors.web_robots import Robots, parse_robots
from ingest.connectors.web_sitemap import MAX_BYTES as SITEMAP_BYTES
from ingest.connectors.web_sitemap import Entry, SitemapError, read_sitemap
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    ItemRef,
    JsonObject,
    SourceError,
    VanishedError,
)
from ingest.permissions import access_only

MOST_SITEMAPS = 500


class WebConnector:
    """Reads a site as a visitor without an account would, or with the headers that its configuration names."""

    name: ClassVar[str] = "web"
    title: ClassVar[str] = "Website"
    summary: ClassVar[str] = "Pages below an address, by links or sitemap, with access from the registration."
    Config: ClassVar[type[ConnectorConfig]] = WebConfig

    def __init__(self, config: WebConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._headers = secret_headers(config.headers, context)
        self._outbound = Outbound(context.outbound, timeout_s=config.timeout_s)
        self._polite = Polite(self._outbound, delay_s=config.delay_s)
        self._robots: Robots | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Asks for robots.txt and the sitemap or the first start page.

        Raises:
            SourceError: it does not answer, or robots.txt refuses it.
        """
        self._refresh_robots()
        first = self._config.sitemap or (self._config.start or [self._config.prefix])[0]
        if not self._allowed(first):
            raise SourceError(f"robots.txt of {origin(first)[1]} does not allow {shown(first)}")
        try:
            answer = self._polite.get(first, headers=self._headers, max_bytes=SITEMAP_BYTES)
        except AmbitError as error:
            raise source_error(error) from None
        if answer.status != 200:
            raise refused(answer)

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every page; those of the last listing are asked for on condition that they changed.

        Raises:
            SourceError: robots.txt, the sitemap or a start page does not answer.
        """
        self._refresh_robots()
        crawl = Crawl(self._config, self._context, self._polite, self._headers, self._allowed)
        return crawl.run(cursor, self._listed if self._config.sitemap else self._started)

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Access is the registration's by path: once every page was told, no page is asked for until that changes.

        Raises:
            SourceError: as of `changes`.
        """
        told: JsonObject = {"told": self._config.access_fingerprint}
        if cursor == told:
            yield root(self._config, self._context)
            yield Checkpoint(told, complete=True, full=False)
        else:
            yield from access_only(_ending(self.changes(cursor if cursor and "told" not in cursor else None), told))

    def fetch(self, item: ItemRef) -> Content:
        """The page as it is now; its access is the registration's, whatever the page says.

        Raises:
            VanishedError: it is gone, or is not shown to us.
            ItemError: `item_changed` (transient): it redirects since it was listed; `address_blocked`;
                `file_too_large`; `server_failed`.
        """
        if not self._config.within(item.id):
            raise VanishedError(f"{item.id} is outside of the prefix")
        try:
            # Without redirects: the path decides the access, and another path would bring another one.
            answer = self._polite.get(item.id, headers=self._headers, max_bytes=self._context.max_bytes, redirects=0)
        except AmbitError as error:
            raise item_error(item.id, error) from None
        expect(item.id, answer)
        return Content(
            name=unquote(urlsplit(item.id).path.rpartition("/")[2]) or "index.html",
            body=answer.body,
            mime=answer.mime or item.mime,
            modified_at=item.modified_at,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._outbound.close()

    def _started(self) -> Iterator[Wanted]:
        for one in self._config.start or [self._config.prefix]:
            if not self._allowed(one):
                raise SourceError(f"robots.txt does not allow the start page {shown(one)}")
            yield Wanted(normal(one) or one)

    def _listed(self) -> Iterator[Wanted]:
        """The pages of the sitemap and of the sitemaps it names on the same site."""
        waiting = deque([self._config.sitemap or ""])
        seen = set(waiting)
        while waiting:
            for entry in self._sitemap(waiting.popleft()):
                url = normal(entry.url)
                if url is None or origin(url) != origin(self._config.prefix):
                    continue
                if not entry.nested:
                    yield Wanted(url, changed=entry.changed)
                elif url not in seen and len(seen) < MOST_SITEMAPS:
                    seen.add(url)
                    waiting.append(url)

    def _sitemap(self, url: str) -> list[Entry]:
        try:
            answer = self._polite.get(url, headers=self._headers, max_bytes=SITEMAP_BYTES)
            if answer.status != 200:
                raise refused(answer)
            return list(read_sitemap(answer.body))
        except SitemapError as error:
            raise SourceError(f"{shown(url)} {error}") from None
        except AmbitError as error:
            raise source_error(error) from None

    def _allowed(self, url: str) -> bool:
        if self._robots is None or not self._config.robots:
            return True
        parsed = httpx.URL(url)
        return self._robots.allows(parsed.raw_path.decode("ascii", "replace"))

    def _refresh_robots(self) -> None:
        """A robots.txt that is not there allows all; one that cannot be read allows nothing (RFC 9309, 2.3.1)."""
        if not self._config.robots:
            return
        url = str(httpx.URL(self._config.prefix).copy_with(raw_path=b"/robots.txt"))
        try:
            answer = self._polite.get(url, max_bytes=ROBOTS_BYTES)
        except AmbitError as error:
            raise source_error(error) from None
        if answer.status in BUSY:
            raise refused(answer)
        text = answer.body.decode("utf-8", "replace") if answer.status == 200 else ""
        self._robots = parse_robots(text, USER_AGENT.partition("/")[0])
        self._polite.delay_s = max(self._config.delay_s, self._robots.delay_s)


def _ending(changes: Iterator[Change], cursor: JsonObject) -> Iterator[Change]:
    """A listing that ends with `cursor` where every page was seen, else with one that begins anew."""
    for one in changes:
        ends = isinstance(one, Checkpoint) and one.complete
        yield replace(one, cursor=cursor if one.full else {}) if isinstance(one, Checkpoint) and ends else one
