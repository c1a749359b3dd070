"""Cells as tables spell them."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data import values

NONE = None


def _text(cells: list[str | None]) -> pl.Series:
    return pl.Series("a", cells, dtype=pl.String)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pl.Series([1, 2, None]), ["1", "2", None]),
        (pl.Series([1.0, 2.5, math.nan, None, 1e300, -0.0]), ["1", "2.5", None, None, "1e+300", "0"]),
        (pl.Series([True, False, None]), ["True", "False", None]),
        (pl.Series([date(2026, 1, 2), None]), ["2026-01-02", None]),
        (pl.Series([datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 4)]), ["2026-01-02", "2026-01-02 03:04:00"]),
        (pl.Series([Decimal("1.50"), None]), ["1.5", None]),
        (pl.Series(["a"], dtype=pl.Categorical), ["a"]),
        (pl.Series([[1, 2]]), ["[1, 2]"]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_any_type_becomes_the_text_a_schema_knows(series: pl.Series, expected: list[str | None]) -> None:
    assert values.as_text(series).to_list() == expected


def test_numbers_are_read_and_what_is_none_is_pointed_at() -> None:
    read = values.numbers(
        _text(["1", " 2 ", "x", "", "  ", None, "NaN", "inf", "NA", "-1", "1e3", "1_000", "1e400"]), ["NA", "-1"]
    )
    assert read.values.to_list() == [1, 2, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 1000, NONE, NONE]
    assert read.bad == (2, 6, 7, 11, 12)


@pytest.mark.parametrize(
    ("series", "missing", "expected", "bad"),
    [
        (pl.Series([1, -1, None]), ["-1"], [1, NONE, NONE], ()),
        (pl.Series([1.5, math.nan, math.inf]), [], [1.5, NONE, NONE], (2,)),
        (pl.Series([True, False, None]), [], [1, 0, NONE], ()),
        (pl.Series([None, None]), [], [NONE, NONE], ()),
        (pl.Series([date(2026, 1, 2), None]), [], [NONE, NONE], (0,)),
        (pl.Series(["NaN", "1"]), ["NaN"], [NONE, 1], ()),
        (pl.Series([" ? ", "1"]), ["?"], [NONE, 1], ()),
    ],
)
def test_numbers_of_other_types(
    series: pl.Series, missing: list[str], expected: list[float | None], bad: tuple[int, ...]
) -> None:
    read = values.numbers(series, missing)
    assert read.values.to_list() == expected
    assert read.values.dtype == pl.Float64
    assert read.bad == bad


def test_whole_numbers_that_were_floats_are_the_same_keys() -> None:
    cells = ["1000.0", "1000.00", "-7.0", "0012.0", "1000.5", "A1.0", "1.0.0", "v1.0", " ", None]
    read = ["1000", "1000", "-7", "0012", "1000.5", "A1.0", "1.0.0", "v1.0", " ", None]
    assert values.keys(_text(cells)).to_list() == read
    assert values.keys(pl.Series([1000.0, None])).to_list() == ["1000", None]
    assert values.keys(pl.Series([1000, None])).to_list() == ["1000", None]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e308", "-1e400", "9007199254740992", " -9007199254740992 ", "9" * 40])
def test_numbers_too_large_to_calculate_with_are_bad(cell: str) -> None:
    cells = ["9007199254740991", cell, "-9007199254740991"]
    for series in (_text(cells), pl.Series([float(text) for text in cells])):
        read = values.numbers(series)
        assert read.values.to_list() == [2.0**53 - 1, None, 1 - 2.0**53]
        assert read.bad == (1,)
    assert values.plain_number(cell) is None
    assert values.numbers(_text(cells), [cell]).bad == ()  # unless that is how the column spells missing


@pytest.mark.parametrize(
    ("numbers", "alike"),
    [
        ([1e12, 1e12 + 3], True),
        ([1e12, 2e12], False),
        ([1e12, 1e12 + 3, -1e12], False),
        ([1.0, 1.000001], False),
        ([5.0, 5.0], False),  # the same is not nearly the same
        ([0.0, 0.0], False),
        ([5.0], False),
        ([], False),
    ],
)
def test_numbers_too_alike_for_their_size(numbers: list[float], alike: bool) -> None:
    assert values.too_alike(pl.Series(numbers, dtype=pl.Float64)) == alike


def test_whole_numbers_too_large_for_a_float_are_bad() -> None:
    assert values.numbers(pl.Series([2**63 - 1, 2**53, 2**53 - 1, None])).bad == (0, 1)


@given(st.lists(st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True) | st.none(), max_size=20))
def test_numbers_written_by_python_are_read_back(numbers: list[float | None]) -> None:
    read = values.numbers(_text([None if number is None else repr(number) for number in numbers]))
    assert read.values.to_list() == numbers
    assert read.bad == ()


@pytest.mark.parametrize(
    ("series", "known", "expected"),
    [
        (pl.Series([1, 0, None]), ["1", "0"], ["1", "0", None]),
        (pl.Series([1, 0, 2]), ["No", "Yes"], ["Yes", "No", "2"]),
        (pl.Series([1.0, 0.0]), ["1", "0"], ["1", "0"]),
        (pl.Series([1.0, 0.0]), ["1.0", "0.0"], ["1.0", "0.0"]),
        (pl.Series([True, False]), ["1", "0"], ["1", "0"]),
        (pl.Series([True, False]), ["y", "n"], ["y", "n"]),
        (pl.Series([True, False]), ["True", "False"], ["True", "False"]),
        (pl.Series([True]), ["a", "b"], ["True"]),
        (
            _text(["Yes", "yes", "Yes ", "1", "?", " ", "", None]),
            ["Yes", "No"],
            ["Yes", "yes", "Yes ", "1", None, None, None, None],
        ),
        (_text([" ", "a"]), [" ", "a"], [" ", "a"]),  # a schema may call a blank a level
    ],
)
def test_levels_change_type_but_never_text(series: pl.Series, known: list[str], expected: list[str | None]) -> None:
    assert values.levels(series, known, ["?"]).to_list() == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2026-01-02", "2026-11-19 06:12:00", "2026-11-19T06:12:00Z"], [(1, 2), (11, 19), (11, 19)]),
        (["19.11.2026", "1.2.2026"], [(11, 19), (2, 1)]),
        (["01/02/2026", "13/04/2026"], [(2, 1), (4, 13)]),
        (["01/02/2026", "04/13/2026"], [(1, 2), (4, 13)]),
        (["1/31/26", "2/1/26"], [(1, 31), (2, 1)]),
        (["20260102", "20261119"], [(1, 2), (11, 19)]),
        (["2026-01", "2026-11"], [(1, 1), (11, 1)]),
        (["19 Nov 2026", "2 Jan 2026"], [(11, 19), (1, 2)]),
        (["Nov 19, 2026", None], [(11, 19), None]),
        (["19-Nov-2026", ""], [(11, 19), None]),
        (["02/02/2026", "03/03/2026"], [(2, 2), (3, 3)]),
    ],
)
def test_dates_in_one_spelling_are_read(cells: list[str | None], expected: list[tuple[int, int] | None]) -> None:
    read = values.dates(_text(cells))
    assert read.values.to_list() == [None if day is None else date(2026, *day) for day in expected]
    assert (read.bad, read.ambiguous) == ((), False)


def test_dates_that_are_none_or_two_are_pointed_at() -> None:
    assert values.dates(_text(["2026-01-02", "soon", "2026-02-30"])).bad == (1, 2)
    assert values.dates(_text(["1/2/2026", "3/4/2026"])).ambiguous
    assert values.dates(_text(["12345", "1"])).bad == (0, 1)
    assert values.dates(pl.Series([datetime(2026, 1, 2, 3)])).values.to_list() == [date(2026, 1, 2)]


@pytest.mark.parametrize(
    ("text", "comma", "plain"),
    [
        ("1,234.50", None, "1234.50"),
        ("$1,234,567", None, "1234567"),
        ("1.234,50", None, "1234.50"),
        ("12,5", None, "12.5"),
        ("1,234", None, None),
        ("0,234", None, "0.234"),
        ("1,234", False, "1234"),
        ("1,234", True, "1.234"),
        ("1 234,5", None, "1234.5"),
        ("1'234.5", None, "1234.5"),
        ("45%", None, "45"),
        ("-$5", None, "-5"),
        ("$-5", None, "-5"),
        ("\u22125", None, "-5"),
        ("12 EUR", None, "12"),
        (" 7 ", None, "7"),
        ("abc", None, None),
        ("1,23,4", None, None),
        ("(5)", None, None),
        ("1_000", None, None),
        ("nan", None, None),
        ("", None, None),
    ],
)
def test_numbers_in_other_spellings(text: str, comma: bool | None, plain: str | None) -> None:
    assert values.plain_number(text, comma=comma) == plain


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["1,5", "2"], True),
        (["1,234.5"], False),
        (["1.5", "1,234"], False),
        (["1,234"], None),
        (["1,5", "1.5"], None),
        (["99,50", "1,234"], None),
        (["99,50", "12,5", "1,234"], True),
        (["0,541"], True),
        ([], None),
    ],
)
def test_the_other_values_tell_what_a_comma_is(cells: list[str], says: bool | None) -> None:
    assert values.comma_is_decimal(cells) is says


@given(st.text(max_size=12))
def test_no_spelling_of_a_number_breaks_it(text: str) -> None:
    plain = values.plain_number(text)
    assert plain is None or math.isfinite(float(plain))
