"""Index and SQL held against one another: each kind of difference is found, mended, and nothing else is touched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from core.ids import point_id
from core.tables import Chunk, ChunkPoint, PointGarbage
from embed.index.base import IndexUnavailableError, Payload, Point, SparseVector
from ingest import encode_stage, reconcile
from ingest.reconcile import Differences, counts_differ, repair, verify
from tests.factories.encoders import DIMENSION
from tests.factories.installation import Installation

DOCUMENTS = 7


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(DOCUMENTS):
        (folder / f"doc-{number}.txt").write_text(f"Report {number} is about subject{number}.", "utf-8")
    return folder


@pytest.fixture
def ambit(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setattr(reconcile, "PAGE", 3)
    made = Installation(tmp_path / "data")
    made.add_folder(files)
    made.add_user("ana")
    made.sync()
    yield made
    made.close()


def points(ambit: Installation) -> list[tuple[str, Payload]]:
    return sorted(ambit.runtime.stack.index.scan(collection(ambit)), key=lambda one: one[1].chunk)


def collection(ambit: Installation) -> str:
    return ambit.runtime.stack.generation().collection


def put(ambit: Installation, name: str, payload: Payload) -> None:
    vector = np.full(DIMENSION, DIMENSION**-0.5, np.float32)
    ambit.runtime.stack.index.upsert(collection(ambit), [Point(name, vector, SparseVector((), ()), payload)])


def mended(ambit: Installation, **expected: int) -> None:
    """Verify sees exactly this, repair mends it, and then nothing is wrong."""
    pipeline = ambit.runtime.pipeline
    wanted = Differences(points=len(points(ambit)), **expected)
    before = points(ambit)
    assert verify(pipeline) == wanted
    assert points(ambit) == before
    assert not wanted.agree
    assert repair(pipeline) == wanted
    assert verify(pipeline) == Differences(points=DOCUMENTS)
    ambit.check_consistent()


def test_an_index_in_order_is_left_alone(ambit: Installation) -> None:
    before, encoded = points(ambit), ambit.encoder.encoded
    assert repair(ambit.runtime.pipeline) == Differences(points=DOCUMENTS)
    assert not counts_differ(ambit.runtime.pipeline)
    assert (points(ambit), ambit.encoder.encoded) == (before, encoded)


def test_missing_points_are_encoded_again(ambit: Installation) -> None:
    ambit.runtime.stack.index.delete(collection(ambit), [name for name, _ in points(ambit)[2:6]])
    assert counts_differ(ambit.runtime.pipeline)
    encoded = ambit.encoder.encoded
    mended(ambit, missing=4)
    assert ambit.encoder.encoded == encoded + 4


def test_chunks_that_are_shown_and_not_noted_are_noted(ambit: Installation) -> None:
    ambit.runtime.stack.index.delete(collection(ambit), [points(ambit)[0][0]])
    with ambit.db.write() as session:
        session.execute(delete(ChunkPoint))
    mended(ambit, missing=1, unnoted=DOCUMENTS - 1)


def test_extra_points_are_removed_by_id(ambit: Installation) -> None:
    _, payload = points(ambit)[0]
    put(ambit, point_id(1, payload.document, "gone", 0), payload._replace(chunk=10_000))
    put(ambit, point_id(1, 999, "gone", 0), payload._replace(document=999, chunk=10_001))
    put(ambit, point_id(1, payload.document, "other", 3), payload)
    mended(ambit, extra=3)
    with ambit.db.read() as session:
        assert session.scalars(select(PointGarbage.id)).all() == []


def test_points_under_the_wrong_node_are_placed(ambit: Installation) -> None:
    encoded = ambit.encoder.encoded
    ambit.runtime.stack.index.place(collection(ambit), [name for name, _ in points(ambit)[:3]], acl=77)
    mended(ambit, misplaced=3)
    assert ambit.encoder.encoded == encoded


def test_wrong_facets_and_times_are_set(ambit: Installation) -> None:
    name = points(ambit)[4][0]
    ambit.runtime.stack.index.describe(collection(ambit), [name], facets=[55], modified=5)
    mended(ambit, misdescribed=1)


@pytest.mark.parametrize("wrong", [{"source": 9}, {"tenant": 9}, {"document": 9}])
def test_points_of_the_wrong_source_or_document_are_written_again(ambit: Installation, wrong: dict[str, Any]) -> None:
    name, payload = points(ambit)[3]
    put(ambit, name, payload._replace(**wrong))
    mended(ambit, mistaken=1)


def test_a_point_whose_chunk_number_is_wrong_is_written_again(ambit: Installation) -> None:
    """Its id is wanted by a chunk of its document, so it must not end on the garbage list for good."""
    name, payload = points(ambit)[3]
    put(ambit, name, payload._replace(chunk=10_000))
    pipeline = ambit.runtime.pipeline
    assert verify(pipeline) == Differences(points=DOCUMENTS, extra=1)
    repair(pipeline)
    assert verify(pipeline).agree
    ambit.check_consistent()


def test_a_lost_index_is_noticed_and_rebuilt_from_what_is_stored(ambit: Installation, files: Path) -> None:
    ambit.runtime.stack.close()
    shutil.rmtree(ambit.settings.index_dir)
    shutil.rmtree(files)
    with pytest.raises(IndexUnavailableError, match=r"index was lost.*ambit index repair"):
        ambit.search("ana", "subject3")
    assert ambit.runtime.stack.lost(ambit.runtime.stack.generation())
    mended(ambit, missing=DOCUMENTS)
    assert "subject3" in ambit.search("ana", "subject3", top_k=1)[0].text


def test_an_empty_installation_is_not_a_lost_index(tmp_path: Path) -> None:
    empty = Installation(tmp_path / "empty")
    empty.add_user("ana")
    empty.add_folder(tmp_path)
    assert empty.search("ana", "anything") == ()
    assert verify(empty.runtime.pipeline) == Differences()
    empty.close()


def test_points_of_a_version_in_the_making_are_left_alone(
    ambit: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repair runs between the indexing of a new version and its commit."""
    original, seen = encode_stage._refresh_kept, list[Differences]()

    def between(*arguments: Any) -> None:
        original(*arguments)
        seen.append(repair(ambit.runtime.pipeline))

    monkeypatch.setattr(encode_stage, "_refresh_kept", between)
    text = "\n\n".join(f"Paragraph {number} of the new text. " * 30 for number in range(5))
    (files / "doc-1.txt").write_text(f"Now about novelty1.\n\n{text}", "utf-8")
    assert ambit.sync().state == "succeeded"
    assert [one.agree for one in seen] == [True]
    assert seen[0].points > DOCUMENTS
    ambit.check_consistent()


def test_work_that_moves_a_document_is_not_disturbed(
    ambit: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = encode_stage._widen, list[Differences]()

    def moved(*arguments: Any) -> None:
        """The document has moved in SQL, its points have not."""
        original(*arguments)
        seen.append(verify(ambit.runtime.pipeline))

    monkeypatch.setattr(encode_stage, "_widen", moved)
    (files / ".access.yaml").write_text("files: {doc-2.txt: {inherit: false, allow: [user:ana]}}", "utf-8")
    ambit.sync()
    assert [(one.agree, one.busy) for one in seen] == [(True, 1)]
    ambit.check_consistent()


def test_a_repair_that_is_cut_short_goes_on(ambit: Installation) -> None:
    ambit.runtime.stack.index.delete(collection(ambit), [name for name, _ in points(ambit)])
    ambit.encoder.fail = IndexUnavailableError("stopped")
    with pytest.raises(IndexUnavailableError):
        repair(ambit.runtime.pipeline)
    ambit.encoder.fail = None
    repair(ambit.runtime.pipeline)
    assert verify(ambit.runtime.pipeline).agree
    with ambit.db.read() as session:
        assert len(session.scalars(select(Chunk.id)).all()) == DOCUMENTS
    ambit.check_consistent()
