"""Scoring and explaining by table, on Telco-like rows resampled to a million, on one core, against the libraries themselves.

Peers run in the same process, in turn with ours, one thread each, and the best of several turns counts for each. Time is the
process's own CPU time, so that a busy neighbour on the machine is not measured. `pred_contrib` is timed on the first 100,000
rows and the random forest on 50,000; both cost the same for every row, so their rates stand for the million.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = 1_000_000
_SLICE = 100_000
_FOREST_SLICE = 50_000
_TURNS = 3
_ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them, measured in a process of one thread; about two minutes."""
    command = [sys.executable, "-m", "benchmarks.tables"]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, env={**os.environ, **_ONE_CORE}, cwd=root, stdout=subprocess.PIPE, check=True, text=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _measure() -> list[dict[str, Any]]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for leaves, name, engines in ((4, "pair", ("numpy", "compiled")), (8, "pattern", ("numpy",))):
        rows += _tables(leaves, name, engines)
    return [*rows, _raw_to_scores(), _one_customer()]


def _tables(leaves: int, name: str, engines: tuple[str, ...]) -> list[dict[str, Any]]:
    """100 trees of so many leaves: score and all contributions from prepared codes, against LightGBM on prepared floats."""
    import numpy as np

    from churn.model.encoder import Encoded
    from churn.model.tables import compile_tables
    from churn.model.trees import from_lightgbm, pruned

    table, encoder, booster = _trained(leaves)
    small, trees, _ = pruned(encoder, from_lightgbm(booster, encoder))
    prepared = small.encode(table)
    tables = compile_tables(trees, None, 0.0, small, prepared)
    rows = np.random.default_rng(1).integers(0, table.height, ROWS)
    codes = Encoded(np.ascontiguousarray(prepared.codes[:, rows]), np.empty((0, ROWS)))
    floats = np.ascontiguousarray(encoder.matrix(encoder.encode(table), np.float32)[rows])
    peers: dict[str, tuple[Callable[[], Any], float]] = {
        "scoring": (lambda: booster.predict(floats, raw_score=True, num_threads=1), ROWS),
        "pred-contrib": (lambda: booster.predict(floats[:_SLICE], pred_contrib=True, num_threads=1), _SLICE),
    }
    ours = {engine: (lambda engine=engine: tables.contributions(codes, engine=engine), ROWS) for engine in engines}
    margins, contributions = tables.contributions(codes)
    np.testing.assert_allclose(margins, booster.predict(floats, raw_score=True, num_threads=1), atol=1e-9)
    np.testing.assert_allclose(tables.typical_margin + contributions.sum(axis=0), margins, atol=1e-9)
    del margins, contributions
    rates = _rates({**ours, **peers})
    targets = {
        ("pair", "numpy", "scoring"): 5,
        ("pair", "numpy", "pred-contrib"): 42,
        ("pair", "compiled", "scoring"): 18,
        ("pair", "compiled", "pred-contrib"): 150,
        ("pattern", "numpy", "scoring"): 0.8,
        ("pattern", "numpy", "pred-contrib"): 17,
    }
    result = []
    for engine in engines:
        label = f"tables-{name}" if len(engines) == 1 else f"tables-{name}-{engine}"
        for peer in peers:
            of = "LightGBM scoring" if peer == "scoring" else f"LightGBM pred_contrib, {_SLICE:,} rows"
            target = f"≥ {targets[name, engine, peer]}"
            result.append(_row(f"{label}-vs-{peer}", rates[engine] / 1e6, "M rows/s", target, of, rates[peer] / 1e6))
    return result


def _trained(leaves: int) -> tuple[Any, Any, Any]:
    """A Telco-sized conformed table, its encoder and a LightGBM model of 100 trees."""
    import lightgbm
    import numpy as np

    from benchmarks.telco_like import customers, schema
    from churn.data.quality import LEFT, conform
    from churn.model.encoder import Encoder

    raw = customers(7043)
    table = conform(raw, schema(raw), target=True)
    encoder = Encoder.fit(table, schema(raw))
    matrix = encoder.matrix(encoder.encode(table))
    parameters = {"objective": "binary", "num_leaves": leaves, "max_depth": 2 if leaves == 4 else -1, "num_threads": 1}
    data = lightgbm.Dataset(matrix, np.asarray(table[LEFT]), categorical_feature=list(encoder.categorical))
    return table, encoder, lightgbm.train({**parameters, "verbose": -1, "seed": 0}, data, 100)


def _raw_to_scores() -> dict[str, Any]:
    """A million rows of text to risks, checks included, against the usual scikit-learn pipeline from the same text."""
    import numpy as np
    import pandas as pd
    import polars as pl
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from benchmarks.telco_like import customers, schema
    from churn.data.quality import conform
    from churn.model.scoring import ScoringModel
    from churn.model.trees import from_lightgbm

    raw = customers(7043)
    described = schema(raw)
    table, encoder, booster = _trained(8)
    model = ScoringModel.build(described, encoder, from_lightgbm(booster, encoder), table)
    numbers = [feature.name for feature in described.numbers]
    levels = [feature.name for feature in described.categories]

    def read(frame: Any) -> Any:
        return frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in numbers})

    forest = make_pipeline(
        ColumnTransformer([("levels", OneHotEncoder(handle_unknown="ignore"), levels)], remainder="passthrough"),
        RandomForestClassifier(n_jobs=1, random_state=0),
    )
    train = raw.to_pandas()
    forest.fit(read(train[[*levels, *numbers]]), train["Churn"] == "Yes")
    rows = np.random.default_rng(1).integers(0, raw.height, ROWS)
    million = raw[rows].with_columns(pl.Series("customerID", np.arange(ROWS)).cast(pl.String))
    text = million[:_FOREST_SLICE].to_pandas()
    rates = _rates(
        {
            "ours": (lambda: model.score(conform(million, described)), ROWS),
            "forest": (lambda: forest.predict_proba(read(text[[*levels, *numbers]])), _FOREST_SLICE),
        },
        turns=2,
    )
    peer = f"pandas, one-hot, random forest, {_FOREST_SLICE:,} rows"
    return _row("raw-table-to-scores-vs-sklearn-rf", rates["ours"] / 1e6, "M rows/s", "≥ 10", peer, rates["forest"] / 1e6)


def _one_customer() -> dict[str, Any]:
    """One customer's risk and the points of all features, from a conformed row: mean over the table, best of the turns."""
    from benchmarks.telco_like import customers, schema
    from churn.model.scoring import ScoringModel
    from churn.model.trees import from_lightgbm

    table, encoder, booster = _trained(8)
    model = ScoringModel.build(schema(customers(7043)), encoder, from_lightgbm(booster, encoder), table)
    rows = table[:1000].to_dicts()

    def explain() -> None:
        for row in rows:
            model.explain_row(row)

    rate = _rates({"ours": (explain, len(rows))})["ours"]
    return {**_row("one-customer-score-and-reasons", 1e3 / rate, "ms", "≤ 0.1"), "ratio": None}


def _rates(work: dict[str, tuple[Callable[[], Any], float]], turns: int = _TURNS) -> dict[str, float]:
    """Rows a second of each, the best of several turns; everybody twice a turn.

    The first call of a turn may find that a virtual machine has given the memory of its result back to its host, which can
    cost several times the work itself; the second finds it where it was.
    """
    best = dict.fromkeys(work, float("inf"))
    for _ in range(turns):
        for name, (call, _) in work.items():
            for _ in range(2):
                start = time.process_time()
                call()
                best[name] = min(best[name], time.process_time() - start)
    return {name: rows / best[name] for name, (_, rows) in work.items()}


def _row(
    name: str, value: float, unit: str, target: str, peer: str | None = None, peer_value: float | None = None
) -> dict[str, Any]:
    ratio = None if peer_value is None else value / peer_value
    return dict(
        zip(
            ("name", "value", "peer", "peer_value", "ratio", "target", "unit"),
            (name, value, peer, peer_value, ratio, target, unit),
            strict=True,
        )
    )


if __name__ == "__main__":
    print(json.dumps(_measure()))
