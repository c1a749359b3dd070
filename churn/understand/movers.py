"""Movers: what changed between two scorings of the base.

Two scorings are compared by what they say of their customers: who came, who went, who moved from which risk band to which, and,
where one model made both, which column the change of the average risk goes with. The points of a scoring add up to its average
risk minus the typical customer's, and the typical customer belongs to the model; so between two scorings of one model the
differences of the mean points add up to the change of the average risk exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from churn.base.groups import Filter
from churn.base.snapshot import RISK, ROWS, Snapshot
from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.model.manifest import NAME as MANIFEST


@dataclass(frozen=True, slots=True)
class Driver:
    """A column and by how much (0–1 scale) its mean points changed."""

    feature: str
    change: float


@dataclass(frozen=True, slots=True)
class BandMove:
    """One risk band: customers in it `before` and `now`; `into` and `out_of` count those in both scorings who changed band."""

    name: str
    before: int
    now: int
    into: int
    out_of: int


@dataclass(frozen=True, slots=True)
class Movers:
    """What changed since the scoring before.

    `since`: the day that scoring's rows were true. `bands`: low to high, by today's limits; `band` is the name of the highest,
    `into` and `out_of` its moves. `came` and `went` count keys that are in one scoring only. `change`: of the average risk,
    0–1 scale; `change_of_same`: of those in both scorings, None where there are none. `leavers` and `revenue`: change of the
    expected leavers and of the revenue at risk (None without money). `drivers`: largest change first; empty where the model
    changed too (`same_model`).
    """

    since: date
    band: str
    into: int
    out_of: int
    came: int
    went: int
    change: float
    change_of_same: float | None
    leavers: float
    revenue: float | None
    same_model: bool
    bands: tuple[BandMove, ...]
    drivers: tuple[Driver, ...]


def movers(before: Path, now: Path, schema: Schema) -> Movers:
    """Compare two scorings.

    Parameters
    ----------
    before, now: folders from `Registry.scoring_folder`, hence verified; both made with `schema`'s key.

    Raises
    ------
    BundleRejected: a folder is no scoring, or was made with another key.
    """
    then_facts, now_facts = _facts(before), _facts(now)
    moves = _moves(before / ROWS, now / ROWS, schema)
    both = [move for move in moves if move[0] is not None and move[1] is not None]
    bands = tuple(
        BandMove(
            name=band.name,
            before=sum(count for was, _, count, _ in moves if was == code),
            now=sum(count for _, is_, count, _ in moves if is_ == code),
            into=sum(count for was, is_, count, _ in both if is_ == code != was),
            out_of=sum(count for was, is_, count, _ in both if was == code != is_),
        )
        for code, band in enumerate(schema.bands)
    )
    stayed = sum(count for _, _, count, _ in both)
    same = then_facts["model"] == now_facts["model"]
    earlier, later = then_facts.get("mean_points", {}), now_facts.get("mean_points", {})
    drivers = [Driver(name, later[name] - earlier[name]) for name in schema.names if same and name in earlier and name in later]
    revenue = [facts["sums"].get("revenue_at_risk") for facts in (then_facts, now_facts)]
    return Movers(
        since=date.fromisoformat(then_facts["as_of"]),
        band=bands[-1].name,
        into=bands[-1].into,
        out_of=bands[-1].out_of,
        came=sum(count for was, _, count, _ in moves if was is None),
        went=sum(count for _, is_, count, _ in moves if is_ is None),
        change=_average(now_facts) - _average(then_facts),
        change_of_same=sum(change for _, _, _, change in both) / stayed if stayed else None,
        leavers=float(now_facts["sums"]["risk"]) - float(then_facts["sums"]["risk"]),
        revenue=None if None in revenue else float(revenue[1]) - float(revenue[0]),
        same_model=same,
        bands=bands,
        drivers=tuple(sorted(drivers, key=lambda driver: (-abs(driver.change), driver.feature))),
    )


@dataclass(frozen=True, slots=True)
class GroupMovers:
    """What changed for the customers of a filter since the scoring before.

    `before`, `now`: how many there were and are. `came`: new in the base; `joined`: from other groups of it; `went`: no longer
    in the base; `left_for_others`: in another group now. `band` is the name of the highest band; `into` counts those now
    in the filter who were scored before and were not in that band, `out_of` those who were in both and are still scored.
    `change`: of the average risk, None where nobody was or is there; `leavers`, `revenue`: as in `Movers`.
    """

    since: date
    before: int
    now: int
    came: int
    joined: int
    went: int
    left_for_others: int
    band: str
    into: int
    out_of: int
    change: float | None
    leavers: float
    revenue: float | None
    same_model: bool


def movers_in(before: Snapshot, now: Snapshot, filter: Filter) -> GroupMovers:
    """Compare two scorings for the customers of a filter; its groups mean the same in both, by today's limits.

    Raises StoreUnavailable where the cache no longer holds one of them.
    """
    moves = now.moves(before, filter)
    top = len(now.schema.bands) - 1

    def count(was: str | None = None, is_: str | None = None) -> int:
        return sum(move.customers for move in moves if was in (None, move.was) and is_ in (None, move.now))

    were, are = count(was="in"), count(is_="in")
    then, today = [move for move in moves if move.was == "in"], [move for move in moves if move.now == "in"]
    risk_was, risk_now = sum(move.risk_was for move in then), sum(move.risk_now for move in today)
    revenue = sum(move.money_now for move in today) - sum(move.money_was for move in then)
    return GroupMovers(
        since=before.as_of,
        before=were,
        now=are,
        came=count("gone", "in"),
        joined=count("elsewhere", "in"),
        went=count("in", "gone"),
        left_for_others=count("in", "elsewhere"),
        band=now.schema.bands[top].name,
        into=sum(move.customers for move in today if move.was != "gone" and move.band_now == top != move.band_was),
        out_of=sum(move.customers for move in then if move.now != "gone" and move.band_was == top != move.band_now),
        change=risk_now / are - risk_was / were if were and are else None,
        leavers=risk_now - risk_was,
        revenue=revenue if now.has_money else None,
        same_model=before.model == now.model,
    )


def _moves(before: Path, now: Path, schema: Schema) -> list[tuple[int | None, int | None, int, float]]:
    """Band before, band now (None: not there), how many customers, and the sum of their changes of risk."""
    key = '"' + schema.key.replace('"', '""') + '"'
    limits = [float(band.below) for band in schema.bands[:-1]]
    band = " + ".join(["0", *(f"({RISK} >= {limit!r})::INTEGER" for limit in limits)])
    side = f"SELECT {key} AS k, {RISK} AS p, {band} AS band FROM read_parquet(?)"
    sql = f"""
        SELECT was.band, now.band, count(*), coalesce(sum(now.p - was.p), 0)
        FROM ({side}) AS was FULL JOIN ({side}) AS now USING (k) GROUP BY ALL
    """
    try:
        with duckdb.connect() as connection:
            found: list[Any] = connection.execute(sql, [str(before), str(now)]).fetchall()
    except duckdb.Error as error:
        raise BundleRejected(f"scorings {before.parent.name} and {now.parent.name} cannot be compared: {error}") from error
    return found


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleRejected(f"scoring {folder.name}: {MANIFEST} cannot be read: {error}") from error
    return facts


def _average(facts: dict[str, Any]) -> float:
    return float(facts["sums"]["risk"]) / max(int(facts["rows"]), 1)
