"""One listing of a website: pages in the order they are found, with what the next listing needs to ask less."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import httpx

from core.addresses import BlockedError
from core.errors import AmbitError
from core.outbound import Answer, OutsideError, shown
from ingest.connectors.http import GONE, Polite, refused, source_error
from ingest.connectors.rules import access_of
from ingest.connectors.web_config import WebConfig
from ingest.connectors.web_page import normal, read_page
from ingest.connectors.web_sitemap import instant
from ingest.model import Change, Checkpoint, ConnectorContext, ItemRef, JsonObject, NodeChange, Problem, Upsert

CHECKPOINT_EVERY = 100
MAX_ID_BYTES = 2000
HTML = frozenset({"text/html", "application/xhtml+xml"})
_NO_DOCUMENTS = ("image/", "video/", "audio/", "font/", "text/css", "text/javascript", "application/javascript")
Record: TypeAlias = dict[str, Any]
"""What is kept of a page: version, title, mime, date, links, and the validators `etag` and `modified`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page to ask for: links from a start page, and when a sitemap says that it changed."""

    url: str
    depth: int = 0
    changed: str | None = None


class Crawl:
    """Follows links, or a sitemap's pages, from where a cursor left off."""

    def __init__(
        self,
        config: WebConfig,
        context: ConnectorContext,
        polite: Polite,
        headers: dict[str, str],
        allowed: Callable[[str], bool],
    ) -> None:
        self._config, self._context, self._polite = config, context, polite
        self._headers, self._allowed = headers, allowed
        self._known: dict[str, Record] = {}
        self._pages: dict[str, Record] = {}
        self._queue: deque[Wanted] = deque()
        self._seen: set[str] = set()
        self._full = True

    def run(self, cursor: JsonObject | None, seeds: Callable[[], Iterator[Wanted]]) -> Iterator[Change]:
        """The listing, or the rest of one that was cut off.

        Raises:
            SourceError: a start page does not answer.
        """
        yield root(self._config, self._context)
        self._begin(cursor, seeds)
        since = 0
        while self._queue and len(self._pages) < self._config.max_pages:
            yield from self._visit(self._queue.popleft())
            since += 1
            if since >= CHECKPOINT_EVERY and self._queue:
                since = 0
                yield Checkpoint(self._state(done=False), full=self._full)
        if self._queue:
            self._full = False
            limit = self._config.max_pages
            yield Problem(
                "#limit", "too_many_objects", f"more than {limit} pages; narrow the prefix or raise max_pages"
            )
        yield Checkpoint(self._state(done=True), complete=True, full=self._full)

    def _begin(self, cursor: JsonObject | None, seeds: Callable[[], Iterator[Wanted]]) -> None:
        state = cursor if cursor and cursor.get("config") == self._config.fingerprint else {}
        self._known = dict(state.get("known", {}))
        if "queue" in state:
            self._pages = dict(state["pages"])
            self._queue.extend(Wanted(*one) for one in state["queue"])
            self._seen, self._full = set(state["seen"]), state["full"]
            return
        for one in seeds():
            self._add(one)

    def _add(self, wanted: Wanted) -> None:
        if wanted.url not in self._seen and self._config.follows(wanted.url) and self._allowed(wanted.url):
            self._seen.add(wanted.url)
            self._queue.append(wanted)

    def _state(self, *, done: bool) -> JsonObject:
        if done:
            return {"config": self._config.fingerprint, "known": self._pages}
        queue = [[one.url, one.depth, one.changed] for one in self._queue]
        progress = {"pages": dict(self._pages), "queue": queue, "seen": sorted(self._seen), "full": self._full}
        return {"config": self._config.fingerprint, "known": self._known, **progress}

    def _visit(self, wanted: Wanted) -> Iterator[Change]:
        if wanted.changed is not None:
            record = {"version": wanted.changed, "date": wanted.changed}
            yield from self._page(wanted.url, record)
            return
        known = self._known.get(wanted.url)
        try:
            answer = self._ask(wanted.url, known)
        except OutsideError:
            return
        except AmbitError as error:
            yield from self._failed(wanted, error)
            return
        if answer.status == 304 and known is not None:
            yield from self._page(wanted.url, known)
            self._follow(known, wanted)
        elif answer.status == 200:
            yield from self._read(wanted, answer)
        elif wanted.depth == 0 and not self._config.sitemap:
            raise refused(answer)
        elif answer.status not in GONE:
            self._full = False
            yield Problem(wanted.url[:MAX_ID_BYTES], "server_failed", f"{shown(wanted.url)}: status {answer.status}")

    def _ask(self, url: str, known: Record | None) -> Answer:
        headers = dict(self._headers)
        for name, key in (("if-none-match", "etag"), ("if-modified-since", "modified")):
            if known and known.get(key):
                headers[name] = known[key]
        return self._polite.get(
            url,
            headers=headers,
            max_bytes=self._context.max_bytes,
            within=lambda one: self._config.within(one) and self._allowed(one),
            wanted=lambda answer: answer.status == 200 and answer.mime in HTML,
        )

    def _failed(self, wanted: Wanted, error: AmbitError) -> Iterator[Change]:
        if wanted.depth == 0 and not self._config.sitemap:
            raise source_error(error)
        if not isinstance(error, BlockedError):
            self._full = False
        code = "address_blocked" if isinstance(error, BlockedError) else "server_failed"
        yield Problem(wanted.url[:MAX_ID_BYTES], code, error.detail)

    def _read(self, wanted: Wanted, answer: Answer) -> Iterator[Change]:
        """A page that came; one that redirected counts under the address it has in the end."""
        url = normal(answer.url) or answer.url
        if url != wanted.url and url in self._seen:
            return
        self._seen.add(url)
        record = _record(answer)
        yield from self._page(url, record)
        self._follow(record, wanted)

    def _follow(self, record: Record, wanted: Wanted) -> None:
        if self._config.sitemap is None and wanted.depth < self._config.max_depth:
            for link in record.get("links", []):
                self._add(Wanted(link, wanted.depth + 1))

    def _page(self, url: str, record: Record) -> Iterator[Change]:
        links = [one for one in record.get("links", []) if self._config.follows(one)]
        self._pages[url] = {**record, "links": links} if "links" in record else record
        if record.get("hidden") or not self._config.takes(url):
            return
        if len(url.encode()) > MAX_ID_BYTES:
            yield Problem(url[:200], "path_too_long", f"{shown(url)[:200]}…: more than {MAX_ID_BYTES} bytes")
            return
        yield Upsert(
            ItemRef(
                id=url,
                node="",
                title=record.get("title") or _last(url),
                uri=url,
                version=record.get("version"),
                mime=record.get("mime"),
                modified_at=_date(record.get("date")),
                access=access_of(self._config.below(url), self._config.rules),
            )
        )


def _record(answer: Answer) -> Record:
    headers = answer.headers
    record: Record = {
        "mime": answer.mime or None,
        "etag": headers.get("etag"),
        "modified": headers.get("last-modified"),
        "date": headers.get("last-modified"),
    }
    if answer.mime in HTML:
        page = read_page(answer.body, answer.url, headers)
        record |= {"version": page.digest, "title": page.title, "links": page.links if page.follow else []}
        record["hidden"] = not page.index
    else:
        record["version"] = record["etag"] or record["modified"]
        record["hidden"] = answer.mime.startswith(_NO_DOCUMENTS)
    return {name: value for name, value in record.items() if value not in (None, False, "")}


def _last(url: str) -> str:
    parts = [one for one in urlsplit(url).path.split("/") if one]
    return unquote(parts[-1]) if parts else urlsplit(url).netloc


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return instant(text)


def root(config: WebConfig, context: ConnectorContext) -> NodeChange:
    """The site itself, with the registration's access."""
    return NodeChange("", None, httpx.URL(config.prefix).host, replace(context.root_access, mode="break"))
