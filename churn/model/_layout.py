"""Where games lie: those that share features share a block, and its cell is found once for all of them.

A block is a table over classes of codes, on its features, of at most `MAX_CELLS` cells. A small block is the pattern of answers
of one tree; a large one is the whole ensemble over a handful of features. Which games go together is decided greedily, by
what a row costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from churn.model._games import Game
from churn.model.encoder import Codes, Floats

MAX_CELLS = 1 << 12  # of 8 bytes for each feature: a table of this size stays in the first-level cache
_ALL_ORDERED = 300  # features of more codes than this keep the order of their codes

# what a row costs, in nanoseconds on one 2024 core: a block, a feature of it by arithmetic on codes or by look-up, a contribution
_BLOCK, _ARITHMETIC, _LOOK_UP, _CONTRIBUTION = 0.3, 0.2, 0.6, 0.6


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Blocks as flat arrays. A block's members are its features; block b has members `first[b]` to `first[b + 1]`.

    A row's cell in a block is the sum over its members of `steps[step_start[m] + code]`, which is `stride[m] * code` where
    the stride is not 0. What member m contributes to feature `feature[m]` is `values[value_start[m] + cell]`; all members of a
    block together `totals[total_start[b] + cell]`. `opens[m]`: no earlier member has this feature.
    """

    first: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    opens: npt.NDArray[np.bool_]
    stride: npt.NDArray[np.int64]
    step_start: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    value_start: npt.NDArray[np.int64]
    values: Floats
    total_start: npt.NDArray[np.int64]
    totals: Floats
    cells: npt.NDArray[np.int64]


def lay_out(games: Sequence[Game], groups: Sequence[Sequence[int]], sizes: Sequence[int]) -> Layout:
    """Add the games of each group up into one block."""
    first, feature, stride, step_start, value_start, total_start, cells = [0], [], [], [], [], [], []
    steps: list[npt.NDArray[np.int64]] = []
    values: list[Floats] = []
    totals: list[Floats] = []
    stepped = valued = totalled = 0
    for group in groups:
        members = [games[i] for i in group]
        classes = _join(members)
        radices = [int(labels.max()) + 1 for labels in classes.values()]
        block = _add(members, classes, radices)
        count = prod(radices)
        for j, (name, labels) in enumerate(classes.items()):
            step = prod(radices[j + 1 :])
            feature.append(name)
            stride.append(step if radices[j] == sizes[name] else 0)
            step_start.append(stepped)
            steps.append(labels.astype(np.int64) * step)
            stepped += labels.size
            value_start.append(valued)
            values.append(block[j])
            valued += count
        first.append(len(feature))
        total_start.append(totalled)
        totals.append(block.sum(axis=0))
        totalled += count
        cells.append(count)
    opens = np.zeros(len(feature), dtype=np.bool_)
    opens[np.unique(np.array(feature, dtype=np.int64), return_index=True)[1]] = True
    return Layout(
        *(np.array(first, dtype=np.int64), np.array(feature, dtype=np.int64), opens, np.array(stride, dtype=np.int64)),
        *(np.array(step_start, dtype=np.int64), _flat(steps, np.int64), np.array(value_start, dtype=np.int64)),
        *(_flat(values, np.float64), np.array(total_start, dtype=np.int64), _flat(totals, np.float64)),
        np.array(cells, dtype=np.int64),
    )


def _flat(parts: Sequence[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _join(games: Sequence[Game]) -> dict[int, Codes]:
    """For each feature of the games, the classes that tell apart what any of them tells apart, in the order of their codes."""
    told: dict[int, list[Codes]] = {}
    for game in games:
        for feature, classes in zip(game.features, game.classes, strict=True):
            told.setdefault(feature, []).append(classes)
    result = {}
    for feature in sorted(told):
        _, start, labels = np.unique(np.array(told[feature]), axis=1, return_index=True, return_inverse=True)
        result[feature] = np.argsort(np.argsort(start))[labels.reshape(-1)]
    return result


def _add(games: Sequence[Game], classes: dict[int, Codes], radices: Sequence[int]) -> Floats:
    """The games' values by feature [features, cells]."""
    features = list(classes)
    values = np.zeros((len(features), *radices))
    for game in games:
        cell: npt.NDArray[np.intp] = np.zeros((1,) * len(features), dtype=np.intp)
        for feature, own, radix in zip(game.features, game.classes, game.radices, strict=True):
            axis = features.index(feature)
            of_class = np.zeros(radices[axis], dtype=np.intp)
            of_class[classes[feature]] = own
            shape = [1] * len(features)
            shape[axis] = -1
            cell = cell * radix + of_class.reshape(shape)
        for j, feature in enumerate(game.features):
            values[features.index(feature)] += game.values[j][cell]
    return values.reshape(len(features), -1)


# -- which games go together -------------------------------------------------------


def group_games(games: Sequence[Game], sizes: Sequence[int], max_cells: int = MAX_CELLS) -> tuple[tuple[int, ...], ...]:
    """Merge the two groups whose union saves most, until none saves anything; no union gets more than `max_cells`.

    A group is described by the cuts it makes between neighbouring codes, so that the cuts of a union are the union of the
    cuts. For categories this may overstate the classes, never understate them.
    """
    cuts, words = _cuts(games, sizes)
    full = np.array(sizes) - 1
    count = len(games)
    alive = np.ones(count, dtype=np.bool_)
    groups = [[i] for i in range(count)]

    def costs(rows: npt.NDArray[np.uint64]) -> tuple[Floats, Floats]:
        made = np.add.reduceat(np.bitwise_count(rows), words, axis=1, dtype=np.int64)
        index = np.where(made < full, _LOOK_UP, _ARITHMETIC)
        return _BLOCK + ((made > 0) * (_CONTRIBUTION + index)).sum(axis=1), np.log2(made + 1.0).sum(axis=1)

    def savings(i: int) -> Floats:
        together, bits = costs(cuts | cuts[i])
        result = np.where(alive & (bits <= np.log2(max_cells) + 1e-9), cost[i] + cost - together, -np.inf)
        result[i] = -np.inf
        return result

    cost, _ = costs(cuts) if count else (np.empty(0), None)
    saved = np.array([savings(i) for i in range(count)]).reshape(count, count)
    partner = saved.argmax(axis=1) if count else np.empty(0, dtype=np.intp)
    best = saved[np.arange(count), partner]
    while count > 1 and best.max() > 0:
        i = int(best.argmax())
        j = int(partner[i])
        groups[i] += groups[j]
        cuts[i] |= cuts[j]
        alive[j] = False
        cost[i] = costs(cuts[i : i + 1])[0][0]
        saved[j] = saved[:, j] = -np.inf
        saved[i] = saved[:, i] = savings(i)
        better = saved[:, i] > best
        partner[better], best[better] = i, saved[better, i]
        again = np.flatnonzero((partner == i) | (partner == j) | (np.arange(count) == i) | (np.arange(count) == j))
        partner[again] = saved[again].argmax(axis=1)
        best[again] = saved[again, partner[again]]
    return tuple(tuple(sorted(groups[i])) for i in np.flatnonzero(alive))


def _cuts(games: Sequence[Game], sizes: Sequence[int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.intp]]:
    """Between which neighbouring codes each game cuts, as bits [games, words]; the first word of each feature."""
    widths = [max(1, -(-(size - 1) // 64)) for size in sizes]
    words = np.concatenate([[0], np.cumsum(widths)]).astype(np.intp)
    cuts = np.zeros((len(games), words[-1]), dtype=np.uint64)
    told: dict[int, list[tuple[int, Codes]]] = {}
    for i, game in enumerate(games):
        for feature, classes in zip(game.features, game.classes, strict=True):
            told.setdefault(feature, []).append((i, classes))
    for feature, entries in told.items():
        classes = np.array([classes for _, classes in entries])
        classes = classes[:, _order(classes)]
        bits = np.zeros((len(entries), 64 * widths[feature]), dtype=np.bool_)
        bits[:, : sizes[feature] - 1] = classes[:, 1:] != classes[:, :-1]
        cuts[[i for i, _ in entries], words[feature] : words[feature + 1]] = np.packbits(bits, axis=1).view(np.uint64)
    return cuts, words[:-1]


def _order(classes: Codes) -> list[int]:
    """An order of codes in which neighbours are seldom told apart [games, codes]: each code goes in where it adds fewest cuts."""
    codes = classes.shape[1]
    if codes > _ALL_ORDERED:
        return list(range(codes))
    order = [0]
    for code in range(1, codes):
        apart = (classes != classes[:, code : code + 1]).sum(axis=0)[order]
        between = (classes[:, order[1:]] != classes[:, order[:-1]]).sum(axis=0)
        added = np.concatenate([apart[:1], apart[:-1] + apart[1:] - between, apart[-1:]])
        order.insert(len(order) - int(added[::-1].argmin()), code)  # the last of equals: numbers stay in their order
    return order
