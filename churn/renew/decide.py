"""When a model is trained anew, and what becomes of the new one: decisions made of evidence, and nothing else.

A training is due where the champion's realised loss lies beyond its band, or where its scores have moved and its loss is
estimated to have risen, both for as long as an alert takes. Columns that move by themselves are no reason. It waits for outcomes
from the time since the change began, for a model trained on what was before would learn the same again; it waits while the
champion is young; and it is held back while a table that came in is bad, for then the change may lie in the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

from churn import words
from churn.learn.evaluation import Paired
from churn.learn.folds import LEAST_OF_A_CLASS
from churn.settings import Settings
from churn.watch.decisions import BLOCKED, DUE, WAITING
from churn.watch.rules import ESTIMATED_LOSS, REALISED_LOSS, SCORE_DRIFT, Rules, Signal, Window

ASKED = "asked"  # the cause where somebody gave the command
_WHY = {
    REALISED_LOSS: "The champion errs more than it promised",
    SCORE_DRIFT: "The scores have moved and the champion is expected to err more",
}
Outcome = Literal["promote", "shadow", "stop"]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers scored for one day that the champion was not trained on: how many outcomes are known, and how many left.

    `matures`: the day by which all of them should be known. `matured`: whether they are.
    """

    day: date
    rows: int
    known: int
    left: int
    matures: date
    matured: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a decision is made from. `champion_since`: the first day the champion was on the desk for.

    `first_due`: the day by which the first outcomes of the champion's own predictions are due; None where it has made none.
    """

    champion: str
    champion_since: date
    today: date
    signals: tuple[Signal, ...]
    cohorts: tuple[Cohort, ...]
    bad_data: bool
    shadow: str | None = None  # the version in shadow, if any
    first_due: date | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the record."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at the evidence came to: `kind` is due, waiting, blocked, or empty where there is no reason to train.

    `since`: the first day of the change; `until`: the day it waits for, where it waits and that is known.
    """

    kind: str
    cause: str
    words: str
    since: date | None = None
    until: date | None = None


def due(evidence: Evidence, settings: Settings) -> Due:
    """Whether a training is due. Raises SettingsError for rules that cannot be."""
    rules = Rules.of(settings)
    cause, windows = _cause(evidence.signals, rules)
    if not cause:
        return Due("", "", f"Nothing calls for a new training{_standing(evidence)}.")
    why = f"{_WHY[cause]} in {words.counted(len(windows), rules.window)}, first from {words.day(windows[0].start)}."
    since = windows[0].start
    if evidence.bad_data:
        return Due(BLOCKED, cause, f"{why} No training while a table that came in is bad: the change may lie in the data.", since)
    if evidence.shadow is not None:
        return Due(WAITING, cause, f"{why} Waiting for model {evidence.shadow}, which runs in shadow.", since)
    rests = evidence.champion_since + timedelta(days=settings.retrain_cooldown_days)
    if evidence.today < rests:
        young = f"model {evidence.champion} is in use since {words.day(evidence.champion_since)} only"
        return Due(WAITING, cause, f"{why} Waiting until {words.day(rests)}, for {young}.", since, rests)
    after = [cohort for cohort in evidence.cohorts if cohort.day >= since]
    ripe = [cohort for cohort in after if cohort.matured]
    if not _enough(ripe, settings):
        until = _enough_on(after, settings)
        when = f"Waiting until {words.day(until)}" if until else "Waiting"
        so_far = words.counted(sum(cohort.known for cohort in ripe), "outcome")
        short = f"for {settings.retrain_least_labels:,} outcomes since then; {so_far} so far"
        return Due(WAITING, cause, f"{why} {when} {short}.", since, until)
    known, left = sum(cohort.known for cohort in ripe), sum(cohort.left for cohort in ripe)
    said = f"{words.counted(known, 'outcome')} since then that it was not trained on, {left:,} of them left"
    return Due(DUE, cause, f"{why} {said}.", since)


def _cause(signals: Iterable[Signal], rules: Rules) -> tuple[str, Sequence[Window]]:
    """The cause, if any, and the windows that show it."""
    lasting = {signal.cause: rules.since(signal) for signal in signals if rules.lasts(signal) == "raised"}
    if lasting.get(REALISED_LOSS):
        return REALISED_LOSS, lasting[REALISED_LOSS]
    if lasting.get(SCORE_DRIFT) and lasting.get(ESTIMATED_LOSS):
        return SCORE_DRIFT, lasting[SCORE_DRIFT]
    return "", ()


def _standing(evidence: Evidence) -> str:
    """What that rests on: loss on known outcomes, or when there will be some of what the champion has scored."""
    losses = [signal for signal in evidence.signals if signal.cause == REALISED_LOSS]
    known = [one.fired for signal in losses for one in signal.windows if one.fired is not None]
    if not known:
        model, first = evidence.champion, evidence.first_due
        if first is None:
            return f", as far as can be told: model {model} has no logged predictions yet"
        if first > evidence.today:
            day = words.day(first, year=first.year != evidence.today.year)
            return f", as far as can be told. No outcomes are due yet for model {model}; the first are due {day}"
        return f", as far as can be told: too few outcomes of what model {model} has scored are known yet"
    return (
        ", unless it lasts: the champion erred more than it promised"
        if known[-1]
        else ": the champion errs no more than it promised"
    )


def _enough(cohorts: Iterable[Cohort], settings: Settings) -> bool:
    listed = list(cohorts)
    known, left = sum(cohort.known for cohort in listed), sum(cohort.left for cohort in listed)
    return known >= settings.retrain_least_labels and LEAST_OF_A_CLASS <= left <= known - LEAST_OF_A_CLASS


def _enough_on(cohorts: Sequence[Cohort], settings: Settings) -> date | None:
    """The day by which enough outcomes should be known; None where those scored until now will not do."""
    rows = 0
    for cohort in sorted(cohorts, key=lambda cohort: cohort.matures):
        rows += cohort.known if cohort.matured else cohort.rows
        if rows >= settings.retrain_least_labels and not cohort.matured:
            return cohort.matures
    return None


# -- what becomes of a new model -----------------------------------------------------


def outcome(paired: Paired, settings: Settings, *, gates_hold: bool) -> tuple[Outcome, str]:
    """What becomes of a challenger held against the champion on the same rows, and why.

    It is promoted if the gates hold, its log-loss is lower in at least `retrain_sure` of the resampled holdouts, and its ranking
    is not surely worse; it runs in shadow where it is better but not surely so, or where the settings want that first; else the
    champion stays.
    """
    said = (
        f"On {words.counted(paired.rows, 'row')} of the latest days with outcomes, which neither has seen, {_compared(paired)}."
    )
    if not gates_hold:
        return "stop", f"{said} A gate does not hold, so the champion stays."
    if settings.retrain == "keep":
        return "stop", f"{said} It is only kept, as the settings say."
    if paired.loss_lower <= 0.5:  # as a model is to itself, ties counting half
        return "stop", f"{said} It is no better, so the champion stays."
    if paired.auc_higher < 1 - settings.retrain_sure:
        return "stop", f"{said} It ranks customers worse, so the champion stays."
    if paired.loss_lower < settings.retrain_sure:
        return "shadow", f"{said} That is not sure enough, so it runs in shadow."
    if settings.retrain == "shadow":
        return "shadow", f"{said} It runs in shadow first, as the settings say."
    return "promote", f"{said} It takes over."


def _compared(paired: Paired) -> str:
    loss, auc = paired.log_loss, [f"{100 * value:.0f}" for value in paired.roc_auc]
    often = words.percent(paired.loss_lower)
    return (
        f"its error (log-loss) is {loss[1]:.4f} against the champion's {loss[0]:.4f}, lower in {often} of redraws; "
        f"it picks the leaver over a stayer {auc[1]} times in 100, the champion {auc[0]}"
    )


def shadow_outcome(paired: Paired | None, settings: Settings, *, days: int) -> tuple[Outcome, str]:
    """What becomes of a model in shadow: promoted once it is surely better live, let go (`stop`) once it surely is not or its
    time is over, else it stays in shadow.

    Parameters
    ----------
    paired: both models on the customers both scored and whose outcomes are known by now; None where there are too few.
    days: since it began.
    """
    over = days > settings.shadow_days
    if paired is None:
        return (
            ("stop", "Its time in shadow is over, and too few outcomes are known.") if over else ("shadow", "Too early to say.")
        )
    said = f"Live, on {words.counted(paired.rows, 'customer')} both scored, {_compared(paired)}."
    if paired.loss_lower >= settings.retrain_sure:
        return "promote", f"{said} It takes over."
    if paired.loss_lower <= 1 - settings.retrain_sure:
        return "stop", f"{said} It is let go."
    return ("stop", f"{said} Its time in shadow is over.") if over else ("shadow", f"{said} Too early to say.")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Foretold and observed on customers whose outcomes are known: how many, mean risk, rate of leavers (0–1), and how many
    standard errors they lie apart, √Σp(1−p)/n being one (Spiegelhalter 1986, without its weights)."""

    rows: int
    foretold: float
    observed: float
    errors: float

    @property
    def off(self) -> float:
        """By how much the foretold risk is off, 0–1."""
        return abs(self.observed - self.foretold)


def is_off(now: Calibration, settings: Settings) -> bool:
    """Whether foretold risks are off: by more than `return_points`, and beyond chance (3 standard errors)."""
    return 100 * now.off > settings.return_points and now.errors > 3


def is_broken(now: Calibration, before: Calibration, settings: Settings) -> bool:
    """Whether a new champion is to give way: it is off, and the model before would have been nearer on the same customers."""
    return is_off(now, settings) and before.off < now.off
