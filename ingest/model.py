"""What travels through ingestion: changes from a connector, content, parsed elements, chunk drafts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel, ConfigDict

from core.errors import AmbitError
from policies.model import AccessSpec

JsonObject: TypeAlias = dict[str, Any]
ElementKind = Literal["title", "heading", "text", "list", "table", "code"]


class ItemError(AmbitError):
    """One object cannot be ingested; its neighbours go on. The message names the object and the reason."""

    code = "item_failed"
    status = 422
    title = "Document could not be ingested"

    def __init__(self, code: str, detail: str, *, transient: bool = False) -> None:
        super().__init__(detail)
        self.item_code = code
        self.item_transient = transient


class VanishedError(ItemError):
    """The object was listed and is gone now: a deletion, not a failure."""

    def __init__(self, detail: str) -> None:
        super().__init__("item_vanished", detail)


class EmptyError(ItemError):
    """The object holds no text: skipped with a note, not a failure."""

    def __init__(self, detail: str) -> None:
        super().__init__("item_empty", detail)


class SourceError(AmbitError):
    """The source as a whole cannot be read: the run fails and nothing is deleted."""

    code = "source_unreachable"
    status = 502
    title = "Source cannot be read"
    transient = True

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        """Seconds that the source asks to be left alone (`Retry-After`); None: it does not say."""


@dataclass(frozen=True, slots=True)
class ItemRef:
    """One object as a listing shows it.

    Attributes:
        id: stable id within the source (a relative path, `table/key`); never derived from content or access.
        node: key of the container whose access holds for it; a `NodeChange` of this or an earlier run names it.
        version: changes when the object does (ETag, modification time and size, row version); None: unknown.
        access: access of its own where it differs from its container; None: the container's.
        data: whatever `fetch` needs again; plain JSON.
    """

    id: str
    node: str
    title: str
    uri: str
    version: str | None = None
    mime: str | None = None
    size: int | None = None
    modified_at: datetime | None = None
    access: AccessSpec | None = None
    data: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A container exists with this access. Sent before anything that stands in it; `parent` None: the source's root."""

    key: str
    parent: str | None
    title: str
    access: AccessSpec


@dataclass(frozen=True, slots=True)
class Upsert:
    """An object exists; sent for every object of a full listing, changed or not."""

    item: ItemRef


@dataclass(frozen=True, slots=True)
class AccessChange:
    """Who may read an object that is known already; a permission crawl sends it where a listing sends an `Upsert`.

    `version` is the object's at that moment, read after its access: where it is not the one that was ingested, a wider
    audience waits for the content it was meant for. None: unknown, so it waits, and a listing of content is asked for.
    `node` and `access` are as in `ItemRef`.
    """

    id: str
    node: str
    version: str | None = None
    access: AccessSpec | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """An object is gone, said by a source that reports deletions."""

    id: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An object that cannot be taken, found while listing. `id` is printable and stable."""

    id: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """All members of one group of the source's own, as principals (`user:…`, `group:…`)."""

    group: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All changes up to here have been sent; a run killed later resumes from `cursor`.

    `complete` ends a listing. After a complete *full* listing what was not sent is deleted; `access_complete` says
    that every node's access was read, so that access data counts as fresh.
    """

    cursor: JsonObject
    complete: bool = False
    full: bool = True
    access_complete: bool = True


Change: TypeAlias = NodeChange | Upsert | AccessChange | Delete | Problem | MembershipChange | Checkpoint


@dataclass(frozen=True, slots=True)
class Element:
    """One structural piece of a document, in reading order.

    Attributes:
        kind: `title` and `heading` open sections (`level` 1 to 6); `table` holds rows, one a line,
            cells joined by ` | `.
        header: a table's header row, repeated wherever the table is split.
        page: page, slide or sheet number from 1; None where the format has none.
    """

    kind: ElementKind
    text: str
    level: int = 0
    page: int | None = None
    header: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What `fetch` brings: bytes or a file to parse, or `elements` that need no parsing (rows, messages)."""

    name: str
    body: bytes | Path | None = None
    elements: tuple[Element, ...] | None = None
    mime: str | None = None
    title: str | None = None
    author: str | None = None
    modified_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document's structure and what it says of itself."""

    title: str
    elements: tuple[Element, ...]
    mime: str
    language: str | None = None
    author: str | None = None
    modified_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    """What could not be read though the rest was (for example pages without a text layer)."""


@dataclass(frozen=True, slots=True)
class ChunkDraft:
    """A piece of a document before it has an id. The encoder sees `context`, a blank line, then `text`."""

    context: str
    text: str
    tokens: int
    heading: str = ""
    page: int | None = None
    kind: ElementKind = "text"

    @property
    def encoder_input(self) -> str:
        """The exact text that is embedded, matched by BM25, and hashed."""
        return encoder_input(self.context, self.text)


def encoder_input(context: str, text: str) -> str:
    """The exact text an encoder sees for a chunk."""
    return f"{context}\n\n{text}" if context else text


class ConnectorConfig(BaseModel):
    """Base of every connector's configuration: an unknown key is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class ConnectorContext:
    """What a connector is given beside its configuration.

    Attributes:
        base: folder that relative paths of the configuration are relative to.
        root_access: the registration's access, for a source that gives none at its root.
        max_bytes: largest object that may be fetched.
        secrets: the values of the secrets that the configuration names.
        outbound: networks, addresses and hosts that may be reached over HTTP although they are not public.
        own: what is the installation's own, and may not be read whatever the configuration names.
    """

    base: Path
    root_access: AccessSpec
    max_bytes: int = 100 * 1024 * 1024
    secrets: Mapping[str, str] = field(default_factory=dict)
    outbound: tuple[str, ...] = ()
    own: tuple[Path, ...] = ()


class Connector(Protocol):
    """Brings one source's documents with the access rules that govern them.

    A connector may also have `permissions(cursor)`, as `PermissionConnector` says; one that has none is listed whole
    for its access data. Constructors do no I/O. One instance serves a source and may be used from several threads.
    Third parties register classes under the entry-point group `ambit.connectors`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    Config: ClassVar[type[ConnectorConfig]]

    def __init__(self, config: Any, context: ConnectorContext) -> None: ...

    def check(self) -> None:
        """Verifies credentials and reachability.

        Raises:
            SourceError: with what was tried and what to mend.
        """
        ...

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """What changed since `cursor` (None: everything), ending with a complete `Checkpoint`.

        The root comes first as a `NodeChange` with key `""` and parent None; a container comes before what it holds.

        Raises:
            SourceError: the listing cannot go on; nothing is deleted then.
        """
        ...

    def fetch(self, item: ItemRef) -> Content:
        """The content of one object.

        Raises:
            VanishedError: it is gone.
            ItemError: it cannot be read.
        """
        ...

    def close(self) -> None:
        """Releases connections."""
        ...


@runtime_checkable
class PermissionConnector(Protocol):
    """A connector that can tell access data apart from content, at less cost than a listing."""

    def permissions(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Access that changed since `cursor` (None: all of it), ending with a complete `Checkpoint`.

        Sends `NodeChange`, `AccessChange`, `MembershipChange`, `Problem` and `Checkpoint`, in the order in which
        `changes` sends nodes and objects. `cursor` is what the last complete crawl of this kind ended with.

        Raises:
            SourceError: the crawl cannot go on; access data then counts as old as it was.
        """
        ...
