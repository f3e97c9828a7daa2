"""Steering runs over HTTP: kinds of sync, pausing, rejecting, retrying a source, schedules and priorities."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.tables import AuditEntry, Item, Run
from tests.factories.drain import drain
from tests.integration.conftest import Installation


@pytest.fixture
def files(ambit: Installation, tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("A duck swims.")
    body = {
        "id": "files", "connector": "folder", "config": {"path": str(folder)}, "access": {"allow": ["everyone"]},
        "schedule": {"content": "*/15 * * * *", "permissions": "5m"}, "priority": 7,
    }  # fmt: skip
    created = ambit.admin("POST", "/v1/sources", json=body)
    assert created.status_code == 201, created.text
    assert created.json()["priority"] == 7
    return folder


@pytest.mark.parametrize(
    ("schedule", "field"),
    [({"content": "hourly"}, "schedule.content"), ({"rights": "5m"}, "schedule.rights")],
)
def test_a_schedule_that_is_none_is_named(
    ambit: Installation, files: Path, schedule: dict[str, str], field: str
) -> None:
    answer = ambit.admin("PATCH", "/v1/sources/files", json={"schedule": schedule})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_each_kind_of_sync_has_a_run_of_its_own(ambit: Installation, files: Path) -> None:
    content = ambit.admin("POST", "/v1/sources/files/sync").json()
    crawl = ambit.admin("POST", "/v1/sources/files/sync", json={"kind": "permissions"}).json()
    again = ambit.admin("POST", "/v1/sources/files/sync", json={"kind": "permissions"}).json()
    assert (content["kind"], crawl["kind"], again["id"]) == ("content", "permissions", crawl["id"])
    assert ambit.admin("POST", "/v1/sources/files/sync", json={"kind": "all"}).status_code == 422
    drain(ambit.runtime.pipeline)
    assert ambit.admin("GET", f"/v1/runs/{crawl['id']}").json()["state"] == "succeeded"
    assert ambit.found("ana", "duck") == ["a"]


def test_a_run_is_paused_resumed_and_a_held_one_rejected(ambit: Installation, files: Path) -> None:
    run = ambit.admin("POST", "/v1/sources/files/sync").json()["id"]
    assert ambit.admin("POST", f"/v1/runs/{run}/pause").json()["run"]["state"] == "paused"
    assert ambit.admin("POST", f"/v1/runs/{run}/pause").status_code == 409
    assert ambit.admin("POST", f"/v1/runs/{run}/reject").status_code == 409
    drain(ambit.runtime.pipeline)
    assert ambit.found("ana", "duck") == []
    assert ambit.admin("POST", f"/v1/runs/{run}/resume").json()["run"]["state"] == "listing"
    drain(ambit.runtime.pipeline)
    assert ambit.found("ana", "duck") == ["a"]
    with ambit.runtime.db.write() as session:
        session.execute(update(Run).where(Run.public_id == run).values(state="held", held_for="widening"))
    held = ambit.admin("GET", f"/v1/runs/{run}").json()
    assert held["held_for"] == "widening"
    rejected = ambit.admin("POST", f"/v1/runs/{run}/reject", json={"reason": "a mistake"}).json()["run"]
    assert (rejected["state"], rejected["error_detail"]) == ("cancelled", "rejected: a mistake")
    with ambit.runtime.db.read() as session:
        kinds = set(session.scalars(select(AuditEntry.kind)))
    assert {"admin.run.pause", "admin.run.resume", "admin.run.reject"} <= kinds


def test_failed_items_of_a_source_are_tried_again(ambit: Installation, files: Path) -> None:
    ambit.admin("POST", "/v1/sources/files/sync")
    drain(ambit.runtime.pipeline)
    with ambit.runtime.db.write() as session:
        session.execute(update(Item).values(state="failed", error_code="file_broken"))
    assert ambit.admin("POST", "/v1/sources/files/retry", json={"code": "other"}).json()["count"] == 0
    assert ambit.admin("POST", "/v1/sources/files/retry").json() == {"source": "files", "count": 1}


def test_a_paused_source_is_not_synced(ambit: Installation, files: Path) -> None:
    assert ambit.admin("PATCH", "/v1/sources/files", json={"paused": True}).json()["state"] == "paused"
    refused = ambit.admin("POST", "/v1/sources/files/sync")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
