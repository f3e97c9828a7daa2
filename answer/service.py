"""Answering: retrieve, choose a model that may have the passages, ask it, keep only what it may say."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from answer.citations import CitationStream, clean
from answer.links import LinkStream, strip_links
from answer.model import NOTHING_READABLE, Answer, AnswerEvent, AnswerRequest, Citation
from answer.models import Similarity, make_gateway
from answer.prompt import build_messages
from core.audit import Audit
from core.db import Database
from core.errors import AccessUndecidedError
from core.secrets import Keyring
from core.settings import Settings
from core.tables import App, Tenant
from gateway.model import Evidence, ModelCall, ModelSpec, Usage
from gateway.service import Gateway
from policies.subject import Caller
from retrieve.model import Retrieved
from retrieve.service import Retriever


class _Plan:
    """What one request may send to whom: models in order, each with the passages it may be sent."""

    def __init__(
        self, request: AnswerRequest, found: Retrieved, gateway: Gateway, specs: Sequence[ModelSpec],
        labels: Sequence[str],
    ) -> None:  # fmt: skip
        self.request, self.passages, self.notes = request, found.passages, found.notes
        self._may = {
            spec.key: [
                n for n, p in enumerate(found.passages, 1) if gateway.may_receive(spec, p.classification, labels)
            ]
            for spec in specs
        }
        self.specs = [spec for spec in specs if self._may[spec.key]]

    def numbers(self, spec: ModelSpec) -> list[int]:
        """Numbers of the passages that this model may be sent."""
        return self._may[spec.key]

    def withheld(self, spec: ModelSpec | None) -> tuple[int, ...]:
        """Numbers of the passages kept from a model; None: from all."""
        sent = set(self._may[spec.key]) if spec else set()
        return tuple(n for n in range(1, len(self.passages) + 1) if n not in sent)

    def call(self, spec: ModelSpec) -> ModelCall:
        """The call to one model, with no passage that it may not have."""
        evidence = [
            Evidence(number=n, title=self.passages[n - 1].title, text=self.passages[n - 1].text)
            for n in self.numbers(spec)
        ]
        question = self.request.question.text
        return ModelCall(
            question=question,
            evidence=evidence,
            messages=build_messages(question, evidence, self.request.history),
            max_tokens=self.request.max_tokens,
            temperature=self.request.temperature,
        )


class AnswerService:
    """The one path from a question to an answer. One serves a process; thread-safe."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        retriever: Retriever,
        keyring: Keyring,
        similarity: Similarity | None = None,
    ) -> None:
        self._settings, self._db, self._retriever = settings, db, retriever
        self._keyring, self._audit, self._similarity = keyring, Audit(keyring), similarity
        self._gateways: dict[int, Gateway] = {}
        self._lock = threading.Lock()

    def answer(self, caller: Caller, request: AnswerRequest) -> Answer:
        """A whole answer.

        Raises:
            NotFoundError: no such model or route, or the app may not use it.
            ModelError: none of the route's models answered.
            AmbitError: as `Retriever.retrieve`.
        """
        began = time.perf_counter()
        gateway = self.gateway(caller.tenant)
        plan = self._plan(caller, request, gateway)
        if not plan.specs:
            return self._record(caller, _nothing(plan, began))
        spec, completion = gateway.answer_with_fallback(plan.specs, plan.call)
        text, cited = clean(strip_links(completion.text), plan.numbers(spec))
        answer = _answer(plan, spec, text=text, cited=cited, usage=completion.usage, began=began)
        return self._record(caller, answer)

    async def stream(self, caller: Caller, request: AnswerRequest) -> AsyncIterator[AnswerEvent]:
        """An answer in steps; errors are raised as by `answer`, also in the middle."""
        began = time.perf_counter()
        gateway = self.gateway(caller.tenant)
        plan = await asyncio.to_thread(self._plan, caller, request, gateway)
        yield AnswerEvent("retrieval", passages=plan.passages)
        if not plan.specs:
            answer = await asyncio.to_thread(self._record, caller, _nothing(plan, began))
            yield AnswerEvent("delta", text=answer.text)
            yield AnswerEvent("usage", answer=answer)
            return
        async for event in self._deltas(caller, plan, gateway, began):
            yield event

    async def _deltas(self, caller: Caller, plan: _Plan, gateway: Gateway, began: float) -> AsyncIterator[AnswerEvent]:
        links, citations, used = LinkStream(), None, None
        parts: list[str] = []
        told = 0
        usage = Usage()
        async for spec, delta in gateway.stream_with_fallback(plan.specs, plan.call):
            if citations is None or used is None:
                used, citations = spec, CitationStream(plan.numbers(spec))
            usage = delta.usage or usage
            text = citations.feed(links.feed(delta.text))
            parts.append(text)
            if text:
                yield AnswerEvent("delta", text=text)
            while told < len(citations.cited):
                yield AnswerEvent("citation", citation=_citation(plan, citations.cited[told]))
                told += 1
        if citations is None or used is None:
            used, citations = plan.specs[0], CitationStream(())
        rest = citations.feed(links.finish()) + citations.finish()
        if rest:
            parts.append(rest)
            yield AnswerEvent("delta", text=rest)
        for number in citations.cited[told:]:
            yield AnswerEvent("citation", citation=_citation(plan, number))
        answer = _answer(plan, used, text="".join(parts), cited=citations.cited, usage=usage, began=began)
        yield AnswerEvent("usage", answer=await asyncio.to_thread(self._record, caller, answer))

    def models(self, caller_app: str | None, tenant: int) -> list[str]:
        """Keys of the models and routes that may be named in a request through this app."""
        with self._db.read(tenant) as session:
            allowed = _allowed(
                session.scalars(select(App).where(App.tenant_id == tenant, App.key == caller_app)).first()
            )
        return self.gateway(tenant).names(allowed=allowed)

    def gateway(self, tenant: int) -> Gateway:
        """The tenant's gateway, made at its first request."""
        with self._lock:
            if tenant not in self._gateways:
                self._gateways[tenant] = make_gateway(self._settings, self._db, self._keyring, tenant, self._similarity)
            return self._gateways[tenant]

    def _plan(self, caller: Caller, request: AnswerRequest, gateway: Gateway) -> _Plan:
        with self._db.read(caller.tenant) as session:
            tenant = session.get_one(Tenant, caller.tenant)
            app = session.scalars(select(App).where(App.tenant_id == tenant.id, App.key == caller.app)).first()
            labels, allowed = list(tenant.classifications), _allowed(app)
        specs = gateway.candidates(None, request.model, allowed=allowed)
        found = self._retriever.retrieve(caller, request.question)
        return _Plan(request, found, gateway, specs, labels)

    def _record(self, caller: Caller, answer: Answer) -> Answer:
        body = {
            "app": caller.app,
            "model": answer.model,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cited": sorted({one.passage.document for one in answer.citations}),
            "withheld": len(answer.withheld),
        }
        try:
            with self._db.write(caller.tenant) as session:
                self._audit.append(session, caller.tenant, "answer", f"user:{caller.user}", body)
        except SQLAlchemyError as error:
            raise AccessUndecidedError("the answer could not be recorded; try again later") from error
        return answer


def _allowed(app: App | None) -> frozenset[str] | None:
    return None if app is None or app.models is None else frozenset(app.models)


def _citation(plan: _Plan, number: int) -> Citation:
    return Citation(number=number, passage=plan.passages[number - 1])


def _answer(plan: _Plan, spec: ModelSpec, *, text: str, cited: Sequence[int], usage: Usage, began: float) -> Answer:
    return Answer(
        text=text.strip(),
        citations=tuple(_citation(plan, number) for number in cited),
        passages=plan.passages,
        model=spec.key,
        usage=usage,
        withheld=plan.withheld(spec),
        took_ms=(time.perf_counter() - began) * 1000,
        notes=plan.notes,
    )


def _nothing(plan: _Plan, began: float) -> Answer:
    return Answer(
        text=NOTHING_READABLE if not plan.passages else _WITHHELD,
        citations=(),
        passages=plan.passages,
        model=None,
        usage=Usage(),
        withheld=plan.withheld(None),
        took_ms=(time.perf_counter() - began) * 1000,
        notes=plan.notes,
    )


_WITHHELD = "I found passages that you may read, but no model of this route may be sent them."
