"""The scored customers, read-only, asked in SQL; at most a few hundred rows leave it.

A scoring is parquet. The first opening turns it into a DuckDB file in the cache, with what every query needs made ready: the
group each value falls in as a small integer, and the parts of the sums of `churn.base.value`. Later openings take that file
as it is. Inside, columns have names of our own (`f0`, `g0` …), so no column name of a table ever meets SQL.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn.base.groups import BAND, NOT_KNOWN, Filter, Group, band_groups, groups
from churn.base.points import (
    HUNDREDTHS,
    Dots,
    Importance,
    PastRisk,
    Spot,
    as_share,
    bin_sql,
    joined_bins,
    spot_sql,
    weights,
    weights_sql,
)
from churn.base.value import (
    SUMS_SQL,
    WL_SQL,
    Covariance,
    Interval,
    Sums,
    leavers_interval,
    revenue_interval,
)
from churn.data.holdout import CUSTOMER, key_hash
from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError, StoreUnavailable
from churn.model import manifest
from churn.model.store import disk
from churn.settings import Settings

ROWS, CONTACTS = "rows.parquet", "contacts.parquet"
POINTS, HISTORY = "points.parquet", "history.parquet"  # rows in the order of those of ROWS
RISK, MARGIN, LEFT = "__risk__", "__margin__", "__left__"
SAMPLED = "__sample__"  # in POINTS, where not all customers have them: whether averages count this one
FORMAT = 5  # of the file in the cache; a change makes it anew
MOST_ROWS = 500
_FACTS = {"run", "model", "as_of", "rows", "edges", "calibration_covariance"}
_KEPT = 4  # files of earlier scorings that stay in the cache
_MEMORY = "160MB"
_DOTS = 500  # customers a chart shows one by one
Order = Literal["revenue", "risk"]


def reason_column(rank: int) -> str:
    """The column with the index of the feature that is reason number `rank` (from 1)."""
    return f"__reason_{rank}__"


def points_column(rank: int) -> str:
    """The column with the points (0–1 scale) of that reason."""
    return f"__points_{rank}__"


def past_column(place: int) -> str:
    """The column of HISTORY with the risks of earlier scoring number `place` (from 0, the oldest)."""
    return f"risk_{place}"


@dataclass(frozen=True, slots=True)
class BandTotal:
    """One risk band: how many, how many of them leave, and what they take (None without money)."""

    name: str
    customers: int
    expected_leavers: float
    revenue_at_risk: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What a filter adds up to. Money is in the schema's currency per its period; None where the table has none.

    `average_risk` is None for nobody. `left` of `outcomes_known` customers did leave, where that is known at all.
    `without_money` customers have no known money and count in everything but `revenue_at_risk` and `revenue`.
    """

    customers: int
    expected_leavers: float
    average_risk: float | None
    revenue_at_risk: float | None
    revenue: float | None
    leavers_interval: Interval | None
    interval: Interval | None
    by_band: tuple[BandTotal, ...]
    without_money: int
    outcomes_known: int
    left: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram of risk: from `low` up to, not including, `high` (the last one includes 1)."""

    low: float
    high: float
    band: str
    customers: int
    revenue_at_risk: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One of the features that matter most for a customer, with its signed points (0–1 scale)."""

    feature: str
    points: float


@dataclass(frozen=True, slots=True)
class Customer:
    """One scored customer. `row` is its conformed row: key, features, money and snapshot date by column name."""

    key: str
    risk: float
    margin: float
    band: str
    money: float | None
    revenue_at_risk: float | None
    as_of: date | None
    left: bool | None
    reasons: tuple[Reason, ...]
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A customer whose reasons are like another's: `distance` is the sum over all features of how far their points lie apart,
    0–1 scale, so that 0.05 is five points in all."""

    customer: Customer
    distance: float


@dataclass(frozen=True, slots=True)
class Segment:
    """The customers of one combination of groups, within a filter that is already part of `filter`.

    `share` is of the customers the filter of the question leaves; `small` says there are too few to say anything.
    `foreseen` is the average risk of those whose outcome is known, from models that had not seen them: what the share that
    left can be held against (`OutOfFold`); None where the model learnt from none of them.
    """

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    filter: Filter
    customers: int
    share: float
    expected_leavers: float
    average_risk: float
    revenue_at_risk: float | None
    leavers_interval: Interval | None
    interval: Interval | None
    outcomes_known: int
    left: int
    small: bool
    foreseen: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """What offers bring in one group: `worthwhile` of `customers` are worth one, and these bring `money` together.

    `average_risk` is 0–1; `average_money` is of those with known money, in the schema's currency per its period, None for none.
    """

    label: str
    customers: int
    average_risk: float
    average_money: float | None
    worthwhile: int
    money: float


@dataclass(frozen=True, slots=True)
class Lead:
    """The reason that stands first most often in a group, besides the columns that make the group.

    It is one that raises the risk where the group's is above the average, and one that lowers it where it is below.
    `raises`: whether it raises their risk or lowers it; `share`: of the group's customers, those for whom it stands first.
    """

    feature: str
    raises: bool
    share: float


@dataclass(frozen=True, slots=True)
class Move:
    """Customers who fared alike between two scorings, in and out of some groups.

    `was`, `now`: "in" the groups, "elsewhere" in the base, or "gone"; `band_was`, `band_now`: code of the risk band, None where
    gone; `risk_was`, `risk_now`, `money_was`, `money_now`: sums of risk and of revenue at risk.
    """

    was: str
    now: str
    band_was: int | None
    band_now: int | None
    customers: int
    risk_was: float
    risk_now: float
    money_was: float
    money_now: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Some of the customers of a filter, chosen by a hash of their key, as codes of their groups.

    `codes`: uint8 [columns, customers]; `risk`: float64 [customers]; one in `every` of all customers was taken.
    """

    columns: tuple[str, ...]
    codes: NDArray[np.uint8]
    risk: NDArray[np.float64]
    every: int


@dataclass(frozen=True, eq=False, slots=True)
class Pool:
    """Everybody of a filter, one by one, in the order of the base: what a call list is ranked from.

    `places`: int64 [n], rising, where in the base each stands; `risk`: float64 [n], 0–1; `money`: float64 [n], in the schema's
    currency per its period, NaN where not known; None where the table has none.
    """

    places: NDArray[np.int64]
    risk: NDArray[np.float64]
    money: NDArray[np.float64] | None

    def without(self, places: NDArray[np.int64]) -> Pool:
        """The same but for those at some places of the base."""
        stay = ~np.isin(self.places, places, assume_unique=True)
        return Pool(self.places[stay], self.risk[stay], None if self.money is None else self.money[stay])


def rows_at(path: Path, places: NDArray[np.int64], columns: Sequence[str]) -> pl.DataFrame:
    """Columns of some rows of a scoring's file, by their place in the base and in that order; the others are not read.

    For few rows: at most `MOST_ROWS` at a time. Raises StoreUnavailable where the disk refuses.
    """
    named = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    wanted = ", ".join(str(int(place)) for place in places[:MOST_ROWS])
    source = "read_parquet(?, file_row_number = true)"
    sql = f"SELECT {named}, file_row_number AS place_ FROM {source} WHERE file_row_number IN ({wanted})"
    try:
        with duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY}) as connection:
            found = pl.from_arrow(connection.sql(sql, params=[str(path)]).to_arrow_table())
    except duckdb.IOException as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error
    assert isinstance(found, pl.DataFrame)
    asked = pl.DataFrame({"place_": places[:MOST_ROWS]})
    return asked.join(found, on="place_", how="left", maintain_order="left").select(columns)


@dataclass(frozen=True)
class OutOfFold:
    """What a model's training foresaw for its own customers without having seen them: `read` gives that file of its bundle."""

    salt: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Snapshot:
    """A published scoring of the base, open for questions. Safe to ask from many threads at once."""

    facts: Mapping[str, Any]  # the scoring's manifest
    schema: Schema
    small_group: int
    _connection: duckdb.DuckDBPyConnection
    _file: Path
    _columns: Mapping[str, str]  # column of the table → its name inside
    _groups: Mapping[str, tuple[Group, ...]]
    _codes: Mapping[str, str]  # column that can be grouped → its column of codes inside
    _labels: Mapping[str, tuple[str, ...]]
    _present: Mapping[str, tuple[int, ...]]
    _reasons: int
    _points: tuple[str, ...]  # columns of points inside, in the schema's order; none where the scoring has none
    _sums: str
    _outcomes: str
    _lock: threading.Lock

    # -- opening -------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path, schema: Schema, settings: Settings, out_of_fold: OutOfFold | None = None) -> Snapshot:
        """Open the scoring in `folder` (from `Registry.scoring_folder`, hence verified).

        Parameters
        ----------
        out_of_fold: from the bundle of the model that scored it; only a table without dates needs it, whose outcomes are those
            the model learnt from.

        Raises
        ------
        BundleRejected: the folder is no scoring, or was made with another schema.
        StoreUnavailable: the cache cannot be written, or is full.
        """
        folder = Path(folder)
        with disk(folder, "read"):
            document = manifest.parse((folder / manifest.NAME).read_bytes(), str(folder / manifest.NAME), "scoring")
            for name in _FACTS - document.keys():
                raise BundleRejected(f"{folder / manifest.NAME}: field {name!r} is missing, so this is no scoring of the base")
            if document["schema_hash"] != schema.hash:
                raise BundleRejected(f"{folder}: it was scored with another schema than the model's; score the base again")
            columns, beside = _columns(folder, ROWS), {}
            for name in (POINTS, HISTORY):
                if name in document["files"]:
                    beside[name] = _columns(folder, name)
        layout = _Layout.of(columns, schema, document, beside)
        known = out_of_fold if schema.snapshot is None and LEFT in columns else None
        connection, file = _open(folder, document, layout, settings.path("cache") / "base", known)
        present: dict[str, tuple[int, ...]] = {}
        for column, code in connection.execute("SELECT col, code FROM present ORDER BY col, code").fetchall():
            name = layout.grouped[column]
            present[name] = (*present.get(name, ()), code)
        return cls(
            facts=MappingProxyType(document),
            schema=schema,
            small_group=settings.small_group,
            _connection=connection,
            _file=file,
            _columns=layout.inside,
            _groups=layout.groups,
            _codes=layout.codes,
            _labels={BAND: band_groups(schema), **{name: tuple(g.label for g in found) for name, found in layout.groups.items()}},
            _present=present,
            _reasons=layout.reasons,
            _points=layout.points,
            **_lean(connection),
            _lock=threading.Lock(),
        )

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- about it ------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id it was published with, else that of its run."""
        return str(self.facts.get("id", self.facts["run"]))

    @property
    def model(self) -> str:
        """The version of the model that scored it."""
        return str(self.facts["model"])

    @property
    def as_of(self) -> date:
        return date.fromisoformat(self.facts["as_of"])

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.facts["created"])

    @property
    def simulated(self) -> bool:
        return bool(self.facts["simulated"])

    @property
    def customers(self) -> int:
        """How many customers there are in all."""
        return int(self.facts["rows"])

    @property
    def has_money(self) -> bool:
        return self.schema.money is not None

    def groups(self, column: str) -> tuple[str, ...]:
        """The labels of a column's groups that anybody is in, in their order; `BAND` for the risk bands.

        Raises DataError for a column that cannot be grouped.
        """
        labels = self._all_labels(column)
        return labels if column == BAND else tuple(labels[code] for code in self._present.get(column, ()))

    @property
    def outcomes_tell(self) -> bool:
        """Whether who left can be read from the known outcomes: with dates, whoever left is no longer in the base."""
        return self.schema.snapshot is None

    @property
    def has_points(self) -> bool:
        """Whether the scoring keeps the points of every column; those made by an earlier version do not."""
        return bool(self._points)

    @property
    def sampled(self) -> int | None:
        """How many customers averages of points are made from; None where all of them count."""
        sampled: int | None = self.facts.get("sampled")
        return sampled

    @property
    def typical_risk(self) -> float:
        """The risk (0–1) of the model's typical customer, from which the points start."""
        return float(self.facts["typical_risk"])

    @property
    def covariance(self) -> Covariance | None:
        """How sure the model is of its calibration, see `churn.base.value`; None where it brought nothing."""
        covariance: Covariance | None = self.facts.get("calibration_covariance")
        return covariance

    def label(self, column: str, code: int) -> str:
        """The label of the group with that code in a `Sample`."""
        return self._all_labels(column)[code]

    def group(self, column: str, label: str) -> Group:
        """A group itself, to ask the same of another table. Raises DataError if there is none of that label."""
        return self._groups[column][self._code(column, label)]

    # -- questions -----------------------------------------------------------

    def totals(self, filter: Filter = Filter()) -> Totals:
        """What the customers of a filter add up to, in all and by risk band."""
        where, values = self._where(filter)
        rows = self._ask(f"SELECT band, {self._outcomes}, {self._sums} FROM base {where} GROUP BY band", values)
        by_code = {row[0]: Sums(*row[4:]) for row in rows}
        total = _add(by_code.values())
        bands = tuple(
            BandTotal(name, part.customers, part.p, part.pv if self.has_money else None)
            for code, name in enumerate(band_groups(self.schema))
            for part in (by_code.get(code, Sums()),)
        )
        return Totals(
            customers=total.customers,
            expected_leavers=total.p,
            average_risk=total.p / total.customers if total.customers else None,
            revenue_at_risk=total.pv if self.has_money else None,
            revenue=total.money if self.has_money else None,
            leavers_interval=leavers_interval(total, self.covariance),
            interval=revenue_interval(total, self.covariance),
            by_band=bands,
            without_money=total.customers - total.with_money if self.has_money else 0,
            outcomes_known=sum(row[1] for row in rows),
            left=int(sum(row[2] for row in rows)),
        )

    def histogram(self, filter: Filter = Filter(), step: float = 0.05) -> tuple[Bar, ...]:
        """Customers by risk in equal steps, empty ones too.

        Parameters
        ----------
        step: width of a bar, a risk; the last bar is narrower where it does not divide 1.
        """
        if not 0.002 <= step <= 1:
            raise DataError(f"the step of a histogram must be between 0.002 and 1; it is {step}")
        bars = round(1 / step + 0.499999)
        where, values = self._where(filter)
        # the tiny addend puts a risk of exactly 0.15 in the bar that starts there, though 0.15 / 0.05 is 2.9999999999999996
        bar = "least(floor(p / ? + 1e-9), ?)::INTEGER"
        sql = f"SELECT {bar} AS bar, count(*), coalesce(sum(p * v), 0) FROM base {where} GROUP BY bar"
        found = {bar: (customers, revenue) for bar, customers, revenue in self._ask(sql, [step, bars - 1, *values])}
        return tuple(
            Bar(
                low=round(bar * step, 9),
                high=min(round((bar + 1) * step, 9), 1.0),
                band=self.schema.band(round(bar * step, 9)).name,
                customers=found.get(bar, (0, 0.0))[0],
                revenue_at_risk=found.get(bar, (0, 0.0))[1] if self.has_money else None,
            )
            for bar in range(bars)
        )

    def top_customers(
        self, filter: Filter = Filter(), limit: int = 20, order: Order = "revenue", offset: int = 0
    ) -> tuple[Customer, ...]:
        """The customers with most revenue at risk, or most risk; the key decides between equals.

        Without money in the schema both orders are by risk. At most `MOST_ROWS`; `offset` turns the page.
        """
        where, values = self._where(filter)
        by = "pv DESC NULLS LAST, p DESC, rowid" if order == "revenue" and self.has_money else "p DESC, rowid"
        sql = f"SELECT rowid FROM base {where} ORDER BY {by} LIMIT ? OFFSET ?"
        ids = [row[0] for row in self._ask(sql, [*values, min(max(limit, 0), MOST_ROWS), max(offset, 0)])]
        return self._customers(ids)

    def customer(self, key: str) -> Customer | None:
        """One customer by key, exactly as it is written; None if there is none."""
        found = self._customers([row[0] for row in self._ask("SELECT rowid FROM base WHERE h = hash(?) AND k = ?", [key, key])])
        return found[0] if found else None

    def search(self, text: str, limit: int = 20) -> tuple[str, ...]:
        """Keys that start with a text, then keys that contain it; upper and lower case are the same."""
        text = text.strip()
        if not text:
            return ()
        limit = min(max(limit, 0), MOST_ROWS)
        sql = "SELECT k FROM base WHERE starts_with(lk, lower(?)) ORDER BY len(k), k LIMIT ?"
        found = [row[0] for row in self._ask(sql, [text, limit])]
        if len(found) < limit:
            sql = "SELECT k FROM base WHERE contains(lk, lower(?)) AND NOT starts_with(lk, lower(?)) ORDER BY len(k), k LIMIT ?"
            found += [row[0] for row in self._ask(sql, [text, text, limit - len(found)])]
        return tuple(found)

    def segments(self, filter: Filter = Filter(), by: Sequence[str] = ()) -> tuple[Segment, ...]:
        """Every combination of groups of some columns that anybody is in, most revenue at risk (or leavers) first.

        Their figures add up to `totals(filter)` as long as there are no more than `MOST_ROWS` of them.
        """
        if not 1 <= len(set(by)) == len(by) <= 3:
            raise DataError(f"customers are grouped by one to three different columns, not by {list(by)}")
        labels = [self._all_labels(column) for column in by]
        codes = ", ".join(self._code_column(column) for column in by)
        where, values = self._where(filter)
        first = "sum(p * v)" if self.has_money else "sum(p)"
        sql = (
            f"SELECT {codes}, sum(count(*)) OVER (), {self._outcomes}, {self._sums} FROM base {where} "
            f"GROUP BY {codes} ORDER BY {first} DESC NULLS LAST, {codes} LIMIT {MOST_ROWS}"
        )
        width = len(by)
        found = []
        for row in self._ask(sql, values):
            names = tuple(label[code] for label, code in zip(labels, row[:width], strict=True))
            part = Sums(*row[width + 4 :])
            narrowed = filter
            for column, name in zip(by, names, strict=True):
                narrowed = narrowed.narrowed(column, name)
            found.append(
                Segment(
                    columns=tuple(by),
                    labels=names,
                    filter=narrowed,
                    customers=part.customers,
                    share=part.customers / row[width],
                    expected_leavers=part.p,
                    average_risk=part.p / part.customers,
                    revenue_at_risk=part.pv if self.has_money else None,
                    leavers_interval=leavers_interval(part, self.covariance),
                    interval=revenue_interval(part, self.covariance),
                    outcomes_known=row[width + 1],
                    left=int(row[width + 2]),
                    small=part.customers < self.small_group,
                    foreseen=row[width + 3],
                )
            )
        return tuple(found)

    def gains(self, worth: str, by: str, filter: Filter = Filter(), without: NDArray[np.int64] | None = None) -> tuple[Gain, ...]:
        """What offers bring by the groups of a column, in the order of the groups; only groups that anybody is in.

        Parameters
        ----------
        worth: what an offer to a customer is worth, as SQL (`churn.base.expected_value.expected_value_sql`).
        without: places in the base of customers who are not counted, such as those who have left (`gone`).
        """
        code, labels = self._code_column(by), self._all_labels(by)
        where, values = self._where(filter)
        away = pl.DataFrame({"place": [] if without is None else without}, schema={"place": pl.Int64})
        staying = f"SELECT *, {worth} AS worth FROM base ANTI JOIN away ON base.rowid = away.place {where}"
        sql = (
            f"SELECT {code} AS c, count(*) AS n, avg(p) AS risk, avg(v) AS money, count(*) FILTER (worth > 0) AS worthwhile, "
            f"coalesce(sum(worth) FILTER (worth > 0), 0) AS gain FROM ({staying}) GROUP BY {code} ORDER BY {code}"
        )
        found = self._arrays(sql, values, away=away)
        columns = [np.ma.asarray(found[name]).tolist() for name in ("c", "n", "risk", "money", "worthwhile", "gain")]
        return tuple(Gain(labels[group], *rest) for group, *rest in zip(*columns, strict=True))

    def tenures(self, feature: str, by: str | None = None, filter: Filter = Filter()) -> tuple[tuple[str, float, bool, int], ...]:
        """How many customers have been there for how long: group of `by`, value of `feature`, whether they left, how many.

        Whoever is not known to have left is still there. Without `by` the group is empty text; values not known are left out.
        """
        own = self._columns[self.schema.feature(feature).name]
        code, labels = ("0", ("",)) if by is None else (self._code_column(by), self._all_labels(by))
        where, values = self._where(filter)
        known = f"{where} {'AND' if where else 'WHERE'} {own} IS NOT NULL"
        sql = f"SELECT {code} AS c, {own} AS t, coalesce(left_, 0) = 1 AS l, count(*) FROM base {known} GROUP BY ALL ORDER BY ALL"
        return tuple((labels[code], float(t), bool(left), n) for code, t, left, n in self._ask(sql, values))

    def leads(self, of: Sequence[Segment], filter: Filter = Filter()) -> dict[tuple[str, ...], Lead]:
        """For groups that `segments` found within a filter, by their labels, the reason that stands first most often in each.

        Groups of a risk above the average of them all have what raises it, those below have what lowers it; where that stands
        first for none of their customers, they have no reason.

        The columns that make the groups are passed over: in a group of one contract, that contract is no news. Without reasons
        in the scoring there are none.
        """
        if not of or not self._reasons:
            return {}
        names, by = self.schema.names, of[0].columns
        skipped = ", ".join(f"{2 * place}, {2 * place + 1}" for place, name in enumerate(names) if name in by)
        none = 2 * len(names)
        kind = _code_kind(none)  # a constant at the end, and DuckDB knows the range: it counts in an array, a third quicker
        reason = " ".join(
            f"WHEN c{rank} {f'NOT IN ({skipped})' if skipped else 'IS NOT NULL'} THEN c{rank}"
            for rank in range(1, self._reasons + 1)
        )
        codes = ", ".join(self._code_column(column) for column in by)
        where, values = self._where(filter)
        sql = f"SELECT {codes}, CASE {reason} ELSE {none}::{kind} END AS c, count(*) FROM base {where} GROUP BY ALL ORDER BY c"
        labels = [self._all_labels(column) for column in by]
        first: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for *group, code, customers in self._ask(sql, values):
            key = tuple(label[place] for label, place in zip(labels, group, strict=True))
            first.setdefault(key, []).append((code, customers))
        average = sum(one.expected_leavers for one in of) / sum(one.customers for one in of)
        found = {}
        for one in of:
            raises = one.average_risk >= average * (1 - 1e-9)  # one group of all customers is the average itself
            counts = [(code, n) for code, n in first[one.labels] if code != none and code % 2 == raises]
            if counts:
                code, most = max(counts, key=lambda counted: counted[1])
                found[one.labels] = Lead(names[code // 2], raises, most / one.customers)
        return found

    def moves(self, before: Snapshot, filter: Filter = Filter()) -> tuple[Move, ...]:
        """What became of the customers of a filter since the scoring before, and where those now in it came from.

        A group means the same in both scorings: today's limits are held against the values of then. Customers are told apart
        by 64 bits of their key, which two of ten million share once in 400,000 bases.
        """
        now_in, now_values = self._where(filter, "now")
        was_in, was_values = self._where_then(filter, before, "was")
        sides = {
            "now": f"SELECT h, band, p, coalesce(pv, 0) AS pv, {now_in[6:] or 'true'} AS inside FROM present.base AS now",
            "was": f"SELECT h, band, p, coalesce(pv, 0) AS pv, {was_in} AS inside FROM past.base AS was",
        }
        place = "CASE WHEN {0}.inside THEN 'in' WHEN {0}.h IS NULL THEN 'gone' ELSE 'elsewhere' END"
        figures = "count(*), " + ", ".join(
            f"coalesce(sum({side}.{column}), 0)" for column in ("p", "pv") for side in ("was", "now")
        )
        chosen = f"{place.format('was')}, {place.format('now')}, was.band, now.band, {figures}"
        # two outer joins that keep few rows are several times quicker than one full join
        sql = (
            f"SELECT {chosen} FROM ({sides['now']}) AS now LEFT JOIN ({sides['was']}) AS was USING (h) WHERE now.inside "
            f"GROUP BY ALL UNION ALL SELECT {chosen} FROM ({sides['was']}) AS was LEFT JOIN ({sides['now']}) AS now USING (h) "
            "WHERE was.inside AND NOT coalesce(now.inside, false) GROUP BY ALL ORDER BY ALL"
        )
        values = [*now_values, *was_values, *was_values, *now_values]
        try:
            with duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY}) as connection:
                for name, one in (("present", self), ("past", before)):
                    connection.execute(f"ATTACH '{str(one._file).replace(chr(39), chr(39) * 2)}' AS {name} (READ_ONLY)")
                rows = connection.execute(sql, values).fetchall()
        except duckdb.IOException as error:
            raise StoreUnavailable(f"the scorings {before.id} and {self.id} are no longer in the cache: {error}") from error
        return tuple(Move(*row) for row in rows)

    def sample(self, filter: Filter = Filter(), most: int = 50_000) -> Sample:
        """At most about `most` customers of a filter, and no more than half of them, as codes of all their groups."""
        where, values = self._where(filter)
        customers = self._ask(f"SELECT count(*) FROM base {where}", values)[0][0]
        every = max(2, -(-customers // most))
        columns = tuple(self._codes)
        chosen = ", ".join(self._codes.values())
        some = f"{where or 'WHERE true'} AND h % {every} = 0"
        with self._lock:
            cursor = self._connection.cursor()
        try:
            found = cursor.execute(f"SELECT p, {chosen} FROM base {some}", values).fetchnumpy()
        finally:
            cursor.close()
        risk, *inside = found.values()
        codes = np.array(inside, dtype=np.uint8).reshape(len(columns), -1)
        return Sample(columns, codes, np.asarray(risk, dtype=np.float64), every)

    def parts(self, filter: Filter, every: int) -> tuple[Sums, Sums]:
        """The sums over the customers of a filter who were in a sample of one in `every`, and over those who were not."""
        where, values = self._where(filter)
        rows = self._ask(f"SELECT h % {int(every)} = 0, {self._sums} FROM base {where} GROUP BY 1", values)
        found = {sampled: Sums(*sums) for sampled, *sums in rows}
        return found.get(True, Sums()), found.get(False, Sums())

    # -- many customers, for lists ----------------------------------------------

    def pool(self, filter: Filter = Filter()) -> Pool:
        """Risk and money of everybody of a filter: 24 bytes a customer, so ask once and let go of it soon."""
        where, values = self._where(filter)
        found = self._arrays(f"SELECT rowid AS place, p, v FROM base {where} ORDER BY rowid", values)
        money = np.ma.filled(found["v"].astype(np.float64), np.nan) if self.has_money else None
        return Pool(np.asarray(found["place"], dtype=np.int64), np.asarray(found["p"], dtype=np.float64), money)

    def places(self, keys: pl.Series) -> NDArray[np.int64]:
        """Where in the base customers stand, by key; those that are not in it are left out. Rising, each once."""
        asked = pl.DataFrame({"k": keys.cast(pl.String)}).drop_nulls().unique()
        sql = "SELECT DISTINCT base.rowid AS place FROM base JOIN asked ON base.h = hash(asked.k) AND base.k = asked.k ORDER BY 1"
        return np.asarray(self._arrays(sql, asked=asked)["place"], dtype=np.int64)

    def gone(self) -> NDArray[np.int64]:
        """Where in the base those stand whose outcome is known and who left. Rising."""
        found = self._arrays("SELECT rowid AS place FROM base WHERE left_ = 1 ORDER BY rowid")
        return np.asarray(found["place"], dtype=np.int64)

    def rows(self, places: NDArray[np.int64]) -> pl.DataFrame:
        """The customers at some places of the base, in that order: conformed rows, `RISK` and `BAND` (code of the band)."""
        chosen = ", ".join(["p", "band", *self._columns.values()])
        found = self._at(places, chosen)
        return found.rename({"p": RISK, "band": BAND, **{inside: name for name, inside in self._columns.items()}})

    def points(self, places: NDArray[np.int64]) -> pl.DataFrame | None:
        """Their points in hundredths, a column per feature, null for whoever has none; None where the scoring keeps none."""
        if not self.has_points:
            return None
        found = self._at(places, ", ".join(self._points))
        return found.rename(dict(zip(self._points, self.schema.names, strict=True)))

    # -- questions about points -----------------------------------------------

    def importance(
        self, filter: Filter = Filter(), by: Sequence[str] = (), parts: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Importance, ...]:
        """How much every feature matters for the customers of a filter, over all of them or the sample (`sampled`).

        Parameters
        ----------
        by: up to three columns; then there is one answer for each combination of their groups, in the order of the groups.
        parts: name → the features whose points are added up under it, each in one part at most; else every feature by itself.

        Empty where nobody counts. Raises DataError where the scoring keeps no points (`has_points`).
        """
        self._needs_points()
        if len(set(by)) != len(by) or len(by) > 3:
            raise DataError(f"customers are grouped by up to three different columns, not by {list(by)}")
        errors = self.sampled is not None
        labels = [self._all_labels(column) for column in by]
        codes = [self._code_column(column) for column in by]
        where, values = self._where(filter)
        named = parts or {name: (name,) for name in self.schema.names}
        for name in {feature for features in named.values() for feature in features} - set(self.schema.names):
            raise DataError(f"column {name!r} is no feature of the schema")
        added = [" + ".join(f"{self._points_of(name)}::INTEGER" for name in features) for features in named.values()]
        sums = weights_sql([f"({one})" if "+" in one else one.removesuffix("::INTEGER") for one in added], errors=errors)
        if errors:  # few count, so the others are left out before anything is added up
            counted = f"SELECT * FROM base {where or 'WHERE true'} AND s_"
            sizes = {
                tuple(row[:-1]): row[-1]
                for row in self._ask(f"SELECT {', '.join([*codes, 'count(*)'])} FROM base {where} {_by(codes)}", values)
            }
        else:
            counted, sizes = f"SELECT * FROM base {where}", {}
        chosen = ", ".join([*codes, "count(*)", "avg(p)", sums])
        found = []
        for row in self._ask(f"SELECT {chosen} FROM ({counted}) {_by(codes)}", values):
            group, (customers, risk, *totals) = tuple(row[: len(by)]), row[len(by) :]
            if customers:
                own = weights(tuple(named), totals, customers, risk - self.typical_risk, errors=errors)
                names = tuple(label[code] for label, code in zip(labels, group, strict=True))
                found.append(Importance(names, sizes.get(group, customers), customers, risk, own))
        return tuple(found)

    def dependence(self, feature: str, filter: Filter = Filter()) -> tuple[Spot, ...]:
        """How the points of one feature go with its value, and how many left there, where that is known.

        A category by its groups, a number by narrow bins of at least `small_group` customers (its last bin is the larger for
        it), what is not known last. Raises DataError where the scoring keeps no points, or there is no such feature.
        """
        self._needs_points()
        if feature not in self.schema:
            raise DataError(f"column {feature!r} is no feature of the schema")
        inside, points = self._columns[feature], self._points_of(feature)
        where, bound = self._where(filter)
        sampled = "" if self.sampled is None else "s_"
        figures = f"count(*), {spot_sql(points, sampled)}, avg(p), {self._outcomes}"
        if not self.schema.feature(feature).is_number:
            labels = self._all_labels(feature)
            code = self._code_column(feature)
            sql = f"SELECT {code}, NULL, NULL, NULL, {figures} FROM base {where} GROUP BY {code} ORDER BY {code}"
            rows = self._ask(sql, bound)
            return tuple(_spot(labels[row[0]], row[1:]) for row in rows)
        edges: list[float] = list(self.facts.get("bins", {}).get(feature, ()))
        counted = f"SELECT {bin_sql(inside, edges)} AS bin, count(*) FROM base {where} GROUP BY bin"
        counts = dict(self._ask(counted, [*edges[:-1], *bound]))
        edges = joined_bins(edges, [counts.get(place, 0) for place in range(len(edges))], max(self.small_group, 1))
        at = f"avg({inside}), min({inside}), max({inside})"
        sql = f"SELECT {bin_sql(inside, edges)} AS bin, {at}, {figures} FROM base {where} GROUP BY bin ORDER BY bin"
        rows = self._ask(sql, [*edges[:-1], *bound])
        ordered = [row for row in rows if row[0] >= 0] + [row for row in rows if row[0] < 0]
        return tuple(_spot("" if row[0] >= 0 else NOT_KNOWN, row[1:]) for row in ordered)

    def dots(self, features: Sequence[str], filter: Filter = Filter(), most: int = _DOTS) -> Dots:
        """Some of the customers of a filter one by one, chosen by a hash of their key: at most `most`, and `MOST_ROWS`.

        Raises DataError where the scoring keeps no points, or there is no such feature.
        """
        self._needs_points()
        for name in features:
            if name not in self.schema:
                raise DataError(f"column {name!r} is no feature of the schema")
        where, values = self._where(filter)
        some = f"{where or 'WHERE true'} AND {'s_' if self.sampled is not None else 'true'}"
        points = [self._points_of(name) for name in features]
        chosen = ", ".join(["p", *(self._columns[name] for name in features), *points])
        ((customers,),) = self._ask(f"SELECT count(*) FROM base {some}", values)
        # the hash once more, so that whoever was chosen says nothing about the halves of `sample`
        ids = self._ask(f"SELECT rowid FROM base {some} ORDER BY hash(h), h LIMIT ?", [*values, min(max(most, 0), MOST_ROWS)])
        rows = self._ask(f"SELECT {chosen} FROM base WHERE rowid IN ({', '.join(str(row[0]) for row in ids)})") if ids else []
        columns = list(zip(*rows, strict=True)) or [()] * (1 + 2 * len(features))
        return Dots(
            features=tuple(features),
            values=tuple(columns[1 : 1 + len(features)]),
            points=np.array(columns[1 + len(features) :], dtype=np.float64).reshape(len(features), -1) / HUNDREDTHS,
            risk=np.array(columns[0], dtype=np.float64),
            customers=customers,
        )

    def nearest(self, points: Sequence[float], limit: int = 10, but: str | None = None) -> tuple[Neighbour, ...]:
        """The customers whose reasons are most like these: those of least Σ|difference of points|, the nearest first.

        That is the model's own idea of likeness: what it takes no notice of does not count, and all else counts as much as it
        moves the risk. Customers without points, as most are where reasons take long, are never found; nobody is where the
        scoring keeps none.

        Parameters
        ----------
        points: 0–1 scale, one for each feature in the schema's order, as `RiskModel.explain_row` gives them.
        but: key of a customer to leave out: whose points they are.

        Raises DataError where there are more or fewer points than features.
        """
        if len(points) != len(self.schema.names):
            raise DataError(f"a customer has points for {len(self.schema.names)} columns; {len(points)} were given")
        if not self.has_points:
            return ()
        apart = " + ".join(f"abs({column} - ?::INTEGER)" for column in self._points)
        # a null anywhere makes the sum null, and whoever is not explained has nothing but nulls
        sql = f"SELECT rowid, {apart} AS d FROM base WHERE d IS NOT NULL AND k IS DISTINCT FROM ? ORDER BY d, rowid LIMIT ?"
        whole = [round(one * HUNDREDTHS) for one in points]
        found = self._ask(sql, [*whole, but, min(max(limit, 0), MOST_ROWS)])
        customers = self._customers([row[0] for row in found])
        return tuple(Neighbour(one, row[1] / HUNDREDTHS) for one, row in zip(customers, found, strict=True))

    def past(self, key: str) -> tuple[PastRisk, ...]:
        """A customer's risk in earlier scorings that the desk showed, oldest first, one a day; at most twelve.

        Scorings the customer was not in are left out. Empty for an unknown key, and where the scoring carries no past.
        """
        listed = self.facts.get("past") or []
        if not listed:
            return ()
        columns = ", ".join(f"y{place}" for place in range(len(listed)))
        rows = self._ask(f"SELECT {columns} FROM base WHERE h = hash(?) AND k = ?", [key, key])
        return tuple(
            PastRisk(date.fromisoformat(one["as_of"]), one["model"], risk / HUNDREDTHS)
            for one, risk in zip(listed, rows[0] if rows else (), strict=bool(rows))
            if risk is not None
        )

    # -- inside --------------------------------------------------------------

    def _points_of(self, feature: str) -> str:
        return self._points[self.schema.names.index(feature)]

    def _needs_points(self) -> None:
        if not self.has_points:
            raise DataError(f"scoring {self.id} keeps no points of its columns; score the base again")

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:  # a connection is not thread-safe, its cursors are: each is a connection of its own
            cursor = self._connection.cursor()
        try:
            rows: list[tuple[Any, ...]] = cursor.execute(sql, list(values)).fetchall()
            return rows
        finally:
            cursor.close()

    def _arrays(self, sql: str, values: Sequence[Any] = (), **tables: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """Column → values of an answer that is too long for rows; `tables` are there by name while it is asked."""
        with self._lock:
            cursor = self._connection.cursor()
        try:
            for name, table in tables.items():
                cursor.register(name, table.to_arrow())
            found: dict[str, NDArray[Any]] = cursor.execute(sql, list(values)).fetchnumpy()
            return found
        finally:
            cursor.close()

    def _at(self, places: NDArray[np.int64], columns: str) -> pl.DataFrame:
        """Columns of the customers at some places, in the order of the places."""
        asked = pl.DataFrame({"place": places, "nr": np.arange(len(places))})
        with self._lock:
            cursor = self._connection.cursor()
        try:
            cursor.register("asked", asked.to_arrow())
            sql = f"SELECT {columns} FROM base JOIN asked ON base.rowid = asked.place ORDER BY asked.nr"
            found = pl.from_arrow(cursor.sql(sql).to_arrow_table())
        finally:
            cursor.close()
        assert isinstance(found, pl.DataFrame)
        return found

    def _customers(self, ids: Sequence[int]) -> tuple[Customer, ...]:
        if not ids:
            return ()
        names = tuple(self._columns)
        reasons = [f"r{rank}, t{rank}" for rank in range(1, self._reasons + 1)]
        chosen = ", ".join(["rowid", "k", "p", "m", "band", "v", "pv", "left_", *reasons, *self._columns.values()])
        rows = self._ask(f"SELECT {chosen} FROM base WHERE rowid IN ({', '.join('?' * len(ids))})", ids)
        by_id = {row[0]: row for row in rows}
        start = 8 + 2 * self._reasons
        return tuple(self._one(by_id[rowid][:start], dict(zip(names, by_id[rowid][start:], strict=True))) for rowid in ids)

    def _one(self, head: tuple[Any, ...], row: dict[str, Any]) -> Customer:
        _, key, risk, margin, band, money, revenue, left, *reasons = head
        day = row[self.schema.snapshot.column] if self.schema.snapshot else self.as_of
        return Customer(
            key=key,
            risk=risk,
            margin=margin,
            band=self.schema.bands[band].name,
            money=money,
            revenue_at_risk=revenue,
            as_of=day,
            left=None if left is None else bool(left),
            reasons=tuple(
                Reason(self.schema.names[feature], points)
                for feature, points in zip(reasons[::2], reasons[1::2], strict=True)
                if feature is not None
            ),
            row=MappingProxyType(row),
        )

    def _all_labels(self, column: str) -> tuple[str, ...]:
        try:
            return self._labels[column]
        except KeyError:
            raise DataError(f"column {column!r} cannot be filtered or grouped by; the schema has no such feature") from None

    def _code(self, column: str, label: str) -> int:
        labels = self._all_labels(column)
        if label not in labels:
            raise DataError(f"column {column!r} has no group {label!r}; it has {', '.join(map(repr, labels[:10]))}")
        return labels.index(label)

    def _code_column(self, column: str) -> str:
        return "band" if column == BAND else self._codes[column]

    def _where(self, filter: Filter, table: str = "base") -> tuple[str, list[int]]:
        parts: list[str] = []
        values: list[int] = []
        for column, labels in filter.parts:
            codes = [self._code(column, label) for label in labels]
            parts.append(f"{table}.{self._code_column(column)} IN ({', '.join('?' * len(codes))})")
            values += codes
        return ("WHERE " + " AND ".join(parts) if parts else ""), values

    def _where_then(self, filter: Filter, before: Snapshot, table: str) -> tuple[str, list[str | float]]:
        """The same of another scoring: by its codes where its group has the same limits, else by the values themselves."""
        parts: list[str] = []
        values: list[str | float] = []
        for column, labels in filter.parts:
            ways: list[str] = []
            for label in labels:
                if column == BAND or (
                    label in before._labels[column] and before.group(column, label) == self.group(column, label)
                ):
                    ways.append(f"{table}.{before._code_column(column)} = ?")
                    values.append(before._code(column, label))
                else:
                    condition, bound = self.group(column, label).sql(f"{table}.{before._columns[column]}")
                    ways.append(condition)
                    values += bound
            parts.append(f"({' OR '.join(ways)})")
        return " AND ".join(parts) or "true", values


def _lean(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The parts of the sums, without counting what the whole base has none of: a third less work."""
    ((left, foreseen, all_money, no_debt),) = connection.execute("SELECT * FROM told").fetchall()
    sums = SUMS_SQL.replace("count(v)", "count(*)") if all_money else SUMS_SQL
    if no_debt:
        sums = sums.replace("sum(greatest(v, 0))", "sum(v)").replace("coalesce(sum(least(v, 0)), 0)", "0")
    outcomes = "count(left_), coalesce(sum(left_), 0)" if left else "0, 0"
    return {"_sums": sums, "_outcomes": f"{outcomes}, {'avg(q)' if foreseen else 'NULL'}"}


def _code_kind(none: int) -> str:
    """The smallest type for the codes of reasons, column and direction in one number, and the one above them all."""
    return "UTINYINT" if none < 256 else "USMALLINT"


def _by(codes: Sequence[str]) -> str:
    return f"GROUP BY {', '.join(codes)} ORDER BY {', '.join(codes)}" if codes else ""


def _spot(label: str, row: Sequence[Any]) -> Spot:
    at, low, high, customers, counted, points, spread, risk, known, left, foreseen = row
    first, last = (as_share(end) for end in spread or (None, None))
    return Spot(label, at, low, high, customers, counted, as_share(points), first, last, risk, known, int(left or 0), foreseen)


def _add(parts: Any) -> Sums:
    listed = list(parts)
    return Sums(*(sum(getattr(part, field.name) for part in listed) for field in fields(Sums))) if listed else Sums()


# -- the file in the cache -----------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Where everything lies: in the parquet by position, in the file by names of our own."""

    columns: tuple[str, ...]
    inside: dict[str, str]
    money: int | None
    groups: dict[str, tuple[Group, ...]]
    codes: dict[str, str]
    reasons: int
    points: tuple[str, ...]  # names inside
    sampled: bool
    past: int  # earlier scorings

    @classmethod
    def of(cls, columns: list[str], schema: Schema, document: Mapping[str, Any], beside: Mapping[str, Sequence[str]]) -> _Layout:
        """`beside`: the columns of POINTS and HISTORY, where there are such files."""
        lacking = [name for name in (*schema.needed, RISK, MARGIN, BAND) if name not in columns]
        if lacking:
            raise BundleRejected(f"scoring {document['run']}: {ROWS} lacks column {lacking[0]!r}")
        points, past = list(beside.get(POINTS, ())), list(beside.get(HISTORY, ()))
        if points and points != [*schema.names, *points[len(schema.names) :]]:
            raise BundleRejected(f"scoring {document['run']}: {POINTS} must have the schema's features in their order")
        if past != [past_column(place) for place in range(len(document.get("past") or ()))]:
            raise BundleRejected(f"scoring {document['run']}: {HISTORY} is not what the manifest says")
        edges = document["edges"]
        found = {feature.name: groups(feature, schema, edges.get(feature.name)) for feature in schema.features}
        return cls(
            columns=tuple(columns),
            inside={name: f"f{place}" for place, name in enumerate(schema.needed)},
            money=columns.index(schema.money.column) if schema.money else None,
            groups=found,
            codes={name: f"g{place}" for place, name in enumerate(found)},
            reasons=sum(reason_column(rank) in columns for rank in range(1, len(columns))),
            points=tuple(f"x{place}" for place in range(len(schema.names))) if points else (),
            sampled=SAMPLED in points,
            past=len(past),
        )

    @property
    def beside(self) -> dict[str, tuple[str, ...]]:
        """The files read beside the rows, and what their columns are called inside."""
        found = {POINTS: (*self.points, *(["s_"] if self.sampled else [])), HISTORY: tuple(f"y{i}" for i in range(self.past))}
        return {name: columns for name, columns in found.items() if columns}

    @property
    def grouped(self) -> dict[str, str]:
        """Column of codes inside → column of the table."""
        return {code: name for name, code in self.codes.items()}

    def at(self, name: str) -> str:
        return f"a{self.columns.index(name)}"


def _columns(folder: Path, name: str) -> list[str]:
    try:
        return list(pl.read_parquet_schema(folder / name))
    except pl.exceptions.PolarsError as error:
        raise BundleRejected(f"{folder / name} cannot be read: {error}") from error


def _open(
    folder: Path, document: Mapping[str, Any], layout: _Layout, cache: Path, out_of_fold: OutOfFold | None
) -> tuple[duckdb.DuckDBPyConnection, Path]:
    """The base from the cache; made from the parquet where it is not there yet, or is damaged."""
    sums = [document["files"][name]["sha256"] for name in (ROWS, *layout.beside)]
    digest = sums[0][:16] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
    kind = f"{FORMAT}f" if out_of_fold else f"{FORMAT}"
    path = cache / f"{document['run']}-{digest}-{kind}-{duckdb.__version__}.duckdb"
    if path.exists():
        try:
            with suppress(OSError):
                os.utime(path)  # the files opened last are the ones that stay
            return _connect(path), path
        except (duckdb.IOException, duckdb.SerializationException, duckdb.CatalogException):
            path.unlink(missing_ok=True)  # a copy of what is verified, so making it anew loses nothing
    _make(path, folder, layout, out_of_fold)
    return _connect(path), path


def _make(path: Path, folder: Path, layout: _Layout, out_of_fold: OutOfFold | None) -> None:
    cache, half = path.parent, path.parent / f".{uuid.uuid4().hex}.duckdb"
    with disk(cache, "written"):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            _build(half, folder, layout, out_of_fold)
            half.replace(path)
        except duckdb.IOException as error:
            raise StoreUnavailable(f"the cache {cache} cannot be written: {error}") from error
        finally:
            half.unlink(missing_ok=True)
            half.with_suffix(".duckdb.wal").unlink(missing_ok=True)
        files = sorted(cache.glob("[!.]*.duckdb"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in files[_KEPT:]:  # whoever has one open keeps it: the file goes when the last one closes it
            old.unlink(missing_ok=True)


def _build(path: Path, folder: Path, layout: _Layout, out_of_fold: OutOfFold | None) -> None:
    rows = folder / ROWS
    alias = ", ".join(f"a{place}" for place in range(len(layout.columns)))
    key = layout.at(next(iter(layout.inside)))
    money = "NULL::DOUBLE" if layout.money is None else f"a{layout.money}"
    left = layout.at(LEFT) if LEFT in layout.columns else "NULL"
    parts = [f"{key} AS k", f"lower({key}) AS lk", f"hash({key}) AS h", f"{layout.at(RISK)} AS p", f"{layout.at(MARGIN)} AS m"]
    parts += [f"{layout.at(BAND)}::UTINYINT AS band", f"{money} AS v", "p * v AS pv", f"{WL_SQL} AS wl"]
    parts += [f"{left}::TINYINT AS left_", "NULL::DOUBLE AS q"]
    values: list[Any] = []
    for name, code in layout.codes.items():
        cases = []
        for place, group in enumerate(layout.groups[name]):
            condition, bound = group.sql(layout.at(name))
            cases.append(f"WHEN {condition} THEN {place}")
            values += bound
        parts.append(f"(CASE {' '.join(cases)} END)::UTINYINT AS {code}")
    small = _code_kind(2 * len(layout.codes))
    for rank in range(1, layout.reasons + 1):
        feature, points = layout.at(reason_column(rank)), layout.at(points_column(rank))
        parts += [f"{feature} AS r{rank}", f"{points} AS t{rank}"]
        # column and direction in one small number: what `leads` counts
        parts += [f"({feature} * 2 + ({points} > 0)::INTEGER)::{small} AS c{rank}"]
    parts += [f"{layout.at(name)} AS {inside}" for name, inside in layout.inside.items()]
    values.append(str(rows))
    joins = ""
    for name, inside_it in layout.beside.items():
        source = f"beside{len(joins)}"
        joins += f" POSITIONAL JOIN read_parquet(?) AS {source}({', '.join(inside_it)})"
        parts += [f"{source}.{column}" for column in inside_it]
        values.append(str(folder / name))
    with duckdb.connect(str(path), config={"threads": min(4, os.cpu_count() or 1), "memory_limit": "512MB"}) as connection:
        try:
            connection.execute(
                f"CREATE TABLE base AS SELECT {', '.join(parts)} FROM read_parquet(?) AS source({alias}){joins}", values
            )
            each = " UNION ALL ".join(
                f"SELECT DISTINCT '{code}' AS col, {code}::INTEGER AS code FROM base" for code in layout.codes.values()
            )
            connection.execute(f"CREATE TABLE present AS {each}")
            if out_of_fold is not None:
                _foresee(connection, rows, layout.columns[int(key[1:])], out_of_fold)
            connection.execute(
                "CREATE TABLE told AS SELECT count(left_) > 0 AS left_, count(q) > 0 AS q, count(v) = count(*) AS all_v, "
                "coalesce(min(v) >= 0, true) AS no_debt FROM base"
            )
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise BundleRejected(f"{rows} does not hold what its schema says: {error}") from error


def _foresee(connection: duckdb.DuckDBPyConnection, rows: Path, key: str, out_of_fold: OutOfFold) -> None:
    """Put beside every customer the model learnt from what was foreseen without having seen them."""
    seen = pl.read_parquet(out_of_fold.read()).group_by(CUSTOMER).agg(pl.col(RISK).mean())
    keys = pl.read_parquet(rows, columns=[key, LEFT]).filter(pl.col(LEFT).is_not_null())[key]
    hashes = pl.Series(CUSTOMER, [key_hash(one, out_of_fold.salt) for one in keys], dtype=pl.UInt64)
    found = pl.DataFrame({"k": keys, CUSTOMER: hashes}).join(seen, on=CUSTOMER).select("k", pl.col(RISK).alias("q"))
    connection.register("foreseen", found.to_arrow())
    connection.execute("UPDATE base SET q = foreseen.q FROM foreseen WHERE base.k = foreseen.k")
    connection.unregister("foreseen")


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True, config={"threads": 1, "memory_limit": _MEMORY})
