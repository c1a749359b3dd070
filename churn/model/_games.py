"""The games of a model: what each group of leaves contributes, exactly.

For a background row b and a customer x, the game that mixes the two (interventional Shapley: Lundberg et al. 2020, "From
local explanations to global understanding", algorithm 2) has a closed form for one leaf of value v, which counts only where
every feature on its path passes. With U the features that only x passes and V those that only b passes, and every other one
passed by both,

    each of U gets +v (|U| − 1)! |V|! / (|U| + |V|)!      each of V gets −v |U|! (|V| − 1)! / (|U| + |V|)!

Summed over the whole background this depends on nothing but which of its features x passes: it is a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import factorial, prod

import numpy as np

from churn.errors import TrainingError
from churn.model.encoder import Codes, Encoded, Encoder, Floats
from churn.model.trees import Bools, LinearTerms, NumberTerm, Tree

MAX_PATH = 8  # features on the path of one leaf: its table has 2^8 cells at most
MAX_GAME = 256  # cells of the leaves of one tree that share a table


@dataclass(frozen=True, eq=False, slots=True)
class Game:
    """What one group of leaves contributes: `values[j, cell]` to `features[j]`.

    `classes[j][code]` is the class of a code; the cell is the classes' number in mixed radix, the last feature fastest.
    """

    features: tuple[int, ...]
    classes: tuple[Codes, ...]
    values: Floats

    @property
    def radices(self) -> tuple[int, ...]:
        return tuple(int(classes.max()) + 1 for classes in self.classes)


def compile_games(
    trees: Sequence[Tree], linear: LinearTerms | None, intercept: float, encoder: Encoder, background: Encoded
) -> tuple[tuple[Game, ...], tuple[NumberTerm, ...], float]:
    """The games of a model against the whole background, its number terms centred there, and its mean margin there."""
    typical = float(intercept)
    games: list[Game] = []
    terms: list[NumberTerm] = []
    for tree in trees:
        for leaves in _groups(tree):
            game, mean = _game(leaves, background.codes)
            typical += mean
            if game.features:
                games.append(game)
    for code_term in linear.codes if linear else ():
        mean = float(code_term.values[background.codes[code_term.feature]].mean())
        typical += mean
        distinct, classes = np.unique(code_term.values, return_inverse=True)
        narrow = classes.astype(np.min_scalar_type(distinct.size - 1))
        games.append(Game((code_term.feature,), (narrow,), (distinct - mean)[None]))
    for term in linear.numbers if linear else ():
        x = background.numbers[encoder.number_features.index(term.feature)]
        mean = float(np.where(np.isnan(x), term.missing, term.slope * x + term.offset).mean())
        typical += mean
        terms.append(NumberTerm(term.feature, term.slope, term.offset - mean, term.missing - mean))
    return tuple(games), tuple(terms), typical


Leaf = tuple[float, dict[int, Bools]]


def _groups(tree: Tree) -> list[list[Leaf]]:
    """A tree's leaves, those together whose features lie among the features of one of them and whose classes are few."""
    groups: list[list[Leaf]] = []
    for value, passes in sorted(tree.paths(), key=lambda leaf: -len(leaf[1])):
        if len(passes) > MAX_PATH:
            raise TrainingError(
                f"a leaf of the model depends on {len(passes)} features; trees compile into tables up to {MAX_PATH}"
            )
        for group in groups:
            if passes.keys() <= group[0][1].keys() and _cells([*group, (value, passes)]) <= MAX_GAME:
                group.append((value, passes))
                break
        else:
            groups.append([(value, passes)])
    return groups


def _cells(leaves: Sequence[Leaf]) -> int:
    return prod(int(classes.max()) + 1 for classes in _classes(leaves).values())


def _classes(leaves: Sequence[Leaf]) -> dict[int, Codes]:
    """For each feature of the leaves, the classes of its codes: codes that pass the same leaves are of one class."""
    result = {}
    for feature in sorted(leaves[0][1]):
        told = np.array([passes[feature] for _, passes in leaves if feature in passes])
        result[feature] = np.unique(told, axis=1, return_inverse=True)[1].reshape(-1).astype(np.uint8)
    return result


def _game(leaves: Sequence[Leaf], background: Codes) -> tuple[Game, float]:
    """The table of a group of leaves over background codes [features, rows], and the leaves' mean over the background."""
    classes = _classes(leaves)
    features = tuple(classes)
    radices = tuple(int(classes[feature].max()) + 1 for feature in features)
    cell = np.zeros(background.shape[1], dtype=np.intp)
    for feature, radix in zip(features, radices, strict=True):
        cell = cell * radix + classes[feature][background[feature]]
    weights = np.bincount(cell, minlength=prod(radices)) / background.shape[1]
    of_cell = np.indices(radices).reshape(len(radices), prod(radices))  # class by feature and cell
    values = np.zeros((len(features), prod(radices)))
    mean = 0.0
    for value, passes in leaves:
        pattern = np.zeros(prod(radices), dtype=np.intp)
        for bit, feature in enumerate(passes):
            passes_class = np.zeros(int(classes[feature].max()) + 1, dtype=np.intp)
            passes_class[classes[feature][passes[feature]]] = 1
            pattern |= passes_class[of_cell[features.index(feature)]] << bit
        weight = np.bincount(pattern, weights=weights, minlength=1 << len(passes))
        shares = value * (_shares(len(passes)) @ weight)
        for bit, feature in enumerate(passes):
            values[features.index(feature)] += shares[bit][pattern]
        mean += value * float(weight[-1])
    return Game(features, tuple(classes.values()), values), mean


@lru_cache(maxsize=MAX_PATH + 1)
def _shares(k: int) -> Floats:
    """[feature, x, b]: the share of a leaf of value 1 with k features, by the bits of those that x and b pass."""
    result = np.zeros((k, 1 << k, 1 << k))
    full = (1 << k) - 1
    for x in range(1 << k):
        for b in range(1 << k):
            if x | b != full:
                continue  # a feature that neither passes: the leaf counts in no mixture of the two
            only_x, only_b = full & ~b, full & ~x
            u, v = only_x.bit_count(), only_b.bit_count()
            for feature in range(k):
                if only_x >> feature & 1:
                    result[feature, x, b] = factorial(u - 1) * factorial(v) / factorial(u + v)
                elif only_b >> feature & 1:
                    result[feature, x, b] = -factorial(u) * factorial(v - 1) / factorial(u + v)
    return result
