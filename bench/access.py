"""Decisions of a large company, on SQLite and PostgreSQL, each beside the same statements sent through the driver."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from bench import databases
from bench.access_world import Company, Size, build
from core.audit import Audit
from core.db import Database
from core.secrets import Keyring
from core.tables import AclNode
from migrations.runner import upgrade
from policies import nodes
from policies.decide import decide
from policies.entries import place_node
from policies.epoch import current
from policies.model import access_spec
from policies.principals import of_user
from policies.scope import ScopeCache, readable
from policies.subject import Caller, Subject, resolve_subject

ROUNDS = 40
Statement = tuple[str, Any]


def run(share: float = 1.0, rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds at the median, by database; `share` of the whole company is written."""
    size = Size() if share == 1 else Size().scaled(share)
    found: dict[str, Any] = {"groups": size.groups, "nodes": size.nodes, "documents": size.documents}
    for name in databases.NAMES:
        with tempfile.TemporaryDirectory(prefix="ambit-bench-") as path:
            folder = Path(path)
            with databases.database(name, folder) as url:
                found[name] = _measure(url, folder, size, rounds)
        print(f"{name}: {found[name]}", flush=True)
    found["worst_ratio_to_raw"] = max(found[name]["worst_ratio_to_raw"] for name in databases.NAMES)
    return found


def _measure(url: str, folder: Path, size: Size, rounds: int) -> dict[str, Any]:
    upgrade(url)
    db = Database(url)
    began = time.perf_counter()
    company = build(db, size)
    found: dict[str, Any] = {"build_s": round(time.perf_counter() - began, 1)}
    found |= _reads(db, company, rounds)
    found |= _revoke(db, company, Audit(Keyring(folder / "keys")), rounds)
    ratios = [found[name] / found[f"{name}_raw"] for name in list(found) if f"{name}_raw" in found]
    found["worst_ratio_to_raw"] = round(max(ratios), 2)
    db.close()
    return found


def _reads(db: Database, company: Company, rounds: int) -> dict[str, Any]:
    """Each question. `others` holds what a process knows of the tenant from other people's queries in the same epoch,
    and nothing of the person; the `first` query after a change of access finds not even that.
    """
    with db.read() as session:
        narrow, wide = (resolve_subject(session, Caller(company.tenant, key)) for key in (company.narrow, company.wide))
        counts = {f"readable_{name}_nodes": _visible(session, one) for name, one in (("2k", narrow), ("20k", wide))}
    cache, others = ScopeCache(), ScopeCache(size=0)
    caller = Caller(company.tenant, company.wide)
    questions: dict[str, Callable[[Session], object]] = {
        "principals_ms": lambda s: of_user(s, company.tenant, 3),
        "readable_2k_ms": lambda s: readable(s, narrow, others),
        "readable_20k_ms": lambda s: readable(s, wide, others),
        "readable_2k_first_ms": lambda s: readable(s, narrow),
        "readable_20k_first_ms": lambda s: readable(s, wide),
        "readable_cached_ms": lambda s: readable(s, wide, cache),
        "recheck_50_ms": lambda s: decide(s, resolve_subject(s, caller), company.documents),
    }
    found: dict[str, Any] = dict(counts)
    for name, ask in questions.items():
        found |= _beside(db, name, ask, rounds)
    return found


def _visible(session: Session, subject: Subject) -> int:
    scope = readable(session, subject)
    every = session.query(AclNode).filter(AclNode.tenant_id == subject.tenant).count()
    return every - len(scope.nodes) if scope.complement else len(scope.nodes)


def _beside(db: Database, name: str, ask: Callable[[Session], object], rounds: int) -> dict[str, Any]:
    """Our time and that of the statements alone, taken in turns so that the machine's moods fall on both."""
    statements = _recorded(db, ask)
    ours, raw = [], []
    for _ in range(rounds):
        ours.append(_timed(lambda: _asked(db, ask)))
        raw.append(_timed(lambda: _replayed(db, statements)))
    return {
        name: round(statistics.median(ours), 3),
        f"{name}_raw": round(statistics.median(raw), 3),
        name.replace("_ms", "_statements"): len(statements),
    }


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _asked(db: Database, ask: Callable[[Session], object]) -> None:
    with db.read() as session:
        ask(session)


def _recorded(db: Database, ask: Callable[[Session], object]) -> list[Statement]:
    """What a question sends, the second time it is asked."""
    _asked(db, ask)
    return _noted(db, partial(_asked, db, ask))


def _noted(db: Database, work: Callable[[], object]) -> list[Statement]:
    """What some work sends."""
    sent: list[Statement] = []

    def note(*told: Any) -> None:
        sent.append((told[2], told[3]))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return [one for one in sent if not one[0].startswith(("BEGIN", "ROLLBACK"))]


def _replayed(db: Database, statements: list[Statement], *, write: bool = False) -> None:
    """The statements in one transaction of a pooled connection, every row fetched; committed if they `write`, and on a
    server if they do not, as `core.snapshot` ends a snapshot.
    """
    pooled = db.engine.raw_connection()
    try:
        driver: Any = pooled.driver_connection
        cursor = driver.cursor()
        if db.is_sqlite:
            cursor.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        for text, parameters in statements:
            cursor.execute(text, parameters)
            if cursor.description is not None:
                cursor.fetchall()
        driver.rollback() if db.is_sqlite and not write else driver.commit()
    finally:
        pooled.close()


def _revoke(db: Database, company: Company, audit: Audit, rounds: int) -> dict[str, Any]:
    """A deny for a whole department, with its audit entry, until it is durable; then undone, untimed."""
    before = _written(db, company)
    denied = partial(_denied, db, company, audit)
    statements = _noted(db, denied)
    ours, raw = [], []
    for _ in range(rounds):
        _undo(db, company, before)
        ours.append(_timed(denied))
        _undo(db, company, before)
        raw.append(_timed(partial(_replayed, db, statements, write=True)))
    with db.read() as session:
        below = session.connection().exec_driver_sql(_BELOW.format(folder=company.folder)).scalar_one()
    return {
        "revoke_10k_ms": round(statistics.median(ours), 3),
        "revoke_10k_ms_raw": round(statistics.median(raw), 3),
        "revoke_10k_statements": len(statements),
        "revoke_documents": below,
    }


_BELOW = (
    "WITH RECURSIVE below(id) AS (SELECT id FROM acl_node WHERE id = {folder} "
    "UNION SELECT n.id FROM acl_node n JOIN below b ON n.parent_id = b.id) "
    "SELECT count(*) FROM document d JOIN below b ON d.node_id = b.id"
)


def _denied(db: Database, company: Company, audit: Audit) -> None:
    with db.write() as session:
        node = place_node(session, company.tenant, f"wiki:n{company.folder}")
        nodes.state_admin(session, company.tenant, node, access_spec(deny=["group:g50"]))
        body = {"node": node, "deny": ["group:g50"]}
        audit.change(session, company.tenant, "access.change", "local", body, before=None, after="deny")


def _written(db: Database, company: Company) -> tuple[int, int]:
    """The epoch, and the last entry of the audit."""
    with db.read() as session:
        last = session.connection().exec_driver_sql("SELECT coalesce(max(id), 0) FROM audit_entry").scalar_one()
        return current(session, company.tenant), last


def _undo(db: Database, company: Company, before: tuple[int, int]) -> None:
    """Takes back what was written since, so that the very same statements can be sent again."""
    epoch, last = before
    with db.write() as session:
        for statement in (
            f"DELETE FROM ace WHERE tenant_id = {company.tenant} AND epoch_from > {epoch}",
            f"DELETE FROM epoch_time WHERE tenant_id = {company.tenant} AND epoch > {epoch}",
            f"UPDATE policy_epoch SET epoch = {epoch} WHERE tenant_id = {company.tenant}",
            f"DELETE FROM audit_entry WHERE id > {last}",
        ):
            session.connection().exec_driver_sql(statement)
