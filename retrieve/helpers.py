"""Models that help a search: which may, within what time, and what is told where they did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from sqlalchemy import select

from core.db import Database
from core.errors import AmbitError, NotFoundError
from core.tables import App, Tenant
from core.telemetry import logger
from gateway.breaker import Breaker
from gateway.deadline import call_within
from gateway.model import Message, ModelCall, ModelSpec, Usage
from gateway.service import Gateway
from policies.subject import Caller

Purpose = Literal["rerank", "rewrite"]
Gateways: TypeAlias = Callable[[int], Gateway]
"""A tenant's gateway."""

_FAILURES = 3
_REST_S = 30.0
Given = TypeVar("Given")


class HelperError(AmbitError):
    """A model that was to help a search did not; the search goes on without it."""

    code = "helper_failed"
    status = 502
    title = "Reranking or rewriting did not work"


@dataclass(slots=True)
class Help:
    """What models did for one search.

    Attributes:
        notes: what was not done as configured, as in `rerank_late`.
        used: for the audit, each model that was called with its purpose and tokens.
    """

    notes: list[str] = field(default_factory=list)
    used: list[dict[str, str | int]] = field(default_factory=list)

    def note(self, told: str) -> None:
        """Notes it once."""
        if told not in self.notes:
            self.notes.append(told)

    def count(self, purpose: Purpose, model: str, usage: Usage) -> None:
        """Counts a call."""
        self.used.append({
            "for": purpose,
            "model": model,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        })  # fmt: skip


class Attempt:
    """Runs work for one purpose within a deadline; after three failures in a row it is left alone for half a minute.

    Args:
        timeout_s: seconds that are waited for.
    """

    def __init__(self, purpose: Purpose, timeout_s: float) -> None:
        self._purpose = purpose
        self._timeout_s = timeout_s
        self._breaker = Breaker(_FAILURES, _REST_S)

    def __call__(self, help_: Help, work: Callable[[], Given]) -> Given | None:
        """What `work` returns; None where it failed, was late or rests, which is noted."""
        if not self._breaker.admits():
            help_.note(f"{self._purpose}_rests")
            return None
        try:
            found = call_within(self._timeout_s, work)
        except TimeoutError:
            self._failed(help_, "late", "it passed its deadline")
        except AmbitError as error:
            self._failed(help_, "failed", error.detail)
        except Exception as error:  # noqa: BLE001 - a library may raise anything, and the search goes on without it
            self._failed(help_, "failed", type(error).__name__)
        else:
            self._breaker.succeeded()
            return found
        return None

    def _failed(self, help_: Help, how: str, reason: str) -> None:
        self._breaker.failed()
        help_.note(f"{self._purpose}_{how}")
        logger().warning(f"{self._purpose}.failed", reason=reason)


@dataclass(frozen=True, slots=True)
class Usable:
    """Models that a person's app may use, in the order to try them, and the tenant's labels, lowest first."""

    gateway: Gateway
    specs: list[ModelSpec]
    labels: list[str]

    def may_receive(self, spec: ModelSpec, classification: str) -> bool:
        """Whether a passage of that label may be sent to the model."""
        return self.gateway.may_receive(spec, classification, self.labels)

    def ask(self, help_: Help, purpose: Purpose, spec: ModelSpec, messages: list[Message]) -> str:
        """What one model answers."""
        question = messages[-1].content
        completion = self.gateway.complete(spec, ModelCall(question, (), messages, max_tokens=300, temperature=0.0))
        help_.count(purpose, spec.key, completion.usage)
        return completion.text


def usable(db: Database, gateways: Gateways, caller: Caller, key: str) -> Usable:
    """The language models of a Model or Route that the caller's app may use.

    Raises:
        NotFoundError: nothing of that name, or the app may not use it, or it has no language model.
    """
    with db.read(caller.tenant) as session:
        tenant = session.get_one(Tenant, caller.tenant)
        app = session.scalars(select(App).where(App.tenant_id == tenant.id, App.key == caller.app)).first()
        labels = list(tenant.classifications)
        allowed = None if app is None or app.models is None else frozenset(app.models)
    gateway = gateways(caller.tenant)
    found = [one for one in gateway.candidates(None, key, allowed=allowed) if one.class_path != "extractive"]
    if not found:
        raise NotFoundError(f"{key!r} has no language model; it cannot rerank or rewrite")
    return Usable(gateway, found, labels)
