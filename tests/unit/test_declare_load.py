from __future__ import annotations

from pathlib import Path

import pytest

from api.declare import left_out, load
from api.declare.shapes import duration_s
from core.errors import InvalidError, NotFoundError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "company"

BAD = {
    "unknown kind": ("kind: Usr\nid: ana\n", "c.yaml:1: Usr 'ana': unknown kind 'Usr'"),
    "no kind": ("kind: Group\nid: a\n---\nid: b\n", "c.yaml:4: the document has no 'kind'"),
    "no id": ("kind: User\n", "c.yaml:1: User: 'id' is missing"),
    "id is a number": ("kind: User\nid: 12\n", "'id' is no text"),
    "bad id": ("kind: User\nid: Ana Smith\n", "id 'Ana Smith' is no id"),
    "unknown key": ("kind: User\nid: ana\nemial: a@b.c\n", "c.yaml:1: User 'ana': 'emial': unknown key"),
    "unknown key below": (
        "kind: Source\nid: s\nconnector: folder\nschedule: {contents: '* * * * *'}\n",
        "Source 's': 'schedule.contents': unknown key",
    ),
    "wrong type": ("kind: User\nid: ana\ngroups: staff\n", "'groups': Input should be a valid list"),
    "twice": ("kind: Group\nid: a\n---\nkind: Group\nid: a\n", "c.yaml:4: Group 'a': 'id' is declared twice"),
    "key twice": ("kind: Group\nid: a\ngroups: []\ngroups: [b]\n", "c.yaml:4: key 'groups' is given twice"),
    "policy": ("kind: Policy\nid: p\neffect: forbid\n", "'when': Field required"),
    "budget": ("kind: Budget\nid: p\n", "kind Budget is not available in this version"),
    "admin": ("kind: App\nid: admin\n", "App 'admin' is built in"),
    "not yaml": ("kind: [User\n", "c.yaml:2: "),
    "a list": ("- kind: User\n", "c.yaml:1: the document is no mapping"),
    "an object": ("kind: User\nid: ana\nattributes: !!python/object:os.system {}\n", "c.yaml:3: could not determine"),
    "a date": ("kind: User\nid: ana\nattributes: {since: 2020-01-01}\n", "User 'ana': 'attributes.since"),
    "cron": (
        "kind: Source\nid: s\nconnector: folder\nschedule: {content: hourly}\n",
        "'schedule.content': write five cron fields",
    ),
    "duration": (
        "kind: Source\nid: s\nconnector: folder\nmax_access_age: soon\n",
        "'max_access_age': write a duration such as 24h",
    ),
    "access": (
        "kind: Source\nid: s\nconnector: folder\naccess: {allow: [bob]}\n",
        "'access': 'bob' is no principal",
    ),
    "access key": (
        "kind: Source\nid: s\nconnector: folder\naccess: {alow: [everyone]}\n",
        "'access': unknown key 'alow' in access",
    ),
    "acts for": ("kind: App\nid: a\nacts_for: [staff]\n", "'staff' is no principal"),
    "model": ("kind: Model\nid: m\nclass: x.Y\ntemperature: 1\n", "Model 'm': 'temperature': unknown key"),
    "route": ("kind: Route\nid: r\nmodels: []\n", "Route 'r': 'models'"),
    "route when": ("kind: Route\nid: r\nmodels: [m]\nwhen: 'true'\n", "routes with `when` are not supported yet"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InvalidError) as caught:
        load(tmp_path / "c.yaml")
    assert told in caught.value.detail
    assert "c.yaml" in caught.value.detail


def test_a_wrong_field_is_listed_for_machines(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("kind: User\nid: ana\nemial: hidden@example.com\n")
    with pytest.raises(InvalidError) as caught:
        load(tmp_path / "c.yaml")
    assert caught.value.extra["errors"] == [{"field": "emial", "message": "unknown key"}]
    assert caught.value.extra["document"] == "User 'ana'"
    assert "hidden@" not in caught.value.detail


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"kind: User\nid: \xff\n")
    with pytest.raises(InvalidError, match="is not UTF-8"):
        load(tmp_path / "c.yaml")


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_nothing_to_load_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError):
        load(tmp_path / name)


def test_the_example_company_loads_and_leaves_the_demo_file_out() -> None:
    declared = load(EXAMPLES)
    assert {one.kind for one in declared} == {"Group", "User", "Source", "App"}
    assert [path.name for path in left_out(EXAMPLES)] == ["demo.yaml"]
    files = next(one for one in declared if one.id == "files")
    assert files.body["max_access_age"] == 86400


def test_a_file_without_any_kind_is_an_error_when_it_is_named() -> None:
    with pytest.raises(InvalidError, match="no 'kind'"):
        load(EXAMPLES / "demo.yaml")


def test_one_document_without_kind_spoils_a_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("kind: Group\nid: a\n---\nknd: Group\nid: b\n")
    with pytest.raises(InvalidError, match=r"c\.yaml:4: the document has no 'kind'"):
        load(tmp_path)


def test_access_files_of_a_folder_are_not_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("kind: Group\nid: a\n")
    (tmp_path / ".access.yaml").write_text("kind: Nonsense\n")
    assert [one.id for one in load(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("15m", 900), ("7d", 604800), ("90s", 90), ("90", 90), (30, 30)]
)
def test_durations(text: str | int, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["0s", "-1", "1w", "", True, None, 1.5, "1h30m"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_s(text)
