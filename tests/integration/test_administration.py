"""Administration by right over HTTP: every route declares one, and each holds for what it names alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from api.app import create_app
from api.runtime import Runtime
from core.settings import Settings
from core.tables import AuditEntry
from policies.grants import put_grant, remove_grant
from policies.rights import RIGHTS
from tests.integration.conftest import Installation

OPEN = {"/healthz", "/readyz", "/metrics"}
GRANT: dict[str, Any] = {"objects": ["*"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
MODEL = {"class": "llama_index.llms.openai_like.OpenAILike", "arguments": {"model": "m"}, "hosting": "external"}
ENTRIES = {"place": "notes:", "entries": [{"principal": "user:ana"}]}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "access.act_as user:eve": ("POST", "/v1/access/check", {"user": "eve", "document": "doc_none"}),
    "access.act_as user:*": ("POST", "/v1/access/who-can-read", {"document": "doc_none"}),
    "app.read app:chat": ("GET", "/v1/apps/chat", None),
    "app.write app:chat": ("PUT", "/v1/apps/chat", {}),
    "audit.read audit:*": ("GET", "/v1/audit", None),
    "classification.read classification:*": ("GET", "/v1/classifications", None),
    "classification.write classification:*": ("PUT", "/v1/classifications", {"order": ["internal", "secret"]}),
    "directory.write directory:none": ("DELETE", "/v1/directories/none", None),
    "document.read source:notes": ("GET", "/v1/documents?source=notes", None),
    "document.erase source:notes": ("POST", "/v1/sources/notes/readmit", {"id": "none"}),
    "entry.read source:notes": ("GET", "/v1/access/entries?source=notes", None),
    "entry.write source:notes": ("PUT", "/v1/access/entries", ENTRIES),
    "erasure.read erasure:*": ("GET", "/v1/erasures", None),
    "erasure.verify erasure:none": ("POST", "/v1/erasures/none/verify", None),
    "grant.read grant:none": ("GET", "/v1/grants/none", None),
    "grant.write grant:own": ("PUT", "/v1/grants/own", {"principals": ["user:eve"], "rights": ["grant.write"],
                                                       "objects": ["grant:own"]}),
    "group.read group:staff": ("GET", "/v1/groups/staff", None),
    "group.write group:staff": ("PUT", "/v1/groups/staff", {}),
    "key.read app:*": ("GET", "/v1/keys", None),
    "key.write app:chat": ("POST", "/v1/keys", {"app": "chat", "rights": ["query"]}),
    "model.read model:none": ("GET", "/v1/config/models/none", None),
    "model.write model:own": ("PUT", "/v1/config/models/own", MODEL),
    "policy.read policy:none": ("GET", "/v1/policies/none", None),
    "policy.write policy:one": ("PUT", "/v1/policies/one", {"effect": "forbid", "when": "false"}),
    "route.read route:*": ("GET", "/v1/config/routes", None),
    "route.write route:own": ("PUT", "/v1/config/routes/own", {"models": ["extractive"]}),
    "source.erase source:none": ("POST", "/v1/sources/none/erase", None),
    "source.read source:notes": ("GET", "/v1/sources/notes", None),
    "source.sync source:notes": ("POST", "/v1/sources/notes/sync", None),
    "source.write source:notes": ("PATCH", "/v1/sources/notes", {"schedule": {}}),
    "user.erase user:none": ("POST", "/v1/users/none/erase", None),
    "user.read user:eve": ("GET", "/v1/users/eve", None),
    "user.write user:eve": ("PUT", "/v1/users/eve", {}),
}  # fmt: skip


@pytest.fixture
def ops(ambit: Installation) -> str:
    """Key of an app that may administer, and is granted nothing."""
    return ambit.app("ops", ["admin", "query"], acts_for=["everyone"])


def grant(ambit: Installation, key: str, principal: str, right: str, target: str, **more: Any) -> None:
    with ambit.runtime.db.write() as session:
        body = {**GRANT, "principals": [principal], "rights": [right], "objects": [target], **more}
        put_grant(session, ambit.tenant, key, body)


def refused(answer: Any) -> bool:
    return answer.status_code == 403 and answer.json()["code"] == "forbidden"


def test_every_route_declares_a_right(tmp_path: Any) -> None:
    app = create_app(Runtime(Settings(_env_file=None, data_dir=tmp_path)), ready=dict)
    paths = app.openapi()["paths"]
    told = {f"{method} {path}": one["x-ambit-right"] for path, of in paths.items() for method, one in of.items()}
    assert len(told) > 50
    assert [one for one, rights in told.items() if not rights and one.partition(" ")[2] not in OPEN] == []
    named = {one.partition(" ")[0] for rights in told.values() for one in rights if not one.startswith("key:")}
    assert named <= set(RIGHTS)
    assert told["put /v1/groups/{key}"] == ["group.write group:{key}"]


def test_only_open_routes_are_without_a_key(ambit: Installation) -> None:
    paths = ambit.client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            answer = ambit.client.request(method.upper(), path)
            assert answer.status_code == (200 if path in OPEN else 401), (method, path)


AS_READER = {"document.read", "source.read"}
"""What a person is shown of these is what they may read, which takes no right to administer."""


def test_each_right_opens_what_it_names_and_nothing_else(ambit: Installation, ops: str) -> None:
    for need, (method, path, body) in REQUESTS.items():
        right, target = need.split(" ")
        assert refused(ambit.call(method, path, ops, json=body)), f"{need}: the key alone gives nothing"
        with ambit.runtime.db.write() as session:
            rest = {**GRANT, "principals": ["app:ops"], "rights": [one for one in RIGHTS if one != right]}
            put_grant(session, ambit.tenant, "rest", rest)
            put_grant(session, ambit.tenant, "elsewhere", {**rest, "rights": [right], "objects": ["group:elsewhere"]})
        assert refused(ambit.call(method, path, ops, json=body)), f"{need}: every other right is not this one"
        grant(ambit, "it", "app:ops", right, target)
        assert not refused(ambit.call(method, path, ops, json=body)), need
        if right not in AS_READER:
            assert refused(ambit.call(method, path, ops, json=body, user="bob")), f"{need}: an app lends nobody rights"
        grant(ambit, "all", "app:ops", right, "*")
        grant(ambit, "it", "app:ops", right, target, effect="deny")
        assert refused(ambit.call(method, path, ops, json=body)), f"{need}: a deny wins over everything"
        with ambit.runtime.db.write() as session:
            for key in ("rest", "elsewhere", "it", "all"):
                remove_grant(session, ambit.tenant, key)


def test_a_person_administers_one_group_and_no_other(ambit: Installation, ops: str) -> None:
    grant(ambit, "keepers", "group:staff", "group.*", "group:engineering")
    assert ambit.call("GET", "/v1/groups/engineering", ops, user="bob").status_code == 200
    assert refused(ambit.call("GET", "/v1/groups", ops, user="bob"))
    put = ambit.call("PUT", "/v1/groups/engineering", ops, user="bob", json={"groups": ["staff"], "members": []})
    assert put.status_code == 200, put.text
    wider = {"groups": ["staff", "board"], "members": []}
    assert refused(ambit.call("PUT", "/v1/groups/engineering", ops, user="bob", json=wider)), "that is board's to say"
    assert refused(ambit.call("PUT", "/v1/groups/engineering", ops, user="eve", json={}))
    with ambit.runtime.db.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.kind == "admin.group.put")).all()[-1]
        assert (entry.actor, entry.body["app"]) == ("user:bob", "ops")
        assert entry.body["before"] == {"id": "engineering", "members": ["user:ana"], "groups": ["staff"]}
        assert entry.body["after"] == {"id": "engineering", "members": [], "groups": ["staff"]}


def test_a_person_is_put_only_into_groups_that_one_may_change(ambit: Installation, ops: str) -> None:
    grant(ambit, "people", "app:ops", "user.write", "user:*")
    body = {"email": "ana@example.com", "groups": ["engineering"]}
    assert ambit.call("PUT", "/v1/users/ana", ops, json=body).status_code == 200
    assert refused(ambit.call("PUT", "/v1/users/ana", ops, json={**body, "groups": ["engineering", "staff"]}))
    assert refused(ambit.call("DELETE", "/v1/users/ana", ops))
    grant(ambit, "engineering", "app:ops", "group.write", "group:engineering")
    assert ambit.call("DELETE", "/v1/users/ana", ops).status_code == 204


def test_naming_people_is_not_an_apps_own_to_give(ambit: Installation, ops: str) -> None:
    grant(ambit, "apps", "app:ops", "app.write", "app:chat")
    assert refused(ambit.call("PUT", "/v1/apps/chat", ops, json={"acts_for": ["everyone", "user:ana"]}))
    assert ambit.call("PUT", "/v1/apps/chat", ops, json={"acts_for": []}).status_code == 200
    assert refused(ambit.call("PUT", "/v1/apps/chat", ops, json={"acts_for": ["everyone"]}))


def test_nobody_gives_themselves_more(ambit: Installation, ops: str) -> None:
    grant(ambit, "keeper", "app:ops", "grant.write", "*")
    more = {"principals": ["app:ops"], "rights": ["key.write"]}
    assert refused(ambit.call("PUT", "/v1/grants/more", ops, json=more))
    assert refused(ambit.call("PUT", "/v1/grants/more", ops, json={**more, "rights": ["*"]}))
    same = {"principals": ["user:eve"], "rights": ["grant.write"], "objects": ["grant:eves"]}
    assert ambit.call("PUT", "/v1/grants/eves", ops, json=same).status_code == 201
    deny = {"principals": ["user:bob"], "rights": ["key.write"], "effect": "deny"}
    assert ambit.admin("PUT", "/v1/grants/not-bob", json=deny).status_code == 201
    assert refused(ambit.call("DELETE", "/v1/grants/not-bob", ops)), "a deny is lifted by who may do everything"
    assert refused(ambit.call("PUT", "/v1/grants/not-bob", ops, json=same))


def test_the_first_admin_cannot_be_locked_out(ambit: Installation) -> None:
    prefix = ambit.admin_key.split("_")[1]
    for method, path, body in (
        ("DELETE", "/v1/grants/admin", None),
        ("DELETE", "/v1/apps/admin", None),
        ("PUT", "/v1/apps/admin", {"active": False}),
        ("DELETE", f"/v1/keys/{prefix}", None),
        ("PUT", "/v1/grants/no", {"principals": ["app:admin"], "rights": ["*"], "effect": "deny"}),
        ("PUT", "/v1/grants/no", {"principals": ["user:ghost"], "rights": ["grant.*"], "effect": "deny"}),
    ):
        answer = ambit.admin(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), (path, answer.text)
    assert ambit.admin("GET", "/v1/grants").status_code == 200
    other = {"principals": ["app:ops"], "rights": ["*"]}
    ambit.app("ops", ["admin"])
    assert ambit.admin("PUT", "/v1/grants/ops", json=other).status_code == 201
    assert ambit.admin("DELETE", "/v1/grants/admin").status_code == 204
    assert refused(ambit.admin("GET", "/v1/grants"))


def test_a_right_is_explained_to_who_asks_and_to_who_may_see_grants(ambit: Installation, ops: str) -> None:
    grant(ambit, "keepers", "group:staff", "group.*", "group:engineering")
    asked = {"right": "group.write", "object": "group:engineering"}
    own = ambit.call("POST", "/v1/access/rights", ops, user="bob", json=asked).json()
    assert (own["allowed"], own["grant"], own["path"]) == (True, "keepers", ["user:bob", "group:staff"])
    assert refused(ambit.call("POST", "/v1/access/rights", ops, user="eve", json={**asked, "user": "bob"}))
    told = ambit.admin("POST", "/v1/access/rights", json={**asked, "user": "bob"}).json()
    assert told == own
    assert ambit.admin("POST", "/v1/access/rights", json={**asked, "right": "none"}).status_code == 422


def test_rules_are_put_checked_listed_and_ended(ambit: Installation) -> None:
    rule = {"effect": "forbid", "when": "principal.department == 'law'", "enforced": False}
    made = ambit.admin("PUT", "/v1/policies/law", json=rule, headers={"Idempotency-Key": "one"})
    assert (made.status_code, made.json()) == (201, {"id": "law", **rule})
    again = ambit.admin("PUT", "/v1/policies/law", json=rule, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()) == (201, made.json())
    other = ambit.admin("PUT", "/v1/policies/law", json={**rule, "when": "false"}, headers={"Idempotency-Key": "one"})
    assert other.json()["code"] == "idempotency_mismatch"
    (listed,) = ambit.admin("GET", "/v1/policies").json()["data"]
    assert listed["reported"] == {"queries": 0, "documents": 0, "places": 0, "last_at": None}
    wrong = ambit.admin("PUT", "/v1/policies/law", json={**rule, "when": "true &&\n principal.clearanc == 'x'"})
    assert wrong.status_code == 422
    assert "line 2, column 12" in wrong.json()["detail"]
    assert ambit.admin("PUT", "/v1/policies/law", json=rule, headers={"If-Match": '"other"'}).status_code == 412
    tag = {"If-Match": ambit.admin("GET", "/v1/policies/law").headers["ETag"]}
    assert ambit.admin("PUT", "/v1/policies/law", json={**rule, "enforced": True}, headers=tag).status_code == 200
    assert ambit.admin("DELETE", "/v1/policies/law", headers=tag).status_code == 412
    assert ambit.admin("DELETE", "/v1/policies/law").status_code == 204
    assert ambit.admin("GET", "/v1/policies/law").status_code == 404
    assert ambit.admin("DELETE", "/v1/policies/law").status_code == 404


def test_the_order_of_classifications_is_read_and_changed(ambit: Installation) -> None:
    first = ambit.admin("GET", "/v1/classifications")
    assert first.json() == {"order": ["public", "internal", "confidential", "restricted"]}
    tag = {"If-Match": first.headers["ETag"]}
    order = {"order": ["internal", "secret"]}
    assert ambit.admin("PUT", "/v1/classifications", json=order, headers=tag).json() == order
    assert ambit.admin("PUT", "/v1/classifications", json=order, headers=tag).status_code == 412
    assert ambit.admin("PUT", "/v1/classifications", json={"order": ["secret"]}).status_code == 422
    with ambit.runtime.db.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.kind == "admin.classification.put")).one()
        assert (entry.body["before"], entry.body["after"]) == (first.json()["order"], order["order"])


def test_what_admins_state_is_listed_and_denies_of_nobody_are_waived(ambit: Installation) -> None:
    ambit.push("menu", "Soup on Mondays.")
    label = {"place": "notes:", "name": "region", "value": "eu"}
    body = {"place": "notes:", "entries": [{"principal": "user:eve"}], "labels": {"region": "eu"}}
    assert ambit.admin("PUT", "/v1/access/entries", json=body).status_code == 200
    assert len(ambit.found("eve", "soup")) == 1
    stated = ambit.admin("GET", "/v1/access/entries?source=notes").json()
    assert [one["principal"] for one in stated["entries"]] == ["user:eve"]
    assert stated["labels"] == [label]
    ghost = {"place": "notes:", "entries": [{"principal": "user:ghost", "effect": "deny"}]}
    assert ambit.admin("PUT", "/v1/access/entries", json=ghost).status_code == 200
    assert ambit.found("ana", "soup") == []
    (deny,) = ambit.admin("GET", "/v1/access/entries").json()["entries"]
    answer = ambit.admin("POST", f"/v1/access/entries/{deny['id']}/waive")
    assert answer.json() == {"entry": deny["id"], "waived": True}
    assert len(ambit.found("ana", "soup")) == 1


def test_an_app_cannot_be_in_a_group(ambit: Installation) -> None:
    answer = ambit.admin("PUT", "/v1/groups/staff", json={"members": ["app:chat"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "app:chat cannot be in a group" in answer.json()["detail"]
    tried = {"join": [{"group": "staff", "member": "app:chat"}]}
    assert ambit.admin("POST", "/v1/access/simulate", json=tried).status_code == 422
