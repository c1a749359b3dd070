"""The demo: a simulated telecom base, deterministic by seed.

A customer's chance of leaving in the coming month follows contract, tenure, service, price, support calls, payments, fading
use and something nobody records; in the middle of the year prices rise for everybody without a contract, and those customers
leave more often than their data says. Snapshots are taken at month ends; whether a customer left within
`HORIZON_DAYS` is known only `LAG_DAYS` after that time is over. Nothing here comes from a real customer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.data import _telecom as telecom
from churn.data._people import people
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.errors import ChurnError, WorkspaceMixed

VERSION = 2  # raise it when the same seed gives other data
SEED = 7
AS_OF = date(2026, 11, 1)
HORIZON_DAYS = 90
LAG_DAYS = (2, 20)  # first and last day after the horizon on which an outcome is booked
SCHEMA = Path(__file__).resolve().parents[2] / "data" / "demo" / "schema.yaml"
TABLES = ("snapshots", "latest", "contacts", "outcomes")
_STAMP = "stamp.json"

KEY = telecom.KEY
_BURN_IN = 30  # months simulated before the first snapshot, until the mix of customers has settled
_WALLET_MONTHS = 2  # the last snapshots, in which a new way to pay appears
_FIRST_SHARE = 0.97  # size of the base at the first snapshot, as a share of that at the last


@dataclass(frozen=True, slots=True)
class Demo:
    """A simulated base.

    `snapshots`: one row per customer and month end, with `churned` (Yes, No, or null where not known by `as_of`).
    `latest`: the last snapshot as one would score it: no label, contact columns beside the features.
    `contacts`: key and contact columns of the customers in `latest`.
    `outcomes`: key, snapshot_date, left (Boolean) and known_at for every outcome known by `as_of`.
    """

    snapshots: pl.DataFrame
    latest: pl.DataFrame
    contacts: pl.DataFrame
    outcomes: pl.DataFrame
    as_of: date

    @property
    def dates(self) -> tuple[date, ...]:
        """The snapshot dates, oldest first."""
        return tuple(self.snapshots["snapshot_date"].unique().sort().to_list())

    @property
    def labelled(self) -> pl.DataFrame:
        """The rows whose outcome is known: what a model may learn from."""
        return self.snapshots.filter(pl.col("churned").is_not_null())


@dataclass(frozen=True, slots=True)
class Written:
    """Where a written demo lies; `fresh` is False where it was there already."""

    snapshots: Path
    latest: Path
    contacts: Path
    outcomes: Path
    schema: Path
    fresh: bool


def schema() -> Schema:
    """The demo's schema, as it lies in `data/demo/schema.yaml`."""
    return Schema.load(SCHEMA)


def price_rise(months: int = 12, as_of: date = AS_OF) -> date:
    """Day on which the prices rise: the day after one of the snapshots in the middle."""
    return _month_ends(months, as_of)[_rise_month(months) - 1] + timedelta(days=1)


def make(seed: int = SEED, customers: int = 20_000, months: int = 12, as_of: date = AS_OF) -> Demo:
    """Simulate a base of `customers` (at the last snapshot) over `months` month ends before `as_of`.

    The same arguments give the same tables on every run. Across machines this rests on numpy's generator (PCG64), whose stream
    is kept within a numpy release line; charges are rounded to 5 cents, so that a last bit of a logarithm does not show.

    Raises ChurnError for fewer than 100 customers or 2 months.
    """
    if customers < 100 or months < 2:
        raise ChurnError(f"a demo needs at least 100 customers and 2 months; asked for {customers} and {months}")
    rng = np.random.default_rng(seed)
    ends = _month_ends(months + 1, as_of, extra=1)  # the month after the last snapshot is simulated too: labels may reach into it
    sizes = np.linspace(customers * _FIRST_SHARE, customers, months).round().astype(int)
    state = telecom.join({}, telecom.newcomers(sizes[0], rng, tenured=True), 0)
    taken = sizes[0]
    frames: list[pl.DataFrame] = []
    gone: list[pl.DataFrame] = []
    for month in range(-_BURN_IN, months):
        if month >= 0:
            frames.append(telecom.observe(state, ends[month], rng))
        leaving = rng.random(len(state["id"])) < telecom.hazard(state, risen=month + 1 >= _rise_month(months))
        if month >= 0:
            days = (ends[month + 1] - ends[month]).days
            offsets = 1 + (rng.random(int(leaving.sum())) * days).astype(np.int64)
            left_on = pl.Series(offsets).cast(pl.Int32) + (ends[month] - date(1970, 1, 1)).days
            gone.append(pl.DataFrame({KEY: telecom.keys(state["id"][leaving]), "left_on": left_on.cast(pl.Date)}))
        state = {name: values[~leaving] for name, values in state.items()}
        state = telecom.live_a_month(state, rng, rise=month + 1 == _rise_month(months), risen=month + 1 > _rise_month(months))
        size = sizes[min(max(month + 1, 0), months - 1)]
        fresh = telecom.newcomers(
            max(size - len(state["id"]), 0),
            rng,
            price=1 + telecom.RISE if month + 1 >= _rise_month(months) else 1.0,
            wallet=month + 1 >= months - _WALLET_MONTHS,
        )
        state = telecom.join(state, fresh, taken)
        taken += len(fresh["tenure"])
    rows = pl.concat(frames)
    outcomes = _outcomes(rows, pl.concat(gone), as_of, rng)
    label = pl.when(pl.col("left")).then(pl.lit("Yes")).when(~pl.col("left")).then(pl.lit("No")).alias("churned")
    snapshots = rows.join(
        outcomes.select(KEY, "snapshot_date", "left"), on=(KEY, "snapshot_date"), how="left", maintain_order="left"
    )
    snapshots = snapshots.with_columns(label).drop("left")
    latest = rows.filter(pl.col("snapshot_date") == ends[months - 1])
    contacts = people(latest[KEY], rng)
    return Demo(snapshots, latest.join(contacts, on=KEY, how="left", maintain_order="left"), contacts, outcomes, as_of)


# -- the calendar ----------------------------------------------------------------------------------------------------


def _month_ends(months: int, as_of: date, extra: int = 0) -> tuple[date, ...]:
    """The last `months` month ends; the newest lies before `as_of`, or `extra` months later."""
    first = as_of.year * 12 + as_of.month - 1 + extra - months + 1  # months since year 0 of the day after the first month end
    return tuple(date(month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in range(first, first + months))


def _rise_month(months: int) -> int:
    """Index of the first snapshot that shows the new prices."""
    return months // 2


def _outcomes(rows: pl.DataFrame, gone: pl.DataFrame, as_of: date, rng: np.random.Generator) -> pl.DataFrame:
    """What is known by `as_of`: leavers and stayers alike are booked some days after the horizon is over.

    Were leavers booked at once, a half-matured month would hold too many of them.
    """
    horizon = timedelta(days=HORIZON_DAYS)
    lag = rng.integers(LAG_DAYS[0], LAG_DAYS[1] + 1, size=len(rows))
    return (
        rows.select(KEY, "snapshot_date")
        .with_columns(lag=pl.Series(lag))
        .with_columns(known_at=pl.col("snapshot_date") + horizon + pl.duration(days="lag"))
        .join(gone, on=KEY, how="left", maintain_order="left")
        .filter(pl.col("known_at") <= as_of)
        .select(
            KEY,
            "snapshot_date",
            left=(pl.col("left_on") <= pl.col("snapshot_date") + horizon).fill_null(False),
            known_at="known_at",
        )
    )


# -- on disk ---------------------------------------------------------------------------------------------------------


def write(folder: Path, *, seed: int = SEED, customers: int = 20_000, months: int = 12, as_of: date = AS_OF) -> Written:
    """Write the demo's tables as parquet, and its schema; a folder that holds the same demo already is left as it is.

    Every table is marked `simulated` in its metadata; `stamp.json` (arguments, version, sha256 of each file) comes last. A
    schema that somebody has edited in that folder is kept.

    Raises
    ------
    SchemaError: the demo's schema is missing or malformed.
    WorkspaceMixed: the folder holds a table of that name that is not the demo's; nothing was written.
    StoreUnavailable: the folder cannot be read or written.
    """
    schema()  # fails first where the schema is not there or no longer sound
    folder = Path(folder)
    tables = {table: folder / f"{table}.parquet" for table in TABLES}
    asked = {"version": VERSION, "seed": seed, "customers": customers, "months": months, "as_of": as_of.isoformat()}
    with disk(folder, "written"):
        stamp = _read_stamp(folder)
        same = all(stamp.get(name) == value for name, value in asked.items()) and all(
            path.exists() and _sum(path) == stamp["files"].get(path.name) for path in tables.values()
        )
        if not same:
            for path in tables.values():
                _refuse_foreign(path)
            demo = make(seed, customers, months, as_of)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _STAMP).unlink(missing_ok=True)
            for table, path in tables.items():
                _write_table(getattr(demo, table), path)
        described = _copy_schema(folder, stamp["files"].get("schema.yaml", ""))
        if not same:
            _write_stamp(
                folder, {"simulated": True, **asked, "files": {path.name: _sum(path) for path in (*tables.values(), described)}}
            )
    return Written(**tables, schema=described, fresh=not same)


def _write_table(table: pl.DataFrame, path: Path) -> None:
    """Write one table, whole or not at all."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        table.write_parquet(part, metadata={"simulated": "true"})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # no demo yet, or a torn stamp: make it again
        stamp = {}
    return {"files": {}, **stamp} if isinstance(stamp, dict) else {"files": {}}


def _write_stamp(folder: Path, stamp: Mapping[str, Any]) -> None:
    part = folder / f".stamp.{os.getpid()}.part"
    part.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / _STAMP)


def _copy_schema(folder: Path, last_sum: str) -> Path:
    """Put the schema beside the tables, unless it is there or somebody has edited it."""
    path = folder / SCHEMA.name
    if not path.exists() or (path.resolve() != SCHEMA and _sum(path) == last_sum):
        path.write_bytes(SCHEMA.read_bytes())
    return path


def _refuse_foreign(path: Path) -> None:
    """Raise if a table is there that the demo did not write."""
    if not path.exists():
        return
    try:
        simulated = pl.read_parquet_metadata(path).get("simulated") == "true"
    except pl.exceptions.PolarsError:
        simulated = False
    if not simulated:
        raise WorkspaceMixed(f"{path} is no simulated table; the demo does not overwrite it. Choose another folder for the demo")


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
