"""Objects of an API as documents, by configuration alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from core.errors import AmbitError, InvalidError
from core.outbound import Answer, Outbound
from ingest.connectors.http import Polite, expect, item_error, secret_headers, secret_value
from ingest.connectors.rest_config import Resource, RestConfig, as_text, fill, lookup
from ingest.connectors.rest_pages import Pages, parsed
from ingest.connectors.sql_values import id_part, parse_cell
from ingest.connectors.web_sitemap import instant
from ingest.model import (
    Change,
    Checkpoint,
    ConnectorConfig,
    ConnectorContext,
    Content,
    Delete,
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
PAGE_BYTES = 50 * 1024 * 1024
_MIME = {"markdown": "text/markdown", "html": "text/html"}


class RestConnector:
    """Lists what changed where the API can tell, and everything from time to time."""

    name: ClassVar[str] = "rest"
    title: ClassVar[str] = "REST API"
    summary: ClassVar[str] = "Objects of a JSON API, with access from fields of the object; needs no code."
    Config: ClassVar[type[ConnectorConfig]] = RestConfig

    def __init__(self, config: RestConfig, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._headers = {"accept": "application/json", **secret_headers(config.headers, context)}
        if config.bearer is not None:
            self._headers["authorization"] = f"Bearer {secret_value(config.bearer, context, 'config.bearer')}"
        self._outbound = Outbound(context.outbound, timeout_s=config.timeout_s)
        self._polite = Polite(self._outbound, delay_s=config.delay_s)
        self._resources = {one.name: one for one in config.resources}

    def check(self) -> None:
        """Asks for the first page of each list.

        Raises:
            SourceError: the server does not answer, refuses, or answers something else.
        """
        for resource in self._config.resources:
            next(Pages(self._config.url, resource, self._ask).read({}, None), None)

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Each list from where `cursor` left off; everything where that is too long ago or cannot be told.

        Raises:
            SourceError: the server refuses, or answers no such JSON.
        """
        state = self._state(cursor)
        yield NodeChange("", None, "API", replace(self._context.root_access, mode="break"))
        names = list(self._resources)
        for name in names[names.index(state["at"]) if "at" in state else 0 :]:
            yield NodeChange(name, "", name, AccessSpec())
            yield from self._resource(self._resources[name], state)
            state.pop("place", None)
        cursor = {key: state[key] for key in ("config", "latest", "full_at")}
        yield Checkpoint(cursor, complete=True, full=state["full"], access_complete=self._sees_access(state))

    def fetch(self, item: ItemRef) -> Content:
        """The object as it was listed.

        Raises:
            VanishedError: it is gone.
            EmptyError: it says nothing.
            ItemError: `item_changed` (transient): it changed since, and its access may have too; `server_failed`;
                `address_blocked`; `file_too_large`.
        """
        resource = self._resources.get(item.node)
        if resource is None:
            raise VanishedError(f"{item.id} is of a resource that is not configured any more")
        one = self._object(item, resource)
        if _version(one, resource) != item.version:
            raise ItemError("item_changed", f"{item.id} changed since it was listed", transient=True)
        text = fill(resource.text, one).strip()
        if not text:
            raise EmptyError(f"{item.id} says nothing")
        title = _title(one, resource) or item.title
        if resource.format == "text":
            return Content(item.id, elements=(Element("text", text),), title=title, modified_at=item.modified_at)
        return Content(
            item.id, body=text.encode(), mime=_MIME[resource.format], title=title, modified_at=item.modified_at
        )

    def close(self) -> None:
        """Closes the connections."""
        self._outbound.close()

    def _state(self, cursor: JsonObject | None) -> JsonObject:
        """Where the listing stands: `latest` holds each resource's highest value of `updated`."""
        fresh: JsonObject = {"config": self._config.fingerprint, "latest": {}, "since": {}, "full": True}
        fresh["full_at"] = time.time()
        if not cursor or cursor.get("config") != self._config.fingerprint:
            return fresh
        if "at" in cursor:
            counted = self._resources[cursor["at"]].pagination.kind in ("page", "offset")
            # What moved between two counted pages meanwhile was passed over: its absence means nothing.
            return {**cursor, "full": cursor["full"] and not counted}
        known = all(one.since and one.name in cursor["latest"] for one in self._config.resources)
        if not known or time.time() - cursor["full_at"] > self._config.full_every_h * 3600:
            return fresh
        latest = dict(cursor["latest"])
        return {**cursor, "latest": latest, "since": dict(latest), "full": False}

    def _sees_access(self, state: JsonObject) -> bool:
        """A list of changes may not show an object whose access alone changed."""
        return state["full"] or not any(one.allow or one.deny for one in self._config.resources)

    def _resource(self, resource: Resource, state: JsonObject) -> Iterator[Change]:
        since = state["since"].get(resource.name)
        extra = {resource.since: as_text(since)} if resource.since and since is not None else {}
        pages = Pages(self._config.url, resource, self._ask)
        sent: set[str] = set()
        for objects, onward in pages.read(extra, state.get("place")):
            for one in objects:
                yield from self._change(one, resource, state, sent)
            if onward is not None:
                yield Checkpoint({**state, "at": resource.name, "place": onward}, full=state["full"])

    def _change(self, one: Any, resource: Resource, state: JsonObject, sent: set[str]) -> Iterator[Change]:
        key = lookup(one, resource.id)
        if not isinstance(key, (str, int)) or isinstance(key, bool) or key == "":
            yield Problem(f"{resource.name}/#null", "key_missing", f"{resource.name}: an object has no {resource.id}")
            return
        item_id = f"{resource.name}/{id_part(key)}"
        if item_id in sent:
            return
        sent.add(item_id)
        _advance(state["latest"], resource, one)
        if len(item_id.encode()) > MAX_ID_BYTES:
            yield Problem(item_id[:200], "key_too_long", f"{item_id[:200]}…: longer than {MAX_ID_BYTES} bytes")
        elif resource.deleted and lookup(one, resource.deleted):
            yield Delete(item_id)
        else:
            yield from self._upsert(item_id, key, one, resource)

    def _upsert(self, item_id: str, key: str | int, one: Any, resource: Resource) -> Iterator[Change]:
        try:
            access = _access(one, resource)
        except InvalidError as error:
            access = CLOSED
            yield Problem(item_id, "access_malformed", f"{item_id}: {error.detail}; nobody can read it")
        updated = lookup(one, resource.updated)
        item = ItemRef(
            id=item_id,
            node=resource.name,
            title=_title(one, resource) or item_id,
            uri=fill(resource.link, one) if resource.link else self._config.url + _detail(resource, one),
            version=_version(one, resource),
            modified_at=instant(updated) if isinstance(updated, str) else None,
            access=access,
            data={"detail": _detail(resource, one)},
        )
        yield Upsert(item)

    def _object(self, item: ItemRef, resource: Resource) -> Any:
        url = self._config.url + str(item.data["detail"])
        try:
            answer = self._polite.get(url, headers=self._headers, max_bytes=self._context.max_bytes, redirects=0)
        except AmbitError as error:
            raise item_error(item.id, error) from None
        expect(item.id, answer)
        try:
            body = parsed(answer)
        except SourceError as error:
            raise ItemError("server_failed", f"{item.id}: {error.detail}", transient=True) from None
        one = lookup(body, resource.object) if resource.object else body
        if resource.deleted and lookup(one, resource.deleted):
            raise VanishedError(f"{item.id} is gone")
        return one

    def _ask(self, url: str) -> Answer:
        return self._polite.get(url, headers=self._headers, max_bytes=PAGE_BYTES, redirects=0)


def _detail(resource: Resource, one: Any) -> str:
    """The path of an object; a field's value can add no part of a path, and no query."""
    parts = resource.detail.split("{")
    made = parts[0]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        value = quote(as_text(lookup(one, name)), safe="")
        made += ("%2E" * len(value) if value in (".", "..") else value) + rest
    return made


def _title(one: Any, resource: Resource) -> str:
    return " ".join(fill(resource.title, one).split())


def _version(one: Any, resource: Resource) -> str | None:
    updated = lookup(one, resource.updated)
    return None if updated is None else as_text(updated)


def _advance(latest: dict[str, Any], resource: Resource, one: Any) -> None:
    """Keeps the highest value of `updated`; values of another kind than the first are passed over."""
    value, known = lookup(one, resource.updated), latest.get(resource.name)
    if isinstance(value, (str, int, float)) and (known is None or (isinstance(known, str) == isinstance(value, str))):
        latest[resource.name] = value if known is None else max(known, value)


def _access(one: Any, resource: Resource) -> AccessSpec | None:
    """The access an object states; None: its resource's.

    Raises:
        InvalidError: a field that states access cannot be understood; its value is not in the message.
    """
    allow = _principals(one, resource.allow, resource.prefix)
    deny = _principals(one, resource.deny, resource.prefix)
    label = lookup(one, resource.classification) if resource.classification else None
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise InvalidError(f"{resource.classification}: not the name of a classification")
    labels = {"classification": label.strip()} if label else {}
    spec = access_spec(allow, deny, mode="break" if resource.allow else "inherit", labels=labels)
    return None if spec.plain else spec


def _principals(one: Any, path: str | None, prefix: str) -> list[str]:
    if path is None:
        return []
    value = lookup(one, path)
    if prefix and isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = [f"{prefix}{name.strip()}" for name in value]
    elif prefix and isinstance(value, str) and value.strip():
        value = [f"{prefix}{name.strip()}" for name in value.split(",")]
    try:
        return parse_cell(value)
    except InvalidError as error:
        raise InvalidError(f"{path}: {error.detail}") from None
