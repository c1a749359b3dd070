"""On every row of the real tables: margins are the trained model's, points add up, contributions are shap's."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.infer import infer
from churn.data.quality import LEFT, conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.model import trees as t
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.tables import compile_tables

from .model_samples import lightgbm_booster

pytestmark = pytest.mark.realdata

TABLES = {
    "WA_Fn-UseC_-Telco-Customer-Churn.csv": {"key": "customerID", "target": "Churn", "positive": "Yes"},
    "BankChurners.csv": {"key": "CLIENTNUM", "target": "Attrition_Flag", "positive": "Attrited Customer"},
    "Churn_Modelling.csv": {"key": "CustomerId", "target": "Exited", "positive": "1"},
}


@pytest.fixture(scope="module", params=TABLES)
def described(request: pytest.FixtureRequest, real_table: Any) -> tuple[pl.DataFrame, Schema]:
    raw = read_table(real_table(request.param))
    schema = infer(raw, **TABLES[request.param]).schema
    return conform(raw, schema, target=True), schema


def damaged(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The same customers with a tenth of their values missing and a tenth of their levels never seen before."""
    rng = np.random.default_rng(3)
    columns = []
    for feature in schema.features:
        column = table[feature.name]
        fate = rng.random(table.height)
        if not feature.is_number:
            column = column.set(pl.Series(fate > 0.9), "a level nobody has seen")
        columns.append(column.set(pl.Series(fate < 0.1), None))
    return table.with_columns(columns)


def test_every_row_is_scored_as_by_the_trained_models(described: tuple[pl.DataFrame, Schema]) -> None:
    import catboost

    table, schema = described
    y = table[LEFT].to_numpy()
    encoder = Encoder.fit(table, schema)
    encoded = encoder.encode(table)
    booster = lightgbm_booster(encoder.matrix(encoded), y, encoder.categorical, rounds=150, learning_rate=0.05)
    cat = catboost.CatBoostClassifier(depth=3, iterations=150, verbose=0, thread_count=1, allow_writing_files=False)
    cat.fit(encoder.onehot(encoded), y)
    trees = (*t.from_lightgbm(booster, encoder, 0.6), *t.from_catboost(cat, encoder, 0.4))
    model = ScoringModel.build(schema, encoder, trees, table)
    calibrated = Calibrator.fit(model.score(table).margin, y, "beta")
    model = ScoringModel(schema, model.encoder, model.tables, calibrated)
    for rows in (table, damaged(table, schema)):
        codes = encoder.encode(rows)
        expected = 0.6 * booster.predict(encoder.matrix(codes), raw_score=True)
        expected += 0.4 * cat.predict(encoder.onehot(codes), prediction_type="RawFormulaVal")
        explanation = model.explain(rows)
        np.testing.assert_allclose(explanation.margin, expected, atol=1e-9)
        np.testing.assert_allclose(explanation.typical_risk + explanation.points.sum(axis=1), explanation.risk, atol=1e-12)
        np.testing.assert_allclose(model.explain(rows, engine="compiled").points, explanation.points, atol=1e-9)


def test_contributions_are_shaps_with_the_full_background(described: tuple[pl.DataFrame, Schema]) -> None:
    """Levels are ordered codes here: shap's tree explainer reads LightGBM's numeric splits only."""
    import shap

    table, schema = described
    encoder = Encoder.fit(table, schema)
    encoded = encoder.encode(table)
    matrix = encoder.matrix(encoded)
    booster = lightgbm_booster(matrix, table[LEFT].to_numpy(), (), rounds=40)
    explainer = shap.TreeExplainer(booster, shap.maskers.Independent(matrix, max_samples=len(matrix)))
    small, trees, _ = t.pruned(encoder, t.from_lightgbm(booster, encoder))
    tables = compile_tables(trees, None, 0.0, small, small.encode(table))
    sample = table.sample(12, seed=1)
    _, contributions = tables.contributions(small.encode(sample))
    theirs = explainer.shap_values(encoder.matrix(encoder.encode(sample)))
    np.testing.assert_allclose(contributions.T, theirs, atol=1e-4)
    np.testing.assert_allclose(tables.typical_margin, np.ravel(explainer.expected_value)[0], atol=1e-4)
