from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.connectors import access_yaml
from ingest.connectors.access_yaml import AccessFileError, FolderAccess, parse_file, read_access
from policies.model import CLOSED, AccessSpec, access_spec

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nallow: [*b]\n"

BROKEN = {
    "not yaml": ("allow: [group:a\n", "line 2"),
    "tab": ("allow:\n\t- everyone\n", "line 2"),
    "empty": ("", "empty"),
    "only a comment": ("# nothing yet\n", "empty"),
    "list": ("- everyone\n", "line 1: the file is not a mapping"),
    "text": ("everyone\n", "line 1: the file is not a mapping"),
    "unknown key": ("inherit: true\nalow: [everyone]\n", "line 2: unknown key 'alow'"),
    "unknown key in files": ("files:\n  a.md:\n    alow: []\n", "line 3: unknown key 'alow'"),
    "bad principal": ("allow: [everyone]\ndeny: [bob]\n", "line 2: 'bob' is no principal"),
    "allow is text": ("allow: everyone\n", "line 1: allow is 'everyone'"),
    "inherit is a number": ("inherit: 0\n", "line 1: inherit is 0"),
    "inherit is a word": ("inherit: nope\n", "line 1: inherit is 'nope'"),
    "labels is a list": ("labels: [a]\n", "line 1: labels"),
    "label is an object": ("labels: {a: {b: c}}\n", "line 1: label 'a'"),
    "repeated key": ("deny: [user:x]\ndeny: []\n", "line 2: the key 'deny' is given twice"),
    "repeated file": ("files:\n  a.md: {}\n  a.md: {}\n", "line 3: the key 'a.md' is given twice"),
    "same file in two forms": ("files:\n  \u00e9.md: {}\n  e\u0301.md: {}\n", "twice"),
    "alias bomb": (BOMB, "line 1: anchors and aliases"),
    "merge": ("<<: {allow: [everyone]}\n", "line 1: merge keys"),
    "two documents": ("allow: []\n---\nallow: [everyone]\n", "line 2"),
    "file without quotes": ("files:\n  2026: {inherit: false}\n", "line 2: the key '2026' is not text"),
    "file without an object": ("files:\n  a.md:\n", "the entry of 'a.md' is not a mapping"),
    "files is a list": ("files: [a.md]\n", "line 1: files is not a mapping"),
    "object tag": ("allow: !!python/object/apply:os.getcwd []\n", "line 1"),
    "deep": ("allow: " + "[" * 5000 + "\n", "nested deeper"),
    "list as key": ("? [a]\n: b\n", "line 1: a key is not plain text"),
}


def read(folder: Path, *, listed: bool = True) -> FolderAccess:
    handle = os.open(folder, os.O_RDONLY)
    try:
        return read_access(handle, "team", listed=listed)
    finally:
        os.close(handle)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_understood_closes_the_folder_and_says_where(case: str, tmp_path: Path) -> None:
    text, said = BROKEN[case]
    (tmp_path / ".access.yaml").write_text(text)
    found = read(tmp_path)
    assert (found.spec, found.files, found.complete) == (CLOSED, {}, True)
    assert found.problem is not None
    assert (found.problem.id, found.problem.code) == ("team/.access.yaml", "access_unreadable")
    assert found.problem.detail.startswith("team/.access.yaml: ")
    assert said in found.problem.detail


@pytest.mark.parametrize("data", [b"allow: [group:\xff]\n", b"\x00\x01", b"allow: [\x07]\n"])
def test_bytes_that_are_no_text_close_the_folder(data: bytes, tmp_path: Path) -> None:
    (tmp_path / ".access.yaml").write_bytes(data)
    assert read(tmp_path).spec == CLOSED


def test_a_large_file_closes_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".access.yaml").write_bytes(b"allow: [everyone]\n#" + b"x" * access_yaml.MAX_BYTES)
    found = read(tmp_path)
    assert found.spec == CLOSED
    assert "larger than" in str(found.problem)


def test_a_link_in_its_place_closes_the_folder(tmp_path: Path) -> None:
    (tmp_path / "open.yaml").write_text("allow: [everyone]\n")
    (tmp_path / ".access.yaml").symlink_to("open.yaml")
    found = read(tmp_path)
    assert (found.spec, found.complete) == (CLOSED, True)
    assert "symbolic link" in str(found.problem)


def test_a_folder_or_pipe_in_its_place_closes_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a/.access.yaml").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b/.access.yaml")
    for name in "ab":
        found = read(tmp_path / name)
        assert (found.spec, found.complete) == (CLOSED, True)


def test_one_that_vanishes_closes_the_folder_and_its_access_is_unknown(tmp_path: Path) -> None:
    found = read(tmp_path, listed=True)
    assert (found.spec, found.complete) == (CLOSED, False)
    assert read(tmp_path, listed=False) == FolderAccess()


def test_one_that_cannot_be_read_closes_the_folder_and_its_access_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(access_yaml, "read_small", broken)
    found = read(tmp_path)
    assert (found.spec, found.complete) == (CLOSED, False)
    assert "Input/output error" in str(found.problem)


def test_what_it_says() -> None:
    found = parse_file(
        b"inherit: narrow\nallow: [group:a, everyone]\ndeny: [user:b@example.com]\nlabels: {classification: internal}\n"
        b"files:\n  s.xlsx: {inherit: no, allow: [group:hr]}\n  plain.md: {}\n"
    )
    labels = {"classification": "internal"}
    assert found.spec == access_spec(["group:a", "everyone"], ["user:b@example.com"], mode="narrow", labels=labels)
    assert found.of_file("s.xlsx") == access_spec(["group:hr"], mode="break")
    assert found.of_file("plain.md") == AccessSpec()
    assert found.of_file("other.md") is None


def test_file_names_agree_however_they_were_typed() -> None:
    found = parse_file("files: {caf\u00e9.md: {inherit: false}}".encode())
    assert found.of_file("cafe\u0301.md") == access_spec(mode="break")


@given(st.text(max_size=60))
def test_text_that_names_nobody_opens_to_nobody(text: str) -> None:
    """Whatever stands in the file, a principal is let in only if it is spelt out in it."""
    try:
        found = parse_file(text.encode("utf-8", "replace"))
    except AccessFileError:
        return
    assert found.spec is not None
    assert all(one.principal in text for one in found.spec.entries)


def test_a_big_but_lawful_file_is_read() -> None:
    names = ", ".join(f"user:person{number}" for number in range(2000))
    found = parse_file(f"allow: [{names}]\n".encode())
    assert found.spec is not None
    assert len(found.spec.entries) == 2000
