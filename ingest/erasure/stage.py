"""Going on with an erasure: rows, then names, then the files themselves, then the scan; each step may be done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from core.audit import Audit
from core.clock import db_in, db_now
from core.errors import AmbitError, LeaseLostError, UnavailableError
from core.jobs import Claim, backoff_s, settle
from core.names import Names, load_names
from core.tables import Approval, Document, Erasure, Item, Source
from core.telemetry import logger
from core.traces import strike, struck_tables
from ingest.dispatch import claim_erasure, erasure_waits
from ingest.erasure import proof, rows
from ingest.pipeline import Pipeline

AGAIN_S = 0.5
"""Seconds until it is looked whether workers and the index are done with what was erased."""


def erase(pipeline: Pipeline) -> bool:
    """Goes on with one erasure, if one is due."""
    with pipeline.db.read() as session:
        if not erasure_waits(session):
            return False
    with pipeline.db.write() as session:
        held = claim_erasure(session, lease_s=pipeline.settings.lease_s)
    if held is None:
        return False
    with pipeline.heart.keeping(Erasure, [held]):
        try:
            _Erasing(pipeline, held).go_on()
        except LeaseLostError:
            logger().info("erasure.lost")
        except (AmbitError, SQLAlchemyError, OSError) as error:
            _later(pipeline, held, error)
    return True


def _later(pipeline: Pipeline, held: Claim, error: Exception) -> None:
    """What cannot be done now (a full disk, an index that is away) is tried again, and says why it waits."""
    reason = error.code if isinstance(error, AmbitError) else UnavailableError.code
    with pipeline.db.write() as session:
        row = session.get_one(Erasure, held.id)
        wait_s = backoff_s(row.attempts + 1, pipeline.settings.retry_base_s)
        told = {"attempts": row.attempts + 1, "proof": {**row.proof, "waits": reason}}
        settle(session, Erasure, held, lease_until=None, not_before=db_in(wait_s), **told)


class _Erasing:
    """One erasure under a claim."""

    def __init__(self, pipeline: Pipeline, held: Claim) -> None:
        self._pipeline, self._held = pipeline, held
        self._keyring = pipeline.keyring
        self._audit = Audit(self._keyring)
        with pipeline.db.read() as session:
            self._row = session.get_one(Erasure, held.id)
            session.expunge(self._row)
        told = json.loads(self._keyring.open(self._row.names))
        self._names: Names = load_names(json.loads(told["names"]))
        self._texts: list[str] = told["texts"]
        self._tenant = self._row.tenant_id

    def go_on(self) -> None:
        """Does what can be done; what somebody else has to do first is waited for outside."""
        if self._removed() and self._struck() and self._pipeline.db.compact():
            self._prove()
        else:
            with self._pipeline.db.write() as session:
                settle(session, Erasure, self._held, lease_until=None, not_before=db_in(AGAIN_S))

    def _removed(self) -> bool:
        """Whether the rows and points of a document or source are gone."""
        return self._row.kind == "person" or (self._emptied() and self._unpointed())

    def _emptied(self) -> bool:
        """Removes the documents, a few a transaction; False: a worker holds an item of one."""
        mine = Document.id if self._row.kind == "document" else Document.source_id
        while True:
            with self._pipeline.db.write(self._tenant) as session:
                found = (Document.tenant_id == self._tenant, mine == self._row.subject_id)
                ids = session.scalars(select(Document.id).where(*found).limit(rows.DOCUMENTS_AT_ONCE)).all()
                if not ids:
                    return True
                if rows.being_worked_on(session, Item.document_id.in_(ids)):
                    return False
                self._add(session, rows.remove_documents(session, self._tenant, ids))

    def _unpointed(self) -> bool:
        """Removes, once, what hung on the documents; then whether the index has removed the points noted by then."""
        until = self._row.garbage_until
        if until is None:
            with self._pipeline.db.write(self._tenant) as session:
                source = session.get(Source, self._row.subject_id) if self._row.kind == "source" else None
                if source is not None:
                    self._add(session, rows.remove_source(session, self._tenant, source))
                self._add(session, rows.remove_facets(session, self._tenant))
                until = rows.last_garbage(session)
                settle(session, Erasure, self._held, garbage_until=until)
        with self._pipeline.db.read() as session:
            return not rows.garbage_waits(session, until)

    def _struck(self) -> bool:
        """Puts the token in the stead of the names, a few rows at a time."""
        with self._pipeline.db.write(self._tenant) as session:
            self._end_approvals(session)
        for table in struck_tables():
            after: int | None = 0
            while after is not None:
                with self._pipeline.db.write(self._tenant) as session:
                    done, after = strike(session, self._tenant, self._audit, self._names, table=table, after=after)
                    self._add(session, done)
        return True

    def _end_approvals(self, session: Any) -> None:
        """What waits for a second person and names it would bring it back."""
        waiting = (Approval.tenant_id == self._tenant, Approval.request != "")
        for row in session.scalars(select(Approval).where(*waiting)).all():
            if self._asks(*json.loads(self._keyring.open(row.request))):
                row.request, row.state = "", "stale" if row.state == "pending" else row.state
        session.flush()

    def _asks(self, operation: str, args: dict[str, Any]) -> bool:
        """Whether a change names it; what a group or an app is called names nobody."""
        key, rest = args.get("key"), {name: one for name, one in args.items() if name != "key"}
        names = self._names if operation.startswith("user.") else self._names.said
        return bool(names.strike(key) != key or self._names.strike(rest) != rest)

    def _add(self, session: Any, done: Counter[str]) -> None:
        """Counts what was done, in the transaction that did it."""
        if not done:
            return
        counts: Mapping[str, Any] = self._row.done
        self._row.done = {**counts, **{name: counts.get(name, 0) + number for name, number in done.items()}}
        settle(session, Erasure, self._held, done=self._row.done)

    def _prove(self) -> None:
        found = proof.look(self._pipeline, self._row, self._names, self._texts)
        state = "proven" if proof.clean(found) else "left"
        done = self._row.done
        with self._pipeline.db.write(self._tenant) as session:
            ended = {"state": state, "proof": found, "done": done, "ended_at": db_now(), "lease_until": None}
            settle(session, Erasure, self._held, **ended)
            if state == "proven":
                session.execute(update(Erasure).where(Erasure.id == self._held.id).values(names=""))
            body = {"erasure": self._row.public_id, "kind": self._row.kind, "target": self._row.target}
            told = {"done": done, "left": found["left"] | found["written"], "scanned": found["scanned"]}
            kind = f"erasure.{state}"
            self._audit.change(session, self._tenant, kind, "local", body | told, before="erasing", after=state)
