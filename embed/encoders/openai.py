"""Any endpoint that speaks OpenAI's embeddings protocol (https://platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx
import numpy as np

from core.addresses import OutboundError
from core.errors import SettingError, UnavailableError
from core.outbound import Answer, Outbound
from embed.encoders.remote import EncoderAnswerError, RemoteEncoder
from embed.encoders.spec import EncoderSpec

_MAX_TOKENS = 8191
_BATCH = 64
_LANES = 4
_BYTES_PER_TEXT = 1 << 20
_BUSY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_FIRST_WAIT_S = 0.5


class EncoderUnavailableError(UnavailableError):
    """The endpoint that encodes does not answer, or asks to be left alone for longer than a request may take."""

    code = "encoder_unavailable"
    title = "Encoder unavailable"


class OpenAiEncoder(RemoteEncoder):
    """The `Encoder` protocol over HTTP.

    A request that fails for want of capacity is made again after what `Retry-After` asks for, else after a wait that
    doubles, as long as the whole stays within `timeout_s`.

    Args:
        spec: the endpoint's name of the model; options `url`, `dimensions` (asked for, and held to) and `batch`
            (texts of one request, 64).
        url: base URL, as in `https://api.example.com/v1`; the option of that name wins.
        key: sent as a bearer token.
        allow: addresses that may be reached although they are not public; the host of the URL always may.
        timeout_s: seconds that one request with its repetitions may take.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        url: str | None,
        key: str | None = None,
        allow: Sequence[str] = (),
        timeout_s: float = 30.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._batch = spec.number("batch", _BATCH)
        super().__init__(spec, max_tokens=_MAX_TOKENS, lanes=_LANES, most=self._batch)
        self._url = f"{_base(spec, url)}/embeddings"
        self._key = key
        self._timeout_s = timeout_s
        self._pause = pause
        self._dimensions = spec.number("dimensions", 0) if "dimensions" in spec.options else None
        self._known = self._dimensions
        self._outbound = Outbound([*allow, httpx.URL(self._url).host], timeout_s=timeout_s)

    @property
    def tag(self) -> str:
        """The model and how it is reached; an endpoint says nothing of its precision."""
        return f"{self.name}/openai"

    def warm_up(self) -> None:
        """Encodes one text, which shows that the endpoint answers and has the model."""
        self._encode(["warm"])

    def _ask(self, texts: Sequence[str]) -> Any:
        parts = [self._request(texts[start : start + self._batch]) for start in range(0, len(texts), self._batch)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _request(self, texts: Sequence[str]) -> Any:
        body: dict[str, Any] = {"model": self._spec.model, "input": list(texts), "encoding_format": "float"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        sent = json.dumps(body).encode()
        ends, wait = time.monotonic() + self._timeout_s, _FIRST_WAIT_S
        while True:
            answer = self._once(sent, len(texts), ends)
            if isinstance(answer, Answer):
                if answer.status not in _BUSY:
                    return _rows(self._accepted(answer), len(texts))
                asked, told = answer.retry_after, f"status {answer.status}"
            else:
                asked, told = None, answer
            pause = asked if asked is not None else wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            if time.monotonic() + pause >= ends:
                raise EncoderUnavailableError(f"the encoder's endpoint does not answer: {told}; try again later")
            self._pause(pause)
            wait *= 2

    def _once(self, sent: bytes, texts: int, ends: float) -> Answer | str:
        """The answer, or why there is none."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        left = max(ends - time.monotonic(), 0.001)
        try:
            return self._outbound.post(
                self._url, sent, headers=headers, max_bytes=_BYTES_PER_TEXT * (texts + 1), timeout_s=left
            )
        except OutboundError as error:
            return error.detail

    def _accepted(self, answer: Answer) -> bytes:
        """The body of an answer that is one. What a refusal says is not repeated: it may quote text or key.

        Raises:
            SettingError: the endpoint refuses the key, or has no such model.
            EncoderAnswerError: it refuses the texts.
        """
        if answer.status in (401, 403):
            raise SettingError(
                f"the encoder's endpoint refuses the key (status {answer.status}); set encoder_api_key "
                "(AMBIT_ENCODER_API_KEY)"
            )
        if answer.status == 404:
            raise SettingError(f"the encoder's endpoint has no model {self.name!r}, or encoder_url is not its base URL")
        if answer.status != 200:
            raise EncoderAnswerError(f"the encoder's endpoint refused the texts with status {answer.status}")
        return answer.body


def _base(spec: EncoderSpec, url: str | None) -> str:
    stated = spec.options.get("url") or url
    if not stated:
        raise SettingError(
            f"encoder {spec.model!r} is on an endpoint, and encoder_url (AMBIT_ENCODER_URL) does not say where"
        )
    return stated.rstrip("/")


def _rows(body: bytes, count: int) -> list[Any]:
    """The vectors in the order of the texts."""
    try:
        data = json.loads(body)["data"]
        placed = {int(one["index"]): one["embedding"] for one in data}
        return [placed[place] for place in range(count)]
    except (ValueError, TypeError, KeyError):
        raise EncoderAnswerError(f"the encoder's endpoint gave no vector for each of {count} texts") from None
