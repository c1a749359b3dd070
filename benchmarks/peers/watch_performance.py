"""NannyML's CBPE as a peer, in an environment of its own, used as its documentation shows.

Run by benchmarks/watch_performance.py as: watch_performance.py REFERENCE.parquet ANALYSIS.parquet RESULT.json TURNS. It needs
nothing of churn. The tables have `risk`, `day` and, in the reference, `left`.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd

warnings.filterwarnings("ignore")


def main(reference: str, analysis: str, result: str, turns: str) -> None:
    from nannyml import CBPE

    known, log = pd.read_parquet(reference), pd.read_parquet(analysis)
    for table in (known, log):
        table["called"] = (table["risk"] >= 0.5).astype(int)
    estimator = CBPE(
        y_pred_proba="risk",
        y_pred="called",
        y_true="left",
        timestamp_column_name="day",
        problem_type="classification_binary",
        metrics=["roc_auc"],
        chunk_period="D",
    )
    start = time.process_time()
    estimator.fit(known)
    fit = time.process_time() - start
    seconds = []
    for _ in range(int(turns)):
        start = time.process_time()
        found = estimator.estimate(log)
        seconds.append(time.process_time() - start)
    frame = found.to_df()
    days = [str(day.date()) for day in frame[("chunk", "start_date")]]
    areas = [float(area) for area in frame[("roc_auc", "value")]]
    document = {"fit": fit, "seconds": seconds, "auc": dict(zip(days, areas, strict=True))}
    document["calibrates"] = bool(estimator.needs_calibration)
    Path(result).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
