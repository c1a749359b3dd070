"""Score a whole base: risk, band and top reasons for every customer, and the folder a scoring is published as."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from churn.base.groups import BAND, number_edges
from churn.base.snapshot import (
    CONTACTS,
    HISTORY,
    LEFT,
    MARGIN,
    POINTS,
    RISK,
    ROWS,
    SAMPLED,
    points_column,
    reason_column,
)
from churn.base.value import Covariance, leavers_interval, revenue_interval, sums
from churn.data.holdout import key_hash
from churn.data.schema import Feature, Schema
from churn.errors import DataError
from churn.model import manifest
from churn.model.risk_model import in_hundredths
from churn.model.store import disk
from churn.score import history

if TYPE_CHECKING:
    from churn.model.risk_model import RiskModel

CHUNK = 100_000  # rows explained at once: 16 MB of points for 20 features
_SLOW_CHUNK = 100  # the same for a model whose reasons take long, so that progress is seen
_SAMPLE_SALT = "explained"  # of the hash that chooses the sample, so that it is no part of the holdout's choice
_MOST_VALUES = 80  # a whole number with at most so many values has a bin for each of them
_BINS = 40  # else so many bins of about as many customers each
_BINNED = 200_000  # customers whose values the bins are made from at most
Progress = Callable[[str, int, int], None]  # what is being done, rows done, rows in all


@dataclass(frozen=True)
class Scored:
    """The customers that were scored, one row each, by key.

    `rows`: key, snapshot date, features, money, the outcome where known (`__left__`), then `__risk__`, `__margin__`,
    `__band__` (index into the schema's bands) and, for each rank, `__reason_1__` (index into the schema's features, null where
    no further feature has any points) and `__points_1__` (0–1 scale).
    `contacts`: key and contact columns, None where the table has none; they lie apart for good.
    `mean_points`: average signed points per feature; they add up to the average risk minus `typical_risk`.
    `mean_size`: average size of the points per feature, whatever their sign. Both are empty unless all rows are explained.
    `explained`: how many customers have reasons, the riskiest and a sample; the others' reasons and points are null. None: all
        have.
    `points`: hundredths of a point (1e-4 of risk), a column of whole numbers per feature in the order of `rows`, null for
        whoever is not explained (`in_hundredths`). Where not all are, `__sample__` says who is in the sample: averages are of
        those, for the riskiest are like nobody else.
    `sampled`: how many customers the sample has; None where all are explained.
    `gone`: customers left out because they are known to have left; `earlier`: rows left out for a later one of the same key;
    `behind`: customers scored on a row older than the newest snapshot date in the table, where they do not appear.
    """

    rows: pl.DataFrame
    contacts: pl.DataFrame | None
    typical_risk: float
    mean_points: Mapping[str, float]
    mean_size: Mapping[str, float]
    gone: int
    earlier: int
    behind: int = 0
    explained: int | None = None
    points: pl.DataFrame | None = None
    sampled: int | None = None

    @property
    def reasons(self) -> int:
        """How many reasons are kept for each customer."""
        return sum(reason_column(rank) in self.rows.columns for rank in range(1, self.rows.width))


def score(
    table: pl.DataFrame,
    model: RiskModel,
    reasons: int = 3,
    *,
    contacts: pl.DataFrame | None = None,
    slow_reasons: int | None = None,
    slow_sample: int = 0,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Scored:
    """Score the customers of a table as they were last seen.

    With several snapshots the latest row of each key is scored; in a table with snapshot dates, whoever is known to have
    left after that row is gone and not scored. (Without dates the outcome column only says what a row was labelled, and
    everybody is scored.)

    Parameters
    ----------
    table: conformed (`churn.data.quality.conform`), with or without the target.
    reasons: how many of the features with most points to keep for each customer.
    contacts: key and contact columns, where they are in a table of their own; else those of `table`.
    slow_reasons: how many customers, the riskiest first, get reasons from a model that takes long to explain
        (`RiskModel.quick`); all unless given.
    slow_sample: how many customers, chosen by a hash of their key, get them besides: what averages are made from.
    chunk: rows explained at once; bounds the memory, changes no result.

    Raises
    ------
    DataError: nobody is left to be scored, or a key is there twice for one date.
    """
    schema = model.schema
    rows, gone, earlier = _to_score(table, schema)
    size = rows.height
    if model.quick or not reasons or slow_reasons is None or size <= slow_reasons:
        found = _explained(rows, model, reasons, chunk if model.quick else min(chunk, _SLOW_CHUNK), "Scoring", progress)
        risk, margin, chosen, sample = found.risk, found.margin, None, None
    else:
        risk, margin = _scored(rows, model, chunk, progress)
        sample = _sample(rows[schema.key], slow_sample)
        chosen = np.union1d(np.argsort(-risk, kind="stable")[:slow_reasons], sample)
        found = _explained(rows[chosen], model, reasons, min(chunk, _SLOW_CHUNK), "Finding reasons", progress)
    results = [pl.Series(RISK, risk), pl.Series(MARGIN, margin), band_of(risk, schema).alias(BAND)]
    for rank, (index, points) in enumerate(zip(found.top, found.points, strict=True), start=1):
        results += [
            _spread(pl.Series(reason_column(rank), index).set(pl.Series(index < 0), None), chosen, size),
            _spread(pl.Series(points_column(rank), points), chosen, size),
        ]
    known = [LEFT] if LEFT in rows.columns else []
    return Scored(
        rows=rows.select(*schema.needed, *known).with_columns(results),
        contacts=_contacts(rows, contacts, schema),
        typical_risk=model.typical_risk,
        mean_points=found.mean_points if chosen is None else {},
        mean_size=found.mean_size if chosen is None else {},
        gone=gone,
        earlier=earlier,
        behind=_behind(rows, table, schema),
        explained=None if chosen is None else len(chosen),
        points=_points_table(found.hundredths, schema, chosen, sample, size),
        sampled=None if sample is None else len(sample),
    )


@dataclass(frozen=True)
class _Found:
    """Risk and margin [rows], the positions of the strongest features and their points [rank, rows], means per feature, and
    all points in hundredths [features, rows]."""

    risk: np.ndarray[Any, np.dtype[np.float64]]
    margin: np.ndarray[Any, np.dtype[np.float64]]
    top: np.ndarray[Any, np.dtype[np.int16]]
    points: np.ndarray[Any, np.dtype[np.float32]]
    mean_points: Mapping[str, float]
    mean_size: Mapping[str, float]
    hundredths: np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


def _explained(rows: pl.DataFrame, model: RiskModel, reasons: int, chunk: int, doing: str, progress: Progress | None) -> _Found:
    size, names = rows.height, model.schema.names
    kept = max(0, min(reasons, len(names)))
    risk, margin = np.empty(size), np.empty(size)
    top = np.full((kept, size), -1, dtype=np.int16)
    points = np.zeros((kept, size), dtype=np.float32)
    hundredths: np.ndarray[Any, np.dtype[np.signedinteger[Any]]] = np.empty((len(names), size), dtype=np.int16)
    total, total_size = np.zeros(len(names)), np.zeros(len(names))
    for start in range(0, size, chunk):
        part = slice(start, min(start + chunk, size))
        explained = model.explain(rows[part])
        risk[part], margin[part] = explained.risk, explained.margin
        found = explained.points
        total += found.sum(axis=0)
        sizes = np.abs(found)
        total_size += sizes.sum(axis=0)
        order = np.argsort(-sizes, axis=1, kind="stable")[:, :kept]
        chosen = np.take_along_axis(found, order, axis=1)
        top[:, part] = np.where(chosen != 0, order, -1).T
        points[:, part] = chosen.T
        whole = in_hundredths(found)
        if hundredths.dtype == np.int16 and np.abs(whole).max(initial=0) > np.iinfo(np.int16).max:
            hundredths = hundredths.astype(np.int32)  # columns that cancel each other may have more than 327 points each
        hundredths[:, part] = whole
        if progress:
            progress(doing, part.stop, size)
    mean_points, mean_size = (dict(zip(names, (sums / size).tolist(), strict=True)) for sums in (total, total_size))
    return _Found(risk, margin, top, points, mean_points, mean_size, hundredths)


def _sample(keys: pl.Series, most: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Places of so many keys, the same ones whatever else is in the base: those with the lowest hashes."""
    hashes = np.array([key_hash(key, _SAMPLE_SALT) for key in keys.cast(pl.String)], dtype=np.uint64)
    return np.sort(np.argsort(hashes, kind="stable")[:most])


def _points_table(
    hundredths: np.ndarray[Any, np.dtype[np.signedinteger[Any]]],
    schema: Schema,
    chosen: np.ndarray[Any, np.dtype[np.intp]] | None,
    sample: np.ndarray[Any, np.dtype[np.intp]] | None,
    size: int,
) -> pl.DataFrame:
    columns = [_spread(pl.Series(name, own), chosen, size) for name, own in zip(schema.names, hundredths, strict=True)]
    if sample is not None:
        inside = np.zeros(size, dtype=np.bool_)
        inside[sample] = True
        columns.append(pl.Series(SAMPLED, inside))
    return pl.DataFrame(columns)


def _scored(
    rows: pl.DataFrame, model: RiskModel, chunk: int, progress: Progress | None
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    risk, margin = np.empty(rows.height), np.empty(rows.height)
    for start in range(0, rows.height, chunk):
        part = slice(start, min(start + chunk, rows.height))
        scores = model.score(rows[part])
        risk[part], margin[part] = scores.risk, scores.margin
        if progress:
            progress("Scoring", part.stop, rows.height)
    return risk, margin


def _spread(values: pl.Series, places: np.ndarray[Any, np.dtype[np.intp]] | None, size: int) -> pl.Series:
    """The values at their places among so many rows, null elsewhere; as they are without places."""
    if places is None:
        return values
    empty = pl.Series(values.name, [None], dtype=values.dtype).new_from_index(0, size)
    return empty.scatter(places, values)


def band_of(risk: np.ndarray[Any, np.dtype[np.float64]], schema: Schema) -> pl.Series:
    """The index of the band each risk (0–1) falls in, as UInt8."""
    edges = np.array([band.below for band in schema.bands])
    return pl.Series(np.searchsorted(edges, risk, side="right").astype(np.uint8))


def run_id(scored: Scored, *, model_version: str, schema: Schema, as_of: date) -> str:
    """What makes a run the same run: date, model, schema and every value that was scored; 20 hexadecimal digits."""
    digest = hashlib.sha256(f"{as_of.isoformat()}\n{model_version}\n{schema.hash}\n".encode())
    for frame in (scored.rows.select(*schema.needed), scored.contacts):
        for part in frame.iter_slices(CHUNK) if frame is not None else ():
            buffer = io.BytesIO()
            part.write_csv(buffer, quote_style="non_numeric", null_value="")  # text is quoted, so nothing is not ""
            digest.update(buffer.getbuffer())
    return digest.hexdigest()[:20]


def write_scoring(
    folder: Path,
    scored: Scored,
    *,
    model_version: str,
    schema: Schema,
    as_of: date,
    simulated: bool,
    calibration_covariance: Covariance | None = None,
    run: str | None = None,
    before: Path | None = None,
    pairs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a scoring to a folder that does not exist yet, and return its manifest. Its `id` comes with being published.

    Parameters
    ----------
    as_of: the day the rows were true.
    calibration_covariance: from the bundle's metrics; without it the figures have no interval.
    run: the `run_id`, where it is known already.
    before: folder of the scoring that is shown until now, where its customers' risks are (`churn.score.history`).
    pairs: how much pairs of columns matter together, from `churn.score.publish`.

    Raises
    ------
    StoreUnavailable: the disk refuses. BundleRejected: `before` cannot be read.
    """
    run = run or run_id(scored, model_version=model_version, schema=schema, as_of=as_of)
    rows = scored.rows
    at_risk = pl.col(RISK) * pl.col(schema.money.column).cast(pl.Float64) if schema.money else pl.col(RISK)
    place = pl.int_range(pl.len(), dtype=pl.UInt32).sort_by(at_risk, RISK, descending=True, nulls_last=True, maintain_order=True)
    order = rows.select(place=place)["place"]
    rows = rows[order]  # what is asked for most lies together
    past = history.carry(before, rows[schema.key], schema, as_of) if before else None
    with disk(folder, "written"):
        folder.mkdir(parents=True)
        rows.write_parquet(folder / ROWS, compression="zstd", row_group_size=122_880)
        if scored.contacts is not None:
            contacts = rows.select(schema.key).join(scored.contacts, on=schema.key, how="inner", maintain_order="left")
            contacts.write_parquet(folder / CONTACTS, compression="zstd", row_group_size=122_880)
        if scored.points is not None:
            scored.points[order].write_parquet(folder / POINTS, compression="zstd", row_group_size=122_880)
        if past is not None:
            past.risks.write_parquet(folder / HISTORY, compression="zstd", row_group_size=122_880)
    return manifest.seal(
        folder,
        kind="scoring",
        simulated=simulated,
        schema_hash=schema.hash,
        run=run,
        model=model_version,
        as_of=as_of.isoformat(),
        gone=scored.gone,
        earlier=scored.earlier,
        behind=scored.behind,
        reasons=scored.reasons,
        explained=rows.height if scored.explained is None else scored.explained,
        sampled=scored.sampled,
        past=[dict(one) for one in past.scorings] if past else [],
        bins={feature.name: _bins(feature, rows[feature.name]) for feature in schema.numbers},
        pairs=dict(pairs) if pairs else None,
        typical_risk=scored.typical_risk,
        mean_points=dict(scored.mean_points),
        mean_size=dict(scored.mean_size),
        edges={feature.name: list(number_edges(feature, rows[feature.name])) for feature in schema.numbers},
        calibration_covariance=[list(row) for row in calibration_covariance] if calibration_covariance is not None else None,
        **figures(rows, schema, calibration_covariance),
    )


def figures(rows: pl.DataFrame, schema: Schema, calibration_covariance: Covariance | None) -> dict[str, Any]:
    """What a manifest says of a scoring's rows as a whole: how many, what they add up to, the same by band."""
    money = rows[schema.money.column].cast(pl.Float64).to_numpy() if schema.money else None
    total = sums(rows[RISK].to_numpy(), money)
    leavers, revenue = leavers_interval(total, calibration_covariance), revenue_interval(total, calibration_covariance)
    return {
        "rows": rows.height,
        "sums": {
            "risk": total.p,
            "money": total.money if schema.money else None,
            "revenue_at_risk": total.pv if schema.money else None,
            "leavers_interval": [leavers.low, leavers.high] if leavers else None,
            "interval": [revenue.low, revenue.high] if revenue else None,
        },
        "by_band": _by_band(rows, schema),
    }


def without(scored: Scored, out: pl.Series) -> Scored:
    """A scoring without some of its customers; averages stay what they were with them.

    out: which rows go, booleans in the order of `scored.rows`.
    """
    if not out.any():
        return scored
    rows, points = scored.rows.filter(~out), scored.points
    chosen = scored.explained
    if points is not None:
        gone = points.filter(out)
        chosen = None if chosen is None else chosen - int(gone.to_series(0).is_not_null().sum())
        points = points.filter(~out)
    sampled = int(points[SAMPLED].sum()) if points is not None and SAMPLED in points.columns else scored.sampled
    contacts = scored.contacts
    if contacts is not None:
        contacts = contacts.join(rows.select(contacts.columns[0]), on=contacts.columns[0], how="semi", maintain_order="left")
    return replace(scored, rows=rows, points=points, contacts=contacts, explained=chosen, sampled=sampled)


def _bins(feature: Feature, values: pl.Series) -> list[float]:
    """Rising upper edges of fine bins of a number, each the last value of its bin; the last is the highest value."""
    some = values.gather_every(max(1, -(-len(values) // _BINNED))).drop_nulls()
    if some.is_empty():
        return []
    highest = float(values.max())  # type: ignore[arg-type]
    different = some.unique().sort()
    if feature.whole and len(different) <= _MOST_VALUES:
        edges = different.to_list()
    else:
        shares = np.linspace(0, 1, _BINS + 1)[1:]
        edges = np.unique(np.quantile(some.to_numpy(), shares, method="inverted_cdf")).tolist()
    return sorted({*(float(edge) for edge in edges if edge < highest), highest})


def _by_band(rows: pl.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    money = pl.col(schema.money.column).cast(pl.Float64) if schema.money else pl.lit(None, pl.Float64)
    found = rows.group_by(BAND).agg(pl.len(), pl.col(RISK).sum().alias("p"), (pl.col(RISK) * money).sum().alias("pv"))
    by_code = {row[0]: row[1:] for row in found.iter_rows()}
    return [
        {"name": band.name, "customers": count, "expected_leavers": leavers, "revenue_at_risk": at_risk if schema.money else None}
        for code, band in enumerate(schema.bands)
        for count, leavers, at_risk in (by_code.get(code, (0, 0.0, 0.0)),)
    ]


def _contacts(rows: pl.DataFrame, given: pl.DataFrame | None, schema: Schema) -> pl.DataFrame | None:
    """Key and contact columns of those scored, as text, by key; None where there are none."""
    source = rows if given is None else given
    columns = [column for column in schema.contacts.columns if column in source.columns]
    if not columns:
        return None
    if schema.key not in source.columns:
        raise DataError(f"column {schema.key!r} is not in the contacts")
    found = source.select(pl.col(schema.key, *columns).cast(pl.String)).sort(schema.key, *columns)
    return found.unique(schema.key, keep="first", maintain_order=True).join(rows.select(schema.key), on=schema.key, how="semi")


def _behind(rows: pl.DataFrame, table: pl.DataFrame, schema: Schema) -> int:
    if not schema.snapshot:
        return 0
    day = schema.snapshot.column
    return int((rows[day] < table[day].max()).sum())


def _to_score(table: pl.DataFrame, schema: Schema) -> tuple[pl.DataFrame, int, int]:
    """The latest row of each key, by key, without who is gone; then how many are gone, how many rows were superseded."""
    rows = table.sort(schema.key, *((schema.snapshot.column,) if schema.snapshot else ()))
    if schema.snapshot:
        key, day = pl.col(schema.key), pl.col(schema.snapshot.column)
        again = rows.filter((key == key.shift(1)) & (day == day.shift(1)))
    else:
        again = rows.filter(pl.col(schema.key) == pl.col(schema.key).shift(1))
    if again.height:
        raise DataError(f"column {schema.key!r}: {again[schema.key][0]!r} is there more than once, but a key must be unique")
    latest = rows.unique(schema.key, keep="last", maintain_order=True) if schema.snapshot else rows
    present = latest
    if schema.snapshot and LEFT in latest.columns:
        present = latest.filter(pl.col(LEFT).ne_missing(1))
    if present.is_empty():
        why = "the table has no rows" if table.is_empty() else f"all {latest.height:,} have left already"
        raise DataError(f"there is no customer to score: {why}")
    return present, latest.height - present.height, rows.height - latest.height
