"""Predictions that were made elsewhere, brought into the log: checked cell by cell, all of a table or nothing, once.

A table has the key, a risk, and the day it is about; features where they are at hand, for without them only risk can be watched.
Its rows become one part a day, named by what is in it, so that the same rows find themselves logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from churn.base.snapshot import MARGIN, RISK
from churn.data import quality, values
from churn.data.quality import Violation
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.store import Store
from churn.score import forgotten, log

RISK_COLUMN = "risk"
DAY_COLUMN = "as_of"  # in a table whose schema knows no snapshots
_DAY = "__day__"
_CERTAIN = 1e-6  # log-odds are of a risk at least so far from 0 and 1


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: predictions `logged` now and those `known` before, in `days`; `forgotten` ones were left out.

    `absent`: features that the table does not have, in the schema's order.
    """

    model: str
    logged: int
    known: int
    days: tuple[date, ...]
    absent: tuple[str, ...]
    forgotten: int


def import_predictions(
    raw: pl.DataFrame,
    schema: Schema,
    store: Store,
    *,
    model: str,
    as_of: date | None = None,
    risk: str = RISK_COLUMN,
    today: date | None = None,
) -> Imported:
    """Check predictions and log them under `import`. Nothing is logged unless every cell can be.

    Parameters
    ----------
    raw: as `churn.data.source.read_table` gives it.
    schema: of the model they are logged under.
    model: the version that made them.
    as_of: the day all of them are about, for a table without such a column: the schema's snapshot date, else `as_of`.
    risk: the column with the chance of leaving, 0–1.
    today: no prediction can be about a later day; the day it is unless given.

    Raises
    ------
    DataError: names column, row and value of what cannot be. StoreUnavailable: days logged before that stay logged; repeat it.
    """
    table, found = _read(raw, schema, as_of, risk, today or datetime.now(UTC).date())
    if found:
        raise DataError(quality.message(found), tuple(found))
    table, gone = forgotten.of(store).without(table, schema.key)
    logged = known = 0
    days = table.partition_by(_DAY, as_dict=True, include_key=False, maintain_order=True)
    for (day,), rows in sorted(days.items(), key=lambda item: str(item[0][0])):
        assert isinstance(day, date)
        run = f"import-{_sum(rows)}"
        _, new = log.append(store, rows, schema, model=model, as_of=day, run=run, source="import")
        logged, known = (logged + rows.height, known) if new else (logged, known + rows.height)
    absent = tuple(name for name in schema.names if name not in table.columns)
    return Imported(model, logged, known, tuple(sorted(day for (day,) in days if isinstance(day, date))), absent, gone)


def _read(raw: pl.DataFrame, schema: Schema, as_of: date | None, risk: str, today: date) -> tuple[pl.DataFrame, list[Violation]]:
    """Key, day, risk, margin and the features there are; and what cannot be."""
    if raw.is_empty():
        raise DataError("the predictions have no rows")
    wanted = schema.snapshot.column if schema.snapshot else DAY_COLUMN
    for column in (schema.key, risk):
        if column not in raw.columns:
            raise DataError(f"column {column!r} is not in the predictions; they have {', '.join(map(repr, raw.columns[:10]))}")
    if wanted not in raw.columns and as_of is None:
        raise DataError(f"column {wanted!r} is not in the predictions; say which day they are about with --as-of")
    table, report = quality.look(raw, schema, unique=False)
    found = [error for error in report.errors if not (error.row is None and error.column not in raw.columns)]
    read = values.numbers(raw[risk], schema.missing)
    found += _where(raw[risk], ~read.values.is_between(0, 1).fill_null(value=False), "must be a chance from 0 to 1")
    day = pl.Series([as_of] * raw.height, dtype=pl.Date)
    if wanted in raw.columns:
        dates = values.dates(raw[wanted], schema.missing)
        if dates.ambiguous:
            raise DataError(f"column {wanted!r}: its dates can be read in two ways; write them as YEAR-MONTH-DAY")
        day = dates.values
        if not schema.snapshot:  # else the schema's own check has named them
            found += _where(raw[wanted], day.is_null(), "must be a date")
    future = (day > today).fill_null(value=False)
    where = raw[wanted] if wanted in raw.columns else day.alias(wanted)
    found += _where(where, future, f"must not lie in the future (today is {today.isoformat()})")
    chance = read.values.clip(_CERTAIN, 1 - _CERTAIN)
    features = [table[name] for name in schema.names if name in table.columns]
    made = pl.DataFrame(
        [
            table[schema.key].alias(schema.key),
            day.alias(_DAY),
            read.values.alias(RISK),
            (chance / (1 - chance)).log().alias(MARGIN),
            *(column for column in features if column.name != schema.key),
        ]
    )
    again = ~made.select(pl.struct(schema.key, _DAY).is_first_distinct()).to_series() & made[schema.key].is_not_null()
    found += _where(raw[schema.key], again, "must not repeat within one day")
    return made, found


def _where(column: pl.Series, wrong: pl.Series, rule: str) -> Iterator[Violation]:
    rows = wrong.arg_true().to_list()
    cells = values.as_text(column.gather(rows)).to_list()
    for row, cell in zip(rows, cells, strict=True):
        yield Violation(column.name, row + 1, cell, rule)


def _sum(rows: pl.DataFrame) -> str:
    """Names the predictions of a day by what is in them, in whatever order they come."""
    table = rows.sort(rows.columns[0])
    return hashlib.sha256(table.write_csv(quote_style="non_numeric").encode()).hexdigest()[:20]
