"""Call lists over a million scored customers with contact data: one list of ten thousand, built and written, and 50 visitors.

`act-list-10k-of-1m` is the time of one process, on the wall, from an open base to the bytes of the XLSX file: eligibility,
ranking, contacts, three reasons and the best action of every customer, preview, file. What is prepared once per scoring (the
phone numbers of a million people in one form) stands beside it, and reasons are held against those of the screen, to the letter.
`CHURN_BENCH_ROWS`, `…_VISITORS` and `…_CLICKS` make a smaller rehearsal, `CHURN_BENCH_LIST_HOME` keeps the base.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROWS = int(os.environ.get("CHURN_BENCH_ROWS", 1_000_000))
LISTED = min(10_000, ROWS // 10)
_TRAINED_ON = 20_000
_ACTIONS: tuple[dict[str, Any], ...] = (
    {"name": "year", "label": "One-year contract, 10% off", "set": {"Contract": "One year"}, "scale": {"MonthlyCharges": 0.9},
     "cost": 60},
    {"name": "support", "label": "Tech support, free", "set": {"TechSupport": "Yes"}, "cost": 40},
    {"name": "security", "label": "Online security, free", "set": {"OnlineSecurity": "Yes"}, "cost": 30},
    {"name": "debit", "label": "Direct debit", "set": {"PaymentMethod": "Bank transfer (automatic)"}, "cost": 5},
    {"name": "discount", "label": "15% off", "scale": {"MonthlyCharges": 0.85}, "cost": 25},
)  # fmt: skip


def write(home: Path) -> None:
    """A workspace at `home`: a model with a catalogue of actions, and a base with contact data scored by it."""
    from datetime import date

    import numpy as np
    import polars as pl

    from benchmarks.telco_like import customers
    from churn.data.infer import infer
    from churn.data.quality import conform
    from churn.data.schema import Action, Contacts, Schema
    from churn.learn.training import train, write_bundle
    from churn.model.registry import Registry
    from churn.model.store import open_store
    from churn.score.batch import score
    from churn.score.publish import publish
    from churn.settings import Settings

    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    raw = customers(_TRAINED_ON, seed=1)
    found = infer(raw, key="customerID", target="Churn", positive="Yes").schema
    roles = {role: role for role in ("name", "phone", "email", "consent", "do_not_contact", "owner")}
    parts = {name: getattr(found, name) for name in Schema.model_fields}
    parts |= {"contacts": Contacts(**roles, country="DE"), "actions": tuple(Action(**one) for one in _ACTIONS)}
    schema = Schema(**parts)
    trained = train(conform(raw, schema, target=True), schema, settings=settings, trials=1, candidates=("lightgbm",), threads=1)
    write_bundle(trained, home / "bundle", simulated=False)
    model = registry.load_model(registry.publish_model(home / "bundle"))
    draw = np.random.default_rng(3)
    table = customers(ROWS, seed=2).drop("Churn")
    contacts = table.select("customerID").with_columns(
        name=pl.Series([f"Person {number}" for number in range(ROWS)]),
        phone=pl.Series([f"030 {number:08d}" for number in draw.integers(20_000_000, 20_000_000 + 2 * ROWS, ROWS)]),
        email=pl.Series([f"p{number}@example.org" for number in range(ROWS)]),
        consent=pl.Series(draw.choice(["Yes", "No"], ROWS, p=[0.8, 0.2])),
        do_not_contact=pl.Series(draw.choice(["Yes", "No"], ROWS, p=[0.03, 0.97])),
        owner=pl.Series([f"Colleague {number % 20}" for number in range(ROWS)]),
    )
    rows = score(conform(table, schema), model.model, contacts=contacts)
    publish(rows, model, registry, store, as_of=date.today(), who="bench", action="promote")


def home_of(place: str) -> Path:
    """The workspace, made where it is not there yet."""
    home = Path(os.environ.get("CHURN_BENCH_LIST_HOME", place))
    if not (home / "models").exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "benchmarks.act_list", "write", str(home)], cwd=ROOT, check=True)
    return home


if __name__ == "__main__":
    write(Path(sys.argv[2]))
