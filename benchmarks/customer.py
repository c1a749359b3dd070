"""One customer on the page: an edit with what follows from it, score, reasons in words and the chart, until the dict is ready.

The model is like the real one (300 LightGBM trees of 8 leaves on the demo's columns), the customers are simulated.
"""

from __future__ import annotations

import statistics
import time
from itertools import cycle, islice
from typing import Any

import numpy as np

_EDITS = 1000
_ROUNDS = 5


def run() -> list[dict[str, Any]]:
    """The median over rounds of the mean time for one edited customer, in milliseconds."""
    import lightgbm

    from churn.charts.waterfall import waterfall
    from churn.data import demo
    from churn.data.quality import conform
    from churn.model.encoder import Encoder
    from churn.model.scoring import ScoringModel
    from churn.model.trees import from_lightgbm
    from churn.understand.account import Typical, account
    from churn.understand.evidence import Evidence
    from churn.understand.what_if import edit

    schema = demo.schema()
    made = demo.make(customers=4000, months=7)
    table = conform(made.labelled, schema, target=True)
    encoder = Encoder.fit(table, schema)
    encoded = encoder.encode(table)
    settings = {"objective": "binary", "num_leaves": 8, "learning_rate": 0.05, "num_threads": 1, "verbose": -1, "seed": 7}
    data = lightgbm.Dataset(encoder.matrix(encoded), table["__left__"].to_numpy())
    booster = lightgbm.train(settings, data, 300)
    model = ScoringModel.build(schema, encoder, from_lightgbm(booster, encoder), table)
    typical, evidence = Typical.of(table, schema), Evidence(table, schema)
    rows = conform(made.latest, schema).head(_EDITS).to_dicts()
    wanted = list(islice(cycle([{"internet": "No internet"}, {"contract": "Two years", "monthly_charge": 40.0}]), _EDITS))

    def page(row: dict[str, Any], changes: dict[str, Any]) -> int:
        edited = edit(row, changes, schema, evidence)
        risk, points, _ = model.explain_row(edited.row)
        told = account(
            edited.row, points, risk=risk, typical_risk=model.typical_risk, schema=schema, typical=typical, edited=edited.changed
        )
        return waterfall(told.waterfall).height

    times = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        for row, changes in zip(rows, wanted, strict=True):
            page(row, changes)
        times.append((time.perf_counter() - start) * 1000 / _EDITS)
    value = statistics.median(times[1:])  # the first round warms the caches
    spread = float(np.ptp(times[1:]))
    print(f"one customer with chart: {value:.2f} ms, spread over {_ROUNDS} rounds {spread:.2f} ms")
    row = {"name": "one-customer-with-chart", "value": value, "peer": None, "peer_value": None, "ratio": None}
    return [{**row, "target": "≤ 2", "unit": "ms"}]
