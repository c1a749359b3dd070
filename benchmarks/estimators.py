"""Reasons of champions that are scikit-learn estimators, against the shap package on the same model, rows and background.

Times are CPU seconds of this process, medians over rounds in which both take turns. The customers are simulated. What shap has
no way to do exactly (several 0/1 columns of one fact as one player) it does its own way; errors are against exact values.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

_CUSTOMERS = 6
_ROUNDS = 3
_TRUTH = 25  # times as many orders stand for the true values where there are no exact ones


def run() -> list[dict[str, Any]]:
    """Three comparisons: a forest's time, the error at equal cost where values are estimated, and categories of HGB."""
    warnings.simplefilter("ignore")
    from churn.data import demo
    from churn.data.quality import conform

    schema = demo.schema()
    made = demo.make(customers=3000, months=7)
    table = conform(made.labelled, schema, target=True)
    rows = conform(made.latest, schema).head(_CUSTOMERS)
    return [*_forest(schema, table, rows), *_orders(schema, table, rows), *_categories(schema, table, rows)]


def _row(name: str, value: float, peer: str, peer_value: float, unit: str, target: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": peer_value / value,
        "target": target,
        "unit": unit,
    }


def _cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000 / _CUSTOMERS


def _trained(schema: Any, table: Any, key: str) -> Any:
    from churn.learn import winner
    from churn.learn.candidates import CANDIDATES
    from churn.model import skops_file
    from churn.model.estimator import EstimatorModel

    params = next(candidate for candidate in CANDIDATES if candidate.key == key).defaults
    classes = np.where(table["__left__"].to_numpy() == 1, schema.target.positive, "stayed")
    pipeline = winner.fit(key, params, table, classes, schema, threads=1, seed=0)
    return EstimatorModel.build(schema, skops_file.dump(pipeline), table)


def _forest(schema: Any, table: Any, rows: Any) -> list[dict[str, Any]]:
    import shap

    model = _trained(schema, table, "random-forest")
    pipeline, background = model.live.estimator, model.live.background
    matrix = pipeline[:-1].transform(background)
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))
    explainer = shap.TreeExplainer(pipeline[-1], masker, feature_perturbation="interventional")
    given = pipeline[:-1].transform(model.recipe.frame(rows, schema))
    ours, theirs = [], []
    for _ in range(_ROUNDS + 1):
        ours.append(_cpu(lambda: model.explain(rows)))
        theirs.append(_cpu(lambda: explainer.shap_values(given, check_additivity=False)))
    value, peer = (statistics.median(times[1:]) for times in (ours, theirs))  # the first round compiles
    return [_row("estimator-forest-reasons", value, "shap TreeExplainer", peer, "ms CPU", "≥ 3")]


def _orders(schema: Any, table: Any, rows: Any) -> list[dict[str, Any]]:
    import shap
    from sklearn.calibration import CalibratedClassifierCV

    from churn.model import _orders as estimates
    from churn.model import skops_file
    from churn.model.estimator import EstimatorModel

    pipeline = _trained(schema, table, "hist-gradient-boosting").live.estimator
    frame = _trained(schema, table, "hist-gradient-boosting").recipe.frame(table, schema)
    calibrated = CalibratedClassifierCV(pipeline, cv=3).fit(frame, table["__left__"].to_numpy())
    model = EstimatorModel.build(schema, skops_file.dump(calibrated), table)
    live, given = model.live, model.recipe.frame(rows, schema)
    own, _ = estimates.contributions(live.margin, given, live.background, seed=1)
    truth = np.mean(
        [estimates.contributions(live.margin, given, live.background, seed=seed)[0] for seed in range(100, 100 + _TRUTH)], axis=0
    )
    # shap sees codes: its maskers take no text
    columns = list(given.columns)
    values = {name: np.concatenate([live.background[name], given[name]]) for name in columns}
    levels = {name: np.unique(values[name].astype(str)) for name in columns if values[name].dtype == object}
    codes = [np.searchsorted(levels[n], values[n].astype(str)) if n in levels else values[n] for n in columns]
    coded = np.nan_to_num(np.column_stack(codes).astype(float), nan=-1.0)

    def ask(rows: np.ndarray) -> np.ndarray:
        import pandas as pd

        parts = {
            name: pd.Series(levels[name][rows[:, j].astype(int)], dtype="str").replace("nan", np.nan)
            if name in levels
            else np.where(rows[:, j] == -1.0, np.nan, rows[:, j])
            for j, name in enumerate(columns)
        }
        return live.margin(pd.DataFrame(parts))

    count = len(live.background)
    masker = shap.maskers.Independent(coded[:count], max_samples=count)
    explainer = shap.PermutationExplainer(ask, masker, seed=0)
    # as many rows put to the model as ours at most: two orders there and back
    found = explainer(coded[count:], max_evals=estimates.ORDERS * (2 * len(columns) + 1), silent=True).values
    errors = [float(np.sqrt(np.mean((values - truth) ** 2)) * 100) for values in (own, found)]
    return [_row("estimator-estimated-reasons-error", errors[0], "shap PermutationExplainer", errors[1], "points", "≥ 2")]


def _categories(schema: Any, table: Any, rows: Any) -> list[dict[str, Any]]:
    import shap

    model = _trained(schema, table, "hist-gradient-boosting")
    pipeline, frame = model.live.estimator, model.recipe.frame(rows, schema)
    margin, values, _ = model.live.contributions(frame)
    ours = np.abs(model.typical_margin + values.sum(axis=1) - margin)
    given = pipeline[:-1].transform(frame)
    explainer = shap.TreeExplainer(pipeline[-1])
    sums = np.asarray(explainer.shap_values(given, check_additivity=False)).sum(axis=1)
    theirs = np.abs(np.ravel(explainer.expected_value)[-1] + sums - margin)
    tiny = float(np.finfo(float).eps)
    return [
        _row(
            *("estimator-native-categories-miss", max(float(ours.mean()), tiny), "shap TreeExplainer", float(theirs.mean())),
            *("log-odds", "≥ 1000"),
        )
    ]
