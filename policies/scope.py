"""The set of access nodes a caller may read; the one thing a search takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MAKER: Final = object()


class ReadScope:
    """What one caller may read, as ids the index knows. Only this package makes one.

    Attributes:
        tenant: id of the tenant; every search is within it.
        nodes: access nodes, ascending: those readable, or, with `complement`, those not readable.
        sources: sources that may be searched at all, ascending; empty: nothing is readable.
        epoch: the policy epoch it was computed at.
    """

    __slots__ = ("complement", "epoch", "nodes", "sources", "tenant")

    def __init__(
        self,
        maker: object,
        *,
        tenant: int,
        nodes: Iterable[int],
        complement: bool,
        sources: Iterable[int],
        epoch: int,
    ) -> None:
        if maker is not _MAKER:
            raise TypeError("a ReadScope is made by policies.scope.readable alone")
        self.tenant: Final = tenant
        self.nodes: Final = tuple(sorted(nodes))
        self.complement: Final = complement
        self.sources: Final = tuple(sorted(sources))
        self.epoch: Final = epoch

    @property
    def empty(self) -> bool:
        """Whether it finds nothing."""
        return not self.sources or (not self.nodes and not self.complement)
