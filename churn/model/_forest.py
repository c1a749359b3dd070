"""scikit-learn's tree ensembles as plain arrays, and which column of the table each of their columns comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from churn.model.risk_model import Floats

Matrix = Callable[[Any], Floats]  # a frame → what the trees see, float64 [rows, columns]

_MIXES = 512  # made-up rows on which columns must prove to go their own ways


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose leaves add up; all arrays are [nodes], but for `start` [trees] and `bitsets` [sets, 8].

    A node with left < 0 is a leaf. A split goes left where the value is ≤ `threshold`; or, with `category` ≥ 0, where the
    bit of its code is set in that row of `bitsets`; `known` is the row of all codes seen in training.
    """

    start: npt.NDArray[np.int64]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: Floats
    missing_left: npt.NDArray[np.bool_]
    category: npt.NDArray[np.int32]
    known: npt.NDArray[np.int32]
    bitsets: npt.NDArray[np.uint32]
    value: Floats

    @property
    def splits(self) -> tuple[npt.NDArray[Any], ...]:
        """What says which way a row goes, in the order in which `churn.model._paths` takes it."""
        return (self.left, self.feature, self.threshold, self.missing_left, self.category, self.known, self.bitsets)

    @cached_property
    def depth(self) -> int:
        """Of the deepest leaf; a node comes after its parent."""
        depth = np.zeros(len(self.left), dtype=np.int64)
        for node in np.flatnonzero(self.left >= 0):
            depth[self.left[node]] = depth[self.right[node]] = depth[node] + 1
        return int(depth.max(initial=0))


def trees_of(estimator: Any, positive: int) -> tuple[Matrix, Forest] | None:
    """The trees of a forest, of gradient boosting or of HGB, alone or at the end of a pipeline; None for anything else.

    A forest's leaves add up to the probability of class number `positive`, the others' to the log-odds but for a constant.
    """
    before, last = _split(estimator)
    name = type(last).__name__
    if type(last).__module__.partition(".")[0] != "sklearn":
        return None
    if name in ("RandomForestClassifier", "ExtraTreesClassifier"):
        forest = _of_trees(last.estimators_, lambda tree: _share(tree, positive) / len(last.estimators_))
    elif name in ("DecisionTreeClassifier", "ExtraTreeClassifier"):
        forest = _of_trees([last], lambda tree: _share(tree, positive))
    elif name == "GradientBoostingClassifier" and last.estimators_.shape[1] == 1:
        sign = 1.0 if positive else -1.0
        forest = _of_trees(last.estimators_[:, 0], lambda tree: sign * last.learning_rate * tree.value[:, 0, 0])
    elif name == "HistGradientBoostingClassifier" and last.n_trees_per_iteration_ == 1:
        return (lambda frame: _dense(last._preprocess_X(before(frame), reset=False))), _of_hist(last, positive)
    else:
        return None
    # scikit-learn's trees see float32
    return (lambda frame: _dense(before(frame)).astype(np.float32).astype(np.float64)), forest


def owners(matrix: Matrix, pool: Any, most: int, seed: int = 0) -> npt.NDArray[np.int32] | None:
    """Which column of the table each column of the matrix comes from, −1 for those that never change; None if some come from
    several.

    Found out on rows put together from values of all columns at random, every value of `pool` at least once: exchange the
    values of one column, and see what changes. That nothing else does is then tried on `_MIXES` more rows of all exchanges.

    Parameters
    ----------
    pool: pandas table of the estimator's columns; rows with missing values and unseen levels among them are wise.
    most: rows to try each column on; more where a column has more levels.
    """
    rng = np.random.default_rng(seed)
    codes = [pool[name].factorize(use_na_sentinel=False)[0] for name in pool.columns]
    firsts = [np.unique(code, return_index=True)[1] for code in codes]
    size = max(most, *(len(first) for first in firsts if len(first) <= 4 * most), 1)

    def drawn(count: int) -> npt.NDArray[np.intp]:
        rows = rng.integers(0, len(pool), (count, len(codes)))
        for column, first in enumerate(firsts):
            fits = rng.permutation(first)[:count]
            rows[rng.permutation(count)[: len(fits)], column] = fits
        return rows

    mine, theirs = drawn(size), drawn(size)
    plain = matrix(taken(pool, mine))
    owner = np.full(plain.shape[1], -1, dtype=np.int32)
    for column in range(len(codes)):
        mixed = mine.copy()
        mixed[:, column] = theirs[:, column]
        changed = _differ(matrix(taken(pool, mixed)), plain).any(axis=0)
        if (owner[changed] >= 0).any():
            return None
        owner[changed] = column
    ones, others = drawn(_MIXES), drawn(_MIXES)
    swap = rng.random(ones.shape) < 0.5
    found = matrix(taken(pool, np.where(swap, others, ones)))
    swapped = np.column_stack([swap, np.zeros(_MIXES, dtype=bool)])[:, owner]  # −1: the last, never exchanged
    expected = np.where(swapped, matrix(taken(pool, others)), matrix(taken(pool, ones)))
    return None if _differ(found, expected)[:, owner >= 0].any() else owner


def taken(pool: Any, rows: npt.NDArray[np.intp]) -> Any:
    """A pandas table whose column j has the values that `rows` [n, columns] name, by position in `pool`."""
    import pandas as pd

    columns = {name: pool[name].array.take(rows[:, j]) for j, name in enumerate(pool.columns)}
    return pd.DataFrame(columns, copy=False)


def _split(estimator: Any) -> tuple[Callable[[Any], Any], Any]:
    """What a pipeline does before its last step, and that step."""
    if type(estimator).__name__ != "Pipeline":
        return (lambda frame: frame), estimator
    inner, last = _split(estimator.steps[-1][1])
    if len(estimator.steps) == 1:
        return inner, last
    return (lambda frame: inner(estimator[:-1].transform(frame))), last


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def _differ(one: Floats, other: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))


def _share(tree: Any, positive: int) -> Floats:
    counts = tree.value[:, 0, :]
    return np.asarray(counts[:, positive] / counts.sum(axis=1))


def _of_trees(members: Sequence[Any], value: Callable[[Any], Floats]) -> Forest:
    trees = [member.tree_ for member in members]
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    shifted = [(tree.children_left, tree.children_right, at) for tree, at in zip(trees, start, strict=False)]
    nodes = int(start[-1])
    return Forest(
        start=start[:-1].astype(np.int64),
        left=np.concatenate([np.where(left < 0, -1, left + at) for left, _, at in shifted]).astype(np.int32),
        right=np.concatenate([np.where(right < 0, -1, right + at) for _, right, at in shifted]).astype(np.int32),
        feature=np.concatenate([tree.feature for tree in trees]).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
        missing_left=np.concatenate([tree.missing_go_to_left for tree in trees]).astype(np.bool_),
        category=np.full(nodes, -1, dtype=np.int32),
        known=np.full(nodes, -1, dtype=np.int32),
        bitsets=np.zeros((1, 8), dtype=np.uint32),
        value=np.concatenate([value(tree) for tree in trees]).astype(np.float64),
    )


def _of_hist(model: Any, positive: int) -> Forest:
    predictors = [step[0] for step in model._predictors]
    nodes = np.concatenate([predictor.nodes for predictor in predictors])
    counts = [len(predictor.nodes) for predictor in predictors]
    start = np.cumsum([0, *counts])
    shift = np.repeat(start[:-1], counts)
    known, of_column = model._bin_mapper.make_known_categories_bitsets()
    sets = [known, *(predictor.raw_left_cat_bitsets for predictor in predictors)]
    first = np.repeat(np.cumsum([len(one) for one in sets])[:-1], counts)
    inner, categorical = nodes["is_leaf"] == 0, nodes["is_categorical"] != 0
    feature = np.where(inner, nodes["feature_idx"], 0)
    return Forest(
        start=start[:-1].astype(np.int64),
        left=np.where(inner, nodes["left"] + shift, -1).astype(np.int32),
        right=np.where(inner, nodes["right"] + shift, -1).astype(np.int32),
        feature=feature.astype(np.int32),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        category=np.where(inner & categorical, nodes["bitset_idx"] + first, -1).astype(np.int32),
        known=np.where(inner & categorical, of_column[feature], -1).astype(np.int32),
        bitsets=np.concatenate([np.asarray(one, dtype=np.uint32).reshape(-1, 8) for one in (*sets, np.zeros((1, 8)))]),
        value=(1.0 if positive else -1.0) * nodes["value"],
    )
