"""The parser process: `python -m ingest.parsing.worker OWNER MEMORY_BYTES [PROGRAM]...`; frames on its streams.

It says `{"ready": …}` once, then answers each request `{name, mime, title, limits, timeout_s}` plus a body frame: it
is sent the bytes of a file and never its path, since it may open none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from ingest.model import Content, EmptyError, ItemError
from ingest.parsing.confine import confine, limit_cpu, limit_memory, resident
from ingest.parsing.limits import Limits
from ingest.parsing.parse import parse
from ingest.parsing.wire import WireError, dump_parsed, from_json, receive, send, to_json


def main(owner: int, memory: int, programs: Sequence[Path] = ()) -> None:
    """Serves requests until the owner closes the stream."""
    requests, answers = _streams()
    held = confine(owner, programs)
    limit_memory(memory)
    send(answers, to_json({"ready": True, "confinement": asdict(held), "resident": resident()}))
    while True:
        try:
            request, body = from_json(receive(requests)), receive(requests)
        except WireError:
            return
        except MemoryError:
            send(answers, to_json({"error": "parse_memory", "resident": resident()}))
            continue
        send(answers, _answer(request, body))
        del request, body


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Requests and answers on descriptors of their own, so that a library's print cannot spoil a frame."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _answer(request: dict[str, Any], body: bytes) -> bytes:
    """The parsed document or the error as a message; memory that runs out while answering is an error too."""
    try:
        return to_json({"parsed": _parsed(request, body), "resident": resident()})
    except EmptyError as error:
        answer = {"error": error.item_code, "detail": error.detail, "empty": True}
    except ItemError as error:
        answer = {"error": error.item_code, "detail": error.detail}
    except MemoryError:
        answer = {"error": "parse_memory"}
    return to_json({**answer, "resident": resident()})


def _parsed(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    limit_cpu(request["timeout_s"])
    content = Content(
        name=request["name"],
        body=body,
        mime=request["mime"],
        title=request["title"],
    )
    return dump_parsed(parse(content, Limits(**request["limits"])))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(one) for one in sys.argv[3:]])
