"""evidently and NannyML as peers, in an environment of their own, each with its defaults.

Run by benchmarks/watch.py as: watch.py evidently|nannyml PLACE RESULT.json. It needs nothing of churn. PLACE has
reference.parquet and the log by day; what is measured is processor time once all of it is in memory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

warnings.filterwarnings("ignore")


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if not name.startswith("__")]


def evidently(reference: pd.DataFrame, days: list[pd.DataFrame]) -> dict[str, Any]:
    """The drift preset, a report for each day; a day is alarmed where any column is."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = _columns(reference)
    numbers = [name for name in columns if pd.api.types.is_numeric_dtype(reference[name])]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[name for name in columns if name not in numbers])
    start = time.process_time()
    before = Dataset.from_pandas(reference[columns], data_definition=definition)
    alarmed = 0
    for day in days:
        found = Report([DataDriftPreset()]).run(Dataset.from_pandas(day[columns], data_definition=definition), before).dict()
        counts = [one["value"]["count"] for one in found["metrics"] if "DriftedColumnsCount" in str(one.get("metric_name", one))]
        alarmed += bool(counts and counts[0] > 0)
    return {"cpu": time.process_time() - start, "alarmed": alarmed}


def nannyml(reference: pd.DataFrame, days: list[pd.DataFrame]) -> dict[str, Any]:
    """The univariate calculator, a chunk for each day; a day is alarmed where any column is."""
    import nannyml

    columns = _columns(reference)
    start = time.process_time()
    calculator = nannyml.UnivariateDriftCalculator(column_names=columns, chunk_size=len(days[0]))
    calculator.fit(reference[columns])
    found = calculator.calculate(pd.concat(days)[columns]).filter(period="analysis").to_df()
    alerts = found.loc[:, [name for name in found.columns if name[-1] == "alert"]]
    return {"cpu": time.process_time() - start, "alarmed": int(alerts.any(axis=1).sum())}


if __name__ == "__main__":
    name, place, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    tables = [pd.read_parquet(one) for one in sorted((place / "log").glob("*/*/*.parquet"))]
    peer = {"evidently": evidently, "nannyml": nannyml}[name]
    result.write_text(json.dumps(peer(pd.read_parquet(place / "reference.parquet"), tables)), encoding="utf-8")
