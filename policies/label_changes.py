"""Labels that change while text waits: where an enforced rule reads them, the place is closed until both are in.

A rule may refuse by the old labels or by the new ones, and which of them the old text may be read under nobody can
say. A classification alone is no such case for rules that only refuse what ranks higher: the stricter of both holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy.orm import Session

from policies.labels import CLASSIFICATION
from policies.rules import Rule, open_rules

_HIGHER = re.compile(r"rank\(\s*document\.classification\s*\)\s*>=?")
_TURNED = re.compile(r"[!?=+*/%-]|\b(?:false|in|size)\b")


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> frozenset[str]:
    """Names of the labels that one of both states otherwise, or not at all."""
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def undecided(session: Session, tenant: int, old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether an enforced rule could let somebody read under a mixture of both whom one of them refuses."""
    names = changed(old, new)
    return any(reads(rule, names) for rule in open_rules(session, tenant))


def reads(rule: Rule, names: frozenset[str]) -> bool:
    """Whether it is enforced and what it says may widen while labels of these names change."""
    if not rule.enforced or not names or "document" not in rule.condition:
        return False
    return names != {CLASSIFICATION} or not _only_refuses_higher(rule)


def _only_refuses_higher(rule: Rule) -> bool:
    """Whether a higher classification can only make it refuse more; told from its text, in doubt not."""
    rest = _HIGHER.sub("", rule.condition)
    return rule.effect == "forbid" and "document" not in rest and _TURNED.search(rest) is None
