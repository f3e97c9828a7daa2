"""Any LlamaIndex LLM class, named by its import path, as a `ChatModel`."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from core.errors import AmbitError
from gateway.deadline import call_within
from gateway.model import Completion, Delta, ModelCall, ModelError, ModelSpec, Usage

Secrets: TypeAlias = Callable[[str], str]
INSTALL_HINT = "pip install 'ambit[llm]'"
_OPENAI_FAMILY = "llama_index.llms.openai"


class ModelUnusableError(ModelError):
    """A declared model cannot be built: its class, its arguments or a secret is missing or wrong."""

    code = "model_unusable"
    title = "Model cannot be used as declared"
    transient = False


class LlamaModel:
    """Calls a provider through LlamaIndex; nothing is imported or connected before the first call.

    Secrets are resolved again at each call, so that a rotated key holds at once. An asynchronous client belongs to
    one event loop, hence one instance for each.

    Args:
        spec: the declared model.
        secrets: value of a named secret.
        timeout_s: most seconds one call may take from start to last word.
    """

    def __init__(self, spec: ModelSpec, *, secrets: Secrets, timeout_s: float) -> None:
        self._spec = spec
        self._secrets = secrets
        self._timeout_s = timeout_s
        self._blocking: tuple[dict[str, Any], Any] | None = None
        self._per_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[dict[str, Any], Any]] = WeakKeyDictionary()

    def complete(self, call: ModelCall) -> Completion:
        """The whole answer, within the deadline.

        Raises:
            ModelUnusableError: the model cannot be built as declared.
            ModelError: the provider failed, was late, or answered nothing.
        """
        llm = self._blocking_llm()
        messages, options = _messages(call), _options(call)
        failure = ""
        try:
            response = call_within(self._timeout_s, lambda: llm.chat(messages, **options))
            text = response.message.content or ""
        except Exception as error:  # noqa: BLE001 - whatever a provider's library raises
            failure, extra = _described(error), _status(error)
        if failure:
            raise self._failed(failure, **extra)
        if not text.strip():
            raise self._failed("its answer is empty")
        return Completion(text, _usage(response) or _estimated(call, text))

    async def stream(self, call: ModelCall) -> AsyncIterator[Delta]:
        """The answer in pieces; the deadline holds for the whole of it.

        Raises:
            ModelUnusableError: the model cannot be built as declared.
            ModelError: the provider failed, was late, stopped in the middle, or answered nothing.
        """
        ends_at = time.monotonic() + self._timeout_s
        llm = await self._loop_llm()
        length, usage, end = 0, None, _End()
        source: Any = None
        try:
            while (chunk := await self._next(llm, call, source, ends_at)) is not None:
                source, response = chunk
                if response is None:
                    continue
                end.see(response)
                usage = _usage(response) or usage
                if text := response.delta or "":
                    length += len(text)
                    yield Delta(text)
        finally:
            if source is not None:
                with suppress(Exception):
                    await source.aclose()
        if end.early:
            raise self._failed("it stopped in the middle")
        if not length:
            raise self._failed("its answer is empty")
        yield Delta(usage=usage or _estimated(call, "x" * length))

    async def _next(self, llm: Any, call: ModelCall, source: Any, ends_at: float) -> tuple[Any, Any] | None:
        """Opens the stream, or takes its next chunk; None at the end.

        Each wait has its own timeout, since one around a generator's `yield` would cancel whoever consumes it.
        """
        failure = ""
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                if source is None:
                    return await llm.astream_chat(_messages(call), **_options(call), **_stream_options(llm)), None
                return source, await anext(source)
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a provider's library raises
            failure, extra = _described(error), _status(error)
        # Raised outside the handler: a context would carry the provider's exception, with prompt and key, into logs.
        raise self._failed(failure, **extra)

    def _blocking_llm(self) -> Any:
        arguments = self._arguments()
        if self._blocking is None or self._blocking[0] != arguments:
            self._blocking = (arguments, self._build(arguments))
        return self._blocking[1]

    async def _loop_llm(self) -> Any:
        loop = asyncio.get_running_loop()
        arguments = await asyncio.to_thread(self._arguments)
        held = self._per_loop.get(loop)
        if held is None or held[0] != arguments:
            held = (arguments, await asyncio.to_thread(self._build, arguments))
            self._per_loop[loop] = held
        return held[1]

    def _arguments(self) -> dict[str, Any]:
        failure = ""
        try:
            return {name: _resolved(value, self._secrets) for name, value in self._spec.arguments.items()}
        except AmbitError as error:
            failure = error.detail
        except Exception:  # noqa: BLE001 - a secret store's own error may hold the secret
            failure = "a secret that its arguments name cannot be read"
        raise ModelUnusableError(f"Model '{self._spec.key}' cannot be used: {failure}.")

    def _build(self, arguments: dict[str, Any]) -> Any:
        llm_class = self._class()
        failure = ""
        try:
            return llm_class(**{**_defaults(llm_class, self._timeout_s), **arguments})
        except Exception as error:  # noqa: BLE001 - a constructor's message may quote its arguments
            failure = f"its class refuses the arguments ({_fields(error)})"
        raise ModelUnusableError(f"Model '{self._spec.key}' cannot be used: {failure}.")

    def _class(self) -> Any:
        module, _, name = self._spec.class_path.rpartition(".")
        try:
            base = importlib.import_module("llama_index.core.llms").LLM
            found = getattr(importlib.import_module(module), name, None)
        except Exception:  # noqa: BLE001 - importing another's module runs its code
            raise ModelUnusableError(
                f"Model '{self._spec.key}': class '{self._spec.class_path}' cannot be imported; "
                f"install it (for OpenAI-compatible servers: {INSTALL_HINT})."
            ) from None
        if not (isinstance(found, type) and issubclass(found, base)):
            raise ModelUnusableError(
                f"Model '{self._spec.key}': '{self._spec.class_path}' is not a LlamaIndex LLM class."
            )
        _quiet()
        return found

    def _failed(self, reason: str, **extra: Any) -> ModelError:
        return ModelError(f"Model '{self._spec.key}' did not answer: {reason}.", model=self._spec.key, **extra)


class _End:
    """Whether a stream of the OpenAI protocol was cut: it had choices and none said why it finished."""

    def __init__(self) -> None:
        self.early = False

    def see(self, response: Any) -> None:
        """Takes note of one chunk."""
        for choice in getattr(response.raw, "choices", None) or ():
            self.early = getattr(choice, "finish_reason", None) is None


def _messages(call: ModelCall) -> list[Any]:
    message = importlib.import_module("llama_index.core.llms").ChatMessage
    return [message(role=each.role, content=each.content) for each in call.messages]


def _options(call: ModelCall) -> dict[str, Any]:
    options = {"max_tokens": call.max_tokens, "temperature": call.temperature}
    return {name: value for name, value in options.items() if value is not None}


def _stream_options(llm: Any) -> dict[str, Any]:
    """The OpenAI protocol reports usage of a stream only where it is asked to."""
    family = any(base.__module__.startswith(_OPENAI_FAMILY) for base in type(llm).__mro__)
    return {"stream_options": {"include_usage": True}} if family else {}


def _defaults(llm_class: Any, timeout_s: float) -> dict[str, Any]:
    """Arguments that hold unless the declaration says otherwise.

    The deadline, no retries of the library's own (the route's next model is the retry), and the chat endpoint.
    """
    wanted = {"timeout": timeout_s, "request_timeout": timeout_s, "max_retries": 0, "is_chat_model": True}
    return {name: value for name, value in wanted.items() if name in getattr(llm_class, "model_fields", {})}


def _resolved(value: Any, secrets: Secrets) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return secrets(value["secret"])
        return {name: _resolved(each, secrets) for name, each in value.items()}
    return [_resolved(each, secrets) for each in value] if isinstance(value, list) else value


def _described(error: Exception) -> str:
    """What went wrong without the provider's words, which may quote the prompt or the key."""
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return "it passed its deadline"
    status = _status(error).get("status")
    return f"status {status}" if status else f"the call failed ({type(error).__name__})"


def _status(error: Exception) -> dict[str, int]:
    status = getattr(error, "status_code", None)
    return {"status": status} if isinstance(status, int) else {}


def _fields(error: Exception) -> str:
    """Names of the arguments a pydantic class refused, else the error's class."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return type(error).__name__
    return ", ".join(".".join(map(str, each["loc"])) for each in errors()) or type(error).__name__


def _usage(response: Any) -> Usage | None:
    """Usage as the provider states it, in the names OpenAI, Anthropic and their like use; None: it does not."""
    raw = response.raw
    stated = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
    for source in (stated, response.additional_kwargs):
        tokens_in = _count(source, "prompt_tokens", "input_tokens")
        tokens_out = _count(source, "completion_tokens", "output_tokens")
        if tokens_in is not None and tokens_out is not None:
            return Usage(tokens_in, tokens_out)
    return None


def _count(source: Any, *names: str) -> int | None:
    values = (source.get(name) if isinstance(source, dict) else getattr(source, name, None) for name in names)
    return next((value for value in values if isinstance(value, int)), None)


def _estimated(call: ModelCall, text: str) -> Usage:
    """Four characters a token: a rule of thumb for English, hence flagged."""
    sent = sum(len(message.content) for message in call.messages)
    return Usage(-(-sent // 4), -(-len(text) // 4), estimated=True)


def _quiet() -> None:
    """The OpenAI client logs whole requests at debug level; prompts and keys belong in no log."""
    for name in ("openai", "httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
