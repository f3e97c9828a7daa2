"""A data set as a source: it goes through listing, splitting, encoding and commit like any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from core.tables import Source
from evaluation.datasets import Dataset
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorConfig,
    Content,
    Element,
    ItemRef,
    JsonObject,
    NodeChange,
    Upsert,
    VanishedError,
)
from policies.model import access_spec

READERS = "everyone"


class DatasetConnector:
    """Lists a data set's documents, readable by everyone; their ids are the data set's."""

    name: ClassVar[str] = "dataset"
    title: ClassVar[str] = "Evaluation data set"
    summary: ClassVar[str] = "The corpus of a labelled data set, for evaluation alone."
    Config: ClassVar[type[ConnectorConfig]] = ConnectorConfig

    def __init__(self, dataset: Dataset) -> None:
        self._corpus = dataset.corpus

    def check(self) -> None:
        """It is in memory."""

    def changes(self, cursor: JsonObject | None) -> Iterator[Change]:
        """Every document, below one root."""
        yield NodeChange("", None, "Corpus", access_spec([READERS], mode="break"))
        for key, one in self._corpus.items():
            yield Upsert(ItemRef(id=key, node="", title=one.title or key, uri=f"dataset:{key}"))
        yield Checkpoint({"done": True}, complete=True)

    def fetch(self, item: ItemRef) -> Content:
        """The text under its title.

        Raises:
            VanishedError: the data set has no such document.
        """
        one = self._corpus.get(item.id)
        if one is None:
            raise VanishedError(f"{item.id} is not in the data set")
        elements = tuple(Element("text", part) for part in one.text.split("\n\n") if part.strip())
        return Content(name=item.id, elements=elements, mime="text/plain", title=one.title or None)

    def close(self) -> None:
        """Holds nothing."""


class OneConnector:
    """Gives the same connector for every registration."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def open(self, source: Source) -> Connector:
        """The connector, whatever the registration says."""
        return self._connector

    def close(self) -> None:
        """Closes it."""
        self._connector.close()
