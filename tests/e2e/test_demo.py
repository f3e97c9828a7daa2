"""The demo, and a sync of everything that can be wrong with a folder, run as their user would."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.factories.command_line import COMPANY, Ran, process
from tests.factories.files import encrypted, make_docx

pytestmark = pytest.mark.e2e

SECRET = "The harbour crane was painted turquoise in spring."


def test_the_demo_holds(tmp_path: Path) -> None:
    ran = process("demo", "--json", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert ran.status == 0, ran.out + ran.err
    told = ran.json
    assert told["held"] is True
    assert told["faults"] == []
    assert len(told["answers"]) == 10
    assert told["revoke"] == {"hidden": True, "vectors_rewritten": 0, "points_touched": 0}
    assert told["ingest"]["documents"] == 100
    assert told["ingest"]["vectors"] > 100
    assert [one["model"] for one in told["answers"] if one["user"] == "gwen"] == [None] * 3
    assert [path for path in tmp_path.iterdir() if path.name.startswith("ambit-")] == [], "it cleans up after itself"


def test_the_demo_tells_of_a_wrong_setting(tmp_path: Path) -> None:
    ran = process(cwd=tmp_path, python="cli.demo", env={"AMBIT_PORT": "many"})
    assert ran.status == 2
    assert "AMBIT_PORT" in ran.err
    assert "Traceback" not in ran.err


@dataclass(frozen=True)
class BadFolder:
    """One sync of a folder with everything wrong in it."""

    run: Callable[..., Ran]
    sync: Ran

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """What `runs show` says of each file."""
        run = json.loads(self.sync.out)["runs"][0]["id"]
        return {one["file"]: one for one in self.run("runs", "show", run, "--json").json["items"]}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> BadFolder:
    folder = tmp_path_factory.mktemp("bad")
    _fill(folder / "files", folder)
    (folder / "c.yaml").write_text(COMPANY)
    env = {"AMBIT_DATA_DIR": str(folder / "data"), "AMBIT_MAX_FILE_MB": "1"}

    def run(*arguments: str) -> Ran:
        return process(*arguments, env=env, cwd=folder)

    assert run("init").status == 0
    assert run("apply", "c.yaml").status == 0
    return BadFolder(run, run("sync", "--json"))


def _fill(files: Path, outside: Path) -> None:
    (files / "closed" / "below").mkdir(parents=True)
    (files / "good.md").write_text("# Lighthouse\n\nThe lighthouse lamp turns every nine seconds.\n")
    (files / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF at all\n%%EOF\n")
    (files / "locked.docx").write_bytes(encrypted(make_docx()))
    (files / "empty.txt").write_bytes(b"")
    (files / "large.txt").write_text("A long line of text.\n" * 70_000)
    Path(os.fsdecode(os.fsencode(files) + b"/caf\xe9.md")).write_text(SECRET)
    (outside / "outside.md").write_text(SECRET)
    (files / "link.md").symlink_to(outside / "outside.md")
    (files / "closed" / ".access.yaml").write_text("alow: [everyone]\n")
    (files / "closed" / "hidden.md").write_text(SECRET)
    (files / "closed" / "below" / ".access.yaml").write_text("inherit: false\nallow: [everyone]\n")
    (files / "closed" / "below" / "deep.md").write_text(SECRET)


def test_the_exit_status_says_that_some_failed(bad: BadFolder) -> None:
    assert bad.sync.status == 1, bad.sync.err
    (run,) = bad.sync.json["runs"]
    assert run["state"] == "partial"
    assert run["counts"]["done"] >= 3


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("broken.pdf", "file_broken"),
        ("locked.docx", "file_encrypted"),
        ("large.txt", "file_too_large"),
        ("link.md", "link_outside"),
        ("closed/.access.yaml", "access_unreadable"),
    ],
)
def test_each_bad_file_is_listed_with_its_reason(bad: BadFolder, file: str, code: str) -> None:
    item = bad.items[file]
    assert (item["state"], item["code"]) == ("failed", code)
    assert item["reason"]


def test_a_name_that_is_no_text_is_listed_in_print(bad: BadFolder) -> None:
    (item,) = [one for one in bad.items.values() if one["code"] == "name_not_utf8"]
    assert item["file"].isascii()


def test_an_empty_file_is_passed_over_with_a_note(bad: BadFolder) -> None:
    item = bad.items["empty.txt"]
    assert item["state"] == "skipped"
    assert item["reason"]


def test_nothing_becomes_readable_that_should_not(bad: BadFolder) -> None:
    found = bad.run("search", "What colour was the harbour crane painted?", "--as", "ana", "--json").json["results"]
    assert {one["title"] for one in found} == {"Lighthouse"}
    assert SECRET not in json.dumps(found)
    for document in ("files:closed/hidden.md", "files:closed/below/deep.md"):
        verdict = bad.run("access", "check", "ana", document, "--json")
        assert (verdict.status, verdict.json["reason"]) == (1, "access_unreadable")


def test_the_rest_is_answered_from(bad: BadFolder) -> None:
    told = bad.run("ask", "How often does the lighthouse lamp turn?", "--as", "ana", "--json").json
    assert "nine seconds" in told["answer"]
    assert [one["title"] for one in told["citations"]] == ["Lighthouse"]


def test_a_source_that_is_not_there_fails_the_sync(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(COMPANY)
    env = {"AMBIT_DATA_DIR": str(tmp_path / "data"), "AMBIT_RETRY_BASE_S": "0.01"}
    for arguments in (["init"], ["apply", "c.yaml"]):
        assert process(*arguments, env=env, cwd=tmp_path).status == 0
    ran = process("sync", "--json", env=env, cwd=tmp_path)
    assert ran.status == 2
    (run,) = ran.json["runs"]
    assert (run["state"], run["error_code"]) == ("failed", "source_unreachable")
    assert "cannot be read" in run["error_detail"]
