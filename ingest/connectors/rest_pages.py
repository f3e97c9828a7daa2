"""Follows the pages of a JSON list."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode, urljoin

from core.errors import AmbitError
from core.outbound import Answer, origin, shown
from ingest.connectors.http import refused, source_error
from ingest.connectors.rest_config import Resource, lookup
from ingest.model import SourceError

Place: TypeAlias = int | str | None
"""Where a list goes on: a page, an offset, a token, an address; None: at its beginning."""
Ask: TypeAlias = Callable[[str], Answer]
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?(?:[^",;]*\s)?next\b', re.IGNORECASE)


class Pages:
    """The pages of one resource's list."""

    def __init__(self, base: str, resource: Resource, ask: Ask) -> None:
        self._base, self._resource, self._ask = base, resource, ask
        self._how = resource.pagination

    def read(self, extra: Mapping[str, str], place: Place) -> Iterator[tuple[list[Any], Place]]:
        """The objects of each page from `place` on, with the place after it; None after the last.

        Raises:
            SourceError: the server refuses, answers no such JSON, moves its objects while they are listed, or goes
                round in a circle.
        """
        seen: set[Place] = set()
        last: Any = None
        while True:
            answer, body = self._page(extra, place)
            if body is None:
                yield [], None
                return
            objects = self._objects(answer, body)
            onward = self._onward(answer, body, place, len(objects))
            if onward in seen:
                raise SourceError(f"{shown(answer.url)}: its pages go round in a circle")
            seen.add(onward)
            if self._how.kind == "offset" and place:
                objects = self._joined(answer, objects, last)
            last = self._id(objects[-1]) if objects else last
            yield objects, onward
            if onward is None:
                return
            place = onward

    def _joined(self, answer: Answer, objects: list[Any], last: Any) -> list[Any]:
        """Each page begins with the last object of the one before: else one was passed over."""
        if last is not None and (not objects or self._id(objects[0]) != last):
            raise SourceError(f"{shown(answer.url)}: its objects moved while they were listed; it is tried again")
        return objects[1:] if last is not None else objects

    def _id(self, one: Any) -> Any:
        return lookup(one, self._resource.id)

    def _page(self, extra: Mapping[str, str], place: Place) -> tuple[Answer, Any]:
        url = self._url(extra, place)
        try:
            answer = self._ask(url)
        except SourceError:
            raise
        except AmbitError as error:
            raise source_error(error) from None
        if answer.status == 404 and self._how.kind == "page" and place is not None:
            return answer, None  # how many servers say that there is no such page
        if answer.status != 200:
            raise refused(answer)
        return answer, parsed(answer)

    def _url(self, extra: Mapping[str, str], place: Place) -> str:
        how = self._how
        if how.kind == "link" and isinstance(place, str):
            return place
        params = {**self._resource.params, **extra}
        if how.size_param:
            params[how.size_param] = str(how.size)
        if how.kind == "page":
            params[how.param] = str(how.start if place is None else place)
        elif how.kind == "offset":
            params[how.param] = str(place or 0)
        elif how.kind == "cursor" and place is not None:
            params[how.param] = str(place)
        query = urlencode(params)
        return f"{self._base}{self._resource.list}{'?' + query if query else ''}"

    def _objects(self, answer: Answer, body: Any) -> list[Any]:
        objects = lookup(body, self._resource.items) if self._resource.items else body
        if not isinstance(objects, list):
            where = self._resource.items or "the answer"
            raise SourceError(f"{shown(answer.url)}: {where} is no list")
        return objects

    def _onward(self, answer: Answer, body: Any, place: Place, count: int) -> Place:
        how = self._how
        if how.kind == "page":
            number = how.start if place is None else int(place)
            return number + 1 if count else None
        if how.kind == "offset":
            return (int(place or 0) + count - 1) if count > 1 else None
        if how.kind == "cursor" and how.next:
            token = lookup(body, how.next)
            return token if isinstance(token, (str, int)) and token != "" and not isinstance(token, bool) else None
        return self._linked(answer, body) if how.kind == "link" else None

    def _linked(self, answer: Answer, body: Any) -> str | None:
        """The next address; credentials are sent there, so it must be of the same server."""
        if self._how.next:
            target = lookup(body, self._how.next)
        else:
            found = _NEXT.search(answer.headers.get("link", ""))
            target = found[1] if found else None
        if not isinstance(target, str) or not target:
            return None
        url = urljoin(answer.url, target)
        if origin(url) != origin(self._base):
            raise SourceError(f"{shown(answer.url)}: its next page is on another server")
        return url


def parsed(answer: Answer) -> Any:
    """The JSON of an answer.

    Raises:
        SourceError: it is none.
    """
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise SourceError(f"{shown(answer.url)}: the answer is no JSON") from None
