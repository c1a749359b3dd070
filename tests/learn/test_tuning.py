"""Tuning: the default first, never worse than it, within its budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from churn.learn.candidates import LightGBM, LogisticRegression
from churn.learn.folds import make_folds
from churn.learn.tuning import FoldData, Tuned, prepare, tune

if TYPE_CHECKING:
    from .conftest import MakeTable


@pytest.fixture(scope="module")
def data(make_table: MakeTable) -> tuple[FoldData, ...]:
    table, schema = make_table(450)
    return prepare(table, schema, make_folds(table, schema, splits=3, seed=0).folds)


def test_one_trial_is_the_default_with_its_best_number_of_trees(data: tuple[FoldData, ...]) -> None:
    tuned = tune(LightGBM(), data, trials=1)
    assert {name: value for name, value in tuned.params.items() if name != "trees"} == dict(LightGBM.defaults)
    assert tuned.params["trees"] >= 1
    curves = [LightGBM().curve(LightGBM.defaults, f.train, f.y_train, f.test, f.y_test, threads=1, seed=0) for f in data]
    shortest = min(len(curve) for curve in curves)
    mean = np.mean([curve[:shortest] for curve in curves], axis=0)
    assert tuned.log_loss == pytest.approx(mean.min())
    assert tuned.params["trees"] == mean.argmin() + 1


def test_more_trials_are_never_worse_and_repeatable(data: tuple[FoldData, ...]) -> None:
    told: list[tuple[str, int, int]] = []
    one = tune(LogisticRegression(), data, trials=1)
    more = tune(LogisticRegression(), data, trials=6, seed=3, progress=lambda *what: told.append(what))
    assert more.log_loss <= one.log_loss
    assert more.trials == 6
    assert [done for _, done, _ in told] == [1, 2, 3, 4, 5, 6]
    assert tune(LogisticRegression(), data, trials=6, seed=3) == more


def test_minutes_stop_it_after_the_first_trial_at_the_earliest(data: tuple[FoldData, ...]) -> None:
    start = time.monotonic()
    tuned = tune(LogisticRegression(), data, trials=None, minutes=0.01)
    assert time.monotonic() - start < 5
    assert tuned.trials >= 1


def test_the_encoder_saw_the_training_rows_only(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    (fold, *_) = make_folds(table, schema, splits=3, seed=0).folds
    (data,) = prepare(table, schema, [fold])
    low, high = min(data.train.encoder.features[1].thresholds), max(data.train.encoder.features[1].thresholds)  # type: ignore[union-attr]
    charges = table["charge"].to_numpy()[fold.train]
    assert charges.min() <= low <= high <= charges.max()


def test_more_rows_bear_more_trees_within_reason() -> None:
    tuned = Tuned({"trees": 100, "num_leaves": 4}, 0.4, 1, rows=1000)
    assert tuned.params_for(1000)["trees"] == tuned.params_for(10)["trees"] == 100
    assert tuned.params_for(1210) == {"trees": 110, "num_leaves": 4}
    assert tuned.params_for(100_000)["trees"] == 150
    assert Tuned({"C": 1.0}, 0.4, 1, rows=1000).params_for(5000) == {"C": 1.0}
