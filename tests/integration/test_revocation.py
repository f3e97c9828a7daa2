"""Two processes: one changes SQL in every way a right is lost, the other answers queries without pause.

A query begun after the change's commit returned never shows the document, and no vector is written for it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.revocation import distribution, measure
from bench.revocation_world import WAYS
from core.db import Database

FEW = 40


@pytest.mark.parametrize("revocations", [FEW, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_what_is_taken_is_gone_with_the_next_query(db: Database, tmp_path: Path, revocations: int) -> None:
    url = db.url.render_as_string(hide_password=False)
    found = measure(url, tmp_path / "data", revocations)
    print(f"{db.url.get_backend_name()}: {distribution(found)}")
    assert found.leaks == []
    assert found.vector_writes == 0
    assert len(found.lags_ms) == revocations
    assert found.queries > revocations


def test_every_input_of_a_decision_is_among_the_ways() -> None:
    """Each noun of DESIGN's list has its ways; all of them are gone through in the short form."""
    inputs = {
        "users": ["user inactive", "user removed", "address"],
        "attributes": ["attributes"],
        "groups": ["membership", "nested membership", "group removed"],
        "entries": ["allow taken", "admin deny", "deny above", "unresolved deny", "deny through the app"],
        "times": ["entry expired", "entry begins later", "emergency access ended"],
        "nodes": ["closed", "narrowed", "break", "folder moved", "source deleted"],
        "labels": ["label", "admin's label"],
        "order": ["order"],
        "rules": ["rule", "rule enforced", "permit ended", "permit on trial"],
        "apps": ["app's sources", "app inactive"],
        "moves": ["document moved", "document waits", "document held"],
        "freshness": ["too old", "directory too old"],
    }
    assert {way for ways in inputs.values() for way in ways} == set(WAYS)
    assert len(WAYS) <= FEW


def test_a_right_that_is_not_taken_is_seen_as_a_leak(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WAYS, "membership", replace(WAYS["membership"], lose=lambda session, world: None))
    assert set(measure(str(sqlite_db.url), tmp_path / "data", 1).leaks) == {"membership"}
