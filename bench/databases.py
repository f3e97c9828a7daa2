"""The databases a benchmark runs on: a SQLite file, and a database of its own on the PostgreSQL that the tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
NAMES = ("sqlite", "postgresql")


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """URL of an empty database, gone at the end; a server that does not answer is an error."""
    if name == "sqlite":
        yield f"sqlite:///{folder / 'ambit.db'}"
        return
    server = make_url(os.environ.get("AMBIT_TEST_POSTGRES_URL", SERVER))
    own = f"ambit_bench_{uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{own}" TEMPLATE template0'))
    try:
        yield server.set(database=own).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)'))
        engine.dispose()
