"""Formulas and conditions: arithmetic and comparisons on columns, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data import formula
from churn.errors import SchemaError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tenure * MonthlyCharges", 60.0),
        ("-tenure ** 2", -4.0),
        ("(tenure + 1) / 4", 0.75),
        ("min(tenure, 1, MonthlyCharges)", 1.0),
        ("max(tenure, 1e3) - .5", 999.5),
        ("round(MonthlyCharges / 7, 2)", 4.29),
        ("round(tenure / 4)", 1.0),  # half goes up, as people round
        ("round(-tenure / 4)", -1.0),
        ("round(1.005, 2)", 1.01),
        ("`Credit limit` - +tenure", 98.0),
        ("`odd ``name```", 5.0),
        ("`min` + min(1, 2)", 8.0),
        ("7", 7.0),
    ],
)
def test_arithmetic(text: str, value: float) -> None:
    given_columns = {"tenure": 2.0, "MonthlyCharges": 30.0, "Credit limit": 100.0, "odd `name`": 5.0, "min": 7.0}
    assert formula.evaluate(text, given_columns) == pytest.approx(value, abs=1e-12)


def test_arrays_go_element_by_element_and_missing_stays_missing() -> None:
    result = formula.evaluate("a / b", {"a": np.array([1.0, 2.0, math.nan, 4.0]), "b": np.array([2.0, 0.0, 1.0, math.nan])})
    np.testing.assert_array_equal(result, [0.5, math.nan, math.nan, math.nan])
    assert math.isnan(float(formula.evaluate("max(a, 1)", {"a": math.nan})))
    assert isinstance(formula.evaluate("a + 1", {"a": 1.0}), float)


def test_columns_come_in_order_and_once() -> None:
    assert formula.columns("b * (a + `c d`) - b") == ("b", "a", "c d")
    assert formula.columns("1 + 2") == ()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "a b",
            "a +",
            "a.b",
            "a[0]",
            "f(a)",
            "a if b else c",
            "lambda: a",
            "[a]",
            "(a, b)",
            "a < b",
            "a and b",
            "not a",
        ),
        *(
            "a // b",
            "a % b",
            "a @ b",
            "a | b",
            "~a",
            "a; b",
            "a = 1",
            "'a'",
            "b'a'",
            "True",
            "None",
            "1j",
            "...",
            "f'{a}'",
            "1e999",
        ),
        *("9" * 400, "__import__('os')", "(lambda: 1)()", "min(a)", "max()", "round(a, b)", "round(a, -1)", "round(a, 99)"),
        *("round()", "min(*a)", "min(a, b, key=a)", "`a", "``", "a\x00b", "(" * 900 + "a" + ")" * 900, "a" * 2000, "(a := 1)"),
        *("{a: b}", "a\nb"),
    ],
)
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="formula"):
        formula.evaluate(text, {"a": 1.0, "b": 2.0, "c": 3.0})


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(SchemaError, match="names column 'c', which is not there"):
        formula.evaluate("a + c", {"a": 1.0})


@given(st.text(min_size=1, max_size=20))
def test_any_name_can_be_quoted(name: str) -> None:
    text = formula.quoted(name)
    assert formula.columns(f"{text} * 2") == (name,)
    assert formula.evaluate(f"{text} * 2", {name: 3.0}) == 6.0


@given(st.text("ab1.+-*/(), `minroud", max_size=25))
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        result = formula.evaluate(text, {"a": 2.0, "b": 0.0})
    except SchemaError:
        return
    assert math.isnan(float(result)) or math.isfinite(float(result))


expressions = st.recursive(
    st.sampled_from(["a", "b"]) | st.floats(0.1, 9).map(lambda x: f"{x:.3f}"),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
    max_leaves=8,
)


@given(expressions, st.floats(0.5, 9), st.floats(0.5, 9))
def test_it_computes_what_python_computes(text: str, a: float, b: float) -> None:
    try:
        expected = eval(text, {"a": a, "b": b})
    except ZeroDivisionError:
        expected = math.nan
    assert formula.evaluate(text, {"a": a, "b": b}) == pytest.approx(expected, nan_ok=True)


# -- conditions --------------------------------------------------------------------------------------------------------

ROW = {"tenure": 3.0, "fee": 70.0, "Contract": "One year", "Owner's plan": 'the "big" one', "gone": None, "lost": math.nan}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("tenure < 12", True),
        ("tenure >= 3 and fee != 70", False),
        ("tenure ≥ 3 and fee ≠ 71", True),
        ("0 < tenure <= 3 < fee", True),
        ("0 < tenure < 3", False),
        ("Contract = 'One year' and tenure + 1 == 4", True),
        ("Contract in ('Month', \"One year\")", True),
        ("Contract not in ('Month', 'One year') or fee in (69, 70)", True),
        ("not Contract = 'One year' or fee < 1", False),
        ("tenure < 1 or fee > 1 and Contract != 'x'", True),
        ("(tenure < 1 or fee > 1) and Contract = 'x'", False),
        ("max(tenure, 10) / round(fee / 7) = 1", True),
        ("`Owner's plan` = 'the \"big\" one'", True),
        ("'it''s' = 'it''s' and tenure > -1", True),
        ("gone is missing and lost is missing and tenure is known", True),
        ("gone is not missing or tenure is not known", False),
        ("lost < 1 or lost >= 1 or lost != 1", False),  # neither true nor false
        ("not lost < 1", False),
        ("not (lost < 1 and tenure > 5)", True),  # false whatever is missing
        ("gone = 'x' or not gone = 'x' or gone in ('x', 'y')", False),
        ("lost in (1, 2) or lost not in (1, 2)", False),
        ("tenure / 0 > 1 or not tenure / 0 > 1", False),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert formula.holds(text, ROW) is holds
    columns = {name: np.array([value] * 2, dtype=object if isinstance(value, str) else float) for name, value in ROW.items()}
    columns["gone"] = np.array([None, None], dtype=object)
    np.testing.assert_array_equal(formula.holds(text, columns), [holds, holds])


LEVELS = {"tenure": None, "fee": None, "Contract": ("Month-to-month", "One year"), "Senior": ("0", "1")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tenur < 12", "at character 1: column 'tenur' is no feature; did you mean 'tenure'?"),
        ("tenure < 12 and", "at character 16: the text ends where a value is expected"),
        ("tenure < 12 AND fee > 3", "at character 13: 'AND' stands where an operator is expected; `and` is written in small"),
        ("monthly fee > 3", "at character 9: 'fee' stands where an operator is expected; a name of several words goes in back"),
        ("fee > 1 & tenure < 2", "at character 9: '&' cannot be read; write `and`"),
        ("fee > 1 and ^", "a power is written **"),
        ("Contract = “One year”", "quotation marks are plain"),
        ("Contract = 'One year", "a quotation mark lacks its partner"),
        ("`fee > 1", "a backtick lacks its partner"),
        ("Contract = 'One yaer'", "at character 12: 'One yaer' is no level of column 'Contract'; did you mean 'One year'?"),
        ("'Nothing' != Contract", "its levels are 'Month-to-month', 'One year'"),
        ("Contract in ('One year', 'Never')", "at character 26: 'Never' is no level"),
        ("Senior = 1", "at character 10: a number is compared with a text; a level goes in quotation marks"),
        ("tenure = '3'", "at character 10: a text is compared with a number"),
        ("Contract < 'One year'", "a text stands where a number is needed"),
        ("Contract + 1 > 2", "at character 1: a text stands where a number is needed: column 'Contract'"),
        ("tenure and fee > 1", "at character 1: a condition is needed here, such as a comparison: column 'tenure'"),
        ("(tenure < 3) + 1 > 2", "a condition stands where a number is needed"),
        ("(tenure < 3) = (fee < 3)", "a condition stands where a value is needed"),
        ("tenure + fee", "gives a number, where a condition is needed"),
        ("tenure is 3", "where `missing` or `known` is expected"),
        ("tenure not 3", "where `in` is expected"),
        ("tenure in 3", "where '(' is expected: in ('a', 'b')"),
        ("sqrt(tenure) > 2", "at character 1: 'sqrt' is no function; there are min, max and round"),
        ("-" * 60 + "tenure > 2", "nested deeper than"),
        ("", "at character 1: the text ends where a value is expected"),
    ],
)
def test_what_is_wrong_with_a_condition_and_where(text: str, says: str) -> None:
    with pytest.raises(SchemaError) as caught:
        formula.check(text, LEVELS)
    assert says in str(caught.value)


def test_a_condition_is_no_formula_and_the_other_way_round() -> None:
    with pytest.raises(SchemaError, match="gives a condition, where a number is needed"):
        formula.evaluate("a < 1", {"a": 1.0})
    with pytest.raises(SchemaError, match="gives a number, where a condition is needed"):
        formula.holds("a + 1", {"a": 1.0})
    with pytest.raises(SchemaError, match="a text stands where a number is needed: column 'a'"):
        formula.evaluate("a + 1", {"a": "x"})


PARTS = ["a", "b", "c", "`a b`", "1", "2.5", "'x'", "and", "or", "not", "in", "is", "missing", "known", "min", "round", "sum"]
PARTS += [*"()+-*/<>=,!'\"`^&", "**", "<=", "!=", "≥", "and not", "is not", "\n", "AND", "9" * 400, "\x00", "é"]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map(" ".join) | st.text(max_size=30))
def test_any_text_is_understood_or_refused_as_a_schemas_fault(text: str) -> None:
    row = {"a": 2.0, "b": math.nan, "c": "x", "a b": None}
    table = {"a": np.array([1.0, 2.0]), "b": np.array([math.nan, 0.0]), "c": np.array(["x", None], dtype=object)}
    doors: list[Callable[[], Any]] = [
        lambda: formula.columns(text),
        lambda: formula.check(text, {"a": None, "b": None, "c": ("x", "y")}),
        *(lambda ask=ask, given=given: ask(text, given) for ask in (formula.evaluate, formula.holds) for given in (row, table)),
    ]
    for door in doors:
        with suppress(SchemaError):
            door()


Three = bool | None  # true, false, neither


def _both(one: Three, other: Three) -> Three:
    return False if one is False or other is False else None if one is None or other is None else True


def _not(one: Three) -> Three:
    return None if one is None else not one


Known = tuple[str, Callable[[dict[str, Any]], Any]]
numbers = st.one_of(
    st.sampled_from("ab").map(lambda name: (name, lambda row: row[name])),
    st.integers(0, 4).map(lambda n: (str(n), lambda row: float(n))),
)
texts = st.one_of(st.just(("c", lambda row: row["c"])), st.sampled_from(["x", "y"]).map(lambda t: (f"'{t}'", lambda row: t)))
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
}


def _compared(left: Known, sign: str, right: Known) -> Known:
    def ask(row: dict[str, Any]) -> Three:
        a, b = left[1](row), right[1](row)
        return None if a is None or b is None else SIGNS[sign](a, b)

    return f"{left[0]} {sign} {right[0]}", ask


def _among(value: Known, options: list[Known], negated: bool) -> Known:
    def ask(row: dict[str, Any]) -> Three:
        found: Three = True
        for option in options:
            found = _both(found, _not(_compared(value, "=", option)[1](row)))
        return found if negated else _not(found)

    return f"{value[0]} {'not ' if negated else ''}in ({', '.join(text for text, _ in options)})", ask


def _missing(value: Known, known: bool) -> Known:
    return f"{value[0]} is {'known' if known else 'missing'}", lambda row: (value[1](row) is not None) == known


conditions = st.recursive(
    st.one_of(
        st.builds(_compared, numbers, st.sampled_from(sorted(SIGNS)), numbers),
        st.builds(_compared, texts, st.sampled_from(["=", "!="]), texts),
        st.builds(_among, numbers, st.lists(numbers, min_size=1, max_size=3), st.booleans()),
        st.builds(_missing, numbers | texts, st.booleans()),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"not ({one[0]})", lambda row: _not(one[1](row)))),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) and ({two[1][0]})", lambda row: _both(*(of(row) for _, of in two)))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]} or {two[1][0]})", lambda row: _not(_both(*(_not(of(row)) for _, of in two))))
        ),
    ),
    max_leaves=8,
)
values = st.none() | st.integers(0, 4).map(float)
rows = st.fixed_dictionaries({"a": values, "b": values, "c": st.sampled_from([None, "x", "y", "z"])})


@given(conditions, st.lists(rows, min_size=1, max_size=4))
def test_conditions_hold_where_three_valued_logic_says(condition: Known, table: list[dict[str, Any]]) -> None:
    text, oracle = condition
    expected = [oracle(row) is True for row in table]
    assert [formula.holds(text, row) for row in table] == expected
    columns = {name: np.array([row[name] for row in table], dtype=float) for name in "ab"}
    together = formula.holds(text, {**columns, "c": np.array([row["c"] for row in table], dtype=object)})
    np.testing.assert_array_equal(np.broadcast_to(together, len(table)), expected)


def test_a_condition_as_people_read_it() -> None:
    names = {"tenure_m": "Tenure", "odd `name`": "Odd one", "min": "Least"}
    text = "min(tenure_m, 3) < `odd ``name``` and `min` in ('tenure_m', 2)  or other is missing"
    assert formula.renamed(text, names) == "min(Tenure, 3) < Odd one and Least in ('tenure_m', 2)  or other is missing"
