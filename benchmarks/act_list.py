"""Call lists over a million scored customers with contact data: one list of ten thousand, built and written, and 50 visitors.

`act-list-10k-of-1m` is the time of one process, on the wall, from an open base to the bytes of the XLSX file: eligibility,
ranking, contacts, three reasons and the best action of every customer, preview, file. What is prepared once per scoring (the
phone numbers of a million people in one form) stands beside it, and reasons are held against those of the screen, to the letter.
`CHURN_BENCH_ROWS`, `…_VISITORS` and `…_CLICKS` make a smaller rehearsal, `CHURN_BENCH_LIST_HOME` keeps the base.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; about eight minutes, of which four for the base."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(os.environ.get("CHURN_BENCH_LIST_HOME", place))
        if not (home / "models").exists():
            _in_a_process("write", home)
        prepared, again = _in_a_process("list", home), _in_a_process("list", home)
        rows = [
            _row("list-10k-of-1m", again["seconds"], "≤ 3", "s"),
            _row("list-prepared-once-a-scoring", prepared["prepare"], None, "s"),
            _row("list-uplift-once-a-scoring", prepared["uplift"], None, "s"),
            _row("list-uplift-ranking", again["uplift_ranking"], None, "s"),
            _row("list-reasons-unlike-the-screen", again["unlike"], "≤ 0", f"of {again['compared']}"),
            _row("list-actions-unlike-the-screen", again["unlike_actions"], "≤ 0", f"of {again['compared']}"),
        ]
        print(
            f"{again['customers']:,} customers of {ROWS:,}; " + ", ".join(f"{k} {v:.2f} s" for k, v in again["parts"].items()),
            file=sys.stderr,
        )
        return rows + _pages(home)


def _row(name: str, value: float, target: str | None, unit: str) -> dict[str, Any]:
    row = {"name": f"act-{name}", "value": value, "target": target, "unit": unit}
    return row | {"peer": None, "peer_value": None, "ratio": None}


def _in_a_process(part: str, home: Path) -> dict[str, Any]:
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_") or name.startswith("CHURN_BENCH")}
    command = [sys.executable, "-m", "benchmarks.act_list", part, str(home)]
    done = subprocess.run(command, cwd=ROOT, env=kept | {"OMP_NUM_THREADS": "1"}, check=True, text=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- one list ----------------------------------------------------------------------


def _list(home: Path) -> dict[str, Any]:
    """Build and write one list, with the time each part took, and hold some of it against the screen."""
    from churn.act import call_list, campaigns, eligibility, export, uplift_base
    from churn.base.expected_value import Assumptions
    from churn.base.groups import Filter
    from churn.base.records import Records
    from churn.base.snapshot import Snapshot
    from churn.model.registry import Registry
    from churn.model.store import open_store
    from churn.principal import CONTACTS, Principal
    from churn.settings import Settings
    from churn.understand.account import Typical, account
    from churn.understand.actions import best_supported, rank_actions
    from churn.understand.evidence import Evidence

    settings = Settings.load(home=home, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    assert pointer.scoring is not None
    bundle, folder = registry.load_model(pointer.model), registry.scoring_folder(pointer.scoring)
    schema, assumptions, records = bundle.schema, Assumptions.of(settings), Records(settings)
    snapshot = Snapshot.open(folder, schema, settings)
    known = call_list.Known(
        snapshot, folder, bundle.model, Typical.of(bundle.reference, schema), Evidence(bundle.reference, schema), assumptions
    )
    began = time.perf_counter()
    people = eligibility.people(folder, snapshot, settings)
    prepare = time.perf_counter() - began
    learnt = _learnt(settings, schema, folder)
    began = time.perf_counter()
    uplift = uplift_base.of_base(learnt, open_store(settings), snapshot, folder, settings)
    scoring_uplift = time.perf_counter() - began
    parts: dict[str, float] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        at = time.perf_counter()
        yield
        parts[name] = time.perf_counter() - at

    terms = call_list.Terms(offer=20.0, capacity=LISTED)
    with part("eligibility"):
        standing = eligibility.standing(snapshot, people, settings, engaged=campaigns.engaged(records))
        able = eligibility.candidates(standing, snapshot.pool(Filter()), needs_worth=True)
    began = time.perf_counter()
    call_list.rank(able, schema, assumptions, terms.offer, uplift)
    ranking_uplift = time.perf_counter() - began
    with part("ranking and preview"):
        ranking = call_list.rank(able, schema, assumptions, terms.offer)
        end = call_list.cut(ranking, terms, assumptions)
        call_list.preview(ranking, end.customers, terms, assumptions, snapshot.covariance)
    with part("customers, reasons and actions"):
        rows = call_list.rows(ranking, known, 0, end.customers)
    with part("export"):
        contacts = call_list.contact_data(rows["customer"], folder, schema)
        origin = export.Origin(
            "Call list", Filter(), snapshot.model, snapshot.id, snapshot.as_of, terms, assumptions, simulated=True
        )
        who = Principal("bench", frozenset({CONTACTS}))
        export.export(records, rows, contacts, schema, origin, who, kind="xlsx", unmasked=True)
    unlike = unlike_actions = compared = 0
    for row in rows.gather_every(max(1, rows.height // 200)).iter_rows(named=True):
        customer = snapshot.customer(row["customer"])
        assert customer is not None
        explained = bundle.model.explain_row(customer.row)
        screen = account(
            customer.row, explained.points, risk=explained.risk, typical_risk=bundle.model.typical_risk, schema=schema,
            typical=known.typical,
        )  # fmt: skip
        told = [one.words for one in screen.told]
        unlike += [row[f"reason_{place}"] for place in (1, 2, 3)] != told + [None] * (3 - len(told))
        best = best_supported(
            rank_actions(customer.row, customer.money, model=bundle.model, evidence=known.evidence, assumptions=assumptions)
        )
        unlike_actions += row["action"] != (None if best is None else best.label)
        compared += 1
    return {
        "seconds": sum(parts.values()),
        "prepare": prepare,
        "uplift": scoring_uplift,
        "uplift_ranking": ranking_uplift,
        "parts": parts,
        "customers": end.customers,
        "unlike": unlike,
        "unlike_actions": unlike_actions,
        "compared": compared,
    }


def _learnt(settings: Any, schema: Any, folder: Path) -> Any:
    """What a campaign of 4,000 of the base is to have taught, by the two models; learnt once, as each run would be another."""
    from types import SimpleNamespace

    import numpy as np
    import polars as pl

    from churn.act import uplift
    from churn.base.snapshot import RISK
    from churn.learn import uplift as learning
    from churn.model.store import open_store

    store = open_store(settings)
    if (found := uplift.read(store, "bench")) is not None:
        return found
    draw = np.random.default_rng(4)
    rows = pl.read_parquet(folder / "rows.parquet", columns=[*schema.names, RISK]).sample(4_000, seed=4)
    told = pl.DataFrame(
        {
            "arm": np.where(draw.random(4_000) < 0.5, "call", "holdout"),
            "left": (draw.random(4_000) < rows[RISK].to_numpy()).astype(int),
            "risk": rows[RISK],
            "expected_value": pl.Series([None] * 4_000, dtype=pl.Float64),
        }
    )
    campaign: Any = SimpleNamespace(id="bench", name="Bench")
    learnt = learning.from_rows(campaign, rows.select(schema.names), told, schema)
    two = dataclasses.replace(learnt.comparison, best=uplift.TWO_MODELS, risks=(0.0, 1.0))  # the slower way
    return learning.keep(dataclasses.replace(learnt, comparison=two), store, simulated=False)


# -- the page ------------------------------------------------------------------------


def _pages(home: Path) -> list[dict[str, Any]]:
    """Visitors who each try other numbers of calls, budgets and shares kept uncalled, and now and then another offer."""
    from benchmarks import page

    async def prepare(visitor: Any, number: int) -> None:
        await visitor.run("call-list")

    async def click(visitor: Any, turn: int) -> Any:
        draw = random.Random(f"{id(visitor)} {turn}")
        if turn % 10 == 9:  # a new offer ranks everybody anew
            return await visitor.set("_box list_offer", "double_value", float(draw.randrange(1, 2000)) / 10)
        return await visitor.set("_box list_calls", "double_value", float(draw.randrange(100, 20_000)))

    with page._served(home):
        pass  # the first start fills caches of the disk and of compiled code
    with page._served(home) as (server, _):
        scene = asyncio.run(page._scene(server, prepare, click))
    return [
        _row("page-rerun-1m-p95", scene.p(0.95), "≤ 150", "ms"),
        _row("page-rerun-1m-p50", scene.p(0.5), None, "ms"),
        _row("page-rerun-1m-server-cpu", scene.cpu_ms, None, "ms a click"),
        _row("page-rerun-1m-memory", scene.memory_mb, None, "MB"),
    ]


def main(part: str, home: Path) -> None:
    found = _list(home) if part == "list" else {}
    if part == "write":
        write(home)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
