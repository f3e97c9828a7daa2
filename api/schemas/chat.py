"""OpenAI's chat completions: what of them Ambit reads; everything else in a request is accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from answer.model import AnswerRequest
from api.errors import UnsupportedError
from core.errors import InvalidError
from gateway.model import Message
from retrieve.model import Question

_MESSAGES = 200
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class TextPart(_Lenient):
    """A part of a message; only text is read."""

    type: str
    text: str | None = None


class ChatMessage(_Lenient):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    def text(self, place: int) -> str:
        """Its text.

        Raises:
            InvalidError: a part is not text.
        """
        if isinstance(self.content, str):
            return self.content
        parts = self.content or []
        if any(part.type != "text" or part.text is None for part in parts):
            field = f"messages.{place}.content"
            raise InvalidError(f"{field}: only text parts are read", errors=[{"field": field, "message": "not text"}])
        return "\n".join(part.text or "" for part in parts)


class StreamOptions(_Lenient):
    """What a stream ends with."""

    include_usage: bool | None = False


class ChatBody(_Lenient):
    """A chat completion request."""

    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    user: Annotated[str, StringConstraints(max_length=320)] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def refuse_unsupported(self) -> None:
        """Refuses what would change the meaning of the answer if it were ignored.

        Raises:
            UnsupportedError: more than one choice, or tools.
        """
        if self.n not in (None, 1):
            raise UnsupportedError("n may only be 1", errors=[{"field": "n"}])
        for name in ("tools", "functions"):
            if getattr(self, name):
                raise UnsupportedError(f"{name} are not supported", errors=[{"field": name}])

    def request(self, *, top_k: int) -> AnswerRequest:
        """The last message of the user is the question, what stands before it the history.

        Raises:
            InvalidError: there is no message of the user, or one is not text.
        """
        texts = [one.text(place) for place, one in enumerate(self.messages)]
        asked = [place for place, one in enumerate(self.messages) if one.role == "user"]
        if not asked:
            raise InvalidError("messages hold none of the user", errors=[{"field": "messages"}])
        return AnswerRequest(
            question=Question(text=texts[asked[-1]], top_k=top_k, history=[texts[place] for place in asked[:-1]]),
            model=self.model,
            history=[_turn(one.role, text) for one, text in zip(self.messages, texts[: asked[-1]], strict=False)],
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
        )


def _turn(role: str, text: str) -> Message:
    kind: Any = _ROLES[role]
    return Message(kind, text)
