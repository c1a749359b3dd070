"""Small trees and linear terms over codes: the one form that every model worth compiling is brought into.

A margin is a sum: of trees, of linear terms and of a constant. Averages of several models are sums too, with weights.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from churn.errors import TrainingError
from churn.model.encoder import Codes, Columns, Encoded, Encoder, Floats

Bools = npt.NDArray[np.bool_]

FILLED = -1.0  # stands for a missing number where a model takes none: one below the lowest code
_ZERO = 1e-35  # LightGBM's kZeroThreshold: closer to 0 than this is 0


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """A row goes left where `goes_left[code of the feature]`."""

    feature: int
    goes_left: Bools


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """A binary tree; node i asks `splits[i]` and goes on to `left[i]` or `right[i]`, where −1 − l means leaf l.

    Node 0 is the root. A tree without splits is a constant, its only value.
    """

    splits: tuple[Split, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    values: Floats

    def paths(self) -> Iterator[tuple[float, dict[int, Bools]]]:
        """Each leaf that can be reached: its value and, for each feature on its path, which codes pass every split there."""
        stack: list[tuple[int, dict[int, Bools]]] = [(0 if self.splits else -1, {})]
        while stack:
            node, passes = stack.pop()
            if node < 0:
                yield float(self.values[-1 - node]), {f: passed for f, passed in passes.items() if not passed.all()}
                continue
            split = self.splits[node]
            before = passes.get(split.feature, True)
            for child, answer in ((self.right[node], ~split.goes_left), (self.left[node], split.goes_left)):
                passed = before & answer
                if passed.any():
                    stack.append((child, {**passes, split.feature: passed}))

    def evaluate(self, codes: Codes) -> Floats:
        """Margins [rows] of codes [features, rows], the plain way; what compiled tables are checked against."""
        result = np.zeros(codes.shape[1])
        for value, passes in self.paths():
            here = np.ones(codes.shape[1], dtype=np.bool_)
            for feature, passed in passes.items():
                here &= passed[codes[feature]]
            result[here] += value
        return result


@dataclass(frozen=True, slots=True)
class NumberTerm:
    """slope·x + offset for a number x; `missing` where there is none."""

    feature: int
    slope: float
    offset: float
    missing: float

    @classmethod
    def standardised(
        cls, feature: int, coefficient: float, centre: float, scale: float, imputed: float, missing: float = 0.0
    ) -> NumberTerm:
        """The term coefficient·(x − centre)/scale, a missing x taken as `imputed` plus the coefficient `missing` of its flag."""
        slope = coefficient / scale
        return cls(feature, slope, -slope * centre, slope * (imputed - centre) + missing)


@dataclass(frozen=True, eq=False, slots=True)
class CodeTerm:
    """values[code] of one feature."""

    feature: int
    values: Floats


@dataclass(frozen=True, eq=False, slots=True)
class LinearTerms:
    """A linear model: terms on raw numbers and on codes. At most one number term a feature."""

    numbers: tuple[NumberTerm, ...] = ()
    codes: tuple[CodeTerm, ...] = ()

    def scaled(self, weight: float) -> LinearTerms:
        """All terms times a weight: for averages of models."""
        return LinearTerms(
            tuple(NumberTerm(t.feature, weight * t.slope, weight * t.offset, weight * t.missing) for t in self.numbers),
            tuple(CodeTerm(t.feature, weight * t.values) for t in self.codes),
        )

    def evaluate(self, encoded: Encoded, encoder: Encoder) -> Floats:
        """Margins [rows] of encoded rows, the plain way."""
        result = np.zeros(encoded.rows)
        for term in self.numbers:
            values = encoded.numbers[encoder.number_features.index(term.feature)]
            result += np.where(np.isnan(values), term.missing, term.slope * values + term.offset)
        for code_term in self.codes:
            result += code_term.values[encoded.codes[code_term.feature]]
        return result


def evaluate(trees: Sequence[Tree], linear: LinearTerms | None, intercept: float, encoder: Encoder, encoded: Encoded) -> Floats:
    """Margins [rows] of a whole model, the plain way."""
    result = np.full(encoded.rows, float(intercept))
    for tree in trees:
        result += tree.evaluate(encoded.codes)
    return result if linear is None else result + linear.evaluate(encoded, encoder)


def pruned(
    encoder: Encoder, trees: Sequence[Tree], linear: LinearTerms | None = None
) -> tuple[Encoder, tuple[Tree, ...], LinearTerms | None]:
    """Give codes that no tree and no linear term tells apart one code. Margins do not change; tables become small."""
    rows: list[list[npt.NDArray[Any]]] = [[np.zeros(size)] for size in encoder.sizes]
    for tree in trees:
        for split in tree.splits:
            rows[split.feature].append(split.goes_left)
    for term in linear.codes if linear else ():
        rows[term.feature].append(term.values)
    groups = [np.unique(np.array(told, dtype=np.float64), axis=1, return_inverse=True)[1].reshape(-1) for told in rows]
    small, stand_ins = encoder.merge(groups)
    return (
        small,
        tuple(
            replace(tree, splits=tuple(Split(s.feature, s.goes_left[stand_ins[s.feature]]) for s in tree.splits))
            for tree in trees
        ),
        linear and replace(linear, codes=tuple(CodeTerm(t.feature, t.values[stand_ins[t.feature]]) for t in linear.codes)),
    )


# -- from trained models -----------------------------------------------------------


def from_lightgbm(booster: Any, encoder: Encoder, weight: float = 1.0, columns: Columns | None = None) -> tuple[Tree, ...]:
    """The trees of a LightGBM booster (binary objective) trained on `Encoder.matrix`, or on the matrix of `columns`.

    Summed they equal `booster.predict(matrix, raw_score=True)` times `weight` (random forest mode: its average, the
    log-odds that `predict` turns into a probability), missing and unseen values included: the decisions follow LightGBM 4's
    `Tree::NumericalDecision` and `Tree::CategoricalDecision` (include/LightGBM/tree.h).
    Raises TrainingError for what is not a sum of plain trees for one class.
    """
    columns = columns or encoder.columns
    model = booster.dump_model()
    if model["num_tree_per_iteration"] != 1:
        raise TrainingError(f"LightGBM model has {model['num_tree_per_iteration']} classes; only two-class models compile")
    sigmoid = dict(part.split(":") for part in model.get("objective", "").split()[1:] if ":" in part).get("sigmoid", "1")
    if float(sigmoid) != 1:
        raise TrainingError(f"LightGBM's sigmoid must be 1; this model was trained with {sigmoid}")
    if model.get("average_output"):
        weight /= max(len(model["tree_info"]), 1)
    return tuple(_lightgbm_tree(info["tree_structure"], columns, weight) for info in model["tree_info"])


def _lightgbm_tree(root: dict[str, Any], columns: Columns, weight: float) -> Tree:
    splits: list[Split] = []
    left: list[int] = []
    right: list[int] = []
    values: list[float] = []

    def add(node: dict[str, Any]) -> int:
        if "left_child" not in node:
            if "leaf_coeff" in node:
                raise TrainingError("LightGBM trees with linear leaves do not compile; train with linear_tree=False")
            values.append(weight * float(node["leaf_value"]))
            return -len(values)
        here = len(splits)
        splits.append(_lightgbm_split(node, columns))
        left.append(0)
        right.append(0)
        left[here] = add(node["left_child"])
        right[here] = add(node["right_child"])
        return here

    add(root)
    return Tree(tuple(splits), tuple(left), tuple(right), np.array(values))


def _lightgbm_split(node: dict[str, Any], columns: Columns) -> Split:
    column = int(node["split_feature"])
    x = columns.values[column]
    if node["decision_type"] == "==":
        goes_left = np.isin(x, [float(category) for category in str(node["threshold"]).split("||")])
    else:
        unknown = np.isnan(x)
        filled = np.where(unknown, 0.0, x)
        if node["missing_type"] == "NaN":
            by_default = unknown
        elif node["missing_type"] == "Zero":
            by_default = np.abs(filled) <= _ZERO
        else:
            by_default = np.zeros_like(unknown)
        goes_left = np.where(by_default, bool(node["default_left"]), filled <= float(node["threshold"]))
    return Split(columns.features[column], goes_left)


def from_catboost(model: Any, encoder: Encoder, weight: float = 1.0, columns: Columns | None = None) -> tuple[Tree, ...]:
    """The oblivious trees of a CatBoost two-class model trained on `Encoder.onehot`, or on the matrix of `columns`.

    Summed, with the model's scale and bias, they equal `model.predict(matrix, prediction_type="RawFormulaVal")` times
    `weight`. Raises TrainingError for other tree shapes, categorical columns and several classes.
    """
    columns = columns or encoder.onehot_columns
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        document = json.loads(path.read_text())
    if "oblivious_trees" not in document:
        raise TrainingError("CatBoost trees must be symmetric to compile; train with grow_policy='SymmetricTree'")
    scale, bias = document["scale_and_bias"]
    if len(bias) != 1:
        raise TrainingError(f"CatBoost model has {len(bias)} outputs; only two-class models compile")
    floats = document["features_info"]["float_features"]
    trees = [Tree((), (), (), np.array([weight * float(bias[0])]))]
    for tree in document["oblivious_trees"]:
        answers = [_catboost_split(split, floats, columns) for split in tree["splits"] or ()]
        trees.append(_oblivious(answers, weight * float(scale) * np.array(tree["leaf_values"], dtype=np.float64)))
    return tuple(trees)


def _catboost_split(split: dict[str, Any], floats: list[dict[str, Any]], columns: Columns) -> Split:
    if split["split_type"] != "FloatFeature":
        raise TrainingError(
            f"CatBoost split {split['split_type']!r} does not compile; train on Encoder.onehot, without cat_features"
        )
    entry = floats[split["float_feature_index"]]
    column = int(entry["flat_feature_index"])
    treated_as = {"AsFalse": -np.inf, "AsTrue": np.inf, "AsIs": np.nan}[entry["nan_value_treatment"]]
    x = np.where(np.isnan(columns.values[column]), treated_as, columns.values[column])
    return Split(columns.features[column], ~(x > float(split["border"])))


def _oblivious(answers: Sequence[Split], values: Floats) -> Tree:
    """A tree that asks the same question on a whole level; bit d of a leaf's number is set where answer d is "right"."""
    depth = len(answers)
    splits: list[Split] = []
    left: list[int] = []
    right: list[int] = []
    for node in range((1 << depth) - 1):  # node numbers of a complete tree: level by level
        level = (node + 1).bit_length() - 1
        splits.append(answers[level])
        for side, children in ((0, left), (1, right)):
            child = 2 * node + 1 + side
            if level + 1 < depth:
                children.append(child)
                continue
            path = child + 1 - (1 << depth)  # the turns taken, the first in the highest bit
            leaf = sum(1 << d for d in range(depth) if path >> (depth - 1 - d) & 1)
            children.append(-1 - leaf)
    return Tree(tuple(splits), tuple(left), tuple(right), values)


def from_gradient_boosting(model: Any, encoder: Encoder, weight: float = 1.0, columns: Columns | None = None) -> tuple[Tree, ...]:
    """The trees of a scikit-learn GradientBoostingClassifier trained on `Encoder.onehot` with missing values
    filled in as −1 (`np.nan_to_num(matrix, nan=FILLED)`), or on the matrix of `columns`.

    Summed they equal `model.decision_function(matrix)` times `weight`. Raises TrainingError for several classes and for an
    `init` estimator that is no constant.
    """
    columns = columns or encoder.onehot_columns.filled(FILLED)
    if model.estimators_.shape[1] != 1:
        raise TrainingError(f"the gradient boosting has {model.estimators_.shape[1]} outputs; only two-class models compile")
    if model.init is not None:
        raise TrainingError("gradient boosting compiles only with init=None, which starts from a constant")
    start = float(np.log(model.init_.class_prior_[1] / model.init_.class_prior_[0]))
    trees = [Tree((), (), (), np.array([weight * start]))]
    for estimator in model.estimators_[:, 0]:
        trees.append(_sklearn_tree(estimator.tree_, columns, weight * model.learning_rate))
    return tuple(trees)


def _sklearn_tree(tree: Any, columns: Columns, weight: float) -> Tree:
    inner = np.flatnonzero(tree.children_left >= 0)
    leaves = np.flatnonzero(tree.children_left < 0)
    position = {int(node): i for i, node in enumerate(inner)} | {int(node): -1 - i for i, node in enumerate(leaves)}
    splits = []
    for node in inner:
        column = int(tree.feature[node])
        x = columns.values[column].astype(np.float32)  # scikit-learn's trees compare single precision with a double threshold
        goes_left = np.where(np.isnan(x), bool(tree.missing_go_to_left[node]), x <= tree.threshold[node])
        splits.append(Split(columns.features[column], goes_left))
    return Tree(
        tuple(splits),
        tuple(position[int(child)] for child in tree.children_left[inner]),
        tuple(position[int(child)] for child in tree.children_right[inner]),
        weight * tree.value[leaves, 0, 0],
    )
