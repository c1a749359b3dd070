"""What is worth an alert: rules, and how long something must last before it counts.

A rule looks at one thing, such as one column, window by window. What may come and go by chance, drift and loss, must be found in
most of the latest windows (2 of 3 unless the settings say otherwise); what is plainly so, bad data or a scoring that is out of
date, counts at once. Words name columns, days and shares, never a customer or a value of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from churn import words
from churn.errors import SettingsError
from churn.settings import Settings

SCORE_DRIFT, COLUMN_MOVED, JOINT_DRIFT = "score-drift", "column-moved", "joint-drift"
REALISED_LOSS, ESTIMATED_LOSS = "realised-loss", "estimated-loss"
BAD_DATA, STALE = "bad-data", "stale-scoring"
CAUSES = {
    SCORE_DRIFT: "The scores have moved",
    COLUMN_MOVED: "A column has moved",
    JOINT_DRIFT: "Columns have moved together",
    REALISED_LOSS: "The model errs more than it promised",
    ESTIMATED_LOSS: "The model is expected to err more",
    BAD_DATA: "A table that came in is bad",
    STALE: "The scoring is out of date",
}
_AT_ONCE = frozenset({BAD_DATA, STALE})
State = Literal["raised", "quiet", "unsure"]


@dataclass(frozen=True, slots=True)
class Window:
    """What a rule found in one window: whether it `fired` (None: the window cannot say), and how much, in words."""

    start: date
    end: date
    fired: bool | None
    size: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """What a rule saw of one thing, window by window, oldest first.

    `cause`: of `CAUSES`. `subject`: the column it is about, `label` as people call it; both empty where it is about none. What
    counts at once may have a label of its own too: what is said in place of its cause.
    `model`: the version it is about; empty where it is about none.
    """

    cause: str
    windows: tuple[Window, ...]
    subject: str = ""
    label: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a rule holds now. `since`, `last`: first and last day of the windows that say so, None where it does not hold."""

    cause: str
    subject: str
    model: str
    state: State
    words: str
    since: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class Persistence:
    """How often something must be found: in `needed` of the latest `windows`."""

    needed: int
    windows: int

    def of(self, fired: Sequence[bool | None]) -> State:
        """Whether what was found (oldest first, None where a window cannot say) lasts.

        >>> Persistence(2, 3).of([True, None, False, True]), Persistence(2, 3).of([True, False, False])
        ('raised', 'quiet')
        """
        known = [one for one in fired if one is not None][-self.windows :]
        if not known:
            return "unsure"
        return "raised" if sum(known) >= self.needed else "quiet"

    def run(self, windows: Sequence[Window]) -> tuple[Window, ...]:
        """The windows that fired since it began: back from the latest, up to a pause so long that it would have closed."""
        found: list[Window] = []
        pause = 0
        for window in reversed([one for one in windows if one.fired is not None]):
            pause = 0 if window.fired else pause + 1
            if pause > self.windows - self.needed:
                break
            found += [window] if window.fired else []
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Rules:
    """Which causes raise an alert, and how long what may be chance must last."""

    causes: frozenset[str]
    persistence: Persistence
    window: str = "window"  # what a window is called: day, week, month

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """The rules that the settings name. Raises SettingsError for a cause there is none of."""
        named = [name.strip() for name in settings.alert_rules.split(",") if name.strip()]
        if unknown := [name for name in named if name not in CAUSES]:
            raise SettingsError(f"setting 'alert_rules' names {unknown[0]!r}; the rules are: {', '.join(CAUSES)}")
        if settings.alert_needed > settings.alert_windows:
            raise SettingsError(
                f"setting 'alert_needed' must be at most 'alert_windows', which is {settings.alert_windows}, "
                f"not {settings.alert_needed}"
            )
        return cls(frozenset(named), Persistence(settings.alert_needed, settings.alert_windows), settings.watch_every)

    @property
    def often(self) -> str:
        """How often what may be chance must be found, in words: `in 2 of the last 3 months`."""
        return f"in {self.persistence.needed} of the last {words.counted(self.persistence.windows, self.window)}"

    def lasts(self, signal: Signal) -> State:
        """Whether a signal lasts."""
        return self._of(signal).of([window.fired for window in signal.windows])

    def since(self, signal: Signal) -> tuple[Window, ...]:
        """The windows that fired since what lasts began, oldest first."""
        return self._of(signal).run(signal.windows)

    def _of(self, signal: Signal) -> Persistence:
        return Persistence(1, 1) if signal.cause in _AT_ONCE else self.persistence

    def judge(self, signals: Iterable[Signal]) -> tuple[Condition, ...]:
        """What holds of the signals that these rules look at."""
        return tuple(self._judged(signal) for signal in signals if signal.cause in self.causes)

    def _judged(self, signal: Signal) -> Condition:
        state = self.lasts(signal)
        if state != "raised":
            return Condition(signal.cause, signal.subject, signal.model, state, "", None, None)
        found = self.since(signal)
        said = self._said(signal, found)
        return Condition(signal.cause, signal.subject, signal.model, state, said, found[0].start, found[-1].end)

    def _said(self, signal: Signal, found: Sequence[Window]) -> str:
        size = found[-1].size
        if signal.cause in _AT_ONCE:
            return f"{signal.label or CAUSES[signal.cause]}{f': {size}' if size else ''}."
        latest = [window for window in signal.windows if window.fired is not None][-self.persistence.windows :]
        what = f"{signal.label or signal.subject} has moved" if signal.cause == COLUMN_MOVED else CAUSES[signal.cause]
        often = f"in {sum(bool(window.fired) for window in latest)} of the last {words.counted(len(latest), self.window)}"
        often += "" if latest[-1].fired else ", not in the latest"
        return f"{what}{f' {size}' if size else ''}, {often}, first from {words.day(found[0].start)}."
