"""The served app: Streamlit as an ASGI application under uvicorn, warmed before it says it is ready.

`uvicorn serve:app` and `python serve.py` serve it; `run(settings)` is what `churn app` calls. Plain
`streamlit run streamlit_app.py` shows the same pages, without the warm start and the routes.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import streamlit as st

    from churn.settings import Settings
    from pages.shared.data import Pair

# Under contention one thread a process cut the 95th percentile of an edit from 1,233 to 44 ms. It has to be said before anything
# loads numpy, and how many heaps there are before the process begins.
THREADS = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
os.environ.setdefault("OMP_NUM_THREADS", THREADS["OMP_NUM_THREADS"])
_log = logging.getLogger("churn.app")
HERE = Path(__file__).resolve().parent
_COLLECT_EVERY_S = 5.0
if str(HERE) not in sys.path:  # `churn app` starts from anywhere
    sys.path.insert(0, str(HERE))


def __getattr__(name: str) -> Any:
    """`serve.app`, made when it is asked for: the command imports this module only to start a process of its own."""
    if name != "app":
        raise AttributeError(name)
    return globals().setdefault("app", build())


def build() -> st.App:
    """The ASGI application: the pages, `/health` and `/ready`."""
    import asyncio
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    import streamlit as st
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
    from streamlit.runtime.pages_manager import PagesManager

    from pages.shared import data, guard, widgets

    _collect_seldom()
    # Streamlit 1.67 takes a folder named `pages` for its old page scheme until the first script has run: on a cold server
    # the first deep link would then run a page without the frame around it.
    PagesManager.uses_pages_directory = False

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[None]:
        desk = data.desk()
        _allow(desk.settings.hosts)
        desk.prepare = _prepare
        await asyncio.to_thread(desk.warm)
        desk.watch()
        yield
        desk.stop()

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        state = data.desk().state()
        return JSONResponse(state, status_code=200 if state["ready"] else 503)

    return st.App(
        HERE / "streamlit_app.py",
        lifespan=lifespan,
        routes=[Route("/health", health), Route("/ready", ready)],
        middleware=[Middleware(guard.Guard, headers=guard.headers(guard.index_page()))],
        on_script_error=widgets.unexpected,
    )


def _prepare(pair: Pair) -> None:
    """Work out, before anybody sees a pair, what the first visitor of every page would otherwise wait for.

    A page that cannot be prepared takes no other with it, nor the desk: whoever opens it sees what is wrong.
    """
    from churn.errors import ChurnError
    from pages.act import call_list, value
    from pages.understand import cohorts, explain, overview
    from pages.watch import drift, performance

    pair.prepare()
    for page in (overview, cohorts, explain, value, call_list, drift, performance):
        try:
            page.prepare(pair)
        except ChurnError:  # such as a list that may not be made: the page says so
            continue
        except Exception:  # noqa: BLE001  # a defect of one page, kept from all others here or nowhere
            _log.exception("%s could not be prepared", page.__name__)


def _allow(hosts: str) -> None:
    """Add names to those of the configuration; Streamlit reads its own variables only where its own command starts it."""
    from streamlit import config

    named = [host.strip() for host in hosts.split(",") if host.strip()]
    if named:
        config.set_option("server.allowedHosts", ["localhost", "127.0.0.1", "::1", *named])


def _collect_seldom() -> None:
    """Have the collection that follows every run of a script happen at most once in five seconds.

    Streamlit 1.67 collects everything after every run, those that merely look for a new pair included; with 50 sessions that
    was half the processor time of the server and stood in everybody's way. Without any, memory grows without bound; what
    five seconds leave behind does not matter, while of one collection a second every tenth click would feel the pause.
    """
    import gc
    import threading
    import time
    from types import SimpleNamespace

    from streamlit.runtime.scriptrunner import script_runner

    lock, last = threading.Lock(), [0.0]

    def collect(generation: int = 2) -> int:
        with lock:
            if (now := time.monotonic()) - last[0] < _COLLECT_EVERY_S:
                return 0
            last[0] = now
        return gc.collect(generation)

    script_runner.gc = SimpleNamespace(collect=collect)  # type: ignore[assignment, attr-defined]


def run(settings: Settings) -> NoReturn:
    """Replace this process by the server of one workspace, at `settings.address` and `settings.port`.

    A process of its own, because the command's imports would stay in the server's memory, and because the number of
    arithmetic threads has to be set before numpy is loaded, and that of heaps before anything is: every visitor's script runs in
    a thread of its own, and what one of them let go of in its own heap serves no other.
    """
    environ = dict(os.environ, CHURN_HOME=str(settings.home), **THREADS)
    for item in fields(settings):
        if item.name != "home":
            environ[f"CHURN_{item.name.upper()}"] = str(getattr(settings, item.name))
    os.execve(sys.executable, [sys.executable, str(HERE / "serve.py")], environ)


def main() -> None:
    """Serve with the settings of the environment until interrupted. Raises SettingsError for an address it may not listen at."""
    import socket
    import sys

    import uvicorn

    app = build()
    from churn.principal import visitor
    from pages.shared import data

    settings = data.desk().settings
    visitor(settings)
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        listening = socket.create_server((settings.address, settings.port), family=family, backlog=2048)
    except OSError as error:  # somebody was faster since the command looked
        why = os.strerror(error.errno or 0)
        sys.exit(f"port {settings.port} of {settings.address} cannot be used ({why}); choose another with --port")
    server = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=32 * 2**20,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(server).run(sockets=[listening])


if __name__ == "__main__":
    main()
