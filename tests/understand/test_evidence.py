"""Edits that lead away from every real customer are told from those that do not."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from churn.data.schema import Schema
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import edit

NOBODY = "No real customer looks like this; the answer is a guess."


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
    assert found.note == NOBODY
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
