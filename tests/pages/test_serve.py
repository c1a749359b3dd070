"""The served app: what it answers besides pages, how it starts, how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit import config as streamlit_config
from streamlit.testing.v1 import AppTest

import serve as served
from churn.act import profit
from churn.errors import DataError
from churn.settings import Settings
from pages.act import call_list, value
from pages.shared import data

from .page_bases import REPOSITORY


def ask(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health_ready_and_a_quiet_end(workspace: Path, serve: Callable[..., Any]) -> None:
    app = serve(workspace)
    assert ask(f"{app.url}/health") == (200, {"status": "ok"})
    status, state = ask(f"{app.url}/ready")
    assert status == 200
    assert state["ready"] is True
    assert state["model"] == "v1"
    app.process.terminate()
    app.process.wait(20)
    assert app.log.read_text() == ""


def test_not_ready_while_there_is_nothing_to_show_for_a_fault(tmp_path: Path, serve: Callable[..., Any]) -> None:
    store = tmp_path / "models" / "default"
    store.mkdir(parents=True)
    (store / "pointer.json").write_bytes(b"{")
    status, state = ask(f"{serve(tmp_path).url}/ready")
    assert status == 503
    assert "damaged" in state["failure"]


_ON_THE_WAY = ("model facts",)  # asked only while another answer is worked out


def _timeless(key: Any) -> Any:
    """What is known of the log is looked at again every minute; which minute it is tells nothing."""
    return key[:-1] if isinstance(key, tuple) and key[0] in ("drift", "log") else key


def test_what_pages_open_with_is_prepared(
    workspace: Path, run_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question that is asked beforehand is one that a page opens with, word for word."""
    for place in (profit, value, call_list):  # the model of the small base was never judged; let it count as calibrated
        monkeypatch.setattr(place, "doubt", lambda *_: None)
    app = run_page(workspace)
    pair = data.desk().pair
    assert pair is not None
    pair._answers.clear()
    served._prepare(pair)
    prepared = {_timeless(key) for key in pair._answers if isinstance(key, tuple) and key[0] not in _ON_THE_WAY}
    asked, answer = [], data.Pair.answer

    def listening(self: data.Pair, key: Any, work: Callable[[], Any]) -> Any:
        asked.append(_timeless(key))
        return answer(self, key, work)

    monkeypatch.setattr(data.Pair, "answer", listening)
    pages = ("understand/overview", "understand/cohorts", "understand/explain", "act/value", "act/call_list")
    pages = (*pages, "watch/drift", "watch/performance")
    for page in pages:
        app.switch_page(str(REPOSITORY / f"pages/{page}.py")).run()
        assert not app.exception
    assert prepared <= set(asked)
    kinds = {key[0] for key in prepared}
    assert [key for key in asked if isinstance(key, tuple) and key[0] in kinds and key not in prepared] == []
    assert kinds >= {"cohort table", "riskiest", "influences", "profit", "gains", "list rows"}


def test_a_page_that_cannot_be_prepared_takes_no_other_with_it(
    workspace: Path, run_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pages.understand import cohorts, overview

    run_page(workspace)
    pair, prepared = data.desk().pair, []
    assert pair is not None

    def broken(_: data.Pair) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(overview, "prepare", broken)
    monkeypatch.setattr(cohorts, "prepare", prepared.append)
    served._prepare(pair)
    assert prepared == [pair]
    assert "pages.understand.overview could not be prepared" in caplog.text


def test_a_look_that_fails_unexpectedly_ends_no_desk(
    workspace: Path, run_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(workspace)
    desk = data.desk()
    looks: list[int] = []

    def broken(self: data.Desk) -> None:
        looks.append(1)
        if len(looks) == 3:
            self._stopped.set()
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(data.Desk, "look", broken)
    monkeypatch.setattr(desk, "settings", dataclasses.replace(desk.settings, refresh_s=0.01))
    desk._watch()
    desk._stopped.clear()
    assert len(looks) == 3
    assert desk.pair is not None
    assert desk.state()["failure"] == "it failed unexpectedly (ZeroDivisionError)"


def test_run_hands_its_settings_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is a process of its own; it reads from the environment exactly what it was given."""
    handed: dict[str, Any] = {}

    def execve(program: str, arguments: list[str], environ: dict[str, str]) -> None:
        handed.update(program=program, arguments=arguments, environ=environ)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("CHURN_PORT", "1")
    given = Settings.load("elsewhere", home=tmp_path, environ={}, port=8765, refresh_s=3.5, store="some/store")
    served.run(given)
    assert handed["arguments"] == [sys.executable, str(REPOSITORY / "serve.py")]
    assert Settings.load(environ=handed["environ"]) == given
    assert (handed["environ"]["OMP_NUM_THREADS"], handed["environ"]["MALLOC_ARENA_MAX"]) == ("1", "2")


def test_unexpected_errors_show_no_details() -> None:
    def page() -> None:
        from pages.shared import widgets

        assert widgets.unexpected(RuntimeError("secret detail"))

    app = AppTest.from_function(page).run()
    assert len(app.error) == 1
    assert "secret" not in app.error[0].value


def test_known_errors_are_shown_as_they_are() -> None:
    def page() -> None:
        from churn.errors import DataError
        from pages.shared import widgets

        assert widgets.unexpected(DataError("column 'a' must be ≥ 0; row 1 has -3"))

    app = AppTest.from_function(page).run()
    assert app.error[0].value.replace("\\", "") == str(DataError("column 'a' must be ≥ 0; row 1 has -3"))


def test_production_configuration() -> None:
    options = {
        "client.showErrorDetails": "none",
        "client.disableDataExport": True,
        "browser.gatherUsageStats": False,
        "server.enableAgentApi": False,
        "server.fileWatcherType": "none",
        "server.disconnectedSessionTTL": 30,
        "server.address": "127.0.0.1",
    }
    streamlit_config._main_script_path = str(REPOSITORY / "streamlit_app.py")
    streamlit_config.get_config_options(force_reparse=True)
    assert {name: streamlit_config.get_option(name) for name in options} == options
    assert "*" not in streamlit_config.get_option("server.allowedHosts")
