"""Performance without outcomes over a month of daily scorings, against NannyML's CBPE, and how much memory the log takes.

A model scores 33,000 made-up customers (`benchmarks.telco_like`) a day, whose mix shifts from day to day, and logs a million
rows with all their columns. All is processor time on one thread, the best of several turns of each.

`watch-cbpe-vs-nannyml`: from files to the estimates of 30 days. Ours reads the log and works out every figure, each with its
band; NannyML reads a table of what it needs, fits its reference of 33,000 and estimates those figures that it has too: ranking,
precision, recall, F1, confusion. `watch-cbpe-estimate`: the estimate alone of risks that are in memory, ours still of every
figure, NannyML's of the ranking (ROC-AUC) and nothing else. `watch-cbpe-auc-difference`: the largest difference of any day's
area under the ROC curve; both know the same labelled reference, ours by the calibrator that made the risks.
`watch-performance-memory`: what the process takes in all.
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

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers-watch"
PINNED = ROOT / "requirements" / "peers-watch.txt"
_DAYS, _ROWS = 30, 33_334
_TURNS = 3
_FIRST, _TODAY = date(2026, 9, 1), date(2026, 10, 15)
_ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; a minute or two."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        for step in ("make", "measure"):
            command = [sys.executable, "-m", "benchmarks.watch_performance", step, place]
            subprocess.run(command, env={**os.environ, **_ONE_CORE}, cwd=ROOT, check=True)
        ours = json.loads((Path(place) / "ours.json").read_text(encoding="utf-8"))
        theirs = _peer(Path(place))
    gaps = [abs(ours["auc"][day] - theirs["auc"][day]) for day in theirs["auc"]]
    assert len(gaps) == _DAYS
    return [
        _against("watch-cbpe-vs-nannyml", ours["whole"], "NannyML CBPE, the same figures", theirs["whole"], "≥ 5"),
        _against("watch-cbpe-estimate", ours["alone"], "NannyML CBPE, ROC-AUC alone", theirs["alone"], None),
        _row("watch-cbpe-auc-difference", max(gaps), "≤ 0.003", ""),
        _row("watch-performance-memory", ours["memory"], None, "MB"),
    ]


def _against(name: str, ours: list[float], peer: str, theirs: list[float], target: str | None) -> dict[str, Any]:
    value, other = min(ours), min(theirs)
    return {**_row(name, value, target, "s CPU"), "peer": peer, "peer_value": other, "ratio": other / value}


def _row(name: str, value: float, target: str | None, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "peer": None, "peer_value": None, "ratio": None, "target": target, "unit": unit}


def _peer(place: Path) -> dict[str, Any]:
    """What NannyML says, in an environment made on first use from its pinned requirements."""
    from benchmarks.what_if import environment

    python = environment(PEERS, PINNED)
    script = ROOT / "benchmarks" / "peers" / "watch_performance.py"
    files = [place / name for name in ("reference.parquet", "analysis.parquet", "theirs.json")]
    done = subprocess.run(
        [python, script, *files, str(_TURNS)], env={**os.environ, **_ONE_CORE}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the peer failed: {done.stderr[-2000:]}")
    return dict(json.loads(files[-1].read_text(encoding="utf-8")))


def _make(place: Path) -> None:
    """A model, a labelled reference it has not seen, and a log of 30 days in which the mix of customers shifts."""
    import numpy as np
    import polars as pl

    from benchmarks.tables import _trained
    from benchmarks.telco_like import customers, schema
    from churn.data.quality import LEFT, conform
    from churn.model.calibration import Calibrator
    from churn.score import log
    from churn.watch.performance import LIST_SIZE

    _, encoder, booster = _trained(4)
    described = schema(customers(7043))

    def scored(rows: int, seed: int, calibrator: Calibrator = Calibrator()) -> pl.DataFrame:
        table = conform(customers(rows, seed), described, target=True)
        margin = booster.predict(encoder.matrix(encoder.encode(table)), raw_score=True, num_threads=1)
        return table.with_columns(
            pl.Series("__risk__", calibrator.probability(margin)),
            pl.Series("__margin__", margin),
        )

    store = _store(place)
    known = scored(_ROWS, 1)
    calibrator = Calibrator.fit(known["__margin__"].to_numpy(), known[LEFT].to_numpy(), "beta")  # as the peer: on its reference
    known = known.with_columns(pl.Series("__risk__", calibrator.probability(known["__margin__"].to_numpy())))
    days = pl.datetime_range(_FIRST - timedelta(days=30), _FIRST - timedelta(days=1), "1d", eager=True)
    spread = pl.Series("day", days.to_list() * (_ROWS // 30 + 1)).head(_ROWS)
    listed = (pl.col("__risk__").rank("ordinal", descending=True) <= LIST_SIZE).cast(pl.Int8).alias("listed")
    risk = pl.col("__risk__").alias("risk")
    known.select(risk, listed, pl.col(LEFT).alias("left"), spread).write_parquet(place / "reference.parquet")
    pool, analysis = scored(4 * _ROWS, 2, calibrator), []
    rng = np.random.default_rng(3)
    tenure = pool["tenure"].to_numpy().astype(float)
    for number in range(_DAYS):
        day = _FIRST + timedelta(days=number)
        weight = np.exp(-tenure / 30 * np.sin(number / 5))  # now newer customers, now older ones
        chosen = pool[rng.choice(pool.height, _ROWS, replace=False, p=weight / weight.sum())]
        log.append(store, chosen, described, model="v1", as_of=day, run=f"run{number}", source="import")
        analysis.append(chosen.select(risk, listed, pl.lit(day).cast(pl.Datetime).alias("day")))
    pl.concat(analysis).write_parquet(place / "analysis.parquet")
    (place / "schema.json").write_text(described.to_json(), encoding="utf-8")


def _measure(place: Path) -> None:
    import numpy as np
    import polars as pl

    from churn.data.schema import Schema
    from churn.watch.figures import estimated
    from churn.watch.performance import LIST_SIZE, of_log

    described, store = Schema.model_validate_json((place / "schema.json").read_text(encoding="utf-8")), _store(place)
    whole, alone = [], []
    for _ in range(_TURNS):
        start = time.process_time()
        found = of_log(store, described, today=_TODAY, every="day")
        whole.append(time.process_time() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    days = [day["risk"].to_numpy() for _, day in pl.read_parquet(place / "analysis.parquet").group_by("day")]
    for _ in range(_TURNS):
        start = time.process_time()
        for risks in days:
            estimated(np.sort(risks)[::-1], LIST_SIZE)
        alone.append(time.process_time() - start)
    areas = {one.start.isoformat(): one.estimated.auc.value for one in found if one.estimated.auc}
    result = {"whole": whole, "alone": alone, "auc": areas, "memory": memory}
    (place / "ours.json").write_text(json.dumps(result), encoding="utf-8")


def _store(place: Path) -> Any:
    from churn.model.store import open_store
    from churn.settings import Settings

    return open_store(Settings.load(home=place, environ={}))


if __name__ == "__main__":
    {"make": _make, "measure": _measure}[sys.argv[1]](Path(sys.argv[2]))
