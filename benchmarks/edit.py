"""An edit of one customer in a real browser, from the click to the redrawn chart, with a million customers behind the page.

The time is taken inside the browser: from the click on a field until the waterfall prints another risk. The machine serves, draws
and measures at once. `CHURN_BENCH_ROWS` makes a smaller rehearsal, `CHURN_BENCH_HOME` keeps the base between two runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.page import _CHROMIUM, ROOT, _environment, _served, _Server

EDITS = 60
_WARM = 4  # the first ones fetch scripts
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# Clicks the next of the options that are not chosen, and resolves once the chart's last figure is another one.
_EDIT = """() => new Promise((resolve, reject) => {
  const figure = () => [...document.querySelectorAll('.js-plotly-plot .textpoint text')].at(-1)?.textContent;
  const options = [...document.querySelectorAll('.st-key-_what_if [class*="st-key-_edit"] [role=radio][aria-checked=false]')];
  const before = figure(), started = performance.now();
  options[0].click();
  const look = () => {
    if (figure() !== undefined && figure() !== before) return resolve(performance.now() - started);
    if (performance.now() - started > 3000) return resolve(-1);
    requestAnimationFrame(look);
  };
  look();
})"""


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; about four minutes, of which three for the base."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(os.environ.get("CHURN_BENCH_HOME", place))
        if not (home / "models").exists():
            subprocess.run([sys.executable, "-m", "benchmarks.page", str(home)], env=_environment(home, 1), cwd=ROOT, check=True)
        with _served(home) as (server, _):
            taken = sorted(_edits(server)[_WARM:])
    return [
        _row("explain-edit-to-chart-p95", taken[int(0.95 * len(taken))], "≤ 300"),
        _row("explain-edit-to-chart-p50", taken[len(taken) // 2], None),
    ]


def _row(name: str, value: float, target: str | None) -> dict[str, Any]:
    row = {"name": name, "value": value, "target": target, "unit": "ms"}
    return row | {"peer": None, "peer_value": None, "ratio": None}


def _edits(server: _Server) -> list[float]:
    """Milliseconds of each edit that moved the risk as it is printed."""
    from playwright.sync_api import sync_playwright

    taken: list[float] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_QUIET)
        page = browser.new_context(bypass_csp=True, viewport={"width": 1440, "height": 900}).new_page()
        page.goto(f"{server.url}/customer")
        box = page.get_by_role("searchbox")
        box.fill("0000997")
        box.press("Enter")
        page.wait_for_selector(".js-plotly-plot .textpoint text")
        page.wait_for_timeout(2000)
        for _ in range(4 * EDITS):  # some edits move the risk by less than a point, which nobody can see
            milliseconds = float(page.evaluate(_EDIT))
            if milliseconds >= 0:
                taken.append(milliseconds)
            if len(taken) == EDITS + _WARM:
                break
            page.wait_for_timeout(250)
        browser.close()
    if len(taken) < EDITS // 2:
        raise RuntimeError(f"only {len(taken)} edits moved the risk on the page")
    return taken
