"""What the gateway speaks: evidence, calls, deltas, and the model protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from core.errors import UnavailableError


class ModelError(UnavailableError):
    """A model did not answer; the route's next one is tried."""

    code = "model_failed"
    status = 502
    title = "Model did not answer"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One numbered passage that may be sent to the model that is called."""

    number: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation as providers take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One question with its evidence. Language models see `messages`; the extractive one sees the rest."""

    question: str
    evidence: Sequence[Evidence]
    messages: Sequence[Message]
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in and out; `estimated` where the provider did not say and a count of ours stands in."""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; the last one carries `usage` and may have no text."""

    text: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A declared Model object.

    Attributes:
        key: its id; `extractive` is built in.
        class_path: import path of a LlamaIndex LLM class, or `extractive`.
        max_classification: highest label of a passage it may be sent; None: the lowest of the tenant's list alone.
        price_input, price_output: money per million tokens.
    """

    key: str
    class_path: str
    arguments: dict[str, Any] = field(default_factory=dict)
    hosting: Literal["internal", "external"] = "external"
    region: str | None = None
    max_classification: str | None = None
    price_input: float = 0.0
    price_output: float = 0.0
    context_tokens: int = 8192


class ChatModel(Protocol):
    """A model behind the gateway. Constructors do no I/O; thread-safe."""

    def complete(self, call: ModelCall) -> Completion:
        """The whole answer.

        Raises:
            ModelError: the provider refused, failed or passed its deadline.
        """
        ...

    def stream(self, call: ModelCall) -> AsyncIterator[Delta]:
        """The answer in pieces, the last one with usage.

        Raises:
            ModelError: as `complete`; also in the middle.
        """
        ...
