"""The outbound client reaches nothing that it should not, by whatever road."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest

from core.addresses import BlockedError, OutboundError, unwrapped
from core.outbound import AnswerTooLargeError, Outbound, OutsideError, retry_after, shown
from tests.factories.http_site import Reply, Site, serving

LOOPBACK = ("127.0.0.1",)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        made.routes["/"] = Reply(200, b"hello", {"content-type": "text/plain; charset=utf-8"})
        yield made


@contextmanager
def client(allow: Sequence[str] = LOOPBACK, **options: object) -> Iterator[Outbound]:
    with closing(Outbound(allow, **options)) as made:  # type: ignore[arg-type]
        yield made


def test_an_allowed_address_is_reached(site: Site) -> None:
    with client() as outbound:
        answer = outbound.get(site.url + "/", max_bytes=100)
    assert (answer.status, answer.body, answer.mime) == (200, b"hello", "text/plain")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0", "[::1]", "[::]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "169.254.169.254", "[fe80::1]", "[fd00::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
        "224.0.0.1", "[ff02::1]", "255.255.255.255",
    ],
)  # fmt: skip
def test_addresses_of_the_network_are_refused_in_every_notation(host: str, site: Site) -> None:
    port = site.url.rpartition(":")[2]
    with client(()) as outbound, pytest.raises((BlockedError, OutboundError)) as caught:
        outbound.get(f"http://{host}:{port}/", max_bytes=100)
    assert isinstance(caught.value, BlockedError) or "cannot be resolved" in str(caught.value)
    assert site.requests == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/", "gopher://x/", "http:///x", "not a url", "http://u:p@host/", ""]
)
def test_what_is_no_plain_http_address_is_refused(url: str) -> None:
    with client() as outbound, pytest.raises(BlockedError) as caught:
        outbound.get(url, max_bytes=100)
    assert ":p@" not in str(caught.value)


def test_a_name_that_changes_its_answer_gains_nothing(site: Site) -> None:
    """The rebinding stub: public when it is asked first, loopback from then on."""
    answers = [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]]
    asked: list[str] = []
    dialled: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    with client((), resolver=resolver) as outbound:
        backend = outbound._client._transport._pool._network_backend  # type: ignore[attr-defined]
        backend._inner.connect_tcp = lambda host, *_: dialled.append(host) or (_ for _ in ()).throw(OutboundError("x"))
        with pytest.raises(OutboundError):
            outbound.get("http://rebind.example/", max_bytes=100)
        assert (asked, dialled) == (["rebind.example"], ["93.184.216.34"]), "one answer, checked and dialled"
        with pytest.raises(BlockedError):
            outbound.get("http://rebind.example/", max_bytes=100)
    assert dialled == ["93.184.216.34"]
    assert site.requests == []


def test_one_bad_address_among_good_ones_is_refused() -> None:
    with client((), resolver=lambda _h, _p: ["93.184.216.34", "10.0.0.1"]) as outbound, pytest.raises(BlockedError):
        outbound.get("http://mixed.example/", max_bytes=100)


def test_an_allowed_host_may_be_anywhere_and_another_may_not(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    with client(("wiki.example",), resolver=lambda _h, _p: ["127.0.0.1"]) as outbound:
        assert outbound.get(f"http://wiki.example:{port}/", max_bytes=100).status == 200
        with pytest.raises(BlockedError):
            outbound.get(f"http://wiki.example.evil:{port}/", max_bytes=100)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
    ],
)
def test_each_redirect_is_checked(target: str, site: Site) -> None:
    site.routes["/out"] = Reply(302, b"", {"location": target})
    with client() as outbound, pytest.raises(BlockedError):
        outbound.get(site.url + "/out", max_bytes=100)


def test_redirects_are_counted_kept_within_and_can_be_refused(site: Site) -> None:
    site.routes["/loop"] = Reply(302, b"", {"location": "/loop"})
    site.routes["/on"] = Reply(301, b"", {"location": "/"})
    with client() as outbound:
        with pytest.raises(OutboundError, match="more than 2 redirects"):
            outbound.get(site.url + "/loop", max_bytes=100, redirects=2)
        assert outbound.get(site.url + "/on", max_bytes=100).url == site.url + "/"
        assert outbound.get(site.url + "/on", max_bytes=100, redirects=0).status == 301
        with pytest.raises(OutsideError):
            outbound.get(site.url + "/on", max_bytes=100, within=lambda url: url.endswith("/on"))


def test_headers_stay_with_the_origin_they_were_meant_for(site: Site) -> None:
    with serving() as other:
        other.routes["/"] = Reply(200, b"there")
        site.routes["/out"] = Reply(302, b"", {"location": other.url + "/"})
        with client() as outbound:
            sent = {"authorization": "Bearer hunter2", "x-key": "hunter2", "accept": "text/html"}
            assert outbound.get(site.url + "/out", headers=sent, max_bytes=100).body == b"there"
        assert "hunter2" not in str(other.requests[0].headers)
        assert other.requests[0].headers["accept"] == "text/html"
        assert site.requests[0].headers["x-key"] == "hunter2"


def test_a_cookie_is_not_sent_again(site: Site) -> None:
    site.routes["/set"] = Reply(200, b"", {"set-cookie": "id=7"})
    with client() as outbound:
        outbound.get(site.url + "/set", max_bytes=100)
        outbound.get(site.url + "/", max_bytes=100)
    assert "cookie" not in site.requests[1].headers


def test_a_large_answer_is_given_up(site: Site) -> None:
    site.routes["/big"] = Reply(200, b"x" * 101)
    with client() as outbound:
        with pytest.raises(AnswerTooLargeError):
            outbound.get(site.url + "/big", max_bytes=100)
        assert outbound.get(site.url + "/big", max_bytes=101).body == b"x" * 101
        assert outbound.get(site.url + "/big", max_bytes=1, wanted=lambda _: False).body == b""


def test_an_endless_answer_without_a_length_is_given_up() -> None:
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 100_000
    with _raw(answer) as url, client() as outbound, pytest.raises(AnswerTooLargeError):
        outbound.get(url, max_bytes=1000)


def test_a_server_that_never_ends_its_headers_is_given_up() -> None:
    with (
        _raw(b"HTTP/1.1 200 OK\r\nx-drip: ", drip=True) as url,
        client(timeout_s=0.3) as outbound,
        pytest.raises(OutboundError, match="Timeout"),
    ):
        outbound.get(url, max_bytes=1000)


def test_what_does_not_answer_is_named_without_its_query() -> None:
    with client() as outbound, pytest.raises(OutboundError) as caught:
        outbound.get("http://127.0.0.1:1/path?token=hunter2", max_bytes=100)
    assert "127.0.0.1:1/path" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert shown("https://u:p@h/x?y") == "https://h/x"


def test_a_proxy_of_the_environment_is_no_way_round(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with client() as outbound:
        assert outbound.get(site.url + "/", max_bytes=100).status == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


def test_ordinary_addresses_are_left_as_they_are() -> None:
    from ipaddress import ip_address

    for text in ("93.184.216.34", "2606:4700::1111"):
        assert unwrapped(ip_address(text)) == ip_address(text)


@contextmanager
def _raw(answer: bytes, *, drip: bool = False) -> Iterator[str]:
    """A server that sends `answer` whatever it is asked, and with `drip` one byte after another for ever."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.recv(10_000)
                connection.sendall(answer)
                while drip and not stop.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        thread.join()
        listener.close()
