"""Access by path, as the registration states it: for sources that know places but no permissions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.errors import InvalidError
from ingest.connectors.globs import check_glob, matches
from policies.model import AccessSpec, access_spec, check_principal, mode_of


def _principal(text: str) -> str:
    try:
        return check_principal(text)
    except InvalidError as error:
        raise ValueError(error.detail) from None


Principal = Annotated[str, AfterValidator(_principal)]
Glob = Annotated[str, AfterValidator(check_glob)]


class AccessRule(BaseModel):
    """The access of the objects whose path matches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: list[Glob] = Field(
        min_length=1, description="Patterns of paths: `*` within one folder, `**` across folders."
    )
    inherit: bool | Literal["narrow"] = Field(
        default=True, description="`true`: the root's entries hold too; `false`: only these; `narrow`: both must allow."
    )
    allow: list[Principal] = Field([], description="Who may read.")
    deny: list[Principal] = Field([], description="Who may not.")
    labels: dict[str, str] = Field({}, description="`classification` and labels of your own.")

    @property
    def spec(self) -> AccessSpec:
        """What it states."""
        return access_spec(self.allow, self.deny, mode=mode_of(self.inherit), labels=self.labels)


def access_of(path: str, rules: Sequence[AccessRule]) -> AccessSpec | None:
    """What the last rule that matches `path` states; None where none does: the root's access holds."""
    for rule in reversed(rules):
        if matches(path, rule.paths):
            return rule.spec
    return None
