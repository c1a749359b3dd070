"""Pair interactions from the tables are the Shapley interactions of the definition, over the whole background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.data.schema import Feature, Level, Schema, Target
from churn.errors import BundleRejected
from churn.model import trees as t
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoded, Encoder, LevelCodes
from churn.model.interactions import Interactions
from churn.model.scoring import ScoringModel
from churn.model.tables import Tables, compile_tables

from .model_samples import SCHEMA, customers, lightgbm_booster, outcome
from .test_tables import ENCODER, SIZES, random_rows, random_tree


def brute_force(f: Callable[[Encoded], np.ndarray], rows: Encoded, background: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """From the definitions, every coalition and every background row: Shapley values [features, rows] and Φ_ij [features,
    features, rows], of which the diagonal is 0."""
    count = rows.codes.shape[0]
    shapley, result = np.zeros((count, rows.rows)), np.zeros((count, count, rows.rows))
    for r in range(rows.rows):
        worth = np.empty(1 << count)
        for inside in range(1 << count):
            own = np.array([bool(inside >> j & 1) for j in range(count)])[:, None]
            worth[inside] = f(Encoded(np.where(own, rows.codes[:, r : r + 1], background.codes), background.numbers)).mean()
        for i in range(count):
            for inside in range(1 << count):
                if not inside >> i & 1:
                    grown = worth[inside | 1 << i] - worth[inside]
                    shapley[i, r] += grown / (count * comb(count - 1, inside.bit_count()))
        for i, j in combinations(range(count), 2):
            both = 1 << i | 1 << j
            for inside in range(1 << count):
                if not inside & both:
                    joint = worth[inside | both] - worth[inside | 1 << i] - worth[inside | 1 << j] + worth[inside]
                    result[i, j, r] += joint / (2 * (count - 1) * comb(count - 2, inside.bit_count()))
            result[j, i, r] = result[i, j, r]
    return shapley, result


def model_of(encoder: Encoder, tables: Tables, **calibration: float) -> ScoringModel:
    features = tuple(
        Feature(name=codes.name, kind="category", label=codes.name, levels=tuple(Level(value=level) for level in codes.levels))
        if isinstance(codes, LevelCodes)
        else Feature(name=codes.name, kind="number", label=codes.name)
        for codes in encoder.features
    )
    schema = Schema(key="id", target=Target(column="left", positive="Yes"), features=features)
    return ScoringModel(schema, encoder, tables, Calibrator("logistic", **calibration) if calibration else Calibrator())


def square(found: Interactions, rows: Encoded, count: int) -> np.ndarray:
    result = np.zeros((count, count, rows.rows))
    for (i, j), values in zip(found.pairs, found.margins(rows), strict=True):
        result[i, j] = result[j, i] = values
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(1, 4))
def test_interactions_are_those_of_the_definition(seed: int, leaves: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    features = list(rng.choice(5, rng.integers(1, 6), replace=False))
    trees = tuple(random_tree(rng, SIZES, leaves, features) for _ in range(count))
    linear = t.LinearTerms((), (t.CodeTerm(3, rng.normal(size=5)),)) if seed % 2 else None
    background, rows = random_rows(rng, 17), random_rows(rng, 3)
    tables = compile_tables(trees, linear, 0.25, ENCODER, background)
    found = Interactions.of(model_of(ENCODER, tables), pl.DataFrame())
    assert found.exact
    assert all(i < j for i, j in found.pairs)
    _, wanted = brute_force(lambda mixed: t.evaluate(trees, linear, 0.25, ENCODER, mixed), rows, background)
    np.testing.assert_allclose(square(found, rows, 5), wanted, atol=1e-12)


def test_interactions_of_ten_features_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(5)
    sizes = (4,) * 10
    encoder = Encoder(tuple(LevelCodes(f"c{j}", ("x", "y")) for j in range(10)))
    trees = tuple(random_tree(rng, sizes, 8, list(range(10))) for _ in range(6))
    background = Encoded(rng.integers(0, 4, (10, 60)).astype(np.uint8), np.empty((0, 60)))
    rows = Encoded(rng.integers(0, 4, (10, 2)).astype(np.uint8), np.empty((0, 2)))
    tables = compile_tables(trees, None, 0.0, encoder, background)
    found = square(Interactions.of(model_of(encoder, tables), pl.DataFrame()), rows, 10)
    shapley, wanted = brute_force(lambda mixed: t.evaluate(trees, None, 0.0, encoder, mixed), rows, background)
    assert (np.abs(wanted) > 0.01).any(axis=2).sum() >= 40  # else there would be little to compare
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    main = shapley - wanted.sum(axis=1)  # with these on the diagonal a row of the square is what the feature contributes
    np.testing.assert_allclose(found.sum(axis=1) + main, tables.contributions(rows)[1], atol=1e-12)


def trained(rounds: int = 25) -> tuple[ScoringModel, pl.DataFrame]:
    """A LightGBM model of five columns with missing values, compiled, and its background."""
    table = customers(300, 0)
    encoder = Encoder.fit(table, SCHEMA, max_bins=20)
    booster = lightgbm_booster(encoder.matrix(encoder.encode(table)), outcome(table), encoder.categorical, rounds)
    return (
        ScoringModel.build(
            SCHEMA, encoder, t.from_lightgbm(booster, encoder), table, calibrator=Calibrator("logistic", a=1.2, c=-0.1)
        ),
        table,
    )


def test_points_of_a_trained_model_are_on_the_scale_of_its_reasons() -> None:
    model, background = trained()
    rows = customers(6, 3, unseen=True)
    found = Interactions.of(model, background)
    encoded, whole = model.encoder.encode(rows), model.encoder.encode(background)
    _, wanted = brute_force(lambda mixed: model.tables.margins(mixed), encoded, whole)
    explained = model.explain(rows)
    scale = (explained.risk - model.typical_risk) / (explained.margin - model.typical_margin)
    points = found.points(rows)
    for (i, j), own in zip(found.pairs, points, strict=True):
        np.testing.assert_allclose(own, 2 * wanted[i, j] * scale, atol=1e-10)
    np.testing.assert_allclose(found.sizes(rows), np.abs(points).mean(axis=1), atol=1e-14)
    assert {(SCHEMA.names[i], SCHEMA.names[j]) for i, j in found.pairs} >= {("plan", "bill"), ("tenure", "calls")}


def test_linear_models_have_no_pairs() -> None:
    table = customers(100, 0)
    encoder = Encoder.fit(table, SCHEMA)
    linear = t.LinearTerms((t.NumberTerm(0, -0.03, 0.5, 0.1),), (t.CodeTerm(3, np.array([0.1, 0.4, 0.0, 0.2])),))
    found = Interactions.of(ScoringModel.build(SCHEMA, encoder, (), table, linear=linear), table)
    assert found.pairs == ()
    assert found.sizes(table).shape == (0,)


def test_without_its_own_background_the_reference_stands_in() -> None:
    """Bundles made before the background's spread was kept: the reference is a sample of it."""
    model, background = trained()
    arrays = model.tables.to_arrays()
    kept = Interactions.of(replace(model, tables=Tables.from_arrays(arrays)), background.head(0))
    assert kept.exact
    del arrays["spread"]
    old = replace(model, tables=Tables.from_arrays(arrays))
    whole, part = (Interactions.of(old, rows) for rows in (background, background.head(150)))
    assert not whole.exact
    np.testing.assert_allclose(whole.sizes(background), kept.sizes(background), atol=1e-12)
    sizes = dict(zip(part.pairs, part.sizes(background), strict=True))
    for pair, size in zip(kept.pairs, kept.sizes(background), strict=True):
        assert sizes[pair] == pytest.approx(size, rel=0.5, abs=2e-3)


def test_a_background_that_is_not_the_models_is_refused() -> None:
    model, background = trained(rounds=5)
    arrays = model.tables.to_arrays()
    for spread, why in ((np.roll(arrays["spread"], 1), "over the background must be 0"), (arrays["spread"][:-1], "cells")):
        tables = Tables.from_arrays({**arrays, "spread": spread})
        with pytest.raises(BundleRejected, match=why):
            Interactions.of(replace(model, tables=tables), background)
    for spread in (-arrays["spread"] - 1, arrays["spread"] * 1.0):
        with pytest.raises(BundleRejected, match="are no counts"):
            Tables.from_arrays({**arrays, "spread": spread})
