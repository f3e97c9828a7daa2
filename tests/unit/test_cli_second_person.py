"""`ambit approvals` and `ambit access break-glass`, as two logins on one machine use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.factories.command_line import Ran, ambit
from tests.factories.installation import Installation

Run = Callable[..., Ran]
WIDER = "kind: Policy\nid: open\neffect: permit\nwhen: 'true'\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Two files that ana reads; bob and cy read nothing. What lets more than one person read more waits."""
    monkeypatch.setenv("AMBIT_WIDENING_PEOPLE", "1")
    monkeypatch.setenv("AMBIT_WIDENING_DOCUMENTS", "1")
    (tmp_path / "files").mkdir()
    for name in ("hello", "pay"):
        (tmp_path / "files" / f"{name}.txt").write_text(f"The {name} of everyone who works here.")
    (tmp_path / "wider.yaml").write_text(WIDER)
    made = Installation(tmp_path / "data")
    made.add_user("ana", "staff")
    made.add_user("bob")
    made.add_user("cy")
    made.add_folder(tmp_path / "files", allow=["group:staff"])
    assert made.sync().state == "succeeded"
    yield made
    made.close()


@pytest.fixture
def run(place: Installation, monkeypatch: pytest.MonkeyPatch) -> Run:
    def ran(login: str, *arguments: str) -> Ran:
        monkeypatch.setattr("api.actors.pwd.getpwuid", lambda _: SimpleNamespace(pw_name=login))
        return ambit(place.settings.data_dir, *arguments)

    return ran


def held(place: Installation, run: Run) -> str:
    made = run("ada", "apply", str(place.settings.data_dir.parent / "wider.yaml"))
    assert made.status == 1, made.err
    assert "held, needs a second person" in made.err
    return str(made.err.rstrip().rpartition("approve ")[2].strip("`\n "))


def test_a_second_login_approves_what_waits(place: Installation, run: Run) -> None:
    name = held(place, run)
    (waiting,) = run("ada", "approvals", "list", "--json").json["approvals"]
    assert (waiting["id"], waiting["state"], waiting["hand"]) == (name, "pending", "local:ada")
    shown = run("ben", "approvals", "show", name)
    assert "create Policy/open" in shown.out
    assert "bob would gain 2" in shown.out
    own = run("ada", "approvals", "approve", name)
    assert (own.status, "another person" in own.err) == (2, True)
    assert place.search("bob", "everyone") == ()
    assert run("ben", "approvals", "approve", name, "--note", "seen").out == f"{name} is approved\n"
    assert len(place.search("bob", "everyone")) == 2
    assert run("ben", "approvals", "list").out == "nothing waits\n"
    assert "approved by local" in run("ada", "approvals", "show", name).out
    assert run("ben", "approvals", "approve", name).status == 2


def test_what_is_rejected_changes_nothing(place: Installation, run: Run) -> None:
    name = held(place, run)
    assert run("ada", "approvals", "reject", name).out == f"{name} is rejected\n"
    assert run("ben", "approvals", "approve", name).status == 2
    assert place.search("bob", "everyone") == ()
    (decided,) = run("ben", "approvals", "list", "--all", "--json").json["approvals"]
    assert decided["state"] == "rejected"
    assert run("ben", "approvals", "show", "apr_none").status == 2


def test_emergency_access_is_opened_listed_and_ended(place: Installation, run: Run) -> None:
    asked = ("access", "break-glass", "--user", "bob", "--reason", "incident 4711", "--source", "files")
    opened = run("ada", *asked, "--for", "30m")
    assert opened.status == 0, opened.err
    assert "BREAK-GLASS" in opened.out
    assert len(place.search("bob", "everyone")) == 2
    assert place.search("cy", "everyone") == ()
    (standing,) = run("ben", "access", "break-glass", "--json").json["break_glass"]
    assert (standing["user"], standing["opened_by"], standing["open"]) == ("bob", "local:ada", True)
    assert "BREAK-GLASS" in run("ben", "status").out
    assert "bob  files:  local:ada" in run("ben", "access", "review").out
    assert run("ben", "access", "break-glass", "--end", standing["id"]).status == 0
    assert place.search("bob", "everyone") == ()
    assert run("ben", "access", "break-glass").out == "no emergency access is open\n"
    kinds = [one["action"] for one in run("ben", "audit", "list", "--subject", "user:bob", "--json").json["entries"]]
    assert {"break_glass.open", "break_glass.end"} <= set(kinds)


@pytest.mark.parametrize(
    "wrong",
    [("--source", "none"), ("--source", "files", "--for", "9h"), ("--source", "files", "--for", "soon"), (),
     ("--source", "files", "--user", "nobody")],
)  # fmt: skip
def test_emergency_access_that_does_not_fit_is_refused(place: Installation, run: Run, wrong: tuple[str, ...]) -> None:
    asked = ("access", "break-glass", "--user", "bob", "--reason", "incident 4711", *wrong)
    assert run("ada", *asked).status == 2
    assert run("ada", "access", "break-glass", "--user", "bob", "--source", "files").status == 2
    assert place.search("bob", "everyone") == ()
