"""The leaderboard's winner itself, where it does not compile: a plain scikit-learn pipeline on the table's own columns.

In the leaderboard all candidates see the same codes. A pipeline that is to be stored with nothing of this project in it has to
start from the table, so it is judged anew, on the same folds, and those are the figures that count for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.errors import TrainingError
from churn.learn._run import TOLERANCE, Run, distorted, predictions
from churn.learn.candidates import MOST_CATEGORIES, Floats, HistGradientBoosting, Params, RandomForest, RandomForestSmote
from churn.learn.evaluation import FoldPrediction, pooled
from churn.learn.folds import Folds, customer_folds
from churn.learn.leaderboard import Calibration, Judged
from churn.learn.tuning import Tuned
from churn.model import skops_file
from churn.model.estimator import EstimatorModel
from churn.model.recipe import Recipe

_EDGE = 1e-6  # how near to 0 and 1 a probability may be to have log-odds


@dataclass(frozen=True)
class Winner:
    """A candidate with its tuned settings, to be trained on the rows of a run as a pipeline."""

    run: Run
    key: str
    params: Params

    @classmethod
    def of(cls, run: Run, key: str, tuned: Mapping[str, Tuned]) -> Winner:
        return cls(run, key, tuned[key].params)

    def judged(self, before: Judged, folds: Folds, step: Callable[[str], None]) -> Judged:
        """The candidate's predictions as those of the pipeline, on the same folds, with log-odds for the calibrator."""
        found = []
        for number, fold in enumerate(folds.folds, 1):
            step(f"{before.name} as it is stored: fold {number} of {len(folds.folds)}")
            found.append(FoldPrediction(len(fold.train), fold.test, self._predicted(fold.train, fold.test), fold.repeat))
        return replace(before, folds=tuple(found), margins=tuple(_log_odds(one.probability) for one in found))

    def model(self, calibration: Calibration) -> EstimatorModel:
        """Train on all rows, store, load, and make sure that both say the same.

        Raises TrainingError if what was stored gives a probability that differs from the trained one by more than 1e-5.
        """
        table, schema = self.run.table, self.run.schema
        fitted = self._fit(table, self.run.y)
        model = EstimatorModel.build(schema, skops_file.dump(fitted), table, calibrator=calibration.calibrator)
        plain = EstimatorModel.build(schema, model.stored, table) if calibration.calibrator.kind != "identity" else model
        for rows in (table, distorted(table, schema, self.run.seed)):
            apart = float(np.abs(plain.score(rows).risk - self._probability(fitted, rows)).max())
            if not apart <= TOLERANCE:
                raise TrainingError(
                    f"the stored model differs from the trained one by {apart:.2g}; at most {TOLERANCE:g} is allowed, so "
                    "nothing was saved"
                )
        return model

    def out_of_fold(self, folds: Folds, calibration: Calibration) -> pl.DataFrame:
        """As `Run.out_of_fold`, by pipelines."""
        table, schema = self.run.table, self.run.schema
        if folds.complete:
            _, risk = pooled(calibration.folds, table.height)
        else:
            risk = np.empty(table.height)
            for fold in customer_folds(table[schema.key], seed=self.run.seed):
                p = self._predicted(fold.train, fold.test)
                kind = calibration.calibrator.kind
                risk[fold.test] = p if kind == "identity" else calibration.calibrator.probability(_log_odds(p))
        return predictions(table, schema, risk)

    def _predicted(self, train: np.ndarray, test: np.ndarray) -> Floats:
        fitted = self._fit(self.run.table[train], self.run.y[train])
        return self._probability(fitted, self.run.table[test])

    def _fit(self, table: pl.DataFrame, y: Floats) -> Any:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        target = self.run.schema.target
        other = target.negative if target.negative not in (None, target.positive) else f"not {target.positive}"
        classes = np.where(y == 1, target.positive, other)
        with threadpool_limits(self.run.threads, user_api="openmp"):
            return fit(self.key, self.params, table, classes, self.run.schema, threads=self.run.threads, seed=self.run.seed)

    def _probability(self, fitted: Any, table: pl.DataFrame) -> Floats:
        positive = list(fitted.classes_).index(self.run.schema.target.positive)
        return np.asarray(fitted.predict_proba(_frame(table, self.run.schema))[:, positive], dtype=np.float64)


def fit(key: str, params: Params, table: pl.DataFrame, classes: np.ndarray, schema: Schema, *, threads: int, seed: int) -> Any:
    """A candidate that does not compile, trained as a scikit-learn pipeline on a conformed table.

    Parameters
    ----------
    classes: text [rows].

    Raises
    ------
    TrainingError: the candidate has no such form.
    """
    from sklearn.pipeline import Pipeline

    settings = {name: value for name, value in params.items() if name != "trees"}
    frame = _frame(table, schema)
    if key in (RandomForest.key, RandomForestSmote.key):
        columns = _onehot(table, schema)
        matrix, outcome = columns.fit_transform(frame), classes
        forest = RandomForest.forest(settings, threads, seed)
        if key == RandomForestSmote.key:
            matrix, outcome = _balanced(matrix, classes, seed)
        fitted = Pipeline([("columns", columns), ("forest", forest.fit(matrix, outcome))])
        forest.n_jobs = None
        return fitted
    if key == HistGradientBoosting.key:
        from sklearn.ensemble import HistGradientBoostingClassifier

        columns, few = _ordinal(table, schema)
        trees = params.get("trees", 100)
        model = HistGradientBoostingClassifier(
            max_iter=trees, early_stopping=False, categorical_features=few, random_state=seed, **settings
        )
        return Pipeline([("columns", columns), ("trees", model)]).fit(frame, classes)
    raise TrainingError(f"candidate {key!r} cannot be saved as a pipeline")


def _frame(table: pl.DataFrame, schema: Schema) -> Any:
    return Recipe(schema.names, True, "str", False, 1, "probability").frame(table, schema)


def _onehot(table: pl.DataFrame, schema: Schema) -> Any:
    """Numbers with missing ones below all others, one 0/1 column for every level, and for missing."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    numbers, levels = _used(table, schema)
    known = [table[name].drop_nulls() for name in numbers]
    low, high = min((float(v.min()) for v in known), default=0.0), max((float(v.max()) for v in known), default=0.0)  # type: ignore[arg-type]
    categories = [np.array([*values, np.nan], dtype=object) for values in levels.values()]
    encoder = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="constant", fill_value=low - (high - low) - 1), numbers),
            ("levels", encoder, list(levels)),
        ]
    )


def _ordinal(table: pl.DataFrame, schema: Schema) -> tuple[Any, list[int]]:
    """Numbers as they are, levels by their place; and the places of the columns HGB can take as categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    numbers, levels = _used(table, schema)
    categories = [np.array(values, dtype=object) for values in levels.values()]
    # HGB takes a negative category for a missing one
    encoder = OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("numbers", "passthrough", numbers), ("levels", encoder, list(levels))])
    few = [len(numbers) + place for place, values in enumerate(categories) if len(values) <= MOST_CATEGORIES]
    return columns, few


def _used(table: pl.DataFrame, schema: Schema) -> tuple[list[str], dict[str, list[str]]]:
    """Number columns, and the levels of the others; without columns that have no value, which scikit-learn falls over."""
    numbers = [feature.name for feature in schema.numbers if table[feature.name].null_count() < table.height]
    levels = {feature.name: table[feature.name].drop_nulls().unique().sort().to_list() for feature in schema.categories}
    return numbers, {name: values for name, values in levels.items() if values}


def _balanced(matrix: Any, classes: np.ndarray, seed: int) -> tuple[Any, Any]:
    from imblearn.over_sampling import SMOTE

    rarest = int(np.unique(classes, return_counts=True)[1].min())
    scale = np.maximum(matrix.std(axis=0), 1e-6)  # SMOTE draws lines between neighbours: columns need one scale
    rows, outcomes = SMOTE(k_neighbors=max(1, min(5, rarest - 1)), random_state=seed).fit_resample(matrix / scale, classes)
    return rows * scale, outcomes


def _log_odds(p: Floats) -> Floats:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))
