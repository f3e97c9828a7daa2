"""A listed object as an item row keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ingest.model import ItemRef

VERSION = 1


def dump_ref(ref: ItemRef) -> dict[str, Any]:
    """Plain JSON; access is left out, since the document's node holds it."""
    return {
        "v": VERSION,
        "id": ref.id,
        "node": ref.node,
        "title": ref.title,
        "uri": ref.uri,
        "version": ref.version,
        "mime": ref.mime,
        "size": ref.size,
        "modified_at": ref.modified_at.isoformat() if ref.modified_at else None,
        "data": ref.data,
    }


def load_ref(body: dict[str, Any]) -> ItemRef:
    """What `dump_ref` wrote."""
    stamp = body["modified_at"]
    return ItemRef(
        id=body["id"],
        node=body["node"],
        title=body["title"],
        uri=body["uri"],
        version=body["version"],
        mime=body["mime"],
        size=body["size"],
        modified_at=datetime.fromisoformat(stamp) if stamp else None,
        data=body["data"],
    )
