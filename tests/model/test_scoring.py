"""Risks and reasons add up, for one row and for many, whatever is missing."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.errors import DataError, SchemaError
from churn.model import trees as t
from churn.model.calibration import KINDS, Calibrator, Kind, sigmoid
from churn.model.encoder import Encoder
from churn.model.risk_model import table_of, table_of_sets
from churn.model.scoring import ScoringModel

from .model_samples import SCHEMA, customers, lightgbm_booster, outcome

CALIBRATORS = {
    "identity": Calibrator(),
    "logistic": Calibrator("logistic", a=1.3, c=-0.2),
    "beta": Calibrator("beta", a=0.6, b=1.4, c=0.1),
}


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Encoder, tuple[t.Tree, ...], pl.DataFrame]:
    table = customers(1500, 0)
    encoder = Encoder.fit(table, SCHEMA, max_bins=40)
    booster = lightgbm_booster(encoder.matrix(encoder.encode(table)), outcome(table), encoder.categorical, rounds=60)
    return booster, encoder, t.from_lightgbm(booster, encoder), table


def model(trained: Any, kind: Kind = "logistic", linear: bool = False) -> ScoringModel:
    _, encoder, trees, table = trained
    terms = t.LinearTerms((t.NumberTerm(2, 0.02, -1.0, 0.3), t.NumberTerm(4, -0.1, 0.0, 0.0)))
    return ScoringModel.build(SCHEMA, encoder, trees, table, linear=terms if linear else None, calibrator=CALIBRATORS[kind])


def test_scores_are_the_trained_models(trained: Any) -> None:
    booster, encoder, _, _ = trained
    table = customers(700, 1, 0.2, unseen=True)
    scores = model(trained).score(table)
    raw = booster.predict(encoder.matrix(encoder.encode(table)), raw_score=True)
    np.testing.assert_allclose(scores.margin, raw, atol=1e-9)
    np.testing.assert_allclose(scores.risk, sigmoid(1.3 * raw - 0.2), atol=1e-12)


@pytest.mark.parametrize("linear", [False, True])
def test_sets_of_effects_are_scored_as_the_rows_they_make(trained: Any, linear: bool) -> None:
    """Values missing, new and as they were; where two effects set one column, the later counts."""
    desk, random = model(trained, "logistic", linear), np.random.default_rng(5)
    rows = customers(40, 3, 0.2, unseen=True).select(SCHEMA.names).to_dicts()
    effects = [
        {name: donor[name] for name in random.choice(SCHEMA.names, random.integers(1, 4), replace=False)} for donor in rows[1:]
    ]
    sets = random.integers(-1, len(effects), (3, 200))
    made = [dict(rows[0]) for _ in range(200)]
    for layer in sets:
        for row, place in zip(made, layer, strict=True):
            row.update(effects[place] if place >= 0 else {})
    wanted = desk.score(table_of(made, SCHEMA)).risk
    np.testing.assert_allclose(desk.score_sets(rows[0], effects, sets), wanted, atol=1e-15)
    assert table_of_sets(rows[0], effects, sets, SCHEMA).equals(table_of(made, SCHEMA), null_equal=True)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_points_add_up_to_the_risk(trained: Any, kind: Kind, linear: bool, engine: Any) -> None:
    desk = model(trained, kind, linear)
    table = customers(700, 1, 0.2, unseen=True)
    explanation = desk.explain(table, engine=engine)
    np.testing.assert_allclose(explanation.typical_risk + explanation.points.sum(axis=1), explanation.risk, atol=1e-12)
    np.testing.assert_allclose(explanation.risk, desk.score(table, engine=engine).risk, atol=1e-12)
    assert explanation.features == SCHEMA.names
    assert explanation.points.shape == (700, 5)


@pytest.mark.parametrize("linear", [False, True])
def test_one_row_is_explained_like_many(trained: Any, linear: bool) -> None:
    desk = model(trained, "beta", linear)
    table = customers(200, 1, 0.2, unseen=True)
    explanation = desk.explain(table)
    for i, row in enumerate(table.iter_rows(named=True)):
        risk, points, margin = desk.explain_row(row)
        np.testing.assert_allclose(points, explanation.points[i], atol=1e-12)
        np.testing.assert_allclose([risk, margin], [explanation.risk[i], explanation.margin[i]], atol=1e-12)
    assert (
        desk.explain_row({}).risk
        == desk.explain(customers(1, 0).with_columns(pl.lit(None).alias(c) for c in SCHEMA.names)).risk[0]
    )


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    a=st.floats(0, 4),
    b=st.floats(0, 4),
    c=st.floats(-4, 4),
    distance=st.one_of(st.floats(-30, 30), st.floats(-1e-4, 1e-4), st.floats(-1e-300, 1e-300)),
)
def test_points_add_up_next_to_the_typical_margin_too(
    trained: Any, kind: Kind, a: float, b: float, c: float, distance: float
) -> None:
    _, encoder, _, table = trained
    stump = t.Tree((t.Split(3, np.array([True, False, True, True])),), (-1,), (-2,), np.array([0.0, distance]))
    desk = ScoringModel.build(SCHEMA, encoder, (stump,), table, calibrator=Calibrator(kind, a, b, c))
    explanation = desk.explain(customers(20, 3))
    np.testing.assert_allclose(explanation.typical_risk + explanation.points.sum(axis=1), explanation.risk, rtol=0, atol=1e-12)
    assert np.isfinite(explanation.points).all()


def test_a_typical_customer_keeps_its_reasons(trained: Any) -> None:
    """Reasons that cancel exactly are still shown: at f = f₀ the scale is the slope, not 0/0."""
    _, encoder, _, _ = trained
    one, other = (
        t.Tree((t.Split(feature, np.arange(encoder.sizes[feature]) == 0),), (-1,), (-2,), np.array([sign, -sign]))
        for feature, sign in ((1, 1.0), (3, -1.0))
    )
    table = customers(40, 0).with_columns(pl.Series("plan", ["A", "B"] * 20), pl.Series("paperless", ["No", "Yes"] * 20))
    explanation = ScoringModel.build(SCHEMA, encoder, (one, other), table).explain(table[:1])
    assert explanation.margin[0] == 0 == explanation.risk[0] - 0.5
    np.testing.assert_allclose(explanation.points[0, [1, 3]], [0.25, -0.25])


def test_top_reasons_are_the_largest_points(trained: Any) -> None:
    desk = model(trained)
    table = customers(300, 1, 0.2)
    explanation, reasons = desk.explain(table), desk.top_reasons(table, 3)
    order = np.argsort(-np.abs(explanation.points), axis=1, kind="stable")[:, :3]
    np.testing.assert_allclose(reasons.points, np.take_along_axis(explanation.points, order, 1), atol=1e-7)
    np.testing.assert_array_equal(reasons.feature, order)
    assert reasons.feature.dtype == np.int16
    assert reasons.points.dtype == np.float32
    np.testing.assert_allclose(reasons.risk, explanation.risk, atol=1e-12)


def test_reasons_that_are_none(trained: Any) -> None:
    _, encoder, _, table = trained
    stump = t.Tree((t.Split(3, np.array([True, False, True, True])),), (-1,), (-2,), np.array([0.0, 1.0]))
    reasons = ScoringModel.build(SCHEMA, encoder, (stump,), table).top_reasons(table[:10], 8)
    assert (reasons.feature[:, 0] == 3).all()
    assert (reasons.feature[:, 1:] == -1).all()
    assert (reasons.points[:, 1:] == 0).all()


def test_more_rows_than_a_chunk(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, table = model(trained, linear=True), customers(500, 1)
    whole, reasons = desk.explain(table), desk.top_reasons(table, 2)
    monkeypatch.setattr("churn.model.scoring._CHUNK", 64)
    np.testing.assert_allclose(desk.explain(table).points, whole.points, atol=1e-14)
    np.testing.assert_allclose(desk.score(table).risk, whole.risk, atol=1e-14)
    np.testing.assert_allclose(desk.top_reasons(table, 2).points, reasons.points, atol=1e-7)
    assert desk.explain(table.clear()).points.shape == (0, 5)
    assert desk.score(table.clear()).risk.shape == (0,)


def test_one_row_takes_well_under_a_millisecond(trained: Any) -> None:
    desk = model(trained)
    row = customers(1, 1).row(0, named=True)
    desk.explain_row(row)
    took = []
    for _ in range(50):
        start = time.perf_counter()
        desk.explain_row(row)
        took.append(time.perf_counter() - start)
    assert min(took) < 1e-3  # the benchmark asks for .1 ms; a busy test machine gets ten times that


def test_parts_that_do_not_belong_together(trained: Any) -> None:
    desk = model(trained)
    fewer = SCHEMA.model_copy(update={"features": SCHEMA.features[:-1]})
    with pytest.raises(SchemaError, match="calls"):
        ScoringModel(fewer, desk.encoder, desk.tables, desk.calibrator)
    with pytest.raises(SchemaError, match="order"):
        ScoringModel(SCHEMA.model_copy(update={"features": SCHEMA.features[::-1]}), desk.encoder, desk.tables, desk.calibrator)
    with pytest.raises(SchemaError, match="another encoder"):
        ScoringModel(SCHEMA, trained[1], desk.tables, desk.calibrator)
    with pytest.raises(DataError, match="'bill'"):
        desk.score(customers(3, 0).drop("bill"))
