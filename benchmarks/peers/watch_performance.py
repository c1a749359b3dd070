"""NannyML's CBPE as a peer, in an environment of its own, used as its documentation shows.

Run by benchmarks/watch_performance.py as: watch_performance.py REFERENCE.parquet ANALYSIS.parquet RESULT.json TURNS. It needs
nothing of churn. The tables have `risk`, `listed`, `day` and, in the reference, `left`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

warnings.filterwarnings("ignore")
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it would send word of every call to its makers
_SAME = ["roc_auc", "precision", "recall", "f1", "confusion_matrix"]  # what both have


def _estimator(metrics: list[str]) -> Any:
    from nannyml import CBPE

    return CBPE(
        y_pred_proba="risk",
        y_pred="listed",
        y_true="left",
        timestamp_column_name="day",
        problem_type="classification_binary",
        metrics=metrics,
        chunk_period="D",
    )


def main(reference: str, analysis: str, result: str, turns: str) -> None:
    _estimator(_SAME)  # imports are not measured
    whole, alone = [], []
    for _ in range(int(turns)):
        start = time.process_time()
        known, log = pd.read_parquet(reference), pd.read_parquet(analysis)
        found = _estimator(_SAME).fit(known).estimate(log)
        whole.append(time.process_time() - start)
        ready = _estimator(["roc_auc"]).fit(known)
        start = time.process_time()
        ready.estimate(log)
        alone.append(time.process_time() - start)
    frame = found.filter(period="analysis").to_df()
    days = [str(day.date()) for day in frame[("chunk", "start_date")]]
    areas = [float(area) for area in frame[("roc_auc", "value")]]
    document = {"whole": whole, "alone": alone, "auc": dict(zip(days, areas, strict=True))}
    Path(result).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
