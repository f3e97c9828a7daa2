"""Outlook messages by `unstructured`, kept offline: its spaCy model is replaced by regular expressions.

The library loads `en_core_web_sm` from the network at first use, only to tell titles from sentences. A stand-in for
spaCy's few names keeps the 200 MB import away; the tags it gives decide nothing but an element's category.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ingest.parsing.draft import Draft
from ingest.parsing.source import Source, broken

_TOKENS = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_VERBS_NAMES = """
    am is are was were be been being has have had do does did will would can could may might must shall should get got
    go goes went make made take took see saw say said give gave find found use used need needs know knew
"""
_VERBS = frozenset(_VERBS_NAMES.split())


@dataclass(frozen=True, slots=True)
class Token:
    """A token as `unstructured` reads it: its text and a part of speech."""

    text: str
    tag_: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as `unstructured` reads it."""

    text: str


class Document:
    """What a spaCy pipeline would return: tokens by iteration, sentences by `sents`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Iterator[Token]:
        return (Token(word, _tag(word)) for word in _TOKENS.findall(self.text))

    @property
    def sents(self) -> Iterator[Sentence]:
        """The sentences, in order."""
        return (Sentence(part) for part in _SENTENCES.split(self.text) if part)


class Pipeline:
    """Stands where `unstructured` expects a loaded spaCy language."""

    max_length = 1_000_000

    def __call__(self, text: str) -> Document:
        """The text as tokens and sentences."""
        return Document(text)


def _tag(word: str) -> str:
    lower = word.lower()
    return "VB" if lower in _VERBS or lower.endswith(("ed", "ing", "ize", "ise")) else "NN"


@cache
def prepare() -> None:
    """Makes `unstructured` importable and usable offline in this process; safe to call again."""
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["UNSTRUCTURED_DISABLE_NOTICE"] = "1"
    if "spacy" not in sys.modules:
        _stand_in("spacy", "spacy.language", "spacy.tokens")
    from unstructured.nlp import tokenize

    setattr(tokenize, "_get_nlp", Pipeline)  # noqa: B010  private: the library has no public way to stay offline


def _stand_in(*names: str) -> None:
    """Registers empty modules under `names`; the library's annotations need no more of spaCy."""
    for name in names:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def parse_msg(source: Source, draft: Draft) -> None:
    """Fills `draft` from an Outlook message; attachments are not opened."""
    prepare()
    from unstructured.partition.msg import partition_msg

    elements = partition_msg(file=source.open(), languages=[""], process_attachments=False)
    metadata = elements[0].metadata if elements else None
    if metadata is not None:
        draft.title = metadata.subject or ""
        draft.author = _people(metadata.sent_from) or None
        draft.text(_envelope(metadata))
    _fill(elements, draft)


def _people(addresses: list[str] | None) -> str:
    """Addresses joined by commas; one without a name loses its angle brackets."""
    return ", ".join(a.strip("<>") if a.startswith("<") else a for a in addresses or ())


def _envelope(metadata: Any) -> str:
    fields = {
        "Subject": metadata.subject,
        "From": _people(metadata.sent_from),
        "To": _people(metadata.sent_to),
        "Date": metadata.last_modified,
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)


def parse_xml(source: Source, draft: Draft) -> None:
    """Fills `draft` from an XML file: each run of text between tags is a paragraph. DTDs with entities are refused.

    `unstructured.partition_xml` was the alternative; it writes temporary files, which a parser process may not.
    """
    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(source.read())
    except (DefusedXmlException, SyntaxError, ValueError, LookupError) as error:
        raise broken(source.name, f"its XML is not accepted ({type(error).__name__})") from None
    for text in root.itertext():
        draft.text(text)


def _fill(elements: list[Any], draft: Draft) -> None:
    items: list[str] = []
    for element in elements:
        if element.category == "ListItem":
            items.append(f"- {element.text}")
            continue
        draft.list(items)
        items = []
        draft.text(element.text)
    draft.list(items)
