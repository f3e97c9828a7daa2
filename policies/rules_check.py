"""What a rule may name, and of which type each part of it is; wrong ones are refused when the rule is saved."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.rules_syntax import Node, RuleError, parse, problem


@dataclass(frozen=True, slots=True)
class Type:
    """A CEL type; `item` is that of a list's elements or a map's values. `dyn` may be anything."""

    name: str
    item: Type | None = None

    def __str__(self) -> str:
        return f"{self.name}({self.item})" if self.item else self.name


DYN, BOOL, INT, TEXT = Type("dyn"), Type("bool"), Type("int"), Type("string")
TIME, SPAN = Type("timestamp"), Type("duration")
_NUMBERS: Final = frozenset({"int", "uint", "double"})
_ORDERED: Final = _NUMBERS | {"string", "bool", "timestamp", "duration"}
_SIZED: Final = frozenset({"string", "list", "map"})


@dataclass(frozen=True, slots=True)
class Root:
    """What a rule can speak of. `other`: the type of attributes not listed; None: there are no others."""

    known: Mapping[str, Type]
    other: Type | None = None


ROOTS: Final[Mapping[str, Root]] = MappingProxyType(
    {
        "principal": Root(
            {
                "id": TEXT,
                "email": TEXT,
                "groups": Type("list", TEXT),
                "clearance": TEXT,
                "department": DYN,
                "region": DYN,
            },
            DYN,
        ),
        "app": Root({"id": TEXT}),
        "document": Root({"classification": TEXT, "department": TEXT, "region": TEXT}, TEXT),
        "source": Root({"id": TEXT, "connector": TEXT}),
        "request": Root({"time": TIME, "address": TEXT}),
    }
)
_FUNCTIONS: Final[Mapping[str, tuple[frozenset[str], Type]]] = MappingProxyType(
    {
        "size": (_SIZED, INT),
        "int": (_NUMBERS | {"string", "timestamp"}, INT),
        "double": (_NUMBERS | {"string"}, Type("double")),
        "string": (_NUMBERS | {"string", "bool", "timestamp", "duration"}, TEXT),
        "timestamp": (frozenset({"string"}), TIME),
        "duration": (frozenset({"string"}), SPAN),
        "dyn": (_ORDERED | {"list", "map", "null"}, DYN),
        "rank": (frozenset({"string"}), INT),
    }
)
_TEXT_METHODS: Final = frozenset({"startsWith", "endsWith", "contains", "matches"})
_TIME_METHODS: Final = frozenset(
    {
        "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours",
        "getMinutes", "getSeconds",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule's tree, whether it reads `request`, and the attributes that someone must state for it to mean anything.

    `open` holds (root, attribute, offset) of attributes that are neither built in nor guarded by `has`.
    """

    tree: Node
    reads_request: bool
    open: tuple[tuple[str, str, int], ...]


def check(text: str, classifications: Sequence[str] | None = None) -> Checked:
    """Refuses a rule that names what there is not, or whose types do not fit.

    `classifications` (None: not known here) are those that `rank` may be given.

    Raises:
        RuleError: says what is wrong and where.
    """
    tree = parse(text)
    checker = _Checker(text, classifications)
    found = checker.type_of(tree, {})
    if found.name not in {"bool", "dyn"}:
        raise problem(text, tree.at, f"the rule is {found}; it must be true or false")
    guarded = set(_guards(tree))
    open_ = tuple(one for one in checker.open if one[:2] not in guarded)
    reads = any(part.kind == "name" and part.name == "request" for part in tree.walk())
    return Checked(tree, reads, open_)


def unknown_attribute(text: str, root: str, name: str, at: int, known: Iterable[str] = ()) -> RuleError:
    """The refusal of an attribute that nobody states."""
    near = difflib.get_close_matches(name, {*ROOTS[root].known, *known}, 1)
    hint = f"did you mean {near[0]}?" if near else "mend the name"
    if ROOTS[root].other is not None:
        hint += f" or, where it is still to come, guard it with has({root}.{name}) &&"
    return problem(text, at, f"unknown attribute {root}.{name}; {hint}")


def _guards(tree: Node) -> Iterable[tuple[str, str]]:
    """Attributes whose absence the rule asks about: `has(document.x)` or `'x' in document`."""
    for part in tree.walk():
        if part.kind == "has" and part.parts[0].kind == "name":
            yield part.parts[0].name, part.name
        elif part.kind == "binary" and part.name == "in" and part.parts[1].kind == "name" and part.parts[0].value:
            yield part.parts[1].name, part.parts[0].value


class _Checker:
    """Types of a rule's parts, from the leaves up; `scope` holds the variables that macros bind."""

    def __init__(self, text: str, classifications: Sequence[str] | None) -> None:
        self._text, self._classifications = text, classifications
        self.open: list[tuple[str, str, int]] = []

    def type_of(self, node: Node, scope: Mapping[str, Type]) -> Type:
        """The type of a part.

        Raises:
            RuleError: it has none.
        """
        rule: Callable[[Node, Mapping[str, Type]], Type] = getattr(self, f"_{node.kind}")
        return rule(node, scope)

    def _fail(self, node: Node, message: str) -> RuleError:
        return problem(self._text, node.at, message)

    def _parts(self, node: Node, scope: Mapping[str, Type]) -> list[Type]:
        return [self.type_of(part, scope) for part in node.parts]

    def _literal(self, node: Node, _: Mapping[str, Type]) -> Type:
        return Type(node.name)

    def _name(self, node: Node, scope: Mapping[str, Type]) -> Type:
        if node.name in scope:
            return scope[node.name]
        if node.name not in ROOTS:
            near = difflib.get_close_matches(node.name, ROOTS, 1)
            hint = f"did you mean {near[0]}?" if near else f"a rule speaks of {', '.join(ROOTS)}"
            raise self._fail(node, f"unknown name {node.name}; {hint}")
        return Type("map", ROOTS[node.name].other or DYN)

    def _select(self, node: Node, scope: Mapping[str, Type]) -> Type:
        target = node.parts[0]
        if target.kind == "name" and target.name in ROOTS and target.name not in scope:
            return self._attribute(target.name, node.name, node.at)
        return self._value_of(node, self.type_of(target, scope))

    def _attribute(self, root: str, name: str, at: int) -> Type:
        held = ROOTS[root]
        if name in held.known:
            return held.known[name]
        if held.other is None:
            raise unknown_attribute(self._text, root, name, at)
        self.open.append((root, name, at))
        return held.other

    def _value_of(self, node: Node, target: Type) -> Type:
        if target.name not in {"map", "dyn"}:
            raise self._fail(node, f"{target} has no attribute {node.name}")
        return target.item or DYN

    def _has(self, node: Node, scope: Mapping[str, Type]) -> Type:
        target = node.parts[0]
        if target.kind == "name" and target.name in ROOTS and target.name not in scope:
            held = ROOTS[target.name]
            if held.other is None and node.name not in held.known:
                raise unknown_attribute(self._text, target.name, node.name, node.at)
        else:
            self._value_of(node, self.type_of(target, scope))
        return BOOL

    def _index(self, node: Node, scope: Mapping[str, Type]) -> Type:
        target, key = node.parts
        if target.kind == "name" and target.name in ROOTS and target.name not in scope and key.value is not None:
            return self._attribute(target.name, key.value, key.at)
        held, at = self._parts(node, scope)
        wanted = {"list": "int", "map": "string"}.get(held.name)
        if wanted is None and held != DYN:
            raise self._fail(node, f"{held} holds nothing to look up")
        if wanted is not None and at.name not in {wanted, "dyn"}:
            raise self._fail(key, f"a {held.name} is looked up by {wanted}, not by {at}")
        return held.item or DYN

    def _list(self, node: Node, scope: Mapping[str, Type]) -> Type:
        kinds = set(self._parts(node, scope))
        return Type("list", kinds.pop() if len(kinds) == 1 else DYN)

    def _map(self, node: Node, scope: Mapping[str, Type]) -> Type:
        kinds = self._parts(node, scope)
        if any(kind.name not in {"string", "dyn"} for kind in kinds[::2]):
            raise self._fail(node, "the keys of a map must be text")
        values = set(kinds[1::2])
        return Type("map", values.pop() if len(values) == 1 else DYN)

    def _choice(self, node: Node, scope: Mapping[str, Type]) -> Type:
        condition, then, otherwise = self._parts(node, scope)
        self._want(node.parts[0], condition, "bool")
        return then if then == otherwise else DYN

    def _want(self, node: Node, found: Type, *wanted: str) -> None:
        if found.name not in {*wanted, "dyn"}:
            raise self._fail(node, f"is {found}, but {' or '.join(sorted(wanted))} is needed here")

    def _unary(self, node: Node, scope: Mapping[str, Type]) -> Type:
        (found,) = self._parts(node, scope)
        self._want(node.parts[0], found, *({"bool"} if node.name == "!" else _NUMBERS))
        return BOOL if node.name == "!" else found

    def _binary(self, node: Node, scope: Mapping[str, Type]) -> Type:
        left, right = self._parts(node, scope)
        if node.name in {"&&", "||"}:
            self._want(node.parts[0], left, "bool")
            self._want(node.parts[1], right, "bool")
        elif node.name == "in":
            self._in(node, left, right)
        elif node.name in {"==", "!="}:
            self._alike(node, left, right)
        elif node.name in {"<", "<=", ">", ">="}:
            self._want(node.parts[0], left, *_ORDERED)
            self._want(node.parts[1], right, *_ORDERED)
            self._alike(node, left, right)
        else:
            return self._sum(node, left, right)
        return BOOL

    def _in(self, node: Node, left: Type, right: Type) -> None:
        self._want(node.parts[1], right, "list", "map")
        self._alike(node, left, TEXT if right.name == "map" else right.item or DYN)

    def _alike(self, node: Node, left: Type, right: Type) -> None:
        """Numbers compare with numbers, anything with null and dyn, else only a type with itself."""
        if {left.name, right.name} <= _NUMBERS or {"dyn", "null"} & {left.name, right.name}:
            return
        if left.name != right.name:
            raise self._fail(node, f"{node.name} cannot be between {left} and {right}")
        if left.item and right.item:
            self._alike(node, left.item, right.item)

    def _sum(self, node: Node, left: Type, right: Type) -> Type:
        for given, result in _sums(node.name):
            if left.name in {given[0], "dyn"} and right.name in {given[1], "dyn"}:
                return DYN if DYN in (left, right) else result or left
        raise self._fail(node, f"{node.name} cannot be between {left} and {right}")

    def _call(self, node: Node, scope: Mapping[str, Type]) -> Type:
        if node.name not in _FUNCTIONS:
            near = difflib.get_close_matches(node.name, [*_FUNCTIONS, "has"], 1)
            raise self._fail(node, f"unknown function {node.name}" + (f"; did you mean {near[0]}?" if near else ""))
        takes, gives = _FUNCTIONS[node.name]
        if len(node.parts) != 1:
            raise self._fail(node, f"{node.name} takes one value")
        self._want(node.parts[0], self._parts(node, scope)[0], *takes)
        if node.name == "rank":
            self._ranked(node.parts[0])
        return gives

    def _ranked(self, node: Node) -> None:
        listed = self._classifications
        if node.value is not None and listed is not None and node.value not in listed:
            raise self._fail(node, f"{node.value!r} is no classification; the list is {', '.join(listed)}")

    def _method(self, node: Node, scope: Mapping[str, Type]) -> Type:
        target, *given = self._parts(node, scope)
        if node.name in _TEXT_METHODS and len(given) == 1:
            self._want(node.parts[0], target, "string")
            self._want(node.parts[1], given[0], "string")
            return BOOL
        if node.name in _TIME_METHODS and not given:
            self._want(node.parts[0], target, "timestamp")
            return INT
        if node.name == "size" and not given:
            self._want(node.parts[0], target, *_SIZED)
            return INT
        raise self._fail(node, f"unknown function {node.name} with {len(given)} values")

    def _macro(self, node: Node, scope: Mapping[str, Type]) -> Type:
        """One macro at a time: within one another their cost multiplies."""
        if scope:
            raise self._fail(node, f"{node.name} may not stand within another such function")
        if node.bound in ROOTS or node.bound == "rank":
            raise self._fail(node, f"{node.bound} has a meaning of its own; choose another name")
        over = self.type_of(node.parts[0], scope)
        self._want(node.parts[0], over, "list", "map")
        item = TEXT if over.name == "map" else over.item or DYN
        bodies = [self.type_of(part, {node.bound: item}) for part in node.parts[1:]]
        if node.name == "map":
            return Type("list", bodies[-1])
        self._want(node.parts[1], bodies[0], "bool")
        return Type("list", item) if node.name == "filter" else BOOL


def _sums(operator: str) -> Iterable[tuple[tuple[str, str], Type | None]]:
    """What an operator of arithmetic takes, and gives; None: what its left side is."""
    yield from (((number, number), None) for number in sorted(_NUMBERS) if operator != "%" or number != "double")
    if operator == "+":
        yield from ((("string", "string"), None), (("list", "list"), None))
    if operator in {"+", "-"}:
        yield from ((("timestamp", "duration"), TIME), (("duration", "duration"), SPAN))
    if operator == "+":
        yield ("duration", "timestamp"), TIME
    if operator == "-":
        yield ("timestamp", "timestamp"), SPAN
