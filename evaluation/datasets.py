"""Labelled data sets in the BEIR layout: `corpus.jsonl`, `queries.jsonl`, and judgements in `qrels.tsv`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import InvalidError

_QRELS = ("qrels.tsv", "qrels/test.tsv")
_HEADER = ["query-id", "corpus-id", "score"]


class DatasetError(InvalidError):
    """A data set for evaluation does not have the BEIR layout; the message names the file and line."""

    code = "dataset_invalid"
    title = "Evaluation data set cannot be read"


@dataclass(frozen=True, slots=True)
class Text:
    """One document of the corpus; `title` may be empty."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents, queries and judgements by their ids.

    Attributes:
        qrels: for each judged query the grade of each judged document; above 0 is relevant. Every query here has
            text and at least one relevant document.
    """

    name: str
    corpus: Mapping[str, Text]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def has_corpus(path: Path) -> bool:
    """Whether a data set brings its documents; one that brings none is about those of the installation."""
    return (path / "corpus.jsonl").is_file()


def load(path: Path) -> Dataset:
    """The data set in a folder. Judgements of queries or documents that are not there are an error.

    Raises:
        DatasetError: a file is missing, a line is not of the layout, or nothing is judged relevant.
    """
    corpus = {key: Text(str(row.get("title") or ""), str(row["text"])) for key, row in _rows(path / "corpus.jsonl")}
    dataset = load_questions(path)
    strange = next((one for grades in dataset.qrels.values() for one in grades if one not in corpus), None)
    if strange is not None:
        raise DatasetError(f"{path}: document {strange!r} is judged and not in corpus.jsonl")
    return replace(dataset, corpus=corpus)


def load_questions(path: Path) -> Dataset:
    """Queries and judgements alone; the ids of their documents are `SOURCE/ID`, the id being the source's own.

    Raises:
        DatasetError: as `load`.
    """
    asked = {key: str(row["text"]) for key, row in _rows(path / "queries.jsonl")}
    judged = _judged(_found(path))
    strange = next((one for one in judged if one not in asked), None)
    if strange is not None:
        raise DatasetError(f"{path}: query {strange!r} is judged and not in queries.jsonl")
    kept = {query: grades for query, grades in judged.items() if any(grade > 0 for grade in grades.values())}
    if not kept:
        raise DatasetError(f"{path}: no document is judged relevant to any query")
    return Dataset(path.resolve().name, {}, {query: asked[query] for query in kept}, kept)


def _found(path: Path) -> Path:
    for name in _QRELS:
        if (path / name).is_file():
            return path / name
    raise DatasetError(f"{path} has no judgements; looked for {' and '.join(_QRELS)}")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and object of each line."""
    seen: set[str] = set()
    for number, line in _lines(path):
        try:
            row = json.loads(line)
            key = str(row["_id"])
        except (ValueError, TypeError, KeyError):
            raise DatasetError(f"{path}:{number} is no JSON object with `_id`") from None
        if not isinstance(row.get("text"), str) or key in seen:
            raise DatasetError(f"{path}:{number} has {'an id twice' if key in seen else 'no `text`'}")
        seen.add(key)
        yield key, row


def _judged(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        parts = line.split("\t")
        if number == 1 and parts == _HEADER:
            continue
        try:
            query, document, grade = parts
            found.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise DatasetError(f"{path}:{number} is not `query-id<TAB>corpus-id<TAB>whole number`") from None
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that hold something, numbered from 1."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from ((number, line.strip("\r\n")) for number, line in enumerate(file, 1) if line.strip())
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {type(error).__name__}") from None
