"""Who may administer what: decided as entries are, given only by who has it, and never lost to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from api import keys
from core.db import Database
from core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from core.secrets import Keyring
from policies import directory, grants
from policies.rights import RIGHTS, decide_right, matching, may_give, require_right, who

GRANT: dict[str, Any] = {"objects": ["*"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
NOW = datetime.now(UTC)


@pytest.fixture
def tenant(db: Database) -> Iterator[int]:
    with db.write() as session:
        made = directory.put_tenant(session, "rights").id
        for name in ("ana", "bob", "cy"):
            directory.put_user(session, made, name)
        for group in ("keepers", "staff"):
            directory.put_group(session, made, group)
        directory.set_members(session, made, "keepers", ["user:ana"])
        directory.set_containers(session, made, "group:keepers", ["staff"])
        directory.put_app(session, made, "desk", acts_for=["everyone"])
    return made


def give(session: Session, tenant: int, key: str, principal: str, *rights: str, **more: Any) -> None:
    grants.put_grant(session, tenant, key, {**GRANT, "principals": [principal], "rights": list(rights), **more})


def may(session: Session, tenant: int, user: str | None, right: str, target: str, *, app: str | None = None) -> bool:
    return decide_right(session, who(session, tenant, user=user, app=app), right, target).allowed


def test_nobody_may_anything_unless_it_is_granted(db: Database, tenant: int) -> None:
    with db.read() as session:
        assert not any(may(session, tenant, "ana", right, "*") for right in RIGHTS)
        assert not may(session, tenant, None, "grant.write", "*", app="desk")


def test_a_grant_reaches_through_groups_and_no_further_than_its_objects(db: Database, tenant: int) -> None:
    with db.write() as session:
        give(session, tenant, "handbook", "group:staff", "source.*", objects=["source:handbook"])
    with db.read() as session:
        told = decide_right(session, who(session, tenant, user="ana", app=None), "source.write", "source:handbook")
        assert told.as_dict() | {"losing": []} == {
            "allowed": True,
            "reason": "allowed",
            "right": "source.write",
            "object": "source:handbook",
            "chain": ["source:handbook", "source:*", "*"],
            "grant": "handbook",
            "principal": "group:staff",
            "expires_at": None,
            "path": ["user:ana", "group:keepers", "group:staff"],
            "losing": [],
        }
        assert may(session, tenant, "ana", "source.sync", "source:handbook")
        assert not may(session, tenant, "ana", "source.write", "source:other")
        assert not may(session, tenant, "ana", "source.write", "source:*")
        assert not may(session, tenant, "ana", "group.write", "source:handbook")
        assert not may(session, tenant, "bob", "source.write", "source:handbook")
        assert not may(session, tenant, "nobody-known", "source.write", "source:handbook")


def test_a_deny_wins_at_whatever_level_it_stands(db: Database, tenant: int) -> None:
    with db.write() as session:
        give(session, tenant, "all", "user:ana", "*")
        give(session, tenant, "not-hr", "group:staff", "group.write", objects=["group:hr"], effect="deny")
    with db.read() as session:
        assert may(session, tenant, "ana", "group.write", "group:staff")
        told = decide_right(session, who(session, tenant, user="ana", app=None), "group.write", "group:hr")
        assert (told.allowed, told.verdict.reason, told.grant, told.losing) == (False, "denied", "not-hr", ("all",))
        assert may(session, tenant, "ana", "group.read", "group:hr")


def test_a_deny_of_somebody_unknown_stops_everybody(db: Database, tenant: int) -> None:
    with db.write() as session:
        give(session, tenant, "all", "user:ana", "*")
        give(session, tenant, "ghost", "user:ghost", "key.write", objects=["app:desk"], effect="deny")
    with db.read() as session:
        told = decide_right(session, who(session, tenant, user="ana", app=None), "key.write", "app:desk")
        assert (told.allowed, told.verdict.reason) == (False, "deny_unresolved")
        assert may(session, tenant, "ana", "key.write", "app:other")


def test_times_and_apps_bind_a_grant(db: Database, tenant: int) -> None:
    day = timedelta(days=1)
    with db.write() as session:
        give(session, tenant, "over", "user:ana", "app.read", expires_at=(NOW - day).isoformat())
        give(session, tenant, "to-come", "user:ana", "app.write", not_before=(NOW + day).isoformat())
        give(session, tenant, "now", "user:ana", "key.read", expires_at=(NOW + day).isoformat())
        give(session, tenant, "by-desk", "user:ana", "key.write", app="desk")
    with db.read() as session:
        assert not may(session, tenant, "ana", "app.read", "*")
        assert not may(session, tenant, "ana", "app.write", "*")
        assert may(session, tenant, "ana", "key.read", "*")
        assert not may(session, tenant, "ana", "key.write", "*")
        assert may(session, tenant, "ana", "key.write", "*", app="desk")


def test_an_app_lends_nobody_its_rights_and_can_be_denied_to_all(db: Database, tenant: int) -> None:
    with db.write() as session:
        give(session, tenant, "desk", "app:desk", "user.read")
        give(session, tenant, "ana", "user:ana", "group.read")
        give(session, tenant, "not-by-desk", "app:desk", "group.read", effect="deny")
    with db.read() as session:
        assert may(session, tenant, None, "user.read", "*", app="desk")
        assert not may(session, tenant, "bob", "user.read", "*", app="desk")
        assert may(session, tenant, "ana", "group.read", "*")
        assert not may(session, tenant, "ana", "group.read", "*", app="desk")


def test_who_is_deactivated_or_removed_may_nothing_at_once(db: Database, tenant: int) -> None:
    with db.write() as session:
        give(session, tenant, "all", "user:ana", "*")
        directory.put_user(session, tenant, "ana", active=False)
        assert not may(session, tenant, "ana", "user.read", "*")
        directory.put_user(session, tenant, "ana")
        assert may(session, tenant, "ana", "user.read", "*")
        directory.remove(session, tenant, "user:ana")
        assert not may(session, tenant, "ana", "user.read", "*")


@pytest.mark.parametrize(
    ("rights", "objects", "lacks"),
    [
        (["group.write"], ["group:engineering"], None),
        (["group.*"], ["group:engineering"], None),
        (["group.write"], ["group:*"], "group.write over group:*"),
        (["group.write"], ["*"], "group.write over *"),
        (["*"], ["group:engineering"], "access.act_as over group:engineering"),
        (["source.read"], ["*"], "source.read over *"),
        (["source.read"], ["source:open"], None),
        (["source.read"], ["source:*"], "source.read over source:*"),
        (["app.read"], ["*"], "app.read over *"),
        (["app.write"], ["*"], "app.write over *"),
    ],
)
def test_nobody_gives_more_than_they_have(
    db: Database, tenant: int, rights: list[str], objects: list[str], lacks: str | None
) -> None:
    later = (NOW + timedelta(days=1)).isoformat()
    with db.write() as session:
        give(session, tenant, "groups", "user:ana", "group.*", objects=["group:engineering"])
        give(session, tenant, "sources", "user:ana", "source.read")
        give(session, tenant, "not-hr", "user:ana", "source.read", objects=["source:hr"], effect="deny")
        give(session, tenant, "for-a-day", "user:ana", "app.read", expires_at=later)
        give(session, tenant, "by-desk", "user:ana", "app.write", app="desk")
    with db.read() as session:
        assert may_give(session, who(session, tenant, user="ana", app="desk"), rights, objects) == lacks


def test_a_grant_keeps_its_history_and_says_what_it_was_given(db: Database, tenant: int) -> None:
    body = {**GRANT, "principals": ["group:staff", "user:ana"], "rights": ["group.read"]}
    with db.write() as session:
        assert grants.put_grant(session, tenant, "one", body)
        assert not grants.put_grant(session, tenant, "one", body)
        assert grants.grant_bodies(session, tenant) == {"one": body}
        grants.remove_grant(session, tenant, "one")
        assert grants.grant_bodies(session, tenant) == {}
        with pytest.raises(NotFoundError):
            grants.remove_grant(session, tenant, "one")


@pytest.mark.parametrize("text", ["group.writ", "group", "", "*.write", "group.**"])
def test_unknown_rights_are_refused(text: str) -> None:
    assert matching(text) == []
    with pytest.raises(InvalidError, match="no right"):
        grants.check_right(text)


@pytest.mark.parametrize("text", ["group", "grp:x", "group:", "group: x", "**", ""])
def test_unknown_objects_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="no object"):
        grants.check_object(text)


def test_a_change_that_locks_everybody_out_is_refused(db: Database, tenant: int, tmp_path: Any) -> None:
    ring = Keyring(tmp_path / "keys")
    with db.write() as session:
        assert not grants.administered(session, tenant)
        grants.refuse_lockout(session, tenant, False)
        directory.put_app(session, tenant, "admin", acts_for=[])
        grants.grant_everything(session, tenant, "admin")
        assert not grants.administered(session, tenant), "an app without a key reaches nothing"
        row, _ = keys.create(session, ring, tenant, "admin", ["admin"])
        assert grants.administered(session, tenant)
        keys.create(session, ring, tenant, "desk", ["admin"])
        prefix = row.prefix
    with db.write() as session:
        keys.revoke(session, tenant, prefix)
        with pytest.raises(ConflictError, match="nobody"):
            grants.refuse_lockout(session, tenant, True)
        give(session, tenant, "ana", "user:ana", "grant.write", expires_at=(NOW + timedelta(days=9)).isoformat())
        assert not grants.administered(session, tenant), "a right that ends is none to rely on"
        give(session, tenant, "ana", "user:ana", "grant.write")
        assert grants.administered(session, tenant), "desk has an admin key and acts for ana"
        give(session, tenant, "later", "group:staff", "*", effect="deny", not_before="2099-01-01T00:00:00+00:00")
        assert not grants.administered(session, tenant), "a deny to come counts"
        grants.remove_grant(session, tenant, "later")
        directory.put_app(session, tenant, "desk", acts_for=["user:bob"])
        assert not grants.administered(session, tenant)
        assert keys.restore(session, tenant)
        assert not keys.restore(session, tenant) or not grants.administered(session, tenant)


def test_what_is_refused_names_the_right(db: Database, tenant: int) -> None:
    with db.read() as session, pytest.raises(ForbiddenError, match=r"'key.write' over 'app:desk'"):
        require_right(session, who(session, tenant, user="ana", app=None), "key.write", "app:desk")
