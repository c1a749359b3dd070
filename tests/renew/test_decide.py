"""When a training is due and what becomes of the new model, by evidence made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from churn.learn.evaluation import Paired
from churn.model.metrics import Estimate
from churn.renew.decide import Calibration, Cohort, Evidence, due, is_broken, outcome, shadow_outcome
from churn.settings import Settings
from churn.watch.rules import COLUMN_MOVED, ESTIMATED_LOSS, JOINT_DRIFT, REALISED_LOSS, SCORE_DRIFT, Signal, Window

TODAY = date(2026, 9, 30)
SETTINGS = Settings()


def _signal(cause: str, fired: Sequence[bool | None], first: int = 1) -> Signal:
    days = [date(2026, month, 1) for month in range(first, first + len(fired))]
    return Signal(cause, tuple(Window(day, day + timedelta(days=27), one) for day, one in zip(days, fired, strict=True)))


def _cohort(month: int, known: int = 1000, rows: int = 1000, left: int = 200) -> Cohort:
    day = date(2026, month, 28)
    return Cohort(day, rows, known, left if known else 0, day + timedelta(days=110), known > 0)


def _evidence(*signals: Signal, cohorts: Sequence[Cohort] = (), **given: object) -> Evidence:
    listed = tuple(cohorts) or tuple(_cohort(month) for month in range(1, 7))
    known = {"champion": "v1", "champion_since": date(2026, 1, 1), "today": TODAY, "bad_data": False} | given
    return Evidence(signals=signals, cohorts=listed, **known)  # type: ignore[arg-type]


LOSS = _signal(REALISED_LOSS, [False, False, True, False, True])


def test_realised_loss_that_lasts_makes_a_training_due() -> None:
    found = due(_evidence(LOSS), SETTINGS)
    assert (found.kind, found.cause, found.since) == ("due", REALISED_LOSS, date(2026, 3, 1))
    assert found.words == (
        "The champion errs more than it promised in 2 months, first from 1 Mar 2026. "
        "4,000 outcomes since then that it was not trained on, 800 of them left."
    )


@pytest.mark.parametrize(
    "signals",
    [
        (),
        (_signal(REALISED_LOSS, [True, False, False]),),
        (_signal(REALISED_LOSS, [None, None, None]),),
        (_signal(SCORE_DRIFT, [True, True, True]),),  # without a loss to be expected
        (_signal(ESTIMATED_LOSS, [True, True, True]),),  # without moved scores
        (_signal(SCORE_DRIFT, [True, True, True]), _signal(ESTIMATED_LOSS, [True, False, False])),
        (_signal(COLUMN_MOVED, [True] * 9), _signal(JOINT_DRIFT, [True] * 9)),  # never by columns alone
    ],
)
def test_nothing_less_does(signals: tuple[Signal, ...]) -> None:
    assert due(_evidence(*signals), SETTINGS).kind == ""


def test_scores_that_moved_and_a_loss_to_be_expected_do_together() -> None:
    found = due(_evidence(_signal(SCORE_DRIFT, [False, True, True]), _signal(ESTIMATED_LOSS, [True, True, False])), SETTINGS)
    assert (found.kind, found.cause, found.since) == ("due", SCORE_DRIFT, date(2026, 2, 1))


@pytest.mark.parametrize(
    ("first_due", "said"),
    [
        (date(2026, 11, 29), ". No outcomes are due yet for model v1; the first are due 29 Nov."),
        (date(2027, 1, 3), ". No outcomes are due yet for model v1; the first are due 3 Jan 2027."),
        (TODAY, ": too few outcomes of what model v1 has scored are known yet."),
        (None, ": model v1 has no logged predictions yet."),
    ],
)
def test_where_nothing_can_be_compared_yet_it_says_why(first_due: date | None, said: str) -> None:
    """Outcomes of other models' scorings may be known all the while."""
    found = due(_evidence(_signal(REALISED_LOSS, [None]), first_due=first_due), SETTINGS)
    assert found.words == f"Nothing calls for a new training, as far as can be told{said}"


def test_bad_data_holds_it_back_and_a_shadow_too() -> None:
    blocked = due(_evidence(LOSS, bad_data=True), SETTINGS)
    assert blocked.kind == "blocked"
    assert "while a table that came in is bad" in blocked.words
    waiting = due(_evidence(LOSS, shadow="v2"), SETTINGS)
    assert (waiting.kind, waiting.until) == ("waiting", None)
    assert "Waiting for model v2, which runs in shadow." in waiting.words


def test_a_young_champion_is_left_alone_to_the_day() -> None:
    young = _evidence(LOSS, champion_since=TODAY - timedelta(days=59))
    found = due(young, SETTINGS)
    assert (found.kind, found.until) == ("waiting", TODAY + timedelta(days=1))
    assert found.words.endswith("Waiting until 1 Oct 2026, for model v1 is in use since 2 Aug 2026 only.")
    assert due(replace(young, champion_since=TODAY - timedelta(days=60)), SETTINGS).kind == "due"


def test_it_waits_for_outcomes_from_the_time_of_the_change() -> None:
    before = [_cohort(month, known=9000, rows=9000) for month in (1, 2)]  # many, and of no use: nothing had changed yet
    after = [_cohort(3, known=600, rows=600), _cohort(4, known=0, rows=300), _cohort(5, known=0, rows=300)]
    found = due(_evidence(LOSS, cohorts=[*before, *after]), SETTINGS)
    assert (found.kind, found.until) == ("waiting", after[2].matures)
    assert found.words.endswith("Waiting until 15 Sep 2026 for 1,000 outcomes since then; 600 outcomes so far.")
    nothing_more = due(_evidence(LOSS, cohorts=[*before, after[0]]), SETTINGS)
    assert (nothing_more.kind, nothing_more.until) == ("waiting", None)


def test_a_training_needs_both_kinds_of_outcomes() -> None:
    one_sided = [_cohort(3, known=5000, rows=5000, left=9)]
    assert due(_evidence(LOSS, cohorts=one_sided), SETTINGS).kind == "waiting"
    assert due(_evidence(LOSS, cohorts=[replace(one_sided[0], left=10)]), SETTINGS).kind == "due"


def _paired(loss_lower: float, auc_higher: float = 0.5) -> Paired:
    return Paired(4000, 900, (0.40, 0.38), (0.80, 0.82), Estimate(-0.02, 0.01, -0.04, 0), loss_lower, auc_higher)


@pytest.mark.parametrize(
    ("lower", "higher", "gates", "setting", "becomes"),
    [
        (0.99, 0.6, True, "promote", "promote"),
        (0.99, 0.6, True, "shadow", "shadow"),
        (0.99, 0.6, True, "keep", "stop"),
        (0.99, 0.6, False, "promote", "stop"),
        (0.99, 0.04, True, "promote", "stop"),  # better risks, and surely a worse order
        (0.80, 0.6, True, "promote", "shadow"),
        (0.5, 0.6, True, "promote", "stop"),  # the same model again
    ],
)
def test_what_becomes_of_a_challenger(lower: float, higher: float, gates: bool, setting: str, becomes: str) -> None:
    assert outcome(_paired(lower, higher), replace(SETTINGS, retrain=setting), gates_hold=gates)[0] == becomes


@pytest.mark.parametrize(
    ("lower", "days", "becomes"),
    [
        (0.96, 10, "promote"),
        (0.5, 10, "shadow"),
        (0.04, 10, "stop"),
        (0.5, 181, "stop"),
        (None, 10, "shadow"),
        (None, 181, "stop"),
    ],
)
def test_what_becomes_of_a_model_in_shadow(lower: float | None, days: int, becomes: str) -> None:
    paired = None if lower is None else _paired(lower)
    assert shadow_outcome(paired, SETTINGS, days=days)[0] == becomes


def test_calibration_is_broken_only_if_off_beyond_chance_and_worse_than_before() -> None:
    off, near = Calibration(900, 0.10, 0.20, 9.0), Calibration(900, 0.17, 0.20, 2.0)
    assert is_broken(off, near, SETTINGS)
    assert not is_broken(near, off, SETTINGS)
    assert not is_broken(off, off, SETTINGS)
    assert not is_broken(replace(off, errors=2.9), near, SETTINGS)
