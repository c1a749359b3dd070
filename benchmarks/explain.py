"""The page Explain over a million customers, and what their reasons cost beside their scores.

`explain-page-1m-stored`: from the click in the menu until title and first chart are there, in a browser, on a server that has
just started, so that no answer is remembered; the points come from the scoring. `explain-page-1m-filtered`: from a click on a
filter that nobody has asked for until the title has changed. Browser, server and whatever else runs share the cores, so the
server's own processor time for the whole page stands beside. `explain-page-1m-afresh`: what the page would take if no points
were kept: all of them are worked out by the model and added up first, on one core (processor time), then the page is drawn.
`explain-reasons-1m`: how many times as long it takes to score a million customers with their three strongest reasons as to score
them alone, on one core. Medians. Memory is what comes to a process by it. `CHURN_BENCH_HOME` keeps the workspace of
`benchmarks.page` for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page import _CHROMIUM, ROOT, _environment, _served

_STARTS = 3
_REPEATS = 3
_TITLE = "() => /matters? most/.test(document.querySelector('h1')?.innerText ?? '')"
_CHART = "() => document.querySelector('.st-key-_place_matters .annotation-text')"


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; some two minutes, of which half a minute for the base."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(os.environ.get("CHURN_BENCH_HOME", place))
        if not (home / "models").exists():
            home.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, "-m", "benchmarks.page", str(home)], env=_environment(home, 1), cwd=ROOT, check=True)
        reasons = _measure("reasons", home)
        afresh = _measure("afresh", home)
        pages = [_page(home) for _ in range(_STARTS)]
    stored = _middle([page["stored"] for page in pages])
    scoring = {"peer": "scoring alone", "peer_value": reasons["alone"]}
    return [
        _row("page-1m-stored", stored, "≤ 1"),
        _row("page-1m-stored-server-cpu", _middle([page["cpu"] for page in pages]), None),
        _row("page-1m-stored-memory", _middle([page["memory"] for page in pages]), None, "MB"),
        _row("page-1m-filtered", _middle([page["filtered"] for page in pages]), None),
        _row("page-1m-afresh", afresh["seconds"] + stored, "≤ 4"),
        _row("page-1m-afresh-memory", afresh["memory"], None, "MB"),
        _row("reasons-1m", reasons["reasons"] / reasons["alone"], "≤ 2", "×"),
        _row("reasons-1m-seconds", reasons["reasons"], None, "s", **scoring),
        _row("reasons-1m-memory", reasons["memory"], None, "MB"),
    ]


def _row(name: str, value: float, target: str | None, unit: str = "s", **more: Any) -> dict[str, Any]:
    row = {"name": f"explain-{name}", "value": value, "target": target, "unit": unit}
    return row | {"peer": None, "peer_value": None, "ratio": None} | more


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _page(home: Path) -> dict[str, float]:
    """A server that has just started, and its first visitor on the page."""
    from playwright.sync_api import sync_playwright

    with _served(home) as (server, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(server.url)
        page.wait_for_selector(".js-plotly-plot .annotation-text")
        page.wait_for_timeout(1000)
        before, spent = server.memory_mb(), server.cpu_s()
        started = time.perf_counter()
        page.get_by_test_id("stSidebar").get_by_role("link", name="Explain").click()
        page.wait_for_function(_TITLE, polling=10)
        page.wait_for_function(_CHART, polling=10)
        stored = time.perf_counter() - started
        page.wait_for_timeout(2500)  # the rest of the page
        memory, spent = server.memory_mb() - before, server.cpu_s() - spent
        title = page.locator("h1").first.inner_text()
        started = time.perf_counter()
        page.get_by_test_id("stSidebar").get_by_role("button", name="One year").first.click()
        page.wait_for_function("was => document.querySelector('h1')?.innerText !== was", arg=title, polling=10)
        page.wait_for_function(_TITLE, polling=10)
        filtered = time.perf_counter() - started
        browser.close()
    return {"stored": stored, "filtered": filtered, "memory": memory, "cpu": spent}


# -- inside a process of its own -----------------------------------------------


def _measure(part: str, home: Path) -> dict[str, float]:
    one_core = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.explain", part, str(home)]
    done = subprocess.run(
        command, env={**_environment(home, 1), **one_core}, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _model_and_rows(home: Path) -> tuple[Any, Any]:
    import polars as pl

    from churn.base.snapshot import ROWS
    from churn.model.registry import Registry
    from churn.model.store import open_store
    from churn.settings import Settings

    settings = Settings.load(home=home, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    assert pointer.scoring is not None
    model = registry.load_model(pointer.model).model
    return model, pl.read_parquet(registry.scoring_folder(pointer.scoring) / ROWS, columns=list(model.schema.names))


def _reasons(home: Path) -> dict[str, float]:
    model, rows = _model_and_rows(home)
    model.top_reasons(rows.head(10), 3)  # what is made on first use
    before = _memory()
    alone, reasons = [], []
    for _ in range(_REPEATS):
        alone.append(_cpu(lambda: model.score(rows)))
        reasons.append(_cpu(lambda: model.top_reasons(rows, 3)))
    return {"alone": _middle(alone), "reasons": _middle(reasons), "memory": _peak() - before}


def _afresh(home: Path) -> dict[str, float]:
    """All points worked out, a part of the rows at a time, and added up by column."""
    import numpy as np

    from churn.score.batch import CHUNK

    model, rows = _model_and_rows(home)
    model.explain(rows.head(10))
    before = _memory()

    def means() -> Any:
        total = np.zeros((2, len(model.schema.names)))
        for start in range(0, rows.height, CHUNK):
            points = model.explain(rows.slice(start, CHUNK)).points
            total += points.sum(axis=0), np.abs(points).sum(axis=0)
        return total / rows.height

    return {"seconds": _middle([_cpu(means) for _ in range(_REPEATS)]), "memory": _peak() - before}


def _cpu(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _memory() -> float:
    """Resident memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _peak() -> float:
    """The most it ever was, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps((_reasons if sys.argv[1] == "reasons" else _afresh)(Path(sys.argv[2]))))
