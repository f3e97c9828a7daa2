"""The catalogue of data assets."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas.base import View


class PersonalView(View):
    """Personal data of one kind: documents that hold some, and different values summed over them."""

    documents: int
    values: int


class AssetView(View):
    """One source, counted over the documents that the caller may know of."""

    source: str
    connector: str
    state: str
    documents: int
    bytes: int
    chunks: int
    tokens: int
    looked_at: int = Field(description="Documents that copies and personal data were looked for in.")
    copies: int = Field(description="Documents whose words another one has too.")
    near_copies: int = Field(description="Documents nearly alike to one with other words.")
    stale: int
    undated: int
    oldest: datetime | None
    newest: datetime | None
    content_synced_at: datetime | None
    access_synced_at: datetime | None
    languages: dict[str, int]
    types: dict[str, int]
    classifications: dict[str, int]
    owners: dict[str, int]
    personal: dict[str, PersonalView]


class CatalogueView(View):
    """Every source in which the caller may know of a document."""

    data: list[AssetView]


class CatalogueDocumentView(View):
    """One document, without text. `alike` names others that the caller may know of, at most ten."""

    id: str
    source: str
    external_id: str
    title: str
    uri: str
    mime: str
    language: str | None
    bytes: int
    chunks: int | None
    tokens: int | None
    modified_at: datetime | None
    classification: str
    owners: list[str]
    personal: dict[str, int]
    copies: list[str] = Field(description="Documents of the same words.")
    near_copies: list[str] = Field(description="Documents nearly alike.")
