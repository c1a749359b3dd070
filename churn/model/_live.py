"""An estimator that was loaded, ready to give f and its contributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from churn.model import _orders
from churn.model._forest import Forest, Matrix, trees_of
from churn.model.recipe import Recipe
from churn.model.risk_model import Floats

_MISS = 1e-9  # between f and what the trees' contributions add up to; a row beyond it is explained the general way
_ROWS = 4096  # explained at a time


class Live:
    """An estimator with its background, asked by recipe. Safe to ask from many threads."""

    def __init__(self, estimator: Any, recipe: Recipe, background: Any) -> None:
        """`background`: pandas table from `Recipe.frame`. Nothing is computed yet but f of it."""
        self.estimator = estimator
        self.recipe = recipe
        self.background = background
        self.margins = self.margin(background)  # f of the background, float64 [rows]
        found = trees(estimator, recipe) if recipe.how == "trees" else None
        self._trees: tuple[Matrix, Forest, Any] | None = None
        if found:
            from churn.model import _paths

            self._trees = (*found, _paths.ways(found[1], found[0](background)))

    def margin(self, frame: Any) -> Floats:
        """f, float64 [rows]."""
        return self.recipe.ask(self.estimator, frame)

    def contributions(self, frame: Any) -> tuple[Floats, Floats, Floats]:
        """f [rows], contributions [rows, the recipe's columns] that add up to f minus its mean over the background, and their
        standard errors [rows, columns]."""
        margin = self.margin(frame)
        values, errors = np.empty((len(frame), len(self.recipe.columns))), np.zeros((len(frame), len(self.recipe.columns)))
        for start in range(0, len(frame), _ROWS):
            part = slice(start, start + _ROWS)
            values[part], errors[part] = self._explained(frame.iloc[part], margin[part])
        return margin, values, errors

    def _explained(self, frame: Any, margin: Floats) -> tuple[Floats, Floats]:
        if self._trees is None:
            return self._general(frame)
        from churn.model import _paths

        matrix, forest, ways = self._trees
        owner = np.array(self.recipe.owner, dtype=np.int32)
        count = len(self.recipe.columns)
        values, known = _paths.contributions(forest, matrix(frame), ways, len(self.background), owner, count)
        miss = np.abs(self.margins.mean() + values.sum(axis=1) - margin)
        errors = np.zeros_like(values)
        doubtful = np.flatnonzero(~known | ~(miss <= _MISS))
        if doubtful.size:
            values[doubtful], errors[doubtful] = self._general(frame.iloc[doubtful])
        return values, errors

    def _general(self, frame: Any) -> tuple[Floats, Floats]:
        return _orders.contributions(self.margin, frame, self.background, seed=self.recipe.seed)


def trees(estimator: Any, recipe: Recipe) -> tuple[Matrix, Forest] | None:
    """The estimator's trees and what they see of a frame, where it is made of trees that add up to f."""
    found = trees_of(estimator, recipe.positive)
    if found is None:
        return None
    matrix, forest = found
    return (lambda frame: matrix(frame if recipe.named else frame.to_numpy())), forest
