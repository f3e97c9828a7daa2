from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.conformance import items_of, nodes_of
from ingest.connectors.imap import _imap_date
from ingest.connectors.imap_client import quoted
from ingest.connectors.mail_message import MailConfig, access, attachments, parse, split_mbox
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    EmptyError,
    ItemError,
    Problem,
    SourceError,
    VanishedError,
)
from policies.model import access_spec
from tests.factories.mails import mail

ROOT = access_spec(["everyone"])
MBOX = b"From bob Fri Jan  2 2026\n" + mail(1) + b"\nFrom bob Fri Jan  2 2026\n" + mail(2, text="x\n>From y\nFrom z")


def connect(tmp_path: Path, *, max_bytes: int = 10_000, **config: Any) -> Connector:
    return registry.make("mail", {"path": "post", **config}, ConnectorContext(tmp_path, ROOT, max_bytes=max_bytes))


def listing(tmp_path: Path, **config: Any) -> list[Change]:
    return list(connect(tmp_path, **config).changes(None))


@pytest.fixture
def post(tmp_path: Path) -> Path:
    folder = tmp_path / "post"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.eml").write_bytes(
        mail("one", to="Ana <ANA@Example.com>, eve@other.org", files={"plan.pdf": b"%PDF"})
    )
    (folder / "sub/old.mbox").write_bytes(MBOX)
    (folder / "notes.txt").write_text("no mail")
    return folder


def test_a_mail_is_read_by_those_who_took_part(tmp_path: Path, post: Path) -> None:
    changes = listing(tmp_path)
    items = items_of(changes)
    item = items["one.eml"]
    people = ["user:ana@example.com", "user:bob@example.com", "user:eve@other.org"]
    assert item.access == access_spec(people, mode="break")
    assert (item.title, item.modified_at) == ("Mail one", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert items["one.eml/1"].access == item.access, "an attachment goes with its mail"
    assert items["one.eml/1"].title == "plan.pdf (Mail one)"
    assert list(nodes_of(changes)) == ["", "sub"]
    assert len(items) == 4
    narrow = items_of(listing(tmp_path, domains=["example.com"]))["one.eml"]
    assert narrow.access == access_spec(people[:2], mode="break")
    assert items_of(listing(tmp_path, readers="source"))["one.eml"].access is None
    assert "one.eml/1" not in items_of(listing(tmp_path, attachments=False))


def test_mails_and_attachments_are_fetched(tmp_path: Path, post: Path) -> None:
    connector = connect(tmp_path)
    items = items_of(listing(tmp_path))
    assert connector.fetch(items["one.eml"]).mime == "message/rfc822"
    attached = connector.fetch(items["one.eml/1"])
    assert (attached.name, attached.body, attached.mime) == ("plan.pdf", b"%PDF", "application/pdf")
    second = next(one for key, one in items.items() if one.title == "Mail 2")
    body = connector.fetch(second).body
    assert isinstance(body, bytes)
    assert body.startswith(b"From: Bob")
    assert b"z" in body


def test_a_mail_that_changed_or_went_is_not_handed_out(tmp_path: Path, post: Path) -> None:
    items = items_of(listing(tmp_path))
    connector = connect(tmp_path)
    (post / "sub/old.mbox").write_bytes(b"\n" + MBOX)
    second = next(one for one in items.values() if one.title == "Mail 2")
    with pytest.raises(ItemError) as caught:
        connector.fetch(second)
    assert caught.value.item_code == "item_changed"
    (post / "one.eml").unlink()
    with pytest.raises(VanishedError):
        connector.fetch(items["one.eml"])
    (post / "one.eml").symlink_to("/etc/passwd")
    with pytest.raises(ItemError):
        connector.fetch(items["one.eml"])


def test_a_mail_keeps_its_id_when_the_file_grows_or_repeats_it(tmp_path: Path, post: Path) -> None:
    before = set(items_of(listing(tmp_path)))
    again = b"From bob Fri Jan  2 2026\n"
    (post / "sub/old.mbox").write_bytes(
        again + mail(0) + b"\n" + MBOX + b"\n" + again + mail(1) + b"\n" + again + mail(1)
    )
    after = items_of(listing(tmp_path))
    assert before < set(after)
    assert len(after) == len(before) + 3


def test_what_cannot_be_taken_deletes_nothing(tmp_path: Path, post: Path) -> None:
    (post / "big.eml").write_bytes(mail("big", text="x" * 5000))
    (post / "link.eml").symlink_to("/etc/passwd")
    changes = listing(tmp_path, max_bytes=3000)
    assert {one.id: one.code for one in changes if isinstance(one, Problem)} == {
        "big.eml/@0": "file_too_large", "link.eml": "file_unreadable",
    }  # fmt: skip
    assert isinstance(changes[-1], Checkpoint)
    assert not changes[-1].full


def test_an_empty_attachment_is_passed_over(tmp_path: Path, post: Path) -> None:
    (post / "one.eml").write_bytes(mail("one", files={"empty.bin": b""}))
    with pytest.raises(EmptyError):
        connect(tmp_path).fetch(items_of(listing(tmp_path))["one.eml/1"])


def test_a_missing_or_empty_folder_is_no_empty_source(tmp_path: Path) -> None:
    for made in (False, True):
        if made:
            (tmp_path / "post").mkdir()
        with pytest.raises(SourceError):
            listing(tmp_path)


@pytest.mark.parametrize(
    "value",
    ["", "nobody", "a b@example.com", "undisclosed-recipients:;", "@example.com", "a@b@c"],
)
def test_what_is_no_address_opens_nothing(value: str) -> None:
    message = parse(f"To: {value}\n\nx".encode())
    assert access(message, MailConfig()) == access_spec(mode="break")


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe", b"Subject: =?x?b?!!?=\n\n", b"Content-Type: multipart/mixed\n\nx", b"To: =?utf-8?q?=\n"]
)
def test_hostile_mail_is_read_as_far_as_it_goes(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "post").mkdir()
    (tmp_path / "post/x.eml").write_bytes(raw)
    assert set(items_of(listing(tmp_path))) == {"x.eml"}


def test_names_of_attachments_are_no_paths() -> None:
    found = attachments(parse(mail(1, files={"../../etc/passwd": b"x"})))
    assert [("/" in one.name, one.name.isprintable()) for one in found] == [(False, True)]


def test_mbox_is_split_at_its_separators() -> None:
    lines = [b"From a\n", b"x\n", b"From no\n", b"\n", b"From b\n", b"y"]
    whole = b"".join(lines)
    assert [whole[start:stop] for start, stop in split_mbox(lines)] == [b"x\nFrom no\n\n", b"y"]
    assert list(split_mbox([b"no mbox"])) == []


def test_imap_names_and_dates_are_written_as_it_wants() -> None:
    assert quoted('a"b\\c & d') == '"a\\"b\\\\c &- d"'
    assert quoted("Entwürfe/日本") == '"Entw&APw-rfe/&ZeVnLA-"'
    assert _imap_date(datetime(2026, 3, 7, tzinfo=UTC)) == "7-Mar-2026"


def test_an_imap_host_that_is_not_public_is_refused() -> None:
    context = ConnectorContext(Path("/x"), ROOT, secrets={"P": "hunter2"})
    body = {"host": "127.0.0.1", "user": "ana", "password": {"secret": "P"}}
    with pytest.raises(SourceError, match="not public"):
        registry.make("imap", body, context).check()
    with pytest.raises(InvalidError, match="'P'"):
        registry.make("imap", body, ConnectorContext(Path("/x"), ROOT))
