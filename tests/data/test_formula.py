"""Formulas: arithmetic on columns, and nothing else."""

from __future__ import annotations

import math

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
