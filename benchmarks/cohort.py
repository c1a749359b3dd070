"""The table of cohorts over ten million scored customers: two columns, every figure with its interval, the first reason of each.

Nobody else offers the same question to compare with, so the figures stand alone. Each measurement runs in a process of its own
that starts with nothing loaded, with the one thread a page gets. Times are CPU times, which a machine busy with other work does
not stretch; medians. The scoring is written here by DuckDB, in parts, as `churn score --publish` would write it: twelve columns
to group by, three reasons a customer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = 10_000_000
_LEVELS = (4, 2, 3, 5, 2, 12, 3, 2, 6, 4)
_REPEATS = 5


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; some three minutes and 3 GB of temporary files."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        for part in ("write", "first"):
            _measure(part, place)
        found = _measure("ask", place)
    targets = {"table": "≤ 400"}
    rows = [_row(f"cohort-{name}-10m", value, "ms", targets.get(name)) for name, value in found["ms"].items()]
    rows.insert(1, _row("cohort-table-10m-memory", found["memory"], "MB", "≤ 300"))
    return rows


def _row(name: str, value: float, unit: str, target: str | None) -> dict[str, Any]:
    return {"name": name, "value": value, "peer": None, "peer_value": None, "ratio": None, "target": target, "unit": unit}


def _measure(part: str, place: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.cohort", part, place]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- inside a process of its own -----------------------------------------------


def _schema() -> Any:
    from churn.data.schema import Feature, Level, Money, Schema, Target

    tenure = Feature(name="tenure", kind="number", label="Tenure", unit="month", whole=True, at_least=0)
    charge = Feature(name="charge", kind="number", label="Monthly charge", unit="money")
    categories = tuple(
        Feature(name=f"c{i}", kind="category", label=f"C{i}", levels=tuple(Level(value=f"Level {j}") for j in range(size)))
        for i, size in enumerate(_LEVELS)
    )
    return Schema(
        key="id",
        target=Target(column="left", positive="Yes"),
        money=Money(column="charge"),
        features=(tenure, charge, *categories),
        segments=("c0", "c3", "tenure"),
    )


def _write(place: Path) -> dict[str, Any]:
    """Two scorings a month apart, nine tenths of their customers the same."""
    import duckdb

    schema = _schema()
    for number, name in enumerate(("before", "now")):
        folder = place / name
        folder.mkdir()
        limits = [band.below for band in schema.bands[:-1]]
        band = " + ".join(f"(p >= {limit})::INTEGER" for limit in limits)
        levels = ", ".join(f"'Level ' || (hash(i, {j}) % {size}) AS c{j}" for j, size in enumerate(_LEVELS))
        reasons = ", ".join(
            f"((hash(i, 'r') + {rank} * 5) % 12)::SMALLINT AS __reason_{rank}__, "
            f"((hash(i, 't{rank}') % 1000) / 2500 - .15)::FLOAT AS __points_{rank}__"
            for rank in (1, 2, 3)
        )
        with duckdb.connect(config={"threads": 1, "memory_limit": "1GB", "preserve_insertion_order": True}) as connection:
            connection.execute(
                f"""COPY (SELECT 'C' || i AS id, ((hash(i, 'a') % 73)::DOUBLE) AS tenure, charge, {levels}, p AS __risk__,
                        ln(p / (1 - p)) AS __margin__, ({band})::UTINYINT AS __band__, {reasons}
                    FROM (SELECT i, 18 + (hash(i, 'b') % 10100) / 100 AS charge,
                            1 / (1 + exp(1.5 - 3 * ((hash(i, {number}) % 1000000) / 1000000
                                + (hash(i, 'c') % 1000000) / 1000000 - 1)))
                            AS p FROM range({number * ROWS // 10}, {number * ROWS // 10 + ROWS}) AS numbers(i)))
                    TO '{folder / "rows.parquet"}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"""
            )
        _seal(folder, schema, number)
    return {}


def _seal(folder: Path, schema: Any, number: int) -> None:
    from churn.model import manifest

    manifest.seal(
        folder,
        kind="scoring",
        simulated=True,
        schema_hash=schema.hash,
        run=folder.name,
        model="v1",
        as_of=f"2026-1{number}-01",
        rows=ROWS,
        edges={"tenure": [12.0, 24.0, 48.0], "charge": [40.0, 70.0, 90.0]},
        calibration_covariance=[[1e-3, 0.0], [0.0, 1e-3]],
    )


def _open(place: Path, name: str) -> Any:
    from churn.base.snapshot import Snapshot
    from churn.settings import Settings

    return Snapshot.open(place / name, _schema(), Settings(home=place))


def _ask(place: Path) -> dict[str, Any]:
    from churn.base.groups import Filter
    from churn.understand.cohorts import cohort_table
    from churn.understand.movers import movers_in
    from churn.understand.riskiest import riskiest

    started = _memory()
    snapshot, before = _open(place, "now"), _open(place, "before")
    some = Filter.of({"c6": ["Level 0", "Level 2"], "tenure": ["0–12 months", "13–24 months"]})
    group = Filter.of({"c0": ["Level 1"], "c3": ["Level 2"]})
    found = _times({"table": lambda: cohort_table(snapshot, Filter(), ("c0", "c3"))})
    memory = _memory() - started
    found |= _times(
        {
            "table-filtered": lambda: cohort_table(snapshot, some, ("c0", "c3")),
            "table-large": lambda: cohort_table(snapshot, Filter(), ("c5", "c8")),
            "movers": lambda: movers_in(before, snapshot, group),
            "riskiest": lambda: riskiest(snapshot),
        }
    )
    return {"ms": found, "memory": memory}


def _times(questions: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median milliseconds of each question."""
    found = {}
    for name, ask in questions.items():
        taken = []
        for _ in range(_REPEATS):
            started = time.process_time()
            ask()
            taken.append(time.process_time() - started)
        found[name] = sorted(taken)[_REPEATS // 2] * 1e3
    return found


def _memory() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(part: str, place: Path) -> None:
    if part == "first":  # the first opening makes the files that later ones take
        for name in ("before", "now"):
            _open(place, name).close()
    print(json.dumps(_write(place) if part == "write" else _ask(place) if part == "ask" else {}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
