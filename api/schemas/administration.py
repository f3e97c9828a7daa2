"""Rules, the order of classifications, grants, and an admin's entries and labels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.declare.shapes import GrantBody
from api.schemas.base import Body, Key, Line, Text, View


class PolicyBody(Body):
    """A rule, whole."""

    effect: Literal["permit", "forbid"]
    when: Annotated[str, Field(max_length=4000, description="A condition in CEL.")]
    enforced: bool = Field(True, description="False: it decides nothing, and what it would do is counted.")


class CountsView(View):
    """What a rule that only reports would have done, since it last changed."""

    queries: int
    documents: int
    places: int
    last_at: datetime | None


class PolicyView(PolicyBody):
    """A rule. Its ETag leaves the counts out."""

    id: str


class PolicyCountedView(PolicyView):
    """A rule with its counts, where it only reports."""

    reported: CountsView | None = None


class ClassificationsBody(Body):
    """All classifications, lowest first."""

    order: list[Text] = Field(min_length=1, max_length=100)


class GrantView(GrantBody):
    """A grant."""

    id: str


class RightBody(Body):
    """Whose right over what: a person, through an app where one is named, or an app for itself."""

    user: Text | None = None
    app: Key | None = None
    right: Line
    object: Line = Field(description="`kind:id`, `kind:*` or `*`.")


class BreakGlassBody(Body):
    """Emergency access to open."""

    user: Text = Field(description="Id or verified e-mail.")
    places: list[Line] = Field(min_length=1, max_length=100, description="`source:key`; `source:` is all of it.")
    reason: Line = Field(min_length=10)
    for_s: int = Field(3600, ge=1, description="For how many seconds; `AMBIT_BREAK_GLASS_MAX_S` at most.")


class DecisionBody(Body):
    """A word on a decision."""

    note: Line = ""


class StatedView(View):
    """What admins have stated: entries by place, and labels."""

    entries: list[dict[str, Any]]
    labels: list[dict[str, str]]
