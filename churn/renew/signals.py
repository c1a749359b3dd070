"""What drift, performance and the store say, as the rules take it: one signal a column, window by window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from churn import words
from churn.data.schema import Schema
from churn.settings import Settings
from churn.watch.drift import ColumnDrift, WindowDrift
from churn.watch.drift_verdict import odd
from churn.watch.performance import Change, Loss, WindowPerformance
from churn.watch.rules import (
    BAD_DATA,
    COLUMN_MOVED,
    ESTIMATED_LOSS,
    JOINT_DRIFT,
    REALISED_LOSS,
    SCORE_DRIFT,
    STALE,
    Signal,
    Window,
)

_NAMED = 3  # tables held back that an alert names, the latest


def of_drift(history: Sequence[WindowDrift], schema: Schema, settings: Settings) -> tuple[Signal, ...]:
    """The risk, each column that matters enough (`alert_weight`), and all columns together.

    Where nobody knows how much a column matters, as of a model that takes long to explain, every column does.
    """
    if not history:
        return ()
    model, latest = history[-1].model, history[-1]
    total = sum(column.importance for column in latest.columns)
    heavy = [one for one in latest.columns if not total or one.importance >= settings.alert_weight * total]
    risk = Signal(SCORE_DRIFT, tuple(_moved(window, window.risk) for window in history), model=model)
    columns = [
        Signal(
            COLUMN_MOVED,
            tuple(_moved(window, window.of(one.column)) for window in history),
            one.column,
            schema.feature(one.column).label,
            model,
        )
        for one in heavy
    ]
    joint = Signal(JOINT_DRIFT, tuple(_joint(window) for window in history), model=model)
    return (risk, *columns, joint)


def _moved(window: WindowDrift, one: ColumnDrift) -> Window:
    fired = None if one.status == "few" else one.status == "moved"
    if not fired:
        return Window(window.start, window.end, fired)
    if one.distance >= one.band[1]:
        return Window(window.start, window.end, fired, f"by {_points(one.distance)}")
    why = odd(one)
    return Window(window.start, window.end, fired, f"({why})" if why else "")


def _joint(window: WindowDrift) -> Window:
    if window.joint is None or window.small:
        return Window(window.start, window.end, None)
    return Window(window.start, window.end, any(one.what == "joint" for one in window.alarming))


def of_loss(losses: Iterable[Loss], history: Iterable[WindowPerformance], model: str) -> Signal:
    """Realised loss against what was promised, of the windows of one model that have outcomes."""
    few = {(one.model, one.start): one.few for one in history}
    return Signal(
        REALISED_LOSS,
        tuple(
            Window(one.start, one.end, None if few.get((one.model, one.start)) else one.beyond, _more(one.excess))
            for one in losses
            if one.model == model
        ),
        model=model,
    )


def of_estimate(changes: Iterable[Change], history: Iterable[WindowPerformance], model: str) -> Signal:
    """Estimated loss against the reference's, of the windows of one model."""
    few = {(one.model, one.start): one.few for one in history}
    return Signal(
        ESTIMATED_LOSS,
        tuple(
            Window(
                one.start,
                one.end,
                None if few.get((one.model, one.start)) else one.sure and one.change > 0,
                _more(one.change),
            )
            for one in changes
            if one.model == model
        ),
        model=model,
    )


def of_bad_data(held: Sequence[str], today: date) -> Signal:
    """Batches that are held back and that nobody has decided about, oldest first: what is wrong with each, and its id."""
    told = "; ".join(held[::-1][:_NAMED])
    more = f"; and {words.count(len(held) - _NAMED)} before" if len(held) > _NAMED else ""
    label = "A table is held back" if len(held) == 1 else f"{words.capital(words.counted(len(held), 'table'))} are held back"
    return Signal(BAD_DATA, (Window(today, today, bool(held), f"{told}{more}"),), label=label)


def of_unread(why: str, today: date) -> Signal:
    """Whether the table of this run could not be read, and why; empty where it was read."""
    window = Window(today, today, bool(why), why.rstrip("."))
    return Signal(BAD_DATA, (window,), subject="source", label="The table could not be read")


def of_age(scored: datetime | None, today: date, settings: Settings) -> Signal:
    """Whether what the desk shows is out of date; nothing where it shows nobody."""
    if scored is None:
        return Signal(STALE, ())
    age = today - scored.date()
    stale = age > timedelta(days=settings.stale_days)
    return Signal(STALE, (Window(scored.date(), today, stale, f"scored {words.counted(age.days, 'day')} ago" if stale else ""),))


def _points(distance: float) -> str:
    return words.points(distance, signed=False)


def _more(share: float) -> str:
    return f"by {words.percent(share)}" if share > 0 else ""
