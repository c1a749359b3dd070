"""One look at a desk: sketches, drift, performance, alerts, and whether a training is due. Safe to do twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

from churn.errors import ChurnError, NoChampion, SettingsError, StoreConflict
from churn.learn import tracking
from churn.learn.joint import joint_of_window
from churn.model.bundle import Bundle
from churn.model.registry import Pointer
from churn.renew import decide, retrain, signals
from churn.renew.decide import Due, Evidence
from churn.renew.retrain import Desk
from churn.renew.rows import cohorts
from churn.score import log, quarantine, sketch
from churn.score.sketch import Grid
from churn.watch import alerts, decisions, drift, joint, notify, performance
from churn.watch.alerts import Alert, Changes
from churn.watch.decisions import DUE, FAILED, PROMOTED, RETURNED, Decision
from churn.watch.drift import WindowDrift
from churn.watch.notify import Delivery
from churn.watch.performance import WindowPerformance
from churn.watch.rules import BAD_DATA, Condition, Rules, Signal
from churn.words import sentence_list

Progress = Callable[[str, int, int], None]
Every = Literal["day", "week", "month"]
_STUCK = timedelta(hours=6)  # a training that was begun longer ago and left no word has been killed
_TRIES = 3  # how often a training that fails is tried again


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look found and did.

    `every`: how long windows are. `sketches`: how many were built. `drift`, `performance`: the champion's windows, oldest first.
    `conditions`: what the rules say; `changes` what that did to alerts, and `open` all that stand. `due`: about a training;
    `decisions`: those made now. `problems`: what did not work and did not stop it, in words.
    """

    model: str
    today: date
    every: Every
    sketches: int
    drift: tuple[WindowDrift, ...]
    performance: tuple[WindowPerformance, ...]
    conditions: tuple[Condition, ...]
    changes: Changes
    open: tuple[Alert, ...]
    delivered: tuple[Delivery, ...]
    due: Due
    decisions: tuple[Decision, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    drift: tuple[WindowDrift, ...]
    performance: tuple[WindowPerformance, ...]
    signals: tuple[Signal, ...]


def watch(
    desk: Desk,
    *,
    today: date,
    environ: Mapping[str, str] | None = None,
    act: bool = True,
    unread: str | None = None,
    progress: Progress | None = None,
) -> Watched:
    """Look at the champion's log up to a day, keep alerts by it, send them, and renew the model where that is due.

    Parameters
    ----------
    today: outcomes and predictions of later days do not count.
    environ: where the password of the mail server is; `os.environ` unless given.
    act: False only looks, keeps alerts and says what is due; no model is trained or changed.
    unread: why the table of this run could not be read, without values of it; empty where it was read, and None where nobody
        tried, which leaves an alert about it as it is.

    Raises
    ------
    NoChampion: there is nothing to watch. StoreConflict: somebody else changed the champion meanwhile; alerts are kept.
    StoreUnavailable, RecordsUnavailable, SettingsError.
    """
    step = progress or _silent
    rules, every = Rules.of(desk.settings), windows_of(desk.settings.watch_every)
    if desk.settings.retrain not in ("promote", "shadow", "keep", "no"):
        raise SettingsError(f"setting 'retrain' must be promote, shadow, keep or no, not {desk.settings.retrain!r}")
    pointer = desk.registry.pointer()
    if pointer is None:
        raise NoChampion("there is no champion to watch; train one: churn train TABLE --schema schema.yaml --promote")
    acts = act and desk.settings.retrain not in ("no", "keep")
    made, problems = list[Decision](), list[str]()
    if acts:
        step("Looking after models in shadow", 0, 0)
        back = retrain.go_back(desk, today=today, progress=progress)
        made += [one for one in (back, retrain.follow_shadow(desk, today=today, progress=progress)) if one is not None]
        pointer = desk.registry.pointer() or pointer
    champion = desk.registry.load_model(pointer.model)
    step("Counting what was logged", 0, 0)
    built = sketch.ensure(desk.store, desk.registry)
    seen = _look(desk, champion, pointer, today, every, rules, step)
    found_now = seen.signals if unread is None else (*seen.signals, signals.of_unread(unread, today))
    conditions = rules.judge(found_now)
    changes = alerts.update(desk.records, conditions, model=champion.version, today=today, now=desk.now)
    step("Sending alerts", 0, 0)
    delivered = notify.deliver(desk.records, desk.settings, environ=os.environ if environ is None else environ)
    problems += [f"{one.channel}: {one.problem}" for one in delivered if one.problem]
    evidence = Evidence(
        champion=champion.version,
        champion_since=champion_since(desk, champion.version, today),
        today=today,
        signals=seen.signals,
        cohorts=cohorts(desk.store, champion, today=today),
        bad_data=any(one.cause == BAD_DATA and one.state == "raised" for one in conditions),
        shadow=_in_shadow(desk),
        first_due=min((one.due for one in seen.performance), default=None),
    )
    found = decide.due(evidence, desk.settings)
    if found.kind:
        told = _record(desk, found, evidence)
        made += [told] if told else []
    if act and found.kind == DUE and desk.settings.retrain != "no" and desk.settings.training_table:
        trigger = _pending(desk, champion.version, found.cause, fresh=bool(told))
        if trigger is not None:
            try:
                made.append(retrain.retrain(desk, today=today, cause=found.cause, answers=trigger, progress=progress).decision)
            except StoreConflict:
                raise
            except ChurnError as error:  # kept as a decision; the next watch tries again
                problems.append(f"The training failed: {error}")
    if made:
        tracking.mirror(desk.registry, desk.settings)
    return Watched(
        model=champion.version,
        today=today,
        every=every,
        sketches=built,
        drift=seen.drift,
        performance=seen.performance,
        conditions=conditions,
        changes=changes,
        open=alerts.listed(desk.records),
        delivered=delivered,
        due=found,
        decisions=tuple(made),
        problems=tuple(problems),
    )


def windows_of(named: str) -> Every:
    """The length of windows that a setting names. Raises SettingsError."""
    if named not in ("day", "week", "month"):
        raise SettingsError(f"setting 'watch_every' must be day, week or month, not {named!r}")
    return cast(Every, named)


def champion_since(desk: Desk, model: str, today: date) -> date:
    """The first day a champion was on the desk for: that of the decision that promoted it, else of its first predictions."""
    for one in decisions.listed(desk.records):
        if one.kind in (PROMOTED, RETURNED) and one.challenger == model:
            return one.day
    return min((part.date for part in log.parts(desk.store, model=model)), default=today)


def _look(desk: Desk, champion: Bundle, pointer: Pointer, today: date, every: Every, rules: Rules, step: Progress) -> _Seen:
    """Drift and performance of the champion, and all signals."""
    shown = next((info for info in desk.registry.scorings() if info.id == pointer.scoring), None)
    version, schema, settings = champion.version, champion.schema, desk.settings
    step("Looking for drift", 0, 0)
    days = [one for one in sketch.read(desk.store, model=version) if one.day <= today]
    grid, told = Grid.of(champion), shown.facts.get("mean_size") if shown and shown.model == version else None
    importance = drift.importance_of(champion, told)
    moved = drift.history(days, grid, schema, every=every, importance=importance)
    if (tested := _test_joint(desk, champion, moved, rules)) is not None:
        moved = drift.history(days, grid, schema, every=every, importance=importance, joint=tested)
    step("Looking at performance", 0, 0)
    called = performance.who_was_called(desk.records)
    found = performance.of_log(
        desk.store,
        schema,
        today=today,
        every=every,
        facts=performance.facts_of(desk.registry),
        called=None if called.is_empty() else called,
        whose="all" if called.is_empty() else "not called",
        models=[version],
    )
    losses = performance.loss_beyond_band(found)
    changes = performance.estimated_change(found, {version: performance.baseline(champion)})
    signalled = (
        *signals.of_drift(moved, schema, settings),
        signals.of_loss(losses, found, version),
        signals.of_estimate(changes, found, version),
        signals.of_bad_data(_held(desk), today),
        signals.of_age(shown.created if shown else None, today, settings),
    )
    return _Seen(moved, found, signalled)


def _test_joint(
    desk: Desk, champion: Bundle, moved: tuple[WindowDrift, ...], rules: Rules
) -> tuple[joint.JointDrift, ...] | None:
    """Test how columns go together in the latest windows where that was not done, or more has come since; None for no windows."""
    latest = [window for window in moved if not window.small][-rules.persistence.windows :]
    if not latest:
        return None
    there = {(one.start, one.end) for one in joint.read(desk.store, champion.version)}
    for window in latest:
        if (window.start, window.end) not in there or not window.complete:
            joint_of_window(desk.store, champion, window.start, window.end)
    return joint.read(desk.store, champion.version)


def _held(desk: Desk) -> list[str]:
    """What is wrong with each batch in quarantine that nobody has decided about, oldest first; a good table that came after it
    decides nothing."""
    return [_without_values(one) for one in quarantine.batches(desk.store) if not one.let_through]


def _without_values(held: quarantine.Held) -> str:
    """What is wrong with a batch, without any value from it: the checks that failed and how many cells they are about."""
    return f"{sentence_list(dict.fromkeys(check.kind for check in held.report.bad))} ({held.id})"


def _in_shadow(desk: Desk) -> str | None:
    standing = desk.registry.challenger()
    return standing.model if standing is not None else None


def _record(desk: Desk, found: Due, evidence: Evidence) -> Decision | None:
    return decisions.record(
        desk.records,
        found.kind,
        cause=found.cause,
        model=evidence.champion,
        words=found.words,
        evidence=evidence.to_json(),
        day=evidence.today,
        who=desk.who,
        now=desk.now,
    )


def _pending(desk: Desk, model: str, cause: str, *, fresh: bool) -> str | None:
    """The trigger that a training is to answer: one made just now, or one whose trainings all failed or were killed."""
    past = decisions.listed(desk.records)
    trigger = next((one for one in past if one.kind == DUE and (one.model, one.cause) == (model, cause)), None)
    if trigger is None:
        return None
    answers = [one for one in past if one.answers == trigger.id]
    if fresh or (answers and all(one.kind == FAILED for one in answers) and len(answers) < _TRIES):
        return trigger.id
    return trigger.id if not answers and trigger.at < (desk.now or datetime.now(UTC)) - _STUCK else None


def _silent(doing: str, done: int, total: int) -> None:
    pass
