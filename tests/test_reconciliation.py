"""The numbers on the screen are the trained model's, exactly, on every row: scores, points, and what each feature contributes.

On a generated table always; on all rows of the real tables where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from churn import words
from churn.data import demo
from churn.data.infer import infer
from churn.data.quality import LEFT, conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.learn.candidates import CANDIDATES, MAX_BINS, Average, Design, Fitted
from churn.model import skops_file
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoded, Encoder
from churn.model.estimator import EstimatorModel
from churn.model.risk_model import HUNDREDTHS, RiskModel, in_hundredths
from churn.model.scoring import ScoringModel
from churn.model.tables import compile_tables
from churn.model.trees import pruned
from churn.understand.account import Typical, account, ranked

Floats = npt.NDArray[np.float64]

_REAL = {
    "WA_Fn-UseC_-Telco-Customer-Churn.csv": ("customerID", "Churn", "Yes"),
    "BankChurners.csv": ("CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
    "Churn_Modelling.csv": ("CustomerId", "Exited", "1"),
}
TABLES = [
    pytest.param("generated", marks=pytest.mark.xdist_group("generated")),
    *(pytest.param(name, marks=[pytest.mark.realdata, pytest.mark.xdist_group(name)]) for name in _REAL),
]
PARAMS: dict[str, dict[str, Any]] = {
    "logistic-regression": {"C": 0.3},
    "lightgbm": {"num_leaves": 8, "learning_rate": 0.1, "min_data_in_leaf": 20, "lambda_l2": 1.0, "trees": 80},
    "catboost": {"depth": 3, "learning_rate": 0.1, "l2_leaf_reg": 3.0, "trees": 80},
    "gradient-boosting": {"learning_rate": 0.1, "max_depth": 3, "trees": 40},
}
_CALIBRATED = 200  # rows on which a calibrated estimator is judged
MODELS = ("logistic-regression", "lightgbm", "catboost", "average")


@dataclass(frozen=True)
class Described:
    """A conformed table with its outcome, and every row once more with values taken away or replaced by unknown levels."""

    schema: Schema
    table: pl.DataFrame
    damaged: pl.DataFrame
    encoder: Encoder
    design: Design

    @property
    def y(self) -> Floats:
        return self.table[LEFT].to_numpy().astype(np.float64)

    @classmethod
    def of(cls, table: pl.DataFrame, schema: Schema) -> Described:
        encoder = Encoder.fit(table, schema, MAX_BINS)
        return cls(schema, table, _damaged(table, schema), encoder, Design.of(table, encoder))

    def numbers_only(self) -> Described:
        schema = self.schema.model_copy(update={"features": self.schema.numbers, "segments": (), "rules": (), "actions": ()})
        return Described.of(self.table, schema)


@pytest.fixture(scope="module", params=TABLES)
def described(request: pytest.FixtureRequest, real_table: Callable[[str], Path]) -> Described:
    if request.param == "generated":
        base = demo.make(customers=1_200, months=6)
        rows = base.labelled.filter(pl.col("snapshot_date") == base.dates[0])
        return Described.of(conform(rows, demo.schema(), target=True), demo.schema())
    key, target, positive = _REAL[request.param]
    raw = read_table(real_table(request.param))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    return Described.of(conform(raw, schema, target=True), schema)


def _damaged(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    columns = []
    for feature in schema.features:
        fate = pl.Series(rng.random(table.height))
        column = table[feature.name].set(fate < 0.15, None)
        if not feature.is_number:
            column = column.set(fate > 0.85, "a level nobody has seen")
        columns.append(column)
    return table.with_columns(columns)


def _fit(key: str, described: Described, **changed: Any) -> Fitted:
    if key == "average":
        return Average((_fit("lightgbm", described, **changed), _fit("catboost", described, **changed)))
    candidate = next(candidate for candidate in CANDIDATES if candidate.key == key)
    return candidate.fit({**PARAMS[key], **changed}, described.design, described.y, threads=1, seed=7)


def _compile(fitted: Fitted, described: Described, calibrator: Calibrator | None = None) -> ScoringModel:
    parts = fitted.parts(described.encoder)
    return ScoringModel.build(
        described.schema,
        described.encoder,
        parts.trees,
        described.table,
        linear=parts.linear,
        intercept=parts.intercept,
        calibrator=calibrator,
    )


# -- every row ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", MODELS)
def test_every_row_has_the_trained_models_score_and_points_that_add_up(described: Described, key: str) -> None:
    fitted = _fit(key, described)
    plain = _compile(fitted, described)
    margins = plain.score(described.table).margin
    calibrated = (Calibrator.fit(margins, described.y, kind) for kind in ("logistic", "beta"))
    models = [plain, *(ScoringModel(plain.schema, plain.encoder, plain.tables, one) for one in calibrated)]
    for rows in (described.table, described.damaged):
        expected = fitted.margin(Design.of(rows, described.encoder))
        for model in models:
            explained = model.explain(rows)
            np.testing.assert_allclose(explained.margin, expected, rtol=0, atol=1e-5)
            np.testing.assert_allclose(explained.typical_risk + explained.points.sum(axis=1), explained.risk, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(explained.risk, model.calibrator.probability(explained.margin))
            assert explained.points.shape == (rows.height, len(described.schema.names))
        np.testing.assert_allclose(plain.explain(rows).risk, fitted.probability(Design.of(rows, described.encoder)), atol=1e-6)


# -- what is printed ----------------------------------------------------------------------------------------------------


def _printed_adds_up(model: RiskModel, rows: pl.DataFrame) -> None:
    """On every row: whole points add up to the printed difference, unrounded ones to the headline; one by one it is the same."""
    schema, points = model.schema, model.explain(rows)
    hundredths = in_hundredths(points.points)
    np.testing.assert_allclose(points.typical_risk + hundredths.sum(axis=0) / HUNDREDTHS, points.risk, rtol=0, atol=1e-4)
    index, printed = ranked(hundredths, points.risk, points.typical_risk, len(schema.names))
    headline = np.array([words.whole_percent(risk) for risk in points.risk.tolist()])
    np.testing.assert_array_equal(printed.sum(axis=0), headline - words.whole_percent(points.typical_risk))
    typical = Typical.of(rows, schema)
    for i in np.random.default_rng(6).choice(rows.height, min(60, rows.height), replace=False).tolist():
        told = account(
            rows.row(i, named=True),
            points.points[i],
            risk=float(points.risk[i]),
            typical_risk=points.typical_risk,
            schema=schema,
            typical=typical,
        )
        kept = [reason for reason, place in zip(told.reasons, index[:, i], strict=True) if place >= 0]
        assert [schema.names.index(reason.feature) for reason in kept] == [place for place in index[:, i] if place >= 0]
        assert [reason.printed_points for reason in told.reasons] == printed[:, i].tolist()
        steps = told.waterfall.steps
        assert sum(step.printed for step in steps) == words.whole_percent(told.risk) - words.whole_percent(told.typical)
        assert told.typical + sum(step.points for step in steps) == pytest.approx(told.risk, abs=1e-6)
        for reason in told.reasons:
            assert reason.words.endswith(": " + words.points(reason.printed_points / 100))


@pytest.mark.parametrize("key", MODELS)
def test_what_is_printed_adds_up_on_every_row(described: Described, key: str) -> None:
    plain = _compile(_fit(key, described), described)
    margins = plain.score(described.table).margin
    for kind in (None, "logistic", "beta"):
        calibrator = Calibrator.fit(margins, described.y, kind) if kind else plain.calibrator
        for rows in (described.table, described.damaged):
            _printed_adds_up(ScoringModel(plain.schema, plain.encoder, plain.tables, calibrator), rows)


@pytest.mark.parametrize("calibrated", [False, True])
def test_what_is_printed_adds_up_with_a_scikit_learn_champion(described: Described, calibrated: bool) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    schema = described.schema
    numbers, levels = ([feature.name for feature in of] for of in (schema.numbers, schema.categories))
    given = described.table.to_pandas()[[*numbers, *levels]]
    columns = make_column_transformer((SimpleImputer(), numbers), (OneHotEncoder(handle_unknown="ignore"), levels))
    forest = make_pipeline(columns, RandomForestClassifier(6, max_depth=3, random_state=0))
    trained = (CalibratedClassifierCV(forest, cv=2) if calibrated else forest).fit(given, described.y)
    model = EstimatorModel.build(schema, skops_file.dump(trained), described.table.head(60))
    # a calibrator around forests is explained row by row, which takes long: some rows of it, all of the forest alone
    rows = described.table
    _printed_adds_up(model, rows.sample(min(_CALIBRATED, rows.height), seed=8) if calibrated else rows)


# -- what a feature contributes: by the definition ---------------------------------------------------------------------


@pytest.mark.parametrize("key", ["lightgbm", "catboost"])
def test_contributions_are_shapley_values_by_their_definition(described: Described, key: str) -> None:
    """Over every coalition of a tree's features, each against all rows as background, asked of the trained model itself.

    Categories are whole players here, however many columns or splits they have, which no tree explainer offers.
    """
    fitted = _fit(key, described, trees=8, learning_rate=0.5)
    trees = tuple(tree for tree in fitted.parts(described.encoder).trees if tree.splits)  # CatBoost's bias is a tree of one leaf
    assert len(trees) == 8
    small, few, _ = pruned(described.encoder, trees)
    tables = compile_tables(few, None, 0.0, small, small.encode(described.table))
    sample = pl.concat([described.table.sample(2, seed=2), described.damaged.sample(2, seed=3)])
    ours = tables.contributions(small.encode(sample))[1].T
    background = described.design.encoded.codes
    for row, theirs in zip(described.encoder.encode(sample).codes.T, ours, strict=True):
        expected = np.zeros(len(described.schema.names))
        for number, tree in enumerate(trees):
            players = sorted({split.feature for split in tree.splits})
            one = _one_tree(fitted, number, described.encoder)
            expected[players] += _by_definition(one, row, background, players)
        np.testing.assert_allclose(theirs, expected, rtol=0, atol=1e-4)


def _one_tree(fitted: Any, number: int, encoder: Encoder) -> Callable[[npt.NDArray[Any]], Floats]:
    """Margin of a single tree of the trained model from codes [features, rows]; a constant in all of them is no matter."""

    def margin(codes: npt.NDArray[Any]) -> Floats:
        encoded = Encoded(codes, np.empty((0, codes.shape[1])))
        if hasattr(fitted, "booster"):
            matrix = encoder.matrix(encoded)
            return np.asarray(fitted.booster.predict(matrix, raw_score=True, start_iteration=number, num_iteration=1))
        onehot = encoder.onehot(encoded)
        return np.asarray(fitted.model.predict(onehot, "RawFormulaVal", ntree_start=number, ntree_end=number + 1))

    return margin


def _by_definition(
    margin: Callable[[npt.NDArray[Any]], Floats], row: npt.NDArray[Any], background: npt.NDArray[Any], players: list[int]
) -> Floats:
    """φⱼ = Σ over S without j of |S|!(m−|S|−1)!/m! · (v(S ∪ j) − v(S)), v(S) the mean margin with S from the row and the rest
    from the background (Shapley 1953; Lundberg et al. 2020, interventional)."""
    different, counts = np.unique(background[players], axis=1, return_counts=True)
    size, width = len(players), different.shape[1]
    coalitions = [set(chosen) for k in range(size + 1) for chosen in combinations(range(size), k)]
    hybrids = np.repeat(row[:, None], width * len(coalitions), axis=1)
    for place, coalition in enumerate(coalitions):
        for position, player in enumerate(players):
            if position not in coalition:
                hybrids[player, place * width : (place + 1) * width] = different[position]
    means = margin(hybrids).reshape(len(coalitions), width) @ counts / counts.sum()
    value = {frozenset(coalition): mean for coalition, mean in zip(coalitions, means, strict=True)}
    result = np.zeros(size)
    for coalition in map(frozenset, coalitions):
        for position in set(range(size)) - coalition:
            weight = factorial(len(coalition)) * factorial(size - len(coalition) - 1) / factorial(size)
            result[position] += weight * (value[coalition | {position}] - value[coalition])
    return result


# -- what a feature contributes: by the shap library -------------------------------------------------------------------


@cache
def _shap() -> Any:
    import shap

    return shap


def _background(matrix: npt.NDArray[Any]) -> Any:
    """All rows: a background given as an array is silently cut to 100 of them."""
    return _shap().maskers.Independent(matrix, max_samples=len(matrix))


def _seen(key: str, design: Design) -> npt.NDArray[Any]:
    """What the model sees. To CatBoost a missing number is below all others, and shap does not know that: say so with −∞."""
    if key == "catboost":
        return np.where(np.isnan(design.onehot), -np.inf, design.onehot)
    return design.codes if key == "lightgbm" else design.filled


@pytest.mark.parametrize("key", ["lightgbm", "catboost", "gradient-boosting"])
def test_contributions_of_numbers_are_shaps(described: Described, key: str) -> None:
    """Numbers only: with them every column is a feature, as it must be to compare with a tree explainer."""
    numbers = described.numbers_only()
    fitted: Any = _fit(key, numbers, trees=40)
    model = _compile(fitted, numbers)
    sample = numbers.table.sample(10, seed=4)
    ours = model.tables.contributions(model.encoder.encode(sample))[1].T
    explainer = _shap().TreeExplainer(getattr(fitted, "booster", None) or fitted.model, _background(_seen(key, numbers.design)))
    theirs = explainer.shap_values(_seen(key, Design.of(sample, numbers.encoder)), check_additivity=False)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.typical_margin, np.ravel(explainer.expected_value)[0], atol=1e-4)


def test_contributions_of_logistic_regression_are_shaps(described: Described) -> None:
    """A level's columns add up to the feature: in a sum without products, that is the same as one player."""
    fitted: Any = _fit("logistic-regression", described)
    model = _compile(fitted, described)
    sample = described.damaged.sample(50, seed=5)
    ours = model.tables.contributions(model.encoder.encode(sample, numbers=True))[1].T
    explainer = _shap().LinearExplainer(
        (fitted.coefficients, fitted.intercept), _background(fitted.scaling.matrix(described.design))
    )
    theirs = explainer.shap_values(fitted.scaling.matrix(Design.of(sample, described.encoder)))
    encoder = described.encoder
    numbers = list(encoder.number_features)
    levels = [feature for feature in encoder.onehot_columns.features if feature not in numbers]
    owners = [*numbers, *(numbers[place] for place in fitted.scaling.flagged), *levels]
    expected = np.zeros_like(ours)
    for column, owner in enumerate(owners):
        expected[:, owner] += theirs[:, column]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)
