"""Two versions of the model on the customers of the desk: who changes band, who moves most, and what makes the difference.

A model's points add up to a customer's risk minus that of its typical customer. So the difference between two models' risks is,
exactly, the difference of their typical risks plus, column by column, the difference of the points: that is the "why" here. It
says what the second model sees differently, not what is true of the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.model.risk_model import Explanation, RiskModel
from churn.score.batch import CHUNK, Progress, band_of

MOST = 10  # customers who moved most that are told about
_EXPLAINED = 2_000  # customers of a direction whose points are averaged, at most
_SLOW = 1_000  # customers that a model which takes long is asked about
_SEED = 0
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """What one column contributes to a difference: its points (0–1 scale) by the first and by the second model.

    `feature` is None for the risk of the typical customer, which belongs to the model. A model that does not know a column gives
    it no points.
    """

    feature: str | None
    first: float
    second: float

    @property
    def change(self) -> float:
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class Moved:
    """One customer: risks (0–1) and bands (index into the schema's) by both models, and the parts of the difference, largest
    first; they add up to it."""

    key: str
    first: float
    second: float
    band_first: int
    band_second: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Direction:
    """Those who move to a higher band, or to a lower one: how many, by how much their risk differs on average, and the parts of
    that, largest first. `asked`: how many of them the parts are averaged over."""

    customers: int
    change: float
    parts: tuple[Part, ...]
    asked: int


@dataclass(frozen=True, slots=True)
class Moves:
    """What a second model changes on the desk.

    `counts`: customers by band of the first model (rows) and of the second. `customers`: how many were asked about, `of` how many
    there are. `leavers`: expected leavers by either model, of those asked about; `revenue` at risk likewise, None without money.
    `up`, `down`: whoever moves to a higher or lower band; None where nobody does.
    """

    counts: tuple[tuple[int, ...], ...]
    customers: int
    of: int
    leavers: tuple[float, float]
    revenue: tuple[float, float] | None
    up: Direction | None
    down: Direction | None
    most: tuple[Moved, ...]

    @property
    def moving(self) -> int:
        """How many change band."""
        return sum(direction.customers for direction in (self.up, self.down) if direction)


def moves(
    rows: Path, schema: Schema, first: RiskModel, second: RiskModel, *, known: bool = True, progress: Progress | None = None
) -> Moves:
    """Compare two models on a scoring's customers.

    Parameters
    ----------
    rows: `rows.parquet` of a scoring that has the columns both models need (`churn.score.promotion.check_columns`).
    schema: whose bands, key and money count.
    known: the risks in `rows` are the first model's.

    All customers are asked about, unless a model takes long to answer: then a sample of a thousand, the same for any two.
    """
    size = int(pl.scan_parquet(rows).select(pl.len()).collect().item())
    slow = not (second.quick and (known or first.quick))
    places = _sample(size) if slow else None
    risks = _risks(rows, schema, first, second, known=known, places=places, progress=progress)
    bands = [band_of(risk, schema).to_numpy().astype(np.int64) for risk in (risks.first, risks.second)]
    step, change = bands[1] - bands[0], risks.second - risks.first
    counts = np.zeros((len(schema.bands),) * 2, dtype=np.int64)
    np.add.at(counts, (bands[0], bands[1]), 1)
    at = _Asked(rows, schema, first, second, np.arange(size) if places is None else places, limit=MOST if slow else _EXPLAINED)
    most = np.lexsort((np.arange(len(change)), -np.abs(change)))[:MOST]
    found = at.parts(most)
    return Moves(
        counts=tuple(tuple(int(one) for one in row) for row in counts),
        customers=len(change),
        of=size,
        leavers=(float(risks.first.sum()), float(risks.second.sum())),
        revenue=risks.revenue,
        up=at.direction(np.flatnonzero(step > 0), change),
        down=at.direction(np.flatnonzero(step < 0), change),
        most=tuple(
            Moved(key, float(risks.first[i]), float(risks.second[i]), int(bands[0][i]), int(bands[1][i]), parts)
            for i, key, parts in zip(most, at.keys(most), found, strict=True)
        ),
    )


def columns(rows: Path) -> dict[str, pl.DataType]:
    """The columns of a scoring's file and their types, for `churn.score.promotion.check_columns`."""
    return dict(pl.read_parquet_schema(rows))


@dataclass(frozen=True, eq=False, slots=True)
class _Risks:
    first: Floats
    second: Floats
    revenue: tuple[float, float] | None


def _risks(
    rows: Path,
    schema: Schema,
    first: RiskModel,
    second: RiskModel,
    *,
    known: bool,
    places: Places | None,
    progress: Progress | None,
) -> _Risks:
    """Both models' risks, in slices, so that memory does not grow with the base."""
    money = schema.money.column if schema.money else None
    own = [] if known else list(first.schema.names)
    wanted = list(dict.fromkeys([RISK, *([money] if money else []), *own, *second.schema.names]))
    parts: tuple[list[Floats], list[Floats]] = ([], [])
    revenue = np.zeros(2)
    size = len(places) if places is not None else int(pl.scan_parquet(rows).select(pl.len()).collect().item())
    for start in range(0, size, CHUNK):
        table = _slice(rows, wanted, start) if places is None else _at(rows, wanted, places[start : start + CHUNK])
        risks = (table[RISK].to_numpy() if known else first.score(table).risk, second.score(table).risk)
        for kept, risk in zip(parts, risks, strict=True):
            kept.append(risk)
        if money:
            worth = table[money].cast(pl.Float64).fill_null(0).to_numpy()
            revenue += [float(worth @ risk) for risk in risks]
        if progress:
            progress("Comparing", min(start + CHUNK, size), size)
    return _Risks(np.concatenate(parts[0]), np.concatenate(parts[1]), (revenue[0], revenue[1]) if money else None)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The customers that were asked about, and what the models say of some of them."""

    rows: Path
    schema: Schema
    first: RiskModel
    second: RiskModel
    places: Places
    limit: int

    def keys(self, some: Places) -> list[str]:
        return [str(key) for key in self._table(some, [self.schema.key])[self.schema.key]]

    def parts(self, some: Places) -> list[tuple[Part, ...]]:
        """The parts of each one's difference."""
        if not len(some):
            return []
        before, after = self._explained(some)
        return [_parts(before, after, before.points[i], after.points[i]) for i in range(len(some))]

    def direction(self, some: Places, change: Floats) -> Direction | None:
        if not len(some):
            return None
        asked = np.sort(np.random.default_rng(_SEED).choice(some, self.limit, replace=False)) if len(some) > self.limit else some
        before, after = self._explained(asked)
        parts = _parts(before, after, before.points.mean(axis=0), after.points.mean(axis=0))
        return Direction(len(some), float(change[some].mean()), parts, len(asked))

    def _explained(self, some: Places) -> tuple[Explanation, Explanation]:
        table = self._table(some, list(dict.fromkeys([*self.first.schema.names, *self.second.schema.names])))
        return self.first.explain(table), self.second.explain(table)

    def _table(self, some: Places, wanted: list[str]) -> pl.DataFrame:
        return _at(self.rows, wanted, self.places[some])


def _slice(rows: Path, wanted: list[str], start: int) -> pl.DataFrame:
    table: pl.DataFrame = pl.scan_parquet(rows).select(wanted).slice(start, CHUNK).collect()
    return table


def _at(rows: Path, wanted: list[str], places: Places) -> pl.DataFrame:
    """The rows at some places of a file, in the order of the places; no more than a slice is in memory at once."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    found = []
    for start in np.unique(ordered // CHUNK) * CHUNK:
        within = ordered[(ordered >= start) & (ordered < start + CHUNK)] - start
        found.append(_slice(rows, wanted, int(start))[within])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    table: pl.DataFrame = pl.concat(found)[back]
    return table


def _parts(first: Explanation, second: Explanation, before: Floats, after: Floats) -> tuple[Part, ...]:
    """The parts of the difference between two rows of points, largest first, without those that are nothing."""
    sides = [dict(zip(one.features, points.tolist(), strict=True)) for one, points in ((first, before), (second, after))]
    found = [Part(None, first.typical_risk, second.typical_risk)]
    found += [Part(name, sides[0].get(name, 0.0), sides[1].get(name, 0.0)) for name in dict.fromkeys([*sides[0], *sides[1]])]
    return tuple(sorted((part for part in found if part.change), key=lambda part: -abs(part.change)))


def _sample(size: int) -> Places:
    if size <= _SLOW:
        return np.arange(size)
    return np.sort(np.random.default_rng(_SEED).choice(size, _SLOW, replace=False)).astype(np.int64)


# -- where a version comes from -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version was made from: the sum of its table and how many rows that had, the schema's hash, the training run, and
    the version it was to succeed. None where nothing was noted: by an earlier desk, or elsewhere."""

    version: str
    schema: str
    table: str | None
    rows: int | None
    run: str | None
    parent: str | None


def lineage(version: str, metrics: Mapping[str, Any], schema_hash: str) -> Lineage:
    """Read a version's line of descent from its metrics, which come from wherever a bundle may come."""
    table = metrics.get("table")
    table = table if isinstance(table, Mapping) else {}
    rows = table.get("rows")
    return Lineage(
        version=version,
        schema=schema_hash,
        table=_text(table.get("sha256")),
        rows=rows if isinstance(rows, int) else None,
        run=_text(metrics.get("run")),
        parent=_text(metrics.get("parent")),
    )


def ancestors(version: str, known: Iterable[Lineage]) -> tuple[str, ...]:
    """The versions it goes back to, nearest first; a circle, which only a forged bundle can have, ends the line."""
    parents = {one.version: one.parent for one in known}
    found: list[str] = []
    now = parents.get(version)
    while now is not None and now not in (version, *found):
        found.append(now)
        now = parents.get(now)
    return tuple(found)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# -- in words --------------------------------------------------------------------


def sentence(found: Moves, names: tuple[str, str], schema: Schema) -> str:
    """How many change band and what that comes to, with the second version in place of the first."""
    asked = f"{words.count(found.customers)} customers"
    if found.customers < found.of:
        asked = f"{asked} asked about, of {words.count(found.of)},"
    if not found.moving:
        return f"None of {asked} changes band with {names[1]}."
    ways = [f"{words.count(one.customers)} to a {side} one" for one, side in ((found.up, "higher"), (found.down, "lower")) if one]
    verb = "changes" if found.moving == 1 else "change"
    moving = f"{words.count(found.moving)} of {asked} {verb} band with {names[1]}: {words.sentence_list(ways)}."
    before, after = found.leavers
    ends = [_from_to("Expected leavers", words.count(before), words.count(after))]
    if found.revenue is not None:
        ends.append(_from_to("revenue at risk", *(words.money(one, schema.currency, cents=False) for one in found.revenue)))
    return f"{moving} {words.sentence_list(ends)}."


def _from_to(what: str, before: str, after: str) -> str:
    verb = "go" if what.endswith("s") else "goes"
    stays = "stay" if what.endswith("s") else "stays"
    return f"{what} {stays} {after}" if before == after else f"{what} {verb} from {before} to {after}"


def part_name(part: Part, schemas: tuple[Schema, Schema]) -> str:
    """The column behind a part as people call it; the typical customer for the part that belongs to the model."""
    if part.feature is None:
        return "A typical customer"
    return next(schema.feature(part.feature).label for schema in schemas if part.feature in schema)


def differs(moved: Moved, schemas: tuple[Schema, Schema], row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the second model sees otherwise in one customer, the largest difference first: `Contract: Monthly +15 (was +4)`.

    row: the customer's values, as far as the desk has them. What reads the same in print is left out.
    """
    told = []
    for part in moved.parts:
        points = [words.points(one, unit=False) for one in (part.first, part.second)]
        if part.feature is None:
            points = [words.percent(one) for one in (part.first, part.second)]
        if points[0] == points[1]:
            continue
        name = part_name(part, schemas)
        if part.feature is not None and part.feature in row and part.feature in schemas[0]:
            name = words.value_text(row[part.feature], schemas[0].feature(part.feature), schemas[0])
        told.append(f"{name} {points[1]} (was {points[0]})")
    return tuple(told)


def side_by_side(first: Lineage, second: Lineage) -> tuple[tuple[str, str, str, str], ...]:
    """Where two versions come from, as rows of a comparison: whether they share it, and what they were made to succeed.

    The sums that tell tables and schemas apart are `sums`.
    """
    rows = [
        (what, *_shared(a, b), "")
        for what, a, b in (
            ("Table", first.table, second.table),
            ("Schema", first.schema, second.schema),
            ("Training run", first.run, second.run),
        )
    ]
    parents = (first.parent or words.NOTHING, second.parent or words.NOTHING)
    return (*rows, ("Made to succeed", *parents, "the same" if first.parent and first.parent == second.parent else ""))


def _shared(first: str | None, second: str | None) -> tuple[str, str]:
    """`the same` twice, or `one` and `another`; nothing where it was not noted."""
    if first and second:
        return ("the same", "the same") if first == second else ("one", "another")
    return "one" if first else words.NOTHING, "one" if second else words.NOTHING


def sums(*found: Lineage) -> str:
    """What versions were made from as a table's or schema's sum has it, for whoever looks for the very files."""
    told = []
    for one in found:
        parts = (("table", _sum(one.table)), ("schema", _sum(one.schema)), ("training run", one.run))
        told.append(f"{one.version}: {', '.join(f'{what} {value}' for what, value in parts if value) or words.NOTHING}")
    return "; ".join(told)


def _sum(value: str | None) -> str | None:
    """Enough of a sum to tell tables apart by."""
    return value[:10] if value else None
