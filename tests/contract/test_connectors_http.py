"""Connectors that speak HTTP pass the suite against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ingest.connectors import web_crawl
from ingest.connectors.conformance import ConnectorConformance
from ingest.connectors.rest import RestConnector
from ingest.connectors.web import WebConnector
from ingest.model import Connector, ConnectorContext, ItemRef
from policies.model import access_spec
from tests.factories.http_site import Reply, Request, page, serving

ROOT_ACCESS = access_spec(["everyone"])


class TestWeb(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = WebConnector
    newer_is_safe = True

    @pytest.fixture(autouse=True)
    def source(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(web_crawl, "CHECKPOINT_EVERY", 2)
        self.rules: list[dict[str, Any]] = []
        with serving() as self.site:
            self.texts = {name: f"Text of {name}" for name in ("a/one", "a/two", "a/three", "b/four", "b/five")}
            self.publish()
            yield

    def publish(self) -> None:
        self.site.routes = {f"/docs/{name}": page(text, etag=f'"{text}"') for name, text in self.texts.items()}
        self.site.routes["/docs/"] = page("Start", *self.texts)

    def config(self) -> dict[str, Any]:
        return {"prefix": f"{self.site.url}/docs/", "delay_s": 0, "include": ["*/**"], "rules": self.rules}

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/nowhere"), ROOT_ACCESS, outbound=("127.0.0.1",))

    def name(self, item: ItemRef) -> str:
        return item.id.removeprefix(f"{self.site.url}/docs/")

    def add(self) -> str:
        self.texts["b/six"] = "New"
        self.publish()
        return f"{self.site.url}/docs/b/six"

    def change(self, item: ItemRef) -> None:
        self.texts[self.name(item)] = "Other text"
        self.publish()

    def delete(self, item: ItemRef) -> None:
        del self.texts[self.name(item)]
        self.publish()

    def revoke(self, item: ItemRef) -> None:
        self.rules = [{"paths": [self.name(item)], "inherit": False, "allow": ["group:a"]}]


class TestWebSitemap(TestWeb):
    """Pages from a sitemap that says when each changed."""

    def publish(self) -> None:
        super().publish()
        days = {name: 1 + (text != f"Text of {name}") for name, text in self.texts.items()}
        entries = "".join(
            f"<url><loc>{self.site.url}/docs/{name}</loc><lastmod>2026-01-0{day}</lastmod></url>"
            for name, day in days.items()
        )
        self.site.routes["/sitemap.xml"] = page("")
        self.site.routes["/sitemap.xml"].body = f"<urlset>{entries}</urlset>".encode()

    def config(self) -> dict[str, Any]:
        return {**super().config(), "sitemap": f"{self.site.url}/sitemap.xml"}


class TestRest(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = RestConnector
    incremental = True
    reports_deletions = False

    @pytest.fixture(autouse=True)
    def source(self) -> Iterator[None]:
        with serving() as self.site:
            self.clock = 0
            self.objects: dict[str, dict[str, dict[str, Any]]] = {"posts": {}, "wiki": {}}
            for number in range(1, 6):
                self.put("posts", str(number), "text")
                self.put("wiki", str(number), "text")
            self.site.routes["*"] = self.answer
            yield

    def put(self, kind: str, key: str, text: str, readers: list[str] | None = None) -> None:
        self.clock += 1
        row = {"id": key, "text": text, "updated": f"{self.clock:06}", "readers": readers or ["group:a", "group:b"]}
        self.objects[kind][key] = row

    def answer(self, request: Request) -> Reply:
        kind, _, key = request.path.removeprefix("/").partition("/")
        if key:
            found = self.objects[kind].get(key)
            return Reply(200, json.dumps(found).encode()) if found else Reply(404)
        rows = sorted(self.objects[kind].values(), key=lambda row: row["updated"])
        rows = [row for row in rows if row["updated"] >= request.query.get("since", "")]
        start = int(request.query.get("token", 0))
        onward = start + 2 if start + 2 < len(rows) else None
        return Reply(200, json.dumps({"rows": rows[start : start + 2], "next": onward}).encode())

    def config(self) -> dict[str, Any]:
        shape = {
            "items": "rows", "id": "id", "updated": "updated", "title": "{id}", "text": "{text}", "allow": "readers",
            "since": "since", "pagination": {"kind": "cursor", "param": "token", "next": "next"},
        }  # fmt: skip
        resources = [{**shape, "name": name, "list": f"/{name}", "detail": f"/{name}/{{id}}"} for name in self.objects]
        return {"url": self.site.url, "resources": resources}

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/nowhere"), ROOT_ACCESS, outbound=("127.0.0.1",))

    def add(self) -> str:
        self.put("wiki", "new", "text")
        return "wiki/new"

    def change(self, item: ItemRef) -> None:
        kind, _, key = item.id.partition("/")
        self.put(kind, key, "other text")

    def delete(self, item: ItemRef) -> None:
        kind, _, key = item.id.partition("/")
        del self.objects[kind][key]

    def revoke(self, item: ItemRef) -> None:
        kind, _, key = item.id.partition("/")
        self.objects[kind][key]["readers"] = ["group:a"]
