"""Read scopes for tests, made as `policies.scope` makes them."""

from __future__ import annotations

from collections.abc import Iterable

from policies.scope import _MAKER, ReadScope


def make_scope(
    *nodes: int, tenant: int = 1, complement: bool = False, sources: Iterable[int] = (1,), epoch: int = 1
) -> ReadScope:
    """A scope that reads `nodes`, or with `complement` all but `nodes`."""
    return ReadScope(
        _MAKER, tenant=tenant, nodes=tuple(sorted(nodes)), complement=complement, sources=sources, epoch=epoch
    )
