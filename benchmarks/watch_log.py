"""The prediction log at ten million rows and 20 features: what reading, compacting and forgetting take, on one core.

`watch-log-10m` is the peak memory of a process that reads all of it for statistics, piece by piece: how many values of every
column are missing, and how they and the risks are spread over 20 cells. The peer is polars on the same parts as one table, for
means and counts of levels. Compaction puts a day of a hundred runs of 10,000 rows into one part; the ratio is how many times
faster that day is read then. Each measurement runs in a process of its own; times are CPU times.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

ROWS, DAYS = 10_000_000, 10
RUNS, RUN_ROWS = 100, 10_000
_FIRST = date(2026, 10, 1)
_MANY = date(2026, 9, 1)  # the day of a hundred runs
_ONE_CORE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; some three minutes and 2 GB of disk."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        _measure("write", place)
        ours, theirs = _measure("read", place), _measure("polars", place)
        before, compacted, after = _measure("day", place), _measure("compact", place), _measure("day", place)
        one = _measure("one", place)
    return [
        _row("watch-log-10m", ours["memory"], "MB", "≤ 2000", "polars, all parts", theirs["memory"]),
        _row("watch-log-10m-time", ours["seconds"], "s", None, "polars, all parts", theirs["seconds"]),
        _row("watch-log-compact", compacted["seconds"], "s", None),
        {
            **_row("watch-log-compacted-day", after["seconds"], "s", "≥ 1", "100 parts", before["seconds"]),
            "ratio": before["seconds"] / after["seconds"],
        },
        _row("watch-log-forget-10m", one["seconds"], "s", None),
    ]


def _row(
    name: str, value: float, unit: str, target: str | None, peer: str | None = None, peer_value: float | None = None
) -> dict[str, Any]:
    return {
        "name": name, "value": value, "peer": peer, "peer_value": peer_value, "ratio": None, "target": target, "unit": unit
    }  # fmt: skip


def _measure(part: str, place: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.watch_log", part, place]
    done = subprocess.run(command, env={**os.environ, **_ONE_CORE}, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- inside a process of its own -----------------------------------------------


def _main(part: str, place: Path) -> dict[str, Any]:
    import polars as pl  # noqa: F401  # what is imported is not what is measured

    from churn.model.store import FileStore
    from churn.score import erasure, log  # noqa: F401

    store = FileStore(place / "store")
    started = time.process_time()
    {"write": _write, "read": _read, "polars": _polars, "day": _day, "compact": _compact, "one": _one}[part](store, place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.process_time() - started, "memory": peak}


def _write(store: Any, place: Path) -> None:
    import numpy as np
    import polars as pl

    from benchmarks.base import _LEVELS, _schema
    from churn.base.snapshot import MARGIN, RISK
    from churn.score import log

    schema, random = _schema(), np.random.default_rng(1)

    def rows(size: int, first: int) -> pl.DataFrame:
        margin = random.normal(-1, 1.5, size)
        columns: dict[str, Any] = {
            "id": pl.Series([f"C{number:08d}" for number in range(first, first + size)]),
            "tenure": random.integers(0, 73, size).astype(float),
            "charge": np.round(random.gamma(4, 15, size), 2),
            "total": np.where(random.random(size) < 0.02, np.nan, np.round(random.gamma(4, 500, size), 2)),
        }
        for place, levels in enumerate(_LEVELS):
            names = pl.Series([f"Level {level} of {place}" for level in range(levels)])
            columns[f"c{place}"] = names.gather(random.integers(0, levels, size))
        table = pl.DataFrame(columns).with_columns(pl.col("total").fill_nan(None))
        return table.with_columns(pl.Series(MARGIN, margin), pl.Series(RISK, 1 / (1 + np.exp(-margin))))

    for number in range(DAYS):
        log.append(
            store, rows(ROWS // DAYS, 0), schema, model="v1", as_of=_FIRST + timedelta(number), run=f"r{number}", source="publish"
        )
    for number in range(RUNS):
        some = rows(RUN_ROWS, number * RUN_ROWS)
        log.append(store, some, schema, model="v1", as_of=_MANY, run=f"r{number}", source="api")


def _read(store: Any, place: Path) -> None:
    """Missing values and 20 cells of every column, added up over pieces."""
    import polars as pl

    from churn.score import log

    rows, missing, cells = 0, dict[str, int](), dict[str, Any]()
    for piece in log.batches(store, since=_FIRST):
        rows += piece.height
        for column in piece.get_columns():
            missing[column.name] = missing.get(column.name, 0) + column.null_count()
            if column.dtype.is_float():
                found = column.drop_nulls().hist(bin_count=20)["count"]
            elif column.name.startswith("c"):
                found = column.value_counts(sort=True)["count"]
            else:
                continue
            before = cells.get(column.name)
            cells[column.name] = found if before is None or len(before) != len(found) else before + found
    assert rows == ROWS, rows
    assert isinstance(cells["charge"], pl.Series)


def _polars(store: Any, place: Path) -> None:
    import polars as pl

    parts = sorted((place / "store" / "log").glob("model=v1/date=2026-10-*/*.parquet"))
    table = pl.scan_parquet(parts, hive_partitioning=False)
    names = table.collect_schema()
    asked = [pl.col(name).null_count().alias(f"{name} missing") for name in names]
    asked += [pl.col(name).mean() for name, kind in names.items() if kind.is_float()]
    table.select(asked).collect()
    for name in (name for name in names if name.startswith("c") and name != "charge"):
        table.group_by(name).len().collect()


def _day(store: Any, place: Path) -> None:
    from churn.score import log

    rows = sum(piece.height for piece in log.batches(store, since=_MANY, until=_MANY))
    assert rows == RUNS * RUN_ROWS, rows


def _compact(store: Any, place: Path) -> None:
    from churn.score import log

    assert log.compact(store).runs == RUNS


def _one(store: Any, place: Path) -> None:
    """A customer who is in every part."""
    from churn.base.records import Records
    from churn.model.registry import Registry
    from churn.score import erasure
    from churn.settings import Settings

    settings = Settings(home=place, store="store", cache="cache", data="data")
    done = erasure.forget("C00000042", store, Registry(store, settings), Records(settings), settings, who="benchmark")
    assert done.found["log"] == DAYS + 1, done


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1], Path(sys.argv[2]))))
