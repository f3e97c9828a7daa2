"""What is refused when a rule is saved, and where the message says that it is."""

from __future__ import annotations

import re
from datetime import UTC

import pytest

from core.db import Database, now
from core.errors import InvalidError
from policies import directory, subject
from policies.rules import Asking, Rule, Signature
from policies.rules_check import check, unknown_attribute
from policies.rules_compiled import ranked
from policies.rules_store import check_condition
from policies.rules_syntax import DEEPEST, LONGEST, RuleError
from tests.factories.cases import GUIDE

LIST = ("public", "internal", "confidential", "restricted")
GOOD = [
    "rank(document.classification) > rank(principal.clearance)",
    "true",
    "principal.badge",
    "has(principal.badge) && principal.badge == 'x'",
    "'cost-centre' in document && document['cost-centre'] == 'a'",
    "principal.groups.exists(g, g.startsWith('hr-'))",
    "size(principal.groups) > 3 || principal.groups.size() == 0",
    "principal.projects.filter(p, p != 'x').size() > 0",
    "principal.groups.map(g, size(g)).all(n, n > 1)",
    "[1, 2].map(x, x > 1, x * 2)[0] == 4",
    "request.time.getHours() >= 8 && request.time.getDayOfWeek() in [1, 2, 3, 4, 5]",
    "request.time - timestamp('2020-01-01T00:00:00Z') > duration('24h')",
    "document.department in {'hr': 1, 'law': 2}",
    "principal.level * 2 + 1 >= 7 ? true : has(app.id)",
    "!(source.id == 'wiki') // not the wiki\n && -1 < 0",
    "document.department.matches('^(hr|law)$')",
    "rank('confidential') <= rank(document.classification)",
    "int(principal.level) % 2 == 0",
    "principal.clearance == null",
    "1.5 < 2 && 3u == 3",
]
BAD = {
    "document.clasification == 'x'": (1, 10, "unknown attribute document.clasification; did you mean classification?"),
    "true &&\n  principal.wage > 1": (2, 13, "unknown attribute principal.wage"),
    "source.owner == 'x'": (1, 8, "unknown attribute source.owner"),
    "has(request.ip)": (1, 13, "unknown attribute request.ip"),
    "user.id == 'ana'": (1, 1, "unknown name user"),
    "princpal.id == 'a'": (1, 1, "did you mean principal?"),
    "rank > 1": (1, 1, "unknown name rank"),
    "ranks(document.classification) > 1": (1, 1, "unknown function ranks; did you mean rank?"),
    "rank('secret') > 1": (1, 6, "'secret' is no classification; the list is public"),
    "rank(3) > 1": (1, 6, "is int, but string is needed here"),
    "rank('public', 'internal') > 1": (1, 1, "rank takes one value"),
    "document.classification": (1, 10, "the rule is string; it must be true or false"),
    "principal.groups": (1, 11, "the rule is list(string); it must be true or false"),
    "document.classification > 3": (1, 25, "> cannot be between string and int"),
    "document.classification == 3": (1, 25, "== cannot be between string and int"),
    "principal.id && true": (1, 11, "is string, but bool is needed here"),
    "!principal.id": (1, 12, "is string, but bool is needed here"),
    "principal.id ? true : false": (1, 11, "is string, but bool is needed here"),
    "principal.id + 1 == 2": (1, 14, "+ cannot be between string and int"),
    "1 + 1.5 > 2.0": (1, 3, "+ cannot be between int and double"),
    "'a' in 'abc'": (1, 8, "is string, but list or map is needed here"),
    "1 in principal.groups": (1, 3, "in cannot be between int and string"),
    "principal.groups['a'] == 'b'": (1, 18, "a list is looked up by int, not by string"),
    "principal.id.name == 'a'": (1, 14, "string has no attribute name"),
    "principal.id.startsWith(1)": (1, 25, "is int, but string is needed here"),
    "principal.id.lowerAscii() == 'a'": (1, 14, "unknown function lowerAscii"),
    "request.time > '2020'": (1, 14, "> cannot be between timestamp and string"),
    "principal.groups.exists(principal, true)": (1, 18, "principal has a meaning of its own"),
    "principal.groups.exists(g, principal.groups.exists(h, h == g))": (1, 45, "may not stand within another"),
    "principal.groups.exists(g, 'a')": (1, 28, "is string, but bool is needed here"),
    "principal.groups.exists('a')": (1, 18, "exists takes a name and a condition"),
    "has(principal)": (1, 1, "has takes an attribute"),
    "document.department.matches('(')": (1, 29, "is no regular expression"),
    "": (1, 1, "did not expect 'the end'"),
    "principal.id ==": (1, 16, "did not expect 'the end'"),
    "principal.id == 'a' 'b'": (1, 21, "did not expect"),
    "(true": (1, 6, "expected ')' before 'the end'"),
    "true;": (1, 5, "';' is not understood here"),
    "principal.id == 'a": (1, 17, "is not understood here"),
    "principal.id == r'a'": (1, 17, "plain quotes"),
    "principal.id == '''a'''": (1, 17, "plain quotes"),
    "true)": (1, 5, "did not expect ')'"),
    "principal.id == \"a\\q\"": (1, 14, "is not understood"),
}  # fmt: skip


def _check_all(text: str) -> None:
    """As it is saved in a tenant in which nobody states anything."""
    for root, name, at in check_condition(text, LIST).open:
        raise unknown_attribute(text, root, name, at)


@pytest.mark.parametrize("text", GOOD)
def test_a_good_rule_is_taken(text: str) -> None:
    check_condition(text, LIST)


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_rule_is_refused_with_its_place(text: str) -> None:
    line, column, told = BAD[text]
    with pytest.raises(RuleError) as refused:
        _check_all(text)
    assert told in refused.value.detail
    assert (refused.value.extra["line"], refused.value.extra["column"]) == (line, column)
    assert refused.value.detail.startswith(f"line {line}, column {column}: ")
    assert isinstance(refused.value, InvalidError)
    assert refused.value.extra["errors"][0]["field"] == "when"


@pytest.mark.parametrize("text", ["(" * (DEEPEST + 1) + "true" + ")" * (DEEPEST + 1), "true" + " || true" * LONGEST])
def test_a_rule_too_deep_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        check(text)


def test_a_guard_lets_an_attribute_be_that_nobody_states_yet() -> None:
    assert check("principal.wage > 3").open == (("principal", "wage", 10),)
    assert check("has(principal.wage) && principal.wage > 3").open == ()
    assert check("'wage' in principal && principal['wage'] > 3").open == ()
    assert check("has(document.wage) && principal.wage > 3").open == (("principal", "wage", 32),)


def test_who_reads_the_request_is_known() -> None:
    assert check("request.time > timestamp('2020-01-01T00:00:00Z')").reads_request
    assert not check("principal.id == 'request.time'").reads_request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rank(principal.clearance) > 1", "rank[principal.clearance] > 1"),
        ("'rank(x)' == 'a' || rank( (\"public\") )==0", "'rank(x)' == 'a' || rank[ (\"public\") ]==0"),
        ("rank // a ( here\n (document.classification) > 1", "rank // a ( here\n [document.classification] > 1"),
    ],
)
def test_rank_becomes_a_look_up_and_text_stays_text(text: str, expected: str) -> None:
    assert ranked(text) == expected


THE_GUIDES = {
    "&& || ! ?:": "(true ? principal.id == 'ana' : false) && !false || false",
    "in": "'ana' in [principal.id]",
    "has": "has(principal.id)",
    "size": "size(principal.id) == 3",
    "startsWith": "principal.id.startsWith('a')",
    "endsWith": "principal.id.endsWith('na')",
    "contains": "principal.id.contains('n')",
    "matches": "principal.id.matches('^a.a$')",
    "all": "[1, 2].all(x, x > 0)",
    "exists": "[1, 2].exists(x, x > 1)",
    "exists_one": "[1, 2].exists_one(x, x > 1)",
    "map": "[1, 2].map(x, x * 2)[1] == 4",
    "filter": "[1, 2].filter(x, x > 1).size() == 1",
    "int": "int('3') + 1 == 4",
    "double": "double('1.5') == 1.5",
    "string": "string(3) == '3'",
    "timestamp": "timestamp('2020-01-01T00:00:00Z') < request.time",
    "duration": "duration('1h') > duration('1m')",
    "getHours": "timestamp('2020-01-01T07:00:00Z').getHours() == 7",
}


def test_what_the_guide_offers_is_saved_and_holds(sqlite_db: Database) -> None:
    offered = GUIDE.read_text().split("Conditions are CEL's core:")[1].split("and the like")[0]
    assert re.findall(r"`([^`]+)`", offered) == list(THE_GUIDES)
    with sqlite_db.write() as session:
        tenant = directory.put_tenant(session, "t").id
        directory.put_user(session, tenant, "ana")
        who = subject.resolve_subject(session, subject.Caller(tenant, "ana"))
        asking = Asking(session, who, now(session), LIST)
        hour = f"request.time.getHours() == {asking._variables['request']['time'].astimezone(UTC).hour}"
        for condition in (*THE_GUIDES.values(), hour):
            check_condition(condition, LIST)
            assert asking.outcome(Rule(1, "r", "permit", condition), Signature((), "s", "push")) == "holds", condition
