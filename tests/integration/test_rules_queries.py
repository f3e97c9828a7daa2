"""Rules in a whole installation: what they do to a search at once, with no vector written, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from policies import directory, rules_store
from tests.factories.installation import Installation

ACCESS = "labels: {department: law}\nfiles:\n  open.txt: {labels: {department: hr}}\n"


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "closed.txt").write_text("The merger closes in spring.")
    (folder / "open.txt").write_text("The merger party is in summer.")
    (folder / ".access.yaml").write_text(ACCESS)
    installation = Installation(tmp_path / "data")
    installation.add_user("ana")
    installation.add_folder(folder)
    installation.sync()
    yield installation
    installation.close()


def _put(installation: Installation, effect: str, condition: str, *, enforced: bool = True) -> None:
    with installation.db.write() as session:
        rules_store.put_rule(session, installation.tenant, "r", effect=effect, condition=condition, enforced=enforced)


def _titles(installation: Installation) -> set[str]:
    return {one.title for one in installation.search("ana", "merger")}


def _reported(installation: Installation) -> tuple[int, int, int]:
    with installation.db.read() as session:
        (told,) = rules_store.reports(session, installation.tenant)
    return told.queries, told.documents, told.places


def test_rules_open_close_and_are_counted(installed: Installation) -> None:
    points = list(installed.runtime.stack.index.scan(installed.runtime.stack.generation().collection))
    assert _titles(installed) == set()
    _put(installed, "permit", "document.department == principal.department", enforced=False)
    assert _titles(installed) == set()
    assert _reported(installed) == (0, 0, 0)
    with installed.db.write() as session:
        directory.put_user(session, installed.tenant, "ana", attributes={"department": "hr"})
    assert _titles(installed) == set()
    assert _reported(installed) == (1, 0, 1)
    _put(installed, "permit", "document.department == principal.department")
    assert len(_titles(installed)) == 1
    _put(installed, "permit", "true")
    assert len(_titles(installed)) == 2
    with installed.db.write() as session:
        rules_store.put_rule(
            session, installed.tenant, "f", effect="forbid", condition="document.department == 'law'", enforced=False
        )
    assert len(_titles(installed)) == 2
    assert _reported(installed) == (1, 1, 0)
    with installed.db.write() as session:
        rules_store.put_rule(session, installed.tenant, "f", effect="forbid", condition="document.department == 'law'")
    assert len(_titles(installed)) == 1
    assert list(installed.runtime.stack.index.scan(installed.runtime.stack.generation().collection)) == points
