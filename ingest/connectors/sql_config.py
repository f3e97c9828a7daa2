"""What a SQL source is told: where the database is, and how rows become documents."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ingest.connectors.rules import Principal
from ingest.connectors.secret_ref import SecretRef
from ingest.model import ConnectorConfig

SCHEMA = "#schema"
"""First part of the ids of schema documents."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_COLUMN = re.compile(r"^\w+$")


def _template(text: str) -> str:
    """A template holds plain column names in braces and no other braces."""
    for name in _BRACES.findall(text):
        if not _COLUMN.match(name):
            raise ValueError(f"{{{name}}} is no column name; write {{column}}")
    if "{" in _BRACES.sub("", text) or "}" in _BRACES.sub("", text):
        raise ValueError("a brace is not closed or not opened; write {column}")
    return text


Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]
Column = Annotated[str, Field(min_length=1)]


def template_columns(template: str) -> list[str]:
    """The columns a template names, in order."""
    return _BRACES.findall(template)


def fill(template: str, values: dict[str, str]) -> str:
    """A template with its columns' values; what a value holds is never read as a template."""
    return _BRACES.sub(lambda found: values[found[1]], template)


class GrantsConfig(BaseModel):
    """A table that says who may read a row: a row of it for each principal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, min_length=1, description="Table or view of the grants; this or `query`.")
    query: str | None = Field(None, min_length=1, description="One SELECT that gives the grants.")
    on: dict[Column, Column] = Field(min_length=1, description="Column of the row: column of the grant that equals it.")
    principal: Column = Field(description="Column with one principal.")
    prefix: Literal["", "user:", "group:"] = Field(
        "", description="Put before the principal where the column holds bare ids."
    )
    effect: Column | None = Field(None, description="Column that says `allow` or `deny`; absent: all allow.")

    @model_validator(mode="after")
    def _one_place(self) -> GrantsConfig:
        if (self.name is None) == (self.query is None):
            raise ValueError("grants need either name or query")
        return self


class RestrictedColumns(BaseModel):
    """Columns that fewer people may read than their row: a document of their own beside the row's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9._-]+$", description="Last part of the documents' ids.")
    columns: list[Column] = Field(min_length=1, description="The columns.")
    allow: list[Principal] = Field(
        [], description="Who may read them, if they may read the row too; absent: whoever reads the row."
    )
    classification: str | None = Field(None, min_length=1, description="Their classification, if above the row's.")

    @model_validator(mode="after")
    def _restricts(self) -> RestrictedColumns:
        if not self.allow and not self.classification:
            raise ValueError(f"restricted {self.name!r} states neither allow nor classification")
        return self


class TableConfig(BaseModel):
    """One table, view or query whose rows are documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[^/\x00-\x1f]+$", description="Table or view (`table`, `schema.table`); a free name with `query`."
    )
    query: str | None = Field(None, min_length=1, description="One SELECT to read instead of the table.")
    key: Column | list[Column] = Field(description="The column or columns that identify a row; unique, never NULL.")
    title: Template = Field(description="Title of a row, with `{column}` for values.")
    text: Template | None = Field(None, description="Text of a row; absent: one `column: value` line a column.")
    version: Column | None = Field(
        None, description="Column that changes with the row; absent: `cursor`, else a hash of the row."
    )
    cursor: Column | None = Field(
        None,
        description="Column that grows with each change of a row (a time, a number): a later sync asks only for rows "
        "at or above its highest value.",
    )
    allow: Column | None = Field(None, description="Column with the only principals that may read the row.")
    deny: Column | None = Field(None, description="Column with principals that may not read the row.")
    classification: Column | None = Field(None, description="Column with the row's classification.")
    columns: list[Column] | None = Field(None, min_length=1, description="Columns that are shown; absent: all.")
    exclude: list[Column] = Field([], description="Columns that are never read into text or title.")
    grants: GrantsConfig | None = Field(None, description="Table that says who may read a row.")
    restricted: list[RestrictedColumns] = Field([], description="Columns that fewer people may read than their row.")
    description: str | None = Field(None, min_length=1, description="What a row is, for the schema document.")

    @model_validator(mode="after")
    def _agrees(self) -> TableConfig:
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ValueError("key needs at least one column, each once")
        named = {*template_columns(self.title), *template_columns(self.text or ""), *(self.columns or [])}
        hidden = sorted(named & set(self.exclude))
        if hidden:
            raise ValueError(f"column {hidden[0]!r} is both shown and excluded")
        self._check_restricted(named)
        return self

    def _check_restricted(self, named: set[str]) -> None:
        names = [one.name for one in self.restricted]
        columns = [column for one in self.restricted for column in one.columns]
        if len(set(names)) != len(names) or len(set(columns)) != len(columns):
            raise ValueError("restricted gives a name or a column twice")
        shown = sorted((named | set(self.keys) | set(self.exclude)) & set(columns))
        if shown:
            raise ValueError(f"column {shown[0]!r} is restricted; it can be no key, excluded, or shown with the row")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key's columns."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def changed(self) -> str | None:
        """The column that tells that a row changed; None: only its content does."""
        return self.version or self.cursor

    @property
    def states_access(self) -> bool:
        """Whether rows have access of their own."""
        return bool(self.rules or self.grants)

    @property
    def rules(self) -> tuple[str, ...]:
        """The columns that state access."""
        return tuple(one for one in (self.allow, self.deny, self.classification) if one)

    @property
    def joined(self) -> tuple[str, ...]:
        """The columns that grants are found by."""
        return tuple(self.grants.on) if self.grants else ()

    @property
    def apart(self) -> frozenset[str]:
        """The columns that are not shown with the row."""
        return frozenset(column for one in self.restricted for column in one.columns)

    def restriction(self, name: str) -> RestrictedColumns | None:
        """The restricted columns of that name."""
        return next((one for one in self.restricted if one.name == name), None)

    @property
    def look(self) -> str:
        """Changes when the configuration makes other text of the same row."""
        shown = self.model_dump_json(include={"query", "title", "text", "columns", "exclude", "version"})
        shown += json.dumps([[one.name, one.columns] for one in self.restricted]) if self.restricted else ""
        shown += self.cursor if self.cursor and not self.version else ""
        return hashlib.blake2b(shown.encode(), digest_size=4).hexdigest()


class SqlConfig(ConnectorConfig):
    """A database and the tables that are read from it."""

    url: str | SecretRef = Field(
        repr=False,
        description="SQLAlchemy URL (SQLite, PostgreSQL, MariaDB, MySQL; others with `only_reads`), or "
        "`{secret: NAME}` of one.",
    )
    only_reads: bool = Field(
        default=False,
        description="The account may only read: needed for any other database, which is not made read-only from here.",
    )
    tables: list[TableConfig] = Field(min_length=1, description="What is read.")
    batch: int = Field(1000, ge=1, le=10_000, description="Rows read at a time.")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="Seconds that one statement may take.")
    schema_documents: bool = Field(default=False, description="Also one document a table that describes its columns.")
    full_every_h: float = Field(
        24.0, gt=0, le=2160, description="Hours after which tables with a `cursor` are listed whole again."
    )
    overlap_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Seconds below the highest time of a `cursor` that are asked for again: for late commits.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> SqlConfig:
        names = [table.name for table in self.tables]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"tables names {twice[0]!r} twice")
        if any(name == SCHEMA for name in names):
            raise ValueError(f"no table can be named {SCHEMA!r}")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when the tables do; a cursor of another configuration starts over."""
        text = "\n".join([*(table.model_dump_json() for table in self.tables), str(self.schema_documents)])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
