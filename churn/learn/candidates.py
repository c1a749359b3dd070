"""The models that compete: how each is tuned, trained, asked for probabilities, and brought into compiled form.

All of them see the same codes (`churn.model.encoder`), which for trees is the same as seeing the numbers. Logistic regression
sees the numbers themselves, standardised, a missing one at the mean with a flag of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.errors import TrainingError
from churn.model.calibration import sigmoid
from churn.model.encoder import Encoded, Encoder
from churn.model.trees import (
    FILLED,
    CodeTerm,
    LinearTerms,
    NumberTerm,
    Tree,
    from_catboost,
    from_gradient_boosting,
    from_lightgbm,
)

Floats = npt.NDArray[np.float64]
Params = Mapping[str, Any]

MAX_BINS = 1022  # finer than a byte while training: it shows in the third digit of log-loss; compiling keeps the bins in use
MOST_CATEGORIES = 200  # scikit-learn's HGB takes fewer than 256 categories in a column
_GRID = 25  # trees between two points of a learning curve where a library does not watch every tree
_PATIENCE = 120  # trees without improvement after which a learning curve ends


@dataclass(frozen=True)
class Design:
    """Rows in the forms that candidates want them; each form is made once, when first asked for."""

    encoder: Encoder
    encoded: Encoded

    @classmethod
    def of(cls, table: pl.DataFrame, encoder: Encoder) -> Design:
        return cls(encoder, encoder.encode(table))

    @property
    def rows(self) -> int:
        return self.encoded.rows

    @cached_property
    def codes(self) -> npt.NDArray[np.float64]:
        """`Encoder.matrix` [rows, features]: NaN where a number is missing, an integer code for a category."""
        return self.encoder.matrix(self.encoded)

    @cached_property
    def onehot(self) -> npt.NDArray[np.float32]:
        """`Encoder.onehot` [rows, columns]: NaN where a number is missing."""
        return self.encoder.onehot(self.encoded)

    @cached_property
    def filled(self) -> npt.NDArray[np.float32]:
        """`onehot` with a missing number one below the lowest code, for models that take no NaN."""
        return np.nan_to_num(self.onehot, nan=FILLED)


@dataclass(frozen=True)
class Parts:
    """A model as sums: what `churn.model.tables` compiles."""

    trees: tuple[Tree, ...] = ()
    linear: LinearTerms | None = None
    intercept: float = 0.0


class Fitted(ABC):
    """A trained candidate."""

    @abstractmethod
    def probability(self, design: Design) -> Floats:
        """Chance of leaving [rows], 0–1, uncalibrated."""

    def margin(self, design: Design) -> Floats:
        """Log-odds [rows] before calibration. Raises TypeError for a model without."""
        raise TypeError(f"{type(self).__name__} has no margin")

    def parts(self, encoder: Encoder) -> Parts:
        """The model as trees and linear terms over the encoder it was trained with. Raises TypeError for one that is none."""
        raise TypeError(f"{type(self).__name__} does not compile")


class Candidate(ABC):
    """One kind of model in the leaderboard."""

    key: ClassVar[str]
    name: ClassVar[str]
    compiles: ClassVar[bool] = False
    share_of_trials: ClassVar[float] = 0.25  # of those asked for: what gains little from tuning gets few
    defaults: ClassVar[Params] = {}

    @property
    def available(self) -> bool:
        """Whether the library it needs is installed."""
        return True

    @abstractmethod
    def suggest(self, trial: Any) -> dict[str, Any]:
        """Settings for one Optuna trial."""

    @abstractmethod
    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        """Train on all rows of a design with outcomes y (0/1 [rows])."""

    def curve(
        self, params: Params, train: Design, y: Floats, valid: Design, y_valid: Floats, *, threads: int, seed: int
    ) -> Floats | None:
        """Log-loss on `valid` after 1, 2, … trees, ending where it has long stopped falling; None for models without trees
        in a row. One fit then says how good every number of trees is."""
        return None


# -- linear ------------------------------------------------------------------


class LogisticRegression(Candidate):
    """Ridge-penalised logistic regression on standardised numbers and one column a level."""

    key = "logistic-regression"
    name = "Logistic regression"
    compiles = True
    defaults: ClassVar[Params] = {"C": 0.3}

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {"C": trial.suggest_float("C", 1e-3, 100.0, log=True)}

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        from sklearn.linear_model import LogisticRegression as Model

        scaling = _Scaling.of(design)
        model = Model(C=params["C"], max_iter=1000).fit(scaling.matrix(design), y)
        return _Linear(scaling, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


@dataclass(frozen=True)
class _Scaling:
    """Mean and spread of each number in training, and which are ever missing there."""

    means: Floats
    spreads: Floats
    flagged: tuple[int, ...]  # positions among the numbers

    @classmethod
    def of(cls, design: Design) -> _Scaling:
        known = ~np.isnan(design.encoded.numbers)
        counts = np.maximum(known.sum(axis=1), 1)
        filled = np.where(known, design.encoded.numbers, 0.0)
        sizes = np.abs(filled).max(axis=1, initial=1e-300)  # sums of squares of a column's largest numbers may overflow
        shares = filled / sizes[:, None]
        centres = shares.sum(axis=1) / counts
        means = centres * sizes
        spreads = sizes * np.sqrt((np.where(known, shares - centres[:, None], 0.0) ** 2).sum(axis=1) / counts)
        constant = spreads <= 1e-12 * np.maximum(np.abs(means), 1e-300)
        flagged = tuple(int(i) for i in np.flatnonzero(~known.all(axis=1)))
        return cls(means, np.where(constant, 1.0, spreads), flagged)

    def matrix(self, design: Design) -> Floats:
        """[rows, numbers + flags + levels]"""
        numbers = design.encoded.numbers
        missing = np.isnan(numbers)
        scaled = np.where(missing, 0.0, (numbers - self.means[:, None]) / self.spreads[:, None])
        columns = design.encoder.onehot_columns
        numeric = set(design.encoder.number_features)
        levels = [j for j, feature in enumerate(columns.features) if feature not in numeric]
        return np.column_stack([scaled.T, missing[list(self.flagged)].T.astype(np.float64), design.onehot[:, levels]])


@dataclass(frozen=True)
class _Linear(Fitted):
    scaling: _Scaling
    coefficients: Floats
    intercept: float

    def margin(self, design: Design) -> Floats:
        return np.asarray(self.scaling.matrix(design) @ self.coefficients + self.intercept)

    def probability(self, design: Design) -> Floats:
        return sigmoid(self.margin(design))

    def parts(self, encoder: Encoder) -> Parts:
        count, flags = len(self.scaling.means), self.scaling.flagged
        of_flag = dict(zip(flags, self.coefficients[count : count + len(flags)], strict=True))
        numbers = []
        for i, feature in enumerate(encoder.number_features):
            mean, spread = float(self.scaling.means[i]), float(self.scaling.spreads[i])
            missing = float(of_flag.get(i, 0.0))
            numbers.append(NumberTerm.standardised(feature, float(self.coefficients[i]), mean, spread, mean, missing))
        values = {feature: np.zeros(encoder.sizes[feature]) for feature in encoder.categorical}
        columns = encoder.onehot_columns
        at = count + len(flags)
        for feature, column in zip(columns.features, columns.values, strict=True):
            if feature in values:
                values[feature] = values[feature] + self.coefficients[at] * column
                at += 1
        return Parts((), LinearTerms(tuple(numbers), tuple(CodeTerm(f, v) for f, v in values.items())), self.intercept)


# -- forests -----------------------------------------------------------------


class RandomForest(Candidate):
    """scikit-learn's random forest on one column a level."""

    key = "random-forest"
    name = "Random forest"
    trees: ClassVar[int] = 200
    defaults: ClassVar[Params] = {"min_samples_leaf": 5, "max_features": 0.3}

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 30, log=True),
            "max_features": trial.suggest_float("max_features", 0.1, 0.7),
        }

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        return _Classifier(self.forest(params, threads, seed).fit(design.filled, y))

    @classmethod
    def forest(cls, params: Params, threads: int, seed: int) -> Any:
        """The forest, not trained yet."""
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=cls.trees, n_jobs=threads, random_state=seed, **params)


class RandomForestSmote(RandomForest):
    """The same forest on a table balanced with invented leavers, inside each fold, for whoever believes in it."""

    key = "random-forest-smote"
    name = "Random forest with SMOTE"
    share_of_trials = 0.1

    @property
    def available(self) -> bool:
        return find_spec("imblearn") is not None

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        from imblearn.over_sampling import SMOTE

        rarest = int(min(y.sum(), len(y) - y.sum()))
        # SMOTE draws lines between neighbours: columns need one scale
        scale = np.maximum(design.filled.std(axis=0), 1e-6)
        smote = SMOTE(k_neighbors=max(1, min(5, rarest - 1)), random_state=seed)
        rows, outcomes = smote.fit_resample(design.filled / scale, y)
        return _Classifier(self.forest(params, threads, seed).fit(rows * scale, outcomes))


@dataclass(frozen=True)
class _Classifier(Fitted):
    """A scikit-learn classifier on the filled one-hot matrix."""

    model: Any

    def probability(self, design: Design) -> Floats:
        return np.asarray(self.model.predict_proba(design.filled)[:, 1])


# -- boosted trees -----------------------------------------------------------


class HistGradientBoosting(Candidate):
    """scikit-learn's HistGradientBoostingClassifier with native categories."""

    key = "hist-gradient-boosting"
    name = "Histogram gradient boosting (scikit-learn)"
    defaults: ClassVar[Params] = {"learning_rate": 0.06, "max_leaf_nodes": 12, "min_samples_leaf": 20, "l2_regularization": 1.0}
    most_trees: ClassVar[int] = 500

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
            "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 31, log=True),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 5, 80, log=True),
            "l2_regularization": trial.suggest_float("l2_regularization", 1e-2, 20.0, log=True),
        }

    def _model(self, params: Params, design: Design, trees: int, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        few = [i for i in design.encoder.categorical if design.encoder.sizes[i] <= MOST_CATEGORIES]
        settings = {name: value for name, value in params.items() if name != "trees"}
        return HistGradientBoostingClassifier(
            max_iter=trees, early_stopping=False, categorical_features=few, random_state=seed, **settings
        )

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        with _openmp(threads):
            return _HistClassifier(self._model(params, design, params.get("trees", 100), seed).fit(_with_values(design.codes), y))

    def curve(
        self, params: Params, train: Design, y: Floats, valid: Design, y_valid: Floats, *, threads: int, seed: int
    ) -> Floats:
        with _openmp(threads):
            trees = params.get("trees") or _affordable(params["learning_rate"], self.most_trees)
            model = self._model(params, train, trees, seed).fit(_with_values(train.codes), y)
            return np.array([_log_loss(y_valid, p[:, 1]) for p in model.staged_predict_proba(valid.codes)])


def _with_values(codes: Floats) -> Floats:
    """The matrix, zero in columns that are missing throughout: scikit-learn 1.9's HGB falls over them."""
    empty = np.isnan(codes).all(axis=0)
    return np.where(empty, 0.0, codes) if empty.any() else codes


@dataclass(frozen=True)
class _HistClassifier(Fitted):
    model: Any

    def probability(self, design: Design) -> Floats:
        return np.asarray(self.model.predict_proba(design.codes)[:, 1])


class GradientBoosting(Candidate):
    """scikit-learn's GradientBoostingClassifier, trees of depth 3 at most."""

    key = "gradient-boosting"
    name = "Gradient boosting (scikit-learn)"
    compiles = True
    share_of_trials = 0.15
    defaults: ClassVar[Params] = {"learning_rate": 0.08, "max_depth": 3, "subsample": 0.7, "max_features": 0.4}
    most_trees: ClassVar[int] = 300

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.05, 0.15, log=True),
            "max_depth": trial.suggest_int("max_depth", 2, 3),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "max_features": trial.suggest_float("max_features", 0.2, 0.8),
        }

    def _model(self, params: Params, trees: int, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingClassifier

        settings = {name: value for name, value in params.items() if name != "trees"}
        return GradientBoostingClassifier(n_estimators=trees, random_state=seed, **settings)

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        return _Boosted(self._model(params, params.get("trees", 100), seed).fit(design.filled, y))

    def curve(
        self, params: Params, train: Design, y: Floats, valid: Design, y_valid: Floats, *, threads: int, seed: int
    ) -> Floats:
        trees = params.get("trees") or _affordable(params["learning_rate"], self.most_trees)
        model = self._model(params, trees, seed).fit(train.filled, y)
        return np.array([_margin_loss(y_valid, f.reshape(-1)) for f in model.staged_decision_function(valid.filled)])


@dataclass(frozen=True)
class _Boosted(Fitted):
    model: Any

    def margin(self, design: Design) -> Floats:
        return np.asarray(self.model.decision_function(design.filled), dtype=np.float64)

    def probability(self, design: Design) -> Floats:
        return sigmoid(self.margin(design))

    def parts(self, encoder: Encoder) -> Parts:
        return Parts(from_gradient_boosting(self.model, encoder))


class LightGBM(Candidate):
    """LightGBM with 2 to 8 leaves a tree, so that it compiles into tables."""

    key = "lightgbm"
    name = "LightGBM, small trees"
    compiles = True
    share_of_trials = 1.0
    defaults: ClassVar[Params] = {
        "num_leaves": 8,
        "learning_rate": 0.06,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "lambda_l2": 1.0,
        "extra_trees": False,
    }
    most_trees: ClassVar[int] = 2000

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {
            "num_leaves": trial.suggest_categorical("num_leaves", [2, 3, 4, 6, 8]),
            "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.12, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 3, 100, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-2, 20.0, log=True),
            "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
        }

    def _settings(self, params: Params, threads: int, seed: int) -> dict[str, Any]:
        return {
            "objective": "binary",
            "metric": "binary_logloss",
            "verbose": -1,
            "num_threads": threads,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "bagging_freq": 1,
            "max_cat_to_onehot": 64,  # one level against the rest: levels of a churn table are few and each has a meaning
            "max_bin": MAX_BINS + 2,
            "min_data_in_bin": 1,  # the codes are bins already
            **{name: value for name, value in params.items() if name != "trees"},
        }

    @staticmethod
    def _dataset(design: Design, y: Floats, reference: Any = None) -> Any:
        import lightgbm

        categorical = list(design.encoder.categorical)
        return lightgbm.Dataset(design.codes, y, categorical_feature=categorical, reference=reference, params={"verbose": -1})

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        import lightgbm

        settings = self._settings(params, threads, seed)
        return _LightGBM(lightgbm.train(settings, self._dataset(design, y), params.get("trees", 200)))

    def curve(
        self, params: Params, train: Design, y: Floats, valid: Design, y_valid: Floats, *, threads: int, seed: int
    ) -> Floats:
        import lightgbm

        losses: dict[str, Any] = {}
        data = self._dataset(train, y)
        lightgbm.train(
            self._settings(params, threads, seed),
            data,
            params.get("trees") or _affordable(params["learning_rate"], self.most_trees),
            valid_sets=[self._dataset(valid, y_valid, data)],
            callbacks=[lightgbm.record_evaluation(losses), lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )
        return np.array(losses["valid_0"]["binary_logloss"])


@dataclass(frozen=True)
class _LightGBM(Fitted):
    booster: Any

    def margin(self, design: Design) -> Floats:
        return np.asarray(self.booster.predict(design.codes, raw_score=True), dtype=np.float64)

    def probability(self, design: Design) -> Floats:
        return sigmoid(self.margin(design))

    def parts(self, encoder: Encoder) -> Parts:
        return Parts(from_lightgbm(self.booster, encoder))


class CatBoost(Candidate):
    """CatBoost's symmetric trees of depth 2 or 3 on one column a level, so that it compiles into tables."""

    key = "catboost"
    name = "CatBoost, depth 3"
    compiles = True
    share_of_trials = 0.75
    defaults: ClassVar[Params] = {"depth": 3, "learning_rate": 0.08, "l2_leaf_reg": 3.0, "random_strength": 1.0, "rsm": 1.0}
    most_trees: ClassVar[int] = 2000

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {
            "depth": trial.suggest_int("depth", 2, 3),
            "learning_rate": trial.suggest_float("learning_rate", 0.04, 0.15, log=True),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 20.0, log=True),
            "random_strength": trial.suggest_float("random_strength", 0.0, 2.0),
            "rsm": trial.suggest_float("rsm", 0.4, 1.0),
        }

    def _model(self, params: Params, trees: int, threads: int, seed: int, **more: Any) -> Any:
        from catboost import CatBoostClassifier

        settings = {name: value for name, value in params.items() if name != "trees"}
        return CatBoostClassifier(
            iterations=trees,
            loss_function="Logloss",
            grow_policy="SymmetricTree",
            thread_count=threads,
            random_seed=seed,
            verbose=False,
            allow_writing_files=False,  # else it leaves a folder in the working directory
            **settings,
            **more,
        )

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        _check_varies(design)
        return _CatBoost(self._model(params, params.get("trees", 200), threads, seed).fit(design.onehot, y))

    def curve(
        self, params: Params, train: Design, y: Floats, valid: Design, y_valid: Floats, *, threads: int, seed: int
    ) -> Floats:
        trees = params.get("trees") or _affordable(params["learning_rate"], self.most_trees)
        _check_varies(train)
        model = self._model(params, trees, threads, seed, od_type="Iter", od_wait=_PATIENCE, use_best_model=False)
        model.fit(train.onehot, y, eval_set=(valid.onehot, y_valid))
        return np.array(model.get_evals_result()["validation"]["Logloss"])


def _check_varies(design: Design) -> None:
    """CatBoost refuses a table without a column that varies; say so in our words."""
    if not (design.codes[:1] != design.codes).any():  # NaN differs from all, itself too: CatBoost takes it for a value
        raise TrainingError("no column has different values in the rows trained on, so nothing can be learnt from them")


@dataclass(frozen=True)
class _CatBoost(Fitted):
    model: Any

    def margin(self, design: Design) -> Floats:
        return np.asarray(self.model.predict(design.onehot, prediction_type="RawFormulaVal"), dtype=np.float64)

    def probability(self, design: Design) -> Floats:
        return sigmoid(self.margin(design))

    def parts(self, encoder: Encoder) -> Parts:
        return Parts(from_catboost(self.model, encoder))


# -- averages ----------------------------------------------------------------


@dataclass(frozen=True)
class Average(Fitted):
    """The mean of several models' margins: still a sum of small trees."""

    members: tuple[Fitted, ...]

    def margin(self, design: Design) -> Floats:
        return np.mean([member.margin(design) for member in self.members], axis=0)  # type: ignore[no-any-return]

    def probability(self, design: Design) -> Floats:
        return sigmoid(self.margin(design))

    def parts(self, encoder: Encoder) -> Parts:
        weight = 1 / len(self.members)
        trees: list[Tree] = []
        for member in self.members:
            part = member.parts(encoder)
            trees += [Tree(tree.splits, tree.left, tree.right, weight * tree.values) for tree in part.trees]
        return Parts(tuple(trees))


@dataclass(frozen=True)
class Blend:
    """A row of the leaderboard that is the average of others, each with its own settings."""

    key: str = "average"
    name: str = "Average of LightGBM and CatBoost"
    members: tuple[str, ...] = ("lightgbm", "catboost")
    compiles: bool = field(default=True)


CANDIDATES: tuple[Candidate, ...] = (
    LogisticRegression(),
    RandomForest(),
    RandomForestSmote(),
    HistGradientBoosting(),
    GradientBoosting(),
    LightGBM(),
    CatBoost(),
)
BLEND = Blend()
KEYS = (*(candidate.key for candidate in CANDIDATES), BLEND.key)


def _openmp(threads: int) -> Any:
    """A context in which OpenMP takes that many threads: the only way to tell scikit-learn's HGB."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(threads, user_api="openmp")


def _affordable(learning_rate: float, most: int) -> int:
    """Enough trees for a learning rate: small steps need more of them."""
    return int(min(most, max(50, 100 / learning_rate)))


def _margin_loss(y: Floats, margin: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, margin) - y * margin))


def _log_loss(y: Floats, p: Floats) -> float:
    tiny = np.finfo(np.float64).eps
    p = np.clip(p, tiny, 1 - tiny)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))
