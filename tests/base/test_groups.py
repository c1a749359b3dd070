"""Groups are exhaustive, disjoint, the same in SQL and in polars, and read like what they hold."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.base.groups import NOT_KNOWN, OTHER, Filter, Group, groups, number_edges
from churn.data.schema import Feature, Level, Schema


def _number(**given: Any) -> Feature:
    return Feature.model_validate({"name": "x", "kind": "number", "label": "X", **given})


def _schema(feature: Feature) -> Schema:
    return Schema.model_validate({"key": "k", "target": {"column": "t", "positive": "Yes"}, "features": [feature]})


def _labels(feature: Feature, values: list[float | None]) -> list[str]:
    edges = number_edges(feature, pl.Series(values, dtype=pl.Float64))
    return [group.label for group in groups(feature, _schema(feature), edges)]


def _holding(found: tuple[Group, ...], column: pl.Series) -> list[list[int]]:
    """For each value the places of the groups it is in: by polars, having checked that SQL says the same."""
    table = column.alias("x").to_frame()
    by_polars = table.select([group.expression("x").alias(str(i)) for i, group in enumerate(found)])
    asked = [group.sql('"x"') for group in found]
    sql = f"SELECT {', '.join(condition for condition, _ in asked)} FROM table_"
    with duckdb.connect() as connection:
        connection.register("table_", table.to_arrow())
        rows = connection.execute(sql, [value for _, values in asked for value in values]).fetchall()
    assert [tuple(row) for row in by_polars.rows()] == rows
    return [[place for place, inside in enumerate(row) if inside] for row in rows]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9), st.integers(-5, 60).map(float)), min_size=1, max_size=40),
    whole=st.booleans(),
    unit=st.sampled_from(["", "month", "money", "percent", "share", "call"]),
    at_least=st.sampled_from([None, -1e9, 0.0]),
)
def test_every_number_is_in_exactly_one_group(values: list[float | None], whole: bool, unit: str, at_least: float | None) -> None:
    feature = _number(unit=unit, whole=whole, at_least=at_least)
    column = pl.Series(values, dtype=pl.Float64)
    if whole:
        column = column.round()
    found = groups(feature, _schema(feature), number_edges(feature, column))
    held = _holding(found, column)
    assert all(len(places) == 1 for places in held)
    assert all((found[places[0]].label == NOT_KNOWN) == (value is None) for places, value in zip(held, column, strict=True))
    labels = [group.label for group in found]
    assert len(set(labels)) == len(labels)
    assert len(labels) <= 7


@settings(max_examples=60, deadline=None)
@given(
    levels=st.lists(st.text(max_size=4), min_size=2, max_size=40, unique=True),
    values=st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=20),
    labels=st.lists(st.sampled_from(["A", "Not known", "Other", None]), min_size=40, max_size=40),
)
def test_every_text_is_in_exactly_one_group(levels: list[str], values: list[str | None], labels: list[str | None]) -> None:
    feature = Feature(
        name="x",
        kind="category",
        label="X",
        levels=tuple(Level(value=level, label=label) for level, label in zip(levels, labels, strict=False)),
    )
    found = groups(feature, _schema(feature))
    held = _holding(found, pl.Series([*values, *levels, None], dtype=pl.String))
    assert all(len(places) == 1 for places in held)
    assert found[held[-1][0]].label == NOT_KNOWN
    names = [group.label for group in found]
    assert len(set(names)) == len(names)


def test_tenure_is_cut_at_years() -> None:
    tenure = _number(unit="month", whole=True, at_least=0, range=(0, 72))
    expected = ["0–12 months", "13–24 months", "25–48 months", "Over 48 months", NOT_KNOWN]
    assert _labels(tenure, [float(month) for month in range(73)]) == expected
    assert [group.label for group in groups(tenure, _schema(tenure))] == expected
    assert _labels(tenure, [13.0, 40.0, 56.0]) == ["0–24 months", "25–48 months", "Over 48 months", NOT_KNOWN]


def test_few_whole_numbers_are_groups_of_their_own() -> None:
    calls = _number(unit="call", whole=True, at_least=0)
    assert _labels(calls, [0, 1, 2, 3, 1, 0]) == ["0 calls", "1 call", "2 calls", "Over 2 calls", NOT_KNOWN]
    products = _number(unit="product", whole=True, at_least=0, range=(1, 4))
    assert _labels(products, [1, 2, 3, 4]) == ["1 product", "2 products", "3 products", "4 products", NOT_KNOWN]
    assert _labels(_number(whole=True), [1, 2, 3, 4]) == ["Up to 1", "2", "3", "Over 3", NOT_KNOWN]
    age = _number(unit="year", whole=True, at_least=0, range=(18, 92))
    assert _labels(age, list(range(18, 93)))[0] == "Up to 35 years"


def test_a_last_group_of_one_whole_number_is_named_by_it() -> None:
    dependents = _number(unit="dependent", whole=True, at_least=0, range=(0, 5))
    expected = ["0 dependents", "1 dependent", "2 dependents", "3 dependents", "4 dependents", "5 dependents", NOT_KNOWN]
    assert _labels(dependents, [0, 1, 2, 3, 4, 5]) == expected
    assert _labels(_number(whole=True, at_most=3), [1, 2, 3])[-2:] == ["3", NOT_KNOWN]
    assert _labels(_number(whole=True, range=(1, 9)), [1, 2, 3])[-2:] == ["Over 2", NOT_KNOWN]  # 4 to 9 are in it too
    assert _labels(_number(unit="share", range=(0, 1)), [0.0, 0.0, 1.0])[-2] == "Over 0%"  # 0.5 is above none and no whole number


def test_money_and_shares_have_round_edges() -> None:
    charge = _number(unit="money", at_least=0)
    spread = [18.25 + i * 0.01 for i in range(10_050)]
    assert _labels(charge, spread) == ["$0 to $45", "$45 to $70", "$70 to $95", "Over $95", NOT_KNOWN]
    share = _number(unit="share")
    assert _labels(share, [i / 1000 for i in range(1001)]) == ["Up to 25%", "25% to 50%", "50% to 75%", "Over 75%", NOT_KNOWN]


def test_a_third_with_nothing_has_a_group_of_nothing() -> None:
    balance = _number(unit="money", at_least=0)
    values = [0.0] * 40 + [1000.0 * i for i in range(1, 61)]
    assert _labels(balance, values)[0] == "$0"


@pytest.mark.parametrize("values", [[], [None, None], [5.0], [5.0, 5.0]])
def test_one_value_or_none_gives_one_group(values: list[float | None]) -> None:
    assert _labels(_number(), values) == ["Any value", NOT_KNOWN]


def test_ten_thousand_levels_become_a_few() -> None:
    feature = Feature(name="x", kind="category", label="X", levels=tuple(Level(value=str(i)) for i in range(10_000)))
    labels = [group.label for group in groups(feature, _schema(feature))]
    assert len(labels) == 32
    assert labels[-2:] == [OTHER, NOT_KNOWN]


def test_filters_are_equal_whatever_the_order() -> None:
    one = Filter.of({"b": ["y", "x", "x"], "a": ["z"], "c": []})
    assert one == Filter.of({"a": ["z"], "b": ["x", "y"]})
    assert hash(one) == hash(Filter((("a", ("z",)), ("b", ("x", "y")))))
    assert one.labels("b") == ("x", "y")
    assert one.labels("c") == ()
    assert one.narrowed("b", "x").labels("b") == ("x",)
    assert not one.narrowed("b").narrowed("a")
