from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.folder import FolderConnector
from ingest.connectors.push import PushConnector
from ingest.connectors.skeleton import write_skeleton
from ingest.model import Checkpoint, ConnectorContext, ItemError, ItemRef, NodeChange
from policies.model import access_spec

CONTEXT = ConnectorContext(Path("/nowhere"), access_spec(["everyone"]))


def test_our_connectors_are_registered() -> None:
    assert {"folder", "push", "sql"} <= set(registry.names())
    assert registry.connector_class("folder") is FolderConnector


def test_an_unknown_connector_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidError, match=r"'sharepoint'.*folder, .*push, .*sql"):
        registry.make("sharepoint", {}, CONTEXT)


def test_a_connector_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_skeleton("other-wiki", tmp_path)
    told = tmp_path / "ambit_other_wiki-0.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: ambit_other_wiki\nVersion: 0.1.0\n")
    (told / "entry_points.txt").write_text(
        "[ambit.connectors]\nother-wiki = ambit_other_wiki:OtherWikiConnector\nbroken = ambit_no_such_module:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"folder", "other-wiki", "broken"} <= set(registry.names())
    assert registry.make("other-wiki", {"path": "notes.json"}, CONTEXT).name == "other-wiki"
    with pytest.raises(InvalidError, match="'broken' is installed but cannot be loaded"):
        registry.make("broken", {}, CONTEXT)
    listed = CliRunner().invoke(app, ["connectors", "list", "--json"])
    shown = {one["name"]: one["title"] for one in json.loads(listed.stdout)["connectors"]}
    assert (shown["other-wiki"], shown["broken"]) == ("OtherWiki", "cannot be loaded")


def test_description_carries_the_schema() -> None:
    found = registry.describe("sql")
    assert (found.name, found.title) == ("sql", "SQL database")
    assert {"url", "tables"} == set(found.schema["required"])


def test_wrong_settings_are_named_by_field_and_never_quoted() -> None:
    tables = [{"name": "t", "key": "id", "title": "{id}", "colour": 1}]
    with pytest.raises(InvalidError) as caught:
        registry.make("sql", {"url": "sqlite:///x.db", "tables": tables, "batch": "hunter2"}, CONTEXT)
    assert {one["field"] for one in caught.value.extra["errors"]} == {"config.tables.0.colour", "config.batch"}
    assert "hunter2" not in str(caught.value)


def test_push_states_the_root_and_deletes_nothing() -> None:
    connector = PushConnector(PushConnector.Config(), CONTEXT)  # type: ignore[arg-type]
    root, end = connector.changes(None)
    assert isinstance(root, NodeChange)
    assert (root.key, root.access.mode, len(root.access.entries)) == ("", "break", 1)
    assert end == Checkpoint({"done": True}, complete=True, full=False)
    with pytest.raises(ItemError, match="uploaded"):
        connector.fetch(ItemRef("doc", "", "doc", ""))
