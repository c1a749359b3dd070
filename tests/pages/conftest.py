"""The served app and a browser for the tests of the pages."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.settings import Settings
from pages.shared import data

from .browsing import settled
from .page_bases import REAL, REPOSITORY, customers, environment, publish_model, publish_scoring, train_on

CHROMIUM = Path(os.environ.get("CHURN_CHROMIUM", "/usr/bin/chromium"))
_QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@dataclass
class Served:
    """A running app: its address, its process, and what it has printed."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Start the served app on a free port against a workspace, as `churn app` does; it ends with its module's tests."""
    started: list[subprocess.Popen[bytes]] = []

    def start(home: Path, **settings: object) -> Served:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = tmp_path_factory.mktemp("app") / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(REPOSITORY / "serve.py")],
                env=environment(home, port=port, **settings),
                cwd=home,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log)
        return Served(url, process, log)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"the app did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM} (set CHURN_CHROMIUM)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a fresh browser profile; the test fails on any request that leaves this machine."""
    contexts, strays = [], []

    def open_page(
        url: str, *, width: int = 1440, height: int = 900, dark: bool = False, guarded: bool = False, has_touch: bool = False
    ) -> Any:
        # Playwright waits for a condition by evaluating text, which the app's policy forbids: test_guard tests with the policy
        context = chromium.new_context(
            bypass_csp=not guarded,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=has_touch,
            timezone_id="Europe/Berlin",
            reduced_motion="reduce",
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: strays.append(request.url) if _leaves(request.url) else None)
        page.goto(url)
        page.wait_for_selector("h1")
        if not guarded:
            settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strays, f"requests to other machines: {strays}"


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


# -- workspaces ----------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The home of a workspace with a model and two scorings of 600 customers, a month apart."""
    model = publish_model(tmp_path)
    earlier = customers(600, seed=1).with_columns(monthly_fee=pl.col("monthly_fee") * 0.9).head(580)
    publish_scoring(tmp_path, model, date.today() - timedelta(days=30), earlier)
    publish_scoring(tmp_path, model, date.today())
    return tmp_path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, real_table: Callable[[str], Path]) -> Callable[[str], Path]:
    """The home of a workspace with a scored base: the small one, the demo, or a real table; each made once.

    Of several test processes one makes it and every one has a copy of its own.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    @cache
    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name) / "home"
        made = shared / f"base-{name}"
        with (shared / f"base-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                fill(name, home)
                shutil.copytree(home, made)
                return home
        shutil.copytree(made, home)
        return home

    def fill(name: str, home: Path) -> None:
        home.mkdir()
        if name == "demo":
            command = [sys.executable, "-c", "from churn.cli import main; main()", "--home", str(home), "demo"]
            subprocess.run(command, env=environment(home), cwd=REPOSITORY, check=True, capture_output=True, timeout=280)
        elif name == "small":
            publish_scoring(home, publish_model(home), date.today())
        else:
            file, *columns = REAL[name]
            train_on(home, real_table(file), *columns)

    return make


# -- pages without a browser -----------------------------------------------------


@pytest.fixture
def run_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """Run the app in this process against a workspace: a page, with what the session or the address already holds."""
    desks: list[data.Desk] = []

    def run(home: Path, page: str | None = None, *, session: dict[str, Any] | None = None, **address: list[str]) -> AppTest:
        desk = data.Desk(Settings.load(home=home, environ={}))
        desks.append(desk)
        monkeypatch.setattr(data, "_desk", desk)
        app = AppTest.from_file(str(REPOSITORY / "streamlit_app.py"), default_timeout=30)
        for key, value in (session or {}).items():
            app.session_state[key] = value
        for key, values in address.items():
            app.query_params[key] = values
        app.run()
        if page is not None:
            app.switch_page(str(REPOSITORY / page)).run()
        return app

    yield run
    for desk in desks:
        desk.stop()
