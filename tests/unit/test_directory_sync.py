"""Directories: a real slapd read over TLS, taken over whole or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from api.declare.applying import apply as apply_declared
from api.declare.differences import plan
from api.declare.shapes import Declared, check
from core.audit import Audit
from core.db import Database
from core.errors import ConflictError, InvalidError
from core.secrets import Keyring
from core.settings import Settings
from core.tables import AuditEntry, Directory, Group, User
from ingest.directories.apply import DirectoryHeldError
from ingest.directories.config import LdapConfig
from ingest.directories.ldap import LdapReader, normal_dn
from ingest.directories.snapshot import DirectoryError
from ingest.directories.sync import Parts, check_directory, sync_directory, sync_due
from policies import directory
from policies.directory import put_tenant
from policies.paths import membership_path
from policies.principals import intern
from policies.subject import Caller, Subject, resolve_subject
from tests.factories import slapd
from tests.factories.slapd import BASE, Slapd, cn, uid


class Company:
    """A tenant with one directory, `corp`, of which the test changes the server."""

    def __init__(self, db: Database, server: Slapd, home: Path, **settings: Any) -> None:
        self.db, self.server = db, server
        options = Settings(_env_file=None, data_dir=home, outbound_allow="localhost", **settings)
        self.parts = Parts(options, db, Keyring(home / "keys"))
        with db.write() as session:
            self.tenant = put_tenant(session, "acme").id
        self.declare()

    def declare(self, **more: Any) -> None:
        config = {
            "url": f"ldaps://localhost:{self.server.tls_port}", "ca_file": str(self.server.home / "ca.pem"),
            "bind_dn": slapd.ADMIN, "bind_password": {"secret": "LDAP"}, "base": BASE, "page_size": 10,
            **more.pop("config", {}),
        }  # fmt: skip
        self.apply("Directory", "corp", {"config": config, **more})

    def apply(self, kind: str, key: str, body: dict[str, Any]) -> None:
        declared = [Declared(kind, key, check(kind, key, body))]
        with self.db.write() as session:
            apply_declared(session, self.tenant, declared, audit=Audit(self.parts.keyring))

    def sync(self, **how: Any) -> dict[str, Any]:
        return sync_directory(self.parts, self.tenant, "corp", **how).as_dict()

    def row(self) -> Directory:
        with self.db.read() as session:
            found = session.scalars(select(Directory)).one()
            session.expunge(found)
            return found

    def key(self, name: str) -> str:
        """The id that a person got."""
        with self.db.read() as session:
            return session.scalars(select(User.key).where(User.email == f"{name}@example.org")).one()

    def subject(self, name: str) -> Subject:
        with self.db.read() as session:
            return resolve_subject(session, Caller(self.tenant, name))

    def groups(self, name: str) -> set[str]:
        """Keys of all groups that a person is in."""
        subject = self.subject(name)
        with self.db.write() as session:
            keys = session.scalars(select(Group.key)).all()
            ids = intern(session, self.tenant, [f"group:{one}" for one in keys])
        return {name.removeprefix("group:") for name, id_ in ids.items() if id_ in subject.principals}


@pytest.fixture(scope="module")
def shared() -> Iterator[Slapd]:
    with slapd.running() as server:
        yield server


@pytest.fixture
def server(shared: Slapd) -> Iterator[Slapd]:
    """The server with ana and bob, who are in Legal and staff; what a test adds goes again."""
    shared.person("ana", departmentNumber="law", employeeType="active")
    shared.person("bob", employeeType="active")
    shared.group("Legal", uid("ana"))
    shared.group("staff", cn("Legal"), uid("bob"))
    yield shared
    for dn in _below(shared):
        shared.delete(dn)


def _below(server: Slapd) -> list[str]:
    told = subprocess.run(
        [
            "ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", f"ldap://127.0.0.1:{server.port}", "-b", BASE,
            "-D", "cn=root,dc=example,dc=com", "-w", slapd.PASSWORD, "(|(uid=*)(objectClass=groupOfNames))", "1.1",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.removeprefix("dn: ") for line in told.stdout.splitlines() if line.startswith("dn: ")]


@pytest.fixture
def company(db: Database, server: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    monkeypatch.setenv("AMBIT_SECRET_LDAP", slapd.PASSWORD)
    return Company(db, server, tmp_path)


def test_users_and_nested_groups_come_over(company: Company) -> None:
    assert check_directory(company.parts, company.tenant, "corp") == {"users": 2, "groups": 2}
    told = company.sync()
    assert (told["users"], told["groups"], told["taken"]) == (2, 2, [])
    assert company.groups("ana@example.org") == {"legal", "staff"}
    assert company.groups("bob@example.org") == {"staff"}
    assert company.subject("ana@example.org").attributes == {"department": "law"}
    subject = company.subject("ana@example.org")
    with company.db.write() as session:
        staff = intern(session, company.tenant, ["group:staff"])["group:staff"]
        assert membership_path(session, subject, staff)[1:] == ("group:legal", "group:staff")
        assert "directory.sync" in session.scalars(select(AuditEntry.kind)).all()


def test_a_second_sync_changes_only_what_changed(company: Company, server: Slapd) -> None:
    company.sync()
    ana = company.key("ana")
    server.apply(
        f"dn: {uid('ana')}\nchangetype: modify\nreplace: mail\nmail: lopez@example.org\n\n"
        f"dn: {cn('Legal')}\nchangetype: modify\nadd: member\nmember: {uid('bob')}\n"
    )
    server.apply(f"dn: {uid('bob')}\nchangetype: modrdn\nnewrdn: uid=robert\ndeleteoldrdn: 1\n")
    server.apply(
        f"dn: {cn('Legal')}\nchangetype: modify\nadd: member\nmember: {uid('robert')}\n-\n"
        f"delete: member\nmember: {uid('bob')}\n"
    )
    company.sync()
    assert company.subject("lopez@example.org").name == ana, "the stable id is the person, whatever the address"
    assert company.subject("ana@example.org").nobody
    assert company.groups("bob@example.org") == {"legal", "staff"}
    server.delete(uid("robert"))
    assert company.sync()["removed_users"] == 1
    assert company.subject("bob@example.org").nobody


def test_a_disabled_account_has_no_rights(company: Company, server: Slapd) -> None:
    company.declare(config={"disabled": "(employeeType=gone)"})
    company.sync()
    assert not company.subject("bob@example.org").nobody
    bob = company.key("bob")
    server.apply(f"dn: {uid('bob')}\nchangetype: modify\nreplace: employeeType\nemployeeType: gone\n")
    company.sync()
    assert company.subject(bob).nobody


def test_many_pages_are_read_to_the_end(company: Company, server: Slapd) -> None:
    for number in range(35):
        server.person(f"p{number}")
    server.group("many", *(uid(f"p{number}") for number in range(35)))
    assert company.sync()["users"] == 37
    assert company.groups("p34@example.org") == {"many"}


def test_a_result_that_is_cut_short_changes_nothing(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIT_SECRET_LDAP", slapd.PASSWORD)
    with slapd.running(limit="size.soft=5 size.hard=5 size.pr=none size.prtotal=5") as server:
        company = Company(db, server, tmp_path)
        for number in range(4):
            server.person(f"p{number}")
        company.sync()
        for number in range(4, 9):
            server.person(f"p{number}")
        with pytest.raises(DirectoryError, match=r"sizeLimitExceeded|adminLimitExceeded"):
            company.sync()
        assert not company.subject("p0@example.org").nobody
        assert (company.row().outcome, company.row().told["code"]) == ("failed", "directory_failed")


def test_a_sync_that_would_remove_too_much_is_held_until_it_is_approved(
    db: Database, server: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIT_SECRET_LDAP", slapd.PASSWORD)
    company = Company(db, server, tmp_path, deletion_guard=0.4, deletion_guard_min=0)
    company.sync()
    began = company.row().synced_at
    for dn in (uid("ana"), cn("Legal"), uid("bob")):
        server.delete(dn)
    with pytest.raises(DirectoryHeldError, match="2 of 2 users"):
        company.sync()
    assert not company.subject("ana@example.org").nobody
    held = company.row()
    assert (held.outcome, held.synced_at) == ("held", began), "what is held grows older"
    assert company.sync(approve=True)["removed_users"] == 2
    assert company.subject("ana@example.org").nobody


def test_an_empty_answer_never_wipes_a_small_directory(company: Company) -> None:
    company.sync()
    company.declare(config={"users": "(uid=nobody)"})
    with pytest.raises(DirectoryHeldError, match="2 of 2 users"):
        company.sync()
    assert company.groups("ana@example.org") == {"legal", "staff"}


def test_who_cannot_be_trusted_is_not_read(company: Company, server: Slapd) -> None:
    for change in (
        {"ca_file": None},
        {"url": f"ldap://localhost:{server.port}", "ca_file": None},
        {"bind_dn": "cn=nobody,dc=example,dc=com"},
        {"url": f"ldaps://localhost:{server.port}"},
        {"url": "ldaps://localhost:1"},
    ):
        company.declare(config=change)
        with pytest.raises(DirectoryError) as refused:
            company.sync()
        assert slapd.PASSWORD not in str(refused.value)
    with slapd.running(name="other.example.com") as other:
        certificate = {"url": f"ldaps://localhost:{other.tls_port}", "ca_file": str(other.home / "ca.pem")}
        company.declare(config=certificate)
        with pytest.raises(DirectoryError):
            company.sync()


def test_start_tls_is_taken_and_plain_text_refused(company: Company, server: Slapd) -> None:
    company.declare(config={"url": f"ldap://localhost:{server.port}"})
    assert company.sync()["users"] == 2
    for wrong in (
        {"url": "ldap://ldap.example.com", "start_tls": False, "base": "x"},
        {"url": "http://ldap.example.com", "base": "x"},
        {"url": "ldaps://h", "base": "x", "bind_dn": "cn=x"},
        {"url": "ldaps://h", "base": "x", "attributes": {"groups": "x"}},
    ):
        with pytest.raises(ValidationError):
            LdapConfig.model_validate(wrong)


def test_a_private_server_must_be_on_the_allow_list(server: Slapd) -> None:
    config = LdapConfig(url=f"ldaps://localhost:{server.tls_port}", base=BASE, ca_file=server.home / "ca.pem")
    with pytest.raises(DirectoryError, match="outbound_allow"):
        LdapReader(config, []).read()


def test_a_password_in_the_document_is_refused(company: Company) -> None:
    with pytest.raises(InvalidError, match="secret: NAME") as refused:
        company.declare(config={"bind_password": "kanarienvogel"})
    assert "kanarienvogel" not in refused.value.detail


def test_what_an_admin_says_stands_beside_it(company: Company) -> None:
    company.apply("Group", "legal", {})
    company.apply("User", "ana", {"email": "ana@example.org", "attributes": {"clearance": "restricted"}})
    told = company.sync()
    assert sorted(told["taken"]) == ["Legal", "ana@example.org"]
    assert company.groups("ana") == set(), "an address is no identity"
    server_id = next(one.id for one in _read(company).users if one.email == "ana@example.org")
    company.sync()
    identities = {"ldap:corp": server_id}
    with company.db.write() as session:
        directory.remove(session, company.tenant, f"user:{_copied(company)}")
    body = {"email": "ana@example.org", "attributes": {"clearance": "restricted"}, "identities": identities}
    company.apply("User", "ana", body)
    company.sync()
    assert company.groups("ana") == set(), "group Legal is an admin's"
    assert company.subject("ana").attributes == {"clearance": "restricted", "department": "law"}
    with company.db.read() as session:
        assert [
            one.action for one in plan(session, company.tenant, [Declared("User", "ana", check("User", "ana", body))])
        ] == ["unchanged"]


def _copied(company: Company) -> str:
    with company.db.read() as session:
        return session.scalars(select(User.key).where(User.key != "ana", User.email.is_(None))).one()


def _read(company: Company) -> Any:
    server = company.server
    config = LdapConfig(
        url=f"ldaps://localhost:{server.tls_port}", ca_file=server.home / "ca.pem", base=BASE,
        bind_dn=slapd.ADMIN, bind_password=slapd.PASSWORD,
    )  # fmt: skip
    return LdapReader(config, ["localhost"]).read()


def test_a_deleted_directory_takes_what_it_gave(company: Company) -> None:
    company.sync()
    with company.db.write() as session:
        apply_declared(session, company.tenant, [], prune=True, audit=Audit(company.parts.keyring))
    assert company.subject("ana@example.org").nobody
    with company.db.read() as session:
        assert session.scalars(select(Group.key)).all() == []
    company.declare()
    company.sync()
    assert company.groups("ana@example.org") == {"legal", "staff"}


def test_schedules_are_kept_and_one_sync_runs_at_a_time(company: Company) -> None:
    assert sync_due(company.parts) == 0
    company.declare(schedule="0 0 1 1 *")
    assert sync_due(company.parts) == 1
    assert company.row().outcome == "succeeded"
    assert sync_due(company.parts) == 0
    from core.clock import db_in

    with company.db.write() as session:
        session.scalars(select(Directory)).one().lease_until = db_in(60)
    with pytest.raises(ConflictError, match="under way"):
        company.sync()


@pytest.mark.parametrize(
    ("one", "other"),
    [("UID=Ana, OU=People,dc=x", "uid=ana,ou=people,dc=x"), ("cn=A  b ,dc=x", "CN=a  b, DC=x")],
)
def test_dns_are_compared_in_one_form(one: str, other: str) -> None:
    assert normal_dn(one) == normal_dn(other)
