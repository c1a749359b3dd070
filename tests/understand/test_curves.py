"""Curves and surfaces of one customer's risk equal predicting with the trained model on rows edited by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Feature, Schema
from churn.errors import DataError
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import from_lightgbm
from churn.understand.curves import curve, movable, surface
from churn.understand.evidence import Evidence

from .conftest import NONE, SERVICES

Trained = tuple[ScoringModel, Evidence, Any]


@pytest.fixture(scope="module")
def trained(reference: pl.DataFrame, schema: Schema) -> Trained:
    """A small booster compiled into tables, and the booster itself: a table in, calibrated risks out."""
    import lightgbm

    random = np.random.default_rng(1)
    fibre, tenure = (reference["Internet"] == "Fiber optic").to_numpy(), reference["tenure"].to_numpy()
    margin = 1.5 * fibre - 0.05 * tenure + 0.02 * reference["Monthly"].to_numpy() - 0.0002 * reference["Total"].to_numpy() - 1
    left = random.random(reference.height) < 1 / (1 + np.exp(-margin))
    encoder = Encoder.fit(reference, schema, max_bins=60)
    matrix = encoder.matrix(encoder.encode(reference))
    data = lightgbm.Dataset(matrix, left.astype(int), categorical_feature=list(encoder.categorical))
    settings = {"objective": "binary", "num_leaves": 8, "num_threads": 1, "verbose": -1, "seed": 1}
    booster = lightgbm.train(settings, data, 40)
    model = ScoringModel.build(
        schema, encoder, from_lightgbm(booster, encoder), reference, calibrator=Calibrator("logistic", a=1.2, c=-0.1)
    )

    def oracle(rows: list[dict[str, Any]]) -> np.ndarray:
        table = pl.DataFrame({name: [row[name] for row in rows] for name in schema.names}, schema_overrides=_types(schema))
        raw = booster.predict(encoder.matrix(encoder.encode(table)), raw_score=True)
        return 1 / (1 + np.exp(-(1.2 * raw - 0.1)))

    return model, Evidence(reference, schema), oracle


def _types(schema: Schema) -> dict[str, Any]:
    return {feature.name: pl.Float64 if feature.is_number else pl.String for feature in schema.features}


def test_along_a_number_what_follows_is_recomputed(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, oracle = trained
    found = curve(customer, schema.feature("Monthly"), model, evidence)
    values = [float(spot.value) for spot in found.spots]
    assert values == sorted(values)
    assert 20 <= len(values) <= 61
    kept = customer["Total"] - customer["tenure"] * customer["Monthly"]
    by_hand = [{**customer, "Monthly": value, "Total": max(customer["tenure"] * value + kept, 0)} for value in values]
    np.testing.assert_allclose([spot.risk for spot in found.spots], oracle(by_hand), atol=1e-9)
    assert found.here.value == customer["Monthly"]
    assert found.here.risk == pytest.approx(model.explain_row(customer).risk, abs=1e-12)
    assert sum(spot.here for spot in found.spots) == 1


def test_along_a_column_that_nobody_can_edit(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, oracle = trained
    found = curve(customer, schema.feature("tenure"), model, evidence)
    kept = customer["Total"] - customer["tenure"] * customer["Monthly"]
    by_hand = [
        {**customer, "tenure": spot.value, "Total": max(spot.value * customer["Monthly"] + kept, 0)} for spot in found.spots
    ]
    np.testing.assert_allclose([spot.risk for spot in found.spots], oracle(by_hand), atol=1e-9)
    assert all(float(spot.value).is_integer() for spot in found.spots)


def test_along_levels_rules_are_kept(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, oracle = trained
    found = curve(customer, schema.feature("Internet"), model, evidence)
    assert [spot.value for spot in found.spots] == ["DSL", "Fiber optic", "No"]
    by_hand = [
        {**customer, "Internet": value} | (dict.fromkeys(SERVICES, NONE) if value == "No" else {})
        for value in ("DSL", "Fiber optic", "No")
    ]
    np.testing.assert_allclose([spot.risk for spot in found.spots], oracle(by_hand), atol=1e-9)
    assert [spot.here for spot in found.spots] == [False, True, False]


def test_edits_that_stand_are_kept(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, oracle = trained
    found = curve(customer, schema.feature("Contract"), model, evidence, changes={"Internet": "No", "Monthly": 20.0})
    kept = customer["Total"] - customer["tenure"] * customer["Monthly"]
    edited = {**customer, "Internet": "No", **dict.fromkeys(SERVICES, NONE), "Monthly": 20.0, "Total": 20.0 + kept}
    contracts = ("Month-to-month", "One year", "Two year")
    by_hand = oracle([{**edited, "Contract": contract} for contract in contracts])
    np.testing.assert_allclose([spot.risk for spot in found.spots], by_hand, atol=1e-9)
    service = curve(customer, schema.feature("TechSupport"), model, evidence, changes={"Internet": "No"})
    assert [spot.value for spot in service.spots] == [NONE], "a rule leaves one level only"


def test_what_nobody_has_is_greyed_with_its_reason(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    found = curve(customer, schema.feature("Monthly"), model, evidence)
    cheap, own = found.spots[0], found.here
    assert not cheap.supported
    assert cheap.note.startswith("Nobody has both no tech support and monthly charge of about $")
    assert own.supported
    assert own.note == ""
    real = [spot.risk for spot in found.spots if spot.supported]
    assert (found.lowest.risk, found.highest.risk) == (min(real), max(real))


def test_a_missing_number_keeps_its_place(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    found = curve({**customer, "Monthly": None, "Total": None}, schema.feature("Monthly"), model, evidence)
    assert found.spots[-1].value is None
    assert found.spots[-1].here
    assert all(spot.value is not None for spot in found.spots[:-1])


def test_a_level_nobody_lists_keeps_its_place(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    found = curve({**customer, "Contract": "Weekly"}, schema.feature("Contract"), model, evidence)
    assert found.here.value == "Weekly"
    assert len(found.spots) == 4


def test_a_value_beyond_what_was_seen_keeps_its_place(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    found = curve({**customer, "Monthly": 150.0}, schema.feature("Monthly"), model, evidence)
    assert found.here.value == 150.0
    assert found.spots[-1].here


def test_along_two_columns(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, oracle = trained
    features = (schema.feature("Internet"), schema.feature("Monthly"))
    found = surface(customer, features, model, evidence)
    assert found.rows == ("DSL", "Fiber optic", "No")
    assert 4 <= len(found.columns) <= 6
    kept = customer["Total"] - customer["tenure"] * customer["Monthly"]
    by_hand = [
        {**customer, "Internet": net, "Monthly": value, "Total": max(value + kept, 0)}
        | (dict.fromkeys(SERVICES, NONE) if net == "No" else {})
        for net in found.rows
        for value in found.columns
    ]
    spots = [spot for line in found.spots for spot in line]
    np.testing.assert_allclose([spot.risk for spot in spots if spot], oracle(by_hand), atol=1e-9)
    assert [(i, j) for i, line in enumerate(found.spots) for j, spot in enumerate(line) if spot and spot.here] == [
        (1, found.columns.index(customer["Monthly"]))
    ]


def test_combinations_a_rule_forbids_are_left_empty(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    found = surface(customer, (schema.feature("Internet"), schema.feature("TechSupport")), model, evidence)
    empty = {
        (row, column)
        for row, line in zip(found.rows, found.spots, strict=True)
        for column, spot in zip(found.columns, line, strict=True)
        if spot is None
    }
    assert empty == {("No", "No"), ("No", "Yes")}


def test_two_columns_have_to_be_different(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained
    with pytest.raises(DataError, match="two different columns are needed; both are 'Contract'"):
        surface(customer, (schema.feature("Contract"),) * 2, model, evidence)


def test_every_column_but_what_follows_can_be_moved_along(schema: Schema) -> None:
    names = [feature.name for feature in movable(schema)]
    assert "Total" not in names
    assert set(names) == set(schema.names) - {"Total"}
    editable = [schema.feature(name).editable for name in names]
    assert editable == sorted(editable, reverse=True)


def test_a_slow_model_tries_fewer_values(trained: Trained, customer: dict[str, Any], schema: Schema) -> None:
    model, evidence, _ = trained

    class Slow:
        quick = False
        schema = model.schema
        scored = 0

        def score(self, table: pl.DataFrame) -> Any:
            Slow.scored += 1
            return model.score(table)

    slow: Any = Slow()
    feature: Feature = schema.feature("Monthly")
    assert len(curve(customer, feature, slow, evidence).spots) <= 20
    assert Slow.scored == 1, "all rows in one batch"
