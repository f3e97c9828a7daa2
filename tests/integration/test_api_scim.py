"""SCIM 2.0: what an identity provider writes, and what follows for who may read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server
from sqlalchemy import func, select, text

from core.tables import AuditEntry, Group, Membership, PolicyEpoch, User
from policies import directory
from policies.subject import Caller, resolve_subject
from tests.integration.conftest import Installation

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class Provisioner:
    """An identity provider with a key of its own."""

    def __init__(self, ambit: Installation, app: str = "entra") -> None:
        self.ambit, self.key = ambit, ambit.app(app, ["provision"])

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        more = {} if body is None else {"json": body}
        told = {"Content-Type": "application/scim+json", **headers}
        return self.ambit.call(method, f"/scim/v2{path}", self.key, headers=told, **more)

    def user(self, name: str, **more: Any) -> dict[str, Any]:
        emails = [{"value": name, "type": "work", "primary": True}]
        body = {"schemas": [USER], "userName": name, "externalId": f"x-{name}", "emails": emails, "active": True}
        answer = self.call("POST", "/Users", {**body, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def group(self, name: str, *members: str) -> dict[str, Any]:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members]}
        answer = self.call("POST", "/Groups", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> httpx.Response:
        return self.call("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers)


@pytest.fixture
def scim(ambit: Installation) -> Provisioner:
    return Provisioner(ambit)


@pytest.fixture
def canteen(ambit: Installation) -> None:
    ambit.push("a", "The canteen opens at noon.", title="Canteen", access={"inherit": False, "allow": ["group:cooks"]})


def _found(ambit: Installation, user: str) -> list[str]:
    answer = ambit.chat("/v1/retrieve", user, {"query": "canteen"})
    return [one["title"] for one in answer.json().get("results", [])]


def test_a_real_client_finds_nothing_wrong(ambit: Installation, scim: Provisioner) -> None:
    import httpx2

    headers = {"Authorization": f"Bearer {scim.key}"}
    with httpx2.Client(base_url=f"{ambit.url}/scim/v2", headers=headers, timeout=60) as client:
        results = check_server(SyncSCIMClient(client))
    bad = [f"{one.title}: {one.reason}" for one in results if one.status in (Status.ERROR, Status.CRITICAL)]
    shown = [one for one in bad if "Attribute 'members'" not in one or "display='" not in one]
    assert shown == [], "all that is not kept is what a provisioner calls its members"
    assert sum(one.status == Status.SUCCESS for one in results) > 50


@pytest.mark.usefixtures("canteen")
def test_what_is_provisioned_reads_and_what_is_withdrawn_does_not(ambit: Installation, scim: Provisioner) -> None:
    ana = scim.user("ana.lopez@example.org", **{ENTERPRISE: {"department": "kitchen"}})
    assert _found(ambit, "ana.lopez@example.org") == []
    group = scim.group("Cooks", ana["id"])
    assert (group["id"], [one["value"] for one in group["members"]]) == ("cooks", [ana["id"]])
    assert _found(ambit, "ana.lopez@example.org") == ["Canteen"]
    off = scim.patch(f"/Users/{ana['id']}", {"op": "Replace", "path": "active", "value": "False"})
    assert (off.status_code, off.json()["active"]) == (200, False)
    assert _found(ambit, ana["id"]) == [], "a deactivated person has no rights at the next query"
    scim.patch(f"/Users/{ana['id']}", {"op": "replace", "value": {"active": True}})
    assert _found(ambit, ana["id"]) == ["Canteen"]
    assert scim.patch("/Groups/cooks", {"op": "remove", "path": f'members[value eq "{ana["id"]}"]'}).status_code == 204
    assert _found(ambit, ana["id"]) == []
    scim.patch("/Groups/cooks", {"op": "Add", "path": "members", "value": [{"value": ana["id"]}]})
    assert scim.call("DELETE", f"/Users/{ana['id']}").status_code == 204
    assert _found(ambit, ana["id"]) == []
    assert scim.call("GET", f"/Users/{ana['id']}").status_code == 404
    again = scim.user("ana.lopez@example.org")
    assert again["id"] != ana["id"], "an id is never another person's"
    assert _found(ambit, again["id"]) == []
    with ambit.runtime.db.read() as session:
        kinds = set(session.scalars(select(AuditEntry.kind)))
        user = session.scalars(select(User).where(User.key == ana["id"])).one()
        assert (user.active, user.email) == (False, None)
    assert kinds >= {"scim.user.create", "scim.user.patch", "scim.user.delete", "scim.group.create", "scim.group.patch"}


@pytest.mark.parametrize(
    ("operations", "left"),
    [
        ([{"op": "Remove", "path": "members", "value": [{"value": "A"}]}], "B"),
        ([{"op": "remove", "path": 'members[value eq "A"]'}], "B"),
        ([{"op": "remove", "path": "members"}], ""),
        ([{"op": "replace", "path": "members", "value": [{"value": "A"}]}], "A"),
        ([{"op": "replace", "value": {"displayName": "Chefs", "members": [{"value": "B"}]}}], "B"),
        (
            [
                {"op": "add", "path": "members", "value": [{"value": "A"}]},
                {"op": "remove", "path": "members", "value": [{"value": "A"}, {"value": "B"}]},
            ],
            "",
        ),
    ],
)
def test_members_change_in_every_style(scim: Provisioner, operations: list[dict[str, Any]], left: str) -> None:
    ids = {name: scim.user(f"{name}@example.org")["id"] for name in "AB"}
    scim.group("Cooks", *ids.values())
    text = str(operations)
    for name, key in ids.items():
        text = text.replace(f"'value': '{name}'", f"'value': '{key}'").replace(f'eq "{name}"', f'eq "{key}"')
    assert scim.patch("/Groups/cooks", *eval(text)).status_code == 204
    told = scim.call("GET", "/Groups/cooks").json()
    assert {one["value"] for one in told.get("members", [])} == {ids[name] for name in left}


def test_five_thousand_members_come_in_one_patch(ambit: Installation, scim: Provisioner) -> None:
    from core.tables import ExternalIdentity

    with ambit.runtime.db.write() as session:
        for number in range(5000):
            user = User(tenant_id=ambit.tenant, key=f"u-{number}", epoch_from=1, stated={})
            session.add(user)
        session.flush()
        session.add_all(
            ExternalIdentity(
                tenant_id=ambit.tenant, authority="scim:entra", kind="user", external_id=user.key, subject_id=user.id,
                body={"userName": user.key},
            )
            for user in session.scalars(select(User).where(User.key.startswith("u-")))
        )  # fmt: skip
    scim.group("Everybody")
    with ambit.runtime.db.read() as session:
        before = session.scalar(select(PolicyEpoch.epoch).where(PolicyEpoch.tenant_id == ambit.tenant)) or 0
    value = [{"value": f"u-{number}"} for number in range(5000)]
    assert scim.patch("/Groups/everybody", {"op": "add", "path": "members", "value": value}).status_code == 204
    with ambit.runtime.db.read() as session:
        assert (
            session.scalar(select(func.count()).select_from(Membership).where(Membership.origin == "scim:entra"))
            == 5000
        )
        assert session.scalar(select(PolicyEpoch.epoch).where(PolicyEpoch.tenant_id == ambit.tenant)) == before + 1
    told = scim.call("GET", "/Groups/everybody", None)
    assert len(told.json()["members"]) == 5000
    assert "members" not in scim.call("GET", "/Groups/everybody?excludedAttributes=members").json()
    assert scim.patch("/Groups/everybody", {"op": "remove", "path": "members", "value": value[1:]}).status_code == 204
    assert len(scim.call("GET", "/Groups/everybody").json()["members"]) == 1


@pytest.mark.usefixtures("canteen")
def test_cycles_of_groups_are_taken_and_harmless(ambit: Installation, scim: Provisioner) -> None:
    ana = scim.user("ana.lopez@example.org")
    scim.group("Cooks")
    scim.group("Kitchen", "cooks", ana["id"])
    looped = scim.patch(
        "/Groups/cooks", {"op": "add", "path": "members", "value": [{"value": "kitchen"}, {"value": "cooks"}]}
    )
    assert looped.status_code == 204
    assert {one["value"] for one in scim.call("GET", "/Groups/cooks").json()["members"]} == {"kitchen", "cooks"}
    assert _found(ambit, ana["id"]) == ["Canteen"]
    scim.patch("/Groups/kitchen", {"op": "remove", "path": "members", "value": [{"value": ana["id"]}]})
    assert _found(ambit, ana["id"]) == []


def test_each_sees_and_changes_only_what_it_wrote(ambit: Installation, scim: Provisioner) -> None:
    other = Provisioner(ambit, "okta")
    mine = scim.user("mine@example.org")
    assert other.call("GET", f"/Users/{mine['id']}").status_code == 404
    assert other.call("DELETE", f"/Users/{mine['id']}").status_code == 404
    assert other.call("GET", "/Users").json()["totalResults"] == 0
    assert scim.call("GET", "/Users/ana").status_code == 404
    body = {"schemas": [GROUP], "displayName": "Stolen", "members": [{"value": "ana"}]}
    refused = scim.call("POST", "/Groups", body)
    assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidValue")
    taken = scim.call("POST", "/Groups", {"schemas": [GROUP], "displayName": "Staff"})
    assert (taken.status_code, taken.json()["scimType"]) == (409, "uniqueness")
    address = [{"value": "ana@example.com"}]
    clash = scim.call("POST", "/Users", {"schemas": [USER], "userName": "x", "emails": address})
    assert clash.status_code == 409
    scim.group("Cooks", mine["id"])
    with ambit.runtime.db.write() as session:
        directory.set_members(session, ambit.tenant, "cooks", ["user:ana"])
    scim.call("PUT", "/Groups/cooks", {"schemas": [GROUP], "displayName": "Cooks", "members": []})
    with ambit.runtime.db.read() as session:
        ana = resolve_subject(session, Caller(ambit.tenant, "ana"))
        cooks = directory.intern(session, ambit.tenant, ["group:cooks"])["group:cooks"]
        assert cooks in ana.principals, "what an admin said stays"


def test_an_admin_links_a_user_and_both_are_heard(ambit: Installation, scim: Provisioner) -> None:
    body = {"email": "ana@example.com", "attributes": {"clearance": "public"}, "groups": ["engineering"]}
    linked = ambit.admin("PUT", "/v1/users/ana", json={**body, "identities": {"scim:entra": "guid-7"}})
    assert linked.json()["identities"] == {"scim:entra": "guid-7"}
    taken = ambit.admin("PUT", "/v1/users/bob", json={"identities": {"scim:entra": "guid-7"}})
    assert taken.status_code == 409
    made = scim.user("ana@example.com", externalId="guid-7", **{ENTERPRISE: {"department": "law"}})
    assert made["id"] == "ana"
    with ambit.runtime.db.read() as session:
        ana = session.scalars(select(User).where(User.key == "ana")).one()
        assert ana.attributes == {"clearance": "public", "department": "law"}
    scim.patch("/Users/ana", {"op": "replace", "path": "active", "value": False})
    ambit.admin("PUT", "/v1/users/ana", json=body)
    assert ambit.chat("/v1/retrieve", "ana", {"query": "x"}).status_code == 403, "either may end it"
    scim.call("DELETE", "/Users/ana")
    assert ambit.chat("/v1/retrieve", "ana", {"query": "x"}).status_code == 200, "an admin's word alone is left"


def test_a_removed_group_leaves_a_name_that_means_nobody(ambit: Installation, scim: Provisioner) -> None:
    ana = scim.user("ana.lopez@example.org")
    scim.group("Temps", ana["id"])
    ambit.push("b", "The canteen is closed.", title="Closed", access={"allow": ["everyone"], "deny": ["group:temps"]})
    assert (_found(ambit, "bob"), _found(ambit, ana["id"])) == (["Closed"], [])
    assert scim.call("DELETE", "/Groups/temps").status_code == 204
    assert (_found(ambit, "bob"), _found(ambit, ana["id"])) == ([], []), "a deny that lost its meaning closes"
    with ambit.runtime.db.read() as session:
        assert session.scalars(select(Group).where(Group.key == "temps")).all() == []


def test_lists_are_filtered_and_paged(scim: Provisioner) -> None:
    for number in range(5):
        scim.user(f"p{number}@example.org", displayName=f"Person {number}")
    first = scim.call("GET", "/Users?startIndex=1&count=2").json()
    last = scim.call("GET", "/Users?startIndex=5&count=2").json()
    assert (first["totalResults"], first["itemsPerPage"], last["itemsPerPage"]) == (5, 2, 1)
    assert scim.call("GET", "/Users?count=0").json()["totalResults"] == 5
    for asked in (
        'userName eq "P3@example.org"',
        'externalId eq "x-p3@example.org"',
        'emails[type eq "work"].value eq "p3@example.org"',
        'displayName eq "Person 3" and active eq true',
        'userName sw "p3"',
    ):
        told = scim.call("GET", "/Users?" + str(httpx.QueryParams({"filter": asked})))
        assert [one["userName"] for one in told.json()["Resources"]] == ["p3@example.org"], asked
    for asked in ('userName eq "nobody"', 'userName eq "x\\"y"', 'externalId eq "X-p3@example.org"'):
        told = scim.call("GET", "/Users?" + str(httpx.QueryParams({"filter": asked})))
        assert told.json()["totalResults"] == 0, asked
    wrong = scim.call("GET", "/Users?filter=userName+eqq+1")
    assert (wrong.status_code, wrong.json()["scimType"]) == (400, "invalidFilter")


def test_a_change_from_an_old_state_is_refused(scim: Provisioner) -> None:
    made = scim.user("ana.lopez@example.org")
    old = made["meta"]["version"]
    change = {"op": "replace", "path": "displayName", "value": "Ana"}
    new = scim.patch(f"/Users/{made['id']}", change, **{"If-Match": old}).headers["etag"]
    assert new != old
    assert scim.patch(f"/Users/{made['id']}", change, **{"If-Match": old}).status_code == 412
    assert scim.call("GET", f"/Users/{made['id']}", None, **{"If-None-Match": new}).status_code == 304
    assert scim.call("DELETE", f"/Users/{made['id']}", None, **{"If-Match": old}).status_code == 412


@pytest.mark.parametrize(
    "body",
    [
        None, [], "x", {}, {"schemas": [USER]}, {"schemas": [GROUP], "userName": "x"},
        {"schemas": [USER], "userName": "a@b.c", "active": "maybe"}, {"schemas": [USER], "userName": 7},
        {"schemas": [USER], "userName": ""},
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_in_scims_words(scim: Provisioner, body: Any) -> None:
    answer = scim.call("POST", "/Users", body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/scim+json"
    assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_only_a_key_with_the_right_may_provision(ambit: Installation, scim: Provisioner) -> None:
    for key in (ambit.admin_key, ambit.keys["chat"], ambit.keys["feeder"]):
        refused = ambit.call("GET", "/scim/v2/Users", key)
        assert (refused.status_code, refused.json()["status"]) == (403, "403")
    assert ambit.client.get("/scim/v2/Users").status_code == 401
    for method, path in (("GET", "/v1/users"), ("PUT", "/v1/groups/x"), ("POST", "/v1/retrieve"), ("GET", "/v1/runs")):
        assert ambit.call(method, path, scim.key, json={}).status_code in (403, 422)
    assert scim.call("GET", "/Nothing").json()["status"] == "404"


def test_what_is_provisioned_is_neither_shown_as_a_change_nor_pruned(ambit: Installation, scim: Provisioner) -> None:
    from api.declare.differences import plan

    scim.group("Cooks", scim.user("ana.lopez@example.org")["id"])
    with ambit.runtime.db.read() as session:
        gone = {(one.kind, one.id) for one in plan(session, ambit.tenant, [], prune=True)}
    assert ("Group", "staff") in gone
    assert {kind for kind, key in gone if key.startswith("u-") or key == "cooks"} == set()


@pytest.mark.parametrize("by", ["admin", "provisioner"])
def test_of_a_deleted_person_no_present_row_says_who_they_were(ambit: Installation, scim: Provisioner, by: str) -> None:
    made = scim.user("zoe.lopez@example.org", displayName="Zoe Lopez", **{ENTERPRISE: {"department": "kitchen"}})
    present = ("user", "external_identity")
    assert "lopez" in _texts(ambit, *present)
    if by == "admin":
        assert ambit.admin("DELETE", f"/v1/users/{made['id']}").status_code == 204
    else:
        assert scim.call("DELETE", f"/Users/{made['id']}").status_code == 204
    assert "lopez" not in _texts(ambit, *present)


def _texts(ambit: Installation, *tables: str) -> str:
    with ambit.runtime.db.read() as session:
        found = [session.execute(text(f'SELECT * FROM "{table}"')).all() for table in tables]
    return str(found).lower()
