"""Where the prediction log lies in the store: runs, the objects that hold them, and one object made of many.

A run of predictions is written as an object of its own, `log/model=v12/date=2026-11-19/RUN.parquet`. Compaction puts the runs of
a day and version into one object beside them, `compacted-….parquet`, whose rows say which run they are of. It counts from the
moment that `compacted.json` names it: one small object, changed under a condition, which says which runs lie in which
object. From then on a run's own object is passed over wherever it still lies. So every run is there exactly once at every
moment, whoever is killed when: before that write the new object is a stranger, after it the old ones are.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from churn.errors import NotInStore, StoreDamaged, in_words
from churn.model.store import Store

PREFIX = "log/"
RUN = "__run__"
INDEX = "compacted.json"
MADE = "compacted-"  # how the name of an object of many runs begins; no run is called so
ROW_GROUP = 122_880
_FORMAT = 1
_DAY = re.compile(r"log/model=(?P<model>[\w.-]+)/date=(?P<date>\d{4}-\d\d-\d\d)/(?P<file>[^/]+)")
_RUN_FILE = re.compile(r"(?P<run>[0-9A-Za-z-]+)\.parquet")
_STAMP = "%Y%m%d%H%M%S"
_STRANGER = timedelta(days=1)  # what a killed compaction left behind is removed after a day


@dataclass(frozen=True, slots=True)
class Object:
    """One object of the log that counts: the runs whose rows are to be read from it, in order of name."""

    name: str
    model: str
    date: date
    runs: tuple[str, ...]
    size: int  # bytes
    many: bool  # whether its rows say which run they are of


@dataclass(frozen=True, slots=True)
class Day:
    """All that lies under one version and day. `replaced`: objects that no longer count. `etag`: of the index, None without one.

    `index`: object → the runs in it. `strangers`: objects of many runs that no index names.
    """

    model: str
    date: date
    objects: tuple[Object, ...]
    replaced: tuple[str, ...]
    strangers: tuple[str, ...]
    index: Mapping[str, tuple[str, ...]]
    etag: str | None

    @property
    def place(self) -> str:
        return place(self.model, self.date)

    @property
    def runs(self) -> frozenset[str]:
        return frozenset(run for object in self.objects for run in object.runs)


def place(model: str, day: date) -> str:
    """The prefix of one version and day, with a slash at its end."""
    return f"{PREFIX}model={model}/date={day.isoformat()}/"


def run_object(model: str, day: date, run: str) -> str | None:
    """The name of a run's own object; None where model and run cannot be part of a name."""
    name = f"{place(model, day)}{run}.parquet"
    found = _DAY.fullmatch(name)
    return name if found and found["model"] == model and _RUN_FILE.fullmatch(found["file"]) and not run.startswith(MADE) else None


def days(store: Store, *, model: str | None = None, since: date | None = None, until: date | None = None) -> tuple[Day, ...]:
    """The log by version and day, of one version or of days from `since` to `until`; foreign files are passed over.

    Raises
    ------
    StoreDamaged: an index cannot be understood.
    """
    if model and since is not None and since == until:  # one day need not be looked for among all
        return _days(store, place(model, since), None, None)
    return _days(store, f"{PREFIX}model={model}/" if model else PREFIX, since, until)


def one_day(store: Store, model: str, day: date) -> Day:
    """The same of one version and day, whether there is anything or not."""
    found = _days(store, place(model, day), None, None)
    return found[0] if found else Day(model, day, (), (), (), {}, None)


def indexed(store: Store, model: str, day: date) -> Mapping[str, tuple[str, ...]]:
    """Which runs of a day lie in which object of many, without looking at what else lies there."""
    return _index(store, f"{place(model, day)}{INDEX}")[0]


def read(
    store: Store,
    found: Object,
    columns: Sequence[str] | None,
    *,
    rows: int,
    but: frozenset[str] = frozenset(),
    named: bool = False,
) -> Iterator[pl.DataFrame]:
    """The rows of an object, so many at a time, without those of the runs in `but`; with `named`, `__run__` last.

    columns: those of them that the object has, in this order; all unless given.

    Raises
    ------
    NotInStore: it was replaced or removed since it was listed; nothing was read yet.
    StoreDamaged: it cannot be read; nothing, or not all of it, was read.
    """
    data = store.read(found.name).data
    try:
        table = pl.scan_parquet(io.BytesIO(data))
        there = [name for name in table.collect_schema() if name != RUN]
        kept = there if columns is None else [name for name in columns if name in there]
        if not found.many:
            table = table.with_columns(pl.lit(found.runs[0]).alias(RUN))
        wanted = [run for run in found.runs if run not in but]
        for start in range(0, table.select(pl.len()).collect().item(), rows):
            piece = table.slice(start, rows).select(*kept, RUN).collect()
            piece = piece.filter(pl.col(RUN).is_in(wanted)) if found.many else piece
            if piece.height:
                yield piece if named else piece.select(kept)
    except pl.exceptions.PolarsError as error:
        raise damaged(store, found.name, error) from error


def damaged(store: Store, name: str, error: Exception) -> StoreDamaged:
    return StoreDamaged(f"{store.address}/{name} is damaged ({error}); restore it from a backup")


def readable(data: bytes) -> bool:
    """Whether an object of the log is whole, as far as its own footer and columns tell."""
    try:
        pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError:
        return False
    return True


def as_bytes(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", row_group_size=ROW_GROUP)
    return buffer.getvalue()


def new_name(found: Day) -> str:
    """A name that nobody else takes for an object of many runs; it says when, so that a stranger's age is known."""
    return f"{found.place}{MADE}{datetime.now(UTC):{_STAMP}}-{uuid.uuid4().hex[:8]}.parquet"


def commit(store: Store, found: Day, index: Mapping[str, tuple[str, ...]]) -> None:
    """Let an index count instead of the one that was found.

    Raises
    ------
    StoreConflict: another compaction was faster; nothing was changed.
    """
    names = {name.removeprefix(found.place): list(runs) for name, runs in index.items()}
    document = {"format": _FORMAT, "objects": names, "id": uuid.uuid4().hex}
    data = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    store.write(f"{found.place}{INDEX}", data, if_match=found.etag, if_absent=found.etag is None)


def sweep(store: Store, found: Day) -> int:
    """Remove what no longer counts, and strangers old enough that nobody is still writing them; how many objects."""
    limit = f"{found.place}{MADE}{datetime.now(UTC) - _STRANGER:{_STAMP}}"
    gone = [*found.replaced, *(name for name in found.strangers if name < limit)]
    for name in gone:
        store.delete(name)
    return len(gone)


def remove(store: Store, found: Day) -> None:
    """Remove all of a day: what no longer counts first, so that nothing of it counts again once the index is gone."""
    for name in (*found.replaced, *(object.name for object in found.objects if not object.many)):
        store.delete(name)
    if found.etag is not None:
        store.delete(f"{found.place}{INDEX}")
    for name in (*(object.name for object in found.objects if object.many), *found.strangers):
        store.delete(name)


def _days(store: Store, prefix: str, since: date | None, until: date | None) -> tuple[Day, ...]:
    files: dict[tuple[str, date], dict[str, int]] = {}
    for name, size in _listing(store, prefix).items():
        match = _DAY.fullmatch(name)
        day = _date(match["date"]) if match else None
        if match and day and (since is None or day >= since) and (until is None or day <= until):
            files.setdefault((match["model"], day), {})[name] = size
    found = (_day(store, model, day, sizes) for (model, day), sizes in sorted(files.items()))
    return tuple(day for day in found if day.objects or day.replaced or day.strangers or day.etag)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _listing(store: Store, prefix: str) -> dict[str, int]:
    """Names and sizes, of a moment in which no first index of a day came.

    A listing takes a while, and may miss an index that comes meanwhile and yet no longer find the runs it names. An index that
    the next listing does not show either did not come before the first one ended.
    """
    now = {entry.key: entry.size for entry in store.list(prefix)}
    while True:
        then = {entry.key: entry.size for entry in store.list(prefix)}
        if {name for name in then if name.endswith(INDEX)} <= now.keys():
            return now
        now = then


def _day(store: Store, model: str, day: date, sizes: Mapping[str, int]) -> Day:
    here = place(model, day)
    index, etag = _index(store, f"{here}{INDEX}") if f"{here}{INDEX}" in sizes else ({}, None)
    inside = {run for runs in index.values() for run in runs}
    objects = [Object(name, model, day, runs, sizes.get(name, 0), many=True) for name, runs in index.items()]
    replaced, strangers = [], []
    for name, size in sizes.items():
        match = _RUN_FILE.fullmatch(name.removeprefix(here))
        if match is None or name in index:
            continue
        if match["run"].startswith(MADE):
            strangers.append(name)
        elif match["run"] in inside:
            replaced.append(name)
        else:
            objects.append(Object(name, model, day, (match["run"],), size, many=False))
    objects.sort(key=lambda object: object.runs)
    return Day(model, day, tuple(objects), tuple(replaced), tuple(strangers), index, etag)


def _index(store: Store, name: str) -> tuple[dict[str, tuple[str, ...]], str | None]:
    try:
        blob = store.read(name)
    except NotInStore:
        return {}, None
    try:
        document = json.loads(blob.data)
        if document["format"] != _FORMAT:
            raise StoreDamaged(f"{store.address}/{name} is of a format this version does not know; update churn")
        here = name.removesuffix(INDEX)
        return {f"{here}{part}": tuple(sorted(runs)) for part, runs in document["objects"].items()}, blob.etag
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreDamaged(f"{store.address}/{name} is damaged ({in_words(error)}); restore it from a backup") from error
