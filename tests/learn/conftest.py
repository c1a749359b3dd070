"""A small made-up table that every test of training may use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema

MakeTable = Callable[..., tuple[pl.DataFrame, Schema]]


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    """A conformed table with `__left__`: numbers with gaps, a category with gaps; snapshots on request."""

    def make(rows: int = 600, *, seed: int = 0, snapshots: int = 0, customers: int = 0) -> tuple[pl.DataFrame, Schema]:
        rng = np.random.default_rng(seed)
        tenure = rng.integers(0, 72, rows).astype(float)
        charge = np.round(rng.gamma(4, 15, rows), 2)
        contract = rng.choice(["Monthly", "Yearly", "Two years"], rows, p=[0.5, 0.3, 0.2])
        online = rng.choice(["Yes", "No"], rows)
        logit = -1.2 - 0.05 * (tenure - 24) + 0.02 * (charge - 60) + 1.4 * (contract == "Monthly") + 0.4 * (online == "No")
        left = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
        keys = [f"C{i % (customers or rows):05d}" for i in range(rows)]
        columns = {
            "id": keys,
            "tenure": [None if rng.random() < 0.05 else float(value) for value in tenure],
            "charge": charge,
            "contract": [None if rng.random() < 0.05 else str(value) for value in contract],
            "online": online,
            "__left__": pl.Series(left, dtype=pl.Int8),
        }
        document = {
            "key": "id",
            "name": "Test customers",
            "target": {"column": "left", "positive": "Yes", "negative": "No"},
            "features": [
                {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month"},
                {"name": "charge", "kind": "number", "label": "Charge", "unit": "money"},
                {
                    "name": "contract",
                    "kind": "category",
                    "label": "Contract",
                    "levels": [{"value": value} for value in ("Monthly", "Yearly", "Two years")],
                },
                {"name": "online", "kind": "flag", "label": "Online", "levels": [{"value": "Yes"}, {"value": "No"}]},
            ],
            "segments": ["contract"],
            "excluded": [{"name": "score_of_old_model", "why": "leak", "evidence": "AUC 1.00"}],
        }
        if snapshots:
            days = [date(2025 + month // 12, month % 12 + 1, 1) for month in range(snapshots)]
            columns["day"] = [days[i * snapshots // rows] for i in range(rows)]
            document["snapshot"] = {"column": "day", "horizon_days": 30}
        table = pl.DataFrame(columns, schema_overrides={"tenure": pl.Float64, "contract": pl.String})
        return table, Schema.model_validate(document)

    return make
