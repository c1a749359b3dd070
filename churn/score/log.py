"""The prediction log: what was predicted, for whom, from which values, and when.

Parquet parts in the store, keyed by model version and by the day the predictions are about:
`log/model=v12/date=2026-11-19/RUN.parquet`. A part is written whole, once: the run id is made from everything that went into the
run, so the same run finds its part already there. What-ifs never come here.

A part has `__key__`, `__as_of__`, `__scored_at__` (UTC), `__risk__`, `__margin__`, `__source__`, then the features under their
own names (which no schema lets begin and end with two underscores).
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.errors import DataError, StoreConflict, StoreDamaged
from churn.model.store import Store

PREFIX = "log/"
KEY, AS_OF, SCORED_AT, SOURCE = "__key__", "__as_of__", "__scored_at__", "__source__"
_HEAD = {
    KEY: pl.String(),
    AS_OF: pl.Date(),
    SCORED_AT: pl.Datetime("us", "UTC"),
    RISK: pl.Float64(),
    MARGIN: pl.Float64(),
    SOURCE: pl.String(),
}
_PART = re.compile(r"log/model=(?P<model>[\w.-]+)/date=(?P<date>\d{4}-\d\d-\d\d)/(?P<run>[0-9A-Za-z-]+)\.parquet")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the log. `date` is the day its predictions are about."""

    name: str  # in the store
    model: str
    date: date
    run: str
    size: int  # bytes


def append(
    store: Store,
    scored: pl.DataFrame,
    schema: Schema,
    *,
    model: str,
    as_of: date,
    run: str,
    source: str,
    scored_at: datetime | None = None,
) -> tuple[str, bool]:
    """Log one run of predictions.

    Parameters
    ----------
    scored: one row a customer: key, features, `__risk__`, `__margin__` (`churn.score.batch.Scored.rows`).
    as_of: the day the values were true; the snapshot date of a row goes before it where the schema has one.
    run: the same for the same run, different for any other (`churn.score.batch.run_id`).
    source: where the predictions went, such as `publish` or `file`.
    scored_at: aware moment; now unless given.

    Returns
    -------
    The part's name in the store, and whether it is new (False: this very run was logged before; nothing was written).

    Raises
    ------
    DataError: model or run cannot be part of a name. StoreUnavailable: nothing was written.
    """
    name = f"{PREFIX}model={model}/date={as_of.isoformat()}/{run}.parquet"
    if not _PART.fullmatch(name):
        raise DataError(f"model {model!r} and run {run!r} must be of letters, digits and hyphens to be logged")
    moment = (scored_at or datetime.now(UTC)).astimezone(UTC)
    day = pl.col(schema.snapshot.column) if schema.snapshot else pl.lit(as_of)
    frame = scored.select(
        pl.col(schema.key).alias(KEY),
        day.cast(pl.Date).alias(AS_OF),
        pl.lit(moment).cast(_HEAD[SCORED_AT]).alias(SCORED_AT),
        pl.col(RISK),
        pl.col(MARGIN),
        pl.lit(source).alias(SOURCE),
        *schema.names,
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    try:
        store.write(name, buffer.getvalue(), if_absent=True)
    except StoreConflict:
        return name, False
    return name, True


def parts(store: Store, *, model: str | None = None, since: date | None = None) -> tuple[Part, ...]:
    """The parts of the log by model and date, of one model or from one day on; foreign files are passed over."""
    found = []
    for entry in store.list(f"{PREFIX}model={model}/" if model else PREFIX):
        match = _PART.fullmatch(entry.key)
        if match:
            part = Part(entry.key, match["model"], date.fromisoformat(match["date"]), match["run"], entry.size)
            if since is None or part.date >= since:
                found.append(part)
    return tuple(sorted(found, key=lambda part: (part.model, part.date, part.run)))


def keys(store: Store) -> tuple[frozenset[str], tuple[str, ...]]:
    """Every customer that predictions were logged for, and what is wrong with each part that cannot be read."""
    found, damaged = set[str](), []
    for part in parts(store):
        try:
            found.update(_read(store, part, [KEY])[KEY].unique().to_list())
        except StoreDamaged as error:
            damaged.append(str(error))
    return frozenset(found), tuple(damaged)


def read(
    store: Store, model: str | None = None, since: date | None = None, *, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The log as one table, `__model__` first. A feature that a model did not have is null in its rows.

    Parameters
    ----------
    columns: only these of the log's columns, where memory matters.

    Raises
    ------
    StoreUnavailable: the store is away, or a part is damaged (it names it).
    """
    wanted = None if columns is None else list(columns)
    head = {name: kind for name, kind in _HEAD.items() if wanted is None or name in wanted}
    frames = [pl.DataFrame(schema={"__model__": pl.String(), **head})]
    for part in parts(store, model=model, since=since):
        frames.append(_read(store, part, wanted).select(pl.lit(part.model).alias("__model__"), pl.all()))
    return pl.concat(frames, how="diagonal_relaxed")


def _read(store: Store, part: Part, columns: list[str] | None) -> pl.DataFrame:
    data = store.read(part.name).data
    try:
        return pl.read_parquet(io.BytesIO(data), columns=columns)
    except pl.exceptions.PolarsError as error:
        raise StoreDamaged(f"{store.address}/{part.name} is damaged ({error}); restore it from a backup") from error
