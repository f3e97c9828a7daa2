"""A dry run says who would gain or lose what; the sync then does exactly that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.tables import Document, Source
from ingest.foresight import Foreseen, foresee
from policies.model import access_spec
from policies.readers import who_can_read
from tests.factories.installation import Installation
from tests.factories.scripted import EVERYONE, ScriptedSource

ANA = access_spec(["user:ana"], mode="break")
HR = access_spec(["group:hr"], mode="break")
PEOPLE = ("ana", "bob", "hana")


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
def place(tmp_path: Path, source: ScriptedSource) -> Iterator[Installation]:
    installation = Installation(tmp_path / "data")
    for user in PEOPLE:
        installation.add_user(user, *(["hr"] if user == "hana" else []))
    installation.runtime.pipeline.connectors.open = lambda _: source  # type: ignore[method-assign,assignment,return-value]
    installation.add_source("files", "folder", {"path": "."})
    source.nodes |= {"room": access_spec(), "safe": HR}
    for number in range(3):
        source.put(f"open{number}", "A duck.")
        source.put(f"room{number}", "A duck.", node="room")
        source.put(f"safe{number}", "A duck.", node="safe")
    source.put("mine", "A duck.", access=ANA)
    installation.sync()
    yield installation
    installation.close()


def readers(place: Installation) -> dict[str, set[str]]:
    with place.db.read() as session:
        rows = session.execute(select(Document.external_id, Document.id)).all()
        return {key: {one.user for one in who_can_read(session, place.tenant, id_).readers} for key, id_ in rows}


def foreseen(place: Installation, source: ScriptedSource) -> Foreseen:
    with place.db.read() as session:
        row = session.scalars(select(Source)).one()
        return foresee(session, row, list(source.changes(row.cursor)))


def test_nothing_that_changes_changes_nothing(place: Installation, source: ScriptedSource) -> None:
    assert foreseen(place, source).effects == ()


def test_what_is_foreseen_is_what_happens(place: Installation, source: ScriptedSource) -> None:
    source.nodes["room"] = HR
    source.nodes["safe"] = EVERYONE
    source.things["mine"].access = None
    source.things["open0"].access = ANA
    del source.things["open1"]
    source.put("room2", "A goose.", node="safe")
    before = readers(place)
    told = foreseen(place, source)
    assert readers(place) == before, "nothing was written"
    assert place.sync().state == "succeeded"
    after = readers(place)
    gained = {key: after[key] - before[key] for key in before if after[key] - before[key]}
    lost = {key: before[key] - after[key] for key in before if before[key] - after[key]}
    assert told.complete
    assert (told.widened, told.narrowed) == (len(gained), len(lost)) == (4, 4)
    for effect in told.effects:
        for name in effect.documents:
            assert set(effect.gained) == gained.get(name, set()), name
            assert set(effect.lost) == lost.get(name, set()), name
    assert sum(effect.count for effect in told.effects) == len(gained | lost)


def test_as_json_it_counts_and_names_some(place: Installation, source: ScriptedSource) -> None:
    source.nodes[""] = HR
    told = foreseen(place, source).as_dict()
    assert told["documents_lost_by_somebody"] == 6
    by_documents = {tuple(one["documents"]): one for one in told["effects"]}
    root = by_documents[("open0", "open1", "open2")]
    assert (root["count"], root["people_lost"], root["lost"], root["people_gained"]) == (3, 2, ["ana", "bob"], 0)
