"""Questions about access: who can read, what a change would do, what was."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Body, Key, Line, Text, Time, View


class ReadersBody(Body):
    """A document, and the app through which it would be read."""

    document: Line = Field(description="Public id of the document.")
    app: Key | None = Field(None, description="The app through which they would ask; null: none.")


class HistoryBody(ReadersBody):
    """A document and a time, or a policy epoch as the audit names it; neither: now."""

    at: Time | None = None
    epoch: int | None = Field(None, ge=1, le=2**62)
    user: Text | None = Field(None, description="Only this person, explained.")


class ProposedEntryBody(Body):
    """An admin's entry that would be added."""

    place: Line = Field(description="`source:key of the place`; `source:` is its root.")
    principal: Text
    effect: Literal["allow", "deny"] = "allow"
    app: Key | None = None


class MemberBody(Body):
    """A principal in a group."""

    group: Key
    member: Text


class SimulateBody(Body):
    """A change to try: documents as `ambit plan` takes them, and rows."""

    documents: list[dict[str, Any]] = Field(
        default_factory=list, max_length=10_000, description="Each with `kind` and `id`, as in YAML."
    )
    prune: bool = Field(False, description="As if what is not declared were deleted.")
    entries: list[ProposedEntryBody] = Field(default_factory=list, max_length=10_000)
    without: list[int] = Field(default_factory=list, max_length=10_000, description="Ids of entries that would end.")
    join: list[MemberBody] = Field(default_factory=list, max_length=10_000)
    leave: list[MemberBody] = Field(default_factory=list, max_length=10_000)
    app: Key | None = None


class AdminEntry(Body):
    """An entry that admins state."""

    principal: Text
    effect: Literal["allow", "deny"] = "allow"
    not_before: Time | None = Field(None, description="It holds from then on.")
    expires_at: Time | None = Field(None, description="It holds until just before then.")
    app: Key | None = Field(None, description="It holds only through this app.")


class AdminAccessView(View):
    """All that admins state at a place or for a document. A sync leaves it as it is."""

    document: Line | None = Field(None, description="Public id of the document it holds for alone.")
    place: Line | None = Field(None, description="`source:key of the place`; `source:` is its root.")
    entries: list[AdminEntry] = Field(default_factory=list, max_length=20_000)
    labels: dict[Text, Text] = Field(default_factory=dict, max_length=100)


class AdminAccessBody(AdminAccessView):
    """The same, whole: what is absent is taken away."""

    model_config = Body.model_config
