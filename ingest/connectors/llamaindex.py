"""Documents of any LlamaIndex reader, with access from what the reader says of them or from the registration."""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from core.errors import InvalidError
from ingest.connectors.own import Own, paths_in
from ingest.connectors.secret_ref import SecretRef
from ingest.connectors.sql_values import id_part, parse_cell
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    Element,
    EmptyError,
    ItemError,
    ItemRef,
    JsonObject,
    NodeChange,
    Problem,
    SourceError,
    Upsert,
    VanishedError,
)
from policies.model import CLOSED, AccessSpec, access_spec

MAX_ID_BYTES = 2000


class LlamaIndexConfig(ConnectorConfig):
    """Which reader, what it is given, and which of its metadata mean what."""

    reader: str = Field(
        pattern=r"^llama_index(\.[A-Za-z_]\w*)+$",
        description="Import path of the class: `llama_index.readers.….…Reader`.",
    )
    arguments: dict[str, JsonValue] = Field(
        {}, description="Of the class; `{secret: NAME}` stands for a secret at any depth."
    )
    load: dict[str, JsonValue] = Field({}, description="Arguments of `load_data`; secrets as above.")
    id: str | None = Field(None, description="Metadata that identifies a document; absent: the reader's own `doc_id`.")
    title: str | None = Field(None, description="Metadata with the title; absent: the id.")
    uri: str | None = Field(None, description="Metadata with the address for people.")
    version: str | None = Field(
        None, description="Metadata that changes with the document; absent: a hash of its text."
    )
    allow: str | None = Field(None, description="Metadata with the only principals that may read the document.")
    deny: str | None = Field(None, description="Metadata with principals that may not.")
    prefix: Literal["", "user:", "group:"] = Field("", description="Put before principals that are bare ids.")
    classification: str | None = Field(None, description="Metadata with the classification.")
    max_documents: int = Field(10_000, ge=1, le=1_000_000, description="Most documents; they are held in memory.")


@dataclass(frozen=True, slots=True)
class _Found:
    item: ItemRef
    text: str
    problem: Problem | None


class LlamaIndexConnector:
    """Asks the reader for all of its documents at each sync: readers know no changes and no deletions."""

    name: ClassVar[str] = "llamaindex"
    title: ClassVar[str] = "LlamaIndex reader"
    summary: ClassVar[str] = "Documents of any LlamaIndex reader, with access from its metadata."
    Config: ClassVar[type[ConnectorConfig]] = LlamaIndexConfig

    def __init__(self, config: LlamaIndexConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._arguments = {key: _resolved(one, context) for key, one in config.arguments.items()}
        self._load_arguments = {key: _resolved(one, context) for key, one in config.load.items()}
        self._lock = threading.Lock()
        self._found: dict[str, _Found] = {}
        self._problems: list[Problem] = []

    def check(self) -> None:
        """Makes the reader.

        Raises:
            SourceError: its package is missing, or it refuses its arguments.
        """
        self._reader()

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every document.

        Raises:
            SourceError: the reader fails, or brings nothing or too much.
        """
        with self._lock:
            self._load()
            found, problems = list(self._found.values()), list(self._problems)
        if not found:
            raise SourceError(f"{self._config.reader} brought no document")
        yield NodeChange(
            "", None, self._config.reader.rpartition(".")[2], replace(self._context.root_access, mode="break")
        )
        yield from problems
        for one in found:
            if one.problem:
                yield one.problem
            yield Upsert(one.item)
        # A document without a usable id may be one that is known: then its absence means nothing.
        yield Checkpoint({"done": True}, complete=True, full=not problems)

    def fetch(self, item: ItemRef) -> Content:
        """The document as it was listed.

        Raises:
            VanishedError: the reader does not bring it any more.
            EmptyError: it says nothing.
            ItemError: `item_changed` (transient): it changed since, and its access may have too;
                `server_failed` (transient): the reader failed; `file_too_large`.
        """
        with self._lock:
            one = self._found.get(item.id)
            if one is None or one.item.version != item.version:
                try:
                    self._load()
                except SourceError as error:
                    raise ItemError("server_failed", f"{item.id}: {error.detail}", transient=True) from error
                one = self._found.get(item.id)
        if one is None:
            raise VanishedError(f"{item.id} is gone")
        if one.item.version != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        if not one.text.strip():
            raise EmptyError(f"{item.id} says nothing")
        if len(one.text.encode("utf-8", "replace")) > self._context.max_bytes:
            raise ItemError("file_too_large", f"{item.id} is above the limit of {self._context.max_bytes} bytes")
        return Content(item.id, elements=(Element("text", one.text),), title=one.item.title)

    def close(self) -> None:
        """Lets go of the documents."""
        with self._lock:
            self._found = {}

    def _reader(self) -> Any:
        for path in paths_in([self._arguments, self._load_arguments]):
            Own(self._context.own).refuse_around(path)
        module, _, name = self._config.reader.rpartition(".")
        try:
            made = getattr(importlib.import_module(module), name)(**self._arguments)
        except (ImportError, AttributeError) as error:
            raise SourceError(f"{self._config.reader} cannot be imported: {error}") from None
        except Exception as error:  # noqa: BLE001 - a reader's own errors may hold what it was given
            raise SourceError(f"{self._config.reader} refused its arguments: {type(error).__name__}") from None
        if not callable(getattr(made, "load_data", None)):
            raise SourceError(f"{self._config.reader} is no reader: it has no load_data")
        return made

    def _load(self) -> None:
        reader = self._reader()
        limit = self._config.max_documents
        try:
            documents = reader.load_data(**self._load_arguments)
        except Exception as error:  # noqa: BLE001 - a reader's own errors may hold what it read
            raise SourceError(f"{self._config.reader} failed: {type(error).__name__}") from None
        if len(documents) > limit:
            raise SourceError(f"{self._config.reader} brought {len(documents)} documents; the limit is {limit}")
        self._found, self._problems = {}, []
        for document in documents:
            self._take(document)

    def _take(self, document: Any) -> None:
        metadata = dict(document.metadata or {})
        key = metadata.get(self._config.id) if self._config.id else document.doc_id
        if not isinstance(key, (str, int)) or isinstance(key, bool) or key == "":
            self._problems.append(Problem("#null", "key_missing", f"a document has no {self._config.id or 'doc_id'}"))
            return
        item_id = id_part(key)
        if item_id in self._found:
            self._problems.append(Problem(f"{item_id}#", "key_not_unique", f"{item_id}: names more than one document"))
        elif len(item_id.encode("utf-8", "replace")) > MAX_ID_BYTES:
            short = item_id[:200]
            self._problems.append(Problem(short, "key_too_long", f"{short}…: longer than {MAX_ID_BYTES} bytes"))
        else:
            self._found[item_id] = self._made(item_id, str(document.text or ""), metadata)

    def _made(self, item_id: str, text: str, metadata: dict[str, Any]) -> _Found:
        config, problem = self._config, None
        try:
            access = self._access(metadata)
        except InvalidError as error:
            access = CLOSED
            problem = Problem(item_id, "access_malformed", f"{item_id}: {error.detail}; nobody can read it")
        title = " ".join(str(metadata.get(config.title) or "").split()) if config.title else ""
        stamp = metadata.get(config.version) if config.version else None
        version = hashlib.blake2b(f"{title}\0{text}".encode("utf-8", "replace"), digest_size=16).hexdigest()
        item = ItemRef(
            id=item_id,
            node="",
            title=title or item_id,
            uri=str(metadata.get(config.uri) or "") if config.uri else f"llamaindex:{item_id}",
            version=version if stamp is None else str(stamp),
            access=access,
        )
        return _Found(item, text, problem)

    def _access(self, metadata: dict[str, Any]) -> AccessSpec | None:
        config = self._config
        label = metadata.get(config.classification) if config.classification else None
        if label is not None and (not isinstance(label, str) or not label.strip()):
            raise InvalidError(f"{config.classification}: not the name of a classification")
        spec = access_spec(
            self._principals(metadata, config.allow),
            self._principals(metadata, config.deny),
            mode="break" if config.allow else "inherit",
            labels={"classification": label.strip()} if label else {},
        )
        return None if spec.plain else spec

    def _principals(self, metadata: dict[str, Any], name: str | None) -> list[str]:
        if name is None:
            return []
        value = metadata.get(name)
        if self._config.prefix and isinstance(value, str) and value.strip():
            value = value.split(",")
        if self._config.prefix and isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = [self._config.prefix + one.strip() for one in value]
        try:
            return parse_cell(value)
        except InvalidError as error:
            raise InvalidError(f"{name}: {error.detail}") from None


def _resolved(value: Any, context: ConnectorContext) -> Any:
    """A value with the secrets it names put in.

    Raises:
        InvalidError: one is not there.
    """
    if isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str):
        name = SecretRef.model_validate(value).secret
        if name not in context.secrets:
            raise InvalidError(f"config.arguments: there is no secret {name!r}")
        return context.secrets[name]
    if isinstance(value, dict):
        return {key: _resolved(one, context) for key, one in value.items()}
    return [_resolved(one, context) for one in value] if isinstance(value, list) else value
