"""Edits that lead away from every real customer are told from those that do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from churn.data.schema import Feature, Schema
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import edit


@pytest.fixture(scope="module")
def evidence(reference: pl.DataFrame, schema: Schema) -> Evidence:
    return Evidence(reference, schema)


def _support(row: dict[str, Any], changes: dict[str, Any], schema: Schema, evidence: Evidence) -> Support:
    edited = edit(row, changes, schema, evidence)
    return evidence.support(edited.before, edited.row, edited.changed)


def test_no_edit_is_supported(customer: dict[str, Any], schema: Schema, evidence: Evidence) -> None:
    assert _support(customer, {}, schema, evidence).supported


def test_a_usual_edit_is_supported(reference: pl.DataFrame, schema: Schema, evidence: Evidence) -> None:
    rows = reference.head(200).to_dicts()
    fine = [_support(row, {"Contract": "Two year"}, schema, evidence).supported for row in rows]
    assert sum(fine) >= 195


def test_no_internet_at_the_price_of_fibre_is_a_guess(reference: pl.DataFrame, schema: Schema, evidence: Evidence) -> None:
    row = reference.filter((pl.col("Internet") == "Fiber optic") & (pl.col("Monthly") > 85)).row(0, named=True)
    found = _support(row, {"Internet": "No"}, schema, evidence)
    assert not found.supported
    assert found.note.startswith("Nobody has both no internet and monthly charge of about $")
    assert found.note.endswith("; the answer is a guess.")
    assert ("Internet", "Monthly") in {tuple(sorted(pair)) for pair in found.unheard}
    assert _support(row, {"Internet": "No", "Monthly": 20.0}, schema, evidence).supported


def test_far_from_everybody(reference: pl.DataFrame, schema: Schema) -> None:
    few = Evidence(reference.head(40), schema)
    row = reference.filter(pl.col("tenure") < 5).row(0, named=True)
    far = {**row, "tenure": 72.0, "Monthly": 120.0, "Total": 20_000.0}
    found = few.support(row, far, {"tenure", "Monthly", "Total"})
    assert found.distance > found.limit
    assert not found.supported


def test_missing_values_unseen_levels_and_empty_samples(
    customer: dict[str, Any], reference: pl.DataFrame, schema: Schema, evidence: Evidence
) -> None:
    assert evidence.support(customer, {**customer, "Monthly": None}, {"Monthly"}).unheard == (("Monthly",),)
    odd = {**customer, "Contract": "Weekly"}
    assert not evidence.support(customer, odd, {"Contract"}).supported
    gaps = Evidence(reference.with_columns(Monthly=pl.when(pl.col("tenure") > 60).then(None).otherwise("Monthly")), schema)
    assert 0 <= gaps.support(customer, {**customer, "Monthly": None}, {"Monthly"}).distance <= 1
    for rows in (0, 1):
        assert Evidence(reference.head(rows), schema).support(customer, odd, {"Contract"}).distance >= 0


def test_the_same_answer_every_time(customer: dict[str, Any], reference: pl.DataFrame, schema: Schema) -> None:
    many = pl.concat([reference] * 3)
    edited = {**customer, "Contract": "Two year"}
    first, second = (Evidence(many, schema).support(customer, edited, {"Contract"}) for _ in range(2))
    assert first == second


# -- why -----------------------------------------------------------------------


def test_a_value_nobody_has_is_named(customer: dict[str, Any], schema: Schema, evidence: Evidence) -> None:
    lost = evidence.support(customer, {**customer, "Monthly": None}, {"Monthly"})
    assert lost.note == "Nobody lacks monthly charge; the answer is a guess."
    odd = evidence.support(customer, {**customer, "Contract": "Weekly"}, {"Contract"})
    assert odd.note == "Nobody has contract: Weekly; the answer is a guess."


def test_the_pair_most_to_be_expected_is_named(schema: Schema, reference: pl.DataFrame) -> None:
    """Nobody with fibre is a senior, and few have fibre and tech support: the commoner pair is the one to tell."""
    table = reference.with_columns(
        Senior=pl.when(pl.col("Internet") == "Fiber optic").then(pl.lit("No")).otherwise("Senior"),
        TechSupport=pl.when(pl.col("Internet") == "Fiber optic").then(pl.lit("No")).otherwise("TechSupport"),
    )
    row = table.filter((pl.col("Internet") == "DSL") & (pl.col("Senior") == "Yes") & (pl.col("TechSupport") == "Yes"))
    before = row.row(0, named=True)
    found = Evidence(table, schema).support(before, {**before, "Internet": "Fiber optic"}, {"Internet"})
    seniors, helped = (table.filter(pl.col(name) == "Yes").height for name in ("Senior", "TechSupport"))
    first = "TechSupport" if helped > seniors else "Senior"
    assert found.unheard[0] == ("Internet", first)
    assert found.note.startswith(f"Nobody has both fibre internet and {schema.feature(first).label.lower()};")


def test_far_from_everybody_is_said_so(reference: pl.DataFrame, schema: Schema) -> None:
    table = reference.filter(pl.col("Internet") == "DSL").head(40).sort("tenure")
    row = table.row(0, named=True)
    far = {**row, "tenure": table["tenure"].max(), "Total": 0.0, "Monthly": table["Monthly"].max()}
    found = Evidence(table, schema).support(row, far, {"tenure", "Monthly", "Total"})
    assert not found.unheard
    assert found.note == "No customer is near: the nearest differs more than for 99 in 100; the answer is a guess."


def _brute(
    before: dict[str, Any], after: dict[str, Any], table: pl.DataFrame, schema: Schema
) -> tuple[float, set[frozenset[str]]]:
    """Gower's distance to the nearest row, and the unheard pairs of columns, straight from their definitions."""
    nearest, cuts = 1.0, {}
    for feature in schema.numbers:
        known = table[feature.name].drop_nulls().to_numpy()
        cuts[feature.name] = np.unique(np.quantile(known, np.arange(1, 10) / 10))
    spreads = {f.name: np.subtract(*np.quantile(table[f.name].drop_nulls().to_numpy(), [0.99, 0.01])) for f in schema.numbers}
    for row in table.iter_rows(named=True):
        parts = []
        for feature in schema.features:
            a, b = row[feature.name], after[feature.name]
            if a is None or b is None:
                parts.append(float((a is None) != (b is None)))
            elif feature.is_number:
                parts.append(min(abs(a - b) / spreads[feature.name], 1.0))
            else:
                parts.append(float(a != b))
        nearest = min(nearest, sum(parts) / len(parts))

    def code(name: str, value: Any) -> Any:
        return value if value is None or name not in cuts else int(np.searchsorted(cuts[name], value, side="left"))

    coded = [{name: code(name, row[name]) for name in schema.names} for row in table.iter_rows(named=True)]
    own = {name: code(name, after[name]) for name in schema.names}
    count = {name: sum(row[name] == own[name] for row in coded) for name in schema.names}
    unheard: set[frozenset[str]] = set()
    for a in (name for name in schema.names if code(name, before[name]) != own[name]):
        if not count[a]:
            unheard.add(frozenset([a]))
            continue
        for b in schema.names:
            both = sum(row[a] == own[a] and row[b] == own[b] for row in coded)
            if not both and count[a] * count[b] / len(coded) >= 5:
                unheard.add(frozenset([a, b]))
    return nearest, unheard


def test_many_at_once_equal_the_definition(reference: pl.DataFrame, schema: Schema) -> None:
    random = np.random.default_rng(3)
    table = reference.head(150).with_columns(Monthly=pl.when(pl.col("tenure") > 65).then(None).otherwise("Monthly"))
    asked, before = Evidence(table, schema), table.row(4, named=True)
    edits = []
    for donor in table.sample(25, seed=1).iter_rows(named=True):
        names = random.choice(schema.names, random.integers(1, 6), replace=False)
        edits.append({**before, **{name: donor[name] for name in names}})
    answers = asked.supports(before, [(after, {n for n in schema.names if after[n] != before[n]}) for after in edits])
    different = 0
    for after, answer in zip(edits, answers, strict=True):
        if after == before:
            assert answer.supported
            continue
        distance, unheard = _brute(before, after, table, schema)
        assert answer.distance == pytest.approx(distance, abs=1e-12)
        assert {frozenset(pair) for pair in answer.unheard} == unheard
        assert (answer.note == "") is answer.supported
        different += 1
    assert different >= 20


def test_what_was_unheard_of_before_is_not_held_against_the_edit(schema: Schema, reference: pl.DataFrame) -> None:
    """The customer has fibre at a price nobody pays for it; a cent more, or another contract, makes nothing new."""
    evidence = Evidence(reference, schema)
    row = reference.filter(pl.col("Internet") == "Fiber optic").row(0, named=True)
    odd = {**row, "Monthly": 20.0}
    assert not evidence.support(row, odd, {"Monthly"}).supported
    assert not evidence.support(odd, {**odd, "Monthly": 20.01}, {"Monthly"}).unheard
    assert not evidence.support(odd, {**odd, "Contract": "One year"}, {"Contract"}).unheard


# -- values --------------------------------------------------------------------


def number(**parts: Any) -> Feature:
    return Feature.model_validate({"name": "x", "kind": "number", "label": "Length", **parts})


def asked(values: list[float], **parts: Any) -> tuple[Evidence, Feature]:
    feature = number(**parts)
    schema = Schema.model_validate({"key": "id", "target": {"column": "y", "positive": "1"}, "features": [feature.model_dump()]})
    return Evidence(pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)}), schema), feature


@pytest.mark.parametrize(
    ("values", "whole", "step"),
    [
        ([i / 20 for i in range(360, 2380)], False, 1.0),  # $18 to $119 in five cents: 50 places in 91 dollars
        (list(range(73)), True, 1.0),
        (list(range(73)), False, 1.0),  # never finer than the data
        ([0, 100, 300, 1000, 90_000], False, 1000.0),
        ([i * 100 for i in range(20)], False, 100.0),
        ([0.0, 1.0] * 10, True, 1.0),
        ([0.0] * 99 + [50.0], False, 1.0),  # nearly all the same: the whole range
        ([3.5], False, 1.0),
        ([], True, 1.0),
        ([i / 1000 for i in range(1000)], False, 0.01),
    ],
)
def test_steps_come_from_the_data(values: list[float], whole: bool, step: float) -> None:
    evidence, feature = asked(values, whole=whole)
    assert evidence.step(feature) == pytest.approx(step)


def test_one_outlier_does_not_make_the_steps_coarse() -> None:
    values = [float(value) for value in range(500)]
    assert asked([*values, 1e7])[0].step(number()) == asked(values)[0].step(number())


@settings(max_examples=60, deadline=None)
@given(some.lists(some.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=1, max_size=80), some.integers(3, 40))
def test_a_grid_is_rising_few_and_within_what_was_seen(values: list[float], most: int) -> None:
    evidence, feature = asked(values)
    grid = evidence.grid(feature, most)
    assert list(grid) == sorted(set(grid))
    assert len(grid) <= most
    assert (grid[0], grid[-1]) == (min(values), max(values))
    if len(set(values)) <= most:
        assert set(grid) == set(values)


@settings(max_examples=60, deadline=None)
@given(some.lists(some.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=1, max_size=80), some.integers(2, 9))
def test_values_by_shares_are_rising_few_and_within_what_was_seen(values: list[float], most: int) -> None:
    evidence, feature = asked(values)
    found = evidence.shares(feature, most)
    assert 1 <= len(found) <= most
    assert list(found) == sorted(set(found))
    assert min(values) <= found[0]
    assert found[-1] <= max(values)


def test_values_by_shares_lie_where_the_customers_are() -> None:
    evidence, feature = asked([*map(float, range(100)), 1e6])
    assert evidence.shares(feature, 5) == (1.0, 26.0, 50.0, 74.0, 99.0)


def test_limits_are_what_was_seen_and_what_can_be() -> None:
    assert asked([1, 5])[0].limits(number(range=(0, 100), at_least=5, at_most=500)) == (5, 100)
    assert asked([1, 5])[0].limits(number()) == (1, 5)
    assert asked([])[0].limits(number()) == (-math.inf, math.inf)
    assert asked([1, 5, 9])[0].grid(number(at_most=6), 9) == (1, 5)
