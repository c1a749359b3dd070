"""Every candidate learns; those that say so are sums of trees and terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from churn.errors import TrainingError
from churn.learn._run import distorted
from churn.learn.candidates import BLEND, CANDIDATES, KEYS, Average, Candidate, Design
from churn.learn.evaluation import measure
from churn.model.encoder import Encoder
from churn.model.trees import evaluate

if TYPE_CHECKING:
    from .conftest import MakeTable

BY_KEY = {candidate.key: candidate for candidate in CANDIDATES}
FEW = {"trees": 30}


def _params(candidate: Candidate) -> dict[str, object]:
    boosted = candidate.key in ("hist-gradient-boosting", "gradient-boosting", "lightgbm", "catboost")
    return {**candidate.defaults, **(FEW if boosted else {})}


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.key)
def test_it_ranks_customers_it_has_not_seen(make_table: MakeTable, candidate: Candidate) -> None:
    if not candidate.available:
        pytest.skip("imbalanced-learn is not installed")
    table, schema = make_table(1200)
    encoder = Encoder.fit(table[:800], schema)
    train, test = Design.of(table[:800], encoder), Design.of(table[800:], encoder)
    y = table["__left__"].to_numpy().astype(float)
    fitted = candidate.fit(_params(candidate), train, y[:800], threads=1, seed=0)
    p = fitted.probability(test)
    assert p.shape == (400,)
    assert np.all((p >= 0) & (p <= 1))
    assert measure(y[800:], p)["roc_auc"] > 0.72
    again = candidate.fit(_params(candidate), train, y[:800], threads=1, seed=0).probability(test)
    assert np.array_equal(p, again), "the same seed gives the same model"


@pytest.mark.parametrize("key", [c.key for c in CANDIDATES if c.compiles] + [BLEND.key])
def test_parts_add_up_to_the_margin(make_table: MakeTable, key: str) -> None:
    table, schema = make_table(700)
    encoder = Encoder.fit(table, schema)
    design = Design.of(table, encoder)
    y = table["__left__"].to_numpy().astype(float)
    members = [BY_KEY[member] for member in (BLEND.members if key == BLEND.key else (key,))]
    models = tuple(member.fit(_params(member), design, y, threads=1, seed=0) for member in members)
    fitted = Average(models) if key == BLEND.key else models[0]
    parts = fitted.parts(encoder)
    for rows in (table, distorted(table, schema, 1)):
        other = Design.of(rows, encoder)
        ours = evaluate(parts.trees, parts.linear, parts.intercept, encoder, other.encoded)
        assert ours == pytest.approx(fitted.margin(other), abs=1e-6)
        assert 1 / (1 + np.exp(-ours)) == pytest.approx(fitted.probability(other), abs=1e-6)
    assert all(len(tree.values) <= 8 for tree in parts.trees)


def test_others_say_that_they_do_not_compile(make_table: MakeTable) -> None:
    table, schema = make_table(200)
    encoder = Encoder.fit(table, schema)
    design = Design.of(table, encoder)
    fitted = BY_KEY["random-forest"].fit({"min_samples_leaf": 5}, design, table["__left__"].to_numpy(), threads=1, seed=0)
    with pytest.raises(TypeError, match="does not compile"):
        fitted.parts(encoder)
    with pytest.raises(TypeError, match="no margin"):
        fitted.margin(design)


@pytest.mark.parametrize("key", ["hist-gradient-boosting", "gradient-boosting", "lightgbm", "catboost"])
def test_a_learning_curve_ends_where_training_that_many_trees_does(make_table: MakeTable, key: str) -> None:
    table, schema = make_table(600)
    encoder = Encoder.fit(table[:400], schema)
    train, test = Design.of(table[:400], encoder), Design.of(table[400:], encoder)
    y = table["__left__"].to_numpy().astype(float)
    candidate = BY_KEY[key]
    curve = candidate.curve(_params(candidate), train, y[:400], test, y[400:], threads=1, seed=0)
    assert curve is not None
    assert len(curve) == 30
    p = candidate.fit(_params(candidate), train, y[:400], threads=1, seed=0).probability(test)
    assert curve[-1] == pytest.approx(measure(y[400:], p)["log_loss"], abs=1e-6)


def test_a_column_without_values_or_with_one_value_does_no_harm(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    table = table.with_columns(pl.lit(None, dtype=pl.Float64).alias("tenure"), pl.lit(5.0).alias("charge"))
    encoder = Encoder.fit(table, schema)
    design = Design.of(table, encoder)
    y = table["__left__"].to_numpy().astype(float)
    for candidate in CANDIDATES:
        assert np.isfinite(candidate.fit(_params(candidate), design, y, threads=1, seed=0).probability(design)).all()


def test_catboost_says_when_there_is_nothing_to_learn_from(make_table: MakeTable) -> None:
    table, schema = make_table(100)
    design = Design.of(
        table.with_columns(pl.lit(table[0, name]).alias(name) for name in schema.names), Encoder.fit(table, schema)
    )
    with pytest.raises(TrainingError, match="no column has different values"):
        BY_KEY["catboost"].fit(BY_KEY["catboost"].defaults, design, np.arange(100) % 2.0, threads=1, seed=0)


def test_keys_are_distinct() -> None:
    assert len(set(KEYS)) == len(KEYS) == len(CANDIDATES) + 1


def test_huge_and_far_numbers_do_not_upset_logistic_regression(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    charge = table["charge"].to_numpy()
    table = table.with_columns(pl.Series("tenure", np.where(np.arange(300) % 2, 1e300, 1.0)), pl.Series("charge", charge + 1.7e9))
    encoder = Encoder.fit(table, schema)
    design = Design.of(table, encoder)
    with np.errstate(all="raise"):
        fitted = BY_KEY["logistic-regression"].fit(
            {"C": 1.0}, design, table["__left__"].to_numpy().astype(float), threads=1, seed=0
        )
        margin = fitted.margin(design)
    parts = fitted.parts(encoder)
    assert evaluate((), parts.linear, parts.intercept, encoder, design.encoded) == pytest.approx(margin, abs=1e-5)
