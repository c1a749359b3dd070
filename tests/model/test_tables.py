"""Compiled tables give the trained model's margins and the true Shapley values, on every engine."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.errors import BundleRejected, TrainingError
from churn.model import trees as t
from churn.model._layout import MAX_CELLS, group_games, lay_out
from churn.model.encoder import Encoded, Encoder, LevelCodes, NumberCodes
from churn.model.tables import Tables, compile_tables

from .model_samples import SCHEMA, customers, lightgbm_booster, outcome, prepared


def brute_force(
    trees: tuple[t.Tree, ...], linear: t.LinearTerms | None, encoder: Encoder, rows: Encoded, background: Encoded
) -> np.ndarray:
    """Shapley values [features, rows] from the definition: every coalition, every background row."""
    count = rows.codes.shape[0]
    result = np.zeros((count, rows.rows))
    for r in range(rows.rows):
        worth = {}
        for size in range(count + 1):
            for members in combinations(range(count), size):
                inside = np.isin(np.arange(count), members)[:, None]
                mixed_codes = np.where(inside, rows.codes[:, r : r + 1], background.codes)
                of_number = inside[list(encoder.number_features)]
                mixed_numbers = np.where(of_number, rows.numbers[:, r : r + 1], background.numbers)
                worth[members] = t.evaluate(trees, linear, 0.0, encoder, Encoded(mixed_codes, mixed_numbers)).mean()
        for j in range(count):
            for members, value in worth.items():
                if j not in members:
                    share = 1 / (count * comb(count - 1, len(members)))
                    result[j, r] += share * (worth[tuple(sorted((*members, j)))] - value)
    return result


def random_tree(rng: np.random.Generator, sizes: tuple[int, ...], leaves: int, features: list[int]) -> t.Tree:
    splits: list[t.Split] = []
    left, right = [], []
    open_ends: list[tuple[list[int], int]] = []
    while len(splits) < leaves - 1:
        feature = int(rng.choice(features))
        node = len(splits)
        splits.append(t.Split(feature, rng.random(sizes[feature]) < 0.5))
        left.append(0)
        right.append(0)
        if open_ends:
            side, parent = open_ends.pop(rng.integers(len(open_ends)))
            side[parent] = node
        open_ends += [(left, node), (right, node)]
    for leaf, (side, parent) in enumerate(open_ends):
        side[parent] = -1 - leaf
    return t.Tree(tuple(splits), tuple(left), tuple(right), rng.normal(size=max(len(open_ends), 1)))


SIZES = (3, 6, 2, 5, 4)
ENCODER = Encoder(
    (
        NumberCodes("a", (1.0,)),
        NumberCodes("b", (1.0, 2.0, 3.0, 4.0)),
        LevelCodes("c", ("x",), merged=(0, 1, 1)),
        LevelCodes("d", ("x", "y", "z")),
        LevelCodes("e", ("x", "y")),
    )
)


def random_rows(rng: np.random.Generator, rows: int) -> Encoded:
    codes = np.array([rng.integers(0, size, rows) for size in SIZES], dtype=np.uint8)
    numbers = np.where(rng.random((2, rows)) < 0.2, np.nan, rng.normal(size=(2, rows)))
    return Encoded(codes, numbers)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 4))
def test_contributions_are_the_shapley_values_of_the_definition(seed: int, leaves: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    features = list(rng.choice(5, rng.integers(1, 6), replace=False))
    trees = tuple(random_tree(rng, SIZES, leaves, features) for _ in range(count))
    linear = t.LinearTerms((t.NumberTerm(1, 0.3, 0.1, -0.7),), (t.CodeTerm(3, rng.normal(size=5)),)) if seed % 2 else None
    background, rows = random_rows(rng, 17), random_rows(rng, 3)
    tables = compile_tables(trees, linear, 0.25, ENCODER, background)
    margins, contributions = tables.contributions(rows)
    np.testing.assert_allclose(contributions, brute_force(trees, linear, ENCODER, rows, background), atol=1e-12)
    np.testing.assert_allclose(margins, t.evaluate(trees, linear, 0.25, ENCODER, rows), atol=1e-12)
    np.testing.assert_allclose(tables.typical_margin, t.evaluate(trees, linear, 0.25, ENCODER, background).mean(), atol=1e-12)


def many(missing: float = 0.1, **given: Any) -> tuple[Tables, Encoder, Encoded, np.ndarray]:
    """Tables of a LightGBM model, rows with values that training never saw, and the model's own margins."""
    encoder, train, y, other = prepared(missing)
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical, **given)
    small, trees, _ = t.pruned(encoder, t.from_lightgbm(booster, encoder))
    background = small.encode(customers(1500, 0, missing))
    tables = compile_tables(trees, None, 0.0, small, background)
    rows = small.encode(customers(800, 1, 0.2, unseen=True))
    return tables, small, rows, booster.predict(encoder.matrix(other), raw_score=True)


@pytest.mark.parametrize("given", [{"num_leaves": 4, "max_depth": 2, "rounds": 60}, {"num_leaves": 8, "rounds": 60}])
def test_margins_are_the_trained_models(given: dict[str, Any]) -> None:
    tables, _, rows, expected = many(**given)
    margins, contributions = tables.contributions(rows)
    np.testing.assert_allclose(margins, expected, atol=1e-12)
    np.testing.assert_allclose(tables.margins(rows), expected, atol=1e-12)
    np.testing.assert_allclose(tables.typical_margin + contributions.sum(axis=0), margins, atol=1e-12)


@pytest.mark.parametrize("given", [{"num_leaves": 4, "max_depth": 2}, {"num_leaves": 8}])
def test_contributions_are_shaps_with_the_full_background(given: dict[str, Any]) -> None:
    """Categorical splits and missing values included: shap's exact enumeration, for its tree explainer reads neither here."""
    import shap

    table = customers(300, 0)
    encoder = Encoder.fit(table, SCHEMA, max_bins=30)
    encoded = encoder.encode(table)
    matrix = encoder.matrix(encoded)
    booster = lightgbm_booster(matrix, outcome(table), encoder.categorical, **given)
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))  # an array would be cut to 100 rows without a word
    explainer = shap.explainers.ExactExplainer(lambda x: booster.predict(x, raw_score=True), masker)
    other = encoder.encode(customers(40, 1, unseen=True))
    theirs = explainer(encoder.matrix(other))
    tables = compile_tables(t.from_lightgbm(booster, encoder), None, 0.0, encoder, encoded)
    _, contributions = tables.contributions(other)
    np.testing.assert_allclose(tables.typical_margin, theirs.base_values[0], atol=1e-6)
    np.testing.assert_allclose(contributions.T, theirs.values, atol=1e-6)


def test_contributions_are_those_of_shaps_tree_explainer_on_numbers() -> None:
    import shap

    rng = np.random.default_rng(0)
    names = [f.name for f in SCHEMA.features if f.is_number]
    table = customers(500, 0, missing=0.1)
    numbers = SCHEMA.model_copy(update={"features": SCHEMA.numbers})
    encoder = Encoder.fit(table.select(names), numbers, max_bins=40)
    encoded = encoder.encode(table)
    matrix = encoder.matrix(encoded)
    booster = lightgbm_booster(matrix, (rng.random(500) < 0.3).astype(int), (), rounds=50)
    explainer = shap.TreeExplainer(booster, shap.maskers.Independent(matrix, max_samples=len(matrix)))
    tables = compile_tables(t.from_lightgbm(booster, encoder), None, 0.0, encoder, encoded)
    other = encoder.encode(customers(80, 1))
    _, contributions = tables.contributions(other)
    np.testing.assert_allclose(contributions.T, explainer.shap_values(encoder.matrix(other)), atol=1e-4)


@pytest.mark.parametrize("given", [{"num_leaves": 4, "max_depth": 2, "rounds": 80}, {"num_leaves": 8, "rounds": 80}])
def test_engines_agree(given: dict[str, Any]) -> None:
    tables, _, rows, _ = many(**given)
    rows = Encoded(np.tile(rows.codes, 25), np.tile(rows.numbers, 25))  # more than one chunk of either engine
    margins, contributions = tables.contributions(rows)
    compiled_margins, compiled = tables.contributions(rows, engine="compiled")
    np.testing.assert_allclose(compiled, contributions, atol=1e-12)
    np.testing.assert_allclose(compiled_margins, margins, atol=1e-12)
    np.testing.assert_allclose(tables.margins(rows, engine="compiled"), margins, atol=1e-12)
    for r in range(50):
        margin, one = tables.row(rows.codes[:, r].tolist())
        np.testing.assert_allclose(one, contributions[:, r], atol=1e-12)
        np.testing.assert_allclose(margin, margins[r], atol=1e-12)
    for engine in ("numpy", "compiled"):
        rounded_margins, rounded = tables.contributions(rows, engine=engine, dtype=np.float32)
        assert rounded.dtype == np.float32
        np.testing.assert_allclose(rounded, contributions, atol=2e-6)
        np.testing.assert_allclose(tables.typical_margin + rounded.astype(float).sum(axis=0), rounded_margins, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("wide", [300, 70_000])
def test_categories_of_many_levels(engine: Any, wide: int) -> None:
    rng = np.random.default_rng(0)
    encoder = Encoder((LevelCodes("c", tuple(map(str, range(wide)))), NumberCodes("x", (1.0, 2.0))))
    rows = Encoded(np.array([rng.integers(0, wide + 2, 500), rng.integers(0, 4, 500)]).astype(encoder.dtype), np.empty((0, 500)))
    trees = tuple(random_tree(rng, encoder.sizes, 4, [0, 1]) for _ in range(5))
    linear = t.LinearTerms((), (t.CodeTerm(0, rng.normal(size=wide + 2)),))
    tables = compile_tables(trees, linear, 0.0, encoder, rows)
    margins, _ = tables.contributions(rows, engine=engine)
    np.testing.assert_allclose(margins, t.evaluate(trees, linear, 0.0, encoder, rows), atol=1e-12)
    np.testing.assert_allclose(tables.margins(rows, engine=engine), margins, atol=1e-12)


def test_averages_of_models_are_sums() -> None:
    """LightGBM, CatBoost and a linear model, weighted: the margin is the weighted sum of theirs."""
    import catboost

    encoder, train, y, other = prepared()
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical)
    cat = catboost.CatBoostClassifier(depth=3, iterations=20, verbose=0, thread_count=1, allow_writing_files=False)
    cat.fit(encoder.onehot(train), y)
    linear = t.LinearTerms((t.NumberTerm(2, 0.01, -0.3, 0.2),), (t.CodeTerm(1, np.linspace(-1, 1, encoder.sizes[1])),))
    trees = (*t.from_lightgbm(booster, encoder, 0.5), *t.from_catboost(cat, encoder, 0.3))
    tables = compile_tables(trees, linear.scaled(0.2), 0.2 * 0.7, encoder, train)
    margins, contributions = tables.contributions(other)
    expected = (
        0.5 * booster.predict(encoder.matrix(other), raw_score=True)
        + 0.3 * cat.predict(encoder.onehot(other), prediction_type="RawFormulaVal")
        + 0.2 * (linear.evaluate(other, encoder) + 0.7)
    )
    np.testing.assert_allclose(margins, expected, atol=1e-9)
    np.testing.assert_allclose(tables.margins(other), expected, atol=1e-9)
    compiled_margins, compiled = tables.contributions(other, engine="compiled")
    np.testing.assert_allclose(compiled, contributions, atol=1e-12)
    np.testing.assert_allclose(compiled_margins, margins, atol=1e-12)
    margin, one = tables.row(other.codes[:, 5].tolist(), other.numbers[:, 5].tolist())
    np.testing.assert_allclose(one, contributions[:, 5], atol=1e-12)
    np.testing.assert_allclose(margin, margins[5], atol=1e-12)


def test_a_constant_model() -> None:
    encoder, train, _, other = prepared()
    tables = compile_tables((), None, -1.5, encoder, train)
    for engine in ("numpy", "compiled"):
        margins, contributions = tables.contributions(other, engine=engine)
        assert (margins == -1.5).all()
        assert (contributions == 0).all()
        assert (tables.margins(other, engine=engine) == -1.5).all()
    assert tables.row(other.codes[:, 0].tolist())[0] == -1.5
    assert Tables.from_arrays(tables.to_arrays()).typical_margin == -1.5


def test_blocks_stay_small_and_do_not_change_the_answer() -> None:
    tables, small, rows, expected = many(num_leaves=8, rounds=60)
    assert tables.layout.cells.max() <= MAX_CELLS
    for max_cells in (1, 256, 1 << 16):
        groups = group_games(tables.games, small.sizes, max_cells)
        other = Tables(tables.sizes, tables.typical_margin, tables.games, groups, (), ())
        assert sorted(game for group in groups for game in group) == list(range(len(tables.games)))
        assert lay_out(tables.games, groups, small.sizes).cells.max() <= max(max_cells, 256)
        np.testing.assert_allclose(other.margins(rows), expected, atol=1e-12)
    assert len(group_games(tables.games, small.sizes, 1)) == len(tables.games)
    assert len(tables.groups) < len(tables.games)


def test_no_rows() -> None:
    tables, small, _, _ = many()
    nothing = small.encode(customers(1, 0).clear())
    for engine in ("numpy", "compiled"):
        margins, contributions = tables.contributions(nothing, engine=engine)
        assert margins.shape == (0,)
        assert contributions.shape == (5, 0)
    with pytest.raises(TrainingError, match="background"):
        compile_tables((), None, 0.0, small, nothing)


def test_a_leaf_of_nine_features_does_not_compile() -> None:
    encoder = Encoder(tuple(NumberCodes(str(i), (1.0,)) for i in range(9)))
    codes = np.random.default_rng(0).integers(0, 3, (9, 50)).astype(np.uint8)
    chain = tuple(t.Split(i, np.array([True, False, False])) for i in range(9))
    tree = t.Tree(chain, (*range(1, 9), -1), tuple(range(-2, -11, -1)), np.arange(10.0))
    with pytest.raises(TrainingError, match="9 features"):
        compile_tables((tree,), None, 0.0, encoder, Encoded(codes, np.empty((9, 50))))


def test_linear_terms_need_the_backgrounds_numbers() -> None:
    encoder, train, _, _ = prepared()
    linear = t.LinearTerms((t.NumberTerm(0, 1.0, 0.0, 0.0),))
    with pytest.raises(TrainingError, match="numbers=True"):
        compile_tables((), linear, 0.0, encoder, Encoded(train.codes, np.empty((0, train.rows))))


def test_arrays_round_trip(tmp_path: Any) -> None:
    encoder, train, y, other = prepared()
    booster = lightgbm_booster(encoder.matrix(train), y, encoder.categorical)
    linear = t.LinearTerms((t.NumberTerm(2, 0.01, -0.3, 0.2),), (t.CodeTerm(1, np.linspace(-1, 1, encoder.sizes[1])),))
    tables = compile_tables(t.from_lightgbm(booster, encoder), linear, 0.1, encoder, train)
    np.savez_compressed(tmp_path / "tables.npz", **tables.to_arrays())
    with np.load(tmp_path / "tables.npz", allow_pickle=False) as arrays:
        again = Tables.from_arrays(arrays)
    np.testing.assert_array_equal(again.contributions(other)[1], tables.contributions(other)[1])
    assert again.sizes == tables.sizes
    assert again.needs_numbers


@pytest.mark.parametrize(
    "name", ["sizes", "game_values", "game_classes", "game_group", "term_row", "game_features", "typical_margin"]
)
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    tables, _, _, _ = many()
    arrays = tables.to_arrays()
    damaged = dict(arrays)
    damaged[name] = arrays[name][:-1] if arrays[name].size else np.array([1], dtype=np.int32)
    del arrays[name]
    for broken in (arrays, damaged):
        with pytest.raises(BundleRejected, match="tables cannot be read"):
            Tables.from_arrays(broken)


def test_reading_and_scoring_need_no_numba() -> None:
    code = "import sys, churn.model.scoring; assert not {'numba', 'scipy', 'sklearn', 'lightgbm', 'shap'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_compiled_engine_needs_no_place_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba
    from numba.core import caching

    from churn.model._jit import jit

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(lambda: None)
    assert jit(lambda: None)() is None


def test_onehot_levels_that_share_a_path_are_one_player() -> None:
    """Two 0/1 columns of one feature on one path are one question about its code: a level cannot be B and C."""
    encoder = Encoder((LevelCodes("plan", ("A", "B", "C")),))
    is_b, is_c = (t.Split(0, ~np.eye(5, dtype=bool)[code]) for code in (1, 2))
    tree = t.Tree((is_b, is_c), (1, -1), (-2, -3), np.array([0.0, 1.0, 2.0]))
    rows = Encoded(np.arange(5, dtype=np.uint8)[None], np.empty((0, 5)))
    tables = compile_tables((tree,), None, 0.0, encoder, rows)
    np.testing.assert_allclose(tables.contributions(rows)[1][0], np.array([0, 1, 2, 0, 0]) - 0.6)
