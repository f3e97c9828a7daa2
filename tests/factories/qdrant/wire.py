"""What stands before every call: the key, the record of what came, the fault that a test asked for, the refusals."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import grpc as messages

from tests.factories.qdrant.refusal import Refused, of_engine

RECORD, FAULTS = "received", "faults"


@dataclass(frozen=True)
class Fault:
    """The next answer to one call: a status other than OK, or an update's status that is not `Completed`."""

    code: str = ""
    update: str = ""
    trailing: dict[str, str] = field(default_factory=dict)

    def plan(self, folder: Path, method: str) -> None:
        """Leaves it for the server to find."""
        place = folder / FAULTS / method
        place.parent.mkdir(exist_ok=True)
        written = place.with_name("being written")
        written.write_text(json.dumps(asdict(self)))
        written.replace(place)


@dataclass(frozen=True)
class Received:
    """One call as it came: the message, the headers, and the seconds until the caller gives up (None: never)."""

    message: Any
    headers: dict[str, str]
    remaining_s: float | None


def read_received(folder: Path, method: str, *, skip: int = 0) -> list[Received]:
    """Every call of a method, as in `Points/Upsert`, but for the first `skip` of all calls."""
    rows = (json.loads(line) for line in (folder / RECORD).read_text().splitlines()[skip:])
    return [
        Received(
            getattr(messages, row["kind"]).FromString(base64.b64decode(row["message"])),
            row["headers"],
            row["remaining"],
        )
        for row in rows
        if row["method"] == method
    ]


class Gate(grpc.ServerInterceptor):  # type: ignore[misc]
    """Every call passes here first."""

    def __init__(self, folder: Path, api_key: str | None) -> None:
        self._folder = folder
        self._api_key = api_key
        self._lock = threading.Lock()
        self._record = (folder / RECORD).open("a", buffering=1)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method.removeprefix("/qdrant.")
        headers = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}

        def call(request: Any, context: Any) -> Any:
            try:
                self._check_key(headers)
                self._note(method, request, headers, context.time_remaining())
                return self._answer(handler.unary_unary, method, request, context)
            except Refused as refused:
                context.abort(refused.code, refused.text)

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    def _check_key(self, headers: dict[str, str]) -> None:
        if self._api_key is None:
            return
        if "api-key" not in headers:
            text = "Must provide an API key or an Authorization bearer token"
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, text)
        if headers["api-key"] != self._api_key:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")

    def _note(self, method: str, request: Any, headers: dict[str, str], remaining: float | None) -> None:
        row = {
            "method": method,
            "kind": request.DESCRIPTOR.name,
            "message": base64.b64encode(request.SerializeToString()).decode(),
            "headers": headers,
            "remaining": remaining,
        }
        with self._lock:
            self._record.write(json.dumps(row) + "\n")

    def _answer(self, handler: Callable[[Any, Any], Any], method: str, request: Any, context: Any) -> Any:
        fault = self._fault(method)
        if fault.code:
            context.set_trailing_metadata(tuple(fault.trailing.items()))
            raise Refused(grpc.StatusCode[fault.code], "as the test asked for")
        try:
            answer = handler(request, context)
        except NotImplementedError:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not know {method}") from None
        except Exception as error:
            if type(error) is not Exception:  # the engine raises nothing else
                raise
            raise of_engine(error) from error
        if fault.update:
            answer.result.status = messages.UpdateStatus.Value(fault.update)
        return answer

    def _fault(self, method: str) -> Fault:
        place = self._folder / FAULTS / method.replace("/", ".")
        try:
            planned = json.loads(place.read_text())
            place.unlink()
        except FileNotFoundError:
            return Fault()
        return Fault(**planned)
