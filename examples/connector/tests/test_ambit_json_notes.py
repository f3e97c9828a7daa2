"""The connector keeps every promise that Ambit relies on, and those of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import ambit_json_notes
import pytest

from ingest.connectors.conformance import ConnectorConformance, nodes_of
from ingest.model import Connector, ConnectorContext, ItemRef, Problem
from policies.model import CLOSED, access_spec


class TestConformance(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = ambit_json_notes.JsonNotesConnector

    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A source to read; a real server, or one that speaks its protocol, is better than a fake object."""
        monkeypatch.setattr(ambit_json_notes, "CHECKPOINT_EVERY", 2)
        self.base = tmp_path
        notes = {str(number): {"title": f"Note {number}", "text": "text"} for number in range(3)}
        self.body: dict[str, Any] = {
            "a": {"readers": ["group:a"], "notes": dict(notes)},
            "b": {"readers": ["everyone"], "notes": dict(notes)},
        }
        self.write()

    def write(self) -> None:
        (self.base / "notes.json").write_text(json.dumps(self.body))

    def config(self) -> dict[str, Any]:
        return {"path": "notes.json"}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, access_spec(["everyone"]))

    def add(self) -> str:
        self.body["a"]["notes"]["new"] = {"title": "New", "text": "text"}
        self.write()
        return "a/new"

    def change(self, item: ItemRef) -> None:
        self.body[item.node]["notes"][item.data["key"]] = {"title": "Other", "text": "other"}
        self.write()

    def delete(self, item: ItemRef) -> None:
        del self.body[item.node]["notes"][item.data["key"]]
        self.write()

    def revoke(self, item: ItemRef) -> None:
        self.body[item.node]["readers"] = ["group:other"]
        self.write()

    def test_access_that_is_not_understood_closes(self) -> None:
        self.body["a"]["readers"] = ["nobody in particular"]
        self.write()
        changes = self.listing()
        assert nodes_of(changes)["a"].access == CLOSED
        assert [one.code for one in changes if isinstance(one, Problem)] == ["access_malformed"]
