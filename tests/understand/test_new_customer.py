"""A customer in no table: starts as is usual, obeys rules and formulas, and every field can be filled in."""

from __future__ import annotations

import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import DataError
from churn.understand.account import Typical
from churn.understand.evidence import Evidence
from churn.understand.new_customer import NOT_KNOWN, all_editable, describe, usual_customer

from .conftest import NONE, SERVICES


@pytest.fixture(scope="module")
def evidence(schema: Schema, reference: pl.DataFrame) -> Evidence:
    return Evidence(reference, schema)


@pytest.fixture
def start(schema: Schema, reference: pl.DataFrame, evidence: Evidence) -> dict[str, object]:
    return usual_customer(schema, Typical.of(reference, schema), evidence)


def test_the_usual_customer_breaks_no_rule_and_follows_the_formula(start: dict[str, object], reference: pl.DataFrame) -> None:
    assert set(start) == set(reference.columns)
    assert start["tenure"] == reference["tenure"].median()
    assert start["Total"] == pytest.approx(start["tenure"] * start["Monthly"])  # type: ignore[operator]
    assert start["Internet"] == "Fiber optic"
    assert {start[name] for name in SERVICES} <= {"No", "Yes"}


def test_usual_values_that_do_not_go_together_are_put_right(schema: Schema, reference: pl.DataFrame, evidence: Evidence) -> None:
    """Without internet most often, with services most often: each is usual, both together are impossible."""
    net = reference.with_columns(Internet=pl.when(pl.int_range(pl.len()) % 5 < 3).then(pl.lit("No")).otherwise("Internet"))
    typical = Typical.of(net, schema)
    assert typical["Internet"].value == "No"
    assert typical["TechSupport"].value != NONE
    assert {usual_customer(schema, typical, evidence)[name] for name in SERVICES} == {NONE}
    services = reference.with_columns(pl.lit(NONE).alias(name) for name in SERVICES)
    start = usual_customer(schema, Typical.of(services, schema), evidence)
    assert start["Internet"] != "No"
    assert {start[name] for name in SERVICES} <= {"No", "Yes"}


def test_every_field_can_be_filled_in_and_what_follows_follows(
    start: dict[str, object], schema: Schema, evidence: Evidence
) -> None:
    assert not schema.feature("tenure").editable
    form = all_editable(schema)
    edited = describe({"tenure": 3.0, "Internet": "No", "Senior": "Yes"}, start, form, evidence)
    assert edited.row["Total"] == pytest.approx(3 * edited.row["Monthly"])
    assert {edited.row[name] for name in SERVICES} == {NONE}
    assert edited.row["Senior"] == "Yes"
    own = describe({"tenure": 3.0, "Total": 500.0}, start, form, evidence)
    assert own.row["Total"] == 500.0  # filled in, so not worked out
    with pytest.raises(DataError, match="must be one of"):
        describe({"Contract": "for ever"}, start, form, evidence)


def test_a_fact_can_be_left_not_known_where_the_model_knows_what_that_goes_with(
    start: dict[str, object], schema: Schema, reference: pl.DataFrame, evidence: Evidence
) -> None:
    gaps = Evidence(reference.with_columns(tenure=pl.when(pl.int_range(pl.len()) > 9).then("tenure")), schema)
    form = all_editable(schema)
    edited = describe({"tenure": NOT_KNOWN, "Contract": "Two year"}, start, form, gaps)
    assert edited.row == {**start, "tenure": None, "Contract": "Two year"}  # what would follow from it stays
    assert edited.changed == {"tenure", "Contract"}
    assert edited.asked == {"tenure": None, "Contract": "Two year"}
    with pytest.raises(DataError, match="'tenure' cannot be left not known"):
        describe({"tenure": NOT_KNOWN}, start, form, evidence)
