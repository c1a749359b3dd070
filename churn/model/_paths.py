"""Exact interventional Shapley values of a sum of trees, columns taken together as people know them; compiled with numba.

For a row x, a background row b and a coalition S of players, a tree sees x's values in the columns of S and b's in the others.
Where x and b part ways at a split, the path goes x's way if the column's player is in S, else b's. A leaf with value v, reached
if all of the players U are in S and none of V is, gives every player of U +v·(|U|−1)!|V|!/(|U|+|V|)! and every player of V
−v·|U|!(|V|−1)!/(|U|+|V|)! (Lundberg et al. 2020, methods). A player here may own several columns, such as the 0/1 columns of one
category: its first split on the path decides for all of them.

All background rows walk together, as the bits of a few words: a path is walked once for all rows that share it, which takes a
tenth of the time of walking it for each.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from churn.model._jit import inlined, jit
from churn.model.risk_model import Floats

if TYPE_CHECKING:
    from churn.model._forest import Forest

Bits = npt.NDArray[np.uint64]


def totals(forest: Forest, matrix: Floats) -> Floats:
    """The sum of the leaves each row of matrix [rows, columns] ends in, float64 [rows]."""
    result = np.zeros(len(matrix))
    _totals(*forest.splits, forest.start, forest.right, forest.value, np.ascontiguousarray(matrix), result)
    return result


def ways(forest: Forest, background: Floats) -> Bits:
    """Which rows of the background [rows, columns] go left at each split: uint64 [nodes, words], row r at bit r % 64."""
    result = np.zeros((len(forest.left), -(-len(background) // 64)), dtype=np.uint64)
    _ways(*forest.splits, np.ascontiguousarray(background), result)
    return result


def contributions(
    forest: Forest, matrix: Floats, background: Bits, rows: int, owner: npt.NDArray[np.int32], players: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Shapley values [rows of matrix, players] of `totals` against the mean over the background.

    Parameters
    ----------
    matrix: float64 [rows, columns], as the trees see them.
    background: from `ways`, of so many `rows`.
    owner: [columns], the player each column belongs to; −1 where that is not known.

    Returns
    -------
    The values, and whether they hold, bool [rows of matrix]: not where x and b part ways at a column nobody owns.
    """
    most = np.arange(players + 1)
    weight = np.array([[1 / (u * comb(int(u + v), int(u))) if u else 0.0 for v in most] for u in most])
    result = np.zeros((len(matrix), players))
    known = np.ones(len(matrix), dtype=np.bool_)
    everybody = np.full(background.shape[1], ~np.uint64(0))
    if rows % 64:
        everybody[-1] = (np.uint64(1) << np.uint64(rows % 64)) - np.uint64(1)
    player = owner[np.maximum(forest.feature, 0)]
    one = np.zeros((len(forest.left), 1), dtype=np.uint64)
    for row in range(len(matrix)):
        one[:] = 0
        _ways(*forest.splits, np.ascontiguousarray(matrix[row : row + 1]), one)
        known[row] = _walk(
            *(forest.start, forest.left, forest.right, forest.value, forest.depth, player, one, background, everybody, weight),
            result[row],
        )
    return result / rows, known


@jit
def _goes_left(node, value, threshold, missing_left, category, known, bitsets):  # type: ignore[no-untyped-def]
    own = category[node]
    goes = missing_left[node]  # as in scikit-learn's HGB, where negative and unknown categories go too
    if not np.isnan(value):
        if own < 0:
            goes = value <= threshold[node]
        elif value >= 0:
            code = np.uint8(np.int64(value))
            if (bitsets[own, code // 32] >> (code % 32)) & 1:
                goes = True
            elif (bitsets[known[node], code // 32] >> (code % 32)) & 1:
                goes = False
    return goes


@jit
def _totals(  # type: ignore[no-untyped-def]
    left, feature, threshold, missing_left, category, known, bitsets, start, right, value, rows, result
):
    for tree in range(len(start)):
        for row in range(len(rows)):
            node = start[tree]
            while left[node] >= 0:
                at = rows[row, feature[node]]
                node = left[node] if _goes_left(node, at, threshold, missing_left, category, known, bitsets) else right[node]
            result[row] += value[node]


@jit
def _ways(left, feature, threshold, missing_left, category, known, bitsets, rows, result):  # type: ignore[no-untyped-def]
    for node in range(len(left)):
        if left[node] < 0:
            continue
        column, limit, missing = feature[node], threshold[node], missing_left[node]
        for word in range(result.shape[1]):
            bits = np.uint64(0)
            first = 64 * word
            count = min(64, len(rows) - first)
            if category[node] < 0:  # without a branch in it, this is 30 times as fast as the other
                for row in range(count):
                    at = rows[first + row, column]
                    bits |= np.uint64((at <= limit) | (np.isnan(at) & missing)) << np.uint64(row)
            else:
                for row in range(count):
                    at = rows[first + row, column]
                    if _goes_left(node, at, threshold, missing_left, category, known, bitsets):
                        bits |= np.uint64(1) << np.uint64(row)
            result[node, word] = bits


@inlined
def _ones(word):  # type: ignore[no-untyped-def]
    """How many bits are set (Warren 2012, Hacker's Delight, figure 5-2)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@jit
def _walk(  # type: ignore[no-untyped-def]
    start, left, right, value, depth, player, one, background, everybody, weight, result
):
    """Add one row's contributions, times the number of background rows, to `result` [players]; whether they hold."""
    words = len(everybody)
    side = np.zeros(len(result), dtype=np.int8)  # of each player on the path: 1 in S, 2 not, 0 not asked yet
    asked = np.empty(len(result), dtype=np.int64)  # players asked on the path, in order
    # ways still to be walked: from which node, by which background rows, who was asked before, and who is asked now
    later_node = np.empty(2 * depth + 2, dtype=np.int64)
    later_rows = np.empty((2 * depth + 2, words), dtype=np.uint64)
    later_count = np.empty(2 * depth + 2, dtype=np.int64)
    later_player = np.empty(2 * depth + 2, dtype=np.int64)
    later_side = np.empty(2 * depth + 2, dtype=np.int8)
    here = np.empty(words, dtype=np.uint64)
    holds = True
    for tree in range(len(start)):
        count, ours = 0, 0
        waiting = 1
        later_node[0], later_count[0], later_player[0] = start[tree], 0, -1
        for word in range(words):
            later_rows[0, word] = everybody[word]
        while waiting > 0:
            waiting -= 1
            while count > later_count[waiting]:
                count -= 1
                ours -= 1 if side[asked[count]] == 1 else 0
                side[asked[count]] = 0
            node, who = later_node[waiting], later_player[waiting]
            for word in range(words):
                here[word] = later_rows[waiting, word]
            if who >= 0:
                side[who] = later_side[waiting]
                asked[count] = who
                count += 1
                ours += 1 if side[who] == 1 else 0
            while left[node] >= 0:
                goes_left = one[node, 0] != 0
                x_way = left[node] if goes_left else right[node]
                b_way = right[node] if goes_left else left[node]
                who = player[node]
                if who >= 0 and side[who] == 1:
                    node = x_way
                    continue
                with_x, apart = False, False
                for word in range(words):
                    same = background[node, word] if goes_left else ~background[node, word]
                    later_rows[waiting, word] = here[word] & ~same
                    with_x |= (here[word] & same) != 0
                    apart |= later_rows[waiting, word] != 0
                if not apart:
                    node = x_way
                elif who < 0:
                    holds = False
                    node = x_way
                elif side[who] == 2 and not with_x:
                    node = b_way
                else:
                    if side[who] == 0:
                        if with_x:  # those who go with x need not ask; those apart from x go its way if the player is in S
                            later_node[waiting + 1], later_count[waiting + 1] = x_way, count
                            later_player[waiting + 1], later_side[waiting + 1] = who, 1
                            for word in range(words):
                                later_rows[waiting + 1, word] = later_rows[waiting, word]
                        later_player[waiting], later_side[waiting] = who, 2
                    else:
                        later_player[waiting] = -1
                    later_node[waiting], later_count[waiting] = b_way, count
                    if with_x:
                        for word in range(words):
                            here[word] &= ~later_rows[waiting, word]
                        waiting += 2 if side[who] == 0 else 1
                    else:
                        waiting += 1
                        side[who] = 1
                        asked[count] = who
                        count += 1
                        ours += 1
                    node = x_way
            if count > 0:
                rows = np.uint64(0)
                for word in range(words):
                    rows += _ones(here[word])
                leaf = value[node] * np.float64(rows)
                theirs = count - ours
                for i in range(count):
                    if side[asked[i]] == 1:
                        result[asked[i]] += leaf * weight[ours, theirs]
                    else:
                        result[asked[i]] -= leaf * weight[theirs, ours]
        while count > 0:
            count -= 1
            side[asked[count]] = 0
    return holds
