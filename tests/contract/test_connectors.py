"""Every connector of ours passes the suite that third parties run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import sqlalchemy as sa

from ingest.connectors import folder_walk
from ingest.connectors import git as git_module
from ingest.connectors import mail as mail_module
from ingest.connectors.conformance import ConnectorConformance
from ingest.connectors.folder import FolderConnector
from ingest.connectors.git import GitConnector
from ingest.connectors.mail import MailConnector
from ingest.connectors.push import PushConnector
from ingest.connectors.sql import SqlConnector
from ingest.model import Connector, ConnectorContext, ItemRef
from policies.model import access_spec
from tests.factories.git_repository import Repository
from tests.factories.mails import mail
from tests.integration.services import Service, need

MARIADB = Service(
    "MariaDB",
    "AMBIT_TEST_MARIADB_URL",
    "mysql+pymysql://root@127.0.0.1:3306",
    "apt-get install mariadb-server, then mariadbd-safe --skip-grant-tables=0 &",
)
POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
ROOT_ACCESS = access_spec(["everyone"])


class TestFolder(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = FolderConnector

    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder_walk, "CHECKPOINT_EVERY", 2)
        self.base = tmp_path
        for name in ("top.md", "a/one.md", "a/two.md", "a/deep/three.md", "a-b/four.md", "b/five.md", "b/six.md"):
            path = tmp_path / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text of {name}")
        (tmp_path / "files/a/.access.yaml").write_text("allow: [group:a]\nfiles:\n  two.md: {deny: [user:x]}\n")

    def config(self) -> dict[str, Any]:
        return {"path": "files"}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS)

    def add(self) -> str:
        (self.base / "files/b/added.md").write_text("new")
        return "b/added.md"

    def change(self, item: ItemRef) -> None:
        (self.base / "files" / item.id).write_text("other and longer text than before")

    def delete(self, item: ItemRef) -> None:
        (self.base / "files" / item.id).unlink()

    def revoke(self, item: ItemRef) -> None:
        (self.base / "files" / item.node / ".access.yaml").write_text("inherit: false\n")


class SqlConformance(ConnectorConformance):
    """Two tables, one with access by row and a version column, one with a key of two columns and neither."""

    connector_class = SqlConnector

    def execute(self, statement: str, **values: Any) -> None:
        raise NotImplementedError

    def fill(self) -> None:
        self.execute("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, body TEXT, rev INTEGER, readers TEXT)")
        self.execute("CREATE TABLE price (country VARCHAR(2), code VARCHAR(9), amount NUMERIC(9, 2), hide TEXT)")
        for number in range(1, 6):
            self.execute("INSERT INTO product VALUES (:n, 'p', 'text', 1, 'group:a, user:b')", n=number)
        for code in ("x", "y", "z/1"):
            self.execute("INSERT INTO price VALUES ('de', :c, 1.50, NULL)", c=code)

    def tables(self) -> list[dict[str, Any]]:
        return [
            {"name": "price", "key": ["country", "code"], "title": "{country} {code}", "deny": "hide"},
            {"name": "product", "key": "id", "title": "{name}", "text": "{body}", "version": "rev", "allow": "readers"},
        ]

    def add(self) -> str:
        self.execute("INSERT INTO price VALUES ('fr', 'new', 2, NULL)")
        return "price/fr/new"

    def change(self, item: ItemRef) -> None:
        assert item.id.startswith("product/")
        self.execute("UPDATE product SET body = 'other', rev = rev + 1 WHERE id = :n", n=item.data["key"][0])

    def delete(self, item: ItemRef) -> None:
        self.execute("DELETE FROM product WHERE id = :n", n=item.data["key"][0])

    def revoke(self, item: ItemRef) -> None:
        self.execute("UPDATE product SET readers = 'group:a' WHERE id = :n", n=item.data["key"][0])


class TestSqlite(SqlConformance):
    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path) -> None:
        self.base = tmp_path
        self.fill()

    def execute(self, statement: str, **values: Any) -> None:
        with closing(sqlite3.connect(self.base / "shop.db")) as connection, connection:
            connection.execute(statement, values)

    def config(self) -> dict[str, Any]:
        return {"url": "sqlite:///shop.db", "tables": self.tables(), "batch": 2}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS)


@pytest.mark.integration
class TestPostgresql(SqlConformance):
    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path) -> Iterator[None]:
        self.base = tmp_path
        self.schema = f"connectors_{uuid4().hex[:12]}"
        self.engine = sa.create_engine(POSTGRESQL, connect_args={"options": f"-csearch_path={self.schema}"})
        self.execute(f"CREATE SCHEMA {self.schema}")
        try:
            self.fill()
            yield
        finally:
            self.execute(f"DROP SCHEMA {self.schema} CASCADE")
            self.engine.dispose()

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def config(self) -> dict[str, Any]:
        tables = [{**one, "name": f"{self.schema}.{one['name']}"} for one in self.tables()]
        return {"url": {"secret": "SHOP"}, "tables": tables, "batch": 2}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS, secrets={"SHOP": POSTGRESQL})

    def add(self) -> str:
        return f"{self.schema}.{super().add()}"

    def change(self, item: ItemRef) -> None:
        self.execute("UPDATE product SET body = 'other', rev = rev + 1 WHERE id = :n", n=item.data["key"][0])


@pytest.mark.integration
class TestMariadb(SqlConformance):
    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path) -> Iterator[None]:
        self.base = tmp_path
        server = need(MARIADB)
        self.schema = f"connectors_{uuid4().hex[:12]}"
        self.url = f"{server}/{self.schema}"
        self.server = sa.create_engine(server)
        with self.server.begin() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {self.schema}"))
        self.engine = sa.create_engine(self.url)
        try:
            self.fill()
            yield
        finally:
            self.engine.dispose()
            with self.server.begin() as connection:
                connection.execute(sa.text(f"DROP DATABASE {self.schema}"))
            self.server.dispose()

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def config(self) -> dict[str, Any]:
        return {"url": {"secret": "SHOP"}, "tables": self.tables(), "batch": 2}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS, secrets={"SHOP": self.url})


class TestSqlWithGrants(TestSqlite):
    """A grants table, restricted columns and schema documents."""

    def fill(self) -> None:
        super().fill()
        self.execute("CREATE TABLE grants (product INTEGER, who TEXT)")
        for number in range(1, 6):
            self.execute("INSERT INTO grants VALUES (:n, 'a')", n=number)

    def tables(self) -> list[dict[str, Any]]:
        return [
            {"name": "price", "key": ["country", "code"], "title": "{country} {code}"},
            {
                "name": "product", "key": "id", "title": "{id}", "columns": ["id", "name"],
                "grants": {"name": "grants", "on": {"id": "product"}, "principal": "who", "prefix": "group:"},
                "restricted": [{"name": "text", "columns": ["body"], "allow": ["group:b"]}],
            },
        ]  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {**super().config(), "schema_documents": True}

    def add(self) -> str:
        self.execute("INSERT INTO price VALUES ('fr', 'new', 2, NULL)")
        return "price/fr/new"

    def change(self, item: ItemRef) -> None:
        column = "body" if item.id.endswith("/text") else "name"
        self.execute(f"UPDATE product SET {column} = 'other' WHERE id = :n", n=item.data["key"][0])

    def delete(self, item: ItemRef) -> None:
        pytest.skip("deleting a row deletes two documents here; the plain suite holds it")

    def revoke(self, item: ItemRef) -> None:
        self.execute("DELETE FROM grants WHERE product = :n", n=item.data["key"][0])


class CursorTables(SqlConformance):
    """A table that tells when its rows changed, beside one that tells nothing and is listed whole each time."""

    incremental = True
    reports_deletions = False
    moment: ClassVar[str] = "DATETIME"

    def fill(self) -> None:
        super().fill()
        self.execute(f"ALTER TABLE product ADD changed {self.moment}")
        for number in range(1, 6):
            self.execute("UPDATE product SET changed = :m WHERE id = :n", m=f"2026-01-0{number} 00:00:00", n=number)

    def tables(self) -> list[dict[str, Any]]:
        price, product = super().tables()
        return [price, {**product, "version": None, "cursor": "changed"}]

    def change(self, item: ItemRef) -> None:
        statement = "UPDATE product SET body = 'other', changed = '2026-02-01 00:00:00' WHERE id = :n"
        self.execute(statement, n=item.data["key"][0])


class TestSqliteWithCursor(CursorTables, TestSqlite):
    pass


@pytest.mark.integration
class TestPostgresqlWithCursor(CursorTables, TestPostgresql):
    moment = "TIMESTAMPTZ"

    def change(self, item: ItemRef) -> None:
        CursorTables.change(self, item)


@pytest.mark.integration
class TestMariadbWithCursor(CursorTables, TestMariadb):
    pass


class TestPush(ConnectorConformance):
    connector_class = PushConnector
    lists = False

    def config(self) -> dict[str, Any]:
        return {}

    def context(self) -> ConnectorContext:
        return ConnectorContext(Path("/nowhere"), ROOT_ACCESS)


class TestGit(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = GitConnector
    incremental = True

    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(git_module, "CHECKPOINT_EVERY", 2)
        self.base = tmp_path
        self.repository = Repository(tmp_path / "repo")
        names = ("top.md", "a/one.md", "a/two.md", "a/deep/three.md", "b/five.md", "b/six.md")
        self.repository.commit({name: f"text of {name}" for name in names})
        self.repository.commit({"a/.access.yaml": "allow: [group:a]\n", "CODEOWNERS": "/b/ @b\n"})

    def config(self) -> dict[str, Any]:
        return {"url": "repo", "exclude": ["CODEOWNERS"]}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS)

    def add(self) -> str:
        self.repository.commit({"b/added.md": "new"})
        return "b/added.md"

    def change(self, item: ItemRef) -> None:
        self.repository.commit({item.id: "other text"}, date="2026-03-01T00:00:00+00:00")

    def delete(self, item: ItemRef) -> None:
        self.repository.commit({item.id: None})

    def revoke(self, item: ItemRef) -> None:
        self.repository.commit({f"{item.node}/.access.yaml": "inherit: false\n"})


class TestMailFiles(ConnectorConformance):
    connector_class: ClassVar[type[Connector]] = MailConnector

    @pytest.fixture(autouse=True)
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mail_module, "CHECKPOINT_EVERY", 2)
        self.base = tmp_path
        for name in ("a/one", "a/two", "b/three", "b/four", "five"):
            self.write(f"{name}.eml", mail(name))
        self.write("old.mbox", b"From x\n" + mail("old"))

    def write(self, name: str, body: bytes) -> None:
        path = self.base / "post" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def config(self) -> dict[str, Any]:
        return {"path": "post"}

    def context(self) -> ConnectorContext:
        return ConnectorContext(self.base, ROOT_ACCESS)

    def add(self) -> str:
        self.write("b/new.eml", mail("new"))
        return "b/new.eml"

    def change(self, item: ItemRef) -> None:
        self.write(item.data["file"], b"From x\n" * item.data["file"].endswith(".mbox") + mail("x", text="other"))

    def delete(self, item: ItemRef) -> None:
        (self.base / "post" / item.data["file"]).unlink()

    def revoke(self, item: ItemRef) -> None:
        pytest.skip("who took part in a mail is a part of the mail")
