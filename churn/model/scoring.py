"""A compiled model at work: a conformed table in, risks and reasons out, in the space that people see.

Tables give margins and contributions in log-odds; `churn.model.risk_model` says how they become points of risk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.errors import SchemaError
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoded, Encoder, Floats
from churn.model.risk_model import Effects, Explanation, Reasons, RowExplanation, Scores, Sets, laid_over, link_scale
from churn.model.tables import Engine, Tables, compile_tables
from churn.model.trees import LinearTerms, Tree, pruned

_CHUNK = 1 << 17  # rows whose contributions are in memory at a time: 20 features take 21 MB


@dataclass(frozen=True, eq=False)
class ScoringModel:
    """A schema's encoder, tables and calibrator. Raises SchemaError where they are not for the same features."""

    schema: Schema
    encoder: Encoder
    tables: Tables
    calibrator: Calibrator
    quick: ClassVar[bool] = True
    sampling_error: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.encoder.names != self.schema.names:
            other = sorted(set(self.encoder.names) ^ set(self.schema.names)) or ["their order"]
            raise SchemaError(f"the model was made for other features than schema {self.schema.name!r} has: {', '.join(other)}")
        if self.tables.sizes != self.encoder.sizes:
            raise SchemaError("the model's tables were made for another encoder: their numbers of codes differ")

    @classmethod
    def build(
        cls,
        schema: Schema,
        encoder: Encoder,
        trees: Sequence[Tree],
        background: pl.DataFrame,
        *,
        linear: LinearTerms | None = None,
        intercept: float = 0.0,
        calibrator: Calibrator | None = None,
    ) -> ScoringModel:
        """Compile a trained model: prune its codes, then make its tables against the whole of `background` (conformed rows)."""
        small, few, terms = pruned(encoder, trees, linear)
        encoded = small.encode(background, numbers=bool(terms and terms.numbers))
        return cls(schema, small, compile_tables(few, terms, intercept, small, encoded), calibrator or Calibrator())

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.encoder.names

    @property
    def typical_margin(self) -> float:
        """f₀, the mean margin over the background."""
        return self.tables.typical_margin

    @cached_property
    def typical_risk(self) -> float:
        """p₀, the risk of the typical customer: that of the mean log-odds, not the mean of the risks."""
        return float(self.calibrator.probability(np.array(self.typical_margin)))

    def score(self, table: pl.DataFrame, *, engine: Engine = "numpy") -> Scores:
        """Risks of a conformed table. Raises DataError for a column that is missing or of another type."""
        margin = np.empty(table.height)
        for rows, encoded in self._encoded(table):
            margin[rows] = self.tables.margins(encoded, engine=engine)
        return Scores(self.calibrator.probability(margin), margin)

    def score_sets(self, row: Mapping[str, Any], effects: Effects, sets: Sets) -> Floats:
        """Risks of one conformed customer with sets of effects laid over, float64 [sets]; each effect is encoded once."""
        at = {name: place for place, name in enumerate(self.feature_names)}
        codes = np.repeat(np.array(self.encoder.encode_row(row), dtype=self.encoder.dtype)[:, None], sets.shape[1], axis=1)
        numbers = np.empty((0, sets.shape[1]))
        places = self.encoder.number_features if self.tables.needs_numbers else ()
        if places:
            numbers = np.repeat([[_number(row.get(self.feature_names[i]))] for i in places], sets.shape[1], axis=1)
        for name, counts in laid_over(effects, sets).items():
            code, values = self.encoder.features[at[name]].code, [row, *(effect if name in effect else row for effect in effects)]
            codes[at[name]] = np.array([code(value.get(name)) for value in values], dtype=codes.dtype)[counts]
            if at[name] in places:
                numbers[places.index(at[name])] = np.array([_number(value.get(name)) for value in values])[counts]
        return self.calibrator.probability(self.tables.margins(Encoded(codes, numbers)))

    def explain(self, table: pl.DataFrame, *, engine: Engine = "numpy") -> Explanation:
        """Risks of a conformed table with the points of every feature; 8 bytes a row and feature."""
        risk, margin = np.empty(table.height), np.empty(table.height)
        points = np.empty((table.height, len(self.feature_names)))
        for rows, encoded in self._encoded(table):
            margin[rows], contributions = self.tables.contributions(encoded, engine=engine)
            risk[rows] = self.calibrator.probability(margin[rows])
            np.multiply(contributions.T, self._scale(margin[rows], risk[rows])[:, None], out=points[rows])
        return Explanation(self.feature_names, risk, self.typical_risk, margin, points)

    def top_reasons(self, table: pl.DataFrame, n: int, *, engine: Engine = "numpy") -> Reasons:
        """Risks of a conformed table with the n features that move each row most, either way."""
        risk, margin = np.empty(table.height), np.empty(table.height)
        feature = np.full((table.height, n), -1, dtype=np.int16)
        points = np.zeros((table.height, n), dtype=np.float32)
        for rows, encoded in self._encoded(table):
            margin[rows], contributions = self.tables.contributions(encoded, engine=engine)
            risk[rows] = self.calibrator.probability(margin[rows])
            scale = self._scale(margin[rows], risk[rows])
            left = np.abs(np.ascontiguousarray(contributions.T))
            row = np.arange(encoded.rows)
            for place in range(min(n, left.shape[1])):
                best = left.argmax(axis=1)
                found = left[row, best] > 0
                feature[rows, place] = np.where(found, best, -1)
                points[rows, place] = np.where(found, contributions[best, row] * scale, 0.0)
                left[row, best] = 0
        return Reasons(risk, margin, feature, points)

    def explain_row(self, row: Mapping[str, Any]) -> RowExplanation:
        """Risk and points of one conformed customer, column → value; an absent or None value is missing. No table is built."""
        numbers = [_number(row.get(self.feature_names[i])) for i in self.encoder.number_features] if self.tables.numbers else ()
        margin, contributions = self.tables.row(self.encoder.encode_row(row), numbers)
        at = np.array(margin)
        risk = self.calibrator.probability(at)
        return RowExplanation(float(risk), contributions * self._scale(at, risk), margin)

    def _encoded(self, table: pl.DataFrame) -> Iterator[tuple[slice, Encoded]]:
        for start in range(0, table.height, _CHUNK):
            part = table.slice(start, _CHUNK)
            yield slice(start, start + part.height), self.encoder.encode(part, numbers=self.tables.needs_numbers)

    def scale(self, margin: Floats) -> Floats:
        """What turns contributions into points [rows]: (p − p₀)/(f − f₀), for margins [rows]."""
        return self._scale(margin, self.calibrator.probability(margin))

    def _scale(self, margin: Floats, risk: Floats) -> Floats:
        """(p − p₀)/(f − f₀), and the derivative of p where f is next to f₀."""
        return link_scale(margin, risk, self.typical_margin, self.typical_risk, self.calibrator.slope)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
