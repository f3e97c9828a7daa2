"""No source reads what is the installation's own: not its keys, not its database, by no name and on no way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from ingest.connectors import registry
from ingest.connectors.own import own_paths
from ingest.model import ConnectorContext, ItemRef, SourceError, Upsert, VanishedError
from policies.model import access_spec
from tests.factories.installation import Installation

READERS = access_spec(allow=["everyone"])


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose data folder lies in the folder that its source reads."""
    (tmp_path / "lamp.md").write_text("The lamp turns every nine seconds.")
    made = Installation(tmp_path / "data")
    made.runtime.keyring.derive("made")
    made.add_user("ana")
    made.add_folder(tmp_path)
    yield made
    made.close()


def context(made: Installation) -> ConnectorContext:
    return ConnectorContext(made.settings.data_dir.parent, READERS, own=own_paths(made.settings))


def connector(made: Installation, name: str, **config: Any) -> Any:
    return registry.make(name, config, context(made))


def listed(made: Installation, **config: Any) -> set[str]:
    found = connector(made, "folder", **config)
    return {one.item.id for one in found.changes(None) if isinstance(one, Upsert)}


def test_a_source_around_the_data_folder_passes_over_it(inside: Installation) -> None:
    assert (inside.settings.data_dir / "keys").exists()
    assert inside.sync().state == "succeeded"
    assert set(inside.documents()) == {"lamp.md"}


def test_the_locks_on_the_database_stay(inside: Installation) -> None:
    """Else the next process that leaves takes itself for the last, and removes the log that is still written to."""
    assert inside.sync().state == "succeeded"
    path = str(inside.settings.data_dir / "ambit.db")
    leave = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM user'); c.close()"
    subprocess.run([sys.executable, "-c", leave, path], check=True, timeout=60)
    inside.add_user("bob")
    other = sqlite3.connect(path)
    assert ("bob",) in other.execute('SELECT "key" FROM user').fetchall()
    other.close()


@pytest.mark.parametrize("path", ["data", "data/index", "data/../data", "link", "link/index"])
def test_the_data_folder_is_no_source(inside: Installation, path: str) -> None:
    (inside.settings.data_dir / "index").mkdir(exist_ok=True)
    (inside.settings.data_dir.parent / "link").symlink_to(inside.settings.data_dir)
    for name in ("folder", "mail"):
        with pytest.raises(SourceError, match="own"):
            connector(inside, name, path=path).check()


def test_links_lead_nowhere_either(inside: Installation) -> None:
    home = inside.settings.data_dir.parent
    (home / "linked").symlink_to("data")
    (home / "key.txt").symlink_to("data/keys")
    os.link(home / "data" / "keys", home / "hard.txt")
    os.link(home / "data" / "ambit.db", home / "hard.db")
    for follow in (True, False):
        assert listed(inside, path=".", follow_links=follow) == {"lamp.md"}


def test_what_was_listed_once_is_gone(inside: Installation) -> None:
    item = ItemRef(id="data/keys", node="data", title="keys", uri="file:///x", data={"path": "data/keys"})
    with pytest.raises(VanishedError):
        connector(inside, "folder", path=".").fetch(item)


def test_a_database_elsewhere_is_own_too(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "note.txt").write_text("A note.")
    url = f"sqlite:///{tmp_path}/shared/own.db"
    made = Installation(tmp_path / "data", database_url=url)
    try:
        made.add_user("ana")
        made.add_folder(tmp_path / "shared")
        assert made.sync().state == "succeeded"
        assert set(made.documents()) == {"note.txt"}
        assert made.items(1).keys() == {"note.txt"}
    finally:
        made.close()


def test_other_connectors_refuse_it(inside: Installation) -> None:
    home = inside.settings.data_dir.parent
    table = {"name": "user", "key": "id", "title": "key", "text": "key"}
    with pytest.raises(SourceError, match="own"):
        connector(inside, "sql", url="sqlite:///data/ambit.db", tables=[table]).check()
    for url in (f"file://{home}", f"file://{home}/data", f"local://{home}/data/index"):
        with pytest.raises(SourceError, match="own"):
            connector(inside, "fsspec", url=url).check()
    reader = "llama_index.core.readers.SimpleDirectoryReader"
    for arguments in ({"input_dir": str(home)}, {"input_files": [str(home / "data" / "keys")]}):
        with pytest.raises(SourceError, match="own"):
            connector(inside, "llamaindex", reader=reader, arguments=arguments).check()


def test_a_hidden_data_folder_beside_documents_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("The lamp turns.")
    (tmp_path / ".ambit").mkdir()
    own = own_paths(Settings(_env_file=None, data_dir=tmp_path / ".ambit"))
    made = registry.make("fsspec", {"url": f"file://{tmp_path}"}, ConnectorContext(tmp_path, READERS, own=own))
    assert [one.item.id for one in made.changes(None) if isinstance(one, Upsert)] == ["lamp.md"]
