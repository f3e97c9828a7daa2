"""The shape of a rule's text: the part of CEL that rules are written in, with positions for messages.

The engine that evaluates rules tells nothing of a text but whether it parses, so what a rule names, and of which type
it is, is read from this tree. Grammar: https://github.com/google/cel-spec/blob/master/doc/langdef.md, without message
construction, bytes, and raw and triple-quoted strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from core.errors import InvalidError

MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
LONGEST: Final = 4000
DEEPEST: Final = 40

_TOKEN = re.compile(
    r"""(?P<space>[\t\n\f\r ]+|//[^\n]*)
    |(?P<unlike>[rRbB]{1,2}(?=["'])|\"{3}|'{3})
    |(?P<string>"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*')
    |(?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    |(?P<int>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE,
)
_LEVELS: Final = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_CONSTANTS: Final = {"true": "bool", "false": "bool", "null": "null"}


class RuleError(InvalidError):
    """A rule's text cannot be accepted; the message and `extra` say where: `line` and `column`, from 1."""


def problem(text: str, at: int, message: str) -> RuleError:
    """What is wrong at an offset of a rule's text."""
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    told = {"field": "when", "message": message, "line": line, "column": column}
    return RuleError(f"line {line}, column {column}: {message}", errors=[told], line=line, column=column)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a rule. `kind`: string, double, int, name, mark or end."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a rule.

    `kind` is literal (`name` its type), name, select, has, index, call, method, macro (`bound` its variable), list,
    map, unary, binary or choice; `name` the identifier, field, function or operator; `around` the offsets of a call's
    parentheses; `value` the text of a string without escapes, or None.
    """

    kind: str
    at: int
    name: str = ""
    parts: tuple[Node, ...] = field(default=())
    bound: str = ""
    value: str | None = None
    around: tuple[int, int] = (-1, -1)

    def walk(self) -> Iterator[Node]:
        """The part itself and everything in it."""
        yield self
        for part in self.parts:
            yield from part.walk()


def parse(text: str) -> Node:
    """The tree of a rule's text.

    Raises:
        RuleError: the text is too long, too deep, or not of this grammar.
    """
    if len(text) > LONGEST:
        raise problem(text, LONGEST, f"a rule may have {LONGEST} characters; split it into several rules")
    parser = _Parser(text)
    tree = parser.expression()
    if parser.next.kind != "end":
        raise parser.unexpected()
    return tree


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise problem(text, at, f"{text[at]!r} is not understood here")
        kind = found.lastgroup or ""
        if kind == "unlike":
            raise problem(text, at, "write text in one pair of plain quotes, without a prefix")
        if kind != "space":
            yield Token(kind, found[0], at)
        at = found.end()
    yield Token("end", "the end", len(text))


class _Parser:
    """Recursive descent; binary operators by precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    def unexpected(self) -> RuleError:
        return problem(self._text, self.next.at, f"did not expect {self.next.text!r}")

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise problem(self._text, self.next.at, f"is nested more than {DEEPEST} deep; split the rule")
        first = self._binary(0)
        if self._mark("?"):
            then = self.expression()
            self._expect(":")
            first = Node("choice", first.at, parts=(first, then, self.expression()))
        self._depth -= 1
        return first

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.next.text in _LEVELS[level] and self.next.kind in {"mark", "name"}:
            operator = self._take()
            left = Node("binary", operator.at, operator.text, (left, self._binary(level + 1)))
        return left

    def _unary(self) -> Node:
        signs = []
        while self.next.kind == "mark" and self.next.text in {"!", "-"}:
            signs.append(self._take())
        found = self._member()
        for sign in reversed(signs):
            found = Node("unary", sign.at, sign.text, (found,))
        return found

    def _member(self) -> Node:
        found = self._primary()
        while True:
            if self._mark("."):
                found = self._selected(found)
            elif self.next.text == "[" and self.next.kind == "mark":
                at = self._take().at
                found = Node("index", at, parts=(found, self.expression()))
                self._expect("]")
            else:
                return found

    def _selected(self, target: Node) -> Node:
        if self.next.kind != "name":
            raise self.unexpected()
        name = self._take()
        if not self._mark("("):
            return Node("select", name.at, name.text, (target,))
        arguments, _ = self._arguments()
        if name.text in MACROS:
            return self._macro(name, target, arguments)
        return Node("method", name.at, name.text, (target, *arguments))

    def _macro(self, name: Token, target: Node, arguments: list[Node]) -> Node:
        most = 3 if name.text == "map" else 2
        if not 2 <= len(arguments) <= most or arguments[0].kind != "name":
            raise problem(self._text, name.at, f"{name.text} takes a name and a condition, as in exists(x, x == 'a')")
        return Node("macro", name.at, name.text, (target, *arguments[1:]), bound=arguments[0].name)

    def _primary(self) -> Node:
        token = self.next
        if token.kind == "end" or token.text == "in" or (token.kind == "mark" and token.text not in "([{"):
            raise self.unexpected()
        self._at += 1
        if token.kind in {"double", "int"}:
            return Node("literal", token.at, "uint" if token.text[-1] in "uU" else token.kind)
        if token.kind == "string":
            return Node("literal", token.at, "string", value=None if "\\" in token.text else token.text[1:-1])
        return self._named(token) if token.kind == "name" else self._bracket(token)

    def _named(self, token: Token) -> Node:
        if token.text in _CONSTANTS:
            return Node("literal", token.at, _CONSTANTS[token.text])
        if not self._mark("("):
            return Node("name", token.at, token.text)
        arguments, around = self._arguments()
        if token.text == "has":
            if len(arguments) != 1 or arguments[0].kind != "select":
                raise problem(self._text, token.at, "has takes an attribute, as in has(document.department)")
            return Node("has", arguments[0].at, arguments[0].name, arguments[0].parts)
        return Node("call", token.at, token.text, tuple(arguments), around=around)

    def _bracket(self, token: Token) -> Node:
        if token.text == "(":
            inner = self.expression()
            self._expect(")")
            return inner
        kind, close = ("list", "]") if token.text == "[" else ("map", "}")
        parts: list[Node] = []
        while not self._mark(close):
            if parts:
                self._expect(",")
                if self._mark(close):
                    break
            parts.append(self.expression())
            if kind == "map":
                self._expect(":")
                parts.append(self.expression())
        return Node(kind, token.at, parts=tuple(parts))

    def _arguments(self) -> tuple[list[Node], tuple[int, int]]:
        """What stands between parentheses of which the first is taken, and where both stand."""
        opened = self._tokens[self._at - 1].at
        found: list[Node] = []
        while self.next.text != ")" or self.next.kind != "mark":
            if found:
                self._expect(",")
            found.append(self.expression())
        return found, (opened, self._take().at)

    def _take(self) -> Token:
        token = self.next
        if token.kind != "end":
            self._at += 1
        return token

    def _mark(self, text: str) -> bool:
        if self.next.kind == "mark" and self.next.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._mark(text):
            raise problem(self._text, self.next.at, f"expected {text!r} before {self.next.text!r}")
