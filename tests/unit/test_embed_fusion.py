"""How both legs are fused follows the settings, and what cannot be had is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingError
from core.settings import Settings
from embed.fusion import fusion_of
from embed.index.base import CollectionSpec, Filters, Fusion, SearchRequest
from embed.index.edge import EdgeIndex
from embed.index.filters import restrict
from tests.factories.points import DIMENSION, make_point, make_sparse, make_vector, point_name
from tests.factories.scopes import make_scope

NAME = "fused"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[EdgeIndex]:
    """Point 1 is nearest in meaning and 2 in terms, of many."""
    made = EdgeIndex(tmp_path)
    made.ensure(CollectionSpec(NAME, DIMENSION))
    others = [make_point(number, terms=(8, 20 + number)) for number in range(3, 12)]
    made.upsert(NAME, [make_point(1, terms=(8,)), make_point(2, terms=(7,)), *others])
    yield made
    made.close()


def request(fusion: Fusion) -> SearchRequest:
    return SearchRequest(make_vector(1), make_sparse(7), limit=2, fusion=fusion)


def test_searches_that_come_together_keep_their_weights(index: EdgeIndex) -> None:
    restriction = restrict(make_scope(1), Filters())
    assert restriction is not None
    weights = [(5.0, 1.0), (5.0, 1.0), (1.0, 5.0), (1.0, 5.0)]
    found = index.search_many(NAME, [(request(Fusion("rrf", 1, one)), restriction) for one in weights])
    assert [hits[0].id for hits in found] == [point_name(one) for one in (1, 1, 2, 2)]


def test_settings_choose(tmp_path: Path) -> None:
    assert fusion_of(Settings(data_dir=tmp_path)) == Fusion("dbsf", 10, (1.0, 1.0))
    chosen = fusion_of(Settings(data_dir=tmp_path, fusion="rrf", fusion_k=60, fusion_weights=(2.0, 1.0)))
    assert chosen == Fusion("rrf", 60, (2.0, 1.0))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fusion_weights": (2.0, 1.0)}, "set fusion to rrf"),
        ({"fusion": "rrf", "fusion_weights": (0.0, 1.0)}, "above 0"),
        ({"fusion": "rrf", "fusion_weights": (1.0, float("nan"))}, "above 0"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        fusion_of(Settings(data_dir=tmp_path, **given))
