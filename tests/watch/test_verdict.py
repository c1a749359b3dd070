"""The answer in a sentence, for whatever state the log and its outcomes are in."""

from __future__ import annotations

import re
from datetime import date

import pytest

from churn.data.schema import Schema
from churn.watch.figures import Band
from churn.watch.verdict import in_100, verdict, when

from .windows import window

TODAY = date(2026, 11, 28)
SCHEMA = Schema.model_validate(
    {
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes"},
        "features": [{"name": "charge", "kind": "number", "label": "Charge"}],
    }
)


def test_what_holds_is_said_of_the_last_month_with_outcomes() -> None:
    months = [window(7), window(8), window(9, odds=None), window(10, odds=None)]
    said = verdict(months, SCHEMA, champion="v2", today=TODAY)
    found = months[1].realised
    assert found is not None
    assert said.title == f"The ranking holds: of the 500 riskiest in August, {round(100 * found.precision.value)}% left"
    assert said.follows.startswith(f"Of all 4,000 customers, {found.left:,} left within 30 days; ")
    assert said.window is months[1]


@pytest.mark.parametrize(("odds", "told", "side"), [(0.5, "more", "too low"), (-0.5, "fewer", "too high")])
def test_a_wrong_level_is_told_with_what_it_means(odds: float, told: str, side: str) -> None:
    said = verdict([window(8, odds=odds)], SCHEMA, champion="v2", today=TODAY)
    assert said.title.startswith(f"The ranking holds, but {told} left than promised: ")
    assert "in August, not " in said.title
    assert f"mind that they are {side}" in said.follows
    assert said.follows.startswith("Of the 500 riskiest in August, ")


def test_a_ranking_that_slipped_goes_before_the_level() -> None:
    said = verdict([window(8, shuffle=True, odds=0.5)], SCHEMA, champion="v2", today=TODAY)
    assert re.fullmatch(
        r"The ranking has slipped: in August it picked the leaver over a stayer 5\d times in 100, not 7\d as promised", said.title
    )
    assert said.follows.startswith("Of the 500 riskiest in August, ")
    assert "train anew" in said.follows


def test_the_model_in_use_goes_before_others_and_others_before_silence() -> None:
    old, new = window(9, model="v1"), window(8, model="v2")
    assert verdict([new, old], SCHEMA, champion="v2", today=TODAY).window is new
    replaced = verdict([old, window(10, odds=None)], SCHEMA, champion="v2", today=date(2026, 11, 20))
    assert replaced.window is old
    assert replaced.follows.endswith("That was model v1; of model v2, in use now, the first outcomes are due 28 Nov.")
    unknown = verdict([window(9, model="v1", odds=0.5)], SCHEMA, champion="v2", today=TODAY)
    assert unknown.follows.endswith("That was model v1; of model v2, in use now, no outcomes can be compared yet.")
    assert "too low" not in unknown.follows


def test_before_the_first_outcome_it_says_when_that_is_due() -> None:
    early = [window(10, odds=None)]
    said = verdict(early, SCHEMA, champion="v2", today=date(2026, 11, 20))
    assert said.title == "Too early to say: the first outcomes are due 28 Nov"
    assert said.follows.startswith("Until then, its own word for it: of the 500 riskiest in October, ")
    late = verdict([window(9, odds=None, matured=0.72)], SCHEMA, champion="v2", today=TODAY)
    assert late.title == "Too early to say: of the outcomes due since 28 Oct, 72% are known"
    assert late.follows.startswith("Outcomes are compared once 95% of a day's are known")


def test_nothing_nobody_and_too_few_are_said_plainly() -> None:
    assert verdict([], SCHEMA, champion="v2", today=TODAY).title == "No predictions are logged yet"
    nobody = verdict([], SCHEMA, champion="v2", today=TODAY, whole=False)
    assert (nobody.title, nobody.follows) == ("Nobody like this is among the predictions logged", "")
    few = verdict([window(8, rows=150)], SCHEMA, champion="v2", today=TODAY)
    assert few.title == "Too few customers (150) to say; shown from 200"


def test_windows_are_named_as_people_name_them() -> None:
    one = window(8)
    assert when(one, "month", TODAY) == "in August"
    assert when(one, "month", date(2027, 2, 1)) == "in August 2026"
    assert when(one, "week", TODAY) == "in the week from 1 Aug"
    assert when(one, "day", date(2027, 2, 1)) == "on 1 Aug 2026"
    assert (in_100(Band(0.853, 0, 1)), in_100(Band(0.9961, 0, 1)), in_100(None)) == ("85", "99.6", "–")


@pytest.mark.parametrize(("odds", "who"), [(50.0, "Everybody"), (-50.0, "Nobody")])
def test_a_ranking_of_one_kind_of_customer_is_not_judged(odds: float, who: str) -> None:
    said = verdict([window(8, odds=odds)], SCHEMA, champion="v2", today=TODAY)
    assert said.title == f"{who} scored in August and known by now left: the ranking cannot be judged"
    assert said.follows.startswith("Of all 4,000 customers, ")
    assert said.follows.endswith("look at how outcomes were recorded.")
