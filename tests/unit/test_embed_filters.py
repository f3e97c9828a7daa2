"""A restriction can narrow and can find nothing, but cannot come out empty."""

from __future__ import annotations

import pytest

from embed.index.base import Filters, SearchRequest
from embed.index.edge_query import edge_filter, edge_request
from embed.index.filters import AnyOf, Restriction, Within, restrict
from embed.index.server_query import server_filter, server_query
from policies.scope import ReadScope
from tests.factories.points import make_sparse, make_vector
from tests.factories.scopes import make_scope

TENANT = AnyOf("tenant", (1,))


def test_nodes_sources_and_tenant_must_hold() -> None:
    found = restrict(make_scope(3, 2, sources=(5, 4)), Filters())
    assert found == Restriction(1, (TENANT, AnyOf("source", (4, 5)), AnyOf("acl", (2, 3))))


def test_the_complement_is_excluded() -> None:
    found = restrict(make_scope(3, complement=True), Filters())
    assert found == Restriction(1, (TENANT, AnyOf("source", (1,))), (AnyOf("acl", (3,)),))


def test_a_complement_of_nothing_still_names_tenant_and_sources() -> None:
    found = restrict(make_scope(complement=True, sources=(2, 3)), Filters())
    assert found == Restriction(1, (TENANT, AnyOf("source", (2, 3))))


@pytest.mark.parametrize(
    ("scope", "filters"),
    [
        (make_scope(), Filters()),
        (make_scope(1, sources=()), Filters()),
        (make_scope(complement=True, sources=()), Filters()),
        (make_scope(1), Filters(sources=())),
        (make_scope(1, sources=(1, 2)), Filters(sources=(3,))),
        (make_scope(1), Filters(facets=((),))),
        (make_scope(1), Filters(facets=((1,), ()))),
        (make_scope(1), Filters(modified_from=5, modified_until=5)),
        (make_scope(1), Filters(modified_until=1)),
        (make_scope(1), Filters(modified_until=-5)),
    ],
)
def test_what_cannot_match_asks_no_engine(scope: ReadScope, filters: Filters) -> None:
    assert restrict(scope, filters) is None


def test_a_callers_sources_cannot_widen() -> None:
    found = restrict(make_scope(1, sources=(1, 2)), Filters(sources=(2, 9)))
    assert found is not None
    assert found.must[1] == AnyOf("source", (2,))


def test_nodes_that_are_asked_for_are_added_to_the_scopes() -> None:
    found = restrict(make_scope(1, 2), Filters(nodes=(2, 9)))
    assert found is not None
    assert [one for one in found.must if one.key == "acl"] == [AnyOf("acl", (1, 2)), AnyOf("acl", (2, 9))]
    assert restrict(make_scope(1, 2), Filters(nodes=())) is None


def test_an_unknown_time_lies_within_no_bounds() -> None:
    found = restrict(make_scope(1), Filters(modified_until=50))
    assert found is not None
    assert found.must[-1] == Within("modified", 1, 50)


def test_empty_conditions_cannot_be_expressed() -> None:
    with pytest.raises(ValueError, match="without values"):
        AnyOf("acl", ())
    with pytest.raises(ValueError, match="tenant and source"):
        Restriction(1, ())
    with pytest.raises(ValueError, match="tenant and source"):
        Restriction(1, (TENANT,))
    with pytest.raises(ValueError, match="matches everything"):
        edge_filter(())
    with pytest.raises(ValueError, match="matches everything"):
        server_filter(())


def test_every_leg_carries_the_full_filter() -> None:
    restriction = restrict(make_scope(4, 6, complement=True), Filters(facets=((8, 9),)))
    assert restriction is not None
    request = SearchRequest(make_vector(1), make_sparse(3), 5)
    edge = edge_request(request, restriction)
    assert edge is not None
    assert len(edge.prefetches) == 2
    wanted = repr(edge_filter(restriction.must, restriction.must_not))
    assert [repr(one.filter) for one in edge.prefetches] == [wanted] * 2
    assert edge.filter is None  # only what the legs found is fused
    assert all(word in wanted for word in ("tenant", "source", "acl", "facets"))
    server = server_query(request, restriction, exact=True)
    assert server is not None
    whole = server_filter(restriction.must, restriction.must_not)
    assert [server["query_filter"], *(one.filter for one in server["prefetch"])] == [whole] * 3
    assert server["prefetch"][1].params.idf.corpus == server_filter((TENANT,))
