"""Any scikit-learn classifier as a model of risk: stored with skops, explained on the same face as the tables.

Its answer f is a probability, or log-odds where the estimator has a decision function whose logistic function is its
probability; the risk is p = g(f). Contributions are interventional Shapley values of the table's own columns, whatever the
estimator makes of them, against a background sample: exact for ensembles of trees and for few columns, else estimated, and
adding up exactly in each case. scikit-learn is imported when the first score is asked for, not when a bundle is read.
"""

from __future__ import annotations

import io
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError
from churn.model import skops_file
from churn.model._live import Live
from churn.model.calibration import Calibrator
from churn.model.recipe import Recipe
from churn.model.risk_model import (
    Effects,
    Explanation,
    Floats,
    Reasons,
    RowExplanation,
    Scores,
    Sets,
    link_scale,
    table_of,
    table_of_sets,
)

MODEL, TRUSTED, RECIPE, BACKGROUND = "model.skops", "trusted.json", "estimator.json", "background.parquet"
FILES = (MODEL, TRUSTED, RECIPE, BACKGROUND)

_TOLERANCE = 1e-6  # by how much f of the background may differ from what it was when the model was made
_EDGE = 1e-6  # a probability is taken this far from 0 and 1 at most when it is calibrated
_ROWS = 100_000  # scored at a time
_KEPT = 512  # rows whose explanation is remembered: a page asks for the same customer again and again
_MARGIN = "__margin__"
_Part = TypeVar("_Part")


@dataclass(frozen=True, eq=False)
class EstimatorModel:
    """A schema, a skops file, how to ask it, and the conformed rows it is explained against with their f [rows]."""

    schema: Schema
    stored: bytes
    recipe: Recipe
    background: pl.DataFrame
    margins: Floats
    calibrator: Calibrator
    versions: Mapping[str, str]  # of the libraries it was stored with
    quick: ClassVar[bool] = False
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _loaded: list[Live] = field(default_factory=list, init=False, repr=False)
    _remembered: OrderedDict[tuple[Any, ...], RowExplanation] = field(default_factory=OrderedDict, init=False, repr=False)

    @classmethod
    def build(
        cls, schema: Schema, stored: bytes, reference: pl.DataFrame, *, calibrator: Calibrator | None = None
    ) -> EstimatorModel:
        """Get to know the estimator in a skops file on a reference table of conformed rows.

        Raises
        ------
        BundleRejected: types that are not allowed, damaged trees, no probabilities of two classes, rows it does not take.
        SchemaError: it wants a column the schema does not have, or no class of it is the schema's positive value.
        """
        from churn.model import _adopt

        if reference.is_empty():
            raise DataError("a model is explained against a reference table; this one has no rows")
        estimator = skops_file.load(stored)
        recipe = _adopt.recipe_for(estimator, schema, reference)
        frame = recipe.frame(reference, schema)
        chosen = _adopt.background_of(recipe.ask(estimator, frame), recipe)
        background = reference.select(schema.names)[chosen]
        live = Live(estimator, recipe, recipe.frame(background, schema))
        versions = skops_file.versions(skops_file.listed(stored))
        model = cls(schema, stored, recipe, background, live.margins, calibrator or Calibrator(), versions)
        if recipe.how == "orders":
            error = _adopt.sampling_error(live, frame, lambda margin: model._scale(margin, model._risk(margin)))
            model = replace(model, recipe=replace(recipe, sampling_error=error))
        model._loaded.append(live)
        return model

    # -- the face ----------------------------------------------------------------

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.schema.names

    @property
    def sampling_error(self) -> float:
        return self.recipe.sampling_error

    @cached_property
    def typical_margin(self) -> float:
        """f₀, the mean f over the background."""
        return float(self.margins.mean())

    @cached_property
    def typical_risk(self) -> float:
        """p₀ = g(f₀)."""
        return float(self._risk(np.array(self.typical_margin)))

    def score(self, table: pl.DataFrame) -> Scores:
        """Risks of a conformed table. Raises DataError for a column that is missing or of another type, and for rows the
        estimator does not take; BundleRejected where it cannot be loaded."""
        margin = np.empty(table.height)
        for start in range(0, table.height, _ROWS):
            part = table.slice(start, _ROWS)
            margin[start : start + part.height] = self.live.margin(self.recipe.frame(part, self.schema))
        return Scores(self._risk(margin), margin)

    def score_sets(self, row: Mapping[str, Any], effects: Effects, sets: Sets) -> Floats:
        """Risks of one conformed customer with sets of effects laid over, float64 [sets]. Raises as `score`."""
        return self.score(table_of_sets(row, effects, sets, self.schema)).risk

    def explain(self, table: pl.DataFrame) -> Explanation:
        """Risks of a conformed table with the points of every feature. Raises as `score`."""
        margin, own, _ = self.live.contributions(self.recipe.frame(table, self.schema))
        risk = self._risk(margin)
        points = np.zeros((table.height, len(self.schema.names)))
        places = [self.schema.names.index(name) for name in self.recipe.columns]
        points[:, places] = own * self._scale(margin, risk)[:, None]
        return Explanation(self.feature_names, risk, self.typical_risk, margin, points)

    def top_reasons(self, table: pl.DataFrame, n: int) -> Reasons:
        """Risks of a conformed table with the n features that move each row most, either way."""
        found = self.explain(table)
        order = np.argsort(-np.abs(found.points), axis=1, kind="stable")[:, :n]
        points = np.zeros((table.height, n), dtype=np.float32)
        feature = np.full((table.height, n), -1, dtype=np.int16)
        chosen = np.take_along_axis(found.points, order, axis=1)
        points[:, : chosen.shape[1]] = chosen
        feature[:, : chosen.shape[1]] = np.where(chosen != 0, order, -1)
        return Reasons(found.risk, found.margin, feature, points)

    def explain_row(self, row: Mapping[str, Any]) -> RowExplanation:
        """Risk and points of one conformed customer, column → value; an absent or None value is missing."""
        values = tuple(row.get(name) for name in self.schema.names)
        with self._lock:
            if values in self._remembered:
                self._remembered.move_to_end(values)
                return self._remembered[values]
        found = self.explain(table_of([row], self.schema))
        found.points.setflags(write=False)
        answer = RowExplanation(float(found.risk[0]), found.points[0], float(found.margin[0]))
        with self._lock:
            self._remembered[values] = answer
            while len(self._remembered) > _KEPT:
                self._remembered.popitem(last=False)
        return answer

    @property
    def reasons_words(self) -> str:
        """How the reasons come about, as a sentence."""
        against = f"against {self.background.height} customers of the reference"
        if self.recipe.how == "trees":
            return f"Reasons are exact Shapley values of the columns, {against}, followed through all of the model's trees."
        if self.recipe.how == "coalitions":
            return f"Reasons are exact Shapley values of the columns, {against}, every coalition asked."
        error = f"is about {100 * self.sampling_error:.1g} points" if self.sampling_error else "came out as zero"
        return (
            f"Reasons are Shapley values of the columns, {against}, estimated by putting the columns in place in random orders; "
            f"they add up exactly, and the standard error of one {error}."
        )

    # -- the estimator -------------------------------------------------------------

    @property
    def live(self) -> Live:
        """The estimator, loaded when first asked for. Raises BundleRejected where it cannot be, or predicts otherwise than when
        the model was made."""
        with self._lock:
            if not self._loaded:
                live = Live(skops_file.load(self.stored), self.recipe, self.recipe.frame(self.background, self.schema))
                apart = float(np.abs(live.margins - self.margins).max())
                if not apart <= _TOLERANCE:
                    raise BundleRejected(
                        f"{MODEL} predicts otherwise here than where it was made (by {apart:.2g}); "
                        f"it was made with {_named(self.versions)}, here is {_named(skops_file.versions(self.versions))}"
                    )
                self._loaded.append(live)
            return self._loaded[0]

    def idle_columns(self, table: pl.DataFrame) -> tuple[str, ...]:
        """Columns that change no risk when (the first 1,000) rows of a conformed table exchange their values in them."""
        from churn.model import _adopt

        return _adopt.without_effect(self.live, table, self.schema)

    def refused_columns(self, table: pl.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns whose missing values, and columns whose new levels, the estimator does not take; tried on the first row."""
        from churn.model import _adopt

        return _adopt.refused(self.live, table, self.schema)

    def _risk(self, margin: Floats) -> Floats:
        """g(f)."""
        if self.recipe.space == "margin":
            return self.calibrator.probability(margin)
        return margin if self.calibrator.kind == "identity" else self.calibrator.probability(_log_odds(margin))

    def _slope(self, margin: Floats) -> Floats:
        """The derivative of g."""
        if self.recipe.space == "margin":
            return self.calibrator.slope(margin)
        if self.calibrator.kind == "identity":
            return np.ones_like(margin)
        inside = np.clip(margin, _EDGE, 1 - _EDGE)
        return self.calibrator.slope(_log_odds(margin)) / (inside * (1 - inside))

    def _scale(self, margin: Floats, risk: Floats) -> Floats:
        return link_scale(margin, risk, self.typical_margin, self.typical_risk, self._slope)

    # -- in and out ------------------------------------------------------------------

    def to_files(self) -> dict[str, bytes]:
        """The files of a bundle that are this kind's own."""
        found = skops_file.contents(self.stored)
        trusted = {"types": found.types, "trusted": found.trusted, "versions": dict(self.versions)}
        rows = io.BytesIO()
        self.background.with_columns(pl.Series(_MARGIN, self.margins)).write_parquet(rows)
        return {
            MODEL: self.stored,
            TRUSTED: json.dumps(trusted, indent=1).encode(),
            RECIPE: self.recipe.to_json().encode(),
            BACKGROUND: rows.getvalue(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], schema: Schema, calibrator: Calibrator) -> EstimatorModel:
        """The model of a bundle. Nothing of it is built yet. Raises BundleRejected naming the file."""
        stored = files[MODEL]
        types, versions = _read(TRUSTED, lambda: _trusted(files[TRUSTED]))
        unlisted = sorted(set(_read(MODEL, lambda: skops_file.listed(stored))) - types)
        if unlisted:
            raise BundleRejected(f"{MODEL} holds types that {TRUSTED} does not list: {', '.join(unlisted)}")
        recipe = _read(RECIPE, lambda: Recipe.from_json(files[RECIPE].decode(), schema))
        background, margins = _read(BACKGROUND, lambda: _rows(files[BACKGROUND], schema))
        return cls(schema, stored, recipe, background, margins, calibrator, versions)


def _read(name: str, understand: Callable[[], _Part]) -> _Part:
    try:
        return understand()
    except (BundleRejected, ValueError, KeyError, TypeError, AttributeError, OSError, pl.exceptions.PolarsError) as error:
        raise BundleRejected(f"{name} cannot be understood: {' '.join(str(error).split())[:200]}") from error


def _trusted(data: bytes) -> tuple[set[str], dict[str, str]]:
    """The types and versions a file was stored with."""
    document = json.loads(data)
    return set(document["types"]), {str(name): str(version) for name, version in document["versions"].items()}


def _rows(data: bytes, schema: Schema) -> tuple[pl.DataFrame, Floats]:
    """The background and its f."""
    table = pl.read_parquet(io.BytesIO(data))
    margins = table[_MARGIN].to_numpy().astype(np.float64)
    if not len(margins) or not np.isfinite(margins).all():
        raise ValueError(f"it must have rows, each with its {_MARGIN}")
    return table.select(schema.names), margins


def _log_odds(p: Floats) -> Floats:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown libraries"
