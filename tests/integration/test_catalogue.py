"""The catalogue over a whole installation: figures, copies, personal data, deletion, and who may see which of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from api.catalogue import listing, overview, stale_before
from api.schemas.catalogue import AssetView, CatalogueDocumentView
from core.errors import InvalidError
from core.tables import Document, DocumentBand, DocumentFinding, DocumentProfile, DocumentVersion
from ingest.catalogue import stage
from ingest.catalogue.choose import Wanted
from ingest.catalogue.forget import look_again
from policies.subject import Caller
from tests.factories.command_line import ambit as command
from tests.factories.installation import Installation
from tests.integration.conftest import Installation as Served

ENGLISH = "A night in a hotel may cost at most {0} euro, and the bill goes to the office in Berlin with the form."
GERMAN = "Eine Nacht im Hotel darf höchstens {0} Euro kosten, und die Rechnung geht an das Büro in Berlin."


def _long(seed: int, *, edited: bool = False) -> str:
    source = random.Random(seed)
    words = [f"word{source.randrange(4000)}" for _ in range(600)]
    if edited:
        words[300:300] = ["one", "new", "remark"]
    return " ".join(words)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    settings: dict[str, Any] = {"worker_threads": 1}
    if request.param == "postgresql":
        settings["database_url"] = SecretStr(request.getfixturevalue("postgres_url"))
    else:
        (tmp_path / "data").mkdir()
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "data" / "ambit.db")
    made = Installation(tmp_path / "data", **settings)
    yield made
    made.close()


@pytest.fixture
def files(installation: Installation, tmp_path: Path) -> Path:
    """A source with an open and a closed folder; `ana` is in `hr`, `bob` in nothing."""
    root = tmp_path / "files"
    (root / "hr").mkdir(parents=True)
    (root / ".access.yaml").write_text("allow: [everyone]\nlabels: {owners: '@travel @finance'}\n")
    (root / "hr" / ".access.yaml").write_text(
        "inherit: false\nallow: [group:hr]\nlabels: {classification: restricted}\n"
    )
    (root / "travel.md").write_text(ENGLISH.format(140))
    (root / "reise.md").write_text(GERMAN.format(140))
    (root / "long.md").write_text(_long(1))
    (root / "hr" / "long-edited.md").write_text(_long(1, edited=True))
    (root / "hr" / "long-copy.md").write_text("# Copy\n\n" + _long(1).upper())
    (root / "hr" / "people.md").write_text(
        "Ana: ana@example.com, DE89 3704 0044 0532 0130 00\n\nBob: bob@example.com, +49 30 901820, and other details."
    )
    installation.add_user("ana", "hr")
    installation.add_user("bob")
    installation.add_folder(root)
    assert installation.sync().state == "succeeded"
    return root


def _assets(installation: Installation, user: str | None = None, **options: Any) -> list[AssetView]:
    viewer = None if user is None else Caller(installation.tenant, user)
    with installation.db.read() as session:
        return overview(session, installation.tenant, viewer, **options)


def _documents(installation: Installation, user: str | None = None, **wanted: Any) -> dict[str, CatalogueDocumentView]:
    viewer = None if user is None else Caller(installation.tenant, user)
    with installation.db.read() as session:
        found = listing(session, installation.tenant, viewer, Wanted(**wanted), limit=100, cursor=None).data
    return {one.external_id: one for one in found}


def _rows(installation: Installation) -> list[int]:
    with installation.db.read() as session:
        tables = (DocumentProfile, DocumentBand, DocumentFinding)
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_figures_of_a_source(installation: Installation, files: Path) -> None:
    (asset,) = _assets(installation)
    sizes = sum(path.stat().st_size for path in files.rglob("*.md"))
    assert (asset.source, asset.documents, asset.looked_at, asset.bytes) == ("files", 6, 6, sizes)
    assert asset.chunks >= 6
    assert asset.languages["en"] >= 1
    assert asset.languages["de"] == 1
    assert asset.types == {"text/markdown": 6}
    assert asset.classifications == {"internal": 3, "restricted": 3}
    assert asset.owners == {"@travel": 6, "@finance": 6}
    assert (asset.copies, asset.near_copies) == (2, 3)
    assert {kind: (one.documents, one.values) for kind, one in asset.personal.items()} == {
        "email": (1, 2),
        "iban": (1, 1),
        "phone": (1, 1),
    }
    assert (asset.stale, asset.undated) == (0, 0)
    assert asset.newest is not None
    assert asset.content_synced_at is not None
    assert _assets(installation, stale_days=0)[0].stale == 6


def test_no_value_that_was_found_is_kept(installation: Installation, files: Path) -> None:
    with installation.db.read() as session:
        rows = session.execute(select(DocumentFinding.kind, DocumentFinding.count).order_by(DocumentFinding.kind)).all()
    assert [tuple(row) for row in rows] == [("email", 2), ("iban", 1), ("phone", 1)]
    assert {column.name for column in DocumentFinding.__table__.columns} == {
        "document_id",
        "kind",
        "tenant_id",
        "count",
    }


def test_a_person_learns_of_what_they_may_read_alone(installation: Installation, files: Path) -> None:
    (asset,) = _assets(installation, "bob")
    assert (asset.documents, asset.classifications, asset.personal) == (3, {"internal": 3}, {})
    assert (asset.copies, asset.near_copies) == (0, 0), "a copy that may not be read must not show"
    assert set(_documents(installation, "bob")) == {"travel.md", "reise.md", "long.md"}
    assert _documents(installation, "bob")["long.md"].near_copies == []
    assert _documents(installation, "bob", personal="any") == {}
    assert _documents(installation, "bob", alike="near") == {}
    assert _documents(installation, "bob", classification="restricted") == {}
    (whole,) = _assets(installation, "ana")
    assert (whole.documents, whole.copies, whole.near_copies) == (6, 2, 3)
    found = _documents(installation, "ana")
    assert found["long.md"].copies == [found["hr/long-copy.md"].id]
    assert found["long.md"].near_copies == [found["hr/long-edited.md"].id]


def test_a_right_taken_away_is_gone_from_the_catalogue(installation: Installation, files: Path) -> None:
    assert len(_documents(installation, "ana")) == 6
    installation.add_user("ana", "staff")
    assert _assets(installation, "ana")[0].documents == 3
    assert len(_documents(installation, "ana")) == 3


def test_filters(installation: Installation, files: Path) -> None:
    assert set(_documents(installation, language="de")) == {"reise.md"}
    assert set(_documents(installation, personal="iban")) == {"hr/people.md"}
    assert set(_documents(installation, personal="card")) == set()
    assert len(_documents(installation, classification="restricted")) == 3
    assert len(_documents(installation, owner="@finance")) == 6
    assert set(_documents(installation, owner="@nobody")) == set()
    assert set(_documents(installation, alike="near")) == {"long.md", "hr/long-edited.md", "hr/long-copy.md"}
    assert set(_documents(installation, alike="copy")) == {"long.md", "hr/long-copy.md"}
    assert set(_documents(installation, source="other")) == set()
    with installation.db.read() as session:
        cutoff = stale_before(session, 0)
    assert len(_documents(installation, stale_before=cutoff)) == 6
    with pytest.raises(InvalidError):
        _documents(installation, personal="shoe_size")


def test_exact_copies_are_found_across_sources(installation: Installation, files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "travel-again.md").write_text(ENGLISH.format(140).replace(" ", "  ").upper())
    installation.add_folder(other, key="other")
    installation.sync("other")
    found = _documents(installation, alike="copy")
    assert set(found) == {"travel.md", "travel-again.md", "long.md", "hr/long-copy.md"}
    assert found["travel.md"].copies == [found["travel-again.md"].id]
    assert [one.copies for one in _assets(installation)] == [3, 1]


def test_deletion_takes_every_row_along(installation: Installation, files: Path) -> None:
    assert min(_rows(installation)) > 0
    (files / "long.md").unlink()
    installation.sync()
    assert _documents(installation)["hr/long-copy.md"].near_copies == [_documents(installation)["hr/long-edited.md"].id]
    for path in files.rglob("*.md"):
        path.unlink()
    (files / "left.md").write_text("x y z")
    installation.sync()
    profiles, bands, findings = _rows(installation)
    assert (profiles, bands, findings) == (1, 0, 0)
    assert set(_documents(installation)) == {"left.md"}


def test_an_edit_replaces_what_was_known(installation: Installation, files: Path) -> None:
    (files / "hr" / "people.md").write_text("Nothing personal stands here any more, it was all taken out last week.")
    installation.sync()
    assert _documents(installation)["hr/people.md"].personal == {}
    assert _assets(installation)[0].personal == {}


def test_a_document_deleted_while_it_was_looked_at_leaves_nothing(
    installation: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation.db.write() as session:
        assert look_again(session, installation.tenant) == 6
    found = stage._looked_at

    def delete_meanwhile(one: Any) -> Any:
        (files / "hr" / "people.md").unlink(missing_ok=True)
        if one.text.startswith("Ana:"):
            with installation.db.write() as session:
                from ingest.deletion import delete_documents

                delete_documents(session, installation.tenant, [one.document])
        return found(one)

    monkeypatch.setattr(stage, "_looked_at", delete_meanwhile)
    installation.drain()
    assert "hr/people.md" not in _documents(installation)
    assert _rows(installation)[2] == 0


def test_a_text_that_breaks_a_check_stops_no_neighbour(
    installation: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation.db.write() as session:
        look_again(session, installation.tenant)

    def broken(text: str) -> dict[str, int]:
        if "@" in text:
            raise ValueError("a bug")
        return {}

    monkeypatch.setattr(stage, "personal_data", broken)
    installation.drain()
    assert _assets(installation)[0].looked_at == 6
    with installation.db.read() as session:
        assert session.scalar(select(func.count()).where(DocumentVersion.profiled == 0)) == 0


def test_looking_again_finds_the_same(installation: Installation, files: Path) -> None:
    before = (_assets(installation), _documents(installation), _rows(installation))
    with installation.db.write() as session:
        look_again(session, installation.tenant)
    installation.drain()
    assert (_assets(installation), _documents(installation), _rows(installation)) == before


def test_hidden_documents_are_not_counted(installation: Installation, files: Path) -> None:
    with installation.db.write() as session:
        session.scalars(select(Document).where(Document.external_id == "long.md")).one().state = "held"
    assert _assets(installation)[0].documents == 5
    assert "long.md" not in _documents(installation)


def test_over_http_as_an_admin_as_a_person_and_as_nobody(ambit: Served) -> None:
    ambit.push("open", ENGLISH.format(1), title="Open")
    secret = {"inherit": False, "allow": ["group:engineering"]}
    ambit.push("shut", "Write to ana@example.com about the plan.", title="Shut", access=secret)
    (asset,) = ambit.admin("GET", "/v1/catalog").json()["data"]
    assert (asset["documents"], asset["personal"]) == (2, {"email": {"documents": 1, "values": 1}})
    key = ambit.keys["chat"]
    (seen,) = ambit.call("GET", "/v1/catalog", key, user="bob").json()["data"]
    assert (seen["documents"], seen["personal"]) == (1, {})
    assert ambit.call("GET", "/v1/catalog", key, user="eve").json()["data"] == []
    assert ambit.call("GET", "/v1/catalog", key).status_code == 422
    assert ambit.call("GET", "/v1/catalog", ambit.keys["feeder"]).status_code == 403
    found = ambit.admin("GET", "/v1/catalog/documents", params={"personal": "email"}).json()["data"]
    assert [(one["title"], one["personal"]) for one in found] == [("Shut", {"email": 1})]
    assert "example.com" not in str(found)
    mine = ambit.call("GET", "/v1/catalog/documents", key, user="bob").json()["data"]
    assert [one["title"] for one in mine] == ["Open"]
    assert ambit.admin("GET", "/v1/catalog/documents", params={"personal": "shoes"}).status_code == 422
    pages = ambit.admin("GET", "/v1/catalog/documents", params={"limit": 1}).json()
    rest = ambit.admin("GET", "/v1/catalog/documents", params={"cursor": pages["next_cursor"]}).json()
    assert [one["title"] for one in (*pages["data"], *rest["data"])] == ["Open", "Shut"]


def test_the_command_prints_tables_json_and_csv(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data", worker_threads=1)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "=cmd.md").write_text("# =SUM(A1)\n\nWrite to ana@example.com about the plan.")
    installation.add_folder(tmp_path / "files")
    installation.sync()
    installation.close()
    data = tmp_path / "data"
    assert "email 1" in command(data, "catalog").out
    assert "=cmd.md" in command(data, "catalog", "documents", "--personal", "any").out
    (source,) = command(data, "catalog", "--json").json["sources"]
    assert (source["documents"], source["personal"]["email"]["values"]) == (1, 1)
    header, line = command(data, "catalog", "documents", "--csv").out.splitlines()
    assert header.startswith("id,source,external_id,title")
    assert ",'=cmd.md," in line
    assert command(data, "catalog", "documents", "--alike", "twin").status == 2
    assert command(data, "catalog", "refresh", "--json").json == {"documents": 1}
