"""POSIX permissions as access: who a file's bits and ACLs let through, and that what is not understood stays shut."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ingest.connectors.folder import FolderConfig, FolderConnector
from ingest.connectors.posix import PosixMapping
from ingest.model import Checkpoint, ConnectorContext, ItemRef, NodeChange, Upsert
from policies.model import CLOSED, AccessSpec, access_spec
from tests.factories.installation import Installation

ME, MINE = os.getuid(), os.getgid()
MAPPED = {
    "users": {ME: "user:ana", 4001: "user:bob"},
    "groups": {MINE: "group:staff", 4002: "group:hr"},
    "other": "everyone",
}
OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "sub").mkdir(parents=True)
    (root / "a.md").write_text("Alpha stands here.")
    (root / "sub" / "b.md").write_text("Beta stands here.")
    for path, mode in ((root, 0o755), (root / "sub", 0o755), (root / "a.md", 0o644), (root / "sub" / "b.md", 0o644)):
        path.chmod(mode)
    return root


def listing(root: Path, *, registered: AccessSpec | None = None, **mapping: Any) -> list[Any]:
    config = FolderConfig.model_validate({"path": str(root), "access": "posix", "posix": mapping or MAPPED})
    return list(FolderConnector(config, ConnectorContext(root, registered or access_spec())).changes(None))


def files(changes: list[Any]) -> dict[str, AccessSpec | None]:
    items: list[ItemRef] = [one.item for one in changes if isinstance(one, Upsert)]
    return {one.id: one.access for one in items}


def nodes(changes: list[Any]) -> dict[str, AccessSpec]:
    return {one.key: one.access for one in changes if isinstance(one, NodeChange)}


def set_acl(path: Path, *lines: tuple[int, int, int]) -> None:
    body = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *line) for line in lines)
    try:
        os.setxattr(path, "system.posix_acl_access", body)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no ACLs")


NOBODY = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("mode", "allow", "deny"),
    [
        (0o644, ["user:ana", "group:staff", "everyone"], []),
        (0o640, ["user:ana", "group:staff"], []),
        (0o600, ["user:ana"], []),
        (0o000, [], []),
        (0o604, ["user:ana", "everyone"], ["group:staff"]),
        (0o044, ["group:staff", "everyone"], ["user:ana"]),
        (0o333, [], []),
    ],
)
def test_the_bits_of_a_file(root: Path, mode: int, allow: list[str], deny: list[str]) -> None:
    (root / "a.md").chmod(mode)
    assert files(listing(root))["a.md"] == access_spec(allow, deny, mode="narrow")


def test_a_folder_is_passed_by_its_x_bits_and_narrows(root: Path) -> None:
    (root / "sub").chmod(0o710)
    found = nodes(listing(root))
    assert found[""] == access_spec(["user:ana", "group:staff", "everyone"], mode="break")
    assert found["sub"] == access_spec(["user:ana", "group:staff"], mode="narrow")


def test_what_is_not_mapped_is_nobody(root: Path) -> None:
    assert files(listing(root, other="group:all"))["a.md"] == access_spec(["group:all"], mode="narrow")
    assert files(listing(root, users={ME: "user:ana"}))["a.md"] == access_spec(["user:ana"], mode="narrow")


def test_a_refusal_that_is_not_mapped_closes(root: Path) -> None:
    (root / "a.md").chmod(0o604)
    assert files(listing(root, other="everyone"))["a.md"] == CLOSED
    (root / "sub").chmod(0o701)
    assert nodes(listing(root, other="everyone"))["sub"] == CLOSED


def test_templates(root: Path) -> None:
    found = files(listing(root, user_template="user:u{id}", group_template="group:g{id}"))["a.md"]
    assert found == access_spec([f"user:u{ME}", f"group:g{MINE}"], mode="narrow")
    import pwd

    named = files(listing(root, user_template="user:{name}"))["a.md"]
    assert named == access_spec([f"user:{pwd.getpwuid(ME).pw_name}"], mode="narrow")


@pytest.mark.parametrize("template", ["user:ana", "{name}", "user:{gecos}", "user:{name.x}", "user:{0}"])
def test_templates_that_make_no_principal_are_refused(template: str) -> None:
    with pytest.raises(ValidationError):
        PosixMapping(user_template=template)


def test_an_acl_is_held_by_its_mask(root: Path) -> None:
    lines = [
        (OWNER, 6, NOBODY),
        (USER, 6, 4001),
        (GROUP, 4, NOBODY),
        (NAMED_GROUP, 4, 4002),
        (MASK, 4, NOBODY),
        (OTHER, 0, NOBODY),
    ]
    set_acl(root / "a.md", *lines)
    allow = ["user:ana", "user:bob", "group:staff", "group:hr"]
    assert files(listing(root))["a.md"] == access_spec(allow, mode="narrow")
    lines[4] = (MASK, 0, NOBODY)
    set_acl(root / "a.md", *lines)
    assert files(listing(root))["a.md"] == access_spec(["user:ana"], mode="narrow")


def test_an_acl_that_refuses_a_person_wins_over_what_groups_may(root: Path) -> None:
    set_acl(
        root / "a.md", (OWNER, 6, NOBODY), (USER, 0, 4001), (GROUP, 4, NOBODY), (MASK, 4, NOBODY), (OTHER, 4, NOBODY)
    )
    expected = access_spec(["user:ana", "group:staff", "everyone"], ["user:bob"], mode="narrow")
    assert files(listing(root))["a.md"] == expected
    assert files(listing(root, other="everyone"))["a.md"] == CLOSED, "a refused uid that is not mapped"


@pytest.mark.parametrize("acl", [b"", b"\x02\0\0\0\x01", struct.pack("<I", 3), struct.pack("<IHHI", 2, 64, 4, 0)])
def test_an_acl_of_a_form_that_is_not_known_closes(root: Path, acl: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getxattr", lambda place, name, **named: acl)
    changes = listing(root)
    assert files(changes) == {"a.md": CLOSED, "sub/b.md": CLOSED} or nodes(changes)[""] == CLOSED
    assert [one.access_complete for one in changes if isinstance(one, Checkpoint)][-1] is False


def test_permissions_that_cannot_be_read_close(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: Any, name: str, **named: Any) -> bytes:
        if isinstance(place, str) and place.endswith("b.md"):
            raise OSError(errno.EIO, "broken disk")
        raise OSError(errno.ENODATA, "none")

    monkeypatch.setattr(os, "getxattr", refuse)
    changes = listing(root)
    assert files(changes)["sub/b.md"] == CLOSED
    assert files(changes)["a.md"] != CLOSED
    assert [one.access_complete for one in changes if isinstance(one, Checkpoint)][-1] is False


def test_the_registration_can_only_refuse_and_label(root: Path) -> None:
    registered = access_spec(["user:eve"], ["user:mallory"], labels={"classification": "restricted"})
    found = nodes(listing(root, registered=registered))[""]
    assert found == access_spec(
        ["user:ana", "group:staff", "everyone"], ["user:mallory"], mode="break", labels={"classification": "restricted"}
    )


def test_an_access_file_means_nothing_here(root: Path) -> None:
    (root / ".access.yaml").write_text("allow: [user:eve]\nfiles: {a.md: {allow: [user:eve]}}\n")
    changes = listing(root)
    assert "user:eve" not in str(changes)


def test_changed_bits_hold_after_the_next_sync_without_new_vectors(root: Path, tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data", worker_threads=1)
    installation.add_user("ana", "staff")
    installation.add_user("bob")
    config = {"path": str(root), "access": "posix", "posix": {**MAPPED, "users": {str(ME): "user:zoe"}}}
    config["posix"]["groups"] = {str(MINE): "group:staff"}
    installation.add_source("files", "folder", config)
    (root / "sub").chmod(0o750)
    assert installation.sync().state == "succeeded"
    assert [one.title for one in installation.search("ana", "Beta stands")][:1] == ["b"]
    assert "b" not in [one.title for one in installation.search("bob", "Beta stands")]
    assert [one.title for one in installation.search("bob", "Alpha stands")] == ["a"]
    (root / "a.md").chmod(0o640)
    run = installation.sync()
    assert run.unchanged >= 1
    assert installation.search("bob", "Alpha stands") == ()
    assert len(installation.search("ana", "Alpha stands")) == 2
    installation.close()
