"""A source that holds what a test puts into it: objects, containers, groups; with a permission crawl of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingest.model import (
    AccessChange,
    Change,
    Checkpoint,
    Content,
    Element,
    ItemError,
    ItemRef,
    JsonObject,
    MembershipChange,
    NodeChange,
    Upsert,
    VanishedError,
)
from policies.model import AccessSpec, access_spec

EVERYONE = access_spec(["everyone"], mode="break")


@dataclass
class Thing:
    """One object."""

    text: str
    version: int = 1
    node: str = ""
    access: AccessSpec | None = None


class ScriptedSource:
    """Lists in the order of ids, with a checkpoint after every `page` objects. `log` keeps what was asked for."""

    def __init__(self, *, page: int = 5) -> None:
        self.page = page
        self.nodes: dict[str, AccessSpec] = {"": EVERYONE}
        self.things: dict[str, Thing] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.incremental = False
        self.log: list[str] = []
        self.before_each: Callable[[str], None] = lambda id_: None
        self.before_fetch: Callable[[str], None] = lambda id_: None

    def put(self, id_: str, text: str, *, node: str = "", access: AccessSpec | None = None) -> None:
        before = self.things.get(id_)
        self.things[id_] = Thing(text, before.version + 1 if before else 1, node, access)

    def check(self) -> None:
        """Always there."""

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        known = (cursor or {}).get("known")
        self.log.append("delta" if known is not None and self.incremental else "listing")
        yield from self._containers()
        after = (cursor or {}).get("after", "")
        delta = self.incremental and known is not None
        for count, (id_, one) in enumerate(sorted(self.things.items()), 1):
            if id_ <= after or (delta and known.get(id_) == one.version):
                continue
            self.before_each(id_)
            yield Upsert(
                ItemRef(id=id_, node=one.node, title=id_, uri=f"x:{id_}", version=str(one.version), access=one.access)
            )
            if count % self.page == 0:
                yield Checkpoint({"after": id_})
        yield Checkpoint(
            {"known": {id_: one.version for id_, one in self.things.items()}}, complete=True, full=not delta
        )

    def _containers(self) -> Iterator[Change]:
        for key in sorted(self.nodes):
            yield NodeChange(key, None if key == "" else "", key, self.nodes[key])

    def fetch(self, item: ItemRef) -> Content:
        self.before_fetch(item.id)
        one = self.things.get(item.id)
        if one is None:
            raise VanishedError(f"{item.id} is gone")
        if str(one.version) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        return Content(name=item.id, elements=(Element("text", one.text),), title=item.id)

    def close(self) -> None:
        """Holds nothing."""


class CrawledSource(ScriptedSource):
    """The same with a crawl of its own for access data, which is told only what changed since its cursor."""

    def __init__(self, *, page: int = 5) -> None:
        super().__init__(page=page)
        self.cursors: list[JsonObject | None] = []
        self.crawl_error: Exception | None = None

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        self.log.append("crawl")
        self.cursors.append(cursor)
        yield from self._containers()
        for group, members in sorted(self.groups.items()):
            yield MembershipChange(group, members)
        if self.crawl_error is not None:
            raise self.crawl_error
        for id_, one in sorted(self.things.items()):
            yield AccessChange(id_, one.node, str(one.version), one.access)
        yield Checkpoint({"seen": len(self.cursors)}, complete=True, full=False)
