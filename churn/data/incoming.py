"""Whether a table that has just come in may be scored: what a nightly run asks before it shows anything.

`churn.data.quality` says which cells do not fit the schema; this says whether the table as a whole is what it is taken for. Half
an export, a column that came empty, money in cents or last month's file fit their schema cell by cell.

Each check has a verdict. *Bad* holds a batch back: scored, it would put wrong risks on the desk. *Warn* is scored and said.
A share counts as changed only where it is both large and beyond chance, so that a small table is not held back for one odd row.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import polars as pl

from churn import words
from churn.data import quality, values
from churn.data.quality import Violation
from churn.data.schema import Schema
from churn.errors import DataError

Status = Literal["ok", "warn", "bad"]
What = Literal["columns", "schema", "duplicates", "missing", "range", "levels", "rows", "freshness"]
_ORDER: dict[Status, int] = {"bad": 0, "warn": 1, "ok": 2}
_REPEATED, _ABSENT = "must not repeat", "is not in the table"  # how the rules begin
_STRUCTURAL: frozenset[What] = frozenset({"columns", "schema", "duplicates"})
_KINDS: dict[What, str] = {
    "columns": "a column is missing",
    "schema": "cells that cannot be read",
    "duplicates": "customers that come twice",
    "missing": "values that are missing",
    "range": "values out of range",
    "levels": "values never seen",
}
_NAMED = 3  # values or columns that a sentence names
_KEPT = 200  # violations that a report keeps; all of them are counted


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a check warns or holds back. Shares are 0–1, `rows_…` of the rows of the scoring before, days whole."""

    missing_warn: float = 0.05  # more of a column's values missing than where the model was trained
    missing_bad: float = 0.5
    range_warn: float = 0.01  # of a column's values outside what was seen
    range_bad: float = 0.3
    levels_warn: float = 0.01  # of a column's values of a level the schema does not know
    levels_bad: float = 0.5
    rows_warn: tuple[float, float] = (0.9, 1.5)
    rows_bad: tuple[float, float] = (0.7, 4.0)
    age_warn: float = 8.0
    age_bad: float = 45.0
    errors: float = 3.0  # standard errors that a share must differ by to count as changed


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict: `column` is None where it is about the whole table; `value` is the figure judged, `limit` what it broke."""

    what: What
    column: str | None
    status: Status
    words: str
    value: float | None = None
    limit: float | None = None

    @property
    def structural(self) -> bool:
        """Whether it is about what no model can score, or a day that is still to come: nobody's judgement changes that."""
        return self.status == "bad" and (self.what in _STRUCTURAL or self._future)

    @property
    def kind(self) -> str:
        """What is wrong in a few words, without a value from the table."""
        if self.what == "rows":
            return f"far {'fewer' if (self.value or 0) < 1 else 'more'} customers than before"
        if self.what == "freshness":
            if self._future:
                return "a day that is still to come"
            return "older rows than the desk shows" if self.limit == 0 else "rows that are too old"
        return _KINDS[self.what]

    @property
    def _future(self) -> bool:
        return self.what == "freshness" and (self.value or 0) < 0


@dataclass(frozen=True, slots=True)
class IncomingReport:
    """Every verdict on a batch, the bad first. `batch` names its rows: the same rows have the same name.

    `errors`: cells that cannot be scored, in all; `violations` holds the first of them.
    """

    batch: str
    rows: int
    newest: date | None
    checks: tuple[Check, ...]
    errors: int = 0
    violations: tuple[Violation, ...] = ()

    @property
    def status(self) -> Status:
        """The worst verdict."""
        return min((check.status for check in self.checks), key=_ORDER.__getitem__, default="ok")

    @property
    def bad(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "bad")

    @property
    def warnings(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "warn")

    @property
    def releasable(self) -> bool:
        """Whether somebody may say that the table is right after all: a judgement can be wrong, a missing column is not there."""
        return not any(check.structural for check in self.checks)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.status == "bad":
            others = len(self.bad) - 1
            more = f" {words.capital(words.counted(others, 'more check'))} failed." if others else ""
            return f"This table must not be scored. {self.bad[0].words}{more}"
        if self.status == "warn":
            verb = "deserves" if len(self.warnings) == 1 else "deserve"
            return f"This table can be scored; {words.counted(len(self.warnings), 'thing')} {verb} a look."
        return "This table is what it should be."


def inspect(
    raw: pl.DataFrame,
    schema: Schema,
    reference: pl.DataFrame,
    *,
    rows_before: int | None = None,
    shown: date | None = None,
    as_of: date | None = None,
    today: date | None = None,
    limits: Limits = LIMITS,
) -> IncomingReport:
    """Judge a batch before it is scored. Nothing in a table stops this; what is wrong is in the report.

    Parameters
    ----------
    raw: as `churn.data.source.read_table` gives it.
    reference: conformed features of where the model was trained (`Bundle.reference`): what shares are held against.
    rows_before: how many customers the scoring on the desk has; None where there is none.
    shown: the day that scoring is about.
    as_of: the day these rows are about, for a table without snapshots; without it their age cannot be judged.
    today: the day it is, in UTC, unless given.
    """
    table, report = quality.look(raw, schema)
    today = today or datetime.now(UTC).date()
    newest = _newest(table, schema, as_of)
    checks = [
        *_schema(report.errors),
        *_duplicates(report.errors, schema),
        *_missing(table, reference, schema, limits),
        *_ranges(table, schema, limits),
        *_levels(table, schema, limits),
        *_rows(_customers(table, schema), rows_before, limits),
        *_freshness(newest, shown, today, limits),
    ]
    checks.sort(key=lambda check: _ORDER[check.status])  # stable: in the order of the checks within
    errors = report.errors
    return IncomingReport(batch_id(raw), raw.height, newest, tuple(checks), len(errors), errors[:_KEPT])


def batch_id(raw: pl.DataFrame) -> str:
    """Names a table by its columns and cells, 16 hexadecimal digits; order counts, file type does not."""
    table = raw.select(values.as_text(column).alias(column.name) for column in raw.get_columns())
    return hashlib.sha256(table.write_csv(quote_style="always").encode()).hexdigest()[:16]


def refuse(report: IncomingReport) -> None:
    """Raise DataError for a batch that must not be scored."""
    if report.status == "bad":
        raise DataError(" ".join(check.words for check in report.bad), report.violations)


# -- the checks ----------------------------------------------------------------------------------------------------------


def _schema(errors: tuple[Violation, ...]) -> Iterator[Check]:
    columns = [error for error in errors if error.rule.startswith(_ABSENT)]
    cells = [error for error in errors if not error.rule.startswith((_ABSENT, _REPEATED))]
    if columns:
        yield Check("columns", None, "bad", f"{words.capital(quality.message(columns))}.", float(len(columns)), 0.0)
    if cells:
        yield Check("schema", None, "bad", f"{words.capital(quality.message(cells))}.", float(len(cells)), 0.0)
    elif not columns:
        yield Check("schema", None, "ok", "Every cell can be read as the schema says.", 0.0, 0.0)


def _duplicates(errors: tuple[Violation, ...], schema: Schema) -> Iterator[Check]:
    found = [error for error in errors if error.rule.startswith(_REPEATED)]
    if found:
        again = "row repeats a customer" if len(found) == 1 else "rows repeat a customer"
        first = f"row {found[0].row} has {found[0].value!r} again"
        told = f"{words.count(len(found))} {again}, and a customer may come once{' a day' if schema.snapshot else ''}; {first}."
        yield Check("duplicates", schema.key, "bad", told, float(len(found)), 0.0)
    else:
        yield Check("duplicates", schema.key, "ok", "No customer comes twice.", 0.0, 0.0)


def _missing(table: pl.DataFrame, reference: pl.DataFrame, schema: Schema, limits: Limits) -> Iterator[Check]:
    told = False
    for feature in schema.features:
        if feature.name not in table.columns or feature.name not in reference.columns or table.is_empty():
            continue
        column, usual = table[feature.name], reference[feature.name]
        share, before = column.null_count() / len(column), usual.null_count() / max(1, len(usual))
        more = share - before
        if not _beyond_chance(more, share, len(column), before, len(usual), limits):
            continue
        status = _status(more, limits.missing_warn, limits.missing_bad)
        if status != "ok":
            told = True
            limit = limits.missing_bad if status == "bad" else limits.missing_warn
            sentence = f"{feature.label} is missing for {words.percent(share)}, and was for {words.percent(before)} in training."
            yield Check("missing", feature.name, status, sentence, more, limit)
    if not told:
        yield Check("missing", None, "ok", "No column has more values missing than it had in training.")


def _ranges(table: pl.DataFrame, schema: Schema, limits: Limits) -> Iterator[Check]:
    told = False
    for feature in schema.numbers:
        if feature.range is None or feature.name not in table.columns:
            continue
        known = table[feature.name].drop_nulls()
        low, high = feature.range
        outside = known.filter((known < low) | (known > high))
        share = len(outside) / max(1, len(known))
        status = _status(share, limits.range_warn, limits.range_bad)
        if status != "ok":
            told = True
            limit = limits.range_bad if status == "bad" else limits.range_warn
            span = words.interval(words.exact(low, feature, schema), words.exact(high, feature, schema))
            odd = words.exact(_farthest(outside, low, high), feature, schema)
            sentence = f"{feature.label}: {words.percent(share)} of its values are outside {span}, such as {odd}."
            yield Check("range", feature.name, status, sentence, share, limit)
    if not told:
        yield Check("range", None, "ok", "Numbers are in the range seen in training.")


def _levels(table: pl.DataFrame, schema: Schema, limits: Limits) -> Iterator[Check]:
    told = False
    for feature in schema.categories:
        if feature.name not in table.columns:
            continue
        known = table[feature.name].drop_nulls()
        strange = known.filter(~known.is_in(list(values.level_values(feature))))
        share = len(strange) / max(1, len(known))
        status = _status(share, limits.levels_warn, limits.levels_bad)
        if status != "ok":
            told = True
            limit = limits.levels_bad if status == "bad" else limits.levels_warn
            counted = strange.alias("level").value_counts().sort(["count", "level"], descending=[True, False])
            named = words.sentence_list(repr(level) for level in counted["level"].head(_NAMED))
            sentence = f"{feature.label}: {words.percent(share)} of its values are new, such as {named}."
            yield Check("levels", feature.name, status, sentence, share, limit)
    if not told:
        yield Check("levels", None, "ok", "Every level is one the model knows.")


def _rows(rows: int, before: int | None, limits: Limits) -> Iterator[Check]:
    if not before:
        yield Check("rows", None, "ok", f"{words.capital(words.counted(rows, 'customer'))}; there is no scoring to compare with.")
        return
    ratio = rows / before
    status: Status = "ok"
    limit = None
    for name, (low, high) in (("warn", limits.rows_warn), ("bad", limits.rows_bad)):
        if not low <= ratio <= high:
            status, limit = ("bad" if name == "bad" else "warn"), low if ratio < low else high
    told = f"{words.capital(words.counted(rows, 'customer'))}; the desk showed {words.count(before)}."
    if ratio < limits.rows_bad[0]:
        told += " This looks like part of an export."
    yield Check("rows", None, status, told, ratio, limit)


def _freshness(newest: date | None, shown: date | None, today: date, limits: Limits) -> Iterator[Check]:
    if newest is None:
        yield Check("freshness", None, "ok", "The rows do not say which day they are about.")
        return
    age = (today - newest).days
    about = f"The newest rows are about {words.day(newest)}"
    if age < -1:  # where the day begins first it is tomorrow already
        yield Check("freshness", None, "bad", f"{about}, which lies in the future.", float(age), 0.0)
    elif shown is not None and newest < shown:
        behind = float((shown - newest).days)
        yield Check("freshness", None, "bad", f"{about}, and the desk shows {words.day(shown)} already.", behind, 0.0)
    else:
        status = _status(float(age), limits.age_warn, limits.age_bad, strictly=True)
        limit = {"ok": None, "warn": limits.age_warn, "bad": limits.age_bad}[status]
        old = f", {words.counted(age, 'day')} ago" if age > 0 else ""
        yield Check("freshness", None, status, f"{about}{old}.", float(age), limit)


# -- what they share -----------------------------------------------------------------------------------------------------


def _status(value: float, warn: float, bad: float, *, strictly: bool = False) -> Status:
    for name, limit in (("bad", bad), ("warn", warn)):
        if value > limit or (value == limit and not strictly):
            return "bad" if name == "bad" else "warn"
    return "ok"


def _beyond_chance(more: float, share: float, rows: int, before: float, rows_before: int, limits: Limits) -> bool:
    """Whether two shares differ by more than their sampling: the difference in standard errors of the pooled share."""
    if not rows or not rows_before:
        return False
    pooled = (share * rows + before * rows_before) / (rows + rows_before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / rows_before))
    return more > limits.errors * error


def _farthest(outside: pl.Series, low: float, high: float) -> float:
    least, most = _float(outside.min()), _float(outside.max())
    return most if most - high >= low - least else least


def _float(value: Any) -> float:
    return float(value)


def _newest(table: pl.DataFrame, schema: Schema, as_of: date | None) -> date | None:
    if schema.snapshot is None or schema.snapshot.column not in table.columns:
        return as_of
    found = table[schema.snapshot.column].max()
    return found if isinstance(found, date) else as_of


def _customers(table: pl.DataFrame, schema: Schema) -> int:
    """How many customers there are: in a table of several snapshots each counts once."""
    return table[schema.key].n_unique() if schema.key in table.columns else table.height
