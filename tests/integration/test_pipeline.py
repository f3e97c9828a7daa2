"""The pipeline on one installation: what is unchanged, edited, deleted, moved, broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from core.tables import Document, Run
from embed.index.base import IndexUnavailableError, Point
from ingest.deletion import delete_documents
from ingest.model import SourceError
from ingest.runs import approve, retry
from ingest.stages import STAGES
from tests.factories.files import make_pdf
from tests.factories.installation import Installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "files"
    path.mkdir()
    return path


@pytest.fixture
def place(tmp_path: Path, folder: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data")
    installation.add_user("ana", "staff")
    installation.add_user("omar")
    installation.add_folder(folder)
    yield installation
    installation.close()


def texts(place: Installation, user: str, question: str) -> list[str]:
    return [passage.text for passage in place.search(user, question)]


def test_a_second_sync_of_nothing_new_makes_no_item_and_encodes_nothing(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    first = place.sync()
    encoded = place.encoder.encoded
    second = place.sync()
    assert (first.state, second.state) == ("succeeded", "succeeded")
    assert second.unchanged == 1
    assert place.items(second.id) == {}
    assert place.encoder.encoded == encoded


def test_touching_a_file_without_changing_it_encodes_nothing(place: Installation, folder: Path) -> None:
    path = folder / "a.txt"
    path.write_text("The duck swims.")
    place.sync()
    encoded = place.encoder.encoded
    path.touch()
    run = place.sync()
    assert place.items(run.id)["a.txt"].note == "content unchanged"
    assert place.encoder.encoded == encoded
    assert place.items(place.sync().id) == {}


def test_an_edit_of_one_paragraph_of_many_encodes_at_most_two_chunks(place: Installation, folder: Path) -> None:
    path = folder / "long.txt"
    paragraphs = [f"Paragraph {n} tells of the shelf {n} and of box {n * 7}. " * 9 for n in range(300)]
    path.write_text("\n\n".join(paragraphs))
    place.sync()
    before = place.encoder.encoded
    assert before > 100
    paragraphs[150] = "This paragraph is now about a heron. " * 9
    path.write_text("\n\n".join(paragraphs))
    place.sync()
    assert place.encoder.encoded - before <= 2
    assert "heron" in texts(place, "ana", "heron")[0]
    place.check_consistent()


def test_a_deleted_file_is_gone_from_answers_and_then_from_the_index(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    (folder / "b.txt").write_text("The heron waits.")
    place.sync()
    (folder / "a.txt").unlink()
    run = place.sync()
    assert run.deleted == 1
    assert texts(place, "ana", "duck") == ["The heron waits."]
    place.check_consistent()


def test_a_file_that_comes_back_is_found_again(place: Installation, folder: Path) -> None:
    path = folder / "a.txt"
    path.write_text("The duck swims.")
    place.sync()
    path.unlink()
    place.sync()
    path.write_text("The duck swims.")
    place.sync()
    assert texts(place, "ana", "duck") == ["The duck swims."]
    place.check_consistent()


def test_a_listing_that_loses_most_of_a_source_is_held_hidden_and_approved(place: Installation, folder: Path) -> None:
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"Duck number {number}.")
    place.sync()
    for number in range(30):
        (folder / f"{number}.txt").unlink()
    run = place.sync()
    assert run.state == "held"
    assert len(place.search("ana", "duck", top_k=50)) == 10
    assert len(place.documents()) == 10
    with place.db.write() as session:
        assert approve(session, session.get_one(Run, run.id)) == 30
    place.drain()
    assert place.run(run.id).state == "succeeded"
    place.check_consistent()


def test_held_documents_that_are_listed_again_come_back(place: Installation, folder: Path) -> None:
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"Duck number {number}.")
    place.sync()
    moved = folder.parent / "away"
    folder.rename(moved)
    folder.mkdir()
    (folder / "readme.txt").write_text("The share is being repaired.")
    assert place.sync().state == "held"
    assert all("number" not in text for text in texts(place, "ana", "duck"))
    (folder / "readme.txt").unlink()
    folder.rmdir()
    moved.rename(folder)
    assert place.sync().state == "succeeded"
    assert len(place.documents()) == 40


def test_a_source_that_cannot_be_read_fails_the_run_and_deletes_nothing(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    place.sync()
    folder.rename(folder.parent / "away")
    run = place.sync()
    assert run.state == "failed"
    assert run.error_code == SourceError.code
    assert texts(place, "ana", "duck") == ["The duck swims."]


def test_narrowing_holds_at_once_and_no_vector_is_written(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    place.sync()
    encoded = place.encoder.encoded
    (folder / ".access.yaml").write_text("inherit: false\nallow: [group:staff]\n")
    place.sync()
    assert texts(place, "ana", "duck") == ["The duck swims."]
    assert texts(place, "omar", "duck") == []
    assert place.encoder.encoded == encoded


def test_a_widened_folder_never_shows_the_old_text_to_its_new_audience(place: Installation, folder: Path) -> None:
    access, secret = folder / ".access.yaml", folder / "a.txt"
    access.write_text("inherit: false\nallow: [group:staff]\n")
    secret.write_text("The duck is secretly a swan.")
    place.sync()
    access.write_text("inherit: false\nallow: [everyone]\n")
    secret.write_text("The duck swims.")
    run = place.start()
    assert STAGES["list"](place.runtime.pipeline)
    assert texts(place, "omar", "duck") == []
    assert texts(place, "ana", "duck") == ["The duck is secretly a swan."]
    place.drain()
    assert place.run(run).state == "succeeded"
    assert texts(place, "omar", "duck") == ["The duck swims."]
    place.check_consistent()


def test_a_widened_folder_closes_a_document_whose_new_text_did_not_come_in(place: Installation, folder: Path) -> None:
    access, secret = folder / ".access.yaml", folder / "a.pdf"
    access.write_text("inherit: false\nallow: [group:staff]\n")
    secret.write_bytes(make_pdf([["The duck is secretly a swan."]]))
    place.sync()
    assert texts(place, "ana", "duck")
    access.write_text("inherit: false\nallow: [everyone]\n")
    secret.write_bytes(b"%PDF-1.7 broken")
    assert place.sync().state == "partial"
    assert texts(place, "omar", "duck") == []
    secret.write_bytes(make_pdf([["The duck swims."]]))
    place.sync()
    assert "swims" in texts(place, "omar", "duck")[0]
    place.check_consistent()


def test_a_file_of_its_own_access_moves_without_encoding(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    place.sync()
    encoded = place.encoder.encoded
    (folder / ".access.yaml").write_text("allow: [everyone]\nfiles:\n  a.txt: {inherit: false, allow: ['user:omar']}\n")
    place.sync()
    assert texts(place, "omar", "duck") == ["The duck swims."]
    assert texts(place, "ana", "duck") == []
    assert place.encoder.encoded == encoded
    place.check_consistent()


def test_a_broken_access_file_closes_its_folder_and_is_listed(place: Installation, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("The duck swims.")
    place.sync()
    (folder / "sub" / ".access.yaml").write_text("allow: [everyone\n")
    run = place.sync()
    assert run.state == "partial"
    assert place.items(run.id)["sub/.access.yaml"].error_code == "access_unreadable"
    assert texts(place, "ana", "duck") == []
    (folder / "sub" / ".access.yaml").unlink()
    assert place.sync().state == "succeeded"
    assert texts(place, "ana", "duck") == ["The duck swims."]


def test_an_empty_file_is_skipped_with_a_note_and_once(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("")
    run = place.sync()
    assert run.state == "succeeded"
    item = place.items(run.id)["a.txt"]
    assert (item.state, bool(item.note)) == ("skipped", True)
    assert place.items(place.sync().id) == {}


def test_a_file_that_vanishes_before_it_is_fetched_is_a_deletion(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    (folder / "b.txt").write_text("The heron waits.")
    run = place.start()
    STAGES["list"](place.runtime.pipeline)
    (folder / "a.txt").unlink()
    place.drain()
    assert place.run(run).state == "succeeded"
    with place.db.read() as session:
        assert session.scalars(select(Document.state).where(Document.external_id == "a.txt")).one() == "deleted"


def test_a_broken_document_stops_no_neighbour_and_can_be_retried(place: Installation, folder: Path) -> None:
    (folder / "a.pdf").write_bytes(b"%PDF-1.4 this is no pdf")
    (folder / "b.txt").write_text("The heron waits.")
    run = place.sync()
    assert run.state == "partial"
    item = place.items(run.id)["a.pdf"]
    assert (item.state, item.error_code) == ("failed", "file_broken")
    assert "a.pdf" in (item.error_detail or "")
    with place.db.write() as session:
        assert retry(session, session.get_one(Run, run.id), code="file_broken") == 1
    place.drain()
    assert place.run(run.id).state == "partial"
    assert texts(place, "ana", "heron") == ["The heron waits."]


def test_an_index_that_is_away_for_a_while_costs_only_time(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    place.encoder.fail = IndexUnavailableError("away")
    run = place.start()
    for _ in range(2):
        for step in STAGES.values():
            step(place.runtime.pipeline)
    place.encoder.fail = None
    place.drain()
    assert place.run(run).state == "succeeded"
    assert texts(place, "ana", "duck") == ["The duck swims."]


def test_a_document_deleted_while_it_is_encoded_leaves_nothing_behind(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    (folder / "b.txt").write_text("The heron waits.")
    upsert = place.runtime.stack.index.upsert

    def delete_meanwhile(collection: str, points: Sequence[Point]) -> None:
        place.runtime.stack.index.upsert = upsert  # type: ignore[method-assign]
        with place.db.write() as session:
            gone = session.scalars(select(Document).where(Document.external_id == "a.txt")).one()
            delete_documents(session, place.tenant, [gone.id])
        while STAGES["purge"](place.runtime.pipeline):
            continue
        upsert(collection, points)

    place.runtime.stack.index.upsert = delete_meanwhile  # type: ignore[method-assign]
    place.sync()
    assert place.documents() == {"b.txt": "The heron waits."}
    place.check_consistent()


def test_a_stricter_label_holds_at_once_for_the_old_text_too(place: Installation, folder: Path) -> None:
    (folder / "a.txt").write_text("The duck swims.")
    place.sync()
    assert [one.classification for one in place.search("ana", "duck")] == ["internal"]
    rule = "allow: [everyone]\nfiles:\n  a.txt: {labels: {classification: restricted}}\n"
    (folder / ".access.yaml").write_text(rule)
    (folder / "a.txt").write_text("The duck swims in secret.")
    place.start()
    STAGES["list"](place.runtime.pipeline)
    found = place.search("ana", "duck")
    assert [(one.text, one.classification) for one in found] == [("The duck swims.", "restricted")]
    place.drain()
    assert [one.classification for one in place.search("ana", "duck")] == ["restricted"]
