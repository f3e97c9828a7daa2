"""How found passages are chosen and shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.base import Body, View
from retrieve.model import Place, Shape


class Options(Body):
    """What a caller may ask of the choice; without it the defaults hold. No option shows what may not be read."""

    per_document: int | None = Field(
        None, ge=1, description="Most passages of one document; absent: three quarters, more where others do not fill."
    )
    per_source: int | None = Field(None, ge=1, description="Most passages of one source.")
    collapse: Literal["off", "copies", "text", "near"] = Field(
        "copies",
        description="`copies`: alike in title, headings and text; `text`: in text alone; `near`: nearly alike in text; "
        "`off`: all stay.",
    )
    neighbour_tokens: int = Field(
        0, ge=0, le=8000, description="Tokens to which a passage grows by the text around it; 0: not."
    )
    recency_days: float | None = Field(
        None, gt=0, le=36_500, description="Days after which age has cost a quarter of the score, of half at most."
    )

    def shape(self) -> Shape:
        """The same for retrieval."""
        return Shape(**self.model_dump())


class PlaceView(View):
    """Where a text stands too."""

    chunk_id: str
    document_id: str
    title: str
    uri: str
    source: str
    page: int | None

    @classmethod
    def of(cls, place: Place) -> PlaceView:
        """The place, as it is shown."""
        return cls(
            chunk_id=place.chunk,
            document_id=place.document,
            title=place.title,
            uri=place.uri,
            source=place.source,
            page=place.page,
        )
