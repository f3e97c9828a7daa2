"""The IMAP connector against a real Dovecot."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from ingest.connectors import imap, registry
from ingest.connectors.conformance import ConnectorConformance, items_of
from ingest.connectors.imap import ImapConnector
from ingest.model import Checkpoint, Connector, ConnectorContext, Delete, ItemRef, SourceError, VanishedError
from policies.model import access_spec
from tests.factories import dovecot
from tests.factories.mails import mail

pytestmark = pytest.mark.integration
ROOT = access_spec(["everyone"])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with dovecot.running() as found:
        yield found


class TestImap(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = ImapConnector
    incremental = True
    mutable = False

    @pytest.fixture(autouse=True)
    def source(self, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(imap, "CHECKPOINT_EVERY", 2)
        self.port, self.user = port, uuid4().hex
        self.domains: list[str] = []
        self.client = imaplib.IMAP4("127.0.0.1", port)
        self.client.login(self.user, "hunter2")
        self.client.create("Entw&APw-rfe")
        for number in range(1, 5):
            self.append("INBOX", number)
        for number in range(5, 8):
            self.append("Entw&APw-rfe", number)
        yield
        self.client.logout()

    def append(self, folder: str, number: object, **more: Any) -> None:
        assert self.client.append(folder, "", "", mail(number, **more))[0] == "OK"  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self.port, "tls": "none", "user": self.user, "password": {"secret": "P"},
            "folders": ["INBOX", "Entwürfe"], "domains": self.domains,
        }  # fmt: skip

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/x"), ROOT, max_bytes=10_000, secrets={"P": "hunter2"}, outbound=("127.0.0.1",))

    def add(self) -> str:
        self.append("INBOX", "new")
        said = dict(re.findall(rb"(UID\w+) (\d+)", self.client.status("INBOX", "(UIDVALIDITY UIDNEXT)")[1][0]))
        return f"INBOX/{int(said[b'UIDVALIDITY'])}/{int(said[b'UIDNEXT']) - 1}"

    def delete(self, item: ItemRef) -> None:
        folder = "INBOX" if item.data["folder"] == "INBOX" else "Entw&APw-rfe"
        self.client.select(folder)
        self.client.uid("STORE", str(item.data["uid"]), "+FLAGS", "(\\Deleted)")
        self.client.expunge()
        self.client.unselect()

    def revoke(self, item: ItemRef) -> None:
        self.domains = ["other.example"]

    def test_attachments_come_and_go_with_their_mail(self) -> None:
        self.append("INBOX", "with", files={"a.txt": b"one", "b.txt": b"two"})
        first = self.listing()
        item = next(one for one in items_of(first).values() if one.title == "Mail with")
        with self.connected() as connector:
            assert connector.fetch(items_of(first)[f"{item.id}/2"]).body == b"two"
        self.delete(item)
        end = first[-1]
        assert isinstance(end, Checkpoint)
        gone = {one.id for one in self.listing(end.cursor) if isinstance(one, Delete)}
        assert gone == {item.id, f"{item.id}/1", f"{item.id}/2"}

    def test_a_folder_made_anew_shares_no_id_with_the_old_one(self) -> None:
        first = self.listing()
        end = first[-1]
        assert isinstance(end, Checkpoint)
        old = {key for key, one in items_of(first).items() if one.data["folder"] != "INBOX"}
        cursor = {**end.cursor, "folders": {**end.cursor["folders"]}}
        cursor["folders"]["Entwürfe"] = {"validity": 1, "mails": {"1": 1}}
        again = self.listing(cursor)
        assert {one.id for one in again if isinstance(one, Delete)} == {"Entwürfe/1/1", "Entwürfe/1/1/1"}
        assert set(items_of(again)) == old
        stale = items_of(first)[min(old)]
        with self.connected() as connector, pytest.raises(VanishedError):
            connector.fetch(ItemRef(stale.id, stale.node, "", "", data={**stale.data, "validity": 1}))

    def test_reading_marks_nothing_as_seen_and_survives_a_lost_connection(self) -> None:
        with self.connected() as connector:
            items = items_of(list(connector.changes(None)))
            connector._mailbox._connection.shutdown()  # type: ignore[attr-defined]
            assert connector.fetch(next(iter(items.values()))).body
        assert self.client.status("INBOX", "(UNSEEN)")[1][0].endswith(b"(UNSEEN 4)")

    def test_a_wrong_password_and_a_missing_folder_are_said(self) -> None:
        context = ConnectorContext(Path("/x"), ROOT, secrets={"P": "wrong-pw"}, outbound=("127.0.0.1",))
        with closing(registry.make("imap", self.config(), context)) as connector:
            with pytest.raises(SourceError) as caught:
                connector.check()
            assert "wrong-pw" not in str(caught.value)
        body = {**self.config(), "folders": ["Nowhere"]}
        with (
            closing(registry.make("imap", body, self.context())) as connector,
            pytest.raises(SourceError, match="Nowhere"),
        ):
            connector.check()
