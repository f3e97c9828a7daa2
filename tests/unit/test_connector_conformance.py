"""The suite for connectors finds the faults it is there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ingest.connectors.conformance import ConnectorConformance
from ingest.connectors.folder import FolderConnector
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorConfig,
    Content,
    ItemRef,
    JsonObject,
    NodeChange,
    Upsert,
)

Fault = Callable[[list[Change]], list[Change]]


class LaxConfig(ConnectorConfig, extra="ignore"):
    path: str = ""


class Faulty(FolderConnector):
    """A folder whose changes pass through `fault`."""

    fault: ClassVar[Fault]

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        yield from type(self).fault(list(super().changes(cursor)))


class Careless(FolderConnector):
    def fetch(self, item: ItemRef) -> Content:
        return Content(
            name=item.id, body=(self._path / item.id).read_bytes() if (self._path / item.id).exists() else b""
        )


class Lax(FolderConnector):
    Config: ClassVar[type[ConnectorConfig]] = LaxConfig


def make_suite(cls: type[Connector], base: Path) -> ConnectorConformance:
    from tests.contract.test_connectors import TestFolder

    class Suite(TestFolder):
        connector_class = cls

    suite = Suite()
    suite.base = base
    return suite


def items(changes: list[Change], mend: Callable[[ItemRef], ItemRef]) -> list[Change]:
    return [Upsert(mend(one.item)) if isinstance(one, Upsert) else one for one in changes]


FAULTS: dict[str, tuple[str, Fault]] = {
    "root not first": ("test_the_root_comes_first", lambda x: x[1:]),
    "no end": ("test_it_ends_with_its_only_complete_checkpoint", lambda x: [*x[:-1], x[0]]),
    "ends twice": ("test_it_ends_with_its_only_complete_checkpoint", lambda x: [*x, x[-1]]),
    "contents first": (
        "test_containers_come_before_what_they_hold",
        lambda x: sorted(x, key=lambda one: isinstance(one, NodeChange)),
    ),
    "sent twice": ("test_an_item_is_sent_once", lambda x: [*x[:2], *x[1:]]),
    "one version for all": (
        "test_only_a_changed_object_gets_a_new_version",
        lambda x: items(x, lambda one: replace(one, version="1")),
    ),
    "no access": (
        "test_a_revoked_right_appears_without_a_change_of_content",
        lambda x: [
            replace(one, access=x[0].access) if isinstance(one, NodeChange) and isinstance(x[0], NodeChange) else one
            for one in items(x, lambda one: replace(one, access=None))
        ],
    ),
    "loses the rest": (
        "test_nothing_is_lost_by_resuming",
        lambda x: [
            replace(one, cursor={**one.cursor, "after": "zz"})
            if isinstance(one, Checkpoint) and not one.complete
            else one
            for one in x
        ],
    ),
}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tests.contract.test_connectors import TestFolder

    fill: Any = TestFolder.source
    fill.__wrapped__(TestFolder(), tmp_path, monkeypatch)
    return tmp_path


def run(suite: ConnectorConformance, name: str) -> None:
    """One test of the suite as pytest would run it."""
    test = getattr(suite, name)
    listed = "listed" in test.__code__.co_varnames[: test.__code__.co_argcount]
    test(*([suite.listing()] if listed else []))


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_found(case: str, base: Path) -> None:
    name, fault = FAULTS[case]
    run(make_suite(FolderConnector, base), name)
    faulty = type("Fault", (Faulty,), {"fault": staticmethod(fault)})
    with pytest.raises(AssertionError):
        run(make_suite(faulty, base), name)


@pytest.mark.parametrize(
    "name", ["test_a_vanished_object_is_a_deletion", "test_a_changed_object_is_not_fetched_as_listed"]
)
def test_careless_fetching_is_found(name: str, base: Path) -> None:
    with pytest.raises(pytest.fail.Exception):
        run(make_suite(Careless, base), name)


def test_a_lax_configuration_is_found(base: Path) -> None:
    with pytest.raises(pytest.fail.Exception):
        run(make_suite(Lax, base), "test_unknown_settings_are_refused")
    with pytest.raises(AssertionError):
        run(make_suite(Lax, base), "test_configuration_has_a_schema")
