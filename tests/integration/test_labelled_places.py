"""The places of a label are found alike on both databases, and are those at which `effective` has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.tables import AclNode
from policies.labelled import label_names, places_with
from policies.labels import effective
from tests.factories.installation import Installation

STATED = {
    ".": "allow: [everyone]\nlabels: {project: apollo}\n",
    "open": "labels: {classification: public}\n",
    "open/inner": "labels: {classification: restricted, project: gemini}\n",
    "open/inner/deep": "inherit: false\nallow: [everyone]\n",
    "kept": "labels: {classification: public}\nfiles:\n  a.txt: {labels: {classification: confidential}}\n",
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    chosen = {} if request.param == "sqlite" else {"database_url": request.getfixturevalue("postgres_url")}
    made = Installation(tmp_path / "data", **chosen)
    for name, text in STATED.items():
        folder = tmp_path / "files" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".access.yaml").write_text(text)
        (folder / "a.txt").write_text(f"Something about {name}.")
    made.add_folder(tmp_path / "files")
    made.sync()
    yield made
    made.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {"classification": ["public"]},
        {"classification": ["internal", "confidential"]},
        {"project": ["gemini"]},
        {"project": ["apollo"], "classification": ["public"]},
        {"project": ["mercury"]},
    ],
)
def test_they_are_those_at_which_the_label_holds(place: Installation, wanted: dict[str, list[str]]) -> None:
    with place.db.read(place.tenant) as session:
        everywhere = session.scalars(select(AclNode.id).where(AclNode.tenant_id == place.tenant)).all()
        held = effective(session, place.tenant, everywhere)
        fitting = [node for node, labels in held.items() if all(labels.get(name) in wanted[name] for name in wanted)]
        assert places_with(session, place.tenant, wanted) == tuple(sorted(fitting))
        assert bool(fitting) == (wanted != {"project": ["mercury"]})
        assert label_names(session, place.tenant) == {"classification", "project"}
