"""The prediction log: what was predicted, for whom, from which values, and when.

Parquet parts in the store, keyed by model version and by the day the predictions are about:
`log/model=v12/date=2026-11-19/RUN.parquet`. A part is written whole, once: the run id is made from everything that went into the
run, so the same run finds its part already there. What-ifs never come here. Many small parts of a day can be made one
(`compact`) while others read and write (`churn.score._parts`).

A part has `__key__`, `__as_of__`, `__scored_at__` (UTC), `__risk__`, `__margin__`, `__source__`, then the features under their
own names (which no schema lets begin and end with two underscores).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, get_args

import polars as pl

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.errors import DataError, NotInStore, StoreConflict, StoreDamaged
from churn.model.store import Store
from churn.score import _parts, forgotten
from churn.score._parts import PREFIX, RUN, Object

__all__ = ["AS_OF", "KEY", "MODEL", "PREFIX", "RUN", "SCORED_AT", "SOURCE", "SOURCES", "Part", "append", "batches", "compact"]
__all__ += ["expire", "keys", "parts", "read", "rows"]

KEY, AS_OF, SCORED_AT, SOURCE = "__key__", "__as_of__", "__scored_at__", "__source__"
MODEL = "__model__"
Source = Literal["publish", "promote", "file", "api", "import", "shadow"]
SOURCES: tuple[str, ...] = get_args(Source)
_HEAD = {
    KEY: pl.String(),
    AS_OF: pl.Date(),
    SCORED_AT: pl.Datetime("us", "UTC"),
    RISK: pl.Float64(),
    MARGIN: pl.Float64(),
    SOURCE: pl.String(),
}
BATCH = _parts.ROW_GROUP  # rows handed on at a time, so that nothing is decoded twice: 20 MB for 20 numbers
_TOGETHER = 128 * 1024 * 1024  # bytes that go into one object of many runs at most: all of it is in memory for a moment
_FEW = 2  # runs of a day from which on compaction is worth an object
_RELISTED = 20  # times that a reader looks again because what it was to read was replaced meanwhile


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the log. `date` is the day its predictions are about.

    `runs`: those whose rows it holds, `run` alone unless they were compacted; then `run` is a name of the part's own. Its rows
    are read by `rows`, which finds them wherever they lie by then.
    """

    name: str  # in the store
    model: str
    date: date
    run: str
    size: int  # bytes
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did: `runs` of so many days lie in objects with others now; `removed` objects no longer count and went.

    `damaged`: what is wrong with each object that could not be read; its runs stay where they are.
    """

    days: int
    runs: int
    removed: int
    damaged: tuple[str, ...] = ()


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
    """Log one run of predictions. Customers who asked to be forgotten are left out.

    Parameters
    ----------
    scored: one row a customer: key, features, `__risk__`, `__margin__` (`churn.score.batch.Scored.rows`). Features may be missing
        where the predictions were made elsewhere.
    as_of: the day the values were true; the snapshot date of a row goes before it where the schema has one.
    run: the same for the same run, different for any other (`churn.score.batch.run_id`).
    source: one of `SOURCES`.
    scored_at: aware moment; now unless given.

    Returns
    -------
    The part's name in the store, and whether it is new (False: this very run was logged before; nothing was written, unless what
    lay there was damaged).

    Raises
    ------
    DataError: model or run cannot be part of a name, or the source is not known. StoreUnavailable: nothing was written.
    """
    name = _parts.run_object(model, as_of, run)
    if name is None:
        raise DataError(f"model {model!r} and run {run!r} must be of letters, digits and hyphens to be logged")
    if source not in SOURCES:
        raise DataError(f"predictions are logged with a source out of {', '.join(SOURCES)}, not {source!r}")
    for made, runs in _parts.indexed(store, model, as_of).items():
        if run in runs:
            return made, False
    scored, _ = forgotten.of(store).without(scored, schema.key)
    data = _parts.as_bytes(_logged(scored, schema, as_of, source, scored_at or datetime.now(UTC)))
    try:
        store.write(name, data, if_absent=True)
    except StoreConflict:
        return name, _mended(store, name, data)
    return name, True


def _logged(scored: pl.DataFrame, schema: Schema, as_of: date, source: str, moment: datetime) -> pl.DataFrame:
    dated = schema.snapshot is not None and schema.snapshot.column in scored.columns
    day = pl.col(schema.snapshot.column) if schema.snapshot and dated else pl.lit(as_of)
    return scored.select(
        pl.col(schema.key).alias(KEY),
        day.cast(pl.Date).alias(AS_OF),
        pl.lit(moment.astimezone(UTC)).cast(_HEAD[SCORED_AT]).alias(SCORED_AT),
        pl.col(RISK),
        pl.col(MARGIN),
        pl.lit(source).alias(SOURCE),
        *(name for name in schema.names if name in scored.columns),
    )


def _mended(store: Store, name: str, data: bytes) -> bool:
    """Put a run in the place of a part of the same name that is damaged; whether there was need to."""
    with suppress(StoreConflict, NotInStore):  # mended, or compacted, by somebody else just now
        there = store.read(name)
        if not _parts.readable(there.data):
            store.write(name, data, if_match=there.etag)
            return True
    return False


def parts(store: Store, *, model: str | None = None, since: date | None = None, until: date | None = None) -> tuple[Part, ...]:
    """The parts of the log by model and date, of one model or of days from `since` to `until`; foreign files are passed over."""
    found = [part for day in _parts.days(store, model=model, since=since, until=until) for part in _of(day)]
    return tuple(sorted(found, key=lambda part: (part.model, part.date, part.run)))


def _of(day: _parts.Day) -> list[Part]:
    return [
        Part(object.name, object.model, object.date, object.name[len(day.place) : -len(".parquet")], object.size, object.runs)
        for object in day.objects
    ]


def keys(store: Store) -> tuple[frozenset[str], tuple[str, ...]]:
    """Every customer that predictions were logged for, and what is wrong with each part that cannot be read."""
    found, damaged = set[str](), list[str]()
    for table in batches(store, columns=[KEY], damaged=damaged):
        found.update(table[KEY].unique().to_list())
    return frozenset(found), tuple(damaged)


def read(
    store: Store,
    model: str | None = None,
    since: date | None = None,
    *,
    until: date | None = None,
    columns: Sequence[str] | None = None,
    sources: Collection[str] | None = None,
) -> pl.DataFrame:
    """The log as one table, `__model__` first. A feature that a model did not have is null in its rows.

    What is asked for has to fit in memory; `batches` gives the same piece by piece.

    Parameters
    ----------
    columns: only these of the log's columns, where memory matters; `__run__` too, which is not given unasked.
    sources: only predictions of these.

    Raises
    ------
    StoreUnavailable: the store is away, or a part is damaged (it names it).
    """
    head = {name: kind for name, kind in _HEAD.items() if columns is None or name in columns}
    frames = [pl.DataFrame(schema={MODEL: pl.String(), **head})]
    frames += batches(store, model=model, since=since, until=until, columns=columns, sources=sources)
    return pl.concat(frames, how="diagonal_relaxed")


def batches(
    store: Store,
    *,
    model: str | None = None,
    since: date | None = None,
    until: date | None = None,
    columns: Sequence[str] | None = None,
    sources: Collection[str] | None = None,
    rows: int = BATCH,
    damaged: list[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """The log piece by piece, by model and date, so that memory holds one part and one piece whatever its length.

    A piece is of one model and day; it has `__model__` first and those of the columns that its part has. Every prediction comes
    exactly once, though the log is compacted meanwhile.

    Parameters
    ----------
    columns, sources: as `read`.
    rows: at most so many in a piece.
    damaged: takes what is wrong with each part that cannot be read, instead of an error.

    Raises
    ------
    StoreUnavailable: the store is away, or a part is damaged (it names it).
    """
    asked = None if columns is None else [name for name in columns if name not in (MODEL, RUN)]
    wanted = None if asked is None else list(dict.fromkeys([*asked, KEY, *([SOURCE] if sources is not None else [])]))
    named = columns is not None and RUN in columns
    waiting = [object for day in _parts.days(store, model=model, since=since, until=until) for object in day.objects]
    done, looked = set[tuple[str, date, str]](), 0
    while waiting:
        now = waiting.pop(0)
        before = frozenset(run for run in now.runs if (now.model, now.date, run) in done)
        if len(before) == len(now.runs):
            continue
        try:
            for table in _parts.read(store, now, wanted, but=before, rows=rows, named=named):
                piece = table if sources is None else table.filter(pl.col(SOURCE).is_in(list(sources)))
                if piece.height:
                    told = piece.columns if columns is None else [name for name in columns if name in piece.columns]
                    yield piece.with_columns(pl.lit(now.model).alias(MODEL)).select(MODEL, *told)
        except NotInStore:
            looked += 1
            if looked > _RELISTED:
                raise
            others = [one for one in waiting if (one.model, one.date) != (now.model, now.date)]
            waiting = [*_parts.one_day(store, now.model, now.date).objects, *others]
            continue
        except StoreDamaged as error:
            if damaged is None:
                raise
            damaged.append(str(error))
        done.update((now.model, now.date, run) for run in now.runs)


def rows(store: Store, part: Part, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part: those of the columns that it has, all unless named.

    Raises
    ------
    NotInStore: its runs are no longer in the log. StoreUnavailable: the store is away, or the part is damaged (it names it).
    """
    wanted = frozenset(part.runs)
    head = {name: kind for name, kind in _HEAD.items() if columns is None or name in columns}
    for _ in range(_RELISTED):
        there = [object for object in _parts.one_day(store, part.model, part.date).objects if wanted.intersection(object.runs)]
        with suppress(NotInStore):  # compacted meanwhile
            pieces = [
                piece
                for object in there
                for piece in _parts.read(store, object, columns, but=frozenset(object.runs) - wanted, rows=BATCH)
            ]
            if there:
                return pl.concat([pl.DataFrame(schema=head), *pieces], how="diagonal_relaxed")
        if not there:
            break
    raise NotInStore(f"{store.address}/{part.name} is no longer in the log, nor are its predictions")


# -- looking after it ----------------------------------------------------------------------------------------------------


def compact(store: Store, *, model: str | None = None, until: date | None = None, few: int = _FEW) -> Compacted:
    """Make one object of the runs of each day and version, while others read and write; and clear away what no longer counts.

    Killed at any moment it leaves every run in the log exactly once; done again it finishes. A day changed by another
    compaction meanwhile is left to that one. Runs that weigh more than 128 MB together stay several objects.

    Parameters
    ----------
    until: only days up to this one; all unless given.
    few: how many objects a day must have to be worth it.
    """
    days, runs, removed, damaged = 0, 0, 0, list[str]()
    for day in _parts.days(store, model=model, until=until):
        removed += _parts.sweep(store, day)
        chosen = _light(day.objects)
        if len(chosen) < few:
            continue
        moved, problems = _together(store, day, chosen)
        damaged += problems
        if moved:
            days, runs = days + 1, runs + moved
            removed += _parts.sweep(store, _parts.one_day(store, day.model, day.date))
    return Compacted(days, runs, removed, tuple(damaged))


def _light(objects: Sequence[Object]) -> list[Object]:
    """As many objects, the smallest first, as go into one."""
    chosen, size = list[Object](), 0
    for object in sorted(objects, key=lambda object: object.size):
        size += object.size
        if size > _TOGETHER:
            break
        chosen.append(object)
    return chosen


def _together(store: Store, day: _parts.Day, chosen: Sequence[Object]) -> tuple[int, list[str]]:
    """Put objects into one; how many runs are in it, 0 where another compaction was faster, and which could not be read."""
    gone = forgotten.of(store)
    frames, good, damaged = list[pl.DataFrame](), list[Object](), list[str]()
    for object in chosen:
        try:
            pieces = list(_parts.read(store, object, None, rows=BATCH, named=True))
        except StoreDamaged as error:
            damaged.append(str(error))
        except NotInStore:
            return 0, damaged
        else:
            frames += pieces
            good.append(object)
    if len(good) < _FEW:
        return 0, damaged
    runs = tuple(sorted(run for object in good for run in object.runs))
    table = pl.concat([pl.DataFrame(schema={**_HEAD, RUN: pl.String()}), *frames], how="diagonal_relaxed")
    table, _ = gone.without(table, KEY)
    name = _parts.new_name(day)
    store.write(name, _parts.as_bytes(table.sort(RUN, maintain_order=True)), if_absent=True)
    kept = {made: inside for made, inside in day.index.items() if made not in {object.name for object in good}}
    try:
        _parts.commit(store, day, {**kept, name: runs})
    except StoreConflict:
        store.delete(name)
        return 0, damaged
    for made in day.index.keys() - kept.keys():
        store.delete(made)
    later = forgotten.of(store)
    if later.hashes != gone.hashes:  # somebody was forgotten between the reading and the writing
        again, _ = later.without(table, KEY)
        store.write(name, _parts.as_bytes(again.sort(RUN, maintain_order=True)))
    return len(runs), damaged


def expire(store: Store, before: date) -> tuple[Part, ...]:
    """Remove predictions about days before this one, and say which parts those were. Counts made of them (sketches) stay."""
    gone = list[Part]()
    for day in _parts.days(store):
        if day.date < before:
            gone += _of(day)
            _parts.remove(store, day)
    return tuple(gone)
