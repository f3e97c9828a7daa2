"""Reads `.access.yaml`: the access a folder and its files state. Whatever is not understood closes the folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from core.errors import InvalidError
from ingest.connectors.files import LINK, NotAFileError, OversizeError, read_small
from ingest.model import Problem
from policies.model import CLOSED, AccessSpec, parse_access

FILE_NAME = ".access.yaml"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 8
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class FolderAccess:
    """What a folder's access file says.

    Attributes:
        spec: the folder's own access; None: there is no file.
        files: access of single files, by name in Unicode's composed form.
        problem: why the folder is closed, if it is.
        complete: whether what it says is known; False after an I/O failure, though closed is safe then too.
        exact: access of single files by their very names, where another source than the access file states it.
        otherwise: the access of a file that nothing names; None: the folder's.
    """

    spec: AccessSpec | None = None
    files: Mapping[str, AccessSpec] = field(default_factory=dict)
    problem: Problem | None = None
    complete: bool = True
    exact: Mapping[str, AccessSpec] = field(default_factory=dict)
    otherwise: AccessSpec | None = None

    def of_file(self, name: str) -> AccessSpec | None:
        """The access a file has of its own."""
        return self.exact.get(name) or self.files.get(composed(name)) or self.otherwise


class AccessFileError(Exception):
    """An access file cannot be understood; `line` counts from 1, None where no line is to blame."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def composed(name: str) -> str:
    """A name in the form that names are compared in: `é` is one character, however it was typed."""
    return unicodedata.normalize("NFC", name)


def read_access(folder: int, path: str, *, listed: bool) -> FolderAccess:
    """The access that the folder with descriptor `folder` states; never raises.

    Args:
        folder: descriptor of the folder.
        path: the folder's key, for messages.
        listed: whether a listing of the folder showed an access file.
    """
    try:
        return parse_file(read_small(folder, FILE_NAME, MAX_BYTES))
    except AccessFileError as error:
        where = f"line {error.line}: " if error.line else ""
        return _closed(path, where + error.reason)
    except FileNotFoundError:
        return _closed(path, "vanished while it was read", complete=False) if listed else FolderAccess()
    except OSError as error:
        return _unread(path, error)


def _unread(path: str, error: OSError) -> FolderAccess:
    if isinstance(error, OversizeError):
        return _closed(path, f"larger than {MAX_BYTES} bytes")
    if isinstance(error, NotAFileError):
        return _closed(path, "not a file")
    if error.errno == LINK:
        return _closed(path, "a symbolic link; write the file itself")
    return _closed(path, error.strerror or str(error), complete=False)


def _closed(path: str, reason: str, *, complete: bool = True) -> FolderAccess:
    name = f"{path}/{FILE_NAME}" if path else FILE_NAME
    return FolderAccess(CLOSED, {}, Problem(name, "access_unreadable", f"{name}: {reason}"), complete)


def parse_file(data: bytes) -> FolderAccess:
    """What the bytes of an access file say.

    Raises:
        AccessFileError: they are not exactly one YAML mapping of the known keys, each given once.
    """
    root = _compose(data)
    pairs = dict(_pairs(root, "the file"))
    body = {key: node for key, node in pairs.items() if key != "files"}
    spec = _spec(body, root)
    files = dict(_files(pairs["files"])) if "files" in pairs else {}
    return FolderAccess(spec, files)


def _files(node: yaml.Node) -> Iterator[tuple[str, AccessSpec]]:
    if _value(node) is None:
        return
    seen: set[str] = set()
    for name, below in _pairs(node, "files"):
        if composed(name) in seen:
            raise AccessFileError(f"files names {name!r} twice", _line(below))
        seen.add(composed(name))
        yield composed(name), _spec(dict(_pairs(below, f"the entry of {name!r}")), below)


def _spec(pairs: Mapping[str, yaml.Node], whole: yaml.Node) -> AccessSpec:
    """Each key is checked alone first, so that an error knows its line."""
    values = {key: _value(node) for key, node in pairs.items()}
    for key, node in pairs.items():
        _checked({key: values[key]}, node)
    return _checked(values, whole)


def _checked(body: Mapping[str, Any], node: yaml.Node) -> AccessSpec:
    try:
        return parse_access(body)
    except InvalidError as error:
        raise AccessFileError(error.detail, _line(node)) from None


def _pairs(node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise AccessFileError(f"{what} is not a mapping", _line(node))
    for key, value in node.value:
        name = _value(key)
        if not isinstance(name, str):
            raise AccessFileError(f"the key {key.value!r} is not text; put it in quotes", _line(key))
        yield name, value


def _line(node: yaml.Node) -> int | None:
    return node.start_mark.line + 1 if node.start_mark else None


class _Loader(yaml.SafeLoader):
    """YAML without aliases, merges, repeated keys, or deep nesting."""

    depth = 0
    peek_event: Callable[[], yaml.Event]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise AccessFileError("anchors and aliases are not allowed", line)
        if self.depth >= MAX_DEPTH:
            raise AccessFileError(f"nested deeper than {MAX_DEPTH} levels", line)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats(node)
        return node


def _refuse_repeats(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise AccessFileError("a key is not plain text", _line(key))
        if key.tag == _MERGE:
            raise AccessFileError("merge keys are not allowed", _line(key))
        if (key.tag, key.value) in seen:
            raise AccessFileError(f"the key {key.value!r} is given twice", _line(key))
        seen.add((key.tag, key.value))


def _compose(data: bytes) -> yaml.Node:
    try:
        loader = _Loader(data)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise AccessFileError(error.problem or "not YAML", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise AccessFileError("not YAML in UTF-8") from None
    if node is None:
        raise AccessFileError("the file is empty; write at least inherit: true")
    return node


def _value(node: yaml.Node) -> Any:
    try:
        loader = yaml.SafeLoader("")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise AccessFileError(error.problem or "not a plain value", _line(node)) from None
    except (ValueError, OverflowError, RecursionError):
        raise AccessFileError("a value cannot be read", _line(node)) from None
