"""Alerts open, stay, close, and remember who said what about them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from churn.base.records import Records
from churn.errors import DataError, NotInStore
from churn.settings import Settings
from churn.watch import alerts, decisions, rules
from churn.watch.rules import Condition

from ..base.postgres import postgres, server  # noqa: F401 - fixtures

TODAY = date(2026, 7, 1)
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    opened = Records(Settings(home=tmp_path, data="data", database=url))
    yield opened
    opened.close()


def _moved(
    state: rules.State = "raised", subject: str = "fee", model: str = "v1", words: str = "The fee has moved."
) -> Condition:
    since, last = (date(2026, 5, 1), date(2026, 6, 30)) if state == "raised" else (None, None)
    return Condition(rules.COLUMN_MOVED, subject, model, state, words, since, last)


def _update(records: Records, *found: Condition, model: str | None = "v1", today: date = TODAY) -> alerts.Changes:
    return alerts.update(records, found, model=model, today=today, now=datetime(today.year, today.month, today.day, tzinfo=UTC))


def test_one_alert_for_one_cause_however_often_it_is_found(records: Records) -> None:
    (id,) = _update(records, _moved()).opened
    assert _update(records, _moved()) == alerts.Changes((), (), ())
    (one,) = alerts.listed(records)
    assert (one.id, one.state, one.subject, one.model, one.since) == (id, "open", "fee", "v1", date(2026, 5, 1))
    assert [event.what for event in alerts.history(records, id)] == ["opened"]
    _update(records, _moved(words="The fee has moved further."))
    assert [event.what for event in alerts.history(records, id)] == ["opened", "changed"]


def test_another_column_and_another_model_are_alerts_of_their_own(records: Records) -> None:
    assert len(_update(records, _moved(), _moved(subject="calls")).opened) == 2
    changes = _update(records, _moved(model="v2"), model="v2")
    assert (len(changes.opened), len(changes.closed)) == (1, 2)  # nobody uses v1 any more
    assert {(one.model, one.state) for one in alerts.listed(records, closed=True)} == {("v1", "closed"), ("v2", "open")}


def test_quiet_closes_and_unsure_does_not(records: Records) -> None:
    (id,) = _update(records, _moved()).opened
    assert _update(records, _moved("unsure")).closed == ()
    assert _update(records).closed == ()
    assert _update(records, _moved("quiet")).closed == (id,)
    assert alerts.listed(records) == ()
    (again,) = _update(records, _moved()).opened
    assert again != id


def test_who_acknowledges_says_why_and_it_stays_until_quiet(records: Records) -> None:
    (id,) = _update(records, _moved()).opened
    with pytest.raises(DataError, match="say why"):
        alerts.acknowledge(records, id, who="ann", why="  ")
    found = alerts.acknowledge(records, id, who="ann", why="The spring price list")
    assert (found.state, found.who, found.why) == ("acknowledged", "ann", "The spring price list")
    _update(records, _moved(words="The fee has moved further."))
    assert alerts.listed(records)[0].state == "acknowledged"
    _update(records, _moved("quiet"))
    with pytest.raises(DataError, match="closed already"):
        alerts.acknowledge(records, id, who="ann", why="Late")
    with pytest.raises(NotInStore, match="no alert 'x'"):
        alerts.acknowledge(records, "x", who="ann", why="Why not")


def test_a_mute_holds_to_its_day_even_over_a_pause_and_then_the_alert_wakes(records: Records) -> None:
    (id,) = _update(records, _moved()).opened
    with pytest.raises(DataError, match="not until 30 Jun 2026"):
        alerts.mute(records, id, until=TODAY - timedelta(days=1), who="ann", why="Known", today=TODAY)
    with pytest.raises(DataError, match="for a year at most"):
        alerts.mute(records, id, until=TODAY + timedelta(days=366), who="ann", why="Known", today=TODAY)
    until = TODAY + timedelta(days=30)
    alerts.mute(records, id, until=until, who="ann", why="Known", today=TODAY)
    _update(records, _moved("quiet"))
    (again,) = _update(records, _moved(), today=until).opened
    (one,) = alerts.listed(records)
    assert (one.id, one.state, one.until, one.why) == (again, "muted", until, "Known")
    assert _update(records, _moved(), today=until + timedelta(days=1)).woken == (again,)
    assert alerts.listed(records)[0].state == "open"


def test_many_watches_at_once_open_one_alert(records: Records) -> None:
    records.status()
    _update(records)  # the tables are there
    with ThreadPoolExecutor(6) as pool:
        opened = [changes.opened for changes in pool.map(lambda _: _update(records, _moved()), range(6))]
    assert sorted(len(one) for one in opened) == [0, 0, 0, 0, 0, 1]
    assert len(alerts.listed(records)) == 1


def _decide(records: Records, kind: str, cause: str = "realised-loss", model: str = "v1", words: str = "Due.") -> bool:
    told = decisions.record(
        records, kind, cause=cause, model=model, words=words, evidence={"rows": 7, "day": TODAY}, day=TODAY, who="ann"
    )
    return told is not None


def test_a_trigger_comes_once_for_champion_and_cause(records: Records) -> None:
    assert _decide(records, decisions.DUE)
    assert not _decide(records, decisions.DUE)
    assert _decide(records, decisions.DUE, cause="score-drift")
    assert _decide(records, decisions.DUE, model="v2")
    assert [one.model for one in decisions.listed(records)] == ["v2", "v1", "v1"]
    assert decisions.listed(records)[0].evidence == {"rows": 7, "day": "2026-07-01"}


def test_waiting_is_said_once_until_it_changes(records: Records) -> None:
    assert _decide(records, decisions.WAITING, words="Waiting until 3 Aug 2026.")
    assert not _decide(records, decisions.WAITING, words="Waiting until 3 Aug 2026.")
    assert _decide(records, decisions.WAITING, words="Waiting until 9 Aug 2026.")
    assert len(decisions.listed(records)) == 2


def test_of_one_moment_the_answer_stands_before_the_trigger(records: Records) -> None:
    told = {"cause": "realised-loss", "model": "v1", "words": "Due.", "evidence": {}, "day": TODAY, "who": "ann", "now": NOW}
    due = decisions.record(records, decisions.DUE, **told)  # type: ignore[arg-type]
    assert due is not None
    decisions.record(records, decisions.PROMOTED, answers=due.id, challenger="v2", **told)  # type: ignore[arg-type]
    assert [one.kind for one in decisions.listed(records)] == ["promoted", "due"]
    assert {one.at for one in decisions.listed(records)} == {NOW}
