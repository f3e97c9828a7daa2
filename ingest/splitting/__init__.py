"""From a document's structure to chunks."""

from ingest.splitting.split import split

__all__ = ["split"]
