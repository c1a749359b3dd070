"""The customer page's questions beside explainerdashboard and DiCE: a what-if, and what would have to change.

On the real Telco table, with LightGBM of the same settings and rows on both sides, in one run, one thread, CPU time; the peers in
an environment of their own (benchmarks/peers/what_if.py). A what-if is timed from the edit to the finished figure: here with what
follows from it, score, reasons in words and chart; there the prediction and the figure of contributions, without the other charts
of its page. The data of a page about all customers is what either works out before it can draw one: the contributions of
everybody, and what matters on average. Counterfactuals are five for each customer whose risk is to fall below one half; whether
they are possible is judged on both sides by validators written by hand (tests/understand/validators.py).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.nested_cv import load

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers-explain"
PINNED = HERE.parent / "requirements" / "peers-explain.txt"

_EDITS = 60
_REPEATS = 7
_CUSTOMERS = 30
_GOAL = 0.5
_METHODS = {"random": _CUSTOMERS, "genetic": 6}  # DiCE's quickest, and its own search for near ones, which takes longer
LIGHTGBM = {"num_leaves": 4, "learning_rate": 0.05, "n_estimators": 300, "n_jobs": 1, "verbose": -1, "random_state": 7}


def run() -> list[dict[str, Any]]:
    """The rows of the benchmark; needs the real table."""
    sys.path.insert(0, str(HERE.parent))
    from churn.base.expected_value import Assumptions
    from churn.data.schema import Action, Schema
    from churn.understand.actions import rank_actions
    from churn.understand.changes import what_would_have_to_change
    from churn.understand.evidence import Evidence

    table, schema = load("telco")
    model, risks = _model(table, schema)
    evidence = Evidence(table, schema)
    rows = table.select(schema.names).to_dicts()
    rng = np.random.default_rng(7)
    edits = [_edit(rows, schema, rng) for _ in range(_EDITS)]
    customers = rng.choice(np.flatnonzero(risks > _GOAL + 0.05), _CUSTOMERS, replace=False).tolist()

    theirs = _peers(table, schema, edits, customers)
    base = [_ms(lambda: _base(model, table)) for _ in range(_REPEATS)]
    page = _page(model, schema, table, evidence)
    ours = [_ms(lambda place=place, changes=changes: page(rows[place], changes)) for place, changes in edits]
    seek = [_ms(lambda row=rows[place]: what_would_have_to_change(row, _GOAL, model=model, evidence=evidence))
            for place in customers]  # fmt: skip
    found = [
        (place, answer.edited.row, tuple(answer.changes))
        for place in customers
        for answer in what_would_have_to_change(rows[place], _GOAL, model=model, evidence=evidence).answers
    ]
    offers = Schema(
        **{
            **{name: getattr(schema, name) for name in Schema.model_fields},
            "actions": tuple(Action(name=str(i), label=str(i), **what) for i, what in enumerate(_TEN_ACTIONS)),
        }
    )
    offered, _ = _model(table, offers)
    ranked = [_ms(lambda row=rows[place]: rank_actions(row, 70.0, model=offered, evidence=evidence, assumptions=Assumptions()))
              for place in customers]  # fmt: skip

    impossible = _impossible(rows, found)
    print(
        f"ours: {impossible} of {len(found)} suggestions impossible; slowest what-if {max(ours):.1f} ms, slowest search "
        f"{max(seek):.0f} ms; explainerdashboard took {theirs['start_s']:.0f} s to start",
        file=sys.stderr,
    )
    measured = [_against("explain-what-if-vs-explainerdashboard", ours, "explainerdashboard", theirs["what_if_ms"], "≥ 50")]
    measured.append(
        _against("explain-page-data-vs-explainerdashboard", base, "explainerdashboard", [1e3 * theirs["start_s"]], "≥ 20")
    )
    for method, dice in theirs["counterfactuals"].items():
        suggested = [(place, _as_ours(row, rows[place]), _asked(row, rows[place])) for place, row in dice["suggested"]]
        wrong, apart = _impossible(rows, suggested), _impossible(rows, suggested, without=("charged",))
        print(
            f"DiCE, {method}: {wrong} of {len(suggested)} suggestions impossible, {apart} even if charges to date may be stale; "
            f"{dice['failed']} of {len(dice['ms'])} customers without any",
            file=sys.stderr,
        )
        end, quickest = ("", True) if method == "random" else (f"-{method}", False)
        own = seek[: len(dice["ms"])]
        target = "≥ 20" if quickest else None
        measured.append(_against(f"explain-counterfactual-vs-dice{end}", own, f"DiCE, {method}", dice["ms"], target))
        share = 100 * impossible / max(len(found), 1), 100 * wrong / max(len(suggested), 1)
        row = _row(f"explain-impossible-counterfactuals{end}", share[0], "≤ 0", "in 100")
        measured.append({**row, "peer": f"DiCE, {method}", "peer_value": share[1]})
    return [
        *measured,
        _row("explain-counterfactual-p95", float(np.quantile(seek, 0.95)), "≤ 150", "ms CPU"),
        _row("explain-ten-actions", statistics.median(ranked), "≤ 20", "ms CPU"),
    ]


_TEN_ACTIONS: tuple[dict[str, Any], ...] = (
    {"set": {"Contract": "One year"}, "scale": {"MonthlyCharges": 0.9}},
    {"set": {"Contract": "Two year"}},
    {"scale": {"MonthlyCharges": 0.85}},
    {"set": {"PaymentMethod": "Credit card (automatic)"}},
    {"set": {"PaperlessBilling": "No"}},
    *({"set": {name: "Yes"}} for name in ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV")),
)


def _model(table: pl.DataFrame, schema: Any) -> tuple[Any, np.ndarray]:
    import lightgbm

    from churn.model.encoder import Encoder
    from churn.model.scoring import ScoringModel
    from churn.model.trees import from_lightgbm

    encoder = Encoder.fit(table, schema)
    settings = {
        "objective": "binary",
        "num_threads": 1,
        "seed": 7,
        **{name: LIGHTGBM[name] for name in ("num_leaves", "learning_rate")},
    }
    data = lightgbm.Dataset(encoder.matrix(encoder.encode(table)), table["__left__"].to_numpy())
    booster = lightgbm.train({**settings, "verbose": -1}, data, int(LIGHTGBM["n_estimators"]))
    model = ScoringModel.build(schema, encoder, from_lightgbm(booster, encoder), table)
    return model, model.score(table).risk


def _edit(rows: list[dict[str, Any]], schema: Any, rng: np.random.Generator) -> tuple[int, dict[str, Any]]:
    """A customer, and one editable field with another value."""
    place = int(rng.integers(len(rows)))
    editable = [feature for feature in schema.features if feature.editable]
    while True:
        feature = editable[rng.integers(len(editable))]
        value = (
            float(rng.uniform(*feature.range)) if feature.is_number else feature.levels[rng.integers(len(feature.levels))].value
        )
        if value != rows[place][feature.name]:
            return place, {feature.name: value}


def _base(model: Any, table: pl.DataFrame) -> None:
    """What the page Explain shows of all customers, worked out afresh: the points of everybody, what matters, and the points of
    the column that matters most by its values."""
    points = model.explain(table).points
    strongest = int(np.abs(points).mean(axis=0).argmax())
    by_value = pl.DataFrame({"value": table[model.schema.names[strongest]], "points": points[:, strongest]})
    by_value.group_by("value").agg(pl.col("points").mean(), pl.len())


def _page(model: Any, schema: Any, table: pl.DataFrame, evidence: Any) -> Any:
    """What the customer page does from an edit to the figure."""
    from churn.charts.waterfall import waterfall
    from churn.understand.account import Typical, account
    from churn.understand.what_if import edit

    typical = Typical.of(table, schema)

    def show(row: dict[str, Any], changes: dict[str, Any]) -> None:
        edited = edit(row, changes, schema, evidence)
        risk, points, _ = model.explain_row(edited.row)
        told = account(
            edited.row, points, risk=risk, typical_risk=model.typical_risk, schema=schema, typical=typical, edited=edited.changed
        )
        waterfall(told.waterfall)

    show(dict(table.row(0, named=True)), {})  # what is worked out once a model
    return show


def environment(place: Path, pinned: Path) -> Path:
    """The Python of an environment of peers, made on first use from its pinned requirements."""
    python = place / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(HERE.parent / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--python", "3.11", place], check=True)
        environ = {**os.environ, "VIRTUAL_ENV": str(place), "UV_COMPILE_BYTECODE": "1"}
        subprocess.run([uv, "pip", "install", "-q", "--require-hashes", "-r", pinned], check=True, env=environ)
    return python


def _peers(table: pl.DataFrame, schema: Any, edits: list[Any], customers: list[int]) -> dict[str, Any]:
    """What the peers say."""
    python = environment(PEERS, PINNED)
    asked = {
        "target": "__left__",
        "numbers": [feature.name for feature in schema.numbers],
        "categories": [feature.name for feature in schema.categories],
        "editable": [feature.name for feature in schema.features if feature.editable],
        "lightgbm": LIGHTGBM,
        "edits": edits,
        "customers": {method: customers[:count] for method, count in _METHODS.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table.select(*schema.names, "__left__").write_csv(place / "table.csv")
        (place / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        script = HERE / "peers" / "what_if.py"
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [python, script, place / "table.csv", place / "asked.json", place / "result.json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the peers failed: {done.stderr[-2000:]}")
        return dict(json.loads((place / "result.json").read_text(encoding="utf-8")))


def _as_ours(row: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A peer's row with the kinds of ours; DiCE hands some numbers back rounded: one it was not to vary counts as it was."""
    found = {
        name: float(value) if isinstance(before[name], float) else str(value) for name, value in row.items() if name in before
    }
    same = {
        name: before[name] for name in ("tenure", "TotalCharges") if before[name] is None or abs(found[name] - before[name]) < 0.5
    }
    return {**before, **found, **same}


def _asked(row: dict[str, Any], before: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, value in _as_ours(row, before).items() if value != before[name])


def _impossible(rows: list[dict[str, Any]], suggestions: list[Any], without: tuple[str, ...] = ()) -> int:
    from tests.understand.validators import telco

    return sum(
        any(not wrong.startswith(without) if without else True for wrong in telco(rows[place], row, asked))
        for place, row, asked in suggestions
    )


def _ms(work: Any) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def _against(name: str, ours: list[float], peer: str, theirs: list[float], target: str | None) -> dict[str, Any]:
    value, other = statistics.median(ours), statistics.median(theirs)
    return {**_row(name, value, target, "ms CPU"), "peer": peer, "peer_value": other, "ratio": other / value}


def _row(name: str, value: float, target: str | None, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "peer": None, "peer_value": None, "ratio": None, "target": target, "unit": unit}
