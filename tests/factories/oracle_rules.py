"""A naive reading of rules for the oracle: CEL's operators spelled as Python's, and Python's own tree walked.

Nothing here is shared with `policies` or its engine. It knows what the cases use: no `?:`, no indexing of lists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

_TEXT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_SPELLED = (("&&", " and "), ("||", " or "), ("!=", "\0"), ("!", "~"), ("\0", "!="), ("\n", " "))
_WORDS = {"true": "True", "false": "False", "null": "None"}
Names = Mapping[str, Any]


class _ErringError(Exception):
    """The condition errs."""


def says(when: str, names: Names, classifications: Sequence[str]) -> bool | str:
    """What a condition comes to: True, False or `errs`."""
    try:
        value = _Reading(classifications).of(_tree(when), names)
    except _ErringError:
        return "errs"
    return value if isinstance(value, bool) else "errs"


@cache
def _tree(when: str) -> ast.expr:
    return ast.parse(_as_python(when), mode="eval").body


def _as_python(when: str) -> str:
    parts = _TEXT.split(when)
    return "".join(part if at % 2 else _spell(part) for at, part in enumerate(parts)).strip()


def _spell(part: str) -> str:
    for ours, pythons in _SPELLED:
        part = part.replace(ours, pythons)
    return re.sub(r"\b(true|false|null)\b", lambda found: _WORDS[found[0]], part)


class _Reading:
    def __init__(self, classifications: Sequence[str]) -> None:
        self._listed = list(classifications)

    def of(self, node: ast.expr, names: Names) -> Any:
        rule: Callable[[Any, Names], Any] = getattr(self, f"_{type(node).__name__.lower()}")
        return rule(node, names)

    def _constant(self, node: ast.Constant, _: Names) -> Any:
        return node.value

    def _list(self, node: ast.List, names: Names) -> list[Any]:
        return [self.of(one, names) for one in node.elts]

    def _name(self, node: ast.Name, names: Names) -> Any:
        return names[node.id]

    def _attribute(self, node: ast.Attribute, names: Names) -> Any:
        return self._field(self.of(node.value, names), node.attr)

    def _subscript(self, node: ast.Subscript, names: Names) -> Any:
        return self._field(self.of(node.value, names), self.of(node.slice, names))

    def _field(self, held: Any, name: Any) -> Any:
        if not isinstance(held, dict) or name not in held:
            raise _ErringError
        return held[name]

    def _boolop(self, node: ast.BoolOp, names: Names) -> bool:
        """One false ends an `&&`, one true an `||`, whatever the others come to."""
        decisive = isinstance(node.op, ast.Or)
        values = [self._or_errs(one, names) for one in node.values]
        if any(value is decisive for value in values):
            return decisive
        if any(value is not (not decisive) for value in values):
            raise _ErringError
        return not decisive

    def _or_errs(self, node: ast.expr, names: Names) -> Any:
        try:
            return self.of(node, names)
        except _ErringError:
            return _ErringError

    def _unaryop(self, node: ast.UnaryOp, names: Names) -> Any:
        value = self.of(node.operand, names)
        if isinstance(node.op, ast.Invert) and isinstance(value, bool):
            return not value
        if isinstance(node.op, ast.USub) and _kind(value) == "number":
            return -value
        raise _ErringError

    def _binop(self, node: ast.BinOp, names: Names) -> Any:
        left, right = self.of(node.left, names), self.of(node.right, names)
        if type(left) is not type(right) or _kind(left) not in {"number", "text"}:
            raise _ErringError
        if isinstance(node.op, ast.Add):
            return left + right
        if _kind(left) != "number" or (isinstance(node.op, ast.Div) and right == 0):
            raise _ErringError
        return {ast.Sub: left - right, ast.Mult: left * right, ast.Div: int(left / (right or 1))}[type(node.op)]

    def _compare(self, node: ast.Compare, names: Names) -> bool:
        left, right = self.of(node.left, names), self.of(node.comparators[0], names)
        operator = type(node.ops[0])
        if operator is ast.In:
            if not isinstance(right, (list, dict)):
                raise _ErringError
            return any(_same(left, one) for one in right)
        if operator in {ast.Eq, ast.NotEq}:
            return _same(left, right) is (operator is ast.Eq)
        if _kind(left) != _kind(right) or _kind(left) not in {"number", "text", "time"}:
            raise _ErringError
        less, same = bool(left < right), bool(left == right)
        return {ast.Lt: less, ast.LtE: less or same, ast.Gt: not less and not same, ast.GtE: not less}[operator]

    def _call(self, node: ast.Call, names: Names) -> Any:
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, node.args, names)
        assert isinstance(node.func, ast.Name)
        return self._function(node.func.id, node.args[0], names)

    def _function(self, name: str, given: ast.expr, names: Names) -> Any:
        if name == "has":
            assert isinstance(given, ast.Attribute)
            held = self.of(given.value, names)
            if not isinstance(held, dict):
                raise _ErringError
            return given.attr in held
        value = self.of(given, names)
        if name == "rank" and value in self._listed:
            return self._listed.index(value)
        if name == "size" and isinstance(value, (str, list, dict)):
            return len(value)
        if name == "timestamp":
            return datetime.fromisoformat(value)
        raise _ErringError

    def _method(self, called: ast.Attribute, given: list[ast.expr], names: Names) -> bool:
        target = self.of(called.value, names)
        if called.attr in {"exists", "all"}:
            assert isinstance(given[0], ast.Name)
            if not isinstance(target, list):
                raise _ErringError
            values = [self.of(given[1], {**names, given[0].id: one}) for one in target]
            return any(values) if called.attr == "exists" else all(values)
        text = self.of(given[0], names)
        if not isinstance(target, str) or not isinstance(text, str):
            raise _ErringError
        told: dict[str, bool] = {
            "startsWith": target.startswith(text),
            "endsWith": target.endswith(text),
            "contains": text in target,
            "matches": called.attr == "matches" and re.search(text, target) is not None,
        }
        return told[called.attr]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "text", datetime: "time"}.get(type(value), type(value).__name__)


def _same(left: Any, right: Any) -> bool:
    return _kind(left) == _kind(right) and bool(left == right)
