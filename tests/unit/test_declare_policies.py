"""`kind: Policy`: planned, applied, pruned; what cannot mean anything is refused before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.db import Database
from core.errors import InvalidError
from policies import rules
from tests.factories.cases import GUIDE
from tests.unit.test_declare_apply import Tenant

USER = "kind: User\nid: ana\nattributes: {wage: 3}\n"
RULE = "kind: Policy\nid: pay\neffect: forbid\nwhen: principal.wage > 2\n"
COUNTED = RULE + "enforced: false\n"


@pytest.fixture
def tenant(sqlite_db: Database, tmp_path: Path) -> Tenant:
    return Tenant(sqlite_db, tmp_path)


def _standing(tenant: Tenant) -> list[tuple[str, str, str, bool]]:
    with tenant.db.read() as session:
        return [(r.key, r.effect, r.condition, r.enforced) for r in rules.open_rules(session, tenant.id)]


def test_a_policy_is_planned_applied_changed_and_pruned(tenant: Tenant) -> None:
    both = f"{USER}---\n{RULE}"
    assert {one.action for one in tenant.plan(both)} == {"create"}
    assert tenant.apply(both) == {"User/ana": "create", "Policy/pay": "create"}
    assert _standing(tenant) == [("pay", "forbid", "principal.wage > 2", True)]
    epoch = tenant.epoch()
    assert set(tenant.apply(both).values()) == {"unchanged"}
    assert tenant.epoch() == epoch
    (change,) = [one for one in tenant.plan(f"{USER}---\n{COUNTED}") if one.kind == "Policy"]
    assert [(one.field, one.before, one.after) for one in change.fields] == [("enforced", True, False)]
    tenant.apply(COUNTED)
    assert _standing(tenant) == [("pay", "forbid", "principal.wage > 2", False)]
    assert tenant.epoch() == epoch + 1
    assert tenant.apply(USER, prune=True) == {"User/ana": "unchanged", "Policy/pay": "delete"}
    assert _standing(tenant) == []
    assert tenant.epoch() == epoch + 2


def test_the_guides_policy_is_applied_as_it_stands(tenant: Tenant) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert tenant.apply(example) == {"Policy/clearance": "create"}
    assert _standing(tenant) == [
        ("clearance", "forbid", "rank(document.classification) > rank(principal.clearance)", True)
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RULE, "'when': line 1, column 11: unknown attribute principal.wage"),
        (RULE.replace("principal.wage > 2", "rank('cosmic') > 1"), "'when': line 1, column 6: 'cosmic' is no"),
        (RULE.replace("principal.wage > 2", "principal.id =="), "'when': line 1, column 16: did not expect"),
        (RULE.replace("principal.wage > 2", "document.region > 1"), "'when': line 1, column 17: > cannot be between"),
        (RULE.replace("principal.wage > 2", "true"), "'when': Input should be a valid string"),
        (RULE.replace("forbid", "deny"), "'effect': Input should be 'permit' or 'forbid'"),
        (RULE + "where: x\n", "'where': unknown key"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_document_and_place(tenant: Tenant, text: str, told: str) -> None:
    before = tenant.dump()
    with pytest.raises(InvalidError) as refused:
        tenant.apply(text)
    assert "Policy 'pay'" in refused.value.detail
    assert told in refused.value.detail
    assert tenant.dump() == before


def test_a_policy_may_speak_of_users_declared_with_it(tenant: Tenant) -> None:
    assert tenant.apply(f"{RULE}---\n{USER}") == {"User/ana": "create", "Policy/pay": "create"}
