"""Outcomes: who left and who stayed, as it becomes known, beside the predictions they will be judged by.

Parts in the store, `outcomes/HASH.parquet`, named by what is in them: importing the same rows again changes nothing. They are
evidence and never altered. What is imported later adds to what was known:

- In a table with snapshots two answers about one snapshot are about the same days, so the one known last holds.
- Without them a customer who left is still gone in the next export, so leaving holds from the first day that says it, and "still
  there" on that day or later contradicts it. An import says whom it contradicts; one that contradicts what is known of many is
  taken for a mistake (Yes and No swapped, another customer's keys) and refused before anything is written.
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from churn import words
from churn.data import values
from churn.data.schema import Schema
from churn.errors import DataError, StoreConflict, StoreDamaged
from churn.model.store import Store
from churn.score import forgotten, log

PREFIX = "outcomes/"
KEY, AS_OF, LEFT, KNOWN_AT = log.KEY, log.AS_OF, "__left__", "__known_at__"
KNOWN_AT_COLUMN, LEFT_COLUMN = "known_at", "left"
_SCHEMA = {KEY: pl.String(), AS_OF: pl.Date(), LEFT: pl.Int8(), KNOWN_AT: pl.Date()}
_PART = re.compile(r"outcomes/[0-9a-f]{20}\.parquet")
_SHOWN = 20
_MANY, _SHARE = 20, 0.1  # customers of whom an import may newly contradict what is known, and their share of those it touches
_AGAINST = "they are said to have left, and to have still been there on that day or later"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken: its number (from 1), the cell, and the rule it breaks."""

    row: int
    column: str
    value: str | None
    rule: str

    def __str__(self) -> str:
        return (
            f"row {self.row}: column {self.column!r} {self.rule}; it has {'nothing' if self.value is None else repr(self.value)}"
        )


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What an import did. `refused` names every row that was not taken; the others were.

    `left` of `accepted` customers left; `unknown_keys` were never predicted for (accepted all the same; `examples` names some);
    `new` is False where these very rows had been imported before; `part` is their name in the store, None if there were none;
    `contradicted`: customers of whom it is said by now both that they left and that they were there on that day or later;
    `damaged`: what is wrong with each part of the log that could not be looked into for who was predicted for;
    `forgotten`: rows left out, neither accepted nor refused, because their customers asked to be forgotten.
    """

    accepted: int
    left: int
    refused: tuple[Refusal, ...]
    unknown_keys: int
    examples: tuple[str, ...]
    part: str | None
    new: bool
    damaged: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    forgotten: int = 0


def import_outcomes(
    table: pl.DataFrame,
    schema: Schema,
    store: Store,
    *,
    known: Collection[str] | None = None,
    today: date | None = None,
    force: bool = False,
) -> OutcomeReport:
    """Check outcomes and add them to the store.

    The table has the key, the snapshot date the outcome belongs to (where the schema has one), whether the customer left (the
    target's column with the target's values, or a column `left` that says yes or no), and `known_at`: the day they left, or the
    first on which that was known; for who stayed, a day on which they were still there.

    Parameters
    ----------
    table: raw, as `churn.data.source.read_table` gives it.
    known: keys that predictions exist for; read from the log unless given.
    today: no outcome can be known later than that; the day it is unless given.
    force: take rows that contradict what is known, however many they are.

    Raises
    ------
    DataError: a column is missing, dates in it cannot be read for certain, or the rows newly contradict what is known of 20
        customers or more and of more than a tenth of those they touch; nothing was written. Single bad rows are refused, not
        raised.
    """
    if table.is_empty():
        raise DataError("the outcomes have no rows")
    rows, refused, left_out = _read(table, schema, today or datetime.now(UTC).date(), forgotten.of(store))
    contradicted = _contradicted(rows, store, force=force)
    part, new = (None, False) if rows.is_empty() else _write(rows, store)
    have, damaged = (frozenset(known), ()) if known is not None else log.keys(store)
    strangers = rows.filter(~pl.col(KEY).is_in(list(have)))[KEY].unique(maintain_order=True)
    return OutcomeReport(
        accepted=rows.height,
        left=int(rows[LEFT].sum() or 0),
        refused=refused,
        unknown_keys=len(strangers),
        examples=tuple(strangers.head(_SHOWN).to_list()),
        part=part,
        new=new,
        damaged=damaged,
        contradicted=contradicted,
        forgotten=left_out,
    )


def read(store: Store) -> pl.DataFrame:
    """Every outcome, one row a customer and date: `__key__`, `__as_of__` (null without snapshots), `__left__`, `__known_at__`.

    Who left did so by the first day that says it, who stayed by the last. Of a snapshot the answer known last holds, on the same
    day having left; without snapshots whoever left once has left.
    """
    told = statements(store)
    which = (KEY, AS_OF)
    gone = told.filter(pl.col(LEFT) == 1).unique(which, keep="first", maintain_order=True).select(*which, first=KNOWN_AT)
    last = told.unique(which, keep="last", maintain_order=True)
    found = last.join(gone, on=which, how="left", nulls_equal=True, maintain_order="left")
    left = (pl.col(LEFT) == 1) | (pl.col(AS_OF).is_null() & pl.col("first").is_not_null())
    return found.select(
        *which,
        pl.when(left).then(1).otherwise(0).cast(pl.Int8).alias(LEFT),
        pl.when(left).then("first").otherwise(KNOWN_AT).alias(KNOWN_AT),
    )


def statements(
    store: Store,
    *,
    since: date | None = None,
    until: date | None = None,
    spans: dict[str, tuple[date, date]] | None = None,
) -> pl.DataFrame:
    """All that was ever imported, with the columns of `read`, by customer and date, the earliest known first.

    Parameters
    ----------
    since, until: only what is said of snapshots from one day to another; what names no snapshot is there all the same.
    spans: for whoever asks time after time: takes which days each part is about, so that the next call reads none in vain.
    """
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for entry in store.list(PREFIX):
        first, last = (spans or {}).get(entry.key, (date.min, date.max))
        if not _PART.fullmatch(entry.key) or (since and last < since) or (until and first > until):
            continue
        try:
            part = pl.read_parquet(io.BytesIO(store.read(entry.key).data))
        except pl.exceptions.PolarsError as error:
            raise StoreDamaged(f"{store.address}/{entry.key} is damaged ({error}); restore it from a backup") from error
        day = pl.col(AS_OF)
        if spans is not None and part.height and not part[AS_OF].null_count():
            spans[entry.key] = part.select(day.min(), last=day.max()).row(0)
        frames.append(part.filter(day.is_null() | day.is_between(since or date.min, until or date.max)))
    return pl.concat(frames).unique().sort(KEY, AS_OF, KNOWN_AT, LEFT)


def _contradicted(rows: pl.DataFrame, store: Store, *, force: bool) -> tuple[str, ...]:
    """Of the customers of an import, those of whom both will be said: that they left, and that they were there no earlier.

    Raises
    ------
    DataError: they are too many for corrections, not counting those of whom both is said already.
    """
    if rows.is_empty():
        return ()
    told = statements(store).join(rows.select(KEY, AS_OF), on=(KEY, AS_OF), how="semi", nulls_equal=True)
    both = _both(pl.concat([told, rows]))
    fresh, touched = sorted(both - _both(told)), told[KEY].n_unique()
    if not force and len(fresh) >= _MANY and len(fresh) > _SHARE * touched:
        whom, share = words.counted(len(fresh), "customer"), words.percent(len(fresh) / touched)
        raise DataError(
            f"the outcomes contradict what is known of {whom}, {share} of the {words.count(touched)} of whom an outcome is known "
            f"already, such as {words.sentence_list(fresh[:2])}: {_AGAINST}. Nothing was recorded. "
            "Are Yes and No swapped, or the keys another table's? To take them all the same: churn outcomes import … --force"
        )
    return tuple(sorted(both))


def _both(told: pl.DataFrame) -> set[str]:
    """Customers of whom it is said that they left, and that they were there on that day or later."""
    gone = pl.col(KNOWN_AT).filter(pl.col(LEFT) == 1).min()
    stayed = pl.col(KNOWN_AT).filter(pl.col(LEFT) == 0).max()
    both = told.group_by(KEY, AS_OF).agg(gone=gone, stayed=stayed).filter(pl.col("stayed") >= pl.col("gone"))
    return set(both[KEY].to_list())


def _write(rows: pl.DataFrame, store: Store) -> tuple[str, bool]:
    buffer = io.BytesIO()
    rows.write_csv(buffer, quote_style="non_numeric")
    name = f"{PREFIX}{hashlib.sha256(buffer.getbuffer()).hexdigest()[:20]}.parquet"
    part = io.BytesIO()
    # with something only this writer knows, so that a store can tell our part from the same one written before
    rows.write_parquet(part, compression="zstd", metadata={"writer": uuid.uuid4().hex})
    try:
        store.write(name, part.getvalue(), if_absent=True)
    except StoreConflict:
        return name, False
    return name, True


# -- reading the table -------------------------------------------------------------------------------------------------


def _read(
    table: pl.DataFrame, schema: Schema, today: date, gone: forgotten.Forgotten = forgotten.NOBODY
) -> tuple[pl.DataFrame, tuple[Refusal, ...], int]:
    outcome = schema.target.column if schema.target.column in table.columns else LEFT_COLUMN
    for column in (schema.key, *([schema.snapshot.column] if schema.snapshot else []), outcome, KNOWN_AT_COLUMN):
        if column not in table.columns:
            also = f" (nor {schema.target.column!r})" if column == LEFT_COLUMN else ""
            raise DataError(
                f"column {column!r}{also} is not in the outcomes; they have {', '.join(map(repr, table.columns[:10]))}"
            )
    key = values.keys(table[schema.key])
    key = key.set(values.blank(key), None)
    nobody = gone.among(key)  # not refused, for a refusal shows a cell of theirs
    refusals = _Refusals(table, nobody)
    refusals.add(schema.key, key.is_null(), "is the key and must not be empty")
    left = _left(table[outcome], schema)
    expected = f"{schema.target.positive!r} or what is not it" if outcome == schema.target.column else "yes or no"
    if outcome == schema.target.column and schema.target.negative is not None:
        expected = f"{schema.target.positive!r} or {schema.target.negative!r}"
    refusals.add(outcome, left.is_null(), f"must be {expected}")
    known_at = _days(table[KNOWN_AT_COLUMN], schema)
    refusals.add(KNOWN_AT_COLUMN, known_at.is_null(), "must be a date")
    refusals.add(KNOWN_AT_COLUMN, known_at > today, f"must not lie in the future (today is {today.isoformat()})")
    as_of = pl.Series([None] * table.height, dtype=pl.Date)
    if schema.snapshot:
        as_of = _days(table[schema.snapshot.column], schema)
        refusals.add(schema.snapshot.column, as_of.is_null(), "must be a date")
        refusals.add(KNOWN_AT_COLUMN, known_at < as_of, f"must not be before {schema.snapshot.column!r}")
        over = as_of + timedelta(days=schema.snapshot.horizon_days)
        rule = f"must be {schema.snapshot.horizon_days} days or more after {schema.snapshot.column!r} for who stayed"
        refusals.add(KNOWN_AT_COLUMN, (known_at < over) & (left == 0), rule)
    rows = pl.DataFrame({KEY: key, AS_OF: as_of, LEFT: left, KNOWN_AT: known_at})
    apart = rows.select((pl.col(LEFT).n_unique().over(KEY, AS_OF, KNOWN_AT) > 1).fill_null(False)).to_series()
    refusals.add(outcome, apart & key.is_not_null(), "says two different things about one customer on one day")
    rows = rows.filter(~refusals.rows).unique(maintain_order=True).sort(KEY, AS_OF, KNOWN_AT)
    return rows, refusals.by_row, int(nobody.sum())


class _Refusals:
    """Rows that are not taken so far: those left out from the start, and those refused, each for its first reason only."""

    def __init__(self, table: pl.DataFrame, left_out: pl.Series) -> None:
        self._table = table
        self.rows = left_out
        self._found: list[Refusal] = []

    @property
    def by_row(self) -> tuple[Refusal, ...]:
        return tuple(sorted(self._found, key=lambda refusal: refusal.row))

    def add(self, column: str, where: pl.Series, rule: str) -> None:
        fresh = where.fill_null(False) & ~self.rows
        places = fresh.arg_true().to_list()
        cells = values.as_text(self._table[column].gather(places)).to_list()
        self._found += [Refusal(place + 1, column, cell, rule) for place, cell in zip(places, cells, strict=True)]
        self.rows = self.rows | fresh


def _days(column: pl.Series, schema: Schema) -> pl.Series:
    read = values.dates(column, schema.missing)
    if read.ambiguous:
        raise DataError(f"column {column.name!r}: its dates can be read in two ways; write them as YEAR-MONTH-DAY")
    return read.values


def _left(column: pl.Series, schema: Schema) -> pl.Series:
    """1 = left, 0 = stayed, null = cannot be told; Int8."""
    target = schema.target
    if column.name == target.column:
        known = (target.positive, *([target.negative] if target.negative is not None else []))
        level = values.levels(column, known, schema.missing)
        gone = level == target.positive
        stayed = level == target.negative if target.negative is not None else level.is_not_null() & ~gone
    else:
        text = values.as_text(column).str.strip_chars().str.to_lowercase()
        gone, stayed = text.is_in(list(values.YES)), text.is_in(list(values.NO))
    return pl.select(pl.when(gone.fill_null(False)).then(1).when(stayed.fill_null(False)).then(0).cast(pl.Int8)).to_series()
