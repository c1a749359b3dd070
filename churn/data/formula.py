"""Formulas between columns: `tenure * MonthlyCharges`, `round(Balance / `Credit limit`, 3)`.

A formula is read as arithmetic and nothing else: numbers, column names, `+ - * / **`, parentheses, `min`, `max`, `round`.
A name that is no plain identifier stands in backticks; a backtick within it is doubled. It comes out of a schema, which
travels, so nothing in it is ever run as Python.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from churn.errors import SchemaError

Value = float | npt.NDArray[np.float64]

_LONGEST = 1000  # characters; also keeps Python's parser from nesting too deep
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")
_STAND_IN = "column_in_backticks_"
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
)
_MOST, _LEAST = {"min": 64, "max": 64, "round": 2}, {"min": 2, "max": 2, "round": 1}


def evaluate(text: str, columns: Mapping[str, Value]) -> Value:
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
    SchemaError: the formula cannot be read, or names a column that is not given.

    >>> evaluate("max(tenure, 1) * MonthlyCharges", {"tenure": 0.0, "MonthlyCharges": 29.85})
    29.85
    """
    tree, names = _parsed(text)
    absent = [name for name in names.values() if name not in columns]
    if absent:
        raise SchemaError(f"formula {text!r} names column {absent[0]!r}, which is not there")
    with np.errstate(all="ignore"):
        result = np.asarray(_value(tree, names, columns), dtype=np.float64)
        result = np.where(np.isfinite(result), result, np.nan)
    return float(result) if result.ndim == 0 else result


def columns(text: str) -> tuple[str, ...]:
    """The columns a formula uses, in the order they come. Raises SchemaError if it cannot be read.

    >>> columns("`Credit limit` - Balance")
    ('Credit limit', 'Balance')
    """
    _, names = _parsed(text)
    return tuple(dict.fromkeys(names.values()))


def quoted(name: str) -> str:
    """A column's name as a formula spells it, in backticks where it needs them."""
    plain = name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and name not in _MOST
    return name if plain and not name.startswith(_STAND_IN) else "`" + name.replace("`", "``") + "`"


@lru_cache(maxsize=512)
def _parsed(text: str) -> tuple[ast.expr, dict[str, str]]:
    """The checked tree, and for each identifier in it the column meant."""
    if len(text) > _LONGEST:
        raise SchemaError(f"formula {text[:40]!r}… is {len(text)} characters long; at most {_LONGEST} are read")
    meant: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = match[1].replace("``", "`")
        if not name:
            raise SchemaError(f"formula {text!r} has empty backticks; a column's name belongs between them")
        identifier = f"{_STAND_IN}{len(meant)}"
        meant[identifier] = name
        return f" {identifier} "

    plain = _QUOTED.sub(stand_in, text).strip()
    if "`" in plain:
        raise SchemaError(f"formula {text!r} has a backtick without its partner")
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SchemaError(f"formula {text!r} cannot be read: {getattr(error, 'msg', None) or 'it is no formula'}") from error
    ordered: dict[str, str] = {}
    _check(tree, text, meant, ordered)
    return tree, ordered


def _check(node: ast.AST, text: str, meant: Mapping[str, str], names: dict[str, str]) -> None:
    """Allow arithmetic only; collect names from left to right."""
    match node:
        case ast.Constant(value=bool() | str() | bytes() | complex() | None):
            raise SchemaError(f"formula {text!r} holds {node.value!r}, which is no number")
        case ast.Constant(value=int() | float() as value):
            _finite(value, text)
        case ast.Name():
            names[node.id] = meant.get(node.id, node.id)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            _check(node.operand, text, meant, names)
        case ast.BinOp() if type(node.op) in _OPERATORS:
            _check(node.left, text, meant, names)
            _check(node.right, text, meant, names)
        case ast.Call(func=ast.Name(id=function), keywords=[]) if function in _MOST:
            if not _LEAST[function] <= len(node.args) <= _MOST[function]:
                wanted = "a value and how many decimals" if function == "round" else "two values or more"
                raise SchemaError(f"formula {text!r}: {function} takes {wanted}, not {len(node.args)}")
            for argument in node.args:
                _check(argument, text, meant, names)
            if function == "round" and len(node.args) == 2 and not _is_decimals(node.args[1]):
                raise SchemaError(f"formula {text!r}: round takes whole decimals from 0 to 12")
        case _:
            raise SchemaError(
                f"formula {text!r} holds {ast.unparse(node)[:60]!r}; only numbers, columns, + - * / **, parentheses, "
                "min, max and round can be used (a name with other characters goes in backticks)"
            )


def _finite(value: float, text: str) -> None:
    try:
        fine = np.isfinite(float(value))
    except OverflowError:
        fine = False
    if not fine:
        raise SchemaError(f"formula {text!r} holds a number too large to compute with")


def _is_decimals(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and 0 <= node.value <= 12


def _value(node: ast.expr, names: Mapping[str, str], given: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type]
        case ast.Name():
            return np.asarray(given[names[node.id]], dtype=np.float64)
        case ast.UnaryOp():
            value = _value(node.operand, names, given)
            return np.negative(value) if isinstance(node.op, ast.USub) else value
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_value(node.left, names, given), _value(node.right, names, given))
        case ast.Call(func=ast.Name(id="round")):
            decimals = node.args[1].value if len(node.args) == 2 else 0  # type: ignore[attr-defined]
            return _half_up(_value(node.args[0], names, given), decimals)
        case ast.Call(func=ast.Name(id=function)):
            reduce = np.minimum if function == "min" else np.maximum
            result = _value(node.args[0], names, given)
            for argument in node.args[1:]:
                result = reduce(result, _value(argument, names, given))
            return result
    raise AssertionError("the tree was checked when it was read")


def _half_up(value: Any, decimals: int) -> Any:
    """Round as people and spreadsheets do, half away from zero; `np.round` would take half to even.

    A hair is added so that 1.005, which is stored a little below, goes up.
    """
    scaled = np.abs(value) * 10.0**decimals
    return np.copysign(np.floor(scaled + 0.5 + 1e-9), value) / 10.0**decimals
