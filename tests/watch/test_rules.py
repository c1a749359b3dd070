"""What raises an alert: what lasts, and what is plainly so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.errors import SettingsError
from churn.settings import Settings
from churn.watch import rules
from churn.watch.rules import Persistence, Rules, Signal, Window


def _months(*fired: bool | None, size: str = "by 12 points") -> tuple[Window, ...]:
    return tuple(
        Window(date(2026, month, 1), date(2026, month, 28), one, size if one else "") for month, one in enumerate(fired, start=1)
    )


@pytest.mark.parametrize(
    ("fired", "state"),
    [
        ([True], "quiet"),
        ([False, True, True], "raised"),
        ([True, False, True], "raised"),
        ([True, True, False], "raised"),
        ([True, True, False, False], "quiet"),
        ([True, None, True], "raised"),  # what cannot say is passed over, as if that window were not there
        ([None, None], "unsure"),
        ([], "unsure"),
    ],
)
def test_two_of_the_last_three(fired: list[bool | None], state: str) -> None:
    assert Persistence(2, 3).of(fired) == state


@pytest.mark.parametrize(
    ("fired", "first"),
    [
        ([False, True, True, True, True], 2),  # longer ago than three windows
        ([True, False, True, False, True], 1),  # it never paused for long enough to close
        ([True, False, False, True, True], 4),  # it had closed before
        ([True, None, None, True], 1),
    ],
)
def test_it_is_said_to_last_since_it_began(fired: list[bool | None], first: int) -> None:
    (found,) = Rules.of(Settings()).judge([Signal(rules.SCORE_DRIFT, _months(*fired), model="v1")])
    assert found.since == date(2026, first, 1)
    assert f"first from {found.since.day} {found.since:%b} 2026." in found.words


@given(st.lists(st.sampled_from([True, False, None]), max_size=12), st.integers(1, 4), st.integers(0, 3))
def test_only_the_latest_windows_count_and_more_never_turns_quiet(fired: list[bool | None], needed: int, more: int) -> None:
    persistence = Persistence(needed, needed + more)
    known = [one for one in fired if one is not None]
    assert persistence.of(fired) == persistence.of(known[-(needed + more) :])
    if persistence.of(fired) == "raised":
        assert persistence.of([True if one is False else one for one in fired]) == "raised"


def test_an_alert_says_so_where_the_latest_window_is_quiet_again() -> None:
    rule = Rules.of(Settings())
    assert rule.often == "in 2 of the last 3 months"
    (found,) = rule.judge([Signal(rules.COLUMN_MOVED, _months(True, True, False, size="(1% new)"), "use", "Data use", "v1")])
    assert found.words == "Data use has moved (1% new), in 2 of the last 3 months, not in the latest, first from 1 Jan 2026."


def test_what_lasts_is_said_with_its_first_day_and_its_size() -> None:
    (found,) = Rules.of(Settings()).judge(
        [Signal(rules.COLUMN_MOVED, _months(False, True, False, True), "monthly_fee", "Monthly fee", "v3")]
    )
    assert (found.state, found.since, found.last) == ("raised", date(2026, 2, 1), date(2026, 4, 28))
    assert found.words == "Monthly fee has moved by 12 points, in 2 of the last 3 months, first from 1 Feb 2026."


def test_bad_data_counts_at_once_and_drift_does_not() -> None:
    judged = Rules.of(Settings()).judge(
        [Signal(rules.BAD_DATA, _months(True, size="3 rows")), Signal(rules.SCORE_DRIFT, _months(True), model="v1")]
    )
    assert [one.state for one in judged] == ["raised", "quiet"]
    assert judged[0].words == "A table that came in is bad: 3 rows."


def test_a_rule_that_is_left_out_says_nothing() -> None:
    chosen = Rules.of(replace(Settings(), alert_rules="bad-data"))
    assert chosen.judge([Signal(rules.SCORE_DRIFT, _months(True, True, True))]) == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alert_rules": "bad-data, mood"}, "'alert_rules' names 'mood'"),
        ({"alert_needed": 4}, "'alert_needed' must be at most 'alert_windows', which is 3, not 4"),
    ],
)
def test_rules_that_cannot_be_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Rules.of(replace(Settings(), **given))  # type: ignore[arg-type]
