"""Changing the encoder while people read and sources change: always answers, and in the end one consistent index."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import ConflictError, NotFoundError, SettingError
from core.tables import ChunkPoint, Document, Generation
from embed.sparse import SparseEncoder
from ingest import rebuild
from ingest.deletion import move
from ingest.rebuild import Progress, begin, begin_back, build, drop_marked, mark_dropped, progress, switch
from tests.factories.encoders import DIMENSION, HalfEncoder
from tests.factories.installation import Installation

OTHER = HalfEncoder.name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(6):
        write(folder, number, f"Report {number} is about subject{number} and nothing else.")
    return folder


def write(folder: Path, number: int, text: str) -> None:
    (folder / f"doc-{number}.txt").write_text(text, "utf-8")


@pytest.fixture
def ambit(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setattr(rebuild, "CHUNKS_AT_ONCE", 2)
    made = Installation(tmp_path / "data")
    made.runtime.stack._encoders[OTHER] = HalfEncoder()
    made.add_folder(files)
    made.add_user("ana")
    made.sync()
    yield made
    made.close()


def start(ambit: Installation) -> int:
    return begin(ambit.db, ambit.runtime.stack.encoder_of(OTHER), OTHER)


def live(ambit: Installation) -> str:
    return ambit.runtime.stack.generation().encoder


def found(ambit: Installation, number: int) -> bool:
    passages = ambit.search("ana", f"subject{number}", top_k=1)
    return bool(passages) and f"subject{number}" in passages[0].text


def check(ambit: Installation) -> None:
    """SQL and the live collection agree; only the live generation's notes are compared."""
    generation = ambit.runtime.stack.generation()
    with ambit.db.read() as session:
        nodes = {row.id: row.node_id for row in session.scalars(select(Document))}
        noted = set(session.scalars(select(ChunkPoint.chunk_id).where(ChunkPoint.generation_id == generation.id)))
    points = [payload for _, payload in ambit.runtime.stack.index.scan(generation.collection)]
    assert {one.chunk for one in points} == noted
    assert {one.document: one.acl for one in points} == {one.document: nodes[one.document] for one in points}
    assert generation.dimension == (DIMENSION // 2 if generation.encoder == OTHER else DIMENSION)


def test_a_reader_gets_answers_throughout(ambit: Installation) -> None:
    start(ambit)
    over, misses, asked = threading.Event(), list[int](), [0]

    def read() -> None:
        while not over.is_set():
            number = asked[0] % 6
            if not found(ambit, number):
                misses.append(number)
            asked[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while asked[0] < 3:
            over.wait(0.01)
        assert build(ambit.runtime.pipeline) == 2
        after = asked[0] + 6
        while asked[0] < after and reader.is_alive():
            over.wait(0.01)
    finally:
        over.set()
        reader.join()
    assert misses == []
    assert asked[0] >= after
    assert live(ambit) == OTHER
    check(ambit)


def test_it_goes_on_from_where_it_was_stopped(ambit: Installation) -> None:
    number, stop, told = start(ambit), threading.Event(), list[Progress]()

    def tell(at: Progress) -> None:
        told.append(at)
        stop.set()

    assert build(ambit.runtime.pipeline, stop=stop, tell=tell) is None
    assert [(one.done, one.total) for one in told] == [(2, 6)]
    assert live(ambit) == "word-hash"
    encoder = ambit.runtime.stack.encoder_of(OTHER)
    assert isinstance(encoder, HalfEncoder)
    before = encoder.encoded
    assert build(ambit.runtime.pipeline) == number
    assert encoder.encoded - before == 4
    check(ambit)


class Unhurried(threading.Event):
    """Notes how long it is waited for, and comes back at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def test_no_more_chunks_a_second_are_encoded_than_are_allowed(ambit: Installation) -> None:
    number, stop = start(ambit), Unhurried()
    assert build(ambit.runtime.pipeline, rate=0.01, stop=stop) == number
    assert len(stop.waits) == 3
    assert all(100 < wait < 200 for wait in stop.waits), "two chunks are worth 200 seconds, less what they took"


def test_what_changes_meanwhile_is_in_the_new_generation(ambit: Installation, files: Path) -> None:
    start(ambit)
    changed = threading.Event()

    def tell(_: Progress) -> None:
        if not changed.is_set():
            changed.set()
            write(files, 0, "Report 0 is about novelty0 now.")
            write(files, 7, "Report 7 is about subject7 and new.")
            (files / "doc-1.txt").unlink()
            assert ambit.sync().state == "succeeded"

    assert build(ambit.runtime.pipeline, tell=tell) is not None
    ambit.drain()
    assert live(ambit) == OTHER
    assert found(ambit, 7)
    assert "novelty0" in ambit.search("ana", "novelty0", top_k=1)[0].text
    assert not found(ambit, 1)
    check(ambit)


def test_a_document_that_moves_meanwhile_stands_under_its_new_node(ambit: Installation, files: Path) -> None:
    start(ambit)
    done = threading.Event()

    def tell(at: Progress) -> None:
        if at.done == at.total and not done.is_set():
            done.set()
            (files / ".access.yaml").write_text("files: {doc-2.txt: {inherit: false, allow: [user:ana]}}", "utf-8")
            ambit.sync()

    assert build(ambit.runtime.pipeline, tell=tell) is not None
    assert done.is_set()
    check(ambit)
    assert found(ambit, 2)


def test_a_version_committed_across_the_switch_gets_its_points(
    ambit: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch comes after the new version's points went to the old generation and before its commit."""
    from ingest import encode_stage

    start(ambit)
    original, switched = encode_stage._refresh_kept, threading.Event()

    def between(*arguments: Any) -> None:
        original(*arguments)
        if not switched.is_set():
            switched.set()
            assert build(ambit.runtime.pipeline) is not None

    monkeypatch.setattr(encode_stage, "_refresh_kept", between)
    write(files, 3, "Report 3 is about late3 now.")
    assert ambit.sync().state == "succeeded"
    assert switched.is_set()
    assert live(ambit) == OTHER
    assert "late3" in ambit.search("ana", "late3", top_k=1)[0].text
    check(ambit)


def test_it_does_not_switch_while_a_chunk_lacks_its_point(ambit: Installation) -> None:
    number = start(ambit)
    assert not switch(ambit.db, number)
    assert live(ambit) == "word-hash"
    assert progress(ambit.db, number).done == 0


def test_switching_back_catches_up_first(ambit: Installation, files: Path) -> None:
    start(ambit)
    build(ambit.runtime.pipeline)
    write(files, 8, "Report 8 is about subject8 and came later.")
    ambit.sync()
    with ambit.db.write() as session:
        document = session.scalars(select(Document).where(Document.external_id == "doc-4.txt")).one()
        other = session.scalars(select(Document.node_id).where(Document.external_id == "doc-8.txt")).one()
        move(session, document, other)
    assert begin_back(ambit.db) == 1
    assert build(ambit.runtime.pipeline) == 1
    assert live(ambit) == "word-hash"
    assert found(ambit, 8)
    check(ambit)


def test_dropping_removes_what_is_not_live(ambit: Installation, files: Path) -> None:
    with pytest.raises(NotFoundError):
        begin_back(ambit.db)
    start(ambit)
    build(ambit.runtime.pipeline)
    assert mark_dropped(ambit.db) == [1]
    (files / "doc-5.txt").unlink()
    ambit.sync()
    assert drop_marked(ambit.runtime.pipeline) == 1
    ambit.drain()
    assert [one.name for one in (ambit.settings.index_dir).iterdir() if one.is_dir()] == [f"g2_{OTHER}"]
    with ambit.db.read() as session:
        assert session.scalars(select(Generation.id)).all() == [2]
    assert found(ambit, 0)
    check(ambit)


def test_dropping_stops_a_build(ambit: Installation) -> None:
    start(ambit)

    def tell(_: Progress) -> None:
        mark_dropped(ambit.db)

    assert build(ambit.runtime.pipeline, tell=tell) is None
    assert drop_marked(ambit.runtime.pipeline) == 1
    assert live(ambit) == "word-hash"
    assert found(ambit, 0)


def test_only_one_is_built_at_a_time(ambit: Installation) -> None:
    stack = ambit.runtime.stack
    with pytest.raises(ConflictError, match="already"):
        begin(ambit.db, stack.encoder, "word-hash")
    assert start(ambit) == start(ambit)
    with pytest.raises(ConflictError, match="being built"):
        begin(ambit.db, HalfEncoder(), "third")
    with pytest.raises(ConflictError, match="being built"):
        begin_back(ambit.db)


def test_an_encoder_that_would_read_chunks_in_part_is_refused(ambit: Installation, files: Path) -> None:
    write(files, 6, "The pressure of the valve is checked each morning. " * 40)
    ambit.sync()
    short = HalfEncoder()
    short.max_tokens = 120
    with pytest.raises(ConflictError, match=r"reads 116 tokens of a chunk, and stored ones have up to 2\d\d:"):
        begin(ambit.db, short, OTHER)
    assert rebuild.building(ambit.db) is None


def test_the_row_says_which_encoder_makes_the_vectors(ambit: Installation) -> None:
    """The settings name the first encoder still, in this process and in any other."""
    start(ambit)
    build(ambit.runtime.pipeline)
    assert ambit.settings.encoder == "word-hash"
    assert found(ambit, 3)
    assert ambit.runtime.stack.encoder.name == OTHER


def test_the_language_of_terms_changes_alone(ambit: Installation, files: Path) -> None:
    write(files, 9, "Die Urlaubsanträge der Mitarbeiterinnen liegen beim Empfang.")
    ambit.sync()
    stack = ambit.runtime.stack
    model = stack.generation().model
    with pytest.raises(ConflictError, match="terms in english"):
        begin(ambit.db, stack.encoder_of(model), model, language="english")
    with pytest.raises(SettingError, match="klingon"):
        begin(ambit.db, stack.encoder_of(model), model, language="klingon")
    assert stack.generation().sparse.language == "english"
    terms = SparseEncoder(stack.generation().sparse)
    assert set(terms.encode_query("Urlaubsantrag").indices).isdisjoint(terms.encode_passage("Urlaubsanträge").indices)
    number = begin(ambit.db, stack.encoder_of(model), model, language="german")
    with pytest.raises(ConflictError, match="terms in german"):
        begin(ambit.db, stack.encoder_of(OTHER), OTHER)
    build(ambit.runtime.pipeline)
    live = stack.generation()
    assert (live.id, live.sparse.language, live.model) == (number, "german", model)
    terms = SparseEncoder(live.sparse)
    assert not set(terms.encode_query("Urlaubsantrag").indices).isdisjoint(
        terms.encode_passage("Urlaubsanträge").indices
    )
    assert "Urlaubsanträge" in ambit.search("ana", "Urlaubsantrag", top_k=1)[0].text
    ambit.check_consistent()
