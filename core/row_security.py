"""PostgreSQL row-level security: the second wall between tenants, below every statement.

Each transaction says whom it is for, in the setting `ambit.tenant`, which ends with it and so is never carried over by
a pooled connection: a tenant's id, or `*` for work over all tenants. A transaction that says nothing sees nothing. The
policies hold for the tables' owner too; a superuser, or a role with BYPASSRLS, is the only one they do not hold for,
so the server is to run as neither.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, text
from sqlalchemy.exc import OperationalError

SETTING = "ambit.tenant"
_IDLE, _IN_TRANSACTION = 0, 2
"""As libpq numbers a connection's states (PQtransactionStatus); its driver is not there in every installation."""
EVERY_TENANT = "*"
SAYS = f"(SELECT current_setting('{SETTING}', true))"
WHOSE = f"(SELECT nullif(nullif(current_setting('{SETTING}', true), ''), '{EVERY_TENANT}')::bigint)"
PARENTS = {"version_chunk": ("version_id", "document_version"), "chunk_point": ("chunk_id", "chunk")}
"""Tables without a tenant of their own: by which column a row belongs to a row of which table."""


def rules(metadata: MetaData) -> dict[str, str]:
    """For each table behind the wall, when a row is the tenant's, in SQL with `WHOSE` for the tenant's id."""
    found = {table.name: _rule(table) for table in metadata.sorted_tables}
    return {name: rule for name, rule in found.items() if rule is not None}


def statements(table: str, rule: str, *, says: str = SAYS) -> tuple[str, ...]:
    """The DDL that puts a table behind the wall. A migration holds a copy, since it must not change with this."""
    told = rule.replace("WHOSE", WHOSE)
    return (
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
        f"CREATE POLICY tenant ON \"{table}\" USING ({says} = '{EVERY_TENANT}' OR {told})",
    )


def _rule(table: Table) -> str | None:
    """None: the table is nobody's, such as the generations of the index."""
    if table.name == "tenant":
        return "id = WHOSE"
    if "tenant_id" in table.c:
        return "tenant_id = WHOSE"
    if table.name not in PARENTS:
        return None
    column, parent = PARENTS[table.name]
    return f"EXISTS (SELECT FROM {parent} owner WHERE owner.id = {table.name}.{column})"


def begin(connection: Connection, tenant: int | None) -> None:
    """Begins the transaction of a connection that has just been taken, and says whom it is for, in one round trip.

    Raises:
        OperationalError: the server is not there any more, as for any statement; the connection is replaced.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    if driver.pgconn.transaction_status != _IDLE:
        connection.exec_driver_sql(_said(tenant))
        return
    level = driver.isolation_level
    words = [
        "BEGIN",
        f"ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else "",
        "READ ONLY" if driver.read_only else "",
    ]
    try:
        _begun(driver, " ".join(word for word in words if word), tenant)
    except OperationalError:
        connection.invalidate()
        raise


def begin_snapshot(driver: Any, tenant: int | None) -> None:
    """As `begin`, for a read-only snapshot on the driver's own connection.

    Raises:
        OperationalError: the server is not there any more.
    """
    _begun(driver, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", tenant)


def begin_write(driver: Any, tenant: int | None) -> None:
    """As `begin`, for a transaction that writes on the driver's own connection.

    Raises:
        OperationalError: the server is not there any more.
    """
    _begun(driver, "BEGIN ISOLATION LEVEL READ COMMITTED", tenant)


def narrow(driver: Any, tenant: int) -> None:
    """Says in a transaction that has begun that it is for one tenant from here on."""
    driver.execute(_said(tenant))


def _said(tenant: int | None) -> str:
    return f"SET LOCAL {SETTING} = '{EVERY_TENANT if tenant is None else int(tenant)}'"


def _begun(driver: Any, words: str, tenant: int | None) -> None:
    said = _said(tenant)
    result = driver.pgconn.exec_(f"{words}; {said}".encode())
    if driver.pgconn.transaction_status != _IN_TRANSACTION:
        lost = ConnectionError(f"the transaction could not begin: {result.status}")
        raise OperationalError(said, None, lost, connection_invalidated=True)


def holds(engine: Engine) -> bool:
    """Whether the wall holds for the role that this engine connects as; False for a superuser and BYPASSRLS."""
    asked = text("SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user")
    with engine.connect() as connection:
        return bool(connection.scalar(asked))
