"""What a SQL source is told: where the database is, and how rows become documents."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ingest.model import ConnectorConfig

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


class SecretRef(BaseModel):
    """The name of a secret that holds the value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: str = Field(min_length=1, description="Name of the secret.")


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
    version: Column | None = Field(None, description="Column that changes with the row; absent: a hash of the row.")
    allow: Column | None = Field(None, description="Column with the only principals that may read the row.")
    deny: Column | None = Field(None, description="Column with principals that may not read the row.")
    classification: Column | None = Field(None, description="Column with the row's classification.")
    columns: list[Column] | None = Field(None, min_length=1, description="Columns that are shown; absent: all.")
    exclude: list[Column] = Field([], description="Columns that are never read into text or title.")

    @model_validator(mode="after")
    def _agrees(self) -> TableConfig:
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ValueError("key needs at least one column, each once")
        named = {*template_columns(self.title), *template_columns(self.text or ""), *(self.columns or [])}
        hidden = sorted(named & set(self.exclude))
        if hidden:
            raise ValueError(f"column {hidden[0]!r} is both shown and excluded")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The key's columns."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def rules(self) -> tuple[str, ...]:
        """The columns that state access."""
        return tuple(one for one in (self.allow, self.deny, self.classification) if one)

    @property
    def look(self) -> str:
        """Changes when the configuration makes other text of the same row."""
        shown = self.model_dump_json(include={"query", "title", "text", "columns", "exclude", "version"})
        return hashlib.blake2b(shown.encode(), digest_size=4).hexdigest()


class SqlConfig(ConnectorConfig):
    """A database and the tables that are read from it."""

    url: str | SecretRef = Field(
        repr=False, description="SQLAlchemy URL (SQLite or PostgreSQL), or `{secret: NAME}` of a secret that holds it."
    )
    tables: list[TableConfig] = Field(min_length=1, description="What is read.")
    batch: int = Field(1000, ge=1, le=10_000, description="Rows read at a time.")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="Seconds that one statement may take.")

    @model_validator(mode="after")
    def _distinct(self) -> SqlConfig:
        names = [table.name for table in self.tables]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"tables names {twice[0]!r} twice")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when the tables do; a cursor of another configuration starts over."""
        text = "\n".join(table.model_dump_json() for table in self.tables)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
