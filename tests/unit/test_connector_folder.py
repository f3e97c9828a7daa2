from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidError
from ingest.connectors import folder, folder_walk, registry
from ingest.connectors.access_yaml import read_access
from ingest.connectors.conformance import items_of, nodes_of
from ingest.connectors.globs import matches
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    ItemError,
    ItemRef,
    NodeChange,
    Problem,
    SourceError,
    VanishedError,
)
from policies.model import CLOSED, AccessSpec, access_spec

ROOT_ACCESS = access_spec(["everyone"])
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str = "text") -> Path:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    write("top.md", "top")
    return write


def connect(tmp_path: Path, *, max_bytes: int = 10_000, **config: Any) -> Connector:
    context = ConnectorContext(tmp_path, ROOT_ACCESS, max_bytes=max_bytes)
    return registry.make("folder", {"path": "root", **config}, context)


def listing(tmp_path: Path, **config: Any) -> list[Change]:
    return list(connect(tmp_path, **config).changes(None))


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


def end(changes: list[Change]) -> Checkpoint:
    assert isinstance(changes[-1], Checkpoint)
    return changes[-1]


def test_folders_are_nodes_and_files_are_items(tmp_path: Path, write: Write) -> None:
    write("b/two.html", "x")
    write("a/deep/one.txt", "12345")
    changes = listing(tmp_path)
    assert [(one.key, one.parent) for one in changes if isinstance(one, NodeChange)] == [
        ("", None),
        ("a", ""),
        ("a/deep", "a"),
        ("b", ""),
    ]
    one = items_of(changes)["a/deep/one.txt"]
    assert (one.node, one.title, one.mime, one.size) == ("a/deep", "one.txt", "text/plain", 5)
    assert one.uri == (tmp_path / "root/a/deep/one.txt").as_uri()
    assert one.access is None
    assert (end(changes).full, end(changes).access_complete) == (True, True)


def test_the_registration_governs_a_root_without_an_access_file(tmp_path: Path, write: Write) -> None:
    root = nodes_of(listing(tmp_path))[""].access
    assert (root.mode, root.entries) == ("break", ROOT_ACCESS.entries)


def test_the_registration_is_ignored_where_the_root_has_an_access_file(tmp_path: Path, write: Write) -> None:
    write(".access.yaml", "labels: {classification: internal}\n")
    assert nodes_of(listing(tmp_path))[""].access.entries == frozenset()
    write(".access.yaml", "allow: everyone\n")
    changes = listing(tmp_path)
    assert nodes_of(changes)[""].access == CLOSED
    assert problems(changes) == {".access.yaml": "access_unreadable"}
    assert "top.md" in items_of(changes), "what is closed is not deleted"


def test_files_have_access_of_their_own(tmp_path: Path, write: Write) -> None:
    write("hr/salaries.xlsx", "")
    write("hr/plain.md", "")
    write("hr/.access.yaml", "allow: [group:staff]\nfiles:\n  salaries.xlsx: {inherit: false, allow: [group:hr]}\n")
    changes = listing(tmp_path)
    assert items_of(changes)["hr/salaries.xlsx"].access == access_spec(["group:hr"], mode="break")
    assert items_of(changes)["hr/plain.md"].access is None
    assert nodes_of(changes)["hr"].access == access_spec(["group:staff"])


def test_entries_of_files_that_are_not_there_are_reported_and_close_nothing(tmp_path: Path, write: Write) -> None:
    write("hr/salaries.xlsx", "")
    write("hr/sub/x.md", "")
    write("hr/.access.yaml", "files:\n  salary.xlsx: {inherit: false}\n  sub: {inherit: false}\n")
    changes = listing(tmp_path)
    found = [one for one in changes if isinstance(one, Problem)]
    assert [(one.id, one.code) for one in found] == [("hr/.access.yaml", "access_unmatched")] * 2
    assert "'salary.xlsx'" in found[0].detail
    assert "folder 'sub'" in found[1].detail
    assert nodes_of(changes)["hr"].access == AccessSpec()


def test_an_entry_may_name_a_file_that_is_not_taken(tmp_path: Path, write: Write) -> None:
    write("a/skipped.tmp", "")
    write("a/.access.yaml", "files: {skipped.tmp: {inherit: false}}\n")
    assert problems(listing(tmp_path, exclude=["**/*.tmp"])) == {}


def test_a_misnamed_access_file_is_reported(tmp_path: Path, write: Write) -> None:
    write("a/.access.yml", "inherit: false\n")
    assert problems(listing(tmp_path)) == {"a/.access.yml": "access_unmatched"}


def test_an_access_file_that_vanishes_closes_and_leaves_access_incomplete(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a/.access.yaml", "allow: [group:a]\n")
    write("a/b/c.md", "")

    def vanish(handle: int, key: str, *, listed: bool) -> Any:
        if key == "a":
            path.unlink()
        return read_access(handle, key, listed=listed)

    monkeypatch.setattr(folder_walk, "read_access", vanish)
    changes = listing(tmp_path)
    assert nodes_of(changes)["a"].access == CLOSED
    assert (end(changes).full, end(changes).access_complete) == (True, False)
    assert "a/b/c.md" in items_of(changes)


def test_changed_access_needs_no_changed_content(tmp_path: Path, write: Write) -> None:
    write("a/.access.yaml", "allow: [group:a]\n")
    write("a/x.md", "")
    before = listing(tmp_path)
    write("a/.access.yaml", "allow: []\n")
    after = listing(tmp_path)
    assert items_of(before) == items_of(after)
    assert nodes_of(before)["a"] != nodes_of(after)["a"]


def test_links_are_not_followed(tmp_path: Path, write: Write) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.txt").write_text("key")
    (tmp_path / "root-sibling").mkdir()
    root = write("a/x.md", "").parent.parent
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "out.txt").symlink_to("../secret/key.txt")
    (root / "sibling").symlink_to(tmp_path / "root-sibling")
    (root / "in.md").symlink_to("a/x.md")
    (root / "nothing").symlink_to("missing")
    (root / "self").symlink_to("self")
    for follow in (False, True):
        changes = listing(tmp_path, follow_links=follow)
        found = problems(changes)
        assert {found.pop(one) for one in ("out", "out.txt", "sibling")} == {"link_outside"}
        assert {found.pop(one) for one in ("nothing", "self")} == {"link_skipped"}
        assert found == ({} if follow else {"in.md": "link_skipped"})
        assert ("in.md" in items_of(changes)) is follow


def test_a_followed_link_keeps_the_access_of_what_it_leads_to(tmp_path: Path, write: Write) -> None:
    write("z/hr/pay.md", "pay")
    write("z/hr/.access.yaml", "inherit: false\nfiles: {pay.md: {allow: [group:hr]}}\n")
    root = tmp_path / "root"
    (root / "all.md").symlink_to("z/hr/pay.md")
    (root / "people").symlink_to("z/hr")
    connector = connect(tmp_path, follow_links=True)
    changes = list(connector.changes(None))
    items = items_of(changes)
    for name in ("all.md", "people/pay.md", "z/hr/pay.md"):
        assert (items[name].node, items[name].access) == ("z/hr", access_spec(["group:hr"])), name
        assert connector.fetch(items[name]).body == b"pay"
    assert nodes_of(changes)["z/hr"].access == access_spec(mode="break")
    assert "people" not in nodes_of(changes)


def test_links_make_no_loops_and_reach_nothing_left_out(tmp_path: Path, write: Write) -> None:
    write("a/x.md", "")
    write(".hidden/y.md", "")
    write("private/z.md", "")
    root = tmp_path / "root"
    (root / "a/up").symlink_to("..")
    (root / "a/b").symlink_to("../b")
    (root / "b").mkdir()
    (root / "b/a").symlink_to("../a")
    (root / "hid").symlink_to(".hidden")
    (root / "pub").symlink_to("private")
    changes = listing(tmp_path, follow_links=True, exclude=["private/**"])
    assert set(items_of(changes)) == {"top.md", "a/x.md", "b/a/x.md"}


def test_hidden_names_are_skipped_and_odd_ones_are_reported(tmp_path: Path, write: Write) -> None:
    write(".git/config", "")
    write("a/.DS_Store", "")
    root = tmp_path / "root"
    (root / "a" / "line\nbreak.md").write_text("x")
    (root / os.fsdecode(b"b\xff.md")).write_text("x")
    (root / os.fsdecode(b"d\xfe")).mkdir()
    os.mkfifo(tmp_path / "root/pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        before = Path.cwd()
        os.chdir(tmp_path)
        try:
            sock.bind("root/sock")
        finally:
            os.chdir(before)
        changes = listing(tmp_path)
    assert problems(changes) == {
        "b\\xff.md": "name_not_utf8",
        "d\\xfe": "name_not_utf8",
        "pipe": "not_a_file",
        "sock": "not_a_file",
    }
    assert set(items_of(changes)) == {"top.md", "a/line\nbreak.md"}


def test_large_files_and_long_paths_are_reported(tmp_path: Path, write: Write) -> None:
    write("big.bin", "x" * 101)
    write("/".join(["d" * 200] * 11) + "/x.md", "")
    changes = listing(tmp_path, max_bytes=100)
    found = [one for one in changes if isinstance(one, Problem)]
    assert [one.code for one in found] == ["file_too_large", "path_too_long"]
    assert "101 bytes; the limit is 100" in found[0].detail


@pytest.mark.parametrize("where", ["open", "scan"])
def test_an_unreadable_folder_is_closed_and_nothing_is_deleted(
    where: str, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a/x.md", "")
    write("b/y.md", "")
    inode = (tmp_path / "root/a").stat().st_ino
    real_open, real_scan = os.open, os.scandir

    def refuse_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "a":
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, *args, **kwargs)

    def refuse_scan(path: Any) -> Any:
        if os.fstat(path).st_ino == inode:
            raise OSError(5, "Input/output error")
        return real_scan(path)

    if where == "open":
        monkeypatch.setattr(os, "open", refuse_open)
    else:
        monkeypatch.setattr(os, "scandir", refuse_scan)
    changes = listing(tmp_path)
    assert nodes_of(changes)["a"].access == CLOSED
    assert problems(changes) == {"a": "folder_unreadable"}
    assert "b/y.md" in items_of(changes)
    assert (end(changes).full, end(changes).access_complete) == (False, False)


def test_what_was_unreadable_is_not_forgotten_by_resuming(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_walk, "CHECKPOINT_EVERY", 1)
    write("a/x.md", "")
    write("b/y.md", "")
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "a":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        mark = next(one for one in listing(tmp_path) if isinstance(one, Checkpoint) and one.cursor["after"] == "b")
    rest = list(connect(tmp_path).changes(mark.cursor))
    assert not end(rest).full
    assert not end(rest).access_complete


def test_a_root_that_is_missing_empty_or_a_file_fails_the_run(tmp_path: Path) -> None:
    connector = connect(tmp_path)
    with pytest.raises(SourceError, match="No such file"):
        connector.check()
    (tmp_path / "root").mkdir()
    with pytest.raises(SourceError, match="empty"):
        list(connector.changes(None))
    (tmp_path / "root").rmdir()
    (tmp_path / "root").write_text("")
    with pytest.raises(SourceError, match="Not a directory"):
        list(connector.changes(None))


def test_patterns_choose_files(tmp_path: Path, write: Write) -> None:
    for name in ("a/x.md", "a/y.txt", "old/z.md", "a/b/w.md"):
        write(name, "")
    changes = listing(tmp_path, include=["**/*.md"], exclude=["old", "a/b/*"])
    assert set(items_of(changes)) == {"top.md", "a/x.md"}
    assert set(nodes_of(changes)) == {"", "a", "a/b"}


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("**/*", "a", True),
        ("**/*", "a/b/c", True),
        ("*.md", "a/b.md", False),
        ("a/**", "a/b/c", True),
        ("a/**", "ab/c", False),
        ("**/x/**/*.md", "x/y.md", True),
        ("?.md", "/.md", False),
        ("[!a].md", "b.md", True),
        ("[!a].md", "a.md", False),
        ("[a-c].md", "b.md", True),
        ("a.md", "axmd", False),
        ("[x", "[x", True),
    ],
)
def test_patterns(glob: str, path: str, expected: bool) -> None:
    assert matches(path, [glob]) is expected


@pytest.mark.parametrize("glob", ["", "/etc/*", "../*", "a/../b", "[z-a]"])
def test_patterns_that_make_no_sense_are_refused(glob: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"config\.include"):
        connect(tmp_path, include=[glob])


def only(tmp_path: Path, name: str, **config: Any) -> tuple[Connector, ItemRef]:
    connector = connect(tmp_path, **config)
    return connector, items_of(list(connector.changes(None)))[name]


def test_fetch_brings_the_file(tmp_path: Path, write: Write) -> None:
    write("a/x.html", "<p>hello</p>")
    connector, item = only(tmp_path, "a/x.html")
    content = connector.fetch(item)
    assert (content.name, content.body, content.mime) == ("x.html", b"<p>hello</p>", "text/html")
    assert dict(content.attributes) == {"path": "a"}


def test_a_file_swapped_for_a_link_is_not_read(tmp_path: Path, write: Write) -> None:
    (tmp_path / "secret.md").write_text("top")
    path = write("a/x.md", "top")
    connector, item = only(tmp_path, "a/x.md")
    path.unlink()
    path.symlink_to(tmp_path / "secret.md")
    with pytest.raises(VanishedError):
        connector.fetch(item)


def test_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path, write: Write) -> None:
    path = write("a/b/x.md", "top")
    connector, item = only(tmp_path, "a/b/x.md")
    (tmp_path / "root/a").rename(tmp_path / "elsewhere")
    (tmp_path / "root/a").symlink_to(tmp_path / "elsewhere")
    assert path.read_text() == "top", "through the link it is the very same file"
    with pytest.raises(VanishedError):
        connector.fetch(item)


def test_a_folder_swapped_for_a_link_while_listing_is_not_entered(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a/x.md", "")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.md").write_text("key")
    changes = []
    for change in connect(tmp_path).changes(None):
        if isinstance(change, NodeChange) and change.key == "":
            (tmp_path / "root/a").rename(tmp_path / "elsewhere")
            (tmp_path / "root/a").symlink_to(tmp_path / "secret")
        changes.append(change)
    assert set(items_of(changes)) == {"top.md"}


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path, write: Write) -> None:
    path = write("x.md", "")
    connector, item = only(tmp_path, "x.md")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(VanishedError):
        connector.fetch(item)


def test_a_file_that_is_gone_vanished_and_its_folder_too(tmp_path: Path, write: Write) -> None:
    path = write("a/x.md", "")
    connector, item = only(tmp_path, "a/x.md")
    path.unlink()
    with pytest.raises(VanishedError):
        connector.fetch(item)
    path.parent.rmdir()
    with pytest.raises(VanishedError):
        connector.fetch(item)


def test_a_file_that_grew_above_the_limit_is_refused(tmp_path: Path, write: Write) -> None:
    path = write("x.md", "small")
    connector, item = only(tmp_path, "x.md", max_bytes=10)
    path.write_text("x" * 11)
    with pytest.raises(ItemError, match="limit of 10 bytes") as caught:
        connector.fetch(item)
    assert caught.value.item_code == "file_too_large"


def test_a_replaced_file_waits_for_the_next_listing(tmp_path: Path, write: Write) -> None:
    path = write("x.md", "public")
    connector, item = only(tmp_path, "x.md")
    write("x.new", "secret").replace(path)
    with pytest.raises(ItemError) as caught:
        connector.fetch(item)
    assert (caught.value.item_code, caught.value.item_transient) == ("item_changed", True)


@pytest.mark.parametrize("path", ["../secret.md", "/etc/passwd", "a//b", "", ".", "a/\0", 7])
def test_a_forged_reference_leads_nowhere(path: Any, tmp_path: Path, write: Write) -> None:
    with pytest.raises(InvalidError):
        connect(tmp_path).fetch(ItemRef("x", "", "x", "", data={"path": path}))


def test_a_large_file_is_a_private_copy_that_goes_with_its_path(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY_BYTES", 3)
    original = write("x.md", "large")
    connector, item = only(tmp_path, "x.md")
    body = connector.fetch(item).body
    assert isinstance(body, Path)
    assert body != original
    original.write_text("swapped")
    assert (body.read_text(), body.suffix) == ("large", ".md")
    copy = Path(str(body))
    del body
    gc.collect()
    assert not copy.exists()
    kept = connector.fetch(items_of(list(connector.changes(None)))["x.md"]).body
    assert isinstance(kept, Path)
    connector.close()
    assert not kept.exists()


def test_a_huge_folder_can_be_resumed_in_its_middle(tmp_path: Path, write: Write) -> None:
    for number in range(1200):
        write(f"many/{number:04}.md", "")
    changes = listing(tmp_path)
    marks = [one for one in changes if isinstance(one, Checkpoint)]
    assert [one.cursor.get("after") for one in marks] == ["many", "many", None]
    rest = items_of(list(connect(tmp_path).changes(marks[1].cursor)))
    assert 0 < len(rest) < 1200 - 900
    assert max(items_of(changes)) in {*rest, "top.md"}


def test_the_cursor_of_another_configuration_starts_over(tmp_path: Path, write: Write) -> None:
    for number in range(600):
        write(f"{number:04}.md", "")
    mark = next(one for one in listing(tmp_path) if isinstance(one, Checkpoint))
    again = list(connect(tmp_path, include=["**/*.md"]).changes(mark.cursor))
    assert len(items_of(again)) == 601
