"""The served app with a million scored customers and 50 visitors at once, over the real WebSocket protocol.

Visitors think 8 s between two clicks and follow the desk as a browser does. Three scenes, each with visitors of its own: going
from page to page, trying what-ifs on a customer, and filtering by combinations nobody has asked for before. A time is from
sending a click to the end of the script it caused, as a visitor's own machine sees it; the load client and whatever else runs
share the two cores with the server. So the server's own processor time a run stands beside each figure: that is what
other programs do not stretch. `CHURN_BENCH_ROWS`, `…_VISITORS` and `…_CLICKS` make a smaller rehearsal.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from serve import THREADS

ROOT = Path(__file__).resolve().parents[1]
ROWS = int(os.environ.get("CHURN_BENCH_ROWS", 1_000_000))
VISITORS = int(os.environ.get("CHURN_BENCH_VISITORS", 50))
CLICKS = int(os.environ.get("CHURN_BENCH_CLICKS", 10))
THINK_S = 8.0
_TRAINED_ON = 20_000
_CHROMIUM = os.environ.get("CHURN_CHROMIUM", "/usr/bin/chromium")
_CLOCK = os.sysconf("SC_CLK_TCK")


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; about eight minutes, of which three for the base."""
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(os.environ.get("CHURN_BENCH_HOME", place))
        if not (home / "models").exists():
            subprocess.run([sys.executable, "-m", "benchmarks.page", str(home)], env=_environment(home, 1), cwd=ROOT, check=True)
        return _serve_and_measure(home)


def _row(name: str, value: float, target: str | None, unit: str) -> dict[str, Any]:
    row = {"name": f"page-{name}", "value": value, "target": target, "unit": unit}
    return row | {"peer": None, "peer_value": None, "ratio": None}


def _write(home: Path) -> None:
    """A workspace at `home`: a LightGBM model and a base scored by it."""
    from benchmarks.telco_like import customers
    from churn.data.infer import infer
    from churn.data.quality import conform
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
    schema = infer(raw, key="customerID", target="Churn", positive="Yes").schema
    table = conform(raw, schema, target=True)
    trained = train(table, schema, settings=settings, trials=1, candidates=("lightgbm",), threads=1)
    write_bundle(trained, home / "bundle", simulated=False)
    model = registry.load_model(registry.publish_model(home / "bundle"))
    rows = score(conform(customers(ROWS, seed=2).drop("Churn"), schema), model.model)
    publish(rows, model, registry, store, as_of=date.today(), who="bench", action="promote")


# -- the server ------------------------------------------------------------------


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    url: str

    def cpu_s(self) -> float:
        """Processor time of the server and all its threads so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _CLOCK

    def memory_mb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _environment(home: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "STREAMLIT_"))}
    extra = {"CHURN_BENCH_ROWS": str(ROWS)} if port == 1 else {"CHURN_PORT": str(port)}
    return kept | {"CHURN_HOME": str(home)} | THREADS | extra


@contextmanager
def _served(home: Path) -> Iterator[tuple[_Server, float]]:
    """The app on a free port, and the seconds until it said it was ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(ROOT / "serve.py")], env=_environment(home, port), cwd=home)
    try:
        url = f"http://127.0.0.1:{port}"
        while not _ready(url):
            if process.poll() is not None:
                raise RuntimeError("the app did not start")
            time.sleep(0.02)
        yield _Server(process, url), time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(20)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


# -- visitors ----------------------------------------------------------------------


@dataclass
class _Scene:
    """What visitors of one kind saw: seconds of each click, the server's processor seconds, what went wrong."""

    seconds: list[float] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    memory_mb: float = 0.0

    def p(self, share: float) -> float:
        """A percentile of the clicks, ms: the nearest rank."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def cpu_ms(self) -> float:
        """The server's processor time a click, what the desk's following costs included, ms."""
        return 1e3 * self.cpu_s / max(1, len(self.seconds))


_Click = Callable[[Any, int], Awaitable[Any]]


async def _scene(server: _Server, prepare: _Click, click: _Click) -> _Scene:
    from benchmarks.streamlit_client import Visitor

    found = _Scene()
    visitors = [Visitor(server.url) for _ in range(VISITORS)]
    for number, visitor in enumerate(visitors):
        await visitor.open()
        await prepare(visitor, number)
    begun = server.cpu_s()

    async def live(visitor: Visitor, number: int) -> None:
        draw = random.Random(number)
        await asyncio.sleep(draw.random() * THINK_S)
        visitor.follow()
        for turn in range(CLICKS):
            answer = await click(visitor, turn)
            found.seconds.append(answer.seconds)
            if not answer.good:
                found.wrong.append("a script did not finish")
            await asyncio.sleep(draw.expovariate(1 / THINK_S))

    await asyncio.gather(*(live(visitor, number) for number, visitor in enumerate(visitors)))
    found.cpu_s = server.cpu_s() - begun
    found.memory_mb = server.memory_mb()
    for visitor in visitors:
        found.wrong += visitor.exceptions
        found.ticks += [tick.seconds for tick in visitor.ticks]
        await visitor.close()
    if found.wrong:
        raise RuntimeError(f"{len(found.wrong)} runs failed, such as: {found.wrong[0]}")
    return found


async def _nothing(visitor: Any, number: int) -> None:
    """Stay on the first page."""


async def _switch(visitor: Any, turn: int) -> Any:
    """To the next page of the menu."""
    names = sorted(visitor.pages)
    return await visitor.run(names[(turn + 1) % len(names)])


async def _open_customer(visitor: Any, number: int) -> None:
    await visitor.run("customer")
    await visitor.set("_search", "string_value", f"{number * 997 % ROWS:07d}")
    if not _sliders(visitor):
        raise RuntimeError(f"no what-if came up; there are {sorted(visitor.widgets)}")


def _sliders(visitor: Any) -> list[tuple[str, Any]]:
    return [
        (key, element) for key, (_, element) in visitor.widgets.items() if key.startswith("_edit ") and hasattr(element, "step")
    ]


async def _edit(visitor: Any, turn: int) -> Any:
    """Another charge: the fragment of the what-if runs."""
    key, slider = _sliders(visitor)[0]
    places = int((slider.max - slider.min) / slider.step)
    return await visitor.set(key, "double_array_value", [slider.min + slider.step * ((turn * 37 + 11) % places)])


def _filtering(first: dict[str, tuple[str, ...]]) -> _Click:
    """Clicks that each choose a combination of groups never chosen before."""

    def subsets(labels: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [some for size in range(len(labels) + 1) for some in itertools.combinations(labels, size)]

    combinations = list(itertools.product(*(subsets(labels) for labels in first.values())))[1:]
    random.Random(7).shuffle(combinations)
    fresh = iter(combinations)

    async def click(visitor: Any, turn: int) -> Any:
        chosen = dict(zip(first, next(fresh), strict=True))
        *others, last = first
        for key in others:  # the browser sends the whole state; the last change is what runs
            visitor.keep(key, "string_array_value", chosen[key])
        return await visitor.set(last, "string_array_value", chosen[last])

    return click


def _pills(visitor: Any) -> dict[str, tuple[str, ...]]:
    """The filters of the sidebar: key → labels."""
    found = {}
    for key, (_, element) in visitor.widgets.items():
        options = getattr(element, "raw_values", None) or getattr(element, "options", ())
        if getattr(element, "query_param_key", "") and options:
            found[key] = tuple(str(option) for option in options)
    return found


# -- the measurement -----------------------------------------------------------------


def _serve_and_measure(home: Path) -> list[dict[str, Any]]:
    with _served(home):
        pass  # the first start fills caches of the disk and of compiled code, as installing does
    with _served(home) as (server, ready_s):
        return [_row("ready", ready_s, "≤ 4", "s"), *asyncio.run(_measure(server)), *_browser(server)]


async def _measure(server: _Server) -> list[dict[str, Any]]:
    from benchmarks.streamlit_client import Visitor

    first = Visitor(server.url)
    opened = await first.open()
    rows = [_row("first-script", opened.seconds, "≤ .5", "s")]
    pills = _pills(first)
    await first.close()

    before = server.memory_mb()
    switch = await _scene(server, _nothing, _switch)
    rows += _rows("switch", switch, "≤ 75")
    rows.append(_row("memory-per-session", (switch.memory_mb - before) / VISITORS, "≤ 1", "MB"))
    what_if = await _scene(server, _open_customer, _edit)
    rows += _rows("what-if", what_if, "≤ 60")
    filtered = await _scene(server, _nothing, _filtering(pills))
    rows += _rows("filter-1m", filtered, "≤ 150")
    rows.append(_row("rss-50-sessions", max(switch.memory_mb, what_if.memory_mb, filtered.memory_mb), "≤ 600", "MB"))
    return rows


def _rows(name: str, scene: _Scene, target: str) -> list[dict[str, Any]]:
    return [
        _row(f"{name}-50-users-p95", scene.p(0.95), target, "ms"),
        _row(f"{name}-50-users-p50", scene.p(0.5), None, "ms"),
        _row(f"{name}-50-users-max", max(scene.seconds) * 1e3, None, "ms"),
        _row(f"{name}-server-cpu-a-click", scene.cpu_ms, None, "ms"),
    ]


def _browser(server: _Server) -> list[dict[str, Any]]:
    """Clicks from page to page in a real browser, until the other page's heading is there."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(server.url)
        page.wait_for_selector("h1")
        menu = page.locator("[data-testid=stSidebar] [data-testid=stPageLink] a")
        menu.nth(menu.count() - 1).wait_for()
        for turn in range(22):
            page.wait_for_timeout(400)
            before = page.locator("h1").first.inner_text()
            link = menu.nth((turn + 1) % 2 * (menu.count() - 1))
            started = time.perf_counter()
            link.click()
            page.wait_for_function(
                "before => { const h = document.querySelector('h1'); return h && h.innerText !== before }", arg=before, polling=10
            )
            taken.append(time.perf_counter() - started)
        browser.close()
    taken = sorted(taken[2:])  # the first visit of each page fetches its scripts
    return [_row("browser-click-p95", 1e3 * taken[int(0.95 * len(taken))], "≤ 400", "ms")]


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
