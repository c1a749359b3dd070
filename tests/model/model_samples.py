"""Customers, an outcome and a booster for the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Feature, Level, Schema, Target
from churn.model.encoder import Encoded, Encoder

LEVELS = tuple("ABCDEFG")
SCHEMA = Schema(
    key="id",
    target=Target(column="left", positive="Yes"),
    features=(
        Feature(name="tenure", kind="number", label="Tenure"),
        Feature(name="plan", kind="category", label="Plan", levels=tuple(Level(value=level) for level in LEVELS)),
        Feature(name="bill", kind="number", label="Bill"),
        Feature(name="paperless", kind="flag", label="Paperless", levels=(Level(value="No"), Level(value="Yes"))),
        Feature(name="calls", kind="number", label="Calls"),
    ),
)


def customers(rows: int, seed: int, missing: float = 0.1, unseen: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)

    def holes(values: Any) -> list[Any]:
        return [None if hole else value for hole, value in zip(rng.random(rows) < missing, values, strict=True)]

    return pl.DataFrame(
        {
            "tenure": pl.Series(holes(rng.integers(0, 72, rows).astype(float).tolist()), dtype=pl.Float64),
            "plan": pl.Series(holes(rng.choice([*LEVELS, *(["new"] if unseen else [])], rows).tolist()), dtype=pl.String),
            "bill": pl.Series(holes(np.round(rng.gamma(3, 20, rows), 2).tolist()), dtype=pl.Float64),
            "paperless": pl.Series(rng.choice(["No", "Yes"], rows).tolist(), dtype=pl.String),
            "calls": pl.Series(rng.poisson(1, rows).astype(float).tolist(), dtype=pl.Float64),
        }
    )


def outcome(table: pl.DataFrame, seed: int = 9) -> np.ndarray:
    tenure = table["tenure"].fill_null(80).to_numpy()
    plan = table["plan"].is_in(["B", "E", "F"]).fill_null(True).to_numpy()
    bill = table["bill"].fill_null(10).to_numpy()
    f = -0.03 * tenure + 1.2 * plan * (bill > 50) + 0.3 * table["calls"].to_numpy() * (tenure < 20) - 0.5
    return (np.random.default_rng(seed).random(table.height) < 1 / (1 + np.exp(-f))).astype(int)


def prepared(missing: float = 0.1, max_bins: int = 40) -> tuple[Encoder, Encoded, np.ndarray, Encoded]:
    """Encoder, training rows, outcomes, and rows that hold what training never saw."""
    train, other = customers(1500, 0, missing), customers(800, 1, 0.2, unseen=True)
    encoder = Encoder.fit(train, SCHEMA, max_bins=max_bins)
    return encoder, encoder.encode(train), outcome(train), encoder.encode(other)


def lightgbm_booster(matrix: np.ndarray, y: np.ndarray, categorical: tuple[int, ...], rounds: int = 25, **given: Any) -> Any:
    import lightgbm

    parameters = {"objective": "binary", "num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1, "seed": 1}
    data = lightgbm.Dataset(matrix, y, categorical_feature=list(categorical) or "auto")
    return lightgbm.train({**parameters, **given}, data, rounds)
