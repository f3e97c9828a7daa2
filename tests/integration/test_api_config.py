"""Models, routes and directories over HTTP: by their own rights, checked as their documents are, secrets hidden."""

from __future__ import annotations

from typing import Any

import pytest

from api.actors import Actor
from api.changes import Asked, perform
from api.declare.shapes import Declared, check
from api.operations_config import documents
from core.errors import ForbiddenError
from policies.grants import put_grant
from tests.integration.conftest import Installation

OPS = ["model:*", "group:cooks", "user:*"]
MODEL: dict[str, Any] = {
    "class": "llama_index.llms.openai_like.OpenAILike",
    "arguments": {"model": "m", "api_base": "http://127.0.0.1:1", "api_key": {"secret": "LOCAL"}},
    "hosting": "internal",
}


def test_a_model_and_its_route_come_and_go(ambit: Installation) -> None:
    made = ambit.admin("PUT", "/v1/config/models/local", json=MODEL)
    assert made.status_code == 201, made.text
    assert made.json()["body"]["arguments"]["api_key"] == {"secret": "LOCAL"}
    assert ambit.admin("PUT", "/v1/config/routes/main", json={"models": ["local", "extractive"]}).status_code == 201
    names = {one["id"] for one in ambit.call("GET", "/v1/models", ambit.keys["chat"]).json()["data"]}
    assert {"local", "main"} <= names, "the next question may name it"
    told = ambit.admin("GET", "/v1/config/models/local")
    assert told.json() == made.json()
    assert [one["id"] for one in ambit.admin("GET", "/v1/config/routes").json()["data"]] == ["main"]
    tag = {"If-Match": told.headers["ETag"]}
    changed = {**MODEL, "max_classification": "internal"}
    assert ambit.admin("PUT", "/v1/config/models/local", json=changed, headers=tag).status_code == 200
    assert ambit.admin("PUT", "/v1/config/models/local", json=MODEL, headers=tag).status_code == 412
    named = ambit.admin("DELETE", "/v1/config/models/local")
    assert (named.status_code, "there is no model 'local'" in named.text) == (422, True)
    assert ambit.admin("DELETE", "/v1/config/routes/main").status_code == 204
    assert ambit.admin("DELETE", "/v1/config/models/local").status_code == 204
    assert ambit.admin("GET", "/v1/config/models/local").status_code == 404
    assert ambit.admin("DELETE", "/v1/config/models/local").status_code == 404
    (last,) = ambit.admin("GET", "/v1/audit?action=admin.model.delete").json()["data"]
    assert last["body"]["before"]["max_classification"] == "internal"
    assert last["body"]["after"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("models/x", {}), ("models/x", {**MODEL, "hosting": "moon"}),
        ("models/X y", MODEL), ("routes/x", {"models": ["none"]}), ("routes/x", {"models": []}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(ambit: Installation, path: str, body: dict[str, Any]) -> None:
    assert ambit.admin("PUT", f"/v1/config/{path}", json=body).status_code == 422


def test_a_class_of_others_is_named_at_the_machine_alone(ambit: Installation) -> None:
    refused = ambit.admin("PUT", "/v1/config/models/x", json={**MODEL, "class": "os.system"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert ambit.admin("GET", "/v1/config/models/x").status_code == 404


def test_a_directory_is_registered_and_ended(ambit: Installation) -> None:
    body = {"config": {"url": "ldaps://ldap.invalid", "base": "dc=example"}, "max_age": "24h"}
    assert ambit.admin("PUT", "/v1/directories/corp", json=body).status_code == 201
    assert ambit.admin("GET", "/v1/directories/corp").json()["access"]["max_age_s"] == 86_400
    plain = {**body, "config": {**body["config"], "bind_password": "hunter2"}}
    refused = ambit.admin("PUT", "/v1/directories/corp", json=plain)
    assert (refused.status_code, "hunter2" in refused.text) == (422, False)
    assert ambit.admin("DELETE", "/v1/directories/corp").status_code == 204
    assert ambit.admin("GET", "/v1/directories/corp").status_code == 404


def test_applying_takes_for_each_object_what_changing_it_alone_takes(ambit: Installation) -> None:
    """Somebody who is not at the machine: what a file would change is decided object by object."""
    ambit.app("ops", ["admin"])
    grant = {"principals": ["app:ops"], "effect": "allow", "app": None, "not_before": None, "expires_at": None}
    with ambit.runtime.db.write() as session:
        rights = ["model.write", "group.write", "user.write"]
        put_grant(session, ambit.tenant, "ops", {**grant, "rights": rights, "objects": OPS})
    actor = Actor(ambit.tenant, "app:ops", "app:ops", app="ops")

    def apply(*found: tuple[str, str, dict[str, Any]], prune: bool = False) -> None:
        declared = [Declared(kind, key, check(kind, key, body)) for kind, key, body in found]
        perform(ambit.runtime, actor, Asked("config.apply", {"documents": documents(declared), "prune": prune}))

    apply(("Model", "local", MODEL), ("Group", "cooks", {}), ("User", "zoe", {"groups": ["cooks"]}))
    for kind, key, body, lacks in (
        ("Route", "main", {"models": ["local"]}, "route.write"),
        ("Group", "other", {}, "group.write"),
        ("User", "zoe", {"groups": ["cooks", "staff"]}, "group.write"),
        ("Grant", "more", {"principals": ["app:ops"], "rights": ["model.write"]}, "nobody gives"),
        ("App", "chat", {"acts_for": []}, "app.write"),
        ("Source", "new", {"connector": "push"}, "source.write"),
        ("Policy", "p", {"effect": "forbid", "when": "false"}, "policy.write"),
        ("Directory", "corp", {"config": {"url": "ldaps://l.invalid", "base": "dc=x"}}, "directory.write"),
    ):
        with pytest.raises(ForbiddenError, match=lacks):
            apply((kind, key, body))
    with pytest.raises(ForbiddenError):
        apply(("Model", "local", MODEL), prune=True)
    assert {one["id"] for one in ambit.admin("GET", "/v1/groups").json()["data"]} == {"staff", "engineering", "cooks"}
