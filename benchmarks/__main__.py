"""`make bench [ONLY=prefix]`: measure, print a table, write benchmarks/results.json.

A benchmark is a module here with `run() -> list of rows`; a row is {name, value, peer, peer_value, ratio, target, unit}, where
`ratio` is how many times better than the peer measured in the same run, and None for an absolute figure. `target` says what
was promised, as text: "≥ 5" for a ratio or a figure that should be high, "≤ 0.1" for one that should be low.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

MODULES = {
    "benchmarks.tables": ("tables-", "raw-table-", "one-customer-score"),
    "benchmarks.customer": ("one-customer-with",),
    "benchmarks.base": ("base-",),
    "benchmarks.cohort": ("cohort-",),
    "benchmarks.page": ("page-",),
    "benchmarks.what_if": (
        *("explain-what-if", "explain-page-data", "explain-counterfactual", "explain-impossible"),
        "explain-ten-actions",
    ),
    "benchmarks.edit": ("explain-edit-",),
    "benchmarks.explain": ("explain-page-1m", "explain-reasons-1m"),
    "benchmarks.act": ("act-holdout", "act-false-claims"),
    "benchmarks.act_list": ("act-list-", "act-page-"),
    "benchmarks.watch": ("watch-alarms", "watch-drift", "watch-add-day", "watch-page-data"),
    "benchmarks.watch_log": ("watch-log-",),
    "benchmarks.watch_performance": ("watch-cbpe-", "watch-performance-"),
    "benchmarks.watch_unattended": ("watch-unattended-",),
    "benchmarks.swap": ("swap-",),
    "benchmarks.nested_cv": ("nested-",),
}
_HEADS = ("benchmark", "value", "peer", "peer's", "ratio", "target")
RESULTS = Path(__file__).with_name("results.json")


def met(row: dict[str, Any]) -> bool | None:
    """Whether a row reaches its target; None where nothing was promised."""
    if not row.get("target"):
        return None
    sign, limit = str(row["target"]).split()
    figure = row["ratio"] if row.get("ratio") is not None else row["value"]
    return figure >= float(limit) if sign == "≥" else figure <= float(limit)


def _figure(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:,.4g} {unit}".rstrip()


def main(only: str = "") -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[dict[str, Any]] = []
    for module, prefixes in MODULES.items():
        if not any(prefix.startswith(only) or only.startswith(prefix) for prefix in prefixes):
            continue
        if module == "benchmarks.nested_cv" and not only.startswith("nested"):
            print("nested-*: takes more than an hour; run it by name: make bench ONLY=nested", file=sys.stderr)
            continue
        found = importlib.import_module(module).run()
        rows += [row for row in found if row["name"].startswith(only)]
    if not rows:
        print(f"no benchmark starts with {only!r}", file=sys.stderr)
        return 2
    widths = (44, 16, 34, 16, 9, 9)
    print("".join(word.ljust(width) for word, width in zip(_HEADS, widths, strict=True)))
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[met(row)]
        cells = (
            row["name"],
            _figure(row["value"], row["unit"]),
            row.get("peer") or "",
            _figure(row.get("peer_value"), row["unit"]),
            _figure(row.get("ratio")),
            str(row.get("target") or ""),
        )
        print("".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)) + mark)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    measured = {row["name"] for row in rows}
    rows = [row for row in kept if row["name"] not in measured] + rows
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
