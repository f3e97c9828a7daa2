from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import InvalidError
from ingest.connectors import registry, web_crawl
from ingest.connectors.conformance import accesses_of, items_of, nodes_of
from ingest.connectors.web_config import WebConfig
from ingest.connectors.web_page import normal, read_page
from ingest.connectors.web_robots import parse_robots
from ingest.connectors.web_sitemap import SitemapError, instant, read_sitemap
from ingest.model import Change, Checkpoint, Connector, ConnectorContext, ItemError, Problem, SourceError, VanishedError
from ingest.permissions import crawl
from policies.model import access_spec
from tests.factories.http_site import Reply, Site, page, serving

ROOT = access_spec(["everyone"])


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        made.routes.update(
            {
                "/docs/": page(
                    "Start", "a", "b?page=2", "../private/x", "https://example.com/", "mailto:x@y", "deep/c"
                ),
                "/docs/a": page("Page A", "/docs/", "a#part", etag='"a1"'),
                "/docs/deep/c": page(
                    "Page C", "../a", "../../docs/deep/d.pdf", last_modified="Thu, 01 Jan 2026 00:00:00 GMT"
                ),
                "/docs/deep/d.pdf": Reply(200, b"%PDF-1.4", {"content-type": "application/pdf", "etag": '"d1"'}),
                "/private/x": page("Secret"),
            }
        )
        yield made


def connect(site: Site, *, allow: bool = True, secrets: dict[str, str] | None = None, **config: Any) -> Connector:
    context = ConnectorContext(
        Path("/nowhere"), ROOT, max_bytes=100_000, secrets=secrets or {}, outbound=("127.0.0.1",) if allow else ()
    )
    body = {"prefix": f"{site.url}/docs/", "delay_s": 0, **config}
    return registry.make("web", body, context)


def listing(site: Site, cursor: dict[str, Any] | None = None, **config: Any) -> list[Change]:
    with closing(connect(site, **config)) as connector:
        return list(connector.changes(cursor))


def paths(site: Site, changes: list[Change]) -> set[str]:
    return {one.removeprefix(f"{site.url}/docs/") for one in items_of(changes)}


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


def end(changes: list[Change]) -> Checkpoint:
    assert isinstance(changes[-1], Checkpoint)
    return changes[-1]


def test_links_below_the_prefix_are_followed_and_no_others(site: Site) -> None:
    changes = listing(site)
    assert paths(site, changes) == {"", "a", "deep/c", "deep/d.pdf"}
    assert problems(changes) == {}
    assert site.asked("/private/x") == 0
    item = items_of(changes)[f"{site.url}/docs/deep/c"]
    assert (item.title, item.mime, item.node, item.access) == ("Page C", "text/html", "", None)
    assert item.modified_at is not None
    assert items_of(changes)[f"{site.url}/docs/deep/d.pdf"].version == '"d1"'


def test_queries_depth_and_patterns_choose_what_is_read(site: Site) -> None:
    site.routes["/docs/b"] = page("B")
    assert "b?page=2" in paths(site, listing(site, queries=True))
    assert paths(site, listing(site, max_depth=0)) == {""}
    assert paths(site, listing(site, exclude=["deep/**"])) == {"", "a"}
    assert paths(site, listing(site, include=["**/*.pdf"])) == {"deep/d.pdf"}


def test_an_unchanged_page_is_asked_for_on_condition(site: Site) -> None:
    first = listing(site)
    site.requests.clear()
    again = listing(site, end(first).cursor)
    assert items_of(again) == items_of(first)
    asked = {one.path: one.headers for one in site.requests}
    assert asked["/docs/a"]["if-none-match"] == '"a1"'
    assert asked["/docs/deep/c"]["if-modified-since"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_a_link_found_on_an_unchanged_page_is_kept(site: Site) -> None:
    site.routes["/docs/"] = page("Start", "a", "hub", etag='"s"')
    site.routes["/docs/hub"] = page("Hub", "a", etag='"h"')
    first = listing(site)
    site.routes["/docs/"] = page("Start", "hub", etag='"s2"')
    assert paths(site, listing(site, end(first).cursor)) == {"", "a", "hub"}


def test_only_what_a_reader_sees_makes_a_version(site: Site) -> None:
    body = '<p>Text</p><script>nonce = "{0}"</script><!-- {0} --><input type="hidden" value="{0}">'
    versions = set()
    for nonce in "ab":
        site.routes["/docs/a"] = Reply(200, body.replace("{0}", nonce).encode(), {"content-type": "text/html"})
        versions.add(items_of(listing(site))[f"{site.url}/docs/a"].version)
    assert len(versions) == 1


def test_rules_state_access_by_path(site: Site) -> None:
    rules = [
        {"paths": ["**"], "labels": {"classification": "public"}},
        {"paths": ["deep/**"], "inherit": False, "allow": ["group:deep"]},
    ]
    items = items_of(listing(site, rules=rules))
    assert items[f"{site.url}/docs/a"].access == access_spec(labels={"classification": "public"})
    assert items[f"{site.url}/docs/deep/c"].access == access_spec(["group:deep"], mode="break")


def test_robots_are_obeyed(site: Site) -> None:
    site.routes["/robots.txt"] = Reply(200, b"User-agent: *\nDisallow: /docs/deep/\n")
    assert paths(site, listing(site)) == {"", "a"}
    assert "deep/c" in paths(site, listing(site, robots=False))
    site.routes["/robots.txt"] = Reply(200, b"User-agent: ambit\nDisallow: /\n")
    with pytest.raises(SourceError, match=r"robots\.txt"):
        listing(site)
    with pytest.raises(SourceError, match=r"robots\.txt"), closing(connect(site)) as connector:
        connector.check()


def test_robots_that_cannot_be_read_allow_nothing(site: Site) -> None:
    site.routes["/robots.txt"] = Reply(503, b"", {"retry-after": "0"})
    with pytest.raises(SourceError, match="503"):
        listing(site)
    assert site.asked("/docs/") == 0


def test_pages_that_ask_not_to_be_indexed_are_not(site: Site) -> None:
    site.routes["/docs/a"] = Reply(
        200, b'<meta name="robots" content="noindex"><a href="e">e</a>', {"content-type": "text/html"}
    )
    site.routes["/docs/e"] = page("E", "f", x_robots_tag="nofollow")
    site.routes["/docs/f"] = page("F")
    assert paths(site, listing(site)) == {"", "e", "deep/c", "deep/d.pdf"}


def test_a_page_that_is_gone_or_forbidden_is_absent(site: Site) -> None:
    for status in (401, 403, 404, 410):
        site.routes["/docs/a"] = Reply(status)
        changes = listing(site)
        assert "a" not in paths(site, changes)
        assert end(changes).full
        assert problems(changes) == {}


def test_a_page_that_fails_deletes_nothing(site: Site) -> None:
    site.routes["/docs/deep/c"] = Reply(500, b"", {"retry-after": "0"})
    changes = listing(site)
    assert problems(changes) == {f"{site.url}/docs/deep/c": "server_failed"}
    assert not end(changes).full


def test_a_start_page_that_fails_ends_the_listing(site: Site) -> None:
    site.routes["/docs/"] = Reply(404)
    with pytest.raises(SourceError, match="404"):
        listing(site)


def test_a_busy_server_is_given_the_time_it_asks_for(site: Site) -> None:
    slept: list[float] = []
    replies = [Reply(429, b"", {"retry-after": "7"}), page("Start")]
    site.routes["/docs/"] = lambda _: replies.pop(0)
    with closing(connect(site)) as connector:
        connector._polite._sleep = slept.append  # type: ignore[attr-defined]
        assert paths(site, list(connector.changes(None))) == {""}
    assert slept == [7.0]


def test_a_redirect_inside_counts_under_its_end_and_one_outside_not_at_all(site: Site) -> None:
    site.routes["/docs/a"] = Reply(301, b"", {"location": "/docs/moved"})
    site.routes["/docs/moved"] = page("Moved")
    site.routes["/docs/deep/c"] = Reply(302, b"", {"location": "/private/x"})
    assert paths(site, listing(site)) == {"", "moved"}
    assert site.asked("/private/x") == 0


def test_a_private_address_is_refused_unless_it_is_allowed(site: Site) -> None:
    with pytest.raises(SourceError, match="not public"):
        listing(site, allow=False)
    assert site.requests == []
    site.routes["/docs/a"] = Reply(302, b"", {"location": "http://169.254.169.254/docs/"})
    assert paths(site, listing(site)) == {"", "deep/c", "deep/d.pdf"}


@pytest.mark.parametrize(
    "path", ["../private/x", "%2e%2e/private/x", "%2E%2E%2Fprivate/x", "a/..%5C..%5Cprivate", "./%2e%2e/x"]
)
def test_no_spelling_leads_out_of_the_prefix(path: str) -> None:
    config = WebConfig(prefix="https://example.com/docs/")
    assert not config.within(f"https://example.com/docs/{path}")
    assert not config.within("https://example.com/docs-private/")
    assert not config.within("http://example.com/docs/a")
    assert not config.within("https://example.com:8443/docs/a")
    assert config.within("https://example.com/docs/a")


def test_a_limit_is_said_and_deletes_nothing(site: Site) -> None:
    changes = listing(site, max_pages=2)
    assert len(items_of(changes)) == 2
    assert problems(changes) == {"#limit": "too_many_objects"}
    assert not end(changes).full


def test_a_cut_off_crawl_goes_on_where_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_crawl, "CHECKPOINT_EVERY", 1)
    whole = listing(site)
    mark = next(one for one in whole if isinstance(one, Checkpoint))
    rest = listing(site, mark.cursor)
    assert paths(site, rest) == {"a", "deep/c", "deep/d.pdf"}
    assert len(items_of(listing(site, mark.cursor, max_depth=5))) == 4, "another configuration starts over"


def test_fetching_does_not_follow_what_has_another_access(site: Site) -> None:
    item = items_of(listing(site))[f"{site.url}/docs/a"]
    with closing(connect(site)) as connector:
        content = connector.fetch(item)
        assert (content.name, content.mime) == ("a", "text/html")
        site.routes["/docs/a"] = Reply(302, b"", {"location": "/docs/deep/c"})
        with pytest.raises(ItemError) as caught:
            connector.fetch(item)
        assert caught.value.item_code == "item_changed"
        site.routes["/docs/a"] = Reply(200, b"x" * 100_001)
        with pytest.raises(ItemError, match="limit") as large:
            connector.fetch(item)
        assert large.value.item_code == "file_too_large"
        with pytest.raises(VanishedError):
            connector.fetch(replace(item, id=f"{site.url}/private/x"))


def test_headers_hold_secrets_and_go_to_this_site_only(site: Site) -> None:
    with serving() as other:
        site.routes["/docs/a"] = Reply(302, b"", {"location": other.url + "/docs/"})
        listing(site, headers={"x-key": {"secret": "KEY"}}, secrets={"KEY": "hunter2"})
        assert other.requests == []
    assert site.requests[-1].headers["x-key"] == "hunter2"
    with pytest.raises(InvalidError, match="'KEY'"):
        connect(site, headers={"x-key": {"secret": "KEY"}})


def sitemap(*entries: str) -> Reply:
    body = "".join(f"<url>{entry}</url>" for entry in entries)
    namespace = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    return Reply(200, f"<urlset {namespace}>{body}</urlset>".encode(), {"content-type": "application/xml"})


def test_a_sitemap_saves_asking(site: Site) -> None:
    where = f"{site.url}/docs"
    index = f"<sitemapindex><sitemap><loc>{site.url}/map.xml</loc></sitemap></sitemapindex>".encode()
    site.routes["/sitemap.xml"] = Reply(200, gzip.compress(index))
    site.routes["/map.xml"] = sitemap(
        f"<loc>{where}/a</loc><lastmod>2026-01-02</lastmod>",
        f"<loc>{where}/deep/c</loc>",
        f"<loc>{site.url}/private/x</loc>",
        "<loc>https://example.com/docs/</loc>",
    )
    changes = listing(site, sitemap=f"{site.url}/sitemap.xml")
    assert paths(site, changes) == {"a", "deep/c"}
    assert (site.asked("/docs/a"), site.asked("/docs/deep/c"), site.asked("/docs/deep/d.pdf")) == (0, 1, 0)
    item = items_of(changes)[f"{where}/a"]
    assert (item.version, item.modified_at) == ("2026-01-02", instant("2026-01-02"))


@pytest.mark.parametrize(
    "body",
    [
        b"<urlset>",
        b"<html/>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><urlset><url><loc>&a;</loc></url></urlset>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset/>',
        b"\x1f\x8bnot gzip",
    ],
)
def test_a_sitemap_that_is_broken_or_evil_is_refused(body: bytes, site: Site) -> None:
    if not body.startswith(b"<!DOCTYPE x SYSTEM"):
        with pytest.raises(SitemapError):
            list(read_sitemap(body))
    site.routes["/s.xml"] = Reply(200, body)
    if body.startswith(b"<!DOCTYPE x SYSTEM"):
        assert paths(site, listing(site, sitemap=f"{site.url}/s.xml")) == set(), "what it names is not read"
        return
    with pytest.raises(SourceError, match=r"/s\.xml"):
        listing(site, sitemap=f"{site.url}/s.xml")


def test_a_sitemap_that_unpacks_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.connectors.web_sitemap.MAX_BYTES", 1000)
    with pytest.raises(SitemapError, match="more than 1000"):
        list(read_sitemap(gzip.compress(b"<urlset>" + b" " * 100_000 + b"</urlset>")))


ROBOTS = """
User-agent: other
Disallow: /

User-agent: Ambit/2.0
User-agent: third
Allow: /docs/public
Disallow: /docs
Disallow: /*.tmp$
Disallow: /x*y
Disallow:
Crawl-delay: 2.5

user-agent: *
disallow: /everything
sitemap: https://example.com/map.xml
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True), ("/docs", False), ("/docs/a", False), ("/docs/public/a", True), ("/a.tmp", False),
        ("/a.tmp?x", True), ("/xaay", False), ("/xaa", True), ("/everything", True),
    ],
)  # fmt: skip
def test_robots_rules(path: str, allowed: bool) -> None:
    robots = parse_robots(ROBOTS, "Ambit")
    assert robots.allows(path) == allowed
    assert (robots.delay_s, list(robots.sitemaps)) == (2.5, ["https://example.com/map.xml"])
    assert not parse_robots(ROBOTS, "unknown").allows("/everything")
    assert parse_robots("", "Ambit").allows("/")


def test_addresses_have_one_spelling() -> None:
    assert normal("HTTP://Example.COM:80#x") == "http://example.com/"
    assert normal("https://example.com/a?b#c") == "https://example.com/a?b"
    assert [normal(one) for one in ("javascript:x", "mailto:a@b", "http://u@h/", "//")] == [None] * 4


def test_broken_html_is_read_as_far_as_it_goes() -> None:
    body = b'<base href="/b/"><title>T &amp; U</title><a href=x><a href="http://["><a rel=nofollow href=n><a name=q></p'
    found = read_page(body, "http://h/a/", httpx.Headers())
    assert (found.links, found.title) == (["http://h/b/x"], "T & U")
    assert (
        "é"
        in read_page(
            "<title>é</title>".encode("latin-1"),
            "http://h/",
            httpx.Headers({"content-type": "text/html; charset=latin-1"}),
        ).title
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prefix": "file:///etc"}, "only http"),
        ({"prefix": "https://u:p@h/"}, "no user name"),
        ({"sitemap": "x"}, "config.sitemap"),
        ({"rules": [{"paths": ["/abs"]}]}, "config.rules"),
        ({"rules": [{"paths": ["a"], "allow": ["somebody"]}]}, "no principal"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], said: str, site: Site) -> None:
    with pytest.raises(InvalidError, match=said):
        connect(site, **change)


def crawled(site: Site, cursor: dict[str, Any] | None = None, **config: Any) -> list[Change]:
    with closing(connect(site, **config)) as connector:
        return list(crawl(connector, cursor))


def test_a_crawl_of_access_asks_for_no_page_once_all_were_told(site: Site) -> None:
    first = crawled(site)
    assert set(accesses_of(first)) == set(items_of(listing(site)))
    site.requests.clear()
    again = crawled(site, end(first).cursor)
    assert (nodes_of(again), site.requests) == (nodes_of(first), [])
    assert (end(again).complete, end(again).access_complete, end(again).full) == (True, True, False)
    rules = [{"paths": ["deep/**"], "inherit": False, "allow": ["group:b"]}]
    changed = crawled(site, end(again).cursor, rules=rules)
    stated = {one.id.removeprefix(f"{site.url}/docs/") for one in accesses_of(changed).values() if one.access}
    assert stated == {"deep/c", "deep/d.pdf"}


def test_a_crawl_of_access_that_missed_a_page_asks_again(site: Site) -> None:
    good = site.routes["/docs/a"]
    site.routes["/docs/a"] = Reply(500)
    missed = crawled(site)
    site.routes["/docs/a"] = good
    assert f"{site.url}/docs/a" in accesses_of(crawled(site, end(missed).cursor))


def test_a_crawl_of_access_that_was_cut_off_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_crawl, "CHECKPOINT_EVERY", 2)
    whole = crawled(site)
    rest = next(one for one in whole if isinstance(one, Checkpoint))
    after = crawled(site, rest.cursor)
    assert end(after) == end(whole)
    assert 0 < len(accesses_of(after)) < len(accesses_of(whole))
