"""How much pairs of columns matter together, beyond what each does by itself: exact, from the tables.

For two features i and j of a game of k features, and v_x(S) the mean of f over the background with the features of S as x has
them, the Shapley interaction value (Grabisch and Roubens 1999; Lundberg et al. 2020, "From local explanations to global
understanding", eq. 5), half of which goes to each of the two, is

    Φ_ij = Σ_{S ⊆ N∖{i,j}} |S|! (k − |S| − 2)! / (2 (k − 1)!) · (v(S∪ij) − v(S∪i) − v(S∪j) + v(S))

Features outside a game change nothing in it, and Φ of a sum is the sum of the Φ; so what the whole model says of a row is the
sum over its blocks (`churn.model._layout`), and within a block it depends on the row's cell alone: it is a table. v_x(S) is
the block's f averaged over how the whole background is spread over the features that are not in S, together as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from math import factorial, prod

import numpy as np
import polars as pl

from churn.errors import BundleRejected
from churn.model.encoder import Codes, Encoded, Floats
from churn.model.scoring import ScoringModel
from churn.model.tables import Tables

_CHUNK = 1 << 15  # rows at a time
_COALITIONS = 512  # whose values are in memory at a time: 17 MB for a block of 4,096 cells
_NOTHING = 1e-12  # log-odds; a table of less is rounding
_OFF_CENTRE = 1e-6  # log-odds by which a block's mean over the background may differ from 0

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Interactions:
    """All pair interactions of a model: `pairs` are positions of two features, the smaller first; all others have none.

    `exact`: against the whole background of the model; else against the rows that were given in its place.
    """

    model: ScoringModel
    pairs: tuple[Pair, ...]
    exact: bool
    _tables: dict[int, tuple[tuple[int, Floats], ...]]  # block → number of a pair and its Φ by cell

    @classmethod
    def of(cls, model: ScoringModel, reference: pl.DataFrame) -> Interactions:
        """The interactions of a model.

        Parameters
        ----------
        reference: conformed rows, which stand for the background of a model whose bundle does not say how its own was spread.

        Raises BundleRejected where what the bundle says of the background does not fit its tables.
        """
        tables = model.tables
        layout, exact = tables.layout, tables.spread is not None
        spread = tables.spread
        if spread is None:
            spread = tables.spread_of(model.encoder.encode(reference, numbers=tables.needs_numbers).codes)
        if spread.size != layout.totals.size:
            raise BundleRejected(f"the background must be spread over {layout.totals.size} cells; it is over {spread.size}")
        found: dict[Pair, list[tuple[int, Floats]]] = {}
        for block, (features, radices) in enumerate(_shapes(tables)):
            start = layout.total_start[block]
            part = slice(start, start + layout.cells[block])
            totals, weights = layout.totals[part], spread[part] / max(spread[part].sum(), 1)
            if exact and not abs(weights @ totals) < _OFF_CENTRE:
                raise BundleRejected(f"the mean of block {block} over the background must be 0; it is {weights @ totals:.2g}")
            for (i, j), values in _of_block(totals.reshape(radices), weights.reshape(radices)):
                if np.abs(values).max() > _NOTHING:
                    found.setdefault((features[i], features[j]), []).append((block, values))
        pairs = tuple(sorted(found))
        by_block: dict[int, list[tuple[int, Floats]]] = {}
        for number, pair in enumerate(pairs):
            for block, values in found[pair]:
                by_block.setdefault(block, []).append((number, values))
        return cls(model, pairs, exact, {block: tuple(own) for block, own in by_block.items()})

    def margins(self, encoded: Encoded) -> Floats:
        """Φ of every pair, float64 [pairs, rows], in log-odds: half of what the two do together."""
        result = np.zeros((len(self.pairs), encoded.rows))
        for start in range(0, encoded.rows, _CHUNK):
            rows = slice(start, start + _CHUNK)
            self._add(encoded.codes[:, rows], result[:, rows])
        return result

    def points(self, table: pl.DataFrame) -> Floats:
        """What each pair does together (Φ_ij + Φ_ji), float64 [pairs, rows], on the 0–1 scale of the risk, by the same scale
        as the points of single features. A feature's main effect is its points less half of those of its pairs."""
        result = np.empty((len(self.pairs), table.height))
        for rows, found in self._points(table):
            result[:, rows] = found
        return result

    def sizes(self, table: pl.DataFrame) -> Floats:
        """The mean of |points| of each pair over the rows of a conformed table, float64 [pairs]."""
        total = np.zeros(len(self.pairs))
        for _, found in self._points(table):
            total += np.abs(found, out=found).sum(axis=1)
        return total / max(table.height, 1)

    def _points(self, table: pl.DataFrame) -> Iterator[tuple[slice, Floats]]:
        tables = self.model.tables
        for start in range(0, table.height, _CHUNK):
            part = table.slice(start, _CHUNK)
            encoded = self.model.encoder.encode(part, numbers=tables.needs_numbers)
            found = np.zeros((len(self.pairs), part.height))
            self._add(encoded.codes, found)
            found *= 2 * self.model.scale(tables.margins(encoded))
            yield slice(start, start + part.height), found

    def _add(self, codes: Codes, result: Floats) -> None:
        gathered = np.empty(result.shape[1])
        for block, cell in self.model.tables.cells(codes):
            for number, values in self._tables.get(block, ()):
                np.take(values, cell, out=gathered, mode="wrap")
                result[number] += gathered


def _shapes(tables: Tables) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Features of each block, and how many classes of codes each has there."""
    layout = tables.layout
    for first, stop in pairwise(layout.first.tolist()):
        radices: list[int] = []
        for member in reversed(range(first, stop)):
            start, size = layout.step_start[member], tables.sizes[layout.feature[member]]
            radices.insert(0, int(layout.steps[start : start + size].max()) // prod(radices) + 1)
        yield tuple(layout.feature[first:stop].tolist()), tuple(radices)


def _of_block(f: Floats, weights: Floats) -> Iterator[tuple[Pair, Floats]]:
    """Φ over the cells of a block, for each pair of its axes; `weights` is how the background is spread over the cells."""
    k = f.ndim
    if k < 2:
        return
    pairs = list(combinations(range(k), 2))
    result = np.zeros((len(pairs), f.size))
    for start in range(0, 1 << k, _COALITIONS):
        coalitions = range(start, min(start + _COALITIONS, 1 << k))
        values = np.array([_value(f, weights, inside) for inside in coalitions])
        result += _shares(k)[:, coalitions.start : coalitions.stop] @ values
    yield from zip(pairs, result, strict=True)


def _value(f: Floats, weights: Floats, inside: int) -> Floats:
    """v_x(S) for every cell x [cells]: the features of S as in the cell, the others as the background has them together."""
    own = tuple(axis for axis in range(f.ndim) if inside >> axis & 1)
    others = tuple(axis for axis in range(f.ndim) if not inside >> axis & 1)
    spread = weights.sum(axis=own, keepdims=True)
    mean = (f * spread).sum(axis=others, keepdims=True)
    return np.broadcast_to(mean, f.shape).reshape(-1)


@cache
def _shares(k: int) -> Floats:
    """The factor of v(S) in Φ, [pairs of k features, 2ᵏ]: it goes by how many of the two are in S, and how many others."""
    inside = np.arange(1 << k)[:, None] >> np.arange(k) & 1
    both = np.array([inside[:, i] + inside[:, j] for i, j in combinations(range(k), 2)])
    others = inside.sum(axis=1) - both
    factors = np.array([factorial(size) * factorial(k - size - 2) / (2 * factorial(k - 1)) for size in range(k - 1)])
    return np.asarray(np.where(both == 1, -1.0, 1.0) * factors[others])
