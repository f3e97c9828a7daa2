from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import InvalidError
from ingest.connectors import fsspec as module
from ingest.connectors import registry
from ingest.connectors.conformance import items_of, nodes_of
from ingest.model import Change, Checkpoint, Connector, ConnectorContext, ItemError, Problem, SourceError, VanishedError
from policies.model import access_spec

ROOT = access_spec(["everyone"])


@pytest.fixture(autouse=True)
def store() -> Iterator[MemoryFileSystem]:
    made = MemoryFileSystem()
    made.store.clear()
    made.pseudo_dirs[:] = [""]
    for name in ("top.md", "hr/pay.md", "hr/old/a.md", "it/b.md", ".hidden/x.md", "it/.secret"):
        made.pipe_file(f"/bucket/{name}", name.encode())
    yield made
    made.store.clear()
    made.pseudo_dirs[:] = [""]


def connect(**config: Any) -> Connector:
    context = ConnectorContext(Path("/x"), ROOT, max_bytes=100, secrets={"S": "hunter2"})
    return registry.make("fsspec", {"url": "memory://bucket", **config}, context)


def listing(cursor: Any = None, **config: Any) -> list[Change]:
    return list(connect(**config).changes(cursor))


def test_folders_are_nodes_and_objects_items() -> None:
    changes = listing()
    assert list(nodes_of(changes)) == ["", "hr", "hr/old", "it"]
    items = items_of(changes)
    assert set(items) == {"top.md", "hr/pay.md", "hr/old/a.md", "it/b.md"}
    assert (items["hr/old/a.md"].node, items["hr/old/a.md"].uri) == ("hr/old", "memory://bucket/hr/old/a.md")
    assert items["top.md"].modified_at is not None
    assert connect().fetch(items["hr/pay.md"]).body == b"hr/pay.md"


def test_rules_state_access_by_prefix() -> None:
    rules = [
        {"paths": ["hr/**"], "inherit": False, "allow": ["group:hr"]},
        {"paths": ["hr/old/**"], "deny": ["user:bob"]},
    ]
    items = items_of(listing(rules=rules))
    assert items["hr/pay.md"].access == access_spec(["group:hr"], mode="break")
    assert items["hr/old/a.md"].access == access_spec(deny=["user:bob"])
    assert items["top.md"].access is None


def test_patterns_choose_what_is_read() -> None:
    assert set(items_of(listing(exclude=["hr/old"]))) == {"top.md", "hr/pay.md", "it/b.md"}
    assert set(items_of(listing(include=["it/*"]))) == {"it/b.md"}


def test_a_cut_off_listing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 1)
    marks = [one for one in listing() if isinstance(one, Checkpoint)]
    assert set(items_of(listing(marks[1].cursor))) == {"hr/old/a.md", "it/b.md"}
    assert len(items_of(listing(marks[1].cursor, exclude=["none"]))) == 4, "another configuration starts over"


def test_an_object_is_handed_out_only_as_it_was_listed(store: MemoryFileSystem) -> None:
    items = items_of(listing())
    store.pipe_file("/bucket/hr/pay.md", b"other")
    store.rm("/bucket/top.md")
    with pytest.raises(ItemError) as caught:
        connect().fetch(items["hr/pay.md"])
    assert (caught.value.item_code, caught.value.item_transient) == ("item_changed", True)
    with pytest.raises(VanishedError):
        connect().fetch(items["top.md"])


def test_what_is_too_large_is_told(store: MemoryFileSystem) -> None:
    store.pipe_file("/bucket/big.bin", b"x" * 101)
    assert {one.id: one.code for one in listing() if isinstance(one, Problem)} == {"big.bin": "file_too_large"}


def test_a_place_that_is_empty_or_missing_is_no_empty_source(store: MemoryFileSystem) -> None:
    store.mkdir("/empty")
    with pytest.raises(SourceError, match="holds nothing"):
        listing(url="memory://empty")
    with pytest.raises(SourceError, match="not there"):
        listing(url="memory://nowhere")


def test_files_of_this_machine_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.md").write_text("text")
    config = {"url": f"file://{tmp_path}"}
    item = items_of(listing(**config))["a/b.md"]
    os.utime(tmp_path / "a/b.md", (1, 1))
    with pytest.raises(ItemError, match="changed"):
        connect(**config).fetch(item)


def test_an_error_of_a_library_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("key hunter2 is refused")

    monkeypatch.setattr(MemoryFileSystem, "ls", refuse)
    with pytest.raises(SourceError, match="RuntimeError") as caught:
        listing(options={"secret": {"secret": "S"}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["bucket", "http://h/x", "zip://a.zip", "filecache::s3://b", "s3://key:secret@bucket/x", "github://o:r@/"]
)
def test_stores_that_are_not_meant_are_refused(url: str) -> None:
    with pytest.raises(InvalidError, match=r"config\.url"):
        connect(url=url)


def test_a_protocol_without_its_library_says_what_to_install() -> None:
    with pytest.raises((InvalidError, SourceError)):
        connect(url="nosuch://x").check()
