"""Conditions of rules, compiled once a process, and what each of them reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from policies.rules_syntax import Node, RuleError, parse

if TYPE_CHECKING:
    import cel


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition as it is evaluated. `program` None: it cannot be compiled, and so errs, like any other error.

    `labels_read` names the labels of a place that it reads; None: it may read anything of a place. `may_settle`:
    whether it may say something without a place, as one cannot that reads the place and lets no error go.
    """

    program: cel.Program | None
    reads_request: bool
    reads_of_principal: frozenset[str] = frozenset()
    labels_read: frozenset[str] | None = None
    may_settle: bool = True

    @property
    def reads_groups(self) -> bool:
        """Whether it may ask for the person's groups."""
        return "groups" in self.reads_of_principal or "" in self.reads_of_principal


@lru_cache(maxsize=4096)
def compiled(condition: str) -> Compiled:
    """A condition, compiled once a process."""
    import cel  # loads its own command line; only tenants with rules need it

    try:
        tree = parse(condition)
        program = cel.compile(ranked(condition))
    except (RuleError, ValueError):
        return Compiled(None, reads_request=False)
    named = {part.name for part in tree.walk() if part.kind == "name"}
    read = frozenset(_read_of_document(tree))
    labels_read = None if "" in read or "source" in named else read
    may_settle = labels_read == frozenset() or any(_lets_errors_go(part) for part in tree.walk())
    return Compiled(program, "request" in named, reads_of_principal(condition), labels_read, may_settle)


_READS = re.compile(r"\bprincipal\b(?:\s*\.\s*([A-Za-z_]\w*))?")


def reads_of_principal(condition: str) -> frozenset[str]:
    """Names of what a condition reads of the principal; an empty one where it reads it otherwise than by a name."""
    return frozenset(_READS.findall(condition))


def _read_of_document(tree: Node) -> Iterator[str]:
    """Names of the labels that a condition reads; an empty one where it reads them otherwise than by a name."""
    if _is_document(tree):
        yield ""
    for part in tree.walk():
        if any(_is_document(one) for one in part.parts):
            yield part.name if part.kind in {"select", "has"} else ""


def _lets_errors_go(part: Node) -> bool:
    return part.kind in {"choice", "macro"} or (part.kind == "binary" and part.name in {"&&", "||"})


def _is_document(part: Node) -> bool:
    return part.kind == "name" and part.name == "document"


def ranked(condition: str) -> str:
    """The condition with `rank(x)` as the look-up `rank[x]`, so that a value outside the list is an error of CEL's.

    A Python function in its place would be slower, and the engine prints what such a function raises.
    """
    text = list(condition)
    for part in parse(condition).walk():
        if part.kind == "call" and part.name == "rank":
            text[part.around[0]], text[part.around[1]] = "[", "]"
    return "".join(text)
