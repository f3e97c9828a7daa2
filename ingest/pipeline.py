"""What every stage needs, in one place."""

from __future__ import annotations

from collections.abc import Callable

from core.db import Database
from core.secrets import Keyring
from core.settings import Settings
from embed.stack import VectorStack
from ingest.directories.sync import Parts
from ingest.heart import Heart
from ingest.meter import Meter
from ingest.parsing.limits import MIB, Limits
from ingest.parsing.ocr import program
from ingest.parsing.sandbox import ParserPool, PoolSettings
from ingest.sources import OpenConnectors

STRUCTURE_VERSION = 4
"""Raised when parsing or splitting changes what it makes of the same bytes, so that a sync splits anew."""


class Pipeline:
    """The parts a worker holds: SQL, vectors, parsers, connectors. Constructing it opens nothing.

    `wake` tells whoever does the work of a stage that there is some; losing a wake-up loses no work.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        stack: VectorStack,
        keyring: Keyring,
        wake: Callable[[str], None] = lambda stage: None,
    ) -> None:
        self.settings, self.db, self.stack, self.wake = settings, db, stack, wake
        self.keyring = keyring
        self.directories = Parts(settings, db, keyring)
        self.parsers = _parsers(settings)
        self.connectors = OpenConnectors(db, settings, keyring)
        self.heart = Heart(db, settings.lease_s)
        self.meter = Meter(db)

    @property
    def structure(self) -> str:
        """Names all but the content that decides how a document is split."""
        return f"{STRUCTURE_VERSION}.{self.stack.chunk_tokens}"

    def close(self) -> None:
        """Stops parsers and closes connectors; SQL and vectors belong to the caller."""
        self.heart.stop()
        self.meter.flush()
        self.parsers.close()
        self.connectors.close()


def _parsers(settings: Settings) -> ParserPool:
    limits = Limits(
        max_pages=settings.max_pages,
        max_expansion=settings.max_expansion,
        max_bytes=settings.max_file_mb * MIB,
        ocr_languages=settings.ocr_languages,
    )
    tesseract = program() if settings.ocr_languages else None
    pool = PoolSettings(
        processes=settings.worker_threads,
        memory=settings.parse_memory_mb * MIB,
        programs=(tesseract,) if tesseract else (),
    )
    return ParserPool(limits, pool, timeout_s=settings.parse_timeout_s)
