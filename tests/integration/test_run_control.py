"""Holding, approving, rejecting, pausing, ordering and resting: what people and limits do to runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import db_in
from core.db import now
from core.errors import ConflictError, InvalidError
from core.tables import AclNode, Item, Run, Source
from ingest import dispatch
from ingest.model import SourceError
from ingest.runner import Runner
from ingest.runs import approve, cancel, pause, prioritise, reject, resume, retry_source, start_run
from ingest.schedule import any_due, check_schedule, is_due, start_due
from ingest.stages import STAGES
from policies.model import access_spec
from tests.factories.children import wait_for
from tests.factories.installation import Installation
from tests.factories.scripted import EVERYONE, ScriptedSource

ANA = access_spec(["user:ana"], mode="break")
MANY = 12


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path, source: ScriptedSource) -> Iterator[Installation]:
    chosen: dict[str, Any] = {"widening_guard_min": 2, "deletion_guard_min": 2, "backlog": 6}
    if request.param == "postgresql":
        chosen["database_url"] = request.getfixturevalue("postgres_url")
    installation = Installation(tmp_path / "data", **chosen)
    for user in ("ana", "bob"):
        installation.add_user(user)
    installation.runtime.pipeline.connectors.open = lambda _: source  # type: ignore[method-assign,assignment,return-value]
    installation.add_source("files", "folder", {"path": "."})
    yield installation
    installation.close()


def fill(source: ScriptedSource, **options: Any) -> None:
    for number in range(MANY):
        source.put(f"n{number:02}", f"Duck {number}.", **options)


def found(place: Installation, user: str) -> int:
    return len(place.search(user, "duck", top_k=50))


def act(place: Installation, run: int, what: Any) -> Any:
    with place.db.write() as session:
        return what(session, session.get_one(Run, run))


def step(place: Installation, *stages: str) -> None:
    for stage in stages:
        while STAGES[stage](place.runtime.pipeline):
            pass


@pytest.mark.parametrize("kind", ["content", "permissions"])
def test_a_sync_that_opens_a_large_share_is_held_and_nobody_gains_anything(
    place: Installation, source: ScriptedSource, kind: str
) -> None:
    fill(source, access=ANA)
    place.sync()
    fill_again(source, access=None)
    run = place.sync(kind=kind)
    assert (run.state, run.held_for, run.widened) == ("held", "widening", MANY)
    assert (found(place, "bob"), found(place, "ana")) == (0, MANY)
    assert act(place, run.id, approve) == MANY
    place.drain()
    assert place.run(run.id).state == "succeeded"
    assert found(place, "bob") == MANY
    place.check_consistent()


def fill_again(source: ScriptedSource, *, access: Any) -> None:
    for one in source.things.values():
        one.access = access


def test_a_container_that_opens_is_held_and_rejected_and_held_again(
    place: Installation, source: ScriptedSource
) -> None:
    source.nodes[""] = ANA
    fill(source)
    place.sync()
    source.nodes[""] = EVERYONE
    run = place.sync()
    assert (run.state, run.widened, found(place, "bob")) == ("held", MANY, 0)
    act(place, run.id, lambda session, one: reject(session, one, "not meant so"))
    rejected = place.run(run.id)
    assert (rejected.state, rejected.error_detail) == ("cancelled", "rejected: not meant so")
    again = place.sync()
    assert (again.state, found(place, "bob")) == ("held", 0)
    with pytest.raises(ConflictError, match="cancelled, not held"):
        act(place, run.id, approve)
    act(place, again.id, approve)
    place.drain()
    assert (place.run(again.id).state, found(place, "bob")) == ("succeeded", MANY)
    assert place.sync().state == "succeeded"


def test_an_approved_crawl_is_not_held_again_by_the_content_sync_that_follows(
    place: Installation, source: ScriptedSource
) -> None:
    source.nodes[""] = ANA
    fill(source)
    place.sync()
    source.nodes[""] = EVERYONE
    run = place.sync(kind="permissions")
    assert (run.state, run.held_for) == ("held", "widening")
    act(place, run.id, approve)
    place.drain()
    assert found(place, "bob") == MANY
    with place.db.read() as session:
        assert set(session.scalars(select(Run.state))) == {"succeeded"}


def test_a_new_text_with_a_wider_audience_is_not_shown_by_a_held_run(
    place: Installation, source: ScriptedSource
) -> None:
    fill(source, access=ANA)
    place.sync()
    fill(source)
    run = place.sync()
    assert (run.state, found(place, "bob")) == ("held", 0)
    superseded = place.sync()
    assert superseded.state == "held"
    before = place.run(run.id)
    assert before.state == "cancelled"
    assert superseded.public_id in (before.error_detail or "")
    assert {one.state for one in place.items(run.id).values()} == {"skipped"}
    act(place, superseded.id, approve)
    place.drain()
    assert found(place, "bob") == MANY
    place.check_consistent()


def test_a_sync_that_closes_most_of_a_source_is_not_held(place: Installation, source: ScriptedSource) -> None:
    source.nodes["room"] = access_spec()
    fill(source, node="room")
    place.sync()
    source.nodes["room"] = ANA
    run = place.sync()
    assert (run.state, found(place, "bob"), found(place, "ana")) == ("succeeded", 0, MANY)


def test_a_large_deletion_is_held_and_a_rejected_one_is_shown_again(
    place: Installation, source: ScriptedSource
) -> None:
    fill(source)
    place.sync()
    kept = dict(source.things)
    source.things = {"n00": kept["n00"]}
    run = place.sync()
    assert (run.state, run.held_for, found(place, "ana")) == ("held", "deletion", 1)
    act(place, run.id, reject)
    assert found(place, "ana") == MANY
    with pytest.raises(ConflictError, match="not held"):
        act(place, run.id, reject)


def test_a_deletions_run_lists_everything_of_a_source_that_sends_changes(
    place: Installation, source: ScriptedSource
) -> None:
    fill(source)
    source.incremental = True
    place.settings.__dict__["backlog"] = 0
    place.sync()
    del source.things["n03"]
    assert (place.sync().deleted, found(place, "ana")) == (0, MANY)
    run = place.sync(kind="deletions")
    assert (run.state, run.deleted, found(place, "ana")) == ("succeeded", 1, MANY - 1)
    assert source.log == ["listing", "delta", "listing"]


def test_a_run_rests_while_it_is_paused_and_goes_on_where_it_was(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    run = place.start()
    step(place, "list")
    act(place, run, pause)
    with pytest.raises(ConflictError, match="is paused"):
        act(place, run, pause)
    step(place, "list", "parse", "encode", "finish")
    assert {one.state for one in place.items(run).values()} == {"pending"}
    assert place.run(run).state == "paused"
    act(place, run, resume)
    place.drain()
    assert (place.run(run).state, found(place, "ana")) == ("succeeded", MANY)


def test_pausing_while_a_page_is_read_stops_the_listing(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    run = place.start()
    source.before_each = lambda id_: act(place, run, pause) if id_ == "n07" else None
    step(place, "list")
    assert place.run(run).state == "paused"
    source.before_each = lambda id_: None
    act(place, run, resume)
    place.drain()
    assert (place.run(run).state, found(place, "ana")) == ("succeeded", MANY)


def test_nothing_of_a_paused_source_is_begun(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    run = place.start()

    def set_state(state: str) -> None:
        with place.db.write() as session:
            session.execute(update(Source).values(state=state))

    step(place, "list")
    set_state("paused")
    step(place, "list", "parse")
    assert {one.state for one in place.items(run).values()} == {"pending"}
    with pytest.raises(ConflictError, match="is paused"):
        place.start()
    set_state("active")
    place.drain()
    assert (place.run(run).state, found(place, "ana")) == ("succeeded", MANY)


def test_a_listing_rests_while_too_much_waits_to_be_parsed(place: Installation, source: ScriptedSource) -> None:
    for number in range(40):
        source.put(f"n{number:02}", f"Duck {number}.")
    run = place.start()
    step(place, "list")
    waiting = place.items(run)
    assert len(waiting) == 10, "the backlog of 6 and the rest of the page that passed it"
    step(place, "list")
    assert len(place.items(run)) == 10
    place.drain()
    assert (place.run(run).state, found(place, "ana")) == ("succeeded", 40)
    assert source.log.count("listing") >= 4
    place.check_consistent()


def test_parsing_rests_while_too_much_waits_to_be_encoded(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    run = place.start()
    for _ in range(20):
        step(place, "list", "parse")
    encoding = sum(one.stage == "encode" for one in place.items(run).values())
    assert 6 <= encoding <= 6 + 3, "the batch that passes the backlog is the last"
    place.drain()
    assert found(place, "ana") == MANY


def test_a_higher_priority_goes_first_and_the_lower_is_not_starved(
    place: Installation, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    place.add_source("other", "folder", {"path": "."})
    with place.db.write() as session:
        place.settings.__dict__["backlog"] = 0
        prioritise(session, session.scalars(select(Source).where(Source.key == "other")).one(), 5)
    low, high = place.start(), place.start("other")
    step(place, "list")

    def taken() -> list[int]:
        with place.db.write() as session:
            claims = dispatch.claim_items(session, "parse", limit=4, lease_s=60)
            return [session.get_one(Item, one.id).run_id for one in claims]

    monkeypatch.setattr(dispatch, "FAIR_SHARE", 0.0)
    assert taken() == [high] * 4
    monkeypatch.setattr(dispatch, "FAIR_SHARE", 1.0)
    assert sorted(taken()) == [low, low, high, high]


def test_many_busy_sources_all_get_on(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    place.settings.__dict__["backlog"] = 0
    runs = {place.start()}
    for number in range(7):
        place.add_source(f"other-{number}", "folder", {"path": "."})
        runs.add(place.start(f"other-{number}"))
    step(place, "list")
    taken: Counter[int] = Counter()
    for _ in range(12):
        with place.db.write() as session:
            claims = dispatch.claim_items(session, "parse", limit=4, lease_s=60)
            taken.update(session.get_one(Item, one.id).run_id for one in claims)
    assert sum(taken.values()) == 48
    assert set(taken) == runs, "with half of all taken, no source was passed over"


def test_workers_that_claim_at_the_same_time_each_get_work(place: Installation, source: ScriptedSource) -> None:
    if place.db.is_sqlite:
        pytest.skip("on SQLite they take turns")
    fill(source)
    run = place.start()
    step(place, "list")
    with place.db.write() as first, place.db.write() as second:
        mine = dispatch.claim_items(first, "parse", limit=4, lease_s=60)
        theirs = dispatch.claim_items(second, "parse", limit=4, lease_s=60)
    oldest = sorted(one.id for one in place.items(run).values())[:8]
    assert sorted(one.id for one in (*mine, *theirs)) == oldest


def test_each_stage_wakes_the_next(place: Installation, source: ScriptedSource) -> None:
    place.settings.__dict__["poll_s"] = 3600.0
    runner = Runner(place.runtime.pipeline)
    runner.start()
    try:
        for turn in range(3):
            source.put("n00", f"Goose {turn}.")
            run = place.start()
            place.runtime.pipeline.wake("list")
            wait_for(lambda run=run: place.run(run).state == "succeeded")  # type: ignore[misc]
    finally:
        runner.stop()
    assert len(place.search("ana", "goose", top_k=50)) == 1


def test_a_source_that_asks_to_wait_is_left_alone_that_long(place: Installation, source: ScriptedSource) -> None:
    fill(source)

    def refuse(id_: str) -> None:
        raise SourceError("429", retry_after_s=300)

    source.before_each = refuse
    run = place.start()
    step(place, "list")
    with place.db.read() as session:
        waits = session.get_one(Run, run).not_before - now(session)
    assert timedelta(seconds=290) < waits <= timedelta(seconds=300)
    assert place.run(run).state == "listing"


def test_progress_between_errors_gives_a_listing_new_tries(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    failed: set[str] = set()

    def fail_once(id_: str) -> None:
        if id_ not in failed and id_ in {"n02", "n06", "n07", "n08", "n11"}:
            failed.add(id_)
            raise SourceError("busy")

    source.before_each = fail_once
    assert place.sync().state == "succeeded"
    assert len(failed) == 5
    assert found(place, "ana") == MANY


def test_leases_are_renewed_while_work_lasts(tmp_path: Path, source: ScriptedSource) -> None:
    """A lease of a second; a page and an object that take longer: nobody else may take either meanwhile."""
    place = Installation(tmp_path / "data", lease_s=1)
    place.add_user("ana")
    place.runtime.pipeline.connectors.open = lambda _: source  # type: ignore[method-assign,assignment,return-value]
    place.add_source("files", "folder", {"path": "."})
    source.put("a", "A duck.")
    seen: list[bool] = []

    def slow(_: str) -> None:
        time.sleep(1.6)
        with place.db.read() as session:
            at = now(session)
            leases = [*session.scalars(select(Run.lease_until)), *session.scalars(select(Item.lease_until))]
        seen.append(any(one is not None and one > at for one in leases))

    source.before_each = source.before_fetch = slow
    run = place.sync()
    assert (run.state, run.lease_token, seen) == ("succeeded", 1, [True, True])
    assert {one.lease_token for one in place.items(run.id).values()} == {2}
    place.close()


def test_failed_items_of_a_source_are_tried_again(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    broken = {"n01": ValueError("odd"), "n02": InvalidError("bad")}

    def fail(id_: str) -> None:
        if id_ in broken:
            raise broken[id_]

    source.before_fetch = fail
    run = place.sync()
    assert run.state == "partial"
    broken.clear()
    with place.db.write() as session:
        files = session.scalars(select(Source)).one()
        assert retry_source(session, files, code="invalid") == 1
        assert retry_source(session, files) == 1
        assert retry_source(session, files) == 0
    place.drain()
    assert (place.run(run.id).state, found(place, "ana")) == ("succeeded", MANY)


def test_a_cancelled_run_leaves_nothing_half_built(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    run = place.start()
    step(place, "list", "parse")
    act(place, run, cancel)
    place.drain()
    place.check_consistent()
    place.sync()
    assert found(place, "ana") == MANY
    place.check_consistent()


def test_each_kind_has_its_own_schedule(place: Installation, source: ScriptedSource) -> None:
    fill(source)
    place.sync()
    with place.db.write() as session:
        files = session.scalars(select(Source)).one()
        files.schedule = {"content": "1h", "permissions": "10m", "deletions": "0 3 * * 0"}
        assert not any_due(session)
        session.execute(update(Run).values(created_at=db_in(-11 * 60)))
        session.execute(update(Source).values(created_at=db_in(-11 * 60)))
        session.flush()
        session.expire_all()
        assert any_due(session)
        started = [session.get_one(Run, one).kind for one in start_due(session)]
        assert "permissions" in started
        assert "content" not in started
        assert "permissions" not in [session.get_one(Run, one).kind for one in start_due(session)]
        files.state = "paused"
        session.flush()
        session.execute(update(Run).values(created_at=db_in(-7200)))
        assert not any_due(session)


def test_an_interval_and_a_cron_line_are_due_when_they_say() -> None:
    at = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    assert is_due("15m", at - timedelta(minutes=15), at)
    assert not is_due("15m", at - timedelta(minutes=14), at)
    assert is_due("0 12 * * *", at - timedelta(minutes=15), at + timedelta(seconds=1))
    assert not is_due(None, at - timedelta(days=900), at)
    for wrong in ("", "hourly", "* * * *", "0m", "15 minutes", "61 * * * *"):
        with pytest.raises(InvalidError, match="five cron fields"):
            check_schedule(wrong)


def test_two_that_start_a_sync_at_once_start_one(place: Installation) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: place.start(), range(8)))
    assert len(set(runs)) == 1


def test_an_unknown_kind_is_refused(place: Installation) -> None:
    with place.db.write() as session, pytest.raises(InvalidError, match="no kind of sync"):
        start_run(session, session.scalars(select(Source)).one(), kind="everything")
    with place.db.read() as session:
        assert session.scalars(select(AclNode)).all() == []
