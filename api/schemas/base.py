"""What all bodies share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from core.ids import KEY_PATTERN


def _in_utc(value: datetime) -> datetime:
    """The time in UTC; one that UTC's calendar does not have could be stored and never read again."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=1000)]
"""One line of printable text."""
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=320)]
"""One line that is not empty, of the length of a name."""
Plain = str | int | float | bool
Right = Literal["query", "ingest", "admin", "provision"]
Row = TypeVar("Row")


class Body(BaseModel):
    """A request body: an unknown key is an error that names it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class View(BaseModel):
    """A response body."""


class Page(View, Generic[Row]):
    """One page of a list. `next_cursor` None: it was the last."""

    data: list[Row]
    next_cursor: str | None = None


class FieldError(View):
    """One field that does not fit."""

    field: str
    message: str | None = None


class Problem(View):
    """An RFC 9457 problem document; `code` is stable and listed in docs/errors.md."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None
    approval: str | None = Field(None, description="With 202: the id under which the change waits for a second person.")
    error: dict[str, Any] | None = Field(None, description="The same for OpenAI's clients, on their addresses alone.")
