"""Scored bases made up for tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND
from churn.base.snapshot import LEFT, MARGIN, RISK, Snapshot, points_column, reason_column
from churn.data.schema import Schema
from churn.score.batch import Scored, band_of, write_scoring
from churn.settings import Settings

COVARIANCE = [[4e-3, 1e-3], [1e-3, 2e-3]]
MakeSchema = Callable[..., Schema]
Open = Callable[..., Snapshot]


@pytest.fixture(scope="session")
def make_schema() -> MakeSchema:
    """A small schema; what is given replaces parts of it."""

    def make(**given: Any) -> Schema:
        document = {
            "key": "customer",
            "target": {"column": "churned", "positive": "Yes", "negative": "No"},
            "money": {"column": "charge"},
            "segments": ["contract", "tenure"],
            "features": [
                {
                    "name": "tenure",
                    "kind": "number",
                    "label": "Tenure",
                    "unit": "month",
                    "whole": True,
                    "at_least": 0,
                    "range": [0, 72],
                },
                {"name": "charge", "kind": "number", "label": "Monthly charge", "unit": "money", "range": [20, 120]},
                {
                    "name": "contract",
                    "kind": "category",
                    "label": "Contract",
                    "levels": [{"value": "M", "label": "Month-to-month"}, {"value": "1"}, {"value": "2", "label": "Two years"}],
                },
            ],
        }
        return Schema.model_validate({**document, **given})

    return make


def rows(schema: Schema, risk: Any, **columns: Any) -> pl.DataFrame:
    """A table as `score` gives it, from the risks and the columns that matter; the others are filled in."""
    risk = np.asarray(risk, dtype=float)
    filled: dict[str, Any] = {schema.key: columns.pop(schema.key, [f"C{i:05d}" for i in range(len(risk))])}
    if schema.snapshot:
        filled[schema.snapshot.column] = [date(2026, 11, 1)] * len(risk)
    for feature in schema.features:
        kind = pl.Float64 if feature.is_number else pl.String
        default = [1.0] * len(risk) if feature.is_number else [feature.levels[0].value] * len(risk)
        filled[feature.name] = pl.Series(columns.pop(feature.name, default), dtype=kind)
    if schema.money and schema.money.column not in schema:
        filled[schema.money.column] = pl.Series(columns.pop(schema.money.column), dtype=pl.Float64)
    if "left" in columns:
        filled[LEFT] = pl.Series(columns.pop("left"), dtype=pl.Int8)
    assert not columns
    first = min(1, len(schema.features) - 1)
    return pl.DataFrame(filled, strict=False).with_columns(
        pl.Series(RISK, risk),
        pl.Series(MARGIN, np.zeros(len(risk))),
        band_of(risk, schema).alias(BAND),
        pl.Series(reason_column(1), np.full(len(risk), first), dtype=pl.Int16),
        pl.Series(points_column(1), np.full(len(risk), 0.25), dtype=pl.Float32),
        pl.Series(reason_column(2), [None] * len(risk), dtype=pl.Int16),
        pl.Series(points_column(2), np.zeros(len(risk)), dtype=pl.Float32),
    )


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., pl.DataFrame]:
    return rows


@pytest.fixture
def open_base(tmp_path: Path) -> Iterator[Open]:
    """Write rows as a scoring and open it."""
    numbers = itertools.count()
    opened: list[Snapshot] = []

    def make(table: pl.DataFrame, schema: Schema, covariance: Any = COVARIANCE, **settings: Any) -> Snapshot:
        folder = tmp_path / f"scoring-{next(numbers)}"
        scored = Scored(table, None, 0.2, {}, {}, 0, 0)
        write_scoring(
            folder,
            scored,
            model_version="v1",
            schema=schema,
            as_of=date(2026, 11, 1),
            simulated=False,
            calibration_covariance=covariance,
        )
        snapshot = Snapshot.open(folder, schema, Settings(home=tmp_path, **settings))
        opened.append(snapshot)
        return snapshot

    yield make
    for snapshot in opened:
        snapshot.close()
