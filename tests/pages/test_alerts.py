"""Alerts on the page: read, settled with a reason, and nothing kept without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.base.records import Records
from churn.settings import Settings
from churn.watch import alerts, rules
from churn.watch.rules import Condition
from pages.shared import data

TODAY = date.today()


def _page() -> None:
    from pages.watch import _alerts

    _alerts.show()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[data.Desk]:
    made = data.Desk(Settings(home=tmp_path, data="data", user="ann"))
    monkeypatch.setattr(data, "_desk", made)
    yield made
    made.records.close()
    made.stop()


@pytest.fixture
def run(desk: data.Desk) -> Callable[[], AppTest]:
    return lambda: AppTest.from_function(_page, default_timeout=30).run()


def _open(records: Records, *subjects: str) -> tuple[str, ...]:
    found = [
        Condition(rules.COLUMN_MOVED, name, "v1", "raised", f"{name} has *moved* by 8 points.", TODAY, TODAY) for name in subjects
    ]
    return alerts.update(records, found, model="v1", today=TODAY, now=datetime.now(UTC)).opened


def _texts(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.success, *app.error))


def test_a_quiet_desk_says_so(run: Callable[[], AppTest]) -> None:
    said = _texts(run())
    assert "No alert is open" in said
    assert "What moves becomes an alert once found in 2 of the last 3 months" in said


def test_an_alert_is_seen_with_a_reason_and_not_without(desk: data.Desk, run: Callable[[], AppTest]) -> None:
    (id,) = _open(desk.records, "Fee")
    app = run()
    assert "1 alert waits for somebody to look" in _texts(app)
    assert "Fee has \\*moved\\* by 8 points." in _texts(app)
    app.button[0].click().run()
    assert "say why" in _texts(app)
    assert alerts.listed(desk.records)[0].state == "open"
    app.text_input(key=f"_why {id}").set_value("The spring price list")
    app.button[0].click().run()
    assert "ann has seen it: The spring price list" in _texts(app)
    assert "1 alert, all of them seen" in _texts(app)
    (kept,) = alerts.listed(desk.records)
    assert (kept.state, kept.who, kept.why) == ("acknowledged", "ann", "The spring price list")


def test_an_alert_is_left_aside_until_a_day(desk: data.Desk, run: Callable[[], AppTest]) -> None:
    (id,) = _open(desk.records, "Fee")
    app = run()
    app.radio(key=f"_what {id}").set_value("Leave it aside")
    app.text_input(key=f"_why {id}").set_value("Known")
    app.button[0].click().run()
    (kept,) = alerts.listed(desk.records)
    assert (kept.state, kept.until) == ("muted", TODAY + timedelta(weeks=4))
    assert "by ann: Known" in _texts(app)
    assert f"1 alert, 1 muted until {words.day(kept.until)} · " in _texts(app)


def test_many_alerts_are_folded_and_a_broken_database_is_said(
    desk: data.Desk, run: Callable[[], AppTest], tmp_path: Path
) -> None:
    _open(desk.records, *(f"Column {number}" for number in range(11)))
    assert [one.label for one in run().expander] == ["3 more alerts"]
    desk.records.close()
    for file in (tmp_path / "data").glob("records.sqlite*"):
        file.write_bytes(b"no database at all, but long enough to look like something" * 20)
    app = run()
    assert "Alerts cannot be read" in app.warning[0].value


@pytest.mark.browser
def test_a_journey_on_a_phone_from_the_alert_to_whoever_looks_next(
    workspace: Path, serve: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    with closing(Records(Settings.load(home=workspace, environ={}))) as records:
        (id,) = _open(records, "Monthly fee")
        url = serve(workspace, user="ann").url
        page = visit(f"{url}/drift", width=390, height=844)
        page.get_by_role("button", name="Settle").click()
        page.get_by_text("Leave it aside").click()
        page.get_by_label("Why").fill("The spring price list")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("by ann: The spring price list").wait_for()
        page.get_by_label("Why").wait_for(state="detached")  # the form has closed
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
        visit(f"{url}/drift").get_by_text("by ann: The spring price list").wait_for()
        (kept,) = alerts.listed(records)
        assert (kept.id, kept.state, kept.who, kept.until) == (id, "muted", "ann", TODAY + timedelta(weeks=4))
