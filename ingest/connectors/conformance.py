"""The tests every connector must pass, for ours and for third parties' alike. Needs pytest; only tests import it.

Subclass `ConnectorConformance` in a test module, say how to reach a source and how to change it, and run pytest:

    class TestMyConnector(ConnectorConformance):
        connector_class = MyConnector
        ...
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import pytest

from core.errors import InvalidError
from ingest.connectors.registry import build
from ingest.model import (
    AccessChange,
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    Delete,
    ItemError,
    ItemRef,
    JsonObject,
    MembershipChange,
    NodeChange,
    Problem,
    Upsert,
    VanishedError,
)
from ingest.permissions import crawl, tells_access
from policies.model import AccessSpec

_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


class ConnectorConformance:
    """Subclasses name the class, give its configuration, and change the source behind it.

    Before each test the source holds at least three documents in at least two containers below the root, so many
    that a listing has a checkpoint before its last one (`resumes` False: a listing is too short to be resumed).
    `lists` False: the connector never lists objects, and only the tests of its form apply.
    `incremental` True: a listing from a finished cursor sends only what changed.
    `reports_deletions` False: such a listing cannot tell what was deleted; only a full one can.
    `newer_is_safe` True: the source never states access of its own, or an object's content never changes, so `fetch`
    may hand out content that is newer than the listing.
    `mutable` False: an object never changes.
    """

    connector_class: ClassVar[type[Connector]]
    lists: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    incremental: ClassVar[bool] = False
    reports_deletions: ClassVar[bool] = True
    newer_is_safe: ClassVar[bool] = False
    mutable: ClassVar[bool] = True

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The configuration that reaches the source."""

    @abstractmethod
    def context(self) -> ConnectorContext:
        """The context that the connector is given."""

    def add(self) -> str:
        """Adds a document; returns its id."""
        raise NotImplementedError

    def change(self, item: ItemRef) -> None:
        """Changes the content of a document."""
        raise NotImplementedError

    def delete(self, item: ItemRef) -> None:
        """Deletes a document."""
        raise NotImplementedError

    def revoke(self, item: ItemRef) -> None:
        """Takes a right to a document away, and changes nothing else."""
        raise NotImplementedError

    def make(self) -> Connector:
        """A new connector of the source."""
        return build(self.connector_class, self.config(), self.context())

    @contextmanager
    def connected(self) -> Iterator[Connector]:
        """A new connector that is closed afterwards."""
        with closing(self.make()) as connector:
            yield connector

    def listing(self, cursor: JsonObject | None = None) -> list[Change]:
        """Everything one listing of a new connector sends."""
        with self.connected() as connector:
            return list(connector.changes(cursor))

    @pytest.fixture
    def listed(self) -> list[Change]:
        """A first listing, of a connector that lists."""
        if not self.lists:
            pytest.skip("this connector lists no objects")
        return self.listing()

    def test_check_passes_on_a_source_that_is_there(self) -> None:
        """`check` raises nothing."""
        with self.connected() as connector:
            connector.check()

    def test_unknown_settings_are_refused(self) -> None:
        """An unknown key is an error that names it."""
        with pytest.raises(InvalidError, match="no_such_setting"):
            build(self.connector_class, {**self.config(), "no_such_setting": 1}, self.context())

    def test_configuration_has_a_schema(self) -> None:
        """The schema is plain JSON, an object, closed, and holds only types and references that exist."""
        schema = self.connector_class.Config.model_json_schema()
        assert json.loads(json.dumps(schema)) == schema
        assert schema.get("type") == "object", schema
        assert schema.get("additionalProperties") is False, schema
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), schema
        _check_schema(schema, schema)

    def test_it_says_what_it_is(self) -> None:
        """Name, title and summary are given."""
        cls = self.connector_class
        assert all([cls.name, cls.title, cls.summary]), cls

    def test_the_root_comes_first(self) -> None:
        """The first change is the root's node, and no other node lacks a parent."""
        changes = self.listing()
        assert isinstance(changes[0], NodeChange), changes[0]
        assert (changes[0].key, changes[0].parent) == ("", None)
        others = [one for one in changes if isinstance(one, NodeChange) and one.key != ""]
        assert all(one.parent is not None for one in others)

    def test_it_ends_with_its_only_complete_checkpoint(self) -> None:
        """Nothing follows the complete checkpoint, and every cursor is plain JSON."""
        changes = self.listing()
        marks = [one for one in changes if isinstance(one, Checkpoint)]
        assert changes[-1] is marks[-1]
        assert [one.complete for one in marks] == [False] * (len(marks) - 1) + [True]
        assert all(json.loads(json.dumps(one.cursor)) == one.cursor for one in marks)

    def test_containers_come_before_what_they_hold(self, listed: list[Change]) -> None:
        """Each parent and each item's node was sent earlier."""
        _check_order(listed)

    def test_an_item_is_sent_once(self, listed: list[Change]) -> None:
        """No two items share an id."""
        ids = [one.item.id for one in listed if isinstance(one, Upsert)]
        assert len(set(ids)) == len(ids)
        assert len(ids) >= 3

    def test_two_listings_agree(self, listed: list[Change]) -> None:
        """Ids, versions and access of what did not change stay, also after a finished listing."""
        finished = listed[-1]
        assert isinstance(finished, Checkpoint)
        for again in [self.listing(), *([] if self.incremental else [self.listing(finished.cursor)])]:
            assert items_of(again) == items_of(listed)
            assert nodes_of(again) == nodes_of(listed)

    def test_a_finished_cursor_brings_what_changed(self, listed: list[Change]) -> None:
        """What was known, with the changes since, is what a full listing shows."""
        finished = listed[-1]
        assert isinstance(finished, Checkpoint)
        known = items_of(listed)
        gone = _some(known)
        if self.reports_deletions:
            self.delete(gone)
        self.add()
        if self.mutable:
            self.change(next(one for key, one in sorted(known.items(), reverse=True) if key != gone.id))
        since, whole = self.listing(finished.cursor), self.listing()
        assert isinstance(since[-1], Checkpoint)
        assert since[-1].full != self.incremental
        deleted = {one.id for one in since if isinstance(one, Delete)}
        kept = {} if since[-1].full else {key: one for key, one in known.items() if key not in deleted}
        assert {**kept, **items_of(since)} == items_of(whole)
        assert not self.incremental or len(items_of(since)) < len(items_of(whole)), "unchanged objects were sent again"

    def test_references_are_plain_json(self, listed: list[Change]) -> None:
        """What `fetch` needs survives being stored."""
        for item in items_of(listed).values():
            assert json.loads(json.dumps(item.data)) == item.data

    def test_everything_listed_can_be_fetched(self, listed: list[Change]) -> None:
        """Each item has a body or elements."""
        with self.connected() as connector:
            for item in items_of(listed).values():
                content = connector.fetch(item)
                assert (content.body is None) != (content.elements is None), item.id

    def test_an_added_object_appears(self, listed: list[Change]) -> None:
        """The next listing has it, and the rest is as it was."""
        added = self.add()
        after = items_of(self.listing())
        assert set(after) - set(items_of(listed)) == {added}

    def test_only_a_changed_object_gets_a_new_version(self, listed: list[Change]) -> None:
        """Its version differs; the versions of its neighbours do not."""
        if not self.mutable:
            pytest.skip("objects of this source never change")
        before = items_of(listed)
        item = _some(before)
        self.change(item)
        after = items_of(self.listing())
        assert {key for key in before if before[key].version != after[key].version} == {item.id}

    def test_a_changed_object_is_not_fetched_as_listed(self, listed: list[Change]) -> None:
        """Content newer than the access that was read with it is not handed out under that access."""
        if self.newer_is_safe or not self.mutable:
            pytest.skip("newer content cannot have other access here")
        item = _some(items_of(listed))
        self.change(item)
        with self.connected() as connector, pytest.raises(ItemError) as caught:
            connector.fetch(item)
        assert caught.value.item_transient, "the next listing can take it"

    def test_a_deleted_object_is_absent(self, listed: list[Change]) -> None:
        """A full listing does not send it."""
        item = _some(items_of(listed))
        self.delete(item)
        changes = self.listing()
        assert isinstance(changes[-1], Checkpoint)
        assert changes[-1].full
        assert set(items_of(listed)) - set(items_of(changes)) == {item.id}

    def test_a_vanished_object_is_a_deletion(self, listed: list[Change]) -> None:
        """`fetch` says that it is gone."""
        item = _some(items_of(listed))
        self.delete(item)
        with self.connected() as connector, pytest.raises(VanishedError):
            connector.fetch(item)

    def test_a_revoked_right_appears_without_a_change_of_content(self, listed: list[Change]) -> None:
        """The access differs in the next listing, and every version is as before."""
        before = items_of(listed)
        item = _some(before)
        self.revoke(item)
        changes = self.listing()
        after = items_of(changes)
        assert {key: one.version for key, one in after.items()} == {key: one.version for key, one in before.items()}
        assert _access(changes, after[item.id]) != _access(listed, item)

    def test_nothing_is_lost_by_resuming(self, listed: list[Change]) -> None:
        """What came before any checkpoint and what comes after resuming from it are together everything."""
        marks = [place for place, one in enumerate(listed) if isinstance(one, Checkpoint) and not one.complete]
        if not self.resumes:
            pytest.skip("listings of this source are too short to be resumed")
        assert marks, "the source is too small: its listing has no checkpoint to resume from"
        for place in marks:
            mark = listed[place]
            assert isinstance(mark, Checkpoint)
            rest = self.listing(mark.cursor)
            _check_order(rest, known=set(nodes_of(listed[:place])))
            assert {**items_of(listed[:place]), **items_of(rest)} == items_of(listed)
            assert {**nodes_of(listed[:place]), **nodes_of(rest)} == nodes_of(listed)
            assert isinstance(rest[-1], Checkpoint)
            assert rest[-1].complete

    def test_a_permission_crawl_says_what_the_listing_says(self, listed: list[Change]) -> None:
        """Places and objects have the access, the place and the version that a listing gives them (a crawl of the
        connector's own may leave versions out), and nothing else is sent; it is that, or the listing without the rest.
        """
        changes = self.crawling()
        allowed = (NodeChange, AccessChange, MembershipChange, Problem, Checkpoint)
        assert all(isinstance(one, allowed) for one in changes)
        assert nodes_of(changes) == nodes_of(listed)
        told = accesses_of(changes)
        assert told == {
            key: AccessChange(one.id, one.node, one.version if key in told and told[key].version else None, one.access)
            for key, one in items_of(listed).items()
        }
        marks = [one for one in changes if isinstance(one, Checkpoint)]
        assert changes[-1] is marks[-1]
        assert [one.complete for one in marks] == [False] * (len(marks) - 1) + [True]

    def test_a_permission_crawl_shows_a_right_that_was_taken(self, listed: list[Change]) -> None:
        """From the beginning, and from where the last crawl ended."""
        before = self.crawling()
        finished = before[-1]
        assert isinstance(finished, Checkpoint)
        item = _some(items_of(listed))
        self.revoke(item)
        with self.connected() as connector:
            cursors = [None, finished.cursor] if tells_access(connector) else [None]
        for cursor in cursors:
            changes = self.crawling(cursor)
            assert (nodes_of(changes), accesses_of(changes)) != (nodes_of(before), accesses_of(before))

    def crawling(self, cursor: JsonObject | None = None) -> list[Change]:
        """Everything one permission crawl of a new connector sends."""
        with self.connected() as connector:
            return list(crawl(connector, cursor))


def accesses_of(changes: list[Change]) -> dict[str, AccessChange]:
    """The objects of a permission crawl, by id."""
    return {one.id: one for one in changes if isinstance(one, AccessChange)}


def items_of(changes: list[Change]) -> dict[str, ItemRef]:
    """The items sent, by id."""
    return {one.item.id: one.item for one in changes if isinstance(one, Upsert)}


def nodes_of(changes: list[Change]) -> dict[str, NodeChange]:
    """The containers sent, by key."""
    return {one.key: one for one in changes if isinstance(one, NodeChange)}


def _some(items: dict[str, ItemRef]) -> ItemRef:
    return items[sorted(items)[len(items) // 2]]


def _access(changes: list[Change], item: ItemRef) -> list[AccessSpec]:
    """The item's own access and that of each container up to the root."""
    nodes = nodes_of(changes)
    chain = [item.access or AccessSpec()]
    key: str | None = item.node
    while key is not None:
        chain.append(nodes[key].access)
        key = nodes[key].parent
    return chain


def _check_order(changes: list[Change], known: set[str] | None = None) -> None:
    seen = set(known or ())
    for one in changes:
        if isinstance(one, NodeChange):
            assert one.parent is None or one.parent in seen, one.key
            seen.add(one.key)
        elif isinstance(one, Upsert):
            assert one.item.node in seen, one.item.id


def _check_schema(part: Any, whole: JsonObject) -> None:
    """Types are JSON's, and every reference leads somewhere."""
    if isinstance(part, list):
        for one in part:
            _check_schema(one, whole)
    if not isinstance(part, dict):
        return
    kind = part.get("type")
    assert not isinstance(kind, str) or kind in _TYPES, part
    if isinstance(part.get("$ref"), str):
        place: Any = whole
        for name in part["$ref"].removeprefix("#/").split("/"):
            place = place[name]
    for name, one in part.items():
        if name not in ("const", "default", "enum", "examples"):
            _check_schema(one, whole)
