"""BM25 weights of passages and queries."""

from __future__ import annotations

import pytest

from core.errors import SettingError
from embed.sparse import EMPTY, SparseEncoder, SparseParams


def test_terms_are_ascending_and_repetition_weighs_more() -> None:
    encoder = SparseEncoder()
    once = encoder.encode_passage("the pump vibrates near the inlet")
    assert list(once.indices) == sorted(set(once.indices))
    assert len(once.indices) == len(once.values)
    pump = encoder.encode_query("pump").indices[0]
    twice = encoder.encode_passage("the pump pump near the inlet")
    assert (
        dict(zip(twice.indices, twice.values, strict=True))[pump]
        > dict(zip(once.indices, once.values, strict=True))[pump]
    )


def test_a_query_shares_terms_with_the_passage_it_means() -> None:
    encoder = SparseEncoder()
    query, passage = encoder.encode_query("Vibrating pumps?"), encoder.encode_passage("a pump that vibrates")
    assert set(query.indices) & set(passage.indices)
    assert set(query.values) == {1.0}


@pytest.mark.parametrize("text", ["", "the of and", "?!", " \n"])
def test_no_terms_make_no_weights(text: str) -> None:
    assert SparseEncoder().encode_query(text) == EMPTY
    assert SparseEncoder().encode_passage(text) == EMPTY


def test_lone_surrogates_are_passed_over() -> None:
    assert SparseEncoder().encode_passage("pump \ud800").indices == SparseEncoder().encode_passage("pump").indices


def test_parameters_shape_the_weights_and_survive_storage() -> None:
    params = SparseParams(k=2.0, b=0.5, avg_len=40.0, language="german")
    assert SparseParams.from_json(params.to_json()) == params
    text = "Die Pumpe vibriert"
    assert SparseEncoder(params).encode_passage(text) != SparseEncoder().encode_passage(text)


def test_parameters_that_are_not_usable_are_named() -> None:
    with pytest.raises(SettingError, match="klingon"):
        SparseEncoder(SparseParams(language="klingon")).encode_query("x")
    with pytest.raises(SettingError, match="another version"):
        SparseParams.from_json({"k": 1.0, "stop": 3})
