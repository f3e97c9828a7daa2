"""Readers of LlamaIndex as sources, with its own reader of JSON Lines and with one that does what a test says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from core.errors import InvalidError
from ingest.connectors import registry
from ingest.connectors.conformance import ConnectorConformance, items_of
from ingest.connectors.llamaindex import LlamaIndexConnector
from ingest.model import Change, Connector, ConnectorContext, EmptyError, ItemRef, Problem, SourceError
from policies.model import CLOSED, access_spec

ROOT = access_spec(["everyone"])


class Store:
    """What the reader brings, and what it was given."""

    documents: ClassVar[list[Any]] = []
    given: ClassVar[list[Any]] = []


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader under an import path of LlamaIndex, with its own base class and documents."""
    from llama_index.core.readers.base import BaseReader

    class ScriptedReader(BaseReader):
        def __init__(self, **arguments: Any) -> None:
            Store.given = [arguments]

        def load_data(self, **arguments: Any) -> list[Any]:
            Store.given.append(arguments)
            if "fail" in arguments:
                raise RuntimeError("secret text")
            return list(Store.documents)

    module = ModuleType("llama_index.readers.scripted")
    module.__dict__["ScriptedReader"] = ScriptedReader
    monkeypatch.setitem(sys.modules, "llama_index.readers.scripted", module)
    Store.documents = [document(str(number)) for number in range(4)]
    yield
    Store.documents = []


def document(doc_id: str, text: str = "text", /, **metadata: Any) -> Any:
    from llama_index.core import Document

    return Document(text=text, doc_id=doc_id, metadata=metadata)


BODY = {"reader": "llama_index.readers.scripted.ScriptedReader"}
RULED = {"allow": "readers", "deny": "blocked", "classification": "class"}


def connect(**config: Any) -> Connector:
    context = ConnectorContext(Path("/x"), ROOT, max_bytes=1000, secrets={"T": "hunter2"})
    return registry.make("llamaindex", {**BODY, **config}, context)


def listing(**config: Any) -> list[Change]:
    return list(connect(**config).changes(None))


class TestConformance(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = LlamaIndexConnector
    resumes = False

    def config(self) -> dict[str, Any]:
        return {**BODY, "allow": "readers"}

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/x"), ROOT)

    def add(self) -> str:
        Store.documents.append(document("new"))
        return "new"

    def change(self, item: ItemRef) -> None:
        self.delete(item)
        Store.documents.append(document(item.id, "other"))

    def delete(self, item: ItemRef) -> None:
        Store.documents = [one for one in Store.documents if one.doc_id != item.id]

    def revoke(self, item: ItemRef) -> None:
        self.delete(item)
        Store.documents.append(document(item.id, readers="group:a"))


def test_access_comes_from_metadata() -> None:
    Store.documents = [
        document("1", readers=["group:a", "user:b"], blocked="user:c", **{"class": "restricted"}),
        document("2"),
        document("3", readers=["nobody in particular"]),
    ]
    changes = listing(**RULED)
    items = items_of(changes)
    labels = {"classification": "restricted"}
    assert items["1"].access == access_spec(["group:a", "user:b"], ["user:c"], mode="break", labels=labels)
    assert items["2"].access == access_spec(mode="break"), "nobody is named, so nobody reads it"
    assert items["3"].access == CLOSED
    assert [(one.id, one.code) for one in changes if isinstance(one, Problem)] == [("3", "access_malformed")]
    Store.documents = [document("1", readers="a, b")]
    prefixed = items_of(listing(allow="readers", prefix="group:"))["1"].access
    assert prefixed == access_spec(["group:a", "group:b"], mode="break")
    assert items_of(listing())["1"].access is None


def test_ids_titles_and_versions_come_from_metadata() -> None:
    Store.documents = [document("x", name="One", key="k/1", rev=7, link="https://h/1"), document("y")]
    changes = listing(id="key", title="name", version="rev", uri="link")
    item = items_of(changes)["k%2F1"]
    assert (item.title, item.version, item.uri) == ("One", "7", "https://h/1")
    assert [one.code for one in changes if isinstance(one, Problem)] == ["key_missing"]
    assert not changes[-1].full  # type: ignore[union-attr]


def test_secrets_are_put_in_and_never_shown() -> None:
    listing(arguments={"token": {"secret": "T"}, "deep": [{"x": {"secret": "T"}}]}, load={"limit": 3})
    assert Store.given == [{"token": "hunter2", "deep": [{"x": "hunter2"}]}, {"limit": 3}]
    with pytest.raises(InvalidError, match="'U'"):
        connect(arguments={"token": {"secret": "U"}})


def test_a_reader_that_fails_deletes_nothing_and_quotes_nothing() -> None:
    with pytest.raises(SourceError, match="RuntimeError") as caught:
        listing(load={"fail": True})
    assert "secret text" not in str(caught.value)
    with pytest.raises(SourceError, match="limit is 3"):
        listing(max_documents=3)
    Store.documents = []
    with pytest.raises(SourceError, match="no document"):
        listing()


@pytest.mark.parametrize("path", ["os.system", "llama_index", "llama_index.readers.x;y", "builtins.eval"])
def test_only_llamaindex_is_imported(path: str) -> None:
    with pytest.raises(InvalidError, match=r"config\.reader"):
        connect(reader=path)


def test_a_reader_that_is_not_installed_or_none_is_said() -> None:
    with pytest.raises(SourceError, match="cannot be imported"):
        connect(reader="llama_index.readers.nothing.NoReader").check()
    with pytest.raises(SourceError, match="no load_data"):
        connect(reader="llama_index.core.Document").check()


def test_an_empty_document_is_passed_over() -> None:
    Store.documents = [document("1", " ")]
    with pytest.raises(EmptyError):
        connect().fetch(items_of(listing())["1"])


def test_a_reader_of_llamaindex_itself(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello")
    config = {
        "reader": "llama_index.core.SimpleDirectoryReader",
        "arguments": {"input_dir": str(tmp_path), "filename_as_id": True},
        "title": "file_name",
    }
    connector = connect(**config)
    item = next(iter(items_of(list(connector.changes(None))).values()))
    content = connector.fetch(item)
    assert content.elements is not None
    assert (item.title, content.elements[0].text) == ("a.txt", "Hello")
