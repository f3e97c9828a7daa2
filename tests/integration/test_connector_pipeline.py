"""Connectors through the whole pipeline: what each person finds, and what is gone after a change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.factories.git_repository import Repository
from tests.factories.http_site import page, serving
from tests.factories.installation import Installation
from tests.factories.mails import mail


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data", outbound_allow="127.0.0.1")
    installation.add_user("ana", "staff", "hr")
    installation.add_user("omar", "staff")
    yield installation
    installation.close()


def found(place: Installation, user: str, question: str) -> str:
    return "\n".join(passage.text for passage in place.search(user, question))


def test_commits_are_followed_and_their_access_obeyed(place: Installation, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.commit({"duck.md": "The duck swims.", "hr/fox.md": "The fox hides.", "old.md": "The crane left."})
    repository.commit({"hr/.access.yaml": "inherit: false\nallow: [group:hr]\n"})
    place.add_source("code", "git", {"url": str(repository.path)}, allow=["group:staff"])
    assert place.sync("code").state == "succeeded"
    assert "swims" in found(place, "omar", "duck")
    assert "hides" in found(place, "ana", "fox")
    assert "hides" not in found(place, "omar", "fox")
    repository.commit({"duck.md": "The duck flies.", "old.md": None})
    run = place.sync("code")
    assert set(place.items(run.id)) == {"duck.md"}
    assert "flies" in found(place, "omar", "duck")
    assert set(place.documents()) == {"duck.md", "hr/fox.md"}
    repository.commit({"hr/.access.yaml": "inherit: false\nallow: [user:nobody]\n"})
    run = place.sync("code")
    assert place.items(run.id) == {}, "a change of access takes no document anew"
    assert "hides" not in found(place, "ana", "fox")
    place.check_consistent()


def test_a_restricted_column_is_found_by_few(place: Installation, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hr.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, salary TEXT, readers TEXT);"
            "INSERT INTO person VALUES (1, 'Wren', 'ninety thousand', 'group:staff'),"
            " (2, 'Lark', 'sixty', 'user:omar')"
        )
    table = {
        "name": "person", "key": "id", "title": "{name}", "allow": "readers",
        "restricted": [{"name": "pay", "columns": ["salary"], "allow": ["group:hr"]}],
    }  # fmt: skip
    config = {"url": f"sqlite:///{tmp_path / 'hr.db'}", "tables": [table], "schema_documents": True}
    place.add_source("people", "sql", config, allow=["group:staff"])
    assert place.sync("people").state == "succeeded"
    assert "Wren" in found(place, "omar", "Wren")
    assert "ninety" in found(place, "ana", "salary ninety thousand")
    assert "ninety" not in found(place, "omar", "salary ninety thousand"), "he reads the row and not this column"
    assert "sixty" not in found(place, "ana", "salary sixty"), "she may read the column and not the row"
    assert "Table person" in found(place, "omar", "Table person key columns")


def test_pages_and_mail_are_found_by_their_readers(place: Installation, tmp_path: Path) -> None:
    with serving() as site:
        site.routes = {"/d/": page("Home heron", "a", "b"), "/d/a": page("Otter rivers"), "/d/b": page("Badger setts")}
        rules = [{"paths": ["b"], "inherit": False, "allow": ["group:hr"]}]
        config = {"prefix": f"{site.url}/d/", "delay_s": 0, "rules": rules}
        place.add_source("site", "web", config, allow=["group:staff"])
        assert place.sync("site").state == "succeeded"
        assert "Otter" in found(place, "omar", "otter rivers")
        assert "Badger" not in found(place, "omar", "badger setts")
        assert "Badger" in found(place, "ana", "badger setts")
        site.routes["/d/"] = page("Home heron", "b")
        run = place.sync("site")
        assert (run.state, run.deleted) == ("succeeded", 1)
        assert "Otter" not in found(place, "omar", "otter rivers")
    (tmp_path / "post").mkdir()
    (tmp_path / "post/a.eml").write_bytes(mail("a", to="group@x", text="The stoat", files={"n.txt": b"The weasel"}))
    place.add_source("post", "mail", {"path": str(tmp_path / "post"), "readers": "source"}, allow=["group:hr"])
    assert place.sync("post").state == "succeeded"
    assert "stoat" in found(place, "ana", "stoat")
    assert "weasel" in found(place, "ana", "weasel")
    assert found(place, "omar", "stoat weasel").find("weasel") == -1
