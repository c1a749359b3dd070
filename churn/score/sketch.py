"""Sketches: what a part of the prediction log looked like, in a few kilobytes that add up.

A sketch counts a part's rows on a grid that comes from the model's reference alone, so that no later value, however far out,
moves an edge: for a number up to 128 quantiles of the reference, with what lies below and above all of them apart; for a category
its levels, with all others together (and by name); for both, what is missing and what could not be read. Sketches of one model
add up, to a week, a month or all days. There is one for each part of the log,
`sketches/model=V/date=D/RUN.npz`, written once; made again from the same part it has the same bytes.

How many different customers the rows are of is counted with a HyperLogLog (Flajolet, Fusy, Gandouet and Meunier 2007): 1,024
registers hold no key and nothing that leads to one. A base scored every night is not seven times as many customers in a week,
and whoever asks for significance has to know.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.base.snapshot import RISK
from churn.data.arrays import loaded
from churn.data.schema import Feature
from churn.errors import BundleRejected, DataError, NotInStore, StoreConflict, StoreDamaged
from churn.model.bundle import HOLDOUT, Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import log

PREFIX = "sketches/"
_FORMAT = 1
_EDGES = 128  # of a number: a step is under one point of the reference
_REGISTERS = 1024  # of the count of customers: off by 3.3 % (one standard error)
_ALL = 0.9  # of the rows: as far off the count of as many customers as rows may be by chance (three standard errors)
_NEW_LEVELS = 100  # texts kept of one column and part; the rest is counted together
_LEVEL_LENGTH = 80  # letters kept of such a text
_JUDGED = 500  # rows kept apart from training that are enough to take the risks' reference from
_ENOUGH = 10_000  # of them, evenly spaced, where there are many more
_GUESSED = 4096  # steps that a value's place is guessed by; fewer values are not worth it
_RISK_UNIT = 1e-9  # risks are added up in whole billionths, so that sums do not depend on their order
_NAME = re.compile(r"sketches/model=(?P<model>[\w.-]+)/date=(?P<date>\d{4}-\d\d-\d\d)/[0-9A-Za-z-]+\.npz")
_log = logging.getLogger("churn.score")

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Column:
    """One column's part of the grid, and how the reference is spread over it.

    `edges`: of a number, rising; a cell holds what is above one edge and up to the next. The first is just below the lowest value
    of the reference and the last its highest, so the outer cells are what lies outside. `levels`: of a category.
    Cells: first the values' own (`len(edges) + 1`, or one a level and one for all other levels), then missing, then unreadable.
    `reference`: int64 [cells].
    """

    name: str
    kind: Literal["number", "category", "risk"]
    edges: Floats
    levels: tuple[str, ...]
    reference: Counts

    @property
    def values(self) -> int:
        """How many cells hold values."""
        return len(self.levels) + 1 if self.kind == "category" else len(self.edges) + 1

    @property
    def cells(self) -> int:
        return self.values + 2


@dataclass(frozen=True, eq=False)
class Grid:
    """Where a model's sketches count. `reference_risk`: the average risk (0–1) of the rows the risks' reference is made from."""

    model: str
    columns: tuple[Column, ...]
    reference_risk: float

    @classmethod
    def of(cls, bundle: Bundle) -> Grid:
        """The grid of a model, from its reference sample.

        Risks have a reference of their own where the bundle has enough rows that training did not see: on those it learnt from, a
        model is surer of itself than it will ever be again, and that alone would look like drift.
        """
        _, risk = _unseen(bundle)
        columns = [_grid_column(feature, bundle.reference) for feature in bundle.schema.features]
        columns.append(_number_column(RISK, "risk", pl.Series(RISK, risk)))
        return cls(bundle.version, tuple(columns), float(risk.mean()) if risk.size else 0.0)

    def within(self, bundle: Bundle, keep: pl.Expr) -> Grid:
        """The same grid with the reference of some customers alone.

        keep: whether a row of the schema's features is of them.
        """
        rows = bundle.reference.filter(keep)
        unseen, risk = _unseen(bundle)
        chosen = risk[unseen.select(keep.alias("kept"))["kept"].to_numpy()] if risk.size else risk
        counted = sketch(rows.with_columns(pl.lit(0.0).alias(RISK)), self).counts
        columns = []
        for column in self.columns:
            reference = counted[self.places[column.name]].copy()
            if column.name == RISK:
                reference[:] = 0
                _count_numbers(pl.Series(RISK, chosen), column.edges, reference)
            columns.append(replace(column, reference=reference))
        return replace(self, columns=tuple(columns), reference_risk=float(chosen.mean()) if chosen.size else 0.0)

    @cached_property
    def places(self) -> Mapping[str, slice]:
        """Where each column's cells lie in a sketch's counts."""
        ends = np.cumsum([column.cells for column in self.columns]).tolist()
        return {column.name: slice(end - column.cells, end) for column, end in zip(self.columns, ends, strict=True)}

    @cached_property
    def size(self) -> int:
        return sum(column.cells for column in self.columns)

    @cached_property
    def hash(self) -> str:
        """Grids with the same edges and levels have the same; 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{_FORMAT}".encode())
        for column in self.columns:
            digest.update(json.dumps([column.name, column.kind, column.levels]).encode())
            digest.update(column.edges.astype("<f8").tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Sketch:
    """What some rows look like on a grid.

    `counts`: int64 [cells of the grid]. `new`: by column, the levels that the reference lacks and how many rows have each.
    `unreadable`: columns that were missing, or of a type that cannot be what the model wants, and what is wrong.
    `strange`: columns the rows had that the model does not know. `risk_total`: in billionths.
    `registers`: uint8 [1024], of the count of customers.
    """

    grid: str
    rows: int
    counts: Counts
    risk_total: int
    registers: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(_REGISTERS, dtype=np.uint8))
    new: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    strange: tuple[str, ...] = ()

    @classmethod
    def empty(cls, grid: Grid) -> Sketch:
        return cls(grid.hash, 0, np.zeros(grid.size, dtype=np.int64), 0)

    @property
    def average_risk(self) -> float | None:
        """0–1; None for no rows."""
        return self.risk_total * _RISK_UNIT / self.rows if self.rows else None

    @cached_property
    def customers(self) -> int:
        """About how many different customers the rows are of; all of them where that may well be, or no key is known."""
        if not self.rows or not self.registers.any():
            return self.rows
        found = _distinct(self.registers)
        return self.rows if found > _ALL * self.rows else max(1, round(found))

    def __add__(self, other: Sketch) -> Sketch:
        """The rows of both. Raises DataError for sketches of two grids."""
        if self.grid != other.grid:
            raise DataError(f"sketches of two models' grids ({self.grid} and {other.grid}) cannot be added up")
        new = {name: dict(levels) for name, levels in self.new.items()}
        for name, levels in other.new.items():
            mine = new.setdefault(name, {})
            for level, count in levels.items():
                mine[level] = mine.get(level, 0) + count
        return Sketch(
            grid=self.grid,
            rows=self.rows + other.rows,
            counts=self.counts + other.counts,
            risk_total=self.risk_total + other.risk_total,
            registers=np.maximum(self.registers, other.registers),
            new={name: dict(sorted(new[name].items())) for name in sorted(new)},
            unreadable={**self.unreadable, **other.unreadable},
            strange=tuple(sorted({*self.strange, *other.strange})),
        )

    def to_bytes(self) -> bytes:
        """As a compressed npz without pickles; the same bytes for the same sketch."""
        facts = {
            "format": _FORMAT,
            "grid": self.grid,
            "rows": self.rows,
            "risk_total": self.risk_total,
            "new": {name: dict(sorted(self.new[name].items())) for name in sorted(self.new)},
            "unreadable": dict(sorted(self.unreadable.items())),
            "strange": list(self.strange),
        }
        told = np.frombuffer(json.dumps(facts, ensure_ascii=False).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, counts=self.counts.astype("<i8"), registers=self.registers, facts=told)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Raises StoreDamaged for what is no sketch."""
        try:
            with loaded(io.BytesIO(data)) as stored:
                facts = json.loads(stored["facts"].tobytes())
                counts, registers = stored["counts"].astype(np.int64), stored["registers"].astype(np.uint8)
            if facts["format"] != _FORMAT or registers.shape != (_REGISTERS,) or counts.ndim != 1:
                raise StoreDamaged("it has another format")
            return cls(
                grid=str(facts["grid"]),
                rows=int(facts["rows"]),
                counts=counts,
                risk_total=int(facts["risk_total"]),
                registers=registers,
                new={str(name): {str(level): int(n) for level, n in levels.items()} for name, levels in facts["new"].items()},
                unreadable={str(name): str(why) for name, why in facts["unreadable"].items()},
                strange=tuple(str(name) for name in facts["strange"]),
            )
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise StoreDamaged(f"a sketch cannot be read ({error})") from error


# -- counting --------------------------------------------------------------------


def sketch(rows: pl.DataFrame, grid: Grid) -> Sketch:
    """Count rows on a grid.

    A column that the rows lack, or that has a type the model cannot mean, counts as unreadable in every row and is named; one
    that the model does not know is named and ignored. NaN is missing; an infinite number lies outside.

    Parameters
    ----------
    rows: as the log has them: `__risk__`, the features, and `__key__` where customers are to be counted.
    """
    size = rows.height
    counts = np.zeros(grid.size, dtype=np.int64)
    new: dict[str, dict[str, int]] = {}
    unreadable: dict[str, str] = {}
    for column in grid.columns:
        cells = counts[grid.places[column.name]]
        why = _unreadable(rows, column)
        if why is not None:
            unreadable[column.name] = why
            cells[-1] = size
        elif column.kind == "category":
            found = _count_levels(rows[column.name], column, cells)
            if found:
                new[column.name] = found
        else:
            _count_numbers(rows[column.name], column.edges, cells)
    known = {column.name for column in grid.columns}
    risk_total = 0
    if RISK not in unreadable:
        risks = rows[RISK].fill_nan(None).fill_null(0.0).to_numpy()
        risk_total = int(np.rint(risks / _RISK_UNIT).astype(np.int64).sum())
    return Sketch(
        grid=grid.hash,
        rows=size,
        counts=counts,
        risk_total=risk_total,
        registers=_registers(rows[log.KEY]) if log.KEY in rows.columns else np.zeros(_REGISTERS, dtype=np.uint8),
        new=new,
        unreadable=unreadable,
        strange=tuple(sorted(name for name in rows.columns if name not in known and not _ours(name))),
    )


def _ours(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _unreadable(rows: pl.DataFrame, column: Column) -> str | None:
    if column.name not in rows.columns:
        return "is not there"
    kind = rows.schema[column.name]
    if kind == pl.Null:
        return None
    if column.kind == "category":
        return None if kind in (pl.String, pl.Categorical, pl.Enum) else f"is no text but {_type(kind)}"
    return None if kind.is_numeric() else f"is no number but {_type(kind)}"


def _type(kind: pl.DataType) -> str:
    if kind == pl.String:
        return "text"
    if kind == pl.Boolean:
        return "yes or no"
    return "a number" if kind.is_numeric() else "a date" if kind.is_temporal() else "something else"


def _count_numbers(values: pl.Series, edges: Floats, cells: Counts) -> None:
    if values.dtype == pl.Null:
        cells[-2] = len(values)
        return
    numbers = values.cast(pl.Float64).to_numpy()
    missing = np.isnan(numbers)
    known = numbers[~missing] if missing.any() else numbers
    cells[-2] = len(numbers) - len(known)
    cells[:-2] = np.bincount(_places(known, edges), minlength=len(edges) + 1)


def _places(values: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """`np.searchsorted(edges, values)` in a third of the time: guessed by equal steps, and looked up where the guess is wrong."""
    if len(values) < _GUESSED or len(edges) < 4 or not edges[-2] > edges[1]:
        return np.searchsorted(edges, values)
    low, high = edges[1], edges[-2]  # not the ends, which an outlier of the reference may be
    steps = np.searchsorted(edges, low + (high - low) / _GUESSED * np.arange(_GUESSED))
    steps[0] = 0
    found: npt.NDArray[np.intp] = steps[np.clip((values - low) * (_GUESSED / (high - low)), 0, _GUESSED - 1).astype(np.int32)]
    wrong = (np.append(edges, np.inf)[found] < values) | (np.append(-np.inf, edges)[found] >= values)
    found[wrong] = np.searchsorted(edges, values[wrong])
    return found


def _count_levels(values: pl.Series, column: Column, cells: Counts) -> dict[str, int]:
    """Count into the cells; the levels that the grid does not have, most frequent first, with how many rows each has."""
    if values.dtype == pl.Null:
        cells[-2] = len(values)
        return {}
    place = {level: i for i, level in enumerate(column.levels)}
    others: dict[str, int] = {}
    for level, count in values.value_counts(name="n").iter_rows():
        if level is None:
            cells[-2] += count
        elif level in place:
            cells[place[level]] += count
        else:
            cells[len(place)] += count
            clipped = level[:_LEVEL_LENGTH]
            others[clipped] = others.get(clipped, 0) + count
    named = sorted(others.items(), key=lambda one: (-one[1], one[0]))[:_NEW_LEVELS]
    return dict(sorted(named))


def _unseen(bundle: Bundle) -> tuple[pl.DataFrame, Floats]:
    """The rows that the risks' reference is made from, and their risks."""
    rows = bundle.reference
    if HOLDOUT in bundle.extra:
        kept_apart = pl.read_parquet(io.BytesIO(bundle.extra[HOLDOUT]))
        if kept_apart.height >= _JUDGED:
            rows = kept_apart.gather_every(max(1, kept_apart.height // _ENOUGH))
    rows = rows.select(bundle.schema.names)
    return rows, bundle.model.score(rows).risk if rows.height else np.empty(0)


def _grid_column(feature: Feature, reference: pl.DataFrame) -> Column:
    values = reference[feature.name]
    if feature.is_number:
        return _number_column(feature.name, "number", values)
    own = [level.value for level in feature.levels]
    seen = values.cast(pl.String).drop_nulls().unique().sort().to_list()
    levels = (*own, *(level for level in seen if level not in own))
    column = Column(feature.name, "category", np.empty(0), levels, np.zeros(len(levels) + 3, dtype=np.int64))
    _count_levels(values.cast(pl.String), column, column.reference)
    return column


def _number_column(name: str, kind: Literal["number", "risk"], values: pl.Series) -> Column:
    known = np.sort(values.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy())
    known = known[np.isfinite(known)]
    edges = np.empty(0)
    if known.size:
        # quantiles that are values of the sample, the lowest at a step of its own; a number with few values has them all
        shares = np.arange(1, _EDGES) / (_EDGES - 1)
        inner = known[np.minimum(np.ceil(shares * known.size).astype(np.int64) - 1, known.size - 1)]
        different = np.unique(known)
        inner = different if different.size < _EDGES else np.unique(inner)
        edges = np.concatenate([[np.nextafter(known[0], -np.inf)], inner])
    column = Column(name, kind, edges, (), np.zeros(len(edges) + 3, dtype=np.int64))
    _count_numbers(values, edges, column.reference)
    return column


# -- how many customers ----------------------------------------------------------


def _registers(keys: pl.Series) -> npt.NDArray[np.uint8]:
    """Of each of 1,024 shares of the keys, by a hash: the most leading zeros (and one) of the rest of the hash."""
    registers = np.zeros(_REGISTERS, dtype=np.uint8)
    if not len(keys):
        return registers
    hashes = _hashes(keys)
    bits = int(math.log2(_REGISTERS))
    register = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    rest = (hashes << np.uint64(bits)) >> np.uint64(bits)
    # 53 bits are a float exactly, so its exponent is the place of the highest one
    high = (rest >> np.uint64(64 - bits - 53)).astype(np.float64)
    zeros = np.where(high > 0, 53 - np.frexp(high)[1] + 1, 54).astype(np.uint8)
    np.maximum.at(registers, register, zeros)
    return registers


def _hashes(keys: pl.Series) -> npt.NDArray[np.uint64]:
    """64 bits of each text, the same everywhere and always: its bytes in words of eight, each times a number of its own, added up
    and mixed (splitmix64; Steele, Lea and Flood 2014). Zeros that fill the last word up count for nothing."""
    texts = keys.cast(pl.String).fill_null("")
    bytes_of = texts.str.len_bytes()
    length = 8 * max(1, -(-int(bytes_of.max()) // 8))  # type: ignore[arg-type]
    if (bytes_of == texts.str.len_chars()).all():
        padded = texts.str.pad_end(length, "\0").str.join("")[0]  # in one piece
        data = padded.encode()
    else:  # letters of more than one byte
        data = b"".join(text.encode().ljust(length, b"\0") for text in texts.to_list())
    words = np.frombuffer(data, dtype="<u8").reshape(len(texts), length // 8)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(words.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64))
        mixed: npt.NDArray[np.uint64] = (words * powers).sum(axis=1, dtype=np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(31))


def _distinct(registers: npt.NDArray[np.uint8]) -> float:
    """The estimate of HyperLogLog, by the empty registers where many are (Flajolet et al. 2007, fig. 3)."""
    empty = int((registers == 0).sum())
    raw = 0.7213 / (1 + 1.079 / _REGISTERS) * _REGISTERS**2 / float(np.exp2(-registers.astype(np.float64)).sum())
    return _REGISTERS * math.log(_REGISTERS / empty) if raw <= 2.5 * _REGISTERS and empty else raw


# -- in the store ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Daily:
    """All that one model predicted about one day."""

    model: str
    day: date
    sketch: Sketch


def of_run(model: str, day: date, run: str) -> str:
    """Where the sketch of a run lies in the store."""
    return f"{PREFIX}model={model}/date={day.isoformat()}/{run}.npz"


def ensure(store: Store, registry: Registry) -> int:
    """Build the sketches that parts of the log lack; how many were built.

    A part that cannot be read, or whose model is no longer in the store, is passed over with a word in the log.

    Raises
    ------
    StoreUnavailable: the store does not answer; what was built stays.
    """
    there = {entry.key for entry in store.list(PREFIX)}
    grids: dict[str, Grid | None] = {}
    built = 0
    for part in log.parts(store):
        name = of_run(part.model, part.date, part.run)
        if name in there:
            continue
        if part.model not in grids:
            grids[part.model] = _grid(registry, part.model)
        grid = grids[part.model]
        if grid is None:
            continue
        try:
            made = sketch(log.rows(store, part), grid)
        except (StoreDamaged, NotInStore) as error:
            _log.warning("a part of the log has no sketch: %s", error)
            continue
        try:
            store.write(name, made.to_bytes(), if_absent=True)
        except StoreConflict:
            continue  # somebody else built it meanwhile: the same bytes
        built += 1
    return built


def read(store: Store, *, model: str | None = None, since: date | None = None) -> tuple[Daily, ...]:
    """The sketches, one for each model and day, by model and day.

    Where a day has runs in the log, the sketches of those count; where none is kept any longer, the day's sketches stand for
    them. One that is damaged is passed over with a word in the log: `ensure` cannot know, so delete it.
    """
    place = f"{PREFIX}model={model}/" if model else PREFIX
    kept = {of_run(part.model, part.date, part.run): (part.model, part.date) for part in log.parts(store, model=model)}
    alive = set(kept.values())
    wanted: list[tuple[str, date, str]] = []
    for entry in store.list(place):
        about = _about(entry.key)
        if about is None or (since is not None and about[1] < since):
            continue
        if entry.key in kept or about not in alive:
            wanted.append((*about, entry.key))
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(lambda one: _load(store, one[2]), sorted(wanted))
    days: dict[tuple[str, date], Sketch] = {}
    for (version, day, name), one in zip(sorted(wanted), found, strict=True):
        if one is None:
            continue
        before = days.get((version, day))
        if before is not None and before.grid != one.grid:
            _log.warning("%s was counted on another grid than the day's others; it is left out", name)
            continue
        days[version, day] = one if before is None else before + one
    return tuple(Daily(version, day, one) for (version, day), one in days.items())


def on_grid(days: Iterable[Daily], grid: Grid) -> tuple[Daily, ...]:
    """Those of one model that were counted on this grid."""
    return tuple(one for one in days if one.model == grid.model and one.sketch.grid == grid.hash)


def _about(name: str) -> tuple[str, date] | None:
    """The model and day of a sketch's name; None for any other."""
    match = _NAME.fullmatch(name)
    return (match["model"], date.fromisoformat(match["date"])) if match else None


def _load(store: Store, name: str) -> Sketch | None:
    try:
        return Sketch.from_bytes(store.read(name).data)
    except (StoreDamaged, NotInStore) as error:
        _log.warning("%s is left out: %s", name, error)
        return None


def _grid(registry: Registry, model: str) -> Grid | None:
    try:
        return Grid.of(registry.load_model(model))
    except (BundleRejected, NotInStore) as error:
        _log.warning("predictions of model %s cannot be watched: %s", model, error)
        return None
