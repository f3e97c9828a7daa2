"""Reads YAML documents from a file, or from the `*.yaml` directly in a folder."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.declare.shapes import Declared, check
from core.errors import InvalidError, NotFoundError

MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Raw:
    file: Path
    line: int
    body: Any


class _Loader(yaml.SafeLoader):
    """Plain values only; a key given twice is an error, since the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for name, _ in node.value:
            if name.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {name.value!r} is given twice", name.start_mark
                )
            seen.add(name.value)
        return super().construct_mapping(node, deep)


def load(path: Path) -> list[Declared]:
    """The objects declared in a file, or in the `*.yaml` directly in a folder.

    Of a folder, a file in which no document has a `kind` is another program's and is left out (`left_out` names
    those); in any other file, and in one that is named itself, a document without `kind` is an error.

    Raises:
        NotFoundError: there is no such file or folder.
        InvalidError: something is not understood; the message names file, line, document and key.
    """
    declared: list[Declared] = []
    for file in _files(path):
        raw = _read(file)
        if path.is_dir() and not any(_has_kind(one) for one in raw):
            continue
        declared += [_declared(one) for one in raw]
    _refuse_twice(declared)
    return declared


def left_out(path: Path) -> list[Path]:
    """Files of a folder that `load` passes over, because no document in them has a `kind`."""
    if not path.is_dir():
        return []
    return [file for file in _files(path) if not any(_has_kind(one) for one in _read(file))]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(one for one in path.glob("*.yaml") if one.is_file() and not one.name.startswith("."))
        if not found:
            raise NotFoundError(f"folder {path} holds no *.yaml; name a file, or the folder that holds them")
        return found
    if not path.is_file():
        raise NotFoundError(f"there is no file or folder {path}")
    return [path]


def _read(file: Path) -> list[_Raw]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InvalidError(f"{file}: is larger than {MAX_BYTES} bytes")
        return list(_documents(file, file.read_text("utf-8")))
    except OSError as error:
        raise InvalidError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InvalidError(f"{file}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidError(f"{file}{line}: {error.problem or 'is not YAML'}") from None
    except yaml.YAMLError:
        raise InvalidError(f"{file}: is not YAML") from None
    except (ValueError, TypeError, RecursionError):
        raise InvalidError(f"{file}: holds a value that is not understood") from None


def _documents(file: Path, text: str) -> Iterator[_Raw]:
    """Each document that is not empty, with the line it begins on."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            body = loader.construct_document(node)
            if node is not None and body is not None:
                yield _Raw(file, node.start_mark.line + 1, body)
    finally:
        loader.dispose()


def _has_kind(raw: _Raw) -> bool:
    return isinstance(raw.body, dict) and "kind" in raw.body


def _declared(raw: _Raw) -> Declared:
    where = f"{raw.file}:{raw.line}"
    if not isinstance(raw.body, dict):
        raise InvalidError(f"{where}: the document is no mapping; write kind, id and the rest")
    body = dict(raw.body)
    kind = body.pop("kind", None)
    if kind is None:
        raise InvalidError(f"{where}: the document has no 'kind'")
    key = body.pop("id", None)
    if not isinstance(key, str):
        raise InvalidError(f"{where}: {kind}: 'id' is {'missing' if key is None else 'no text; quote it'}")
    if not all(isinstance(name, str) for name in body):
        raise InvalidError(f"{where}: {kind} '{key}': every key must be text")
    try:
        checked = check(str(kind), key, body)
    except InvalidError as error:
        raise _located(raw, str(kind), key, error) from None
    return Declared(str(kind), key, checked, raw.file.absolute(), raw.line)


def _located(raw: _Raw, kind: str, key: str, error: InvalidError) -> InvalidError:
    name = f"{kind} '{key}'"
    told = error.detail if error.detail.startswith(name) else f"{name}: {error.detail}"
    extra = {**error.extra, "file": str(raw.file), "line": raw.line, "document": name}
    return InvalidError(f"{raw.file}:{raw.line}: {told}", **extra)


def _refuse_twice(declared: list[Declared]) -> None:
    seen: dict[tuple[str, str], Declared] = {}
    for one in declared:
        first = seen.setdefault((one.kind, one.id), one)
        if first is not one:
            raise InvalidError(f"{one.where}: 'id' is declared twice; the first stands at {first.file}:{first.line}")
