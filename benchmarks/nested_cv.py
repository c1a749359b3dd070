"""Honest nested cross-validation on the real tables: 5 × 5 folds, everything tuned inside each outer training fold.

The whole leaderboard, paired on the same folds with CatBoost and XGBoost of any depth, tuned with as many trials in an
environment of their own (benchmarks/peers). The champion of a fold is the compiling candidate with the lowest inner
log-loss, so the choice among candidates is judged too. It takes more than an hour; every fold is kept in benchmarks/results
as soon as it is done, and a run goes on where the last one stopped.

    python -m benchmarks.nested_cv [--tables telco,modelling,bank] [--only ours|peers] [--report]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.data.infer import infer
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.learn.candidates import BLEND, CANDIDATES, Average, Fitted
from churn.learn.evaluation import MEASURES, corrected_estimate, measure
from churn.learn.folds import LEFT, Fold, make_folds
from churn.learn.tuning import FoldData, prepare, tune
from churn.model.calibration import sigmoid

HERE = Path(__file__).resolve().parent
REAL_TABLES = Path(os.environ.get("REAL_TABLES", HERE.parents[1] / "shared" / "data"))
RESULTS = HERE / "results"
PEERS = HERE.parent / ".venv-peers"

SPLITS, REPEATS, INNER = 5, 5, 3
TRIALS = 12  # of what gains most from tuning; half of it on the table that needs a thousand trees
FEW = {"random-forest": 2, "random-forest-smote": 1, "hist-gradient-boosting": 2, "gradient-boosting": 1}  # slow, and gain little
SEED = 2026
TABLES: dict[str, dict[str, Any]] = {
    "telco": {
        "file": "WA_Fn-UseC_-Telco-Customer-Churn.csv",
        "key": "customerID",
        "target": "Churn",
        "targets": {"roc_auc": "≥ 0.848", "log_loss": "≤ 0.413"},
    },
    "modelling": {"file": "Churn_Modelling.csv", "key": "CustomerId", "target": "Exited", "targets": {"roc_auc": "≥ 0.869"}},
    "bank": {
        "file": "BankChurners.csv",
        "key": "CLIENTNUM",
        "target": "Attrition_Flag",
        "positive": "Attrited Customer",
        "trials": 6,
        "targets": {"roc_auc": "≥ 0.994"},
    },
}
CHAMPION = "champion"
PEER_NAMES = {"peer-catboost": "CatBoost, tuned", "peer-xgboost": "XGBoost, tuned"}
NAMES = {CHAMPION: "Champion", **{c.key: c.name for c in CANDIDATES}, BLEND.key: BLEND.name, **PEER_NAMES}


def load(name: str) -> tuple[pl.DataFrame, Schema]:
    """A real table, conformed to the schema inferred from it, leaks and identifiers left out by that."""
    facts = TABLES[name]
    path = REAL_TABLES / facts["file"]
    if not path.exists():
        sys.exit(f"no real table at {path}; set REAL_TABLES to the folder that has it")
    raw = read_table(path)
    schema = infer(raw, key=facts["key"], target=facts["target"], positive=facts.get("positive")).schema
    return conform(raw, schema, target=True), schema


def trials_of(name: str) -> int:
    """How many settings a table's candidates and peers may try in each outer fold."""
    return int(TABLES[name].get("trials", TRIALS))


# -- our side ----------------------------------------------------------------


def run_ours(name: str) -> None:
    """Fill in whatever folds are missing for our candidates."""
    table, schema = load(name)
    kept = _Kept(name)
    for number, fold in enumerate(make_folds(table, schema, splits=SPLITS, repeats=REPEATS, seed=SEED).folds):
        if kept.has(CHAMPION, number):
            continue
        _one_fold(table, schema, fold, number, kept)


def _one_fold(table: pl.DataFrame, schema: Schema, fold: Fold, number: int, kept: _Kept) -> None:
    (outer,) = prepare(table, schema, [fold])
    rows = table[fold.train]
    inner = prepare(rows, schema, make_folds(rows, schema, splits=INNER, seed=SEED + number).folds)
    members: list[tuple[Fitted, list[np.ndarray]]] = []
    for candidate in CANDIDATES:
        of_blend = candidate.key in BLEND.members
        if not candidate.available or (kept.has(candidate.key, number) and not of_blend):
            continue
        start = time.perf_counter()
        trials = FEW.get(candidate.key) or max(1, round(trials_of(kept.name) * candidate.share_of_trials))
        tuned = tune(candidate, inner, trials=trials, seed=SEED + number)
        fitted = candidate.fit(tuned.params_for(outer.train.rows), outer.train, outer.y_train, threads=1, seed=SEED)
        p = fitted.probability(outer.test)
        kept.add(candidate.key, number, outer.y_test, p, tuned.log_loss, tuned.params, time.perf_counter() - start)
        if of_blend:
            margins = [candidate.fit(tuned.params, f.train, f.y_train, threads=1, seed=SEED).margin(f.test) for f in inner]
            members.append((fitted, margins))
    _blend(members, inner, outer, number, kept)
    compiling = [c.key for c in CANDIDATES if c.compiles] + [BLEND.key]
    chosen = min(compiling, key=lambda key: float(kept.get(key, number)["inner_log_loss"]))
    kept.copy(chosen, CHAMPION, number)


def _blend(
    members: list[tuple[Fitted, list[np.ndarray]]], inner: tuple[FoldData, ...], outer: FoldData, number: int, kept: _Kept
) -> None:
    means = [np.mean(margins, axis=0) for margins in zip(*(margins for _, margins in members), strict=True)]
    losses = [measure(f.y_test, sigmoid(margin))["log_loss"] for f, margin in zip(inner, means, strict=True)]
    average = Average(tuple(fitted for fitted, _ in members))
    kept.add(BLEND.key, number, outer.y_test, average.probability(outer.test), float(np.mean(losses)), {}, 0.0)


class _Kept:
    """The folds done so far, in one JSON file a table, written after each."""

    def __init__(self, name: str, suffix: str = "") -> None:
        self.name = name
        self.path = RESULTS / f"nested-{name}{suffix}.json"
        self.rows: dict[str, dict[str, Any]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def has(self, key: str, fold: int) -> bool:
        return str(fold) in self.rows.get(key, {})

    def get(self, key: str, fold: int) -> dict[str, Any]:
        return self.rows[key][str(fold)]  # type: ignore[no-any-return]

    def add(self, key: str, fold: int, y: np.ndarray, p: np.ndarray, inner: float, params: Any, seconds: float) -> None:
        figures = {measured: round(value, 6) for measured, value in measure(y, p).items()}
        entry = {**figures, "inner_log_loss": round(inner, 6), "params": dict(params), "seconds": round(seconds, 1)}
        self.rows.setdefault(key, {})[str(fold)] = entry
        self._write()
        print(f"{self.path.stem} fold {fold}: {key} {figures['roc_auc']:.4f} {figures['log_loss']:.4f}", flush=True)

    def copy(self, key: str, to: str, fold: int) -> None:
        self.rows.setdefault(to, {})[str(fold)] = {**self.get(key, fold), "chosen": key}
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.rows, indent=0))
        part.replace(self.path)


# -- the peers ---------------------------------------------------------------


def run_peers(name: str) -> None:
    """Hand the same rows and folds to the peers, who keep their own results file."""
    kept = _Kept(name, "-peers")
    if all(kept.has(key, number) for key in PEER_NAMES for number in range(SPLITS * REPEATS)):
        return
    table, schema = load(name)
    y = table[LEFT].to_numpy()
    columns, categorical = [], []
    for i, feature in enumerate(schema.features):
        if feature.is_number:
            columns.append(table[feature.name].to_numpy().astype(np.float64))
        else:
            categorical.append(i)
            codes = {level.value: code for code, level in enumerate(feature.levels)}
            columns.append(np.array([codes.get(value, len(codes)) for value in table[feature.name]], dtype=np.float64))
    arrays: dict[str, np.ndarray] = {"X": np.column_stack(columns), "y": y, "categorical": np.array(categorical, dtype=np.int64)}
    folds = make_folds(table, schema, splits=SPLITS, repeats=REPEATS, seed=SEED).folds
    for number, fold in enumerate(folds):
        arrays[f"train_{number}"], arrays[f"test_{number}"] = fold.train, fold.test
        rows = table[fold.train]
        for i, within in enumerate(make_folds(rows, schema, splits=INNER, seed=SEED + number).folds):
            arrays[f"train_{number}_{i}"], arrays[f"test_{number}_{i}"] = fold.train[within.train], fold.train[within.test]
    RESULTS.mkdir(exist_ok=True)
    handed = RESULTS / f"nested-{name}-folds.npz"
    np.savez_compressed(handed, **arrays)  # type: ignore[arg-type]
    script = HERE / "peers" / "peers.py"
    to = RESULTS / f"nested-{name}-peers-p.npz"
    subprocess.run(
        [_peers_python(), script, handed, to, str(len(folds)), str(INNER), str(trials_of(name)), str(SEED)], check=True
    )
    with np.load(to) as said:
        for number, fold in enumerate(folds):
            for key in PEER_NAMES:
                params = json.loads(str(said[f"{key}_{number}_params"]))
                seconds, inner = float(said[f"{key}_{number}_seconds"]), float(said[f"{key}_{number}_inner"])
                kept.add(key, number, y[fold.test], said[f"{key}_{number}"], inner, params, seconds)
    handed.unlink()
    to.unlink()


def _peers_python() -> Path:
    """The peers' own environment, made on first use from its pinned requirements."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(HERE.parent / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--python", "3.11", PEERS], check=True)
        pinned = HERE.parent / "requirements" / "peers.txt"
        environ = {**os.environ, "VIRTUAL_ENV": str(PEERS)}
        subprocess.run([uv, "pip", "install", "-q", "--require-hashes", "-r", pinned], check=True, env=environ)
    return python


# -- the report --------------------------------------------------------------


def figures(name: str) -> dict[str, dict[str, np.ndarray]]:
    """model → measure → one figure for each fold that is done for every model."""
    rows = {**_Kept(name).rows, **_Kept(name, "-peers").rows}
    done = sorted(set.intersection(*(set(folds) for folds in rows.values())), key=int) if rows else []
    return {key: {m: np.array([folds[f][m] for f in done]) for m in MEASURES} for key, folds in rows.items()}


def report(name: str) -> None:
    """Print the leaderboard, each line paired with the best peer."""
    found = figures(name)
    if not found:
        print(f"{name}: nothing done yet")
        return
    count = len(next(iter(found.values()))["roc_auc"])
    print(f"\n{name}: {count} folds; differences are to the best peer, ± paired corrected standard error")
    order = sorted(found, key=lambda key: float(found[key]["log_loss"].mean()))
    for key in order:
        own = found[key]
        line = f"  {NAMES[key]:44s}" + " ".join(f"{m} {own[m].mean():.4f}" for m in MEASURES)
        for m in ("roc_auc", "log_loss"):
            peer = _best_peer(found, m)
            if peer and key not in PEER_NAMES:
                behind = corrected_estimate((own[m] - found[peer][m]).tolist(), 1 / (SPLITS - 1))
                line += f"  Δ{m} {behind.value:+.4f}±{behind.standard_error:.4f}"
        print(line)


def _best_peer(found: dict[str, dict[str, np.ndarray]], m: str) -> str | None:
    peers = [key for key in PEER_NAMES if key in found]
    sign = -1 if m == "log_loss" else 1
    return max(peers, key=lambda key: sign * float(found[key][m].mean())) if peers else None


def run() -> list[dict[str, Any]]:
    """Do what is missing and return the benchmark's rows."""
    rows = []
    for name, facts in TABLES.items():
        run_ours(name)
        run_peers(name)
        report(name)
        found = figures(name)
        for m in ("roc_auc", "log_loss"):
            peer = _best_peer(found, m)
            assert peer is not None
            own, other = found[CHAMPION][m], found[peer][m]
            title = f"nested-{name}-{m.replace('_', '-')}"
            common = {"peer": PEER_NAMES[peer], "peer_value": float(other.mean()), "ratio": None}
            rows.append({"name": title, "value": float(own.mean()), **common, "target": facts["targets"].get(m), "unit": ""})
            worse = corrected_estimate(((other - own) if m == "roc_auc" else (own - other)).tolist(), 1 / (SPLITS - 1))
            errors = worse.value / worse.standard_error
            none = {"peer": PEER_NAMES[peer], "peer_value": None, "ratio": None}
            rows.append({"name": f"{title}-behind", "value": errors, **none, "target": "≤ 1", "unit": "paired standard errors"})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--only", choices=("ours", "peers"))
    parser.add_argument("--report", action="store_true", help="only print what is done so far")
    asked = parser.parse_args()
    for name in asked.tables.split(","):
        if not asked.report and asked.only != "peers":
            run_ours(name)
        if not asked.report and asked.only != "ours":
            run_peers(name)
        report(name)


if __name__ == "__main__":
    main()
