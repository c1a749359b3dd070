"""A small scored base with contact data, for the tests of call lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.act.eligibility import Candidates, candidates, people, standing
from churn.base.groups import BAND, Filter
from churn.base.snapshot import MARGIN, RISK, Snapshot
from churn.data.schema import Schema
from churn.score.batch import Scored, band_of, write_scoring
from churn.settings import Settings

ROLES = ("name", "phone", "email", "consent", "do_not_contact", "owner")


def schema_of(*, roles: tuple[str, ...] = ROLES, **parts: Any) -> Schema:
    """One feature, money, and contact columns called by their roles."""
    document: dict[str, Any] = {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "money": {"column": "fee", "period": "month"},
        "contacts": {**{role: role for role in roles}, "country": "DE"},
        "features": [
            {"name": "fee", "kind": "number", "label": "Monthly fee", "unit": "money", "range": [0, 1000], "editable": True},
            {"name": "plan", "kind": "category", "label": "Plan", "levels": [{"value": "A"}, {"value": "B"}], "editable": True},
        ],
    }
    return Schema.model_validate({**document, **parts})


@dataclass
class Base:
    """An open base, the folder of its files, and its settings."""

    snapshot: Snapshot
    folder: Path
    settings: Settings

    def able(self, chosen: Filter = Filter(), **rest: Any) -> Candidates:
        """Who may be called."""
        known = people(self.folder, self.snapshot, self.settings)
        now = standing(self.snapshot, known, self.settings, **rest)
        return candidates(now, self.snapshot.pool(chosen), needs_worth=self.snapshot.has_money)


def open_base(
    place: Path,
    schema: Schema,
    risk: Any,
    fee: Any,
    contacts: Mapping[str, Any] | None = None,
    *,
    keys: list[str] | None = None,
    left: Any = None,
    plan: Any = None,
    settings: Settings | None = None,
) -> Base:
    """Write a scoring of these customers, `K0`, `K1` … unless named, and open it."""
    risk = np.asarray(risk, dtype=float)
    size = len(risk)
    keys = keys or [f"K{number}" for number in range(size)]
    columns = {"id": keys, "fee": pl.Series(fee, dtype=pl.Float64), "plan": plan or ["A"] * size}
    if left is not None:
        columns["__left__"] = pl.Series(left, dtype=pl.Int8)
    table = pl.DataFrame(columns).with_columns(
        pl.Series(RISK, risk), pl.Series(MARGIN, np.zeros(size)), band_of(risk, schema).alias(BAND)
    )
    points = pl.DataFrame({name: np.full(size, 500 * (place + 1), dtype=np.int16) for place, name in enumerate(schema.names)})
    order = table.with_row_index("at").sort("id")["at"]
    found = None if contacts is None else pl.DataFrame({"id": keys, **contacts}).sort("id")
    folder = place / "scoring"
    write_scoring(
        folder,
        Scored(table[order], found, 0.2, {}, {}, 0, 0, points=points[order]),
        model_version="v1",
        schema=schema,
        as_of=date(2026, 11, 1),
        simulated=False,
        calibration_covariance=[[1e-3, 0.0], [0.0, 1e-3]],
    )
    settings = settings or Settings(home=place)
    return Base(Snapshot.open(folder, schema, settings), folder, settings)


def everybody(size: int) -> dict[str, list[str | None]]:
    """Contact data of customers who may all be called, each with a phone of their own."""
    return {
        "name": [f"Person {number}" for number in range(size)],
        "phone": [f"030 23125{number:03d}" for number in range(size)],
        "email": [f"p{number}@example.org" for number in range(size)],
        "consent": ["Yes"] * size,
        "do_not_contact": ["No"] * size,
        "owner": [f"Colleague {number % 2}" for number in range(size)],
    }
