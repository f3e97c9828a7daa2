"""What a REST source is told: where lists are, how they go on, and how an object becomes a document."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.errors import AmbitError
from core.outbound import checked_url
from ingest.connectors.secret_ref import SecretRef
from ingest.model import ConnectorConfig

_PATH = r"^[\w$@-]+(\.[\w$@-]+)*$"
_BRACES = re.compile(r"\{([^{}]*)\}")
FieldPath = Annotated[str, Field(pattern=_PATH)]


def _base(text: str) -> str:
    try:
        return checked_url(text).rstrip("/")
    except AmbitError as error:
        raise ValueError(error.detail) from None


def _template(text: str) -> str:
    for name in _BRACES.findall(text):
        if not re.fullmatch(_PATH, name):
            raise ValueError(f"{{{name}}} is no field; write {{field}} or {{outer.inner}}")
    if "{" in _BRACES.sub("", text) or "}" in _BRACES.sub("", text):
        raise ValueError("a brace is not closed or not opened; write {field}")
    return text


Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]


def lookup(value: Any, path: str) -> Any:
    """The field at a dotted path; None where it or something on the way is not there."""
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def fill(template: str, value: Any) -> str:
    """A template with an object's fields; what a field holds is never read as a template."""
    return _BRACES.sub(lambda found: as_text(lookup(value, found[1])), template)


def as_text(value: Any) -> str:
    """A field as a person reads it: lists separated by commas, objects left out."""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(text for text in map(as_text, value) if text)
    return str(value)


class Pagination(BaseModel):
    """How a list goes on after its first page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["none", "page", "offset", "cursor", "link"] = Field(
        "none", description="`page` and `offset` count, `cursor` hands a token on, `link` follows an address."
    )
    param: str = Field("page", min_length=1, description="Parameter that says which page.")
    start: int = Field(1, ge=0, description="Number of the first page.")
    size_param: str | None = Field(None, description="Parameter that says how many objects a page holds.")
    size: int = Field(100, ge=2, le=10_000, description="Objects a page holds.")
    next: FieldPath | None = Field(
        None, description="Field of the answer with the next token or address; absent with `link`: the `Link` header."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Pagination:
        if self.kind == "cursor" and self.next is None:
            raise ValueError("pagination of kind cursor needs next")
        if self.kind == "offset" and self.size_param is None:
            raise ValueError("pagination of kind offset needs size_param")
        return self


class Resource(BaseModel):
    """One list of objects."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[^/\x00-\x1f#]+$", description="First part of the documents' ids.")
    list: str = Field(pattern="^/", description="Path of the list, after `url`.")
    params: dict[str, str] = Field({}, description="Parameters of each request for the list; give it a stable order.")
    items: FieldPath | None = Field(None, description="Field that holds the objects; absent: the answer is the list.")
    pagination: Pagination = Field(Pagination(), description="How the list goes on.")
    id: FieldPath = Field(description="Field that identifies an object.")
    detail: Template = Field(description="Path of one object, after `url`: `/articles/{id}`.")
    object: FieldPath | None = Field(None, description="Field of that answer that holds the object; absent: all of it.")
    updated: FieldPath = Field(description="Field that changes whenever the object does, in list and object alike.")
    title: Template = Field(description="Title, with `{field}` for values.")
    text: Template = Field(description="Text, with `{field}` for values.")
    format: Literal["text", "markdown", "html"] = Field("text", description="What the text is.")
    link: Template | None = Field(None, description="Address for people, with `{field}`; absent: that of `detail`.")
    allow: FieldPath | None = Field(None, description="Field with the only principals that may read the object.")
    deny: FieldPath | None = Field(None, description="Field with principals that may not.")
    prefix: Literal["", "user:", "group:"] = Field("", description="Put before principals that are bare ids.")
    classification: FieldPath | None = Field(None, description="Field with the object's classification.")
    since: str | None = Field(
        None, min_length=1, description="Parameter that asks for what changed since a value of `updated`."
    )
    deleted: FieldPath | None = Field(None, description="Field that is true for objects that are deleted.")


class RestConfig(ConnectorConfig):
    """An API that answers in JSON."""

    url: Annotated[str, AfterValidator(_base)] = Field(description="What all paths come after.")
    headers: dict[str, str | SecretRef] = Field({}, description="Sent with each request; values may be secrets.")
    bearer: SecretRef | None = Field(None, description="Token for `Authorization: Bearer …`.")
    resources: list[Resource] = Field(min_length=1, description="What is read.")
    full_every_h: float = Field(24.0, gt=0, le=24 * 90, description="Hours after which all objects are listed again.")
    delay_s: float = Field(0.0, ge=0, le=60, description="Least seconds between two requests.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds that one request may take.")

    @model_validator(mode="after")
    def _distinct(self) -> RestConfig:
        names = [one.name for one in self.resources]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise ValueError(f"resources names {twice[0]!r} twice")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when what is read does; a cursor of another configuration starts over."""
        shape = self.model_dump_json(include={"url", "resources"})
        return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()
