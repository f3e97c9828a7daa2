"""Reranking and rewriting by models: what they are shown, what their answers may do, and what happens without them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.tables import AuditEntry, ConfigObject
from embed.encoders.files import BUNDLED, find_model
from policies.directory import put_app
from policies.subject import Caller
from retrieve.model import Question, Retrieved, Shape
from tests.factories.installation import Installation
from tests.factories.openai_server import OpenAIServer, Reply, openai_server

DOCUMENTS = ("alpha", "bravo", "charlie", "delta", "echo")
HIDDEN = "delta"
LABELLED = "echo"
WORDS = "valve pressure report"
Made = Callable[..., Installation]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Made]:
    made: list[Installation] = []

    def one(server: OpenAIServer | None = None, **settings: Any) -> Installation:
        files = tmp_path / "files"
        files.mkdir()
        for name in DOCUMENTS:
            (files / f"{name}.txt").write_text(f"{WORDS} {name} canary{name}", "utf-8")
        rules = {"files": {
            f"{HIDDEN}.txt": {"inherit": False, "allow": ["user:bob"]},
            f"{LABELLED}.txt": {"labels": {"classification": "restricted"}},
        }}  # fmt: skip
        (files / ".access.yaml").write_text(json.dumps({"allow": ["everyone"], **rules}), "utf-8")
        installation = Installation(tmp_path / "data", **settings)
        made.append(installation)
        for user in ("ana", "bob"):
            installation.add_user(user)
        installation.add_folder(files)
        installation.sync()
        if server is not None:
            declare(installation, "helper", server.url)
        return installation

    yield one
    for installation in made:
        installation.close()


def declare(made: Installation, key: str, url: str, limit: str = "confidential") -> None:
    arguments = {"api_base": url, "model": "scripted", "api_key": "k"}
    body = {"class": "llama_index.llms.openai_like.OpenAILike", "arguments": arguments, "max_classification": limit}
    with made.db.write() as session:
        session.add(ConfigObject(tenant_id=made.tenant, kind="Model", key=key, body=body))


def found(made: Installation, question: str = WORDS, *, app: str | None = None, **asked: Any) -> Retrieved:
    return made.runtime.retriever.retrieve(Caller(made.tenant, "ana", app), Question(question, **asked))


def names(retrieved: Retrieved) -> list[str]:
    return [one.title.removesuffix(".txt") for one in retrieved.passages]


def sent(server: OpenAIServer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(server.requests[-1]["messages"][-1]["content"])
    return body


def test_a_model_orders_what_it_may_see_and_the_rest_keep_their_places(make: Made) -> None:
    with openai_server(Reply("[3] > [1] > [2]")) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        after = found(made)
        shown = sent(server)
    assert sorted(one["n"] for one in shown["passages"]) == [1, 2, 3]
    told = json.dumps(shown)
    assert f"canary{HIDDEN}" not in told
    assert f"canary{LABELLED}" not in told
    assert after.notes == ("rerank_withheld",)
    offered = [next(name for name in DOCUMENTS if f"canary{name}" in one["text"]) for one in shown["passages"]]
    moved = [name for name in names(after) if name != LABELLED]
    assert moved == [offered[2], offered[0], offered[1]]
    assert sorted(names(after)) == sorted(set(DOCUMENTS) - {HIDDEN})
    scores = [one.score for one in after.passages]
    assert scores == sorted(scores, reverse=True)


def test_a_withheld_passage_keeps_its_slot(make: Made) -> None:
    with openai_server(Reply("[2]")) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        first = found(made)
        made.runtime.retriever._reranker = None
        plain = found(made)
    assert names(first).index(LABELLED) == names(plain).index(LABELLED)
    assert names(plain) != names(first)


def test_the_call_stands_in_the_audit(make: Made) -> None:
    with openai_server(Reply("[1]")) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        found(made)
    with made.db.read() as session:
        bodies = [json.dumps(one.body) for one in session.scalars(select(AuditEntry))]
    assert any('"for": "rerank", "model": "helper"' in one.replace('"input_tokens": 11, ', "") for one in bodies)


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (Reply(hang=True), "rerank_late"),
        (Reply(status=500), "rerank_failed"),
        (Reply("I would rather not say."), "rerank_failed"),
        (Reply("[77] > [0]"), "rerank_failed"),
    ],
)
def test_a_model_that_fails_changes_nothing(make: Made, reply: Reply, note: str) -> None:
    with openai_server(reply) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=0.3 if reply.hang else 60)
        after = found(made)
        made.runtime.retriever._reranker = None
        assert names(after) == names(found(made))
    assert note in after.notes
    assert f"canary{HIDDEN}" not in json.dumps(server.requests)


def test_one_that_keeps_failing_is_left_alone(make: Made) -> None:
    with openai_server(Reply(status=500)) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        notes = [found(made).notes[-1] for _ in range(5)]
        assert notes[-2:] == ["rerank_rests"] * 2
        assert len(server.requests) == 3


@pytest.mark.parametrize("named", ["model:nobody", "model:extractive"])
def test_a_reranker_that_is_no_language_model_is_told(make: Made, named: str) -> None:
    after = found(make(reranker=named))
    assert after.notes == ("rerank_failed",)
    assert len(after.passages) == len(DOCUMENTS) - 1


def test_an_app_uses_no_model_but_its_own(make: Made) -> None:
    with openai_server(Reply("[2]")) as server:
        made = make(server, reranker="model:helper", rewriter="helper", rerank_timeout_s=60)
        with made.db.write() as session:
            app = put_app(session, made.tenant, "chat")
            app.models = ["other"]
        after = found(made, app="chat", history=["What of the valve?"])
        assert server.requests == []
    assert set(after.notes) <= {"rerank_failed", "rewrite_failed"}


def test_a_right_that_goes_while_a_model_thinks_is_gone(make: Made) -> None:
    with openai_server(Reply("[1] > [2] > [3]")) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        inner = made.runtime.retriever._reranker
        assert inner is not None
        files = Path(made.settings.data_dir).parent / "files"

        class Revoking:
            def order(self, *arguments: Any) -> list[int] | None:
                access = json.loads((files / ".access.yaml").read_text("utf-8"))
                access["files"]["alpha.txt"] = {"inherit": False, "allow": ["user:bob"]}
                (files / ".access.yaml").write_text(json.dumps(access), "utf-8")
                made.sync()
                return inner.order(*arguments)

        made.runtime.retriever._reranker = Revoking()
        after = found(made, shape=Shape(neighbour_tokens=400))
    assert sorted(names(after)) == ["bravo", "charlie", "echo"]
    assert len(after.dropped) == 1


def cross_encoder(folder: Path) -> Path:
    """A cross-encoder of one layer with random weights, and the bundled model's tokenizer."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=1
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(find_model(BUNDLED).folder)).save_pretrained(folder)
    return folder


def test_a_cross_encoder_orders_by_its_scores(make: Made, tmp_path: Path) -> None:
    from embed.encoders.cross import CrossScorer

    folder = cross_encoder(tmp_path / "cross")
    made = make(reranker=str(folder), rerank_timeout_s=120)
    seen: list[str] = []
    after = found(made)
    scorer = CrossScorer(str(folder))
    texts = [f"{one.title}\n{one.text}" for one in after.passages]
    assert after.notes == ()
    scores = scorer.scores(WORDS, texts)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    reranker: Any = made.runtime.retriever._reranker
    inner = reranker._scorer.scores
    reranker._scorer.scores = lambda question, shown: seen.extend(shown) or inner(question, shown)
    found(made)
    assert f"canary{HIDDEN}" not in " ".join(seen)
    assert f"canary{LABELLED}" in " ".join(seen)


def test_a_cross_encoder_that_is_not_there_changes_nothing(make: Made) -> None:
    after = found(make(reranker="no/such-cross-encoder", rerank_timeout_s=120))
    assert after.notes == ("rerank_failed",)
    assert len(after.passages) == len(DOCUMENTS) - 1


def test_more_is_reranked_than_is_shown(make: Made) -> None:
    with openai_server(Reply("[3]")) as server:
        made = make(server, reranker="model:helper", rerank_timeout_s=60)
        after = found(made, top_k=2)
        assert len(sent(server)["passages"]) == 3
    assert len(after.passages) == 2


def test_a_follow_up_is_written_out_from_what_the_person_asked(make: Made) -> None:
    with openai_server(Reply('"pressure of the charlie valve"')) as server:
        made = make(server, rewriter="helper", rewrite_timeout_s=60)
        seen: list[str] = []
        stack, inner = made.runtime.stack, made.runtime.stack.search
        stack.search = lambda text, *a, **k: seen.append(text) or inner(text, *a, **k)  # type: ignore[method-assign]
        after = found(made, "And of that one?", history=["What is the pressure of alpha?", "And of charlie?"])
        assert sent(server) == {
            "earlier": ["What is the pressure of alpha?", "And of charlie?"], "now": "And of that one?",
        }  # fmt: skip
        asked = len(server.requests)
        found(made, WORDS)
        assert len(server.requests) == asked, "no history, no model"
    assert seen[0] == "pressure of the charlie valve"
    assert (after.notes, names(after)[0]) == ((), "charlie")


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(status=500), Reply("two\nlines"), Reply("x" * 700)])
def test_without_the_model_the_rules_rewrite(make: Made, reply: Reply) -> None:
    with openai_server(reply) as server:
        made = make(server, rewriter="helper", rewrite_timeout_s=0.3 if reply.hang else 60)
        seen: list[str] = []
        stack, inner = made.runtime.stack, made.runtime.stack.search
        stack.search = lambda text, *a, **k: seen.append(text) or inner(text, *a, **k)  # type: ignore[method-assign]
        after = found(made, "And its pressure?", history=["What is Charlie?"])
    assert "Charlie" in seen[0]
    assert after.notes == ("rewrite_late" if reply.hang else "rewrite_failed",)
