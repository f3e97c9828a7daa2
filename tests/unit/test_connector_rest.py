from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.conformance import items_of
from ingest.connectors.rest_config import fill, lookup
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    Delete,
    EmptyError,
    ItemError,
    Problem,
    SourceError,
    VanishedError,
)
from policies.model import CLOSED, access_spec
from tests.factories.http_site import Reply, Request, Site, serving

ROOT = access_spec(["everyone"])


def answer(body: Any, **headers: str) -> Reply:
    return Reply(200, json.dumps(body).encode(), {"content-type": "application/json", **headers})


class Api:
    """Articles behind a token, paged in every way."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.articles: dict[int, dict[str, Any]] = {}
        for number in range(1, 6):
            self.put(number, f"Body {number}")
        site.routes["*"] = self.answer

    def put(self, number: int, body: str, **more: Any) -> None:
        stamp = f"2026-01-{len(self.site.requests) % 9 + 10:02}T00:00:{number:02}Z"
        old = self.articles.get(number, {})
        self.articles[number] = {
            **old,
            "id": number,
            "name": f"Article {number}",
            "body": body,
            "updated": stamp,
            **more,
        }

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != "Bearer hunter2":
            return Reply(401)
        if request.path == "/v1/articles":
            return self.list(request.query)
        found = self.articles.get(int(request.path.rpartition("/")[2]))
        return answer({"article": found}) if found else Reply(404)

    def list(self, query: dict[str, str]) -> Reply:
        rows = [row for _, row in sorted(self.articles.items()) if row["updated"] >= query.get("since", "")]
        size = int(query.get("size", 2))
        start = int(query.get("offset", query.get("token", (int(query.get("page", 1)) - 1) * size)))
        more = start + size < len(rows)
        body = {"data": {"rows": rows[start : start + size]}, "next": start + size if more else None}
        link = f'</v1/articles?token={start + size}>; rel="prev next", </x>; rel="last"' if more else ""
        return answer(body, link=link)


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as site:
        yield Api(site)


RESOURCE: dict[str, Any] = {
    "name": "articles", "list": "/articles", "items": "data.rows", "id": "id", "detail": "/articles/{id}",
    "object": "article", "updated": "updated", "title": "{name}", "text": "{body}",
}  # fmt: skip


def connect(api: Api, resource: dict[str, Any] | None = None, *, token: str = "hunter2", **config: Any) -> Connector:
    context = ConnectorContext(Path("/x"), ROOT, max_bytes=5000, secrets={"T": token}, outbound=("127.0.0.1",))
    body = {
        "url": f"{api.site.url}/v1",
        "bearer": {"secret": "T"},
        "resources": [{**RESOURCE, **(resource or {})}],
        **config,
    }
    return registry.make("rest", body, context)


def listing(api: Api, resource: dict[str, Any] | None = None, cursor: Any = None, **config: Any) -> list[Change]:
    with closing(connect(api, resource, **config)) as connector:
        return list(connector.changes(cursor))


def end(changes: list[Change]) -> Checkpoint:
    assert isinstance(changes[-1], Checkpoint)
    return changes[-1]


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


PAGED = {
    "page": {"kind": "page", "size_param": "size", "size": 2},
    "offset": {"kind": "offset", "param": "offset", "size_param": "size", "size": 2},
    "cursor": {"kind": "cursor", "param": "token", "next": "next"},
    "link": {"kind": "link"},
}


@pytest.mark.parametrize("kind", PAGED)
def test_every_way_of_paging_brings_everything_once(kind: str, api: Api) -> None:
    changes = listing(api, {"pagination": PAGED[kind]})
    assert list(items_of(changes)) == [f"articles/{number}" for number in range(1, 6)]
    assert end(changes).full
    mark = next(one for one in changes if isinstance(one, Checkpoint))
    rest = listing(api, {"pagination": PAGED[kind]}, mark.cursor)
    assert "articles/5" in items_of(rest)
    assert "articles/1" not in items_of(rest)
    assert end(rest).full == (kind in ("cursor", "link")), "a counted list may have moved meanwhile"


def test_the_next_address_may_stand_in_the_answer(api: Api) -> None:
    api.site.routes["*"] = lambda request: answer(
        {"rows": [{"id": 1 + len(request.query), "updated": 1}], "next": None if request.query else "?more=1"}
    )
    resource = {"items": "rows", "pagination": {"kind": "link", "next": "next"}}
    assert set(items_of(listing(api, resource))) == {"articles/1", "articles/2"}


def test_an_object_that_moves_between_pages_is_noticed(api: Api) -> None:
    def serve(request: Request) -> Reply:
        if request.query.get("offset") != "0":
            api.articles.pop(1, None)
        return api.answer(request)

    api.site.routes["*"] = serve
    with pytest.raises(SourceError, match="moved"):
        listing(api, {"pagination": PAGED["offset"]})


def test_pages_that_go_round_and_lead_away_are_refused(api: Api) -> None:
    api.site.routes["*"] = answer({"data": {"rows": []}, "next": "same"})
    with pytest.raises(SourceError, match="circle"):
        listing(api, {"pagination": PAGED["cursor"]})
    with serving() as other:
        api.site.routes["*"] = answer({"data": {"rows": []}}, link=f'<{other.url}/steal>; rel="next"')
        with pytest.raises(SourceError, match="another server"):
            listing(api, {"pagination": PAGED["link"]})
        api.site.routes["*"] = Reply(302, b"", {"location": other.url})
        with pytest.raises(SourceError, match="302"):
            listing(api)
        assert other.requests == []


INCREMENTAL = {"since": "since", "pagination": {"kind": "page"}, "deleted": "gone"}


def test_a_second_listing_asks_for_what_changed(api: Api) -> None:
    first = listing(api, INCREMENTAL)
    api.put(2, "New body", updated="2026-02-01T00:00:00Z")
    api.put(3, "", updated="2026-02-02T00:00:00Z", gone=True)
    second = listing(api, INCREMENTAL, end(first).cursor)
    assert "articles/2" in items_of(second)
    assert len(items_of(second)) < 5
    assert [one.id for one in second if isinstance(one, Delete)] == ["articles/3"]
    assert (end(second).full, end(second).access_complete) == (False, True)
    assert end(second).cursor["latest"] == {"articles": "2026-02-02T00:00:00Z"}
    assert end(listing(api, INCREMENTAL, end(second).cursor, full_every_h=1e-9)).full
    assert end(listing(api, {**INCREMENTAL, "title": "{id}"}, end(second).cursor)).full


def test_a_list_of_changes_says_nothing_of_all_access(api: Api) -> None:
    first = listing(api, {**INCREMENTAL, "allow": "readers"})
    assert end(first).access_complete
    assert not end(listing(api, {**INCREMENTAL, "allow": "readers"}, end(first).cursor)).access_complete


def test_access_comes_from_fields(api: Api) -> None:
    api.put(1, "x", acl={"read": ["group:a", "user:b"], "block": "user:c"}, label="restricted")
    api.put(2, "x", acl={"read": None})
    api.put(3, "x", acl={"read": ["group:a", 7]}, label="x")
    items = items_of(
        found := listing(
            api,
            {"allow": "acl.read", "deny": "acl.block", "classification": "label", "pagination": {"kind": "page"}},
        )
    )
    spec = access_spec(["group:a", "user:b"], ["user:c"], mode="break", labels={"classification": "restricted"})
    assert items["articles/1"].access == spec
    assert items["articles/2"].access == access_spec(mode="break"), "nobody is named, so nobody reads it"
    assert items["articles/3"].access == CLOSED
    assert problems(found) == {"articles/3": "access_malformed"}
    bare = items_of(listing(api, {"allow": "acl.names", "prefix": "group:"}))
    assert bare["articles/1"].access == access_spec(mode="break")


def test_bare_names_get_their_prefix(api: Api) -> None:
    api.put(1, "x", teams=["a", "b"])
    api.put(2, "x", teams="c, d")
    items = items_of(listing(api, {"allow": "teams", "prefix": "group:"}))
    assert items["articles/1"].access == access_spec(["group:a", "group:b"], mode="break")
    assert items["articles/2"].access == access_spec(["group:c", "group:d"], mode="break")


def test_an_object_is_handed_out_only_as_it_was_listed(api: Api) -> None:
    items = items_of(listing(api, {"pagination": {"kind": "page"}}))
    with closing(connect(api)) as connector:
        content = connector.fetch(items["articles/1"])
        assert content.elements is not None
        assert (content.title, content.elements[0].text) == ("Article 1", "Body 1")
        api.put(1, "Secret", updated="2027")
        api.put(2, " ")
        api.articles[2]["updated"] = items["articles/2"].version
        del api.articles[3]
        with pytest.raises(ItemError) as changed:
            connector.fetch(items["articles/1"])
        assert (changed.value.item_code, changed.value.item_transient) == ("item_changed", True)
        with pytest.raises(EmptyError):
            connector.fetch(items["articles/2"])
        with pytest.raises(VanishedError):
            connector.fetch(items["articles/3"])
        api.site.routes["*"] = Reply(200, b"x" * 5001)
        with pytest.raises(ItemError, match="5001"):
            connector.fetch(items["articles/4"])
        api.site.routes["*"] = Reply(200, b"<html>")
        with pytest.raises(ItemError, match="no JSON"):
            connector.fetch(items["articles/4"])


def test_html_and_markdown_are_parsed_later(api: Api) -> None:
    with closing(connect(api, {"format": "html"})) as connector:
        item = items_of(list(connector.changes(None)))["articles/1"]
        content = connector.fetch(item)
    assert (content.body, content.mime) == (b"Body 1", "text/html")


@pytest.mark.parametrize("key", ["../admin", "1?x=2", "a/b", "..", "%2e%2e"])
def test_an_id_adds_no_part_to_the_path(key: str, api: Api) -> None:
    asked: list[str] = []

    def serve(request: Request) -> Reply:
        if request.path != "/v1/articles":
            asked.append(request.path)
            assert request.query == {}
        return answer({"data": {"rows": [{"id": key, "updated": 1}]}})

    api.site.routes["*"] = serve
    with closing(connect(api)) as connector:
        item = next(iter(items_of(list(connector.changes(None))).values()))
        with pytest.raises(ItemError):
            connector.fetch(item)
    assert all(path.startswith("/v1/articles/") and path.count("/") == 3 for path in asked)
    assert all(".." not in path.split("/") for path in asked)


def test_objects_without_an_id_are_told(api: Api) -> None:
    api.site.routes["*"] = answer({"data": {"rows": [{"updated": 1}, {"id": True}, {"id": 7}, {"id": 7}, "text"]}})
    changes = listing(api)
    assert set(items_of(changes)) == {"articles/7"}
    assert problems(changes) == {"articles/#null": "key_missing"}


def test_a_server_that_refuses_ends_the_listing_and_keeps_the_secret(api: Api) -> None:
    with pytest.raises(SourceError, match="401") as caught:
        listing(api, token="wrong1")
    assert "wrong1" not in str(caught.value)
    with pytest.raises(SourceError, match="401"), closing(connect(api, token="wrong1")) as connector:
        connector.check()
    for body, said in ((b"[]", "no list"), (b"{", "no JSON"), (b"[" * 100_000, "no JSON")):
        api.site.routes["*"] = Reply(200, body)
        with pytest.raises(SourceError, match=said):
            listing(api)


def test_a_long_wait_ends_the_listing_and_a_short_one_is_waited(api: Api) -> None:
    api.site.routes["*"] = Reply(429, b"", {"retry-after": "3600"})
    with pytest.raises(SourceError, match="3600 s"):
        listing(api)
    slept: list[float] = []
    replies = iter([Reply(503, b"", {"retry-after": "3"}), answer({"data": {"rows": []}})])
    api.site.routes["*"] = lambda _: next(replies)
    with closing(connect(api)) as connector:
        connector._polite._sleep = slept.append  # type: ignore[attr-defined]
        assert items_of(list(connector.changes(None))) == {}
    assert slept == [3.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": "{a b}"}, "is no field"),
        ({"text": "{a"}, "brace"),
        ({"detail": "/{..}"}, "is no field"),
        ({"pagination": {"kind": "cursor"}}, "needs next"),
        ({"pagination": {"kind": "offset"}}, "needs size_param"),
        ({"list": "articles"}, r"resources\.0\.list"),
        ({"name": "a/b"}, r"resources\.0\.name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], said: str, api: Api) -> None:
    with pytest.raises(InvalidError, match=said):
        connect(api, change)


def test_what_a_field_holds_is_never_a_template() -> None:
    value = {"a": "{b}", "b": "secret", "c": {"d": [1, None, {"x": 1}, "y"]}, "e": True}
    assert fill("{a} {c.d} {e} {c} {c.d.x} {none}", value) == "{b} 1, y true   "
    assert lookup(value, "c.d.x") is None
