"""The leaderboard ranks by log-loss, pairs folds, and calibrates only what gains from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from churn.learn.candidates import LightGBM, LogisticRegression
from churn.learn.evaluation import FoldPrediction, measure
from churn.learn.folds import make_folds
from churn.learn.leaderboard import Judged, average_of, choose_calibrator, judge, ranked
from churn.learn.tuning import Tuned

if TYPE_CHECKING:
    from .conftest import MakeTable


def _sigmoid(margin: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-margin)))


def _judged(margin: np.ndarray, key: str = "a", repeats: int = 1) -> Judged:
    rng = np.random.default_rng(0)
    rows = [part for _ in range(repeats) for part in np.array_split(rng.permutation(len(margin)), 5)]
    folds = tuple(FoldPrediction(len(margin) * 4 // 5, part, _sigmoid(margin[part]), i // 5) for i, part in enumerate(rows))
    return Judged(key, key.upper(), True, {}, 1, 0.0, folds, tuple(margin[part] for part in rows))


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    margin = rng.normal(-1, 1.5, 4000)
    return margin, (rng.random(4000) < _sigmoid(margin)).astype(float)


def test_a_calibrated_margin_is_left_alone(truth: tuple[np.ndarray, np.ndarray]) -> None:
    margin, y = truth
    chosen = choose_calibrator(_judged(margin), y)
    assert chosen.calibrator.kind == "identity"
    assert chosen.words.startswith("Not calibrated")


@pytest.mark.parametrize("repeats", [1, 2])
def test_an_overconfident_margin_is_calibrated_by_other_folds(truth: tuple[np.ndarray, np.ndarray], repeats: int) -> None:
    margin, y = truth
    judged = _judged(2 * margin + 1, repeats=repeats)
    chosen = choose_calibrator(judged, y)
    assert chosen.calibrator.kind != "identity"
    assert chosen.calibrator.probability(2 * margin + 1) == pytest.approx(_sigmoid(margin), abs=0.05)
    for before, after in zip(judged.folds, chosen.folds, strict=True):
        assert measure(y[after.rows], after.probability)["log_loss"] < measure(y[before.rows], before.probability)["log_loss"]
    rows = ranked([judged], y)
    assert rows[0].behind.value == 0


def test_rows_are_ranked_and_paired(truth: tuple[np.ndarray, np.ndarray]) -> None:
    margin, y = truth
    noisy = margin + np.random.default_rng(2).normal(0, 1, len(margin))
    rows = ranked([_judged(noisy, "noisy"), _judged(margin, "true")], y)
    assert [row.key for row in rows] == ["true", "noisy"]
    assert rows[1].behind.value > 2 * rows[1].behind.standard_error > 0
    assert rows[1].behind.value == pytest.approx(rows[1].measures["log_loss"].value - rows[0].measures["log_loss"].value)
    document = json.loads(json.dumps([row.to_dict() for row in rows], allow_nan=False))
    assert document[1]["measures"]["roc_auc"]["value"] == pytest.approx(rows[1].measures["roc_auc"].value)


def test_judging_trains_in_each_fold_and_averages_margins(make_table: MakeTable) -> None:
    table, schema = make_table(400)
    folds = make_folds(table, schema, splits=3, seed=0).folds
    candidates = (LogisticRegression(), LightGBM())
    tuned = {"logistic-regression": Tuned({"C": 1.0}, 0.5, 1), "lightgbm": Tuned({**LightGBM.defaults, "trees": 20}, 0.5, 1)}
    steps: list[str] = []
    both = judge(candidates, tuned, table, schema, folds, blend=False, threads=1, seed=0, step=steps.append)
    assert [one.key for one in both] == ["logistic-regression", "lightgbm"]
    assert len(steps) == 6
    average = average_of(both)
    assert average.folds[0].probability == pytest.approx(
        _sigmoid((both[0].margins[0] + both[1].margins[0]) / 2)  # type: ignore[index]
    )
