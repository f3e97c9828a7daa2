"""A large company in SQL, written in bulk: groups five deep, a tree of places, documents, labels and rules."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert

from core.db import Database
from core.tables import Source
from policies.directory import put_tenant

DEPTH, LABELS, RULES = 5, 300, 8
DEPARTMENTS, FANOUT = 100, 20
"""Departments of the company, and folders directly in each, which hold the rest."""
_FIRST = DEPARTMENTS + 2


@dataclass(frozen=True)
class Size:
    """How much there is of each."""

    groups: int = 10_000
    nodes: int = 60_000
    documents: int = 1_000_000
    users: int = 10_000

    def scaled(self, share: float) -> Size:
        """The same company, smaller."""
        return Size(*(max(1000, int(share * each)) for each in (self.groups, self.nodes, self.documents, self.users)))


@dataclass(frozen=True)
class Company:
    """What is asked about.

    Attributes:
        narrow, wide: users who read about a thirtieth and a third of the places.
        folder: a department, with a hundredth of all documents below it.
        documents: fifty documents that are spread over all places.
    """

    tenant: int
    narrow: str
    wide: str
    folder: int
    documents: tuple[int, ...]


def build(db: Database, size: Size, *, seed: int = 5) -> Company:
    """Writes it to a migrated, empty database."""
    with db.write() as session:
        tenant = put_tenant(session, "bench").id
    chance = random.Random(seed)
    with db.engine.execution_options(ambit_write=True).begin() as connection:
        _directory(connection, tenant, size, chance)
        _places(connection, tenant, size)
        _rules(connection, tenant)
        _documents(connection, tenant, size)
        if not db.is_sqlite:
            _advance(connection)
    if not db.is_sqlite:  # which nobody analyses in life
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    documents = tuple(1 + n * 19_997 % size.documents for n in range(50))
    return Company(tenant, "u1", "u2", 5, documents)


def _directory(connection: Connection, tenant: int, size: Size, chance: random.Random) -> None:
    """Groups are trees five deep; a user is in four of the deepest. Principals: groups first, then users."""
    groups = range(1, size.groups + 1)
    bulk(connection, "group", "id tenant_id key origin epoch_from", ((g, tenant, f"g{g}", "admin", 1) for g in groups))
    first = _first_principal(size)
    names = "id tenant_id kind key subject_id"
    bulk(connection, "principal", names, ((1000 + g, tenant, "group", f"g{g}", g) for g in groups))
    users = range(1, size.users + 1)
    bulk(connection, "principal", names, ((first + u, tenant, "user", f"u{u}", u) for u in users))
    rows = ((u, tenant, f"u{u}", True, True, '{"clearance":"restricted","department":"d3"}', "{}", 1) for u in users)
    bulk(connection, "user", "id tenant_id key email_verified active attributes stated epoch_from", rows)
    members = "tenant_id container_id member_id origin epoch_from"
    nested = ((tenant, 1000 + _above(g, size), 1000 + g, "admin", 1) for g in groups if _above(g, size))
    bulk(connection, "membership", members, nested)
    mine = {(u, g) for u in users for g in _groups_of(u, size, chance)}
    bulk(connection, "membership", members, ((tenant, 1000 + g, first + u, "admin", 1) for u, g in sorted(mine)))


def _first_principal(size: Size) -> int:
    return 2000 + size.groups


def _above(group: int, size: Size) -> int:
    """The group that holds this one; each level has a fifth of all groups."""
    level = size.groups // DEPTH
    return 0 if group <= level else group - level


def _groups_of(user: int, size: Size, chance: random.Random) -> Sequence[int]:
    level = size.groups // DEPTH
    deepest = size.groups - level
    if user in (1, 2):
        return [deepest + one for one in range(1, 5 if user == 1 else 38)]
    return [deepest + chance.randint(DEPARTMENTS + 1, level) for _ in range(4)]


def _places(connection: Connection, tenant: int, size: Size) -> None:
    """Departments below one root, each with folders and folders in those; every twentieth place is a break."""
    wiki = {"id": 1, "tenant_id": tenant, "key": "wiki", "connector": "push", "config": {}, "epoch_from": 1}
    connection.execute(insert(Source).values(wiki))
    columns = "id tenant_id source_id key title parent_id mode closed access_hash epoch_from"
    rows = (
        (
            n,
            tenant,
            1,
            f"n{n}",
            "",
            _parent(n, size),
            "break" if n > _FIRST + 100 and n % 20 == 0 else "inherit",
            False,
            "",
            1,
        )
        for n in range(1, size.nodes + 1)
    )
    bulk(connection, "acl_node", columns, rows)
    bulk(connection, "ace", "tenant_id node_id principal_id effect origin waived epoch_from", _entries(tenant, size))
    bulk(connection, "label", "tenant_id node_id name value origin epoch_from", _labels(tenant, size))


def _department(node: int, size: Size) -> tuple[int, int]:
    """Number of the department, from 0, that a place below it is in, and which of its places it is."""
    per = max(1, (size.nodes - DEPARTMENTS - 1) // DEPARTMENTS)
    return (node - _FIRST) // per % DEPARTMENTS, (node - _FIRST) % per


def _parent(node: int, size: Size) -> int | None:
    """Departments come after the root, then the places of each: its folders, and what is in them."""
    if node == 1:
        return None
    if node < _FIRST:
        return 1
    department, place = _department(node, size)
    return 2 + department if place < FANOUT else node - place + place % FANOUT


def _entries(tenant: int, size: Size) -> Iterable[tuple[Any, ...]]:
    """A department is read by the outermost group of its number; breaks by the same; some places by others too."""
    others = size.groups // DEPTH - DEPARTMENTS - 1
    for number in range(DEPARTMENTS):
        yield tenant, 2 + number, 1001 + number, "allow", "source", False, 1
    for node in range(_FIRST + 100, size.nodes + 1):
        other = 1001 + DEPARTMENTS + node % others
        if node % 20 == 0 and node % 3:
            yield tenant, node, 1001 + _department(node, size)[0], "allow", "source", False, 1
        elif node % 7 == 0:
            yield tenant, node, other, "allow", "source", False, 1
        elif node % 97 == 0:
            yield tenant, node, other, "deny", "source", False, 1


def _labels(tenant: int, size: Size) -> Iterable[tuple[Any, ...]]:
    """Three hundred different sets of labels."""
    for node in range(_FIRST, size.nodes + 1):
        if node % 10 == 0:
            yield tenant, node, "project", f"p{node // 10 % LABELS}", "source", 1


def _rules(connection: Connection, tenant: int) -> None:
    conditions = [
        "rank(document.classification) > rank(principal.clearance)",
        *(
            f"has(document.project) && document.project == 'p{n}' && principal.department != 'd3'"
            for n in range(RULES - 1)
        ),
    ]
    rows = ((tenant, f"r{n}", "forbid", one, True, 1) for n, one in enumerate(conditions))
    bulk(connection, "policy", "tenant_id key effect condition enforced epoch_from", rows)


def _documents(connection: Connection, tenant: int, size: Size) -> None:
    columns = "id public_id tenant_id source_id external_id node_id state created_at epoch_from"
    rows = (
        (d, f"doc_{d:020d}", tenant, 1, f"d{d}", 1 + d % size.nodes, "live", 0, 1) for d in range(1, size.documents + 1)
    )
    bulk(connection, "document", columns, rows)


def bulk(connection: Connection, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows the fastest way the driver has."""
    names = columns.split()
    driver: Any = connection.connection.driver_connection
    listed = ", ".join(names)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        driver.executemany(f'INSERT INTO "{table}" ({listed}) VALUES ({marks})', rows)
        return
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" ({listed}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def _advance(connection: Connection) -> None:
    """Identity columns go on after the ids that were written."""
    for table in ("group", "principal", "user", "acl_node", "document", "source"):
        connection.exec_driver_sql(
            f"""SELECT setval(pg_get_serial_sequence('"{table}"', 'id'), (SELECT max(id) FROM "{table}"))"""
        )
