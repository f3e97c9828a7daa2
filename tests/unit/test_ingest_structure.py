"""How documents are split: never beyond what the encoder reads, and anew where that or the setting changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import SettingError
from core.tables import Chunk, Document, Item, Run, VersionChunk
from embed.encoders.room import CONTEXT_TOKENS, MARKS, chunk_room, room
from tests.factories.encoders import WordEncoder
from tests.factories.installation import Installation

TEXT = "The pressure of the valve is checked each morning before the shift begins. " * 60


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "valves.txt").write_text(TEXT, "utf-8")
    (folder / "notes.txt").write_text("A short note.", "utf-8")
    return folder


@pytest.fixture
def ambit(tmp_path: Path, files: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data", chunk_tokens=8192)
    made.add_folder(files)
    made.add_user("ana")
    yield made
    made.close()


def encoder(ambit: Installation) -> Any:
    return ambit.runtime.stack.encoder


def inputs(ambit: Installation) -> list[str]:
    """What the encoder saw of the chunks that readers see."""
    statement = (
        select(Chunk)
        .join(VersionChunk, VersionChunk.chunk_id == Chunk.id)
        .join(Document, Document.version_id == VersionChunk.version_id)
        .order_by(VersionChunk.version_id, VersionChunk.position)
    )
    with ambit.db.read() as session:
        return [f"{one.context}\n\n{one.text}" for one in session.scalars(statement)]


def items(ambit: Installation) -> int:
    with ambit.db.read() as session:
        last = session.scalars(select(Run.id).order_by(Run.id.desc()).limit(1)).one()
        return len(session.scalars(select(Item.id).where(Item.run_id == last)).all())


def test_no_chunk_is_longer_than_the_encoder_reads_whatever_the_setting_says(ambit: Installation) -> None:
    ambit.sync()
    counts = encoder(ambit).tokenizer.count(inputs(ambit))
    assert len(counts) > 2
    assert max(counts) <= encoder(ambit).max_tokens - MARKS


def test_documents_that_did_not_change_are_split_anew_where_the_splitting_did(ambit: Installation) -> None:
    ambit.sync()
    before = inputs(ambit)
    ambit.sync()
    assert items(ambit) == 0
    encoder(ambit).max_tokens = 160
    ambit.sync()
    assert items(ambit) == 2
    after = inputs(ambit)
    assert len(after) > len(before)
    assert max(encoder(ambit).tokenizer.count(after)) <= 160 - MARKS
    ambit.sync()
    assert items(ambit) == 0


def test_a_crawl_of_access_alone_splits_nothing(ambit: Installation) -> None:
    ambit.sync()
    encoder(ambit).max_tokens = 160
    ambit.sync(kind="permissions")
    assert items(ambit) == 0
    ambit.sync()
    assert items(ambit) == 2


def test_room_is_what_the_prompt_leaves() -> None:
    made = WordEncoder()
    assert room(made) == 512 - MARKS
    made.passage_prompt = "passage: "
    assert room(made) == 512 - MARKS - 2
    assert chunk_room(made) == room(made) - CONTEXT_TOKENS


def test_an_encoder_that_reads_next_to_nothing_is_refused() -> None:
    made = WordEncoder()
    made.max_tokens = 60
    with pytest.raises(SettingError, match=r"reads 60 tokens at once, too few .* choose one that reads 68 or more"):
        chunk_room(made)
