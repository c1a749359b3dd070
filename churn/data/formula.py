"""Formulas and conditions between columns: `tenure * MonthlyCharges`, `tenure < 12 and Contract in ('One year', 'Two year')`.

A formula gives a number: numbers, column names, `+ - * / **`, parentheses, `min`, `max`, `round`. A condition holds or does
not: two of these compared by `< <= = != >= >` (a row of them reads as in `0 < tenure <= 12`), a level `= 'One year'`,
`in (…)`, `is missing`, `is known`, and such conditions joined by `and`, `or`, `not`. Levels stand in quotation marks; a name
that is no plain word stands in backticks; either sign within is doubled.

The texts come out of a schema, which travels, so they are read here, character by character, and nothing in them is ever run
as Python. What cannot be read is refused with the place in the text.
"""

from __future__ import annotations

import difflib
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from churn.errors import SchemaError

Value = float | npt.NDArray[np.float64]
Kind = Literal["number", "text", "truth"]
Truth = bool | npt.NDArray[np.bool_]

_LONGEST = 1000  # characters
_DEEPEST = 40  # parentheses, signs and powers within each other
_FUNCTIONS = {"min": (2, 64), "max": (2, 64), "round": (1, 2)}  # least and most values each takes
_WORDS = frozenset({"and", "or", "not", "in", "is"})
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<ticked>`(?:[^`]|``)*`)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<sign>\*\*|<=|>=|==|!=|<>|[-+*/(),<>=≤≥≠])""",
    re.VERBOSE,
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}
)
_SPELT = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!=", "<>": "!="}
_ALLOWED = (
    "numbers, columns, levels in quotation marks, + - * / **, < <= = != >= >, in, is missing, is known, and, or, not, "
    "parentheses, min, max and round can be used (a name with other characters goes in backticks)"
)
_HINTS = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "^": "a power is written **",
    "“": "quotation marks are plain: ' or \"",
}
_HINTS |= (
    dict.fromkeys("”‘’„«»", _HINTS["“"])
    | {"`": "a backtick lacks its partner"}
    | dict.fromkeys("'\"", "a quotation mark lacks its partner")
)


def evaluate(text: str, columns: Mapping[str, Any]) -> Value:
    """The value of a formula, element by element.

    Parameters
    ----------
    text: the formula. columns: name → number or float64 array; arrays share one length, missing is NaN.

    Returns
    -------
    A float where every column used is one, else an array. NaN where an input is missing or the answer is no finite number
    (a division by zero).

    Raises
    ------
    SchemaError: the formula cannot be read, gives no number, or names a column that is not given.

    >>> evaluate("max(tenure, 1) * MonthlyCharges", {"tenure": 0.0, "MonthlyCharges": 29.85})
    29.85
    """
    tree = _ready(text, columns, "number")
    with np.errstate(all="ignore"):
        result = np.asarray(_value(tree, columns), dtype=np.float64)
        result = np.where(np.isfinite(result), result, np.nan)
    return float(result) if result.ndim == 0 else result


def holds(text: str, columns: Mapping[str, Any]) -> Truth:
    """Whether a condition holds, element by element.

    What is compared with something missing is neither true nor false, and stays so through `not` (Kleene's logic); a condition
    that is neither does not hold.

    Parameters
    ----------
    text: the condition. columns: name → number or text (None: missing), or an array of them (float64, NaN: missing; object).

    Raises
    ------
    SchemaError: the condition cannot be read, is none, names a column that is not given, or compares a number with a text.

    >>> holds("tenure < 12 and Contract != 'Two year'", {"tenure": 3.0, "Contract": "One year"})
    True
    """
    tree = _ready(text, columns, "truth")
    with np.errstate(all="ignore"):
        yes, _ = _truth(tree, columns)
    return bool(yes) if np.ndim(yes) == 0 else np.asarray(yes, dtype=np.bool_)


def columns(text: str) -> tuple[str, ...]:
    """The columns a formula or condition uses, in the order they come. Raises SchemaError if it cannot be read.

    >>> columns("`Credit limit` - Balance")
    ('Credit limit', 'Balance')
    """
    return _parsed(text)[1]


def check(text: str, levels: Mapping[str, Iterable[str] | None]) -> None:
    """Hold a condition against the columns there are: each is known, is used as what it is, and has the levels named.

    levels: column → its levels, None for a number. Raises SchemaError with the place in the text.
    """
    kinds = tuple((name, "number" if of is None else "text") for name, of in levels.items())
    tree, names = _parsed(text)
    for name in names:
        if name not in levels:
            near = difflib.get_close_matches(name, list(levels), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            _refuse(text, _place(tree, name), f"column {name!r} is no feature{hint}")
    _checked(text, kinds, "truth")
    for at, name, level in _named_levels(tree):
        of = list(levels[name] or ())
        if level not in of:
            near = difflib.get_close_matches(level, of, n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"its levels are {', '.join(map(repr, of[:8]))}{', …' if of[8:] else ''}"
            )
            _refuse(text, at, f"{level!r} is no level of column {name!r}; {hint}")


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A formula as people read it, with other names for its columns; not fit to be read again.

    >>> renamed("tenure_m < 12 and `Credit Limit` > 0", {"tenure_m": "Tenure"})
    'Tenure < 12 and Credit Limit > 0'
    """
    tokens = _tokens(text)
    parts, at = [], 0
    for token, following in pairwise(tokens):
        if token.kind == "name" and not (following.value == "(" and token.value in _FUNCTIONS):
            ticked = text[token.at] == "`"
            end = token.at + (len(token.value.replace("`", "``")) + 2 if ticked else len(token.value))
            parts += [text[at : token.at], names.get(token.value, token.value)]
            at = end
    return "".join([*parts, text[at:]])


def quoted(name: str) -> str:
    """A column's name as a formula spells it, in backticks where it needs them."""
    plain = name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and name not in _FUNCTIONS
    return name if plain else "`" + name.replace("`", "``") + "`"


# -- the tree ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """`at`: where in the text it begins."""

    at: int


@dataclass(frozen=True, slots=True)
class _Constant(_Node):
    value: float | str


@dataclass(frozen=True, slots=True)
class _Column(_Node):
    name: str


@dataclass(frozen=True, slots=True)
class _Chain(_Node):
    """Values and the signs between them, `+ -` or `* /`, worked off from the left: however long, it is one level deep."""

    first: _Node
    rest: tuple[tuple[str, _Node], ...]


@dataclass(frozen=True, slots=True)
class _Negative(_Node):
    of: _Node


@dataclass(frozen=True, slots=True)
class _Power(_Node):
    base: _Node
    exponent: _Node


@dataclass(frozen=True, slots=True)
class _Call(_Node):
    function: str
    values: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Comparison(_Node):
    """`a < b <= c`: each neighbouring pair is compared."""

    first: _Node
    rest: tuple[tuple[str, _Node], ...]


@dataclass(frozen=True, slots=True)
class _Among(_Node):
    value: _Node
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Missing(_Node):
    value: _Node


@dataclass(frozen=True, slots=True)
class _Not(_Node):
    of: _Node


@dataclass(frozen=True, slots=True)
class _Joined(_Node):
    """All of the parts hold (`and`), or any does (`or`)."""

    word: str
    parts: tuple[_Node, ...]


def _children(node: _Node) -> tuple[_Node, ...]:
    match node:
        case _Chain(first=first, rest=rest) | _Comparison(first=first, rest=rest):
            return (first, *(other for _, other in rest))
        case _Negative(of=of) | _Not(of=of) | _Missing(value=of):
            return (of,)
        case _Power():
            return (node.base, node.exponent)
        case _Call():
            return node.values
        case _Among():
            return (node.value, *node.options)
        case _Joined():
            return node.parts
    return ()


def _leaves(node: _Node) -> Iterable[_Node]:
    below = _children(node)
    for child in below:
        yield from _leaves(child)
    if not below:
        yield node


def _place(tree: _Node, name: str) -> int:
    return next(leaf.at for leaf in _leaves(tree) if isinstance(leaf, _Column) and leaf.name == name)


def _named_levels(node: _Node) -> Iterable[tuple[int, str, str]]:
    """Where a level of which column is named: (place, column, level)."""
    for child in _children(node):
        yield from _named_levels(child)
    if isinstance(node, (_Comparison, _Among)):
        sides = _children(node)
        pairs = pairwise(sides) if isinstance(node, _Comparison) else ((sides[0], one) for one in sides[1:])
        for pair in pairs:
            for column, constant in (pair, pair[::-1]):
                if isinstance(column, _Column) and isinstance(constant, _Constant) and isinstance(constant.value, str):
                    yield constant.at, column.name, constant.value


# -- reading -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind`: number, name, text, word (`and`), sign, end; `value` as it is meant."""

    kind: str
    value: str
    at: int


def _refuse(text: str, at: int, problem: str) -> NoReturn:
    raise SchemaError(f"formula {text!r} cannot be read at character {at + 1}: {problem}")


def _tokens(text: str) -> list[_Token]:
    if len(text) > _LONGEST:
        raise SchemaError(f"formula {text[:40]!r}… is {len(text)} characters long; at most {_LONGEST} are read")
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse(text, at, f"{text[at]!r} cannot be read; {_HINTS.get(text[at], _ALLOWED)}")
        kind, part = str(match.lastgroup), match[0]
        if kind == "ticked":
            kind, part = "name", part[1:-1].replace("``", "`")
            if not part:
                _refuse(text, at, "the backticks are empty; a column's name belongs between them")
        elif kind == "text":
            part = part[1:-1].replace(part[0] * 2, part[0])
        elif kind == "name" and part in _WORDS:
            kind = "word"
        elif kind == "sign":
            part = _SPELT.get(part, part)
        if kind != "space":
            found.append(_Token(kind, part, at))
        at = match.end()
    return [*found, _Token("end", "", len(text))]


class _Reader:
    """Reads one text; each method takes what binds tighter than its caller (precedence as in Python)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def read(self) -> _Node:
        tree = self._any()
        if self._now.kind != "end":
            self._unexpected("where an operator is expected")
        return tree

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, kind: str, *values: str) -> _Token | None:
        token = self._now
        if token.kind == kind and token.value in values:
            self._next += 1
            return token
        return None

    def _need(self, sign: str, where: str) -> None:
        if not self._take("sign", sign):
            self._unexpected(f"where {sign!r} {where}")

    def _unexpected(self, where: str) -> NoReturn:
        token = self._now
        if token.kind == "end":
            _refuse(self._text, token.at, f"the text ends {where}")
        before = self._tokens[self._next - 1] if self._next else token
        hint = ""
        if token.kind == "name" and token.value.lower() in _WORDS:
            hint = f"; `{token.value.lower()}` is written in small letters"
        elif token.kind == before.kind == "name":
            hint = "; a name of several words goes in backticks"
        _refuse(self._text, token.at, f"{token.value!r} stands {where}{hint}")

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            _refuse(self._text, at, f"it is nested deeper than {_DEEPEST} levels")

    def _any(self) -> _Node:
        return self._joined("or", lambda: self._joined("and", self._not))

    def _joined(self, word: str, part: Callable[[], _Node]) -> _Node:
        parts = [part()]
        while self._take("word", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Joined(parts[0].at, word, tuple(parts))

    def _not(self) -> _Node:
        if token := self._take("word", "not"):
            self._deeper(token.at)
            negated = _Not(token.at, self._not())
            self._depth -= 1
            return negated
        return self._comparison()

    def _comparison(self) -> _Node:
        first = self._chain("+", "-")
        rest: list[tuple[str, _Node]] = []
        while token := self._take("sign", *_COMPARISONS):
            rest.append((token.value, self._chain("+", "-")))
        if rest:
            return _Comparison(first.at, first, tuple(rest))
        if self._take("word", "is"):
            negated = bool(self._take("word", "not"))
            state = self._take("name", "missing", "known")
            if state is None:
                self._unexpected("where `missing` or `known` is expected")
            missing: _Node = _Missing(first.at, first)
            return missing if (state.value == "missing") != negated else _Not(first.at, missing)
        negated = bool(self._take("word", "not"))
        if self._take("word", "in"):
            among: _Node = _Among(first.at, first, self._list())
            return _Not(first.at, among) if negated else among
        if negated:
            self._unexpected("where `in` is expected")
        return first

    def _list(self) -> tuple[_Node, ...]:
        self._need("(", "is expected: in ('a', 'b')")
        found = [self._chain("+", "-")]
        while self._take("sign", ","):
            found.append(self._chain("+", "-"))
        self._need(")", "is expected")
        return tuple(found)

    def _chain(self, *signs: str) -> _Node:
        part = self._signed if "*" in signs else lambda: self._chain("*", "/")
        first = part()
        rest: list[tuple[str, _Node]] = []
        while token := self._take("sign", *signs):
            rest.append((token.value, part()))
        return _Chain(first.at, first, tuple(rest)) if rest else first

    def _signed(self) -> _Node:
        if token := self._take("sign", "+", "-"):
            self._deeper(token.at)
            inner = self._signed()
            self._depth -= 1
            return _Negative(token.at, inner) if token.value == "-" else _Chain(token.at, inner, ())
        return self._power()

    def _power(self) -> _Node:
        base = self._single()
        if token := self._take("sign", "**"):
            self._deeper(token.at)
            exponent = self._signed()
            self._depth -= 1
            return _Power(base.at, base, exponent)
        return base

    def _single(self) -> _Node:
        token = self._now
        if token.kind not in ("number", "name", "text") and token.value != "(":
            self._unexpected("where a value is expected")
        self._next += 1
        if token.kind == "number":
            number = float(token.value)
            if not math.isfinite(number):
                _refuse(self._text, token.at, "the number is too large to compute with")
            return _Constant(token.at, number)
        if token.kind == "text":
            return _Constant(token.at, token.value)
        called = self._now.value == "(" and self._now.kind == "sign"
        if token.kind == "name" and not (called and self._text[token.at] != "`"):
            return _Column(token.at, token.value)
        self._deeper(token.at)
        inner = self._call(token) if token.kind == "name" else self._any()
        if token.kind != "name":
            self._need(")", "is expected")
        self._depth -= 1
        return inner

    def _call(self, token: _Token) -> _Node:
        if token.value not in _FUNCTIONS:
            _refuse(self._text, token.at, f"{token.value!r} is no function; there are min, max and round")
        self._need("(", "is expected")
        values = [self._chain("+", "-")]
        while self._take("sign", ","):
            values.append(self._chain("+", "-"))
        self._need(")", "is expected")
        least, most = _FUNCTIONS[token.value]
        if not least <= len(values) <= most:
            wanted = "a value and how many decimals" if token.value == "round" else "two values or more"
            _refuse(self._text, token.at, f"{token.value} takes {wanted}, not {len(values)}")
        if token.value == "round" and len(values) == 2:
            places = values[1]
            if not (isinstance(places, _Constant) and places.value in range(13)):
                _refuse(self._text, places.at, "round takes whole decimals from 0 to 12")
        return _Call(token.at, token.value, tuple(values))


@lru_cache(maxsize=512)
def _parsed(text: str) -> tuple[_Node, tuple[str, ...]]:
    """The tree, and the columns in it; what needs no column to be seen to be wrong is refused here."""
    tree = _Reader(text).read()
    names = tuple(dict.fromkeys(leaf.name for leaf in _leaves(tree) if isinstance(leaf, _Column)))
    _kind(tree, {}, text)
    return tree, names


# -- what goes with what -----------------------------------------------------

_SAID = {"number": "a number", "text": "a text", "truth": "a condition"}


def _ready(text: str, given: Mapping[str, Any], wanted: Kind) -> _Node:
    tree, names = _parsed(text)
    for name in names:
        if name not in given:
            raise SchemaError(f"formula {text!r} names column {name!r}, which is not there")
    _checked(text, tuple((name, _kind_of(given[name])) for name in names), wanted)
    return tree


def _kind_of(value: Any) -> Kind | None:
    if value is None:  # one missing value may be either
        return None
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind in "OUST"):
        return "text"
    return "number"


@lru_cache(maxsize=1024)
def _checked(text: str, kinds: tuple[tuple[str, Kind | None], ...], wanted: Kind) -> None:
    tree, _ = _parsed(text)
    found = _kind(tree, dict(kinds), text)
    if found not in (wanted, None):
        raise SchemaError(f"formula {text!r} gives {_SAID[str(found)]}, where {_SAID[wanted]} is needed")
    if wanted == "truth" and found is None:
        raise SchemaError(f"formula {text!r} compares nothing, so it is no condition")


def _kind(node: _Node, kinds: Mapping[str, Kind | None], text: str) -> Kind | None:
    """What a part gives; None where that depends on a column not known. Raises SchemaError where parts do not go together."""

    def each(parts: Iterable[_Node], wanted: Kind) -> None:
        for part in parts:
            found = _kind(part, kinds, text)
            if found not in (wanted, None):
                _refuse(text, part.at, f"{_SAID[str(found)]} stands where {_SAID[wanted]} is needed{_named(part)}")

    match node:
        case _Constant(value=str()):
            return "text"
        case _Constant():
            return "number"
        case _Column(name=name):
            return kinds.get(name)
        case _Comparison() | _Among():
            _alike(node, kinds, text)
            if isinstance(node, _Comparison) and any(sign not in ("=", "!=") for sign, _ in node.rest):
                each(_children(node), "number")
            return "truth"
        case _Missing():
            if _kind(node.value, kinds, text) == "truth":
                _refuse(text, node.at, "a condition stands where a value is needed")
            return "truth"
        case _Not() | _Joined():
            for part in _children(node):
                if isinstance(part, (_Column, _Constant)):
                    _refuse(text, part.at, f"a condition is needed here, such as a comparison{_named(part)}")
            each(_children(node), "truth")
            return "truth"
    each(_children(node), "number")
    return "number"


def _alike(node: _Node, kinds: Mapping[str, Kind | None], text: str) -> None:
    """All sides of a comparison are numbers, or all are texts."""
    first: tuple[Kind, _Node] | None = None
    for side in _children(node):
        found = _kind(side, kinds, text)
        if found == "truth":
            _refuse(text, side.at, "a condition stands where a value is needed")
        if found is None:
            continue
        if first is not None and found != first[0]:
            what = f"{_SAID[found]} is compared with {_SAID[first[0]]}"
            hint = "; a level goes in quotation marks, a number without" if isinstance(side, _Constant) else ""
            _refuse(text, side.at, what + hint)
        first = first or (found, side)


def _named(part: _Node) -> str:
    return f": column {part.name!r}" if isinstance(part, _Column) else ""


# -- computing ---------------------------------------------------------------


def _value(node: _Node, given: Mapping[str, Any]) -> Any:
    match node:
        case _Constant():
            return np.float64(node.value)
        case _Column():
            value = given[node.name]
            return np.asarray(np.nan if value is None else value, dtype=np.float64)
        case _Chain():
            result = _value(node.first, given)
            for sign, part in node.rest:
                other = _value(part, given)
                result = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[sign](result, other)
            return result
        case _Negative():
            return np.negative(_value(node.of, given))
        case _Power():
            return np.power(_value(node.base, given), _value(node.exponent, given))
        case _Call(function="round"):
            decimals = node.values[1].value if len(node.values) == 2 else 0  # type: ignore[attr-defined]
            return _half_up(_value(node.values[0], given), int(decimals))
        case _Call():
            reduce = np.minimum if node.function == "min" else np.maximum
            result = _value(node.values[0], given)
            for part in node.values[1:]:
                result = reduce(result, _value(part, given))
            return result
    raise AssertionError("what goes with what was checked before")


def _truth(node: _Node, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Where it holds and where it does not; neither where something is missing."""
    match node:
        case _Joined():
            parts = [_truth(part, given) for part in node.parts]
            both, either = (np.logical_and, np.logical_or) if node.word == "and" else (np.logical_or, np.logical_and)
            yes, no = parts[0]
            for other_yes, other_no in parts[1:]:
                yes, no = both(yes, other_yes), either(no, other_no)
            return yes, no
        case _Not():
            yes, no = _truth(node.of, given)
            return no, yes
        case _Missing():
            known = _side(node.value, given)[1]
            return np.logical_not(known), known
        case _Comparison():
            yes, no = np.True_, np.False_
            left = _side(node.first, given)
            for sign, part in node.rest:
                right = _side(part, given)
                one_yes, one_no = _compared(sign, left, right)
                yes, no, left = np.logical_and(yes, one_yes), np.logical_or(no, one_no), right
            return yes, no
        case _Among():
            yes, no = np.False_, np.True_
            value = _side(node.value, given)
            for option in node.options:
                one_yes, one_no = _compared("=", value, _side(option, given))
                yes, no = np.logical_or(yes, one_yes), np.logical_and(no, one_no)
            return yes, no
    raise AssertionError("what goes with what was checked before")


def _side(node: _Node, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """One side of a comparison, number or text, and where it is known."""
    known: Any
    if isinstance(node, _Constant):
        return node.value, np.True_
    if isinstance(node, _Column) and _kind_of(given[node.name]) != "number":
        value = given[node.name]
        known = value != None if isinstance(value, np.ndarray) else np.bool_(value is not None)  # noqa: E711 - each element
        return value, known
    number = _value(node, given)
    return number, np.isfinite(number)


def _compared(sign: str, left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
    known = np.logical_and(left[1], right[1])
    if left[0] is None or right[0] is None:
        return np.logical_and(known, np.False_), np.logical_and(known, np.False_)
    result = np.asarray(_COMPARISONS[sign](left[0], right[0]), dtype=np.bool_)
    return np.logical_and(known, result), np.logical_and(known, np.logical_not(result))


def _half_up(value: Any, decimals: int) -> Any:
    """Round as people and spreadsheets do, half away from zero; `np.round` would take half to even.

    A hair is added so that 1.005, which is stored a little below, goes up.
    """
    scaled = np.abs(value) * 10.0**decimals
    return np.copysign(np.floor(scaled + 0.5 + 1e-9), value) / 10.0**decimals
