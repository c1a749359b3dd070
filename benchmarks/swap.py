"""Champions that change under open pages: promotions, rollbacks and scoring runs at once, and nobody sees or gets a mixture.

Sessions go from page to page over the real WebSocket protocol while one thread promotes and rolls back and a process of its own
scores the base anew, again and again, each time as another table. Afterwards everything that was kept is held against the model
it names: each row of each scoring and of each part of the log is scored once more. `CHURN_BENCH_ROWS`, `…_VISITORS` and
`…_SWAPS` make a smaller rehearsal.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

_ROOT = Path(__file__).resolve().parents[1]
ROWS = int(os.environ.get("CHURN_BENCH_ROWS", 20_000))
SESSIONS = int(os.environ.get("CHURN_BENCH_VISITORS", 20))
SWAPS = int(os.environ.get("CHURN_BENCH_SWAPS", 50))
_TABLES = 4  # that the scoring run takes in turn; their numbers of rows tell them apart
_TRAINED_ON = 10_000
_THINK_S = (0.5, 2.0)
_LINE = re.compile(r"All ([\d,]+) customers · .* · model (v\d+),")
_TITLE = re.compile(r"^([\d,]+) of ([\d,]+) customers are expected to leave")
_NEAR = 1e-9  # between a risk that was kept and the same risk worked out again

Pairs = dict[tuple[str, int], int]  # version and number of customers → expected leavers, as the page prints them


@dataclass
class Found:
    """What came of it. `mixed_pages`: pages whose figures are not of the pair they name; `mixed_rows`: kept rows that the model
    they name scores otherwise; `follow_s`: seconds after the last change until every session showed it; `told`: changes and
    scorings that came second and said so."""

    promotions: int = 0
    rollbacks: int = 0
    scorings: int = 0
    told: int = 0
    pages: int = 0
    seen: set[tuple[str, int]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    mixed_pages: list[str] = field(default_factory=list)
    rows: int = 0
    mixed_rows: int = 0
    follow_s: float = 0.0


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; about five minutes."""
    from benchmarks.page import _served

    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(place)
        tables = _write(home)
        with _served(home) as (server, _):
            found = swap(home, server.url, tables, sessions=SESSIONS, changes=SWAPS)
    figures: list[tuple[str, float, str | None, str]] = [
        ("changes", found.promotions + found.rollbacks, f"≥ {SWAPS}", ""),
        ("scorings-meanwhile", found.scorings, None, ""),
        ("told-they-came-second", found.told, None, ""),
        ("pages-drawn", found.pages, None, ""),
        ("page-errors", len(found.errors), "≤ 0", ""),
        ("mixed-pages", len(found.mixed_pages), "≤ 0", ""),
        ("rows-kept", found.rows, None, ""),
        ("mixed-rows", found.mixed_rows, "≤ 0", ""),
        ("all-sessions-follow", found.follow_s, "≤ 30", "s"),
    ]
    nobody = {"peer": None, "peer_value": None, "ratio": None}
    return [
        {"name": f"swap-{name}", "value": value, "target": target, "unit": unit} | nobody for name, value, target, unit in figures
    ]


def swap(home: Path, url: str, tables: Sequence[pl.DataFrame], *, sessions: int, changes: int) -> Found:
    """Let sessions live on the app at `url` while the champion of the workspace at `home` changes again and again.

    Parameters
    ----------
    tables: conformed, each with another number of rows; the first is on the desk, scored by one of several versions.
    """
    return asyncio.run(_swap(home, url, tables, sessions, changes))


async def _swap(home: Path, url: str, tables: Sequence[pl.DataFrame], sessions: int, changes: int) -> Found:
    from benchmarks.streamlit_client import Visitor

    found, over = Found(), asyncio.Event()
    registry, _ = _workspace(home)
    models = {info.version: registry.load_model(info.version).model for info in registry.versions()}
    pairs: Pairs = {
        (version, table.height): round(float(model.score(table).risk.sum()))
        for version, model in models.items()
        for table in tables
    }
    visitors = [Visitor(url) for _ in range(sessions)]

    async def live(visitor: Visitor, draw: random.Random) -> None:
        await visitor.open()
        visitor.follow()
        while not over.is_set():
            _look(await visitor.run(draw.choice(sorted(visitor.pages))), pairs, found)
            await asyncio.sleep(draw.uniform(*_THINK_S))

    stop = home / "stop"
    files = [home / f"table-{number}.parquet" for number in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        table.write_parquet(file)
    command = [sys.executable, "-m", "benchmarks.swap", str(home), str(stop), *map(str, files)]
    scorer = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    living = [asyncio.create_task(live(visitor, random.Random(number))) for number, visitor in enumerate(visitors)]
    await asyncio.to_thread(_change_on, home, changes, found)
    stop.touch()
    printed, _ = await asyncio.to_thread(scorer.communicate, timeout=120)
    if scorer.returncode != 0:
        found.errors.append(f"the scoring run ended with {scorer.returncode}")
    else:
        found.scorings, told = json.loads(printed)
        found.told += told
    await _all_follow(visitors, registry, found)
    over.set()
    await asyncio.gather(*living)
    for visitor in visitors:
        for tick in visitor.ticks:
            _look(tick, pairs, found)
        found.errors += visitor.exceptions
        found.errors += [alert for alert in visitor.alerts if "could not be drawn" in alert]
        await visitor.close()
    _hold_against(home, found)
    return found


def _look(answer: Any, pairs: Pairs, found: Found) -> None:
    """A page that was drawn: it ended well, and its figures are of the pair it names."""
    found.pages += 1
    if not answer.good:
        found.errors.append("a script did not finish")
    lines = [named for text in answer.texts if (named := _LINE.search(text.replace("\\", "")))]
    named = {(line[2], int(line[1].replace(",", ""))) for line in lines}
    found.seen |= named
    told = [title for text in answer.texts if (title := _TITLE.match(text.replace("\\", "")))]
    figures = {(int(title[1].replace(",", "")), int(title[2].replace(",", ""))) for title in told}
    wanted = {(pairs.get(pair), pair[1]) for pair in named}
    if len(named) > 1 or (figures and not figures <= wanted):
        found.mixed_pages.append(f"{sorted(named)} with {sorted(figures)}")


async def _all_follow(visitors: Sequence[Any], registry: Any, found: Found) -> None:
    """Wait until every session shows the last pair; a fragment of each looks for it by itself."""
    begun = time.monotonic()
    last = registry.pointer()
    for visitor in visitors:
        while True:
            lines = [named for text in (await visitor.run()).texts if (named := _LINE.search(text.replace("\\", "")))]
            if {line[2] for line in lines} == {last.model}:
                break
            if time.monotonic() - begun > 120:
                found.errors.append("a session still shows an older model after two minutes")
                break
            await asyncio.sleep(0.2)
    found.follow_s = time.monotonic() - begun


def _workspace(home: Path) -> tuple[Any, Any]:
    from churn.model.registry import Registry
    from churn.model.store import open_store
    from churn.settings import Settings

    settings = Settings.load(home=home, environ={})
    return Registry(open_store(settings), settings), settings


def _change_on(home: Path, changes: int, found: Found) -> None:
    """Promote and roll back until so many changes have won; whoever comes second looks again."""
    from churn.errors import NotInStore, StoreConflict
    from churn.model.store import open_store
    from churn.score.promotion import promote

    registry, settings = _workspace(home)
    versions = sorted(info.version for info in registry.versions())
    draw = random.Random(7)
    while found.promotions + found.rollbacks < changes:
        now = registry.pointer()
        try:
            if draw.random() < 0.4:
                registry.rollback("ben", "worse", seen=now)
                found.rollbacks += 1
            else:
                other = draw.choice([name for name in versions if name != now.model])
                promote(other, registry, open_store(settings), settings, who="ann", reason="try", despite_gates=True, seen=now)
                found.promotions += 1
        except (StoreConflict, NotInStore):
            found.told += 1
        time.sleep(draw.uniform(0.1, 1.0))


def _score_on(home: Path, stop: Path, files: Sequence[Path]) -> None:
    """Score the base and publish it, as `churn score --publish` does, until the file `stop` is there; print how often that won
    and how often it came second."""
    from churn.errors import StoreConflict
    from churn.model.store import open_store
    from churn.score.batch import score
    from churn.score.publish import publish

    registry, settings = _workspace(home)
    frames = [pl.read_parquet(file) for file in files]
    turn, scored = 0, [0, 0]
    while not stop.exists():
        turn += 1
        pointer = registry.pointer()
        model = registry.load_model(pointer.model)
        rows = score(frames[turn % len(frames)], model.model)
        try:
            publish(rows, model, registry, open_store(settings), as_of=date.today(), who="night run")
            scored[0] += 1
        except StoreConflict:
            scored[1] += 1
        time.sleep(0.5)
    print(json.dumps(scored))


def _hold_against(home: Path, found: Found) -> None:
    """Score again what was kept: every row of every scoring, and of every part of the log, by the model it names."""
    from churn.base.snapshot import RISK, ROWS
    from churn.model.store import open_store
    from churn.score import log

    registry, settings = _workspace(home)
    models: dict[str, Callable[[pl.DataFrame], Any]] = {}

    def again(model: str, table: pl.DataFrame) -> None:
        if model not in models:
            models[model] = registry.load_model(model).model.score
        wrong = np.abs(models[model](table).risk - table[RISK].to_numpy()) > _NEAR
        found.rows += len(wrong)
        found.mixed_rows += int(wrong.sum())

    for info in registry.scorings():
        again(info.model, pl.read_parquet(registry.scoring_folder(info.id) / ROWS))
    store = open_store(settings)
    for model in {part.model for part in log.parts(store)}:
        again(model, log.read(store, model=model))


def _write(home: Path) -> list[pl.DataFrame]:
    """A workspace with three versions, and the tables that are scored."""
    from benchmarks.telco_like import customers
    from churn.data.infer import infer
    from churn.data.quality import conform
    from churn.learn.training import train, write_bundle
    from churn.model.store import open_store
    from churn.score.batch import score
    from churn.score.publish import publish

    registry, settings = _workspace(home)
    raw = customers(_TRAINED_ON, seed=1)
    schema = infer(raw, key="customerID", target="Churn", positive="Yes").schema
    for number, (kind, seed) in enumerate((("lightgbm", 1), ("logistic-regression", 1), ("lightgbm", 3))):
        table = conform(customers(_TRAINED_ON, seed=seed), schema, target=True)
        trained = train(table, schema, settings=settings, trials=1, candidates=(kind,), threads=1)
        write_bundle(trained, home / f"bundle-{number}", simulated=False)
        registry.publish_model(home / f"bundle-{number}")
    whole = conform(customers(ROWS, seed=2).drop("Churn"), schema)
    tables = [whole.head(ROWS - 10 * number) for number in range(_TABLES)]
    model = registry.load_model("v1")
    first = score(tables[0], model.model)
    publish(first, model, registry, open_store(settings), as_of=date.today(), who="bench", action="promote")
    return tables


if __name__ == "__main__":
    _score_on(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
