from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidError
from ingest.connectors import git as git_module
from ingest.connectors import registry
from ingest.connectors.conformance import items_of, nodes_of
from ingest.connectors.git_owners import parse_owners
from ingest.model import (
    Change,
    Checkpoint,
    Connector,
    ConnectorContext,
    Delete,
    ItemError,
    Problem,
    SourceError,
    VanishedError,
)
from policies.model import CLOSED, access_spec
from tests.factories.git_repository import Repository
from tests.factories.http_site import Reply, Request, Site, serving

ROOT = access_spec(["everyone"])


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit(
        {
            "README.md": "Welcome",
            "docs/a.md": "A",
            "docs/deep/b.md": "B",
            "src/main.py": "print()",
            ".github/CODEOWNERS": "* @everyone\n/docs/ @writers @ana # comment\n*.py @coders\n",
            ".access.yaml": "allow: [group:staff]\n",
            "docs/.access.yaml": "inherit: false\nallow: [group:docs]\nfiles:\n  a.md: {deny: [user:bob]}\n",
        }
    )
    return made


def connect(
    tmp_path: Path, *, secrets: dict[str, str] | None = None, allow: tuple[str, ...] = (), **config: Any
) -> Connector:
    context = ConnectorContext(tmp_path, ROOT, max_bytes=10_000, secrets=secrets or {}, outbound=allow)
    return registry.make("git", {"url": "repo", **config}, context)


def listing(tmp_path: Path, cursor: dict[str, Any] | None = None, **config: Any) -> list[Change]:
    with closing(connect(tmp_path, **config)) as connector:
        return list(connector.changes(cursor))


def end(changes: list[Change]) -> Checkpoint:
    assert isinstance(changes[-1], Checkpoint)
    return changes[-1]


def problems(changes: list[Change]) -> dict[str, str]:
    return {one.id: one.code for one in changes if isinstance(one, Problem)}


def deleted(changes: list[Change]) -> set[str]:
    return {one.id for one in changes if isinstance(one, Delete)}


def test_files_come_with_access_owners_author_and_date(tmp_path: Path, repo: Repository) -> None:
    repo.commit({"README.md": "Welcome!"}, date="2026-02-03T04:05:06+00:00")
    changes = listing(tmp_path)
    assert list(nodes_of(changes)) == ["", "docs", "docs/deep", "src"]
    assert nodes_of(changes)[""].access == access_spec(["group:staff"])
    assert nodes_of(changes)["docs"].access == access_spec(["group:docs"], mode="break")
    items = items_of(changes)
    assert set(items) == {"README.md", "docs/a.md", "docs/deep/b.md", "src/main.py"}
    assert items["docs/a.md"].access == access_spec(deny=["user:bob"], labels={"owners": "@writers @ana"})
    assert items["src/main.py"].access == access_spec(labels={"owners": "@coders"})
    assert items["README.md"].modified_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    with closing(connect(tmp_path)) as connector:
        content = connector.fetch(items["README.md"])
    assert (content.body, content.author) == (b"Welcome!", "Ana Ruiz")
    assert problems(changes) == {}


def test_a_second_listing_sends_what_the_commits_changed(tmp_path: Path, repo: Repository) -> None:
    first = listing(tmp_path)
    again = listing(tmp_path, end(first).cursor)
    assert (items_of(again), deleted(again), end(again).full) == ({}, set(), False)
    assert nodes_of(again) == nodes_of(first), "access is always complete"
    repo.commit({"docs/a.md": "A2", "docs/new.md": "N", "src/main.py": None})
    repo.commit({"docs/deep/moved.md": "B", "docs/deep/b.md": None})
    third = listing(tmp_path, end(again).cursor)
    assert set(items_of(third)) == {"docs/a.md", "docs/new.md", "docs/deep/moved.md"}
    assert deleted(third) == {"src/main.py", "docs/deep/b.md"}


@pytest.mark.parametrize("name", ["docs/.access.yaml", ".github/CODEOWNERS"])
def test_a_change_of_access_or_owners_lists_all_files(name: str, tmp_path: Path, repo: Repository) -> None:
    first = listing(tmp_path)
    repo.commit({name: "allow: [group:x]" if "access" in name else "* @x"})
    again = listing(tmp_path, end(first).cursor)
    assert set(items_of(again)) == set(items_of(first))
    assert end(again).full
    assert {key: one.version for key, one in items_of(again).items()} == {
        key: one.version for key, one in items_of(first).items()
    }


def test_rewritten_history_and_other_settings_list_all_files(tmp_path: Path, repo: Repository) -> None:
    first = end(listing(tmp_path)).cursor
    assert end(listing(tmp_path, first, exclude=["src/**"])).full
    repo.git("checkout", "-q", "--orphan", "other")
    repo.git("commit", "-q", "-m", "new")
    repo.git("branch", "-D", "main")
    repo.git("branch", "-m", "main")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    assert end(listing(tmp_path, first)).full


def test_a_cut_off_listing_goes_on_at_its_commit(
    tmp_path: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "CHECKPOINT_EVERY", 2)
    whole = listing(tmp_path)
    mark = next(one for one in whole if isinstance(one, Checkpoint))
    repo.commit({"README.md": "later"})
    rest = listing(tmp_path, mark.cursor)
    assert set(items_of(rest)) == {"docs/deep/b.md", "src/main.py"}
    after = listing(tmp_path, end(rest).cursor)
    assert set(items_of(after)) == {"README.md"}


def test_rules_hold_whatever_the_tree_says(tmp_path: Path, repo: Repository) -> None:
    rules = [{"paths": ["src/**"], "inherit": False, "allow": ["group:dev"]}]
    changes = listing(tmp_path, access="rules", rules=rules, codeowners=False)
    assert nodes_of(changes)[""].access == access_spec(["everyone"], mode="break")
    assert nodes_of(changes)["docs"].access == access_spec()
    assert items_of(changes)["src/main.py"].access == access_spec(["group:dev"], mode="break")
    assert items_of(changes)["docs/a.md"].access is None
    with pytest.raises(InvalidError, match="access: rules"):
        connect(tmp_path, rules=rules)


@pytest.mark.parametrize("text", ["allow: [staff]", "allow: everyone", "colour: red", ": :", "a: &x [*x]", ""])
def test_access_that_is_not_understood_closes_the_folder(text: str, tmp_path: Path, repo: Repository) -> None:
    repo.commit({"docs/.access.yaml": text})
    changes = listing(tmp_path)
    assert nodes_of(changes)["docs"].access == CLOSED
    assert problems(changes) == {"docs/.access.yaml": "access_unreadable"}


def test_an_access_file_that_is_a_link_closes_the_folder(tmp_path: Path, repo: Repository) -> None:
    (repo.path / "docs/.access.yaml").unlink()
    (repo.path / "docs/.access.yaml").symlink_to("/etc/passwd")
    (repo.path / "link.md").symlink_to("/etc/passwd")
    repo.commit({})
    changes = listing(tmp_path)
    assert nodes_of(changes)["docs"].access == CLOSED
    assert "link.md" not in items_of(changes), "links are never followed"


def test_an_access_entry_of_a_file_that_is_not_there_is_reported(tmp_path: Path, repo: Repository) -> None:
    repo.commit({"docs/.access.yaml": "files:\n  A.md: {deny: [user:bob]}\n"})
    assert problems(listing(tmp_path)) == {"docs/.access.yaml": "access_unmatched"}


def test_files_that_cannot_be_taken_are_told(tmp_path: Path, repo: Repository) -> None:
    (repo.path / "docs" / "caf\udce9.md").write_text("x")
    repo.commit({"big.txt": "x" * 10_001, "lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"})
    changes = listing(tmp_path)
    assert problems(changes) == {"docs/caf\\xe9.md": "name_not_utf8", "big.txt": "file_too_large"}
    with closing(connect(tmp_path)) as connector, pytest.raises(ItemError) as caught:
        connector.fetch(items_of(changes)["lfs.bin"])
    assert caught.value.item_code == "lfs_pointer"


def test_a_file_is_handed_out_only_as_it_was_listed(tmp_path: Path, repo: Repository) -> None:
    items = items_of(listing(tmp_path))
    repo.commit({"README.md": "secret", "docs/a.md": None})
    with closing(connect(tmp_path)) as connector:
        with pytest.raises(ItemError) as caught:
            connector.fetch(items["README.md"])
        assert (caught.value.item_code, caught.value.item_transient) == ("item_changed", True)
        with pytest.raises(VanishedError):
            connector.fetch(items["docs/a.md"])


def test_a_shared_copy_serves_several_and_stays(tmp_path: Path, repo: Repository) -> None:
    first = listing(tmp_path, cache="copy")
    assert (tmp_path / "copy/HEAD").exists()
    with closing(connect(tmp_path, cache="copy")) as connector:
        assert connector.fetch(items_of(first)["README.md"]).body == b"Welcome"


def test_a_copy_of_its_own_is_removed(tmp_path: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "temporary"
    home.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(home))
    listing(tmp_path)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% x",
        "--upload-pack=touch x",
        "file:///etc",
        "git://h/x",
        "https://u:p@h/x",
        "https://u@h/x",
        "",
        "a\nb",
    ],
)
def test_addresses_that_run_programs_or_hold_passwords_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError):
        connect(tmp_path, url={"secret": "URL"}, secrets={"URL": url})


@pytest.mark.parametrize("branch", ["-x", "a b", "a:b", "a..b^", ""])
def test_branches_that_are_more_than_a_name_are_refused(branch: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"config\.branch"):
        connect(tmp_path, branch=branch)


def test_what_cannot_be_read_is_said(tmp_path: Path, repo: Repository) -> None:
    with pytest.raises(SourceError, match="git fetch"), closing(connect(tmp_path, url="nowhere")) as connector:
        connector.check()
    with pytest.raises(SourceError, match="git fetch"), closing(connect(tmp_path, branch="none")) as connector:
        connector.check()


@pytest.fixture
def served(tmp_path: Path, repo: Repository) -> Iterator[Site]:
    """The repository over HTTP, with a password."""
    repo.git("update-server-info")

    def answer(request: Request) -> Reply:
        if request.headers.get("authorization") != "Basic Z2l0Omh1bnRlcjI=":
            return Reply(401, b"", {"www-authenticate": "Basic realm=x"})
        path = repo.path / ".git" / request.path.removeprefix("/repo.git/")
        return Reply(200, path.read_bytes()) if path.is_file() else Reply(404)

    with serving() as site:
        site.routes["*"] = answer
        yield site


def test_a_repository_is_read_over_http_with_a_token(tmp_path: Path, served: Site) -> None:
    config = {"url": f"{served.url}/repo.git", "token": {"secret": "TOKEN"}, "allow": ("127.0.0.1",)}
    assert "README.md" in items_of(listing(tmp_path, secrets={"TOKEN": "hunter2"}, **config))
    with pytest.raises(SourceError) as caught:
        listing(tmp_path, secrets={"TOKEN": "wrong1"}, **config)
    assert "wrong1" not in str(caught.value)


def test_a_private_host_and_a_redirect_are_refused(tmp_path: Path, served: Site) -> None:
    url = f"{served.url}/repo.git"
    with pytest.raises(SourceError, match="not public"):
        listing(tmp_path, url=url)
    assert served.requests == []
    with serving() as other:
        served.routes["*"] = lambda request: Reply(302, b"", {"location": other.url + request.path})
        with pytest.raises(SourceError, match="git fetch"):
            listing(tmp_path, url=url, allow=("127.0.0.1",))
        assert other.requests == []


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "a/b", True), ("*.js", "a/b.js", True), ("*.js", "b.jsx", False), ("/build/", "build/x/y", True),
        ("/build/", "a/build/x", False), ("docs/*", "docs/a", True), ("docs/*", "docs/a/b", False),
        ("apps/", "x/apps/y", True), ("/docs", "docs/a", True), ("docs", "x/docs/y", True),
        ("**/logs", "a/b/logs/c", True),
        ("a/**/b", "a/x/y/b", True), ("a/**/b", "a/b", True), ("a?c", "abc", True),
        ("a\\ b", "a b", True), ("[x]", "x", False),
    ],
)  # fmt: skip
def test_owner_patterns(pattern: str, path: str, matches: bool) -> None:
    assert bool(parse_owners(f"{pattern} @me").of(path)) == matches


def test_the_last_owner_rule_holds_also_one_that_names_nobody() -> None:
    owners = parse_owners("# all\n* @a\n/x/ @b\n/x/free\n")
    assert [owners.of(path) for path in ("y", "x/z", "x/free")] == ["@a", "@b", ""]
