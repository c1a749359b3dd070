"""A model compiled into tables: exact margins and exact Shapley values by look-up.

Every group of leaves that share features is a game whose contributions are a table over classes of codes
(`churn.model._games`), and games that share features share a block (`churn.model._layout`). A row's score and all of its
contributions are then a handful of gathers. Two engines do them: "numpy", and "compiled" with numba.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from churn.errors import BundleRejected, TrainingError, in_words
from churn.model._games import Game, compile_games
from churn.model._layout import Layout, group_games, lay_out
from churn.model.encoder import Codes, Encoded, Encoder, Floats
from churn.model.trees import LinearTerms, NumberTerm, Tree

Engine = Literal["numpy", "compiled"]

_CHUNK = 1 << 15  # rows worked on at a time: their cells stay in the cache, and calls cost little beside them


def compile_tables(
    trees: Sequence[Tree], linear: LinearTerms | None, intercept: float, encoder: Encoder, background: Encoded
) -> Tables:
    """Compile a model: the sum of its trees, its linear terms and a constant, over the codes of `encoder`.

    Contributions are interventional Shapley values against all rows of `background`. Prune the encoder first
    (`churn.model.trees.pruned`) for small tables. Raises TrainingError for an empty background, for linear terms without
    the background's numbers, and for trees of which a leaf depends on more than 8 features.
    """
    if not background.rows:
        raise TrainingError("contributions need a background of at least 1 row; it has 0")
    if linear and linear.numbers and not background.numbers.shape[0]:
        raise TrainingError("linear terms on numbers need the numbers of the background; encode it with numbers=True")
    games, terms, typical = compile_games(trees, linear, intercept, encoder, background)
    groups = group_games(games, encoder.sizes)
    rows = tuple(encoder.number_features.index(term.feature) for term in terms)
    tables = Tables(encoder.sizes, typical, games, groups, terms, rows)
    return replace(tables, spread=tables.spread_of(background.codes))


@dataclass(frozen=True, eq=False)
class Tables:
    """A compiled model. margin = `typical_margin` + the sum of the contributions.

    `typical_margin`: mean margin over the background. `sizes`: codes of each feature. `groups`: the games of each block.
    `numbers`: terms on raw numbers, centred on the background, and `number_rows` their rows in `Encoded.numbers`.
    `spread`: how many rows of the background are in each cell, in the order of `Layout.totals`, which is what pair interactions
    are made from (`churn.model.interactions`); None in bundles made before it was kept.
    """

    sizes: tuple[int, ...]
    typical_margin: float
    games: tuple[Game, ...]
    groups: tuple[tuple[int, ...], ...]
    numbers: tuple[NumberTerm, ...]
    number_rows: tuple[int, ...]
    spread: npt.NDArray[np.int64] | None = None

    @property
    def features(self) -> int:
        return len(self.sizes)

    @property
    def needs_numbers(self) -> bool:
        """Whether rows must be encoded with their numbers."""
        return bool(self.numbers)

    @cached_property
    def layout(self) -> Layout:
        return lay_out(self.games, self.groups, self.sizes)

    # -- many rows ---------------------------------------------------------------

    def margins(self, encoded: Encoded, *, engine: Engine = "numpy") -> Floats:
        """Margins float64 [rows] of encoded rows."""
        result = np.full(encoded.rows, self.typical_margin)
        if engine == "compiled":
            from churn.model import _compiled

            _compiled.margins(encoded.codes, self.layout, result)
        else:
            for chunk in _chunks(encoded.rows):
                self._add_margins(encoded.codes[:, chunk], result[chunk])
        for term, row in zip(self.numbers, self.number_rows, strict=True):
            for chunk in _chunks(encoded.rows):
                result[chunk] += _term(term, encoded.numbers[row, chunk])
        return result

    def contributions(
        self, encoded: Encoded, *, engine: Engine = "numpy", dtype: npt.DTypeLike = np.float64
    ) -> tuple[Floats, npt.NDArray[Any]]:
        """Margins float64 [rows] and contributions [features, rows], which add up to margin − `typical_margin`.

        With `dtype` float32 the contributions are rounded to single precision; margins are the sum of what is returned.
        """
        rows = encoded.rows
        margins = np.empty(rows)
        result = np.empty((self.features, rows), dtype=dtype)
        if engine == "compiled":
            from churn.model import _compiled

            _compiled.contributions(encoded.codes, self.layout, result)
        for chunk in _chunks(rows):
            part = result[:, chunk]
            if engine == "numpy":
                self._fill_contributions(encoded.codes[:, chunk], part)
            for term, row in zip(self.numbers, self.number_rows, strict=True):
                part[term.feature] += _term(term, encoded.numbers[row, chunk])
            np.sum(part, axis=0, out=margins[chunk], dtype=np.float64)
            margins[chunk] += self.typical_margin
        return margins, result

    def _add_margins(self, codes: Codes, margins: Floats) -> None:
        layout = self.layout
        gathered = np.empty(codes.shape[1])
        for block, cell in self.cells(codes):
            start = layout.total_start[block]
            np.take(layout.totals[start : start + layout.cells[block]], cell, out=gathered, mode="wrap")
            margins += gathered

    def _fill_contributions(self, codes: Codes, result: npt.NDArray[Any]) -> None:
        layout = self.layout
        gathered = np.empty(codes.shape[1])
        result[list(self._untouched)] = 0
        for block, cell in self.cells(codes):
            for member in range(layout.first[block], layout.first[block + 1]):
                start = layout.value_start[member]
                np.take(layout.values[start : start + layout.cells[block]], cell, out=gathered, mode="wrap")
                if layout.opens[member]:
                    result[layout.feature[member]] = gathered
                else:
                    result[layout.feature[member]] += gathered

    def cells(self, codes: Codes) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """Each block, and the rows' cells in it (in an array that the next block uses again).

        Cells are added up in 16 bits where they fit, four times as many at once as in 64. `take` is fastest with whole words
        and "wrap", which spares the second look at every index; none is out of bounds.
        """
        layout = self.layout
        rows = codes.shape[1]
        narrow = codes.itemsize <= 2
        wide = {f: codes[f].astype(np.intp) for f in (self._looked_up if narrow else self._touched)}
        cell, step = np.empty(rows, dtype=self._cell_type), np.empty(rows, dtype=self._cell_type)
        index = np.empty(rows, dtype=np.intp)
        for block, (first, stop) in enumerate(pairwise(layout.first.tolist())):
            for member in range(first, stop):
                into = cell if member == first else step
                feature, stride = int(layout.feature[member]), layout.stride[member]
                if stride and narrow:
                    np.multiply(codes[feature], stride.astype(self._cell_type), out=into)
                else:
                    np.take(self._steps[member], wide[feature], out=into, mode="wrap")
                if into is step:
                    cell += step
            np.copyto(index, cell)
            yield block, index

    def spread_of(self, codes: Codes) -> npt.NDArray[np.int64]:
        """How many rows are in each cell of each block, in the order of `Layout.totals`."""
        layout = self.layout
        result = np.zeros(layout.totals.size, dtype=np.int64)
        for chunk in _chunks(codes.shape[1]):
            for block, cell in self.cells(codes[:, chunk]):
                start, size = layout.total_start[block], layout.cells[block]
                result[start : start + size] += np.bincount(cell, minlength=size)
        return result

    @cached_property
    def _cell_type(self) -> np.dtype[Any]:
        return np.promote_types(np.uint16, np.min_scalar_type(int(self.layout.cells.max(initial=1)) - 1))

    @cached_property
    def _steps(self) -> tuple[npt.NDArray[Any], ...]:
        """The steps of each member, in the type of a cell."""
        layout = self.layout
        return tuple(
            layout.steps[start : start + self.sizes[feature]].astype(self._cell_type)
            for start, feature in zip(layout.step_start, layout.feature, strict=True)
        )

    @cached_property
    def _touched(self) -> tuple[int, ...]:
        return tuple(int(feature) for feature in np.unique(self.layout.feature))

    @cached_property
    def _untouched(self) -> tuple[int, ...]:
        return tuple(feature for feature in range(self.features) if feature not in self._touched)

    @cached_property
    def _looked_up(self) -> tuple[int, ...]:
        return tuple(int(feature) for feature in np.unique(self.layout.feature[self.layout.stride == 0]))

    # -- one row -------------------------------------------------------------------

    def row(self, codes: Sequence[int], numbers: Sequence[float] = ()) -> tuple[float, Floats]:
        """Margin and contributions [features] of one row: its codes, and its numbers (NaN where missing) if there are terms."""
        layout = self.layout
        result = np.zeros(self.features)
        if layout.feature.size:
            steps = layout.steps[layout.step_start + np.array(codes)[layout.feature]]
            cells = np.add.reduceat(steps, layout.first[:-1])
            gathered = layout.values[layout.value_start + cells[self._block_of_member]]
            result += np.bincount(layout.feature, weights=gathered, minlength=self.features)
        for term, at in zip(self.numbers, self.number_rows, strict=True):
            x = numbers[at]
            result[term.feature] += term.missing if x != x else term.slope * x + term.offset
        return self.typical_margin + float(result.sum()), result

    @cached_property
    def _block_of_member(self) -> npt.NDArray[np.intp]:
        return np.repeat(np.arange(len(self.groups)), np.diff(self.layout.first))

    # -- in and out ------------------------------------------------------------------

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The tables as plain arrays, for npz without pickle."""
        group = np.zeros(len(self.games), dtype=np.int32)
        for number, members in enumerate(self.groups):
            group[list(members)] = number
        classes = [labels for game in self.games for labels in game.classes]
        return {
            "sizes": np.array(self.sizes, dtype=np.int32),
            "typical_margin": np.array([self.typical_margin]),
            "game_length": np.array([len(game.features) for game in self.games], dtype=np.int32),
            "game_features": np.array([feature for game in self.games for feature in game.features], dtype=np.int32),
            "game_classes": np.concatenate(classes) if classes else np.empty(0, dtype=np.uint8),
            "game_values": np.concatenate([game.values.reshape(-1) for game in self.games] or [np.empty(0)]),
            "game_group": group,
            "terms": np.array([(t.slope, t.offset, t.missing) for t in self.numbers], dtype=np.float64).reshape(-1, 3),
            "term_feature": np.array([term.feature for term in self.numbers], dtype=np.int32),
            "term_row": np.array(self.number_rows, dtype=np.int32),
            **({} if self.spread is None else {"spread": self.spread}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Tables:
        """Tables from plain arrays. Raises BundleRejected where they do not fit together."""
        try:
            return _read(arrays)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise BundleRejected(f"the scoring tables cannot be read: {in_words(error)}") from error


def _read(arrays: Mapping[str, npt.NDArray[Any]]) -> Tables:
    sizes = tuple(int(size) for size in arrays["sizes"])
    features = arrays["game_features"].tolist()
    classes, values = arrays["game_classes"], np.asarray(arrays["game_values"], dtype=np.float64)
    games: list[Game] = []
    featured = classed = valued = 0
    for length in arrays["game_length"].tolist():
        own = tuple(features[featured : featured + length])
        featured += length
        labels = []
        for feature in own:
            labels.append(classes[classed : classed + sizes[feature]])
            classed += sizes[feature]
        count = int(np.prod([int(label.max()) + 1 for label in labels]))
        games.append(Game(own, tuple(labels), values[valued : valued + length * count].reshape(length, count)))
        valued += length * count
    if (featured, classed, valued) != (len(features), classes.size, values.size):
        raise ValueError("the games' features, classes and values do not match")
    group = arrays["game_group"]
    if group.shape != (len(games),) or set(group.tolist()) != set(range(int(group.max(initial=-1)) + 1)):
        raise ValueError("games and groups do not match")
    groups: list[list[int]] = [[] for _ in range(int(group.max(initial=-1)) + 1)]
    for game, number in enumerate(group.tolist()):
        groups[number].append(game)
    numbers = tuple(
        NumberTerm(int(feature), *(float(value) for value in term))
        for feature, term in zip(arrays["term_feature"], arrays["terms"], strict=True)
    )
    rows = tuple(int(row) for row in arrays["term_row"])
    if len(rows) != len(numbers) or any(not 0 <= term.feature < len(sizes) for term in numbers):
        raise ValueError("number terms do not match the features")
    typical = float(arrays["typical_margin"][0])
    if not (np.isfinite(typical) and np.isfinite(values).all() and np.isfinite(arrays["terms"]).all()):
        raise ValueError("a value is not finite")
    spread = arrays.get("spread")
    if spread is not None and (spread.ndim != 1 or spread.dtype.kind != "i" or spread.min(initial=0) < 0):
        raise ValueError("the background's rows by cell are no counts")
    return Tables(sizes, typical, tuple(games), tuple(tuple(members) for members in groups), numbers, rows, spread)


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, rows, _CHUNK))


def _term(term: NumberTerm, x: Floats) -> Floats:
    return np.where(np.isnan(x), term.missing, term.slope * x + term.offset)
