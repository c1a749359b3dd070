"""CatBoost and XGBoost as peers, in an environment of their own: any depth, native categories, tuned by random search.

Run by benchmarks/nested_cv.py as: peers.py FOLDS.npz RESULT.npz folds inner-folds trials seed. It needs neither churn nor
scikit-learn. The number of trees is the best of the learning curves averaged over the inner folds, as on our side. Results
are kept after each fold, and a run goes on where the last one stopped.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

PATIENCE = 120
Curve = np.ndarray


def _trees(learning_rate: float) -> int:
    return int(min(2000, max(50, 100 / learning_rate)))


class CatBoost:
    """Depth 2 to 6 with its own treatment of categories."""

    default: ClassVar[dict[str, Any]] = {
        "depth": 4,
        "learning_rate": 0.08,
        "l2_leaf_reg": 3.0,
        "random_strength": 1.0,
        "rsm": 1.0,
        "one_hot_max_size": 255,
    }

    @staticmethod
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return {
            "depth": int(rng.integers(2, 7)),
            "learning_rate": _log_uniform(rng, 0.04, 0.15),
            "l2_leaf_reg": _log_uniform(rng, 0.5, 20),
            "random_strength": rng.uniform(0, 2),
            "rsm": rng.uniform(0.4, 1),
            "one_hot_max_size": int(rng.choice([2, 255])),
        }

    @staticmethod
    def data(X: np.ndarray, categorical: list[int]) -> Any:
        import pandas as pd

        frame = pd.DataFrame(X)
        for column in categorical:
            frame[column] = frame[column].astype(int)
        return frame

    @staticmethod
    def _model(params: dict[str, Any], trees: int, **more: Any) -> Any:
        from catboost import CatBoostClassifier

        return CatBoostClassifier(
            iterations=trees, thread_count=1, random_seed=1, verbose=False, allow_writing_files=False, **params, **more
        )

    def curve(
        self, params: dict[str, Any], categorical: list[int], train: Any, y: np.ndarray, test: Any, y_test: np.ndarray
    ) -> Curve:
        model = self._model(params, _trees(params["learning_rate"]), od_type="Iter", od_wait=PATIENCE, use_best_model=False)
        model.fit(train, y, cat_features=categorical, eval_set=(test, y_test))
        return np.array(model.get_evals_result()["validation"]["Logloss"])

    def predict(
        self, params: dict[str, Any], trees: int, categorical: list[int], train: Any, y: np.ndarray, test: Any
    ) -> np.ndarray:
        return self._model(params, trees).fit(train, y, cat_features=categorical).predict_proba(test)[:, 1]


class XGBoost:
    """Histogram trees of depth 2 to 6 with native categories."""

    default: ClassVar[dict[str, Any]] = {
        "max_depth": 4,
        "learning_rate": 0.05,
        "min_child_weight": 3.0,
        "subsample": 0.8,
        "colsample_bytree": 0.7,
        "reg_lambda": 1.0,
        "max_cat_to_onehot": 64,
    }

    @staticmethod
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return {
            "max_depth": int(rng.integers(2, 7)),
            "learning_rate": _log_uniform(rng, 0.03, 0.12),
            "min_child_weight": _log_uniform(rng, 0.5, 30),
            "subsample": rng.uniform(0.5, 1),
            "colsample_bytree": rng.uniform(0.4, 1),
            "reg_lambda": _log_uniform(rng, 0.05, 20),
            "max_cat_to_onehot": int(rng.choice([4, 64])),
        }

    @staticmethod
    def data(X: np.ndarray, categorical: list[int]) -> Any:
        import pandas as pd

        frame = pd.DataFrame(X)
        for column in categorical:
            levels = np.arange(int(X[:, column].max()) + 1)
            frame[column] = pd.Categorical(frame[column].astype(int), categories=levels)
        return frame

    @staticmethod
    def _settings(params: dict[str, Any]) -> dict[str, Any]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "nthread": 1,
            "seed": 1,
            **params,
        }

    def curve(
        self, params: dict[str, Any], categorical: list[int], train: Any, y: np.ndarray, test: Any, y_test: np.ndarray
    ) -> Curve:
        import xgboost

        watched: dict[str, Any] = {}
        xgboost.train(
            self._settings(params),
            xgboost.DMatrix(train, y, enable_categorical=True),
            _trees(params["learning_rate"]),
            evals=[(xgboost.DMatrix(test, y_test, enable_categorical=True), "test")],
            early_stopping_rounds=PATIENCE,
            evals_result=watched,
            verbose_eval=False,
        )
        return np.array(watched["test"]["logloss"])

    def predict(
        self, params: dict[str, Any], trees: int, categorical: list[int], train: Any, y: np.ndarray, test: Any
    ) -> np.ndarray:
        import xgboost

        booster = xgboost.train(self._settings(params), xgboost.DMatrix(train, y, enable_categorical=True), trees)
        return booster.predict(xgboost.DMatrix(test, enable_categorical=True))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _best(curves: list[Curve]) -> tuple[float, int]:
    longest = max(len(curve) for curve in curves)
    mean = np.mean([np.concatenate([c, np.full(longest - len(c), c[-1])]) for c in curves], axis=0)
    return float(mean.min()), int(mean.argmin()) + 1


def one_fold(peer: Any, arrays: Any, number: int, inner: int, trials: int, rng: np.random.Generator) -> dict[str, Any]:
    """Tune on the inner folds, train on the outer one, predict its test rows."""
    start = time.perf_counter()
    X, y, categorical = arrays["X"], arrays["y"].astype(np.float64), [int(c) for c in arrays["categorical"]]
    data = peer.data(X, categorical)
    rows: Callable[[str], np.ndarray] = lambda name: arrays[name]  # noqa: E731
    best: tuple[float, int, dict[str, Any]] | None = None
    for trial in range(trials):
        params = dict(peer.default) if trial == 0 else peer.draw(rng)
        curves: list[Curve] = []
        for i in range(inner):
            train, test = rows(f"train_{number}_{i}"), rows(f"test_{number}_{i}")
            curves.append(peer.curve(params, categorical, data.iloc[train], y[train], data.iloc[test], y[test]))
            if best is not None and _best(curves)[0] > 1.1 * best[0]:
                break  # hopeless
        else:
            loss, trees = _best(curves)
            if best is None or loss < best[0]:
                best = (loss, trees, params)
    assert best is not None
    loss, trees, params = best
    train, test = rows(f"train_{number}"), rows(f"test_{number}")
    tuned_on = np.mean([len(rows(f"train_{number}_{i}")) for i in range(inner)])
    trees = round(trees * min(1.5, (len(train) / tuned_on) ** 0.5))  # more rows bear more trees, as on our side
    p = peer.predict(params, trees, categorical, data.iloc[train], y[train], data.iloc[test])
    chosen = json.dumps({**params, "trees": trees})
    return {"": np.asarray(p, dtype=np.float64), "_params": chosen, "_inner": loss, "_seconds": time.perf_counter() - start}


def main(source: str, to: str, folds: int, inner: int, trials: int, seed: int) -> None:
    path = Path(to)
    done: dict[str, Any] = {}
    if path.exists():
        with np.load(path) as stored:
            done = {name: stored[name] for name in stored.files}
    with np.load(source) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for number in range(folds):
        for key, peer in (("peer-catboost", CatBoost()), ("peer-xgboost", XGBoost())):
            if f"{key}_{number}" in done:
                continue
            result = one_fold(peer, arrays, number, inner, trials, np.random.default_rng([seed, number]))
            done |= {f"{key}_{number}{part}": np.asarray(value) for part, value in result.items()}
            part = path.with_suffix(".part.npz")
            np.savez_compressed(part, **done)
            part.replace(path)
            print(
                f"{path.stem} fold {number}: {key}, {result['_seconds']:.0f} s, inner log-loss {result['_inner']:.4f}", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(value) for value in sys.argv[3:7]))
