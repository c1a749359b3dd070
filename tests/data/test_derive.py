"""Formulas found again in columns made with them, and nothing found where nothing is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from churn.data import derive
from churn.data.labels import words_of

ROWS = 600
RNG = np.random.default_rng(5)
A = np.round(RNG.uniform(1, 100, ROWS), 2)
B = np.round(RNG.uniform(1, 50, ROWS), 2)
C = RNG.normal(size=ROWS)


@pytest.mark.parametrize(
    ("values", "formula"),
    [
        (A - B, "a - b"),
        (B - A, "b - a"),
        (A + B, "a + b"),
        (np.round(A * B, 2), "round(a * b, 2)"),
        (np.round(A / B, 3), "round(a / b, 3)"),
    ],
)
def test_exact_formulas_are_found(values: np.ndarray, formula: str) -> None:
    (found,) = derive.find_formulas({"a": A, "b": B, "c": C, "d": np.round(values, 4)})
    assert (found.column, found.formula, found.residual) == ("d", formula, False)
    assert found.share == 1.0
    assert found.rows == ROWS


def test_fixed_multiples_are_found_with_their_factor() -> None:
    (found,) = derive.find_formulas({"Total day minutes": A, "b": B, "Total day charge": np.round(0.17 * A, 2)})
    assert (found.column, found.formula) == ("Total day charge", "round(0.17 * `Total day minutes`, 2)")
    (found,) = derive.find_formulas({"months": np.floor(A), "b": B, "days": np.floor(A) * 30})
    assert found.formula == "30 * months"


def test_a_near_product_is_found_and_keeps_its_residual() -> None:
    total = A * B * np.random.default_rng(101).normal(1, 0.02, ROWS)
    (found,) = derive.find_formulas({"total paid": total, "a": A, "b": B, "c": C})
    assert (found.column, found.formula, found.residual) == ("total paid", "a * b", True)
    assert 0.99 <= found.share < 1


def test_missing_values_and_a_few_odd_rows_do_not_hide_a_formula() -> None:
    values = A - B
    values[:2] = 1e6
    values[5:60] = np.nan
    (found,) = derive.find_formulas({"a": A, "b": B, "d": values})
    assert found.formula == "a - b"
    assert (found.held, found.rows, found.residual) == (ROWS - 57, ROWS - 55, True)  # the two odd rows keep their difference


def test_nothing_is_found_among_strangers_or_small_numbers() -> None:
    rng = np.random.default_rng(102)
    strangers = {name: rng.normal(size=ROWS) for name in "abcdef"}
    assert derive.find_formulas(strangers) == ()
    dice = {name: rng.integers(0, 4, ROWS).astype(float) for name in "abc"}
    assert derive.find_formulas({**dice, "d": dice["a"] + dice["b"]}) == ()  # too few values to mean anything
    assert derive.find_formulas({"a": A[:20], "b": B[:20], "d": (A - B)[:20]}) == ()
    assert derive.find_formulas({"a": A, "b": A + 1, "c": C}) == ()


def test_one_relation_gives_one_formula_and_chains_do_not_circle() -> None:
    found = derive.find_formulas({"a": A, "b": B, "d": np.round(A - B, 2), "e": np.round(A + (A - B), 2)})
    assert {item.column: item.formula for item in found} == {"d": "a - b", "e": "a + d"}


def test_names_are_quoted_where_they_must_be() -> None:
    (found,) = derive.find_formulas({"Credit Limit": A, "Balance (USD)": B, "d": np.round(A - B, 2)})
    assert found.formula == "`Credit Limit` - `Balance (USD)`"


def test_copies_are_found_under_other_names() -> None:
    table = pl.DataFrame(
        {"a": ["x", "y", "x", None], "n": [1.0, 2.0, 3.0, None], "b": ["1", "2", "1", None], "m": [1.0, 2.0, 3.0, None]}
    )
    assert derive.find_copies(table) == {"b": "a", "m": "n"}
    assert derive.find_copies(pl.DataFrame({"a": ["x", "x"], "b": ["y", "y"]})) == {}


def _services() -> pl.DataFrame:
    rng = np.random.default_rng(103)
    net = rng.choice(["DSL", "Fiber", "No"], ROWS)
    return pl.DataFrame(
        {
            "InternetService": net,
            "TechSupport": np.where(net == "No", "No internet service", rng.choice(["Yes", "No"], ROWS)),
            "Phone": rng.choice(["Yes", "No"], ROWS),
        }
    )


def test_levels_that_name_their_parent_follow_it_and_lead_back() -> None:
    table = _services()
    used = np.where(table["InternetService"].to_numpy() == "No", 0.0, np.random.default_rng(104).uniform(1, 9, ROWS))
    names = {name: words_of(name) for name in table.columns}
    (found,) = derive.find_implications(table, {"used": used, "c": C}, names)
    assert (found.column, found.level) == ("InternetService", "No")
    assert found.then == {"TechSupport": "No internet service", "used": 0.0}
    levels = {"InternetService": ("DSL", "Fiber", "No"), "TechSupport": ("No", "Yes", "No internet service")}
    there, back = derive.rules_of([found], levels, {"InternetService": "Internet service"})
    assert (there.when, there.label) == ({"InternetService": "No"}, "No internet service")
    assert back.when == {"InternetService": ("DSL", "Fiber"), "TechSupport": "No internet service"}
    assert back.then == {"TechSupport": "No"}


def test_coincidences_are_no_rules() -> None:
    table = _services().with_columns(pl.lit("No").alias("Fax"))
    odd = table.with_columns(
        pl.when(pl.int_range(pl.len()) % 40 == 3).then(pl.lit("Yes")).otherwise("TechSupport").alias("TechSupport"),
        pl.lit("No").alias("InternetService"),
    )
    assert derive.find_implications(odd, {}, {name: words_of(name) for name in odd.columns}) == ()
    few = table.head(40)
    assert derive.find_implications(few, {}, {name: words_of(name) for name in few.columns}) == ()


def test_what_nearly_always_holds_is_told_with_the_rows_against_it_and_makes_no_rule() -> None:
    rng = np.random.default_rng(105)
    net = rng.choice(["DSL", "No"], 2_000)
    used = np.where(net == "No", 0.0, rng.uniform(1, 9, 2_000))
    support = np.where(net == "No", "No internet service", rng.choice(["Yes", "No"], 2_000))
    backup = support.copy()
    without, within = np.flatnonzero(net == "No"), np.flatnonzero(net == "DSL")
    backup[without[:2]] = "Yes"
    backup[within[:1]] = "No internet service"
    used[without[5]] = 3.0
    table = pl.DataFrame({"InternetService": net, "TechSupport": support, "OnlineBackup": backup})
    found = derive.find_implications(table, {"used": used}, {name: words_of(name) for name in table.columns})
    told = {tuple(item.then): (item.rows, item.broken) for item in found}
    assert told == {("TechSupport",): (len(without), 0), ("OnlineBackup",): (len(without), 3), ("used",): (len(without), 1)}
    levels = {"InternetService": ("DSL", "No"), "TechSupport": ("No", "Yes", "No internet service")}
    rules = derive.rules_of(found, levels, {"InternetService": "Internet service"})
    assert [tuple(rule.then) for rule in rules] == [("TechSupport",), ("TechSupport",)]
    assert rules[0].evidence == f"holds in all {len(without):,} such rows"
    backup[without[:20]] = "Yes"  # too many to be slips
    wrong = table.with_columns(OnlineBackup=pl.Series(backup))
    found = derive.find_implications(wrong, {}, {name: words_of(name) for name in table.columns})
    assert [tuple(item.then) for item in found] == [("TechSupport",)]
