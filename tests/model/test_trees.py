"""Trees read from trained models answer exactly as the models do, missing and unseen values included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from churn.errors import TrainingError
from churn.model import trees as t
from churn.model.encoder import Encoded, Encoder

from .model_samples import lightgbm_booster, prepared


def check(trees: tuple[t.Tree, ...], encoder: Encoder, encoded: Encoded, expected: np.ndarray) -> None:
    np.testing.assert_allclose(t.evaluate(trees, None, 0.0, encoder, encoded), expected, atol=1e-9)
    small, few, _ = t.pruned(encoder, trees)
    assert sum(small.sizes) < sum(encoder.sizes)
    # the pruned encoder needs no thresholds of its own: its codes are the old ones, merged
    groups = [np.unique(codes, return_inverse=True)[1] for codes in _merged(encoder, small)]
    merged = np.array([group[codes] for group, codes in zip(groups, encoded.codes, strict=True)])
    np.testing.assert_allclose(sum(tree.evaluate(merged) for tree in few), expected, atol=1e-9)


def _merged(encoder: Encoder, small: Encoder) -> list[np.ndarray]:
    result = []
    for old, new in zip(encoder.features, small.features, strict=True):
        if hasattr(old, "thresholds"):
            codes = [sum(threshold in old.thresholds[:code] for threshold in new.thresholds) for code in range(old.missing)]
            result.append(np.array([*codes, new.missing]))
        else:
            result.append(np.array(new.codes))
    return result


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"use_missing": False},
        {"zero_as_missing": True},
        {"max_cat_to_onehot": 20},
        {"max_cat_to_onehot": 1, "cat_smooth": 1, "min_data_per_group": 5},
        {"max_depth": 2, "num_leaves": 4},
    ],
)
def test_lightgbm(given: dict[str, Any], missing: float) -> None:
    encoder, train, y, other = prepared(missing)
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical, **given)
    trees = t.from_lightgbm(booster, encoder)
    for encoded in (train, other):
        check(trees, encoder, encoded, booster.predict(encoder.matrix(encoded), raw_score=True))


def test_lightgbm_random_forest_mode_is_an_average() -> None:
    encoder, train, y, other = prepared()
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical, boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    p = booster.predict(encoder.matrix(other))
    check(t.from_lightgbm(booster, encoder), encoder, other, np.log(p / (1 - p)))


def test_lightgbm_on_onehot_columns_and_weighted() -> None:
    encoder, train, y, other = prepared()
    booster = lightgbm_booster(encoder.onehot(train), y, ())
    trees = t.from_lightgbm(booster, encoder, weight=0.25, columns=encoder.onehot_columns)
    check(trees, encoder, other, 0.25 * booster.predict(encoder.onehot(other), raw_score=True))


def test_lightgbm_without_a_split() -> None:
    encoder, train, y, other = prepared()
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical, min_data_in_leaf=5000, rounds=2)
    trees = t.from_lightgbm(booster, encoder)
    np.testing.assert_allclose(
        t.evaluate(trees, None, 0, encoder, other), booster.predict(encoder.matrix(other), raw_score=True), atol=1e-12
    )


@pytest.mark.parametrize(
    ("given", "word"),
    [({"objective": "multiclass", "num_class": 2}, "classes"), ({"sigmoid": 2.0}, "sigmoid"), ({"linear_tree": True}, "linear")],
)
def test_lightgbm_models_that_are_no_sum_of_plain_trees(given: dict[str, Any], word: str) -> None:
    encoder, train, y, _ = prepared()
    with pytest.raises(TrainingError, match=word):
        t.from_lightgbm(lightgbm_booster(encoder.matrix(train), y, (), rounds=2, **given), encoder)


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("given", [{}, {"depth": 1}, {"nan_mode": "Max"}, {"boost_from_average": True}])
def test_catboost(given: dict[str, Any], missing: float) -> None:
    import catboost

    encoder, train, y, other = prepared(missing)
    model = catboost.CatBoostClassifier(
        **{"depth": 3, "iterations": 25, "verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 1, **given}
    ).fit(encoder.onehot(train), y)
    trees = t.from_catboost(model, encoder)
    for encoded in (train, other):
        check(trees, encoder, encoded, model.predict(encoder.onehot(encoded), prediction_type="RawFormulaVal"))


def test_catboost_trees_must_be_symmetric() -> None:
    import catboost

    encoder, train, y, _ = prepared()
    model = catboost.CatBoostClassifier(
        grow_policy="Lossguide", iterations=2, verbose=0, thread_count=1, allow_writing_files=False
    ).fit(encoder.onehot(train), y)
    with pytest.raises(TrainingError, match="symmetric"):
        t.from_catboost(model, encoder)


def test_gradient_boosting() -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    encoder, train, y, other = prepared()
    model = GradientBoostingClassifier(n_estimators=20, max_depth=None, max_leaf_nodes=8, random_state=1)
    model.fit(np.nan_to_num(encoder.onehot(train), nan=t.FILLED), y)
    trees = t.from_gradient_boosting(model, encoder)
    check(trees, encoder, other, model.decision_function(np.nan_to_num(encoder.onehot(other), nan=t.FILLED)))


def test_linear_terms() -> None:
    encoder, _, _, other = prepared()
    plan = np.linspace(-1, 1, encoder.sizes[1])
    linear = t.LinearTerms(
        (t.NumberTerm.standardised(2, coefficient=0.5, centre=60.0, scale=30.0, imputed=45.0, missing=0.1),),
        (t.CodeTerm(1, plan),),
    )
    bill = other.numbers[1]
    expected = 0.5 * (np.where(np.isnan(bill), 45.0, bill) - 60) / 30 + 0.1 * np.isnan(bill) + plan[other.codes[1]]
    np.testing.assert_allclose(linear.evaluate(other, encoder), expected, atol=1e-12)
    np.testing.assert_allclose(linear.scaled(3).evaluate(other, encoder), 3 * expected, atol=1e-12)
    small, _, kept = t.pruned(encoder, (), linear)
    assert small.sizes == (2, encoder.sizes[1], 2, 1, 2)
    assert kept is not None
    np.testing.assert_array_equal(kept.codes[0].values, plan)
