"""`ambit index`, `ambit reembed`, and the thread of `ambit serve` that does both by itself."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cli.serving import announced
from core.settings import Settings
from core.tables import AuditEntry, ChunkPoint, Generation
from embed.encoders.base import Encoder, Vectors
from embed.stack import VectorStack
from ingest import keeper
from ingest.keeper import Keeper
from ingest.rebuild import begin, build, mark_dropped
from ingest.reconcile import verify
from tests.factories.command_line import ambit
from tests.factories.encoders import HalfEncoder, WordEncoder
from tests.factories.installation import Installation

DOCUMENTS = 3
OTHER = HalfEncoder.name
BAD = "backwards"


class Backwards(WordEncoder):
    """Finds last what it should find first."""

    name = BAD

    def encode_query(self, text: str) -> Vectors:
        turned: Vectors = -super().encode_query(text)
        return turned


@pytest.fixture(autouse=True)
def small_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this process find small encoders by the names that are set."""
    known: dict[str, Encoder] = {"word-hash": WordEncoder(), OTHER: HalfEncoder(), BAD: Backwards()}
    monkeypatch.setattr("embed.stack.make_encoder", lambda settings, model=None: known[model or settings.encoder])
    monkeypatch.setenv("AMBIT_ENCODER", "word-hash")
    monkeypatch.setattr(keeper, "LOOK_S", 0.01)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Installation]:
    """An installation with a few documents, its index given back."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(DOCUMENTS):
        (files / f"doc-{number}.txt").write_text(f"Report {number} is about subject{number}.", "utf-8")
    one = Installation(tmp_path / "data")
    one.add_folder(files)
    one.add_user("ana")
    one.sync()
    one.runtime.stack.close()
    yield one
    one.close()


def generations(made: Installation) -> dict[int, str]:
    with made.db.read() as session:
        return {row.id: row.state for row in session.scalars(select(Generation))}


def test_a_lost_index_is_told_and_mended(made: Installation) -> None:
    folder = made.settings.data_dir
    assert ambit(folder, "--json", "index", "verify").json["agree"]
    shutil.rmtree(made.settings.index_dir)
    ran = ambit(folder, "index", "verify")
    assert (ran.status, ran.out) == (1, f"0 points: {DOCUMENTS} missing; `ambit index repair` mends it\n")
    doctor = ambit(folder, "--json", "doctor").json
    told = next(one for one in doctor["checks"] if one["name"] == "index")
    assert (told["state"], told["mend"]) == ("fail", "run `ambit index repair`")
    ran = ambit(folder, "--json", "index", "repair")
    assert (ran.status, ran.json["found"]["missing"], ran.json["left"]["points"]) == (0, DOCUMENTS, DOCUMENTS)
    assert ambit(folder, "index", "verify").out == f"{DOCUMENTS} points: index and SQL agree\n"
    assert made.search("ana", "subject1")


@pytest.mark.parametrize("verb", ["verify", "repair"])
def test_a_server_that_holds_the_index_is_left_to_it(made: Installation, verb: str) -> None:
    with announced(made.settings.data_dir, "http://127.0.0.1:1", works=True, alone=True):
        ran = ambit(made.settings.data_dir, "--json", "index", verb)
    assert (ran.status, ran.json["code"]) == (2, "conflict")
    assert "mends by itself" in ran.json["detail"]


def test_the_encoder_is_changed_back_and_dropped(made: Installation) -> None:
    folder = made.settings.data_dir
    ran = ambit(folder, "--json", "reembed", "--encoder", OTHER)
    assert ran.json == {"generation": 2, "encoder": OTHER, "chunks": DOCUMENTS, "live": True}
    assert generations(made) == {1: "retired", 2: "live"}
    assert ambit(folder, "--json", "search", "subject2", "--as", "ana").json["results"]
    assert ambit(folder, "--json", "reembed", "--switch-back").json["generation"] == 1
    assert generations(made) == {1: "live", 2: "retired"}
    assert ambit(folder, "--json", "reembed", "--drop").json == {"dropped": [2]}
    assert generations(made) == {1: "live"}
    assert ambit(folder, "--json", "reembed", "--switch-back").json["code"] == "not_found"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A data set in the BEIR layout whose questions have stop words alone, so that the dense vectors decide."""
    words = {"1": "the and of", "2": "is it a", "3": "was were been"}
    folder = tmp_path / "labelled"
    folder.mkdir()
    corpus = [json.dumps({"_id": key, "title": "", "text": f"{text} animal{key}"}) for key, text in words.items()]
    (folder / "corpus.jsonl").write_text("\n".join(corpus), "utf-8")
    queries = [json.dumps({"_id": f"q{key}", "text": text}) for key, text in words.items()]
    (folder / "queries.jsonl").write_text("\n".join(queries), "utf-8")
    (folder / "qrels.tsv").write_text("".join(f"q{key}\t{key}\t1\n" for key in words), "utf-8")
    return folder


def test_an_encoder_that_finds_worse_is_refused_unless_forced(made: Installation, labelled: Path) -> None:
    folder = made.settings.data_dir
    refused = ambit(folder, "--json", "reembed", "--encoder", BAD, "--evaluate", str(labelled))
    assert (refused.status, refused.json["code"]) == (2, "encoder_worse")
    assert "0.5000 below that of word-hash" in refused.json["detail"]
    assert generations(made) == {1: "live"}
    shown = ambit(folder, "reembed", "--encoder", BAD, "--evaluate", str(labelled))
    assert "-0.5000" in shown.out
    forced = ambit(folder, "--json", "reembed", "--encoder", BAD, "--evaluate", str(labelled), "--force")
    assert forced.json["evaluation"]["differences"]["ndcg10"]["mean"] == pytest.approx(-0.5)
    assert generations(made) == {1: "retired", 2: "live"}


@pytest.fixture
def own_questions(made: Installation, labelled: Path, tmp_path: Path) -> Path:
    """The same questions of documents that the installation itself holds; ana may not read the third."""
    corpus = (labelled / "corpus.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, corpus):
        (tmp_path / "files" / f"{row['_id']}.txt").write_text(row["text"], "utf-8")
    access = "allow: [everyone]\nfiles:\n  3.txt: {deny: [user:ana]}\n"
    (tmp_path / "files" / ".access.yaml").write_text(access, "utf-8")
    made.sync()
    made.runtime.stack.close()
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(labelled / "queries.jsonl", folder)
    (folder / "qrels.tsv").write_text("".join(f"q{key}\tfiles/{key}.txt\t1\n" for key in "123"), "utf-8")
    return folder


def test_the_built_index_is_measured_on_questions_of_its_own_documents(made: Installation, own_questions: Path) -> None:
    folder, asked = made.settings.data_dir, ("--evaluate", str(own_questions), "--as", "ana")
    refused = ambit(folder, "--json", "reembed", "--encoder", BAD, *asked)
    assert (refused.status, refused.json["code"]) == (2, "encoder_worse")
    assert generations(made) == {1: "live", 2: "judged"}
    with made.db.read() as session:
        noted = sorted(session.scalars(select(ChunkPoint.generation_id)))
    assert noted == [1] * (DOCUMENTS + 3) + [2] * (DOCUMENTS + 3), "it was built whole before it was judged"
    forced = ambit(folder, "--json", "reembed", "--encoder", BAD, *asked, "--force").json
    found = forced["evaluation"]
    assert found["old"]["ndcg10"]["mean"] == pytest.approx(2 / 3), "what ana may not read is not found for her"
    assert found["new"]["ndcg10"]["mean"] < found["old"]["ndcg10"]["mean"]
    assert generations(made) == {1: "retired", 2: "live"}
    with made.db.read() as session:
        acts = [entry.body for entry in session.scalars(select(AuditEntry).where(AuditEntry.kind == "act_as"))]
    assert [(body["user"], body["for"]) for body in acts][-1] == ("ana", "evaluation")


def test_a_server_leaves_an_index_alone_that_found_worse(made: Installation, own_questions: Path) -> None:
    folder = made.settings.data_dir
    asked = ("reembed", "--encoder", BAD, "--evaluate", str(own_questions), "--as", "ana")
    assert ambit(folder, "--json", *asked).json["code"] == "encoder_worse"
    made.runtime.stack._encoders[BAD] = Backwards()
    assert build(made.runtime.pipeline) is None
    assert generations(made) == {1: "live", 2: "judged"}
    assert begin(made.db, Backwards(), BAD) == 2, "asked for once more, and not to be measured"
    assert build(made.runtime.pipeline) == 2
    assert generations(made) == {1: "retired", 2: "live"}


def test_questions_of_the_installation_need_a_person_known_documents_and_no_server(
    made: Installation, own_questions: Path
) -> None:
    folder, asked = made.settings.data_dir, ("--json", "reembed", "--encoder", OTHER, "--evaluate", str(own_questions))
    assert "say --as whom" in ambit(folder, *asked).json["detail"]
    with announced(folder, "http://127.0.0.1:1", works=True, alone=True):
        assert "switches by itself" in ambit(folder, *asked, "--as", "ana").json["detail"]
    assert generations(made) == {1: "live"}
    (own_questions / "qrels.tsv").write_text("q1\tfiles/none.txt\t1\n", "utf-8")
    told = ambit(folder, *asked, "--as", "ana").json
    assert told["code"] == "dataset_invalid"
    assert "'files/none.txt' is judged and not in this installation" in told["detail"]


def test_an_encoder_that_finds_as_well_goes_live(
    made: Installation, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIT_REEMBED_EVALUATION", str(labelled))
    ran = ambit(made.settings.data_dir, "--json", "reembed", "--encoder", OTHER)
    assert (ran.json["live"], ran.json["evaluation"]["new"]["ndcg10"]["mean"]) == (True, 1.0)


def test_an_encoder_that_is_set_and_not_used_is_told(
    made: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = made.settings.data_dir
    assert ambit(folder, "--json", "status").json["index"]["notice"] is None
    monkeypatch.setenv("AMBIT_ENCODER", OTHER)
    told = ambit(folder, "--json", "status").json["index"]["notice"]
    assert "made by 'word-hash'" in told
    assert f"`ambit reembed --encoder {OTHER}`" in told
    checks = ambit(folder, "--json", "doctor").json["checks"]
    assert [(one["state"], one["detail"]) for one in checks if one["detail"] == told] == [("note", told)]
    stack = VectorStack(Settings(data_dir=folder, encoder=OTHER), made.db)
    stack._encoders["word-hash"] = WordEncoder()
    stack.warm_up()
    stack.close()
    assert told in caplog.text
    monkeypatch.delenv("AMBIT_ENCODER")
    assert ambit(folder, "--json", "status").json["index"]["notice"] is None


def test_the_language_of_terms_is_changed_and_one_that_is_only_set_is_told(
    made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made.settings.data_dir
    monkeypatch.setenv("AMBIT_TERM_LANGUAGE", "german")
    assert "`ambit reembed --language german`" in ambit(folder, "--json", "status").json["index"]["notice"]
    ran = ambit(folder, "--json", "reembed", "--language", "german")
    assert (ran.json["live"], ran.json["encoder"]) == (True, "word-hash"), ran.err
    assert ambit(folder, "--json", "status").json["index"]["notice"] is None
    assert ambit(folder, "--json", "reembed", "--language", "german").json["code"] == "conflict"
    assert ambit(folder, "--json", "reembed", "--language", "klingon").json["code"] == "setting_invalid"
    assert ambit(folder, "--json", "search", "subject2", "--as", "ana").json["results"]


@pytest.mark.parametrize("options", [[], ["--encoder", OTHER, "--drop"], ["--drop", "--language", "german"]])
def test_one_thing_at_a_time_is_asked_for(made: Installation, options: list[str]) -> None:
    assert ambit(made.settings.data_dir, "--json", "reembed", *options).json["code"] == "invalid"


def test_the_same_encoder_and_no_index_are_refused(made: Installation, tmp_path: Path) -> None:
    ran = ambit(made.settings.data_dir, "--json", "reembed", "--encoder", "word-hash")
    assert (ran.json["code"], "nothing to do" in ran.json["detail"]) == ("conflict", True)
    ambit(tmp_path / "new", "init")
    assert "no index yet" in ambit(tmp_path / "new", "reembed", "--encoder", OTHER).err


def test_the_command_follows_a_server_that_works(made: Installation) -> None:
    folder = made.settings.data_dir
    made.runtime.stack.generation()
    made.runtime.stack._encoders[OTHER] = HalfEncoder()
    one = Keeper(made.runtime.pipeline)
    with announced(folder, "http://127.0.0.1:1", works=True, alone=True):
        one.start()
        try:
            refused = ambit(folder, "--json", "reembed", "--encoder", OTHER, "--rate", "5")
            ran = ambit(folder, "--json", "reembed", "--encoder", OTHER)
            assert generations(made) == {1: "retired", 2: "live"}
            mark_dropped(made.db)
            waited(lambda: generations(made) == {2: "live"})
        finally:
            one.stop()
    assert refused.json["code"] == "invalid"
    assert ran.json["live"]


def waited(condition: Any) -> None:
    over = threading.Event()
    for _ in range(2000):
        if condition():
            return
        over.wait(0.01)
    raise AssertionError("it did not come to that")


def kept_until_they_agree(made: Installation) -> None:
    one = Keeper(made.runtime.pipeline)
    one.start()
    try:
        waited(lambda: verify(made.runtime.pipeline).agree)
    finally:
        one.stop()


def test_a_server_mends_a_lost_index_by_itself(made: Installation) -> None:
    shutil.rmtree(made.settings.index_dir)
    kept_until_they_agree(made)
    assert made.search("ana", "subject0")


def test_a_server_compares_everything_when_a_day_has_passed(
    made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point that stands under the wrong node changes no number of points, so only the comparison finds it."""
    collection = made.runtime.stack.generation().collection
    (name, *_), *_ = made.runtime.stack.index.scan(collection)
    made.runtime.stack.index.place(collection, [name], acl=77)
    assert verify(made.runtime.pipeline).misplaced == 1
    monkeypatch.setattr(keeper, "COMPARE_S", 0.0)
    kept_until_they_agree(made)


def test_a_failing_keeper_tries_again(made: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Semaphore(0)

    def fail(*_: Any, **__: Any) -> None:
        tried.release()
        raise RuntimeError("the database is away")

    monkeypatch.setattr(keeper, "build", fail)
    one = Keeper(made.runtime.pipeline)
    one.start()
    try:
        assert all(tried.acquire(timeout=60) for _ in range(3))
    finally:
        one.stop()
