"""Getting to know an estimator: which columns it takes in which form, which class means leaving, how to explain it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Feature, Schema
from churn.errors import BundleRejected, DataError, SchemaError
from churn.model import _orders
from churn.model._forest import owners
from churn.model._live import Live, trees
from churn.model._orders import Ask
from churn.model.calibration import sigmoid
from churn.model.recipe import Recipe, Text, levels_are_numbers
from churn.model.risk_model import Floats

BACKGROUND = {"trees": 256, "coalitions": 64, "orders": 64}  # rows contributions are taken against
_TRIED = 1000  # reference rows on which forms are tried
_JUDGED = 20  # rows the sampling error is taken from
_ROUNDING = 1e-9  # a sampling error below is rounding: the model adds up over its columns
UNSEEN = "\0 a level nobody listed"


def recipe_for(estimator: Any, schema: Schema, reference: pl.DataFrame) -> Recipe:
    """Find out how to ask an estimator, and how its contributions can be had.

    Parameters
    ----------
    reference: conformed rows, at least one.

    Raises
    ------
    BundleRejected: it gives no probabilities of two classes, or does not take the reference's rows in any form.
    SchemaError: it wants a column the schema does not have, or no class of it is the schema's positive value.
    """
    columns, named = _columns(estimator, schema)
    if not hasattr(estimator, "predict_proba"):
        raise BundleRejected(f"the model must give probabilities (predict_proba); a {type(estimator).__name__} does not")
    positive = _positive(getattr(estimator, "classes_", ()), schema)
    sample = reference.head(_TRIED)
    recipe = _form(estimator, Recipe(columns, named, "str", False, positive, "probability"), sample, schema)
    recipe = replace(recipe, missing=tuple(_spelt_missing(estimator, recipe, sample, schema)))
    frame = recipe.frame(sample, schema)
    p = recipe.ask(estimator, frame)
    if not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise BundleRejected(f"the model's probabilities must be within 0 and 1; they reach from {p.min():g} to {p.max():g}")
    in_log_odds = replace(recipe, space="margin")
    if hasattr(estimator, "decision_function"):
        margin = in_log_odds.ask(estimator, frame)
        if margin.shape == p.shape and np.abs(sigmoid(margin) - p).max() <= 1e-9:
            recipe = in_log_odds
    return _explained_by(estimator, recipe, sample, schema)


def background_of(live_margin: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Positions of reference rows to explain against: spread evenly over the rows in the order of f, so that their mean f is
    that of all nearly exactly."""
    count = min(BACKGROUND[recipe.how], len(live_margin))
    order = np.argsort(live_margin, kind="stable")
    return np.sort(order[((np.arange(count) + 0.5) * len(order) / count).astype(np.intp)])


def sampling_error(live: Live, frame: Any, points_per_margin: Any) -> float:
    """Root mean square of the standard errors of some rows' points; 0 where they are exact."""
    chosen = frame.iloc[:: max(1, len(frame) // _JUDGED)].head(_JUDGED)
    margin, _, errors = live.contributions(chosen)
    error = float(np.sqrt(np.mean((errors * np.abs(points_per_margin(margin))[:, None]) ** 2)))
    return error if error > _ROUNDING else 0.0


def without_effect(live: Live, table: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Columns that change no answer when the rows of a conformed table exchange their values in them."""
    frame = live.recipe.frame(table.head(_TRIED), schema)
    return tuple(name for name, moved in _effects(live.margin, frame) if not moved)


def refused(live: Live, table: pl.DataFrame, schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns whose missing values, and columns whose new levels, the estimator does not take at all."""
    rows = table.head(1).select(schema.names)
    missing: list[str] = []
    unseen: list[str] = []
    for name in live.recipe.columns:
        feature = schema.feature(name)
        for value, found in ((None, missing), (UNSEEN, unseen)):
            if value is not None and feature.is_number:
                continue
            given = rows.with_columns(pl.lit(value, dtype=rows.schema[name]).alias(name))
            try:
                live.margin(live.recipe.frame(given, schema))
            except DataError:
                found.append(name)
    return tuple(missing), tuple(unseen)


def _columns(estimator: Any, schema: Schema) -> tuple[tuple[str, ...], bool]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        count = getattr(estimator, "n_features_in_", None)
        if count != len(schema.names):
            raise SchemaError(
                f"the model was fitted without column names, on {count} columns; schema {schema.name!r} has "
                f"{len(schema.names)} features, so which is which is not known. Fit it on a table with column names"
            )
        return schema.names, False
    excluded = {one.name: one.why for one in schema.excluded}
    for name in map(str, names):
        if name not in schema:
            why = f": it is excluded as {excluded[name]!r}" if name in excluded else ""
            raise SchemaError(f"the model takes column {name!r}, which is no feature of schema {schema.name!r}{why}")
    return tuple(map(str, names)), True


def _positive(classes: Any, schema: Schema) -> int:
    """The place of the class that means leaving: spelt as in the schema, or 1 of 0 and 1, or true."""
    if len(classes) != 2:
        raise BundleRejected(f"the model must tell two classes apart; it knows {len(classes)}")
    wanted = schema.target.positive
    for place, value in enumerate(classes):
        if str(value) == wanted or (_number(value) is not None and _number(value) == _number(wanted)):
            return place
    if [_number(value) for value in classes] == [0.0, 1.0]:
        return 1
    shown = " and ".join(repr(str(value)) for value in classes)
    raise SchemaError(
        f"the model's classes are {shown}; one must be {wanted!r}, the positive value of target "
        f"{schema.target.column!r} in schema {schema.name!r}, or they must be 0 and 1"
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _form(estimator: Any, recipe: Recipe, sample: pl.DataFrame, schema: Schema) -> Recipe:
    """The form of categories in which most of them make most of a difference: levels an encoder does not know make none.
    Between equals, levels that are numbers go in as numbers: then one nobody has seen counts as missing."""
    numeric = any(levels_are_numbers(schema.feature(name)) for name in recipe.columns)
    categories = [name for name in recipe.columns if not schema.feature(name).is_number]
    best: tuple[tuple[int, int], Recipe] | None = None
    problem: Exception | None = None
    texts: tuple[Text, ...] = ("str", "category")
    for text in texts:
        for numbers in (True, False) if numeric else (False,):
            tried = replace(recipe, text=text, numbers=numbers)
            try:
                moved = [rows for _, rows in _effects(partial(tried.ask, estimator), tried.frame(sample, schema), categories)]
            except DataError as error:
                problem = problem or error
                continue
            effect = (sum(rows > 0 for rows in moved), sum(moved))
            if best is None or effect > best[0]:
                best = (effect, tried)
    if best is None:
        raise BundleRejected(f"the model cannot score the reference table: {problem}") from problem
    return best[1]


def _spelt_missing(estimator: Any, recipe: Recipe, sample: pl.DataFrame, schema: Schema) -> Iterator[tuple[str, str]]:
    """Categories of which the estimator knows a text that the schema reads as missing, and does not know missing values."""
    for name in recipe.columns:
        feature = schema.feature(name)
        if feature.is_number or (recipe.numbers and levels_are_numbers(feature)):
            continue
        unseen = _with_one_value(estimator, recipe, sample, schema, name, UNSEEN)
        nothing = _with_one_value(estimator, recipe, sample, schema, name, None)
        if nothing is not None and (unseen is None or (nothing != unseen).any()):
            continue  # it knows missing values
        for text in (*feature.missing, *schema.missing):
            spelt = _with_one_value(estimator, replace(recipe, missing=((name, text),)), sample, schema, name, None)
            if spelt is not None and (unseen is None or (spelt != unseen).any()):
                yield name, text
                break


def _with_one_value(
    estimator: Any, recipe: Recipe, sample: pl.DataFrame, schema: Schema, name: str, value: str | None
) -> Floats | None:
    """f where all rows have one value in a category; None where the estimator does not take it."""
    rows = sample.with_columns(pl.lit(value, dtype=pl.String).alias(name))
    try:
        return recipe.ask(estimator, recipe.frame(rows, schema))
    except DataError:
        return None


def _effects(ask: Ask, frame: Any, columns: Sequence[str] | None = None) -> Iterator[tuple[str, int]]:
    """In how many rows f changes when rows exchange their values of a column."""
    plain = ask(frame)
    for name in frame.columns if columns is None else columns:
        exchanged = frame.assign(**{name: frame[name].array[::-1]})
        yield name, int((ask(exchanged) != plain).sum())


def _explained_by(estimator: Any, recipe: Recipe, sample: pl.DataFrame, schema: Schema) -> Recipe:
    found = trees(estimator, recipe)
    if found is not None:
        from churn.model import _paths

        matrix, forest = found
        for odd in (True, False):
            pool = recipe.frame(_with_odd_rows(sample, schema) if odd else sample, schema)
            try:
                owner = owners(matrix, pool, _TRIED)
                f = recipe.ask(estimator, pool)
            except (ValueError, TypeError, DataError):  # it takes no missing values, or no new levels
                continue
            apart = f - _paths.totals(forest, matrix(pool))
            if owner is not None and np.abs(apart - apart.mean()).max() <= 1e-9:
                return replace(recipe, how="trees", owner=tuple(int(place) for place in owner))
            break
    return replace(recipe, how="coalitions" if len(recipe.columns) <= _orders.EXACT_UP_TO else "orders")


def _with_odd_rows(sample: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The sample with a row of nothing but missing values, and one of levels nobody has seen."""
    features: Sequence[Feature] = schema.features
    nothing = {feature.name: None for feature in features}
    unseen = {feature.name: None if feature.is_number else UNSEEN for feature in features}
    table = sample.select(schema.names)
    return pl.concat([table, pl.DataFrame([nothing, unseen], schema=table.schema)])
