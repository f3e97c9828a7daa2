"""The gateway: which models may serve a request, the call itself, fallback, and what each may be sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial

from core.errors import InvalidError, NotFoundError
from gateway.breaker import Breaker
from gateway.config import DEFAULT_ROUTE, EXTRACTIVE, GatewayConfig
from gateway.extractive import Extractive, Similarity
from gateway.llama import LlamaModel, Secrets
from gateway.model import ChatModel, Completion, Delta, ModelCall, ModelError, ModelSpec

# Statuses by which a provider says that this one request is wrong; they say nothing of its health.
_CALLER_FAULTS = frozenset({400, 413, 422})


class Gateway:
    """Calls models by configuration. Thread-safe; construction does no I/O.

    Args:
        load: the tenant's models and routes as of now; asked at each request, so that a change holds at once.
        secrets: value of a named secret, for arguments written `{secret: NAME}`.
        similarity: what the extractive model compares sentences with; absent: words alone.
        timeout_s: deadline of one model call in seconds.
        breaker_failures: failures in a row after which a model is left alone.
        breaker_s: for how many seconds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        load: Callable[[], GatewayConfig],
        *,
        secrets: Secrets,
        similarity: Similarity | None = None,
        timeout_s: float = 60.0,
        breaker_failures: int = 3,
        breaker_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._secrets = secrets
        self._similarity = similarity
        self._timeout_s = timeout_s
        self._new_breaker = partial(Breaker, breaker_failures, breaker_s, clock)
        self._held: dict[str, tuple[str, ChatModel, Breaker]] = {}
        self._lock = threading.Lock()

    def candidates(self, route: str | None, model: str | None, *, allowed: Collection[str] | None) -> list[ModelSpec]:
        """Models that may serve a request, in the order to try them.

        Args:
            route: key of a route; absent, with `model` absent too: `default`.
            model: key of a model, else of a route: the one field OpenAI's clients have for both.
            allowed: keys of the models the calling app may use; None: the app states no limit.

        Raises:
            InvalidError: both are named.
            NotFoundError: nothing of that name, or nothing of it that the app may use: the same message.
        """
        if route is not None and model is not None:
            raise InvalidError("Name a route or a model, not both.")
        config = self._load()
        keys = _keys(config, route, model)
        found = [spec for key in keys if (spec := config.model(key)) and (allowed is None or key in allowed)]
        if not found:
            raise NotFoundError(f"No model or route '{model or route or DEFAULT_ROUTE}'.")
        return found

    def names(self, *, allowed: Collection[str] | None) -> list[str]:
        """What a request may name: routes of which at least one model may be used, and the models themselves."""
        config = self._load()
        models = {EXTRACTIVE.key, *config.models}
        usable = {key for key in models if allowed is None or key in allowed}
        routes = {DEFAULT_ROUTE, *config.routes}
        return sorted(usable | {key for key in routes if usable & set(_keys(config, key, None))})

    def complete(self, spec: ModelSpec, call: ModelCall) -> Completion:
        """The whole answer of one model.

        Raises:
            ModelError: it failed, or failed so often that it rests now.
        """
        model, breaker = self._admitted(spec)
        try:
            completion = model.complete(call)
        except ModelError as error:
            _count(breaker, error)
            raise
        breaker.succeeded()
        return completion

    async def stream(self, spec: ModelSpec, call: ModelCall) -> AsyncIterator[Delta]:
        """The answer of one model in pieces.

        Raises:
            ModelError: as `complete`; also in the middle.
        """
        model, breaker = self._admitted(spec)
        try:
            async for delta in model.stream(call):
                yield delta
        except ModelError as error:
            _count(breaker, error)
            raise
        breaker.succeeded()

    def answer_with_fallback(
        self, specs: Sequence[ModelSpec], build_call: Callable[[ModelSpec], ModelCall]
    ) -> tuple[ModelSpec, Completion]:
        """The first answer, and who gave it. `build_call` is asked anew for each, since each may be sent other text.

        Raises:
            ModelError: none answered; `extra['models']` lists them.
        """
        failures: list[ModelError] = []
        for spec in specs:
            try:
                return spec, self.complete(spec, build_call(spec))
            except ModelError as error:
                failures.append(error)
        raise _none_answered(specs, failures)

    async def stream_with_fallback(
        self, specs: Sequence[ModelSpec], build_call: Callable[[ModelSpec], ModelCall]
    ) -> AsyncIterator[tuple[ModelSpec, Delta]]:
        """Pieces with the model they come from. The next model is tried only before the first piece: what a caller
        has seen cannot be taken back.

        Raises:
            ModelError: none began to answer, or the one that did stopped in the middle.
        """
        failures: list[ModelError] = []
        for spec in specs:
            began = False
            try:
                async for delta in self.stream(spec, build_call(spec)):
                    began = True
                    yield spec, delta
            except ModelError as error:
                if began:
                    raise
                failures.append(error)
            else:
                return
        raise _none_answered(specs, failures)

    def may_receive(self, spec: ModelSpec, classification: str, ordered: Sequence[str]) -> bool:
        """Whether a passage of that label may be sent to the model.

        The extractive model has no limit unless one is declared, since text never leaves the process. Any other
        without a declared `max_classification` gets the lowest class alone, wherever it is hosted. A label or limit
        that is not in the tenant's list is refused.

        Args:
            classification: label of the passage, defaults filled in.
            ordered: the tenant's labels, lowest first.
        """
        if spec.max_classification is None and spec.class_path == EXTRACTIVE.class_path:
            return True
        if classification not in ordered:
            return False
        limit = ordered[0] if spec.max_classification is None else spec.max_classification
        return limit in ordered and ordered.index(classification) <= ordered.index(limit)

    def _admitted(self, spec: ModelSpec) -> tuple[ChatModel, Breaker]:
        model, breaker = self._model(spec)
        if not breaker.admits():
            raise ModelError(f"Model '{spec.key}' failed repeatedly and rests now; try again soon.", model=spec.key)
        return model, breaker

    def _model(self, spec: ModelSpec) -> tuple[ChatModel, Breaker]:
        """The instance for this declaration; a changed one gets a fresh instance with a fresh breaker."""
        body = json.dumps([spec.class_path, spec.arguments], sort_keys=True, default=str)
        with self._lock:
            held = self._held.get(spec.key)
            if held is None or held[0] != body:
                held = self._held[spec.key] = (body, self._build(spec), self._new_breaker())
        return held[1], held[2]

    def _build(self, spec: ModelSpec) -> ChatModel:
        if spec.class_path == EXTRACTIVE.class_path:
            return Extractive(self._similarity)
        return LlamaModel(spec, secrets=self._secrets, timeout_s=self._timeout_s)


def _keys(config: GatewayConfig, route: str | None, model: str | None) -> tuple[str, ...]:
    if model is not None and config.model(model) is not None:
        return (model,)
    found = config.route(model or route or DEFAULT_ROUTE)
    return found.models if found else ()


def _count(breaker: Breaker, error: ModelError) -> None:
    if error.extra.get("status") not in _CALLER_FAULTS:
        breaker.failed()


def _none_answered(specs: Sequence[ModelSpec], failures: list[ModelError]) -> ModelError:
    if len(failures) == 1:
        return failures[0]
    details = " ".join(error.detail for error in failures)
    return ModelError(f"No model answered. {details}".strip(), models=[spec.key for spec in specs])
