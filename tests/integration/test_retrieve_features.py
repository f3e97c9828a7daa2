"""What retrieval chooses and shows, under access rules: nothing it adds comes from what the caller may not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, select

from core.errors import AmbitError, InvalidError
from core.tables import AuditEntry
from embed.encoders.base import Vectors
from policies.subject import Caller
from retrieve.model import Narrowing, Passage, Question, Retrieved, Shape
from tests.factories.encoders import WordEncoder
from tests.factories.installation import Installation

COPY = "# Leave\n\nParental leave lasts sixteen weeks at full pay.\n"


class NaNEncoder(WordEncoder):
    """Right for passages, not a number for queries."""

    def encode_query(self, text: str) -> Vectors:
        return np.full(self.dimension, np.nan, np.float32)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data", chunk_tokens=32)
    made.add_user("ana", "hr")
    made.add_user("bob")
    yield made
    made.close()


def fill(made: Installation, folder: Path, files: dict[str, str], *, secret: str = "") -> None:
    """Files that everyone reads, but for those in `secret`, which `hr` reads alone."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if secret:
        (folder / secret / ".access.yaml").write_text("inherit: false\nallow: [group:hr]\n")
    made.add_folder(folder)
    made.sync()


def ask(made: Installation, user: str, text: str, **parts: Any) -> Retrieved:
    return made.runtime.retriever.retrieve(Caller(made.tenant, user), Question(text, **parts))


def uris(passage: Passage) -> set[str]:
    return {Path(place.uri).name for place in (passage, *passage.also)}


def test_copies_are_listed_only_where_they_may_be_read(installation: Installation, tmp_path: Path) -> None:
    files = {"open.md": COPY, "hr/kept.md": COPY, "hr/again.md": COPY, "other.md": "# Trains\n\nSecond class."}
    fill(installation, tmp_path / "files", files, secret="hr")
    of_ana = ask(installation, "ana", "parental leave").passages[0]
    assert uris(of_ana) == {"open.md", "kept.md", "again.md"}
    of_bob = ask(installation, "bob", "parental leave").passages[0]
    assert uris(of_bob) == {"open.md"}
    assert of_bob.also == ()


def test_the_audit_names_every_document_that_was_listed(installation: Installation, tmp_path: Path) -> None:
    fill(installation, tmp_path / "files", {"a.md": COPY, "b.md": COPY})
    (passage,) = ask(installation, "ana", "parental leave").passages
    with installation.db.read() as session:
        body = session.scalars(select(AuditEntry.body).where(AuditEntry.kind == "query")).one()
    assert body["documents"] == sorted(passage.documents)
    assert len(body["documents"]) == 2


def test_what_may_not_be_read_takes_no_place(installation: Installation, tmp_path: Path) -> None:
    files = {f"hr/{n}.md": f"# Bonus {n}\n\nThe bonus is paid in March." for n in range(30)}
    fill(installation, tmp_path / "files", {**files, "open.md": "# Plan\n\nA bonus plan."}, secret="hr")
    assert [one.title for one in ask(installation, "bob", "bonus", top_k=1).passages] == ["Plan"]
    capped = ask(installation, "bob", "bonus", top_k=5, shape=Shape(per_source=3))
    assert [one.title for one in capped.passages] == ["Plan"]


def test_a_cap_by_document_looks_further_for_other_documents(installation: Installation, tmp_path: Path) -> None:
    long = "# Pumps\n\n" + "\n\n".join(f"The pump number {n} was inspected for leaks and pressure." for n in range(60))
    fill(installation, tmp_path / "files", {"long.md": long, "short.md": "# Note\n\nOne pump leaks."})
    free = ask(installation, "ana", "pump inspected pressure", top_k=6).passages
    assert len({one.document for one in free}) <= 2
    capped = ask(installation, "ana", "pump inspected pressure", top_k=6, shape=Shape(per_document=1)).passages
    assert sorted(one.title for one in capped) == ["Note", "Pumps"]


def parts_of(name: str, count: int = 8) -> str:
    return f"# {name}\n\n" + "\n\n".join(
        f"Step {n} of the {name} procedure needs tool {name}{n} and a careful person to hold part {n} firmly in place."
        for n in range(count)
    )


def test_a_passage_grows_within_its_own_document_and_budget(installation: Installation, tmp_path: Path) -> None:
    fill(installation, tmp_path / "files", {"a.md": parts_of("alpha"), "b.md": parts_of("beta")})
    (plain,) = ask(installation, "ana", "alpha4", top_k=1).passages
    (grown,) = ask(installation, "ana", "alpha4", top_k=1, shape=Shape(neighbour_tokens=100)).passages
    assert grown.chunk == plain.chunk
    assert plain.text in grown.text
    assert len(grown.text) > len(plain.text)
    assert "beta" not in grown.text
    assert installation.encoder.tokenizer.count([grown.text])[0] <= 110
    (whole,) = ask(installation, "ana", "alpha4", top_k=1, shape=Shape(neighbour_tokens=8000)).passages
    assert [f"alpha{n}" in whole.text for n in range(8)] == [True] * 8
    assert whole.text.index("alpha3") < whole.text.index("alpha4") < whole.text.index("alpha5")


def test_no_text_is_shown_twice_by_growing(installation: Installation, tmp_path: Path) -> None:
    fill(installation, tmp_path / "files", {"a.md": parts_of("alpha")})
    found = ask(installation, "ana", "alpha step procedure", top_k=4, shape=Shape(neighbour_tokens=8000)).passages
    shown = " ".join(one.text for one in found)
    assert [shown.count(f"alpha{n} ") for n in range(8)] == [1] * 8


def test_growing_reads_the_current_version_alone(installation: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    fill(installation, folder, {"a.md": parts_of("alpha")})
    (folder / "a.md").write_text(parts_of("alpha").replace("alpha5 and", "NEWER5 and"), encoding="utf-8")
    installation.sync()
    (grown,) = ask(installation, "ana", "alpha4", top_k=1, shape=Shape(neighbour_tokens=8000)).passages
    assert "NEWER5" in grown.text
    assert "alpha5" not in grown.text


def test_growing_asks_for_nothing_of_documents_that_were_refused(installation: Installation, tmp_path: Path) -> None:
    files = {"hr/a.md": parts_of("alpha"), "b.md": parts_of("beta")}
    fill(installation, tmp_path / "files", files, secret="hr")
    found = ask(installation, "bob", "alpha4 procedure", top_k=4, shape=Shape(neighbour_tokens=8000)).passages
    assert found
    assert all("alpha" not in one.text for one in found)


def test_a_follow_up_finds_what_it_leans_on(installation: Installation, tmp_path: Path) -> None:
    files = {
        "a.md": "# Acme\n\nAcme had a revenue of 12 million.",
        "b.md": "# Birch\n\nBirch had a revenue of 3 million.",
        "c.md": "# Cedar\n\nCedar pays dividends in June.",
    }
    fill(installation, tmp_path / "files", files)
    alone = ask(installation, "ana", "And its dividends?", top_k=3, history=["What was the revenue of Acme?"])
    assert "Acme" in {one.title for one in alone.passages[:2]}


def test_an_unknown_field_is_refused_and_an_unknown_value_finds_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    fill(installation, tmp_path / "files", {"a.md": COPY})
    with pytest.raises(InvalidError) as refused:
        ask(installation, "ana", "leave", narrowing=Narrowing(facets={"colour": ["red"], "path": ["a.md"]}))
    assert [one["field"] for one in refused.value.extra["errors"]] == ["filters.facets.colour"]
    assert ask(installation, "ana", "leave", narrowing=Narrowing(facets={"author": ["nobody"]})).passages == ()


GERMAN = "Die Reisekosten werden nach der Reise mit allen Belegen bei der Buchhaltung eingereicht und dort geprüft."
ENGLISH = "Travel expenses are handed in with all receipts at the accounting department, which checks them afterwards."


@pytest.mark.parametrize(
    ("narrowing", "names"),
    [
        (Narrowing(), {"old.md", "new.md", "reise.md", "mail.eml"}),
        (Narrowing(facets={"path": ["travel/2020"]}), {"old.md"}),
        (Narrowing(facets={"path": ["travel"]}), {"old.md", "new.md"}),
        (Narrowing(facets={"path": ["/travel/2020/"]}), {"old.md"}),
        (Narrowing(facets={"language": ["de"]}), {"reise.md"}),
        (Narrowing(facets={"language": ["de"], "path": ["travel"]}), set()),
        (Narrowing(facets={"mime": ["message/rfc822"]}), {"mail.eml"}),
        (Narrowing(facets={"author": ["Ana Alder <ana@example.com>"]}), {"mail.eml"}),
        (Narrowing(modified_until=datetime(2021, 1, 1, tzinfo=UTC)), {"old.md"}),
        (Narrowing(modified_from=datetime(2021, 1, 1, tzinfo=UTC), facets={"path": ["travel"]}), {"new.md"}),
    ],
)  # fmt: skip
def test_what_ingestion_found_out_can_be_narrowed_to(
    installation: Installation, tmp_path: Path, narrowing: Narrowing, names: set[str]
) -> None:
    mail = "From: Ana Alder <ana@example.com>\nTo: bob@example.com\nSubject: Travel\n\n"
    root = tmp_path / "files"
    (root / "travel" / "2020").mkdir(parents=True)
    (root / "travel" / "2020" / "old.md").write_text(f"# Old\n\n{ENGLISH}", "utf-8")
    os.utime(root / "travel" / "2020" / "old.md", (1_590_000_000, 1_590_000_000))
    fill(
        installation,
        root,
        {"travel/new.md": f"# New\n\n{ENGLISH}", "reise.md": f"# Reise\n\n{GERMAN}", "mail.eml": mail + ENGLISH},
    )
    asked = ask(installation, "ana", "travel expenses", narrowing=narrowing, shape=Shape(collapse="off"))
    assert {name for passage in asked.passages for name in uris(passage)} == names


def test_a_label_narrows_to_where_it_holds(installation: Installation, tmp_path: Path) -> None:
    root = tmp_path / "files"
    files = {"open.md": COPY, "plan/plan.md": COPY, "plan/deep/more.md": COPY, "hr/kept.md": COPY}
    for name, stated in {
        "plan": "labels: {classification: public, project: apollo}\n",
        "hr": "inherit: false\nallow: [group:hr]\nlabels: {classification: public}\n",
    }.items():
        (root / name).mkdir(parents=True)
        (root / name / ".access.yaml").write_text(stated)
    fill(installation, root, files)

    def found(user: str, **labels: list[str]) -> set[str]:
        asked = ask(
            installation, user, "parental leave", narrowing=Narrowing(labels=labels), shape=Shape(collapse="off")
        )
        return {name for passage in asked.passages for name in uris(passage)}

    assert found("ana", classification=["public"]) == {"plan.md", "more.md", "kept.md"}
    assert found("bob", classification=["public"]) == {"plan.md", "more.md"}
    assert found("bob", classification=["internal"]) == {"open.md"}
    assert found("bob", classification=["internal", "public"]) == {"open.md", "plan.md", "more.md"}
    assert found("ana", classification=["public"], project=["apollo"]) == {"plan.md", "more.md"}
    assert found("ana", project=["gemini"]) == set()
    assert found("ana", project=[]) == set()
    with pytest.raises(InvalidError) as refused:
        found("ana", colour=["red"])
    assert [one["field"] for one in refused.value.extra["errors"]] == ["filters.labels.colour"]


@pytest.mark.parametrize("text", ["the of and", "отпуск", "育児休暇", "إجازة", "🙂🙂", "\x00leave\x1b"])
def test_unusual_questions_are_searched(installation: Installation, tmp_path: Path, text: str) -> None:
    fill(installation, tmp_path / "files", {"a.md": COPY})
    assert len(ask(installation, "ana", text).passages) == 1


def test_a_query_vector_that_is_no_number_is_refused(tmp_path: Path) -> None:
    made = Installation(tmp_path / "data", encoder=NaNEncoder())
    try:
        made.add_user("ana")
        fill(made, tmp_path / "files", {"a.md": COPY, "b.md": "# Trains\n\nSecond class."})
        with pytest.raises(AmbitError) as refused:
            ask(made, "ana", "parental leave")
        assert refused.value.code == "encoder_answer"
        assert "finite" in refused.value.detail
    finally:
        made.close()


def test_an_encoder_of_another_dimension_is_refused(installation: Installation, tmp_path: Path) -> None:
    fill(installation, tmp_path / "files", {"a.md": COPY})
    installation.encoder.dimension = 32
    with pytest.raises(AmbitError) as refused:
        ask(installation, "ana", "parental leave")
    assert refused.value.code == "encoder_mismatch"


def test_a_warm_query_needs_few_statements(installation: Installation, tmp_path: Path) -> None:
    """Each statement costs; a new one is a decision, not an accident."""
    fill(installation, tmp_path / "files", {"a.md": COPY, "b.md": parts_of("beta")})
    ask(installation, "ana", "leave")
    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1

    event.listen(installation.db.engine, "before_cursor_execute", counted)
    ask(installation, "ana", "leave")
    assert count <= 36
