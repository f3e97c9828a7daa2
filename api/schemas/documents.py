"""Documents and what is pushed."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from api.schemas.base import Body, Key, Line, Plain, Time, View
from core.tables import Document, DocumentVersion

ExternalId = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=500)]
Mime = Annotated[str, StringConstraints(pattern=r"^[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*$", max_length=200)]
_ATTRIBUTES = 50


class PushBody(Body):
    """A document to take in. Its audience comes from `access` or the source alone, never from its content."""

    source: Key
    id: ExternalId = Field(description="Stable id within the source; pushing it again replaces the document.")
    title: Line = Field("", description="Absent: the id.")
    text: str | None = Field(None, description="The content as text; Markdown unless `mime` says otherwise.")
    content_base64: str | None = Field(None, description="The content as bytes of a file.")
    name: ExternalId | None = Field(None, description="File name, whose extension tells the format.")
    mime: Mime | None = None
    uri: Line = ""
    modified_at: Time | None = None
    access: dict[str, Any] | None = Field(
        None, description="`inherit`, `allow`, `deny`, `labels`; absent: the access of the source."
    )
    attributes: dict[Line, Plain] = Field(default_factory=dict, max_length=_ATTRIBUTES)

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.text is None) == (self.content_base64 is None):
            raise ValueError("give either text or content_base64")
        return self

    @field_validator("content_base64")
    @classmethod
    def _is_base64(cls, value: str | None) -> str | None:
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("not base64") from None
        return value

    def content(self) -> bytes:
        """The bytes that were sent."""
        if self.text is not None:
            return self.text.encode()
        return base64.b64decode(self.content_base64 or "")


class JobView(View):
    """What was accepted: the job to ask for, and the document's id from now on."""

    job_id: str
    document_id: str
    source: str
    id: str


class DocumentView(View):
    """A document without its text. `modified_at` and the like are what the source says of it."""

    id: str
    source: str
    external_id: str
    title: str
    uri: str
    mime: str
    language: str | None
    author: str | None
    modified_at: datetime | None
    size: int
    attributes: dict[str, Any]

    @classmethod
    def of(cls, document: Document, version: DocumentVersion, source: str) -> DocumentView:
        """The current version."""
        return cls(**_told(document, version, source))


class DocumentAdminView(DocumentView):
    """A document as an admin sees it: where it stands, still without its text."""

    state: str
    created_at: datetime
    deleted_at: datetime | None

    @classmethod
    def of(cls, document: Document, version: DocumentVersion | None, source: str) -> DocumentAdminView:
        """The document as it stands, with or without a version."""
        return cls(
            **_told(document, version, source),
            state=document.state,
            created_at=document.created_at,
            deleted_at=document.deleted_at,
        )


def _told(document: Document, version: DocumentVersion | None, source: str) -> dict[str, Any]:
    return {
        "id": document.public_id,
        "source": source,
        "external_id": document.external_id,
        "title": version.title if version else "",
        "uri": version.uri if version else "",
        "mime": version.mime if version else "",
        "language": version.language if version else None,
        "author": version.author if version else None,
        "modified_at": version.modified_at if version else None,
        "size": version.size if version else 0,
        "attributes": version.attributes if version else {},
    }


class PassageView(View):
    """A piece of a document, in reading order."""

    position: int
    text: str
    heading: str
    page: int | None
    kind: str
