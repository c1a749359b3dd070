"""Drift: whether its alarms mean something, and what it costs beside evidently and NannyML.

`watch-alarms-*`: windows of customers like the reference, 20 columns, that raise an alarm all the same: 600 windows of each size,
30 one after the other against each of 20 references; and with two of three windows in a row. Then five planted changes in 33,000
rows: the share of 20 windows in which the change is found and named rightly. `watch-alarms-joint`: the same for how columns go
together.

`watch-*`: a log of a million rows, 30 days × 20 columns, as parquet with nothing counted before; processor time on one core from
there to all distances, p-values and verdicts. evidently with its default drift preset and NannyML with its default univariate
calculator get the same rows as data frames that are read already, and stand in an environment of their own (benchmarks/peers).
`watch-add-day`: reading one more day and counting it. `watch-page-data`: reading 30 sketches and working out the page.
Each runs in a process of its own; memory is its peak, nothing taken off.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers-watch"
PINNED = HERE.parent / "requirements" / "peers-watch.txt"

DAYS, ROWS, REFERENCE = 30, 33_333, 5_000
SIZES = (200, 500, 1_000, 2_000, 5_000, 10_000, 33_000)
_REFERENCES, _WINDOWS = 20, 30
_JOINT_WINDOWS = 200
_FIRST = date(2026, 10, 1)


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; some ten minutes, most of them the peers' and the 4,200 windows'."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    return [*(_alarms() if _asked(only, "alarms") else ()), *_cost(only)]


def _asked(only: str, *names: str) -> bool:
    """Whether what was asked for by the beginning of a name is, or has among it, one of these."""
    return any(f"watch-{name}".startswith(only) or only.startswith(f"watch-{name}") for name in names)


def _row(name: str, value: float, unit: str, target: str | None = None, **more: Any) -> dict[str, Any]:
    row = {"name": f"watch-{name}", "value": value, "target": target, "unit": unit}
    return row | {"peer": None, "peer_value": None, "ratio": None} | more


# -- alarms ----------------------------------------------------------------------


def _alarms() -> list[dict[str, Any]]:
    rows = []
    for size in SIZES:
        found = _measure("alarms", str(size))
        rows.append(_row(f"alarms-none-{size}", found["alarmed"], "%", "≤ 7"))
        rows.append(_row(f"alarms-none-{size}-persistent", found["persistent"], "%", "≤ 2"))
    found = _measure("joint")
    rows.append(_row("alarms-joint-none", found["alarmed"], "%", "≤ 5"))
    planted = _measure("planted")
    rows += [_row(f"alarms-{name}-found", share, "%", "≥ 100") for name, share in planted.items()]
    return rows


def _false_alarms(size: int) -> dict[str, float]:
    import numpy as np

    from churn.watch.drift import history, persistent
    from tests.watch.drifting import SCHEMA, customers, days, grid_of

    alarmed, lasting, windows = 0, 0, 0
    for seed in range(_REFERENCES):
        random = np.random.default_rng((seed, size))
        grid = grid_of(customers(REFERENCE, random))
        counted = [days([customers(size, random)], grid, first=_FIRST + timedelta(days=i))[0] for i in range(_WINDOWS)]
        found = history(counted, grid, SCHEMA, every="day")
        raised = [{(one.column, one.what) for one in window.alarming} for window in found]
        alarmed += sum(map(bool, raised))
        lasting += sum(map(bool, persistent(raised)))
        windows += len(found)
    return {"alarmed": 100 * alarmed / windows, "persistent": 100 * lasting / windows}


def _joint_false_alarms() -> dict[str, float]:
    import numpy as np

    from churn.learn.joint import joint_drift
    from churn.watch.drift import FALSE_ALARMS
    from tests.watch.drifting import SCHEMA, customers

    alarmed = 0
    for seed in range(_JOINT_WINDOWS):
        random = np.random.default_rng(seed)
        size = (500, 2_000, 5_000, 33_000)[seed % 4]
        found = joint_drift(customers(size, random), customers(REFERENCE, random), SCHEMA, model="v1", start=_FIRST, end=_FIRST)
        alarmed += found is not None and found.p <= FALSE_ALARMS
    return {"alarmed": 100 * alarmed / _JOINT_WINDOWS}


def _planted() -> dict[str, float]:
    """In how many of 20 windows of 33,000 rows a change is the only thing that is found, and called what it is."""
    import numpy as np

    from churn.learn.joint import joint_drift
    from churn.watch.drift import history
    from tests.watch import drifting

    changes = {
        "shift": (drifting.shift, ("n3", "shift")),
        "missing": (drifting.missing, ("n0", "missing")),
        "new-level": (drifting.new_level, ("c2", "new level")),
        "level-mix": (drifting.level_mix, ("c5", "level mix")),
        "joint": (drifting.joint, ("", "joint")),
    }
    shares = {}
    for name, (change, expected) in changes.items():
        found = 0
        for seed in range(_REFERENCES):
            random = np.random.default_rng(seed)
            reference = drifting.customers(REFERENCE, random)
            grid = drifting.grid_of(reference)
            table = change(drifting.customers(33_000, random), random)
            together = joint_drift(table, reference, drifting.SCHEMA, model="v1", start=_FIRST, end=_FIRST)
            (window,) = history(
                drifting.days([table], grid), grid, drifting.SCHEMA, every="day", joint=[together] if together else []
            )
            named = {(one.column, one.what) for one in window.alarming}
            right = expected in named if name == "joint" else named == {expected}
            if name == "joint" and together is not None:
                right = right and together.drivers[0][0] == "n6"
            found += right
        shares[name] = 100 * found / _REFERENCES
    return shares


# -- cost ------------------------------------------------------------------------


def _cost(only: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        if _asked(only, "drift", "add-day", "page-data"):
            _measure("write", place)
        if _asked(only, "drift"):
            ours = _measure("watch", place)
            evidently, nannyml = _peer("evidently", Path(place)), _peer("nannyml", Path(place))
            rows += [
                _against("drift-vs-evidently", ours["cpu"], "evidently, default preset", evidently["cpu"], "≥ 60"),
                _against("drift-vs-nannyml", ours["cpu"], "NannyML, univariate calculator", nannyml["cpu"], "≥ 6"),
                _row("drift-memory", ours["memory"], "MB", "≤ 350"),
            ]
            told = (("drift", ours), ("drift-evidently", evidently), ("drift-nannyml", nannyml))
            rows += [_row(f"{name}-false-alarms", 100 * found["alarmed"] / DAYS, "% of days") for name, found in told]
        if _asked(only, "add-day"):
            rows.append(_row("add-day", 1000 * _measure("day", place)["cpu"], "ms", "≤ 50"))
        if _asked(only, "page-data"):
            page = _measure("page", place)
            rows.append(_row("page-data", 1000 * page["cpu"], "ms", "≤ 50"))
            rows.append(_row("page-data-size", page["bytes"] / 1e6, "MB", "≤ 1"))
    return rows


def _against(name: str, ours: float, peer: str, theirs: float, target: str) -> dict[str, Any]:
    return _row(name, ours, "s CPU", target, peer=peer, peer_value=theirs, ratio=theirs / ours)


def _measure(part: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.watch", part, *arguments]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True, text=True, cwd=HERE.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peers() -> Path:
    """The Python of the peers' environment, made on first use from its pinned requirements."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(HERE.parent / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--python", "3.11", PEERS], check=True)
        environ = {**os.environ, "VIRTUAL_ENV": str(PEERS), "UV_COMPILE_BYTECODE": "1"}
        subprocess.run([uv, "pip", "install", "-q", "--require-hashes", "-r", PINNED], check=True, env=environ)
    return python


def _peer(name: str, place: Path) -> dict[str, Any]:
    command = [peers(), HERE / "peers" / "watch.py", name, place, place / f"{name}.json"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed: {done.stderr[-2000:]}")
    return dict(json.loads((place / f"{name}.json").read_text(encoding="utf-8")))


# -- inside a process of its own ---------------------------------------------------


def _write(place: Path) -> dict[str, Any]:
    """The reference, and the log by day as the store would have it."""
    import numpy as np

    from tests.watch.drifting import customers

    random = np.random.default_rng(1)
    customers(REFERENCE, random).write_parquet(place / "reference.parquet")
    for day in range(DAYS):
        table = customers(ROWS, random, name=f"{day}-")
        folder = place / "log" / "model=v1" / f"date={(_FIRST + timedelta(days=day)).isoformat()}"
        folder.mkdir(parents=True)
        table.write_parquet(folder / "run.parquet", compression="zstd")
    return {}


def _days(place: Path) -> list[tuple[date, Path]]:
    return [(date.fromisoformat(one.parent.name[5:]), one) for one in sorted((place / "log").glob("*/*/*.parquet"))]


def _watch(place: Path) -> dict[str, Any]:
    """From raw parquet to every verdict."""
    import polars as pl

    from churn.score.sketch import Daily, sketch
    from churn.watch.drift import history
    from tests.watch.drifting import SCHEMA, grid_of

    start = time.process_time()
    grid = grid_of(pl.read_parquet(place / "reference.parquet"))
    days = [Daily("v1", day, sketch(pl.read_parquet(path), grid)) for day, path in _days(place)]
    found = history(days, grid, SCHEMA, every="day")
    cpu = time.process_time() - start
    assert len(found) == DAYS
    assert all(len(window.columns) == 20 for window in found)
    return {"cpu": cpu, "memory": _peak(), "alarmed": sum(bool(window.alarming) for window in found)}


def _day(place: Path) -> dict[str, Any]:
    """One more day: read, counted, turned into bytes; the middle of ten."""
    import polars as pl

    from churn.score.sketch import sketch
    from tests.watch.drifting import grid_of

    grid = grid_of(pl.read_parquet(place / "reference.parquet"))
    times = []
    for _, path in _days(place)[:10]:
        start = time.process_time()
        sketch(pl.read_parquet(path), grid).to_bytes()
        times.append(time.process_time() - start)
    return {"cpu": sorted(times)[len(times) // 2]}


def _page(place: Path) -> dict[str, Any]:
    """What the page is made from, out of kept sketches; the middle of nine."""
    import polars as pl

    from churn.score.sketch import Daily, Sketch, sketch
    from churn.watch.drift import history
    from tests.watch.drifting import SCHEMA, grid_of

    grid = grid_of(pl.read_parquet(place / "reference.parquet"))
    kept = [(day, sketch(pl.read_parquet(path), grid).to_bytes()) for day, path in _days(place)]
    times = []
    for _ in range(9):
        start = time.process_time()
        history([Daily("v1", day, Sketch.from_bytes(data)) for day, data in kept], grid, SCHEMA, every="day")
        times.append(time.process_time() - start)
    return {"cpu": sorted(times)[len(times) // 2], "bytes": sum(len(data) for _, data in kept)}


def _peak() -> float:
    """The most memory that this process had, in MB."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1 << 20) if sys.platform == "darwin" else size / 1024


if __name__ == "__main__":
    _part, _rest = sys.argv[1], sys.argv[2:]
    if _part == "alarms":
        print(json.dumps(_false_alarms(int(_rest[0]))))
    elif _part in ("joint", "planted"):
        print(json.dumps({"joint": _joint_false_alarms, "planted": _planted}[_part]()))
    else:
        _parts = {"write": _write, "watch": _watch, "day": _day, "page": _page}
        print(json.dumps(_parts[_part](Path(_rest[0]))))
