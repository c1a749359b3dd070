"""Made-up customers whose columns can be made to drift one at a time, the grid of their reference, and their days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.score import log
from churn.score.sketch import Daily, Grid, _grid_column, _number_column, sketch

NUMBERS, CATEGORIES = 12, 8
LEVELS = ("a", "b", "c", "d", "e")
_CUTS = (-1.0, -0.3, 0.3, 1.0)
FIRST = date(2026, 10, 1)
Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]

SCHEMA = Schema.model_validate(
    {
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes"},
        "features": [
            *({"name": f"n{i}", "kind": "number", "label": f"Number {i}"} for i in range(NUMBERS)),
            *(
                {"name": f"c{i}", "kind": "category", "label": f"Kind {i}", "levels": [{"value": one} for one in LEVELS]}
                for i in range(CATEGORIES)
            ),
        ],
    }
)


def customers(size: int, random: np.random.Generator, name: str = "K") -> pl.DataFrame:
    """Rows as the log has them: columns that go together (each with the next by .5), a risk that follows from some of them,
    two per cent of the first number missing."""
    total = NUMBERS + CATEGORIES
    own = random.normal(size=(size, total + 1))
    values = (own[:, :-1] + own[:, 1:]) / np.sqrt(2)
    columns: dict[str, pl.Series] = {log.KEY: pl.Series(log.KEY, [f"{name}{i}" for i in range(size)])}
    score = 0.8 * values[:, 0] - 0.6 * values[:, 1] + 0.4 * values[:, NUMBERS] - 1.3
    columns[RISK] = pl.Series(RISK, 1 / (1 + np.exp(-score)))
    levels = pl.Series(LEVELS)
    for i in range(NUMBERS):
        columns[f"n{i}"] = pl.Series(f"n{i}", values[:, i])
    for i in range(CATEGORIES):
        columns[f"c{i}"] = levels.gather(np.searchsorted(_CUTS, values[:, NUMBERS + i])).alias(f"c{i}")
    missing = pl.Series(random.random(size) < 0.02)
    return pl.DataFrame(columns).with_columns(n0=pl.when(missing).then(None).otherwise(pl.col("n0")))


def grid_of(reference: pl.DataFrame, model: str = "v1") -> Grid:
    columns = [_grid_column(feature, reference) for feature in SCHEMA.features]
    columns.append(_number_column(RISK, "risk", reference[RISK]))
    return Grid(model, tuple(columns), float(reference[RISK].mean()))  # type: ignore[arg-type]


def days(tables: Sequence[pl.DataFrame], grid: Grid, *, first: date = FIRST, apart: int = 1) -> list[Daily]:
    return [Daily(grid.model, first + timedelta(days=apart * i), sketch(one, grid)) for i, one in enumerate(tables)]


# -- what may happen to a column ---------------------------------------------------


def shift(table: pl.DataFrame, _: np.random.Generator) -> pl.DataFrame:
    """By .3 standard deviations."""
    return table.with_columns(n3=pl.col("n3") + 0.3)


def missing(table: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """From 2 to 12 %."""
    gone = pl.Series(random.random(table.height) < 0.1 / 0.98)
    return table.with_columns(n0=pl.when(gone).then(None).otherwise(pl.col("n0")))


def new_level(table: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """One that nobody had, for 3 %."""
    new = pl.Series(random.random(table.height) < 0.03)
    return table.with_columns(c2=pl.when(new).then(pl.lit("unheard of")).otherwise(pl.col("c2")))


def level_mix(table: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Ten points of all from the middle level to the first."""
    share = 0.10 / table.filter(pl.col("c5") == "c").height * table.height
    go = pl.Series(random.random(table.height) < share)
    return table.with_columns(c5=pl.when(go & (pl.col("c5") == "c")).then(pl.lit("a")).otherwise(pl.col("c5")))


def joint(table: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """One column goes to other customers: it looks as before, and goes together with nothing any more."""
    return table.with_columns(n6=table["n6"].gather(random.permutation(table.height)))
