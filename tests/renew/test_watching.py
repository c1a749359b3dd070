"""A desk that is watched month by month: it finds the change, trains once, and is as quiet before as after."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from churn.errors import NoChampion, SettingsError
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.renew import retrain, watching
from churn.renew.retrain import Desk
from churn.renew.watching import Watched
from churn.watch import alerts, decisions

from .conftest import CHANGE, DAYS, World


def _watch(world: World, day: date, *, act: bool = True) -> Watched:
    return watching.watch(world.desk, today=day, environ={}, act=act)


def test_one_training_for_the_change_and_none_before_it(world: World, again: Callable[[], World]) -> None:
    found = {DAYS[3]: _watch(world, DAYS[3])}
    for day in DAYS[4:]:
        world.month(day)
        found[day] = _watch(world, day)
    assert [day for day, one in found.items() if any(made.kind == decisions.DUE for made in one.decisions)] == [DAYS[7]]
    assert all(not one.open and not one.decisions for day, one in found.items() if day <= CHANGE)
    due, promoted = found[DAYS[7]].decisions
    assert (due.cause, due.model, promoted.kind, promoted.challenger, promoted.answers) == (
        "realised-loss",
        "v1",
        "promoted",
        "v2",
        due.id,
    )
    pointer = world.registry.pointer()
    assert pointer is not None
    assert (pointer.model, pointer.action) == ("v2", "publish")  # promoted in August, scored again in September
    assert [alert.cause for alert in found[DAYS[7]].open] == ["realised-loss"]
    assert found[DAYS[8]].open == ()  # about the champion before
    (alert,) = alerts.listed(world.desk.records, closed=True)
    assert [event.what for event in alerts.history(world.desk.records, alert.id)] == ["opened", "closed"]

    twice = _watch(again(), DAYS[8])
    assert (twice.decisions, twice.changes.opened, twice.sketches) == ((), (), 0)


def test_looking_only_keeps_alerts_and_says_what_is_due(world: World) -> None:
    for day in DAYS[4:8]:
        world.month(day)
    found = _watch(world, DAYS[7], act=False)
    assert (found.due.kind, [one.kind for one in found.decisions]) == ("due", ["due"])
    assert _pointer(world) == "v1"
    assert _watch(world, DAYS[7], act=False).decisions == ()  # the trigger comes once


def test_a_training_that_fails_is_tried_again_and_then_given_up(world: World) -> None:
    for day in DAYS[4:8]:
        world.month(day)
    broken = world.with_settings(training_table=str(world.desk.settings.home / "nowhere.parquet"))
    for _ in range(4):
        found = _watch(broken, DAYS[7])
    assert found.problems == ()  # the last time it was no longer tried
    kinds = [one.kind for one in decisions.listed(world.desk.records)]
    assert kinds == ["failed", "failed", "failed", "due"]
    assert _pointer(world) == "v1"


def test_two_watches_at_once_train_once(world: World, again: Callable[[], World], monkeypatch: pytest.MonkeyPatch) -> None:
    for day in DAYS[4:8]:
        world.month(day)
    asked: list[str | None] = []
    monkeypatch.setattr(retrain, "retrain", lambda desk, **given: asked.append(given["answers"]) or _answered(desk))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda one: _watch(one, DAYS[7]), (world, again())))
    assert [one.due.kind for one in both] == ["due", "due"]
    (trigger,) = [one.id for one in decisions.listed(world.desk.records) if one.kind == "due"]
    assert asked == [trigger]
    assert len(alerts.listed(world.desk.records)) == 1


def test_a_training_that_was_killed_is_taken_up_after_some_hours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in DAYS[4:8]:
        world.month(day)
    asked: list[str | None] = []
    monkeypatch.setattr(retrain, "retrain", lambda desk, **given: asked.append(given["answers"]) or _answered(desk))
    told = {"cause": "realised-loss", "model": "v1", "words": "Due.", "evidence": {}, "day": DAYS[7], "who": "ann"}
    decisions.record(world.desk.records, decisions.DUE, now=datetime.now(UTC) - timedelta(hours=5), **told)
    _watch(world, DAYS[7])
    assert asked == []  # somebody may be at it
    monkeypatch.setattr(watching, "_STUCK", timedelta(hours=4))
    _watch(world, DAYS[7])
    assert len(asked) == 1


def _answered(desk: Desk) -> SimpleNamespace:
    return SimpleNamespace(decision=SimpleNamespace(kind="stopped"))


def test_a_desk_without_a_champion_and_settings_that_cannot_be(world: World) -> None:
    settings = replace(world.desk.settings, store="empty")
    store = open_store(settings)
    with pytest.raises(NoChampion, match="no champion to watch"):
        watching.watch(replace(world.desk, registry=Registry(store, settings), store=store), today=DAYS[3], environ={})
    with pytest.raises(SettingsError, match="'watch_every' must be day, week or month, not 'year'"):
        _watch(world.with_settings(watch_every="year"), DAYS[3])
    with pytest.raises(SettingsError, match="'retrain' must be promote, shadow, keep or no, not 'yes'"):
        _watch(world.with_settings(retrain="yes"), DAYS[3])


def _pointer(world: World) -> str:
    pointer = world.registry.pointer()
    assert pointer is not None
    return pointer.model
