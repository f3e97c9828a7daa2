"""Crawls of access data alone: narrower at once, wider only over the text it was meant for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.tables import AclNode, Document, Item, Run, Source
from ingest.model import SourceError, Upsert
from policies.model import access_spec
from tests.factories.installation import Installation
from tests.factories.scripted import EVERYONE, CrawledSource, ScriptedSource

ANA = access_spec(["user:ana"], mode="break")


@pytest.fixture(params=["crawled", "listed"])
def source(request: pytest.FixtureRequest) -> ScriptedSource:
    """With a crawl of its own, and listed whole for its access data."""
    return CrawledSource() if request.param == "crawled" else ScriptedSource()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path, source: ScriptedSource) -> Iterator[Installation]:
    chosen: dict[str, Any] = {}
    if request.param == "postgresql":
        chosen["database_url"] = request.getfixturevalue("postgres_url")
    installation = Installation(tmp_path / "data", **chosen)
    for user in ("ana", "bob"):
        installation.add_user(user)
    serve(installation, source)
    source.put("a", "A duck swims.")
    source.put("b", "A duck dives.")
    yield installation
    installation.close()


def serve(installation: Installation, source: Any) -> None:
    installation.runtime.pipeline.connectors.open = lambda _: source  # type: ignore[method-assign]
    installation.add_source("files", "folder", {"path": "."})


def found(place: Installation, user: str) -> list[str]:
    return sorted(one.title for one in place.search(user, "duck"))


def test_a_right_that_is_taken_is_gone_without_a_listing_of_content(
    place: Installation, source: ScriptedSource
) -> None:
    place.sync()
    assert found(place, "bob") == ["a", "b"]
    source.things["a"].access = ANA
    encoded = place.encoder.encoded
    run = place.crawl()
    assert (run.state, run.kind, run.widened) == ("succeeded", "permissions", 0)
    assert found(place, "bob") == ["b"]
    assert found(place, "ana") == ["a", "b"]
    assert place.encoder.encoded == encoded
    place.drain()
    place.check_consistent()


def test_a_container_that_narrows_holds_at_once(place: Installation, source: ScriptedSource) -> None:
    place.sync()
    source.nodes[""] = ANA
    place.crawl()
    assert found(place, "bob") == []
    assert found(place, "ana") == ["a", "b"]


def test_a_wider_audience_of_an_unchanged_text_holds_after_the_crawl(
    place: Installation, source: ScriptedSource
) -> None:
    source.put("a", "A duck swims.", access=ANA)
    place.sync()
    assert found(place, "bob") == ["b"]
    source.things["a"].access = None
    assert place.crawl().widened == 1
    assert found(place, "bob") == ["a", "b"]
    place.check_consistent()


def test_a_wider_audience_of_a_changed_text_waits_for_that_text(place: Installation, source: ScriptedSource) -> None:
    source.put("a", "A duck has a secret.", access=ANA)
    place.sync()
    source.put("a", "A duck has no secret.", access=None)
    place.crawl()
    assert found(place, "bob") == ["b"], "the old text has the new audience"
    place.sync()
    assert found(place, "bob") == ["a", "b"]
    assert place.documents()["a"] == "A duck has no secret."
    place.check_consistent()


def test_a_container_that_widens_waits_for_the_content_sync_that_the_crawl_asks_for(
    place: Installation, source: ScriptedSource
) -> None:
    source.nodes["room"] = ANA
    source.put("a", "A duck has a secret.", node="room")
    place.sync()
    source.nodes["room"] = EVERYONE
    source.put("a", "A duck has no secret.", node="room")
    place.crawl()
    assert found(place, "bob") == ["b"], "the old text has the new audience"
    with place.db.read() as session:
        following = session.scalars(select(Run).where(Run.state == "queued")).one()
        assert (following.kind, following.trigger) == ("content", "widening")
    place.drain()
    assert found(place, "bob") == ["a", "b"]
    assert place.documents()["a"] == "A duck has no secret."
    with place.db.read() as session:
        assert session.scalars(select(AclNode).where(AclNode.pending.is_not(None))).all() == []
        assert session.scalars(select(Run).where(Run.state.not_in(["succeeded"]))).all() == []


def test_only_a_complete_crawl_makes_access_data_fresh(place: Installation, source: ScriptedSource) -> None:
    def fresh() -> Any:
        with place.db.read() as session:
            return session.scalars(select(Source)).one().access_synced_at

    place.sync()
    before = fresh()
    if isinstance(source, CrawledSource):
        source.crawl_error = SourceError("it does not answer")
        assert place.crawl().state == "failed"
        assert fresh() == before
        source.crawl_error = None
    run = place.crawl()
    assert fresh() == run.started_at > before


def test_a_crawl_that_fails_keeps_what_it_narrowed(place: Installation, source: ScriptedSource) -> None:
    if not isinstance(source, CrawledSource):
        pytest.skip("this source has no crawl of its own")
    place.sync()
    source.nodes[""] = ANA
    source.crawl_error = SourceError("it does not answer")
    assert place.crawl().state == "failed"
    assert found(place, "bob") == []


def test_a_crawl_goes_on_from_its_own_cursor_and_states_groups(place: Installation, source: ScriptedSource) -> None:
    if not isinstance(source, CrawledSource):
        pytest.skip("this source has no crawl of its own")
    source.put("a", "A duck swims.", access=access_spec(["group:wiki.readers"], mode="break"))
    place.sync()
    assert found(place, "bob") == ["b"]
    source.groups["wiki.readers"] = ("user:bob",)
    place.crawl()
    assert found(place, "bob") == ["a", "b"]
    source.groups["wiki.readers"] = ()
    place.crawl()
    assert found(place, "bob") == ["b"]
    assert source.cursors == [None, {"seen": 1}]


def test_work_in_hand_of_a_version_that_is_no_longer_there_is_given_up(
    place: Installation, source: ScriptedSource
) -> None:
    """The text that is about to come in was listed with a narrower access than the one the source has by now."""
    from ingest.stages import STAGES

    source.put("a", "A duck swims.", access=ANA)
    place.sync()
    source.put("a", "A duck has a secret.", access=ANA)
    run = place.start()
    for stage in ("list", "parse"):
        while STAGES[stage](place.runtime.pipeline):
            pass
    source.put("a", "A duck has no secret.", access=None)
    place.start(kind="permissions")
    place.drain()
    assert place.items(run)["a"].state == "skipped"
    assert place.documents()["a"] == "A duck swims."
    assert found(place, "bob") == ["b"]
    place.sync()
    assert place.documents()["a"] == "A duck has no secret."
    assert found(place, "bob") == ["a", "b"]
    place.check_consistent()


def test_work_in_hand_goes_to_where_the_crawl_says(place: Installation, source: ScriptedSource) -> None:
    from ingest.stages import STAGES

    source.put("c", "A duck has a secret.")
    place.start()
    while STAGES["list"](place.runtime.pipeline):
        pass
    source.things["c"].access = ANA
    place.crawl()
    place.drain()
    assert found(place, "bob") == ["a", "b"]
    assert found(place, "ana") == ["a", "b", "c"]
    place.check_consistent()


def test_a_content_listing_gives_way_to_a_crawl_and_goes_on_after_it(
    place: Installation, source: ScriptedSource
) -> None:
    for number in range(20):
        source.put(f"n{number:02}", "A duck.")
    place.sync()
    asked: list[int] = []

    def ask(id_: str) -> None:
        if id_ == "n05" and not asked:
            asked.append(place.start(kind="permissions"))
            source.things["n01"].access = ANA

    source.before_each = ask
    source.log.clear()
    run = place.sync()
    assert run.state == "succeeded"
    assert place.run(asked[0]).state == "succeeded"
    assert source.log == ["listing", "crawl" if isinstance(source, CrawledSource) else "listing", "listing"]
    with place.db.read() as session:
        assert session.scalars(select(Document).where(Document.state != "live")).all() == []
    assert "n01" not in found(place, "bob")
    place.check_consistent()


def test_listings_of_one_source_never_overlap(place: Installation) -> None:
    from ingest.dispatch import claim_run

    first, second = place.start(), place.start(kind="permissions")
    third = place.start(kind="deletions")
    with place.db.write() as session:
        held = claim_run(session, lease_s=60)
    assert held is not None
    assert held.id == second, "access data goes first"
    with place.db.write() as session:
        assert claim_run(session, lease_s=60) is None
        session.get_one(Run, second).lease_until = None
        session.get_one(Run, second).state = "working"
    with place.db.write() as session:
        held = claim_run(session, lease_s=60)
        assert held is not None
        assert held.id == first
        assert claim_run(session, lease_s=60) is None, f"{third} waits for {first}"


def test_a_crawl_that_sends_objects_is_refused(place: Installation, source: ScriptedSource) -> None:
    if not isinstance(source, CrawledSource):
        pytest.skip("this source has no crawl of its own")
    place.sync()
    changes = list(source.changes(None))
    source.permissions = lambda cursor: iter(changes)  # type: ignore[method-assign]
    assert any(isinstance(one, Upsert) for one in changes)
    run = place.crawl()
    assert (run.state, run.error_code) == ("failed", "source_unreachable")
    with place.db.read() as session:
        assert session.scalars(select(Item).where(Item.run_id == run.id)).all() == []
