"""Who may call at all, and for whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from api import keys
from core.clock import db_in, utc_now
from core.tables import ApiKey
from policies import directory
from tests.integration.conftest import Installation

ASK = {"query": "travel"}


def test_every_bad_key_gets_the_same_refusal(ambit: Installation) -> None:
    good = ambit.keys["chat"]
    with ambit.runtime.db.write() as session:
        row, expired = keys.create(session, ambit.runtime.keyring, ambit.tenant, "chat", ["query"])
        row.expires_at = db_in(-1)
        directory.put_app(session, ambit.tenant, "off", acts_for=["everyone"], active=False)
        _, inactive = keys.create(session, ambit.runtime.keyring, ambit.tenant, "off", ["query"])
    prefix = good.split("_")[1]
    bad = ["wrong", f"ambit_{prefix}_guess", f"ambit_{'0' * 12}_{good.split('_', 2)[2]}", expired, inactive, good + "x"]
    answers = [ambit.call("POST", "/v1/retrieve", key, user="ana", json=ASK) for key in bad]
    answers.append(ambit.client.post("/v1/retrieve", json=ASK))
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json() | {"request_id": ""} == answers[0].json() | {"request_id": ""}
    assert ambit.call("POST", "/v1/retrieve", good, user="ana", json=ASK).status_code == 200


def test_a_key_may_come_in_either_header_but_not_two_different_ones(ambit: Installation) -> None:
    key = ambit.keys["chat"]
    headers = {"X-Ambit-User": "ana", "X-API-Key": key}
    assert ambit.client.post("/v1/retrieve", json=ASK, headers=headers).status_code == 200
    both = {**headers, "Authorization": f"Bearer {ambit.admin_key}"}
    assert ambit.client.post("/v1/retrieve", json=ASK, headers=both).status_code == 401


def test_a_revoked_key_is_refused_at_the_next_call(ambit: Installation) -> None:
    made = ambit.admin("POST", "/v1/keys", json={"app": "chat", "rights": ["query"]}).json()
    assert ambit.call("POST", "/v1/retrieve", made["key"], user="ana", json=ASK).status_code == 200
    assert ambit.admin("DELETE", f"/v1/keys/{made['prefix']}").json()["revoked_at"] is not None
    assert ambit.call("POST", "/v1/retrieve", made["key"], user="ana", json=ASK).status_code == 401


def test_an_expiring_key_ends(ambit: Installation) -> None:
    body = {"app": "chat", "rights": ["query"], "expires_at": (utc_now() + timedelta(hours=1)).isoformat()}
    made = ambit.admin("POST", "/v1/keys", json=body).json()
    assert ambit.call("POST", "/v1/retrieve", made["key"], user="ana", json=ASK).status_code == 200
    with ambit.runtime.db.write() as session:
        row = keys.find(session, ambit.tenant, made["prefix"])
        row.expires_at = utc_now() - timedelta(seconds=5)
    assert ambit.call("POST", "/v1/retrieve", made["key"], user="ana", json=ASK).status_code == 401


def test_the_key_is_shown_once_and_stored_nowhere(ambit: Installation) -> None:
    made = ambit.admin("POST", "/v1/keys", json={"app": "chat", "rights": ["query"]}).json()
    secret = made["key"].split("_", 2)[2]
    listed = ambit.admin("GET", "/v1/keys").text
    assert made["prefix"] in listed
    assert secret not in listed
    with ambit.runtime.db.read() as session:
        assert secret not in str(session.execute(text("SELECT * FROM api_key")).all())
        assert secret not in str(session.execute(text("SELECT * FROM audit_entry")).all())


def test_the_first_start_makes_one_admin_key(ambit: Installation) -> None:
    with ambit.runtime.db.write() as session:
        assert keys.bootstrap(session, ambit.runtime) is None
        assert session.query(ApiKey).count() == 3


@pytest.mark.parametrize("path", ["/v1/retrieve", "/v1/query"])
def test_a_query_names_a_person(ambit: Installation, path: str) -> None:
    answer = ambit.call("POST", path, ambit.keys["chat"], json=ASK)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "X-Ambit-User"


def test_two_names_are_none(ambit: Installation) -> None:
    headers = [("Authorization", f"Bearer {ambit.keys['chat']}"), ("X-Ambit-User", "ana"), ("X-Ambit-User", "bob")]
    assert ambit.client.post("/v1/retrieve", json=ASK, headers=headers).status_code == 422


def test_an_app_acts_only_for_its_people_and_hides_who_exists(ambit: Installation) -> None:
    key = ambit.app("eng-chat", ["query"], acts_for=["group:engineering"])
    assert ambit.call("POST", "/v1/retrieve", key, user="ana", json=ASK).status_code == 200
    assert ambit.call("POST", "/v1/retrieve", key, user="ANA@example.com", json=ASK).status_code == 200
    with ambit.runtime.db.write() as session:
        directory.put_user(session, ambit.tenant, "gone", active=False)
    refused = [
        ambit.call("POST", "/v1/retrieve", key, user=name, json=ASK)
        for name in ("bob", "bob@example.com", "nobody", "nobody@example.com", "gone", "user:bob", "::", "everyone")
    ]
    bodies = {str(answer.json() | {"request_id": ""}) for answer in refused}
    assert {answer.status_code for answer in refused} == {403}
    assert len(bodies) == 1


def test_rights_are_needed(ambit: Installation) -> None:
    chat, feeder = ambit.keys["chat"], ambit.keys["feeder"]
    document = {"source": "notes", "id": "a", "text": "x"}
    assert ambit.call("POST", "/v1/documents", chat, json=document).status_code == 403
    assert ambit.call("POST", "/v1/retrieve", feeder, user="ana", json=ASK).status_code == 403
    for path in ("/v1/keys", "/v1/users", "/v1/groups", "/v1/apps", "/v1/runs"):
        assert ambit.call("GET", path, chat).status_code == 403
        assert ambit.admin("GET", path).status_code == 200


def test_an_admin_is_not_a_reader(ambit: Installation) -> None:
    ambit.push("a", "The travel budget is 400 euro.")
    assert ambit.call("POST", "/v1/retrieve", ambit.admin_key, user="ana", json=ASK).status_code == 403
    key = ambit.admin("POST", "/v1/keys", json={"app": "admin", "rights": ["query", "admin"]}).json()["key"]
    assert ambit.call("POST", "/v1/retrieve", key, user="ana", json=ASK).status_code == 403
    listed = ambit.admin("GET", "/v1/documents")
    assert listed.json()["data"][0]["title"]
    assert "400 euro" not in listed.text
    assert ambit.admin("GET", f"/v1/documents/{listed.json()['data'][0]['id']}/passages").status_code == 403


def test_access_that_cannot_be_decided_is_a_503(ambit: Installation) -> None:
    with ambit.runtime.db.write() as session:
        session.execute(text("ALTER TABLE membership RENAME TO membership_away"))
    answer = ambit.chat("/v1/retrieve", "ana", ASK)
    assert answer.status_code == 503
    assert answer.json()["code"] == "access_undecided"
    assert "membership" not in answer.text
