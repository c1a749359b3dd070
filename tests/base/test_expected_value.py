"""What a customer is worth and what an offer brings: by hand, against drawing outcomes, and in SQL as in numpy."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from churn.base.expected_value import (
    NO_STEP,
    Assumptions,
    best_first,
    break_even,
    customer_value,
    expected_value,
    expected_value_sql,
    offer_cost,
    steps,
)
from churn.errors import SettingsError
from churn.settings import Settings

from .conftest import MakeSchema

HALF = Assumptions(alpha=3, beta=7, stayers_taking=0.5, value_months=12, contact_cost=1)


def test_expected_value_by_hand() -> None:
    # 4 in 10 leave; of them 3 in 10 are kept, who are worth 500 less the 50 of the offer; half of the others take it too
    assert float(expected_value(0.4, 500.0, 50.0, HALF)) == pytest.approx(0.4 * (0.3 * 450 - 1) - 0.6 * (25 + 1))
    assert float(offer_cost(0.4, 50.0, HALF)) == pytest.approx(1 + 0.4 * 0.3 * 50 + 0.6 * 0.5 * 50)
    # nobody leaves: all it does is cost
    assert float(expected_value(0.0, 500.0, 50.0, HALF)) == -26.0


def test_expected_value_is_what_drawn_outcomes_bring() -> None:
    rng = np.random.default_rng(5)
    draws, risk, value, offer = 400_000, 0.35, 700.0, 40.0
    leaves = rng.random(draws) < risk
    acceptance = rng.beta(HALF.alpha, HALF.beta, draws)
    kept = leaves & (rng.random(draws) < acceptance)
    given_away = ~leaves & (rng.random(draws) < HALF.stayers_taking)
    brought = kept * (value - offer) - given_away * offer - HALF.contact_cost
    error = brought.std() / np.sqrt(draws)
    assert float(expected_value(risk, value, offer, HALF)) == pytest.approx(brought.mean(), abs=4 * error)


@given(value=some.floats(1, 1e5), offer=some.floats(0, 1e4), contact=some.floats(0, 100), stayers=some.floats(0, 1))
def test_break_even_is_where_it_brings_nothing(value: float, offer: float, contact: float, stayers: float) -> None:
    assumed = Assumptions(stayers_taking=stayers, contact_cost=contact)
    risk = float(break_even(value, offer, assumed))
    scale = value + offer + contact
    if risk <= 1:
        assert float(expected_value(risk, value, offer, assumed)) == pytest.approx(0, abs=1e-9 * scale)
        assert float(expected_value(min(risk + 0.01, 1), value, offer, assumed)) >= -1e-9 * scale
    else:  # not even for those who are sure to leave
        assert float(expected_value(1.0, value, offer, assumed)) <= 1e-9 * scale


def test_never_worth_it_and_not_known() -> None:
    assert break_even(np.array([10.0, np.nan]), 500.0, HALF)[0] > 1
    assert np.isinf(break_even(-100.0, 0.0, HALF))
    assert np.isnan(break_even(np.nan, 500.0, HALF))
    assert np.isnan(expected_value(0.5, np.nan, 10.0, HALF))


@pytest.mark.parametrize(
    ("period", "value"), [("month", 12 * 60.0), ("quarter", 4 * 60.0), ("year", 60.0), ("once", 60.0)], ids=str
)
def test_value_counts_the_periods_of_the_money(make_schema: MakeSchema, period: str, value: float) -> None:
    schema = make_schema(money={"column": "charge", "period": period})
    assert customer_value(60.0, schema, HALF) == pytest.approx(value)


def test_value_of_arrays_and_of_tables_without_money(make_schema: MakeSchema) -> None:
    known = customer_value(np.array([10.0, np.nan, -5.0]), make_schema(), HALF)
    assert known is not None
    assert np.array_equal(known, [120.0, np.nan, -60.0], equal_nan=True)
    none = make_schema(money=None)
    assert customer_value(10.0, none, HALF) is None
    assert expected_value_sql(none, 10.0, HALF) is None


@given(
    some.lists(
        some.sampled_from([0.0, -0.0, 1.0, np.nextafter(1.0, 2), 1e-50, -1e-50, -3.5, 3e38, np.nan]) | some.floats(-1e9, 1e9)
    )
)
def test_the_best_first_and_equals_in_their_order(worth: list[float]) -> None:
    values = np.array(worth, dtype=np.float64)
    order = np.argsort(-values, kind="stable").tolist()
    assert best_first(values).tolist() == order
    assert best_first(values, 3).tolist() == order[:3]
    assert best_first(values, len(values) + 1).tolist() == order
    known = len(values) - int(np.isnan(values).sum())
    assert steps(values)[order].tolist() == [*range(known), *[NO_STEP] * (len(values) - known)]


def test_of_many_the_steps_rise_and_part_what_pays_from_what_does_not() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 50, NO_STEP), [0.0, -0.0, 1e-300, -1e-300, 1e30, -1e30, np.nan]])
    found = steps(values)
    order = np.argsort(-values, kind="stable")
    assert (np.diff(found[order].astype(int)) >= 0).all()
    assert found[values > 1e-30].max() < found[values <= 0].min()
    assert (found == NO_STEP).tolist() == np.isnan(values).tolist()
    assert np.allclose(values[found == found[0]], values[0], rtol=1 / 128)


def test_sql_says_the_same(make_schema: MakeSchema) -> None:
    schema = make_schema(money={"column": "charge", "period": "quarter"})
    rng = np.random.default_rng(6)
    p, v = rng.random(200), rng.gamma(2, 80, 200)
    text = expected_value_sql(schema, 33.5, HALF)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE base AS SELECT unnest(?) AS p, unnest(?) AS v", [p.tolist(), v.tolist()])
    found = connection.execute(f"SELECT {text} FROM base").fetchnumpy()
    worth = customer_value(v, schema, HALF)
    assert worth is not None
    assert next(iter(found.values())) == pytest.approx(expected_value(p, worth, 33.5, HALF), abs=1e-9)
    assert connection.execute(f"SELECT {text} FROM (SELECT .5 AS p, NULL::DOUBLE AS v)").fetchone() == (None,)


def test_assumptions_come_from_settings_and_are_named(tmp_path: Path, make_schema: MakeSchema) -> None:
    given = {"CHURN_ASSUME_ACCEPTANCE_ALPHA": "3", "CHURN_ASSUME_ACCEPTANCE_BETA": "7", "CHURN_ASSUME_STAYERS_TAKING": "0.5"}
    assumed = Assumptions.of(Settings.load(home=tmp_path, environ=given))
    assert assumed == Assumptions(3, 7, 0.5, 12, 1)
    assert assumed.acceptance == pytest.approx(0.3)
    told = assumed.in_words(make_schema())
    assert [(one.name, one.value) for one in told] == [
        ("Offers that work", "30%"),
        ("Offers given away", "50%"),
        ("Cost of a contact", "$1"),
        ("Worth of a customer kept", "12 months"),
    ]
    assert all(one.sentence.endswith("An assumption.") for one in told)
    once = assumed.in_words(make_schema(money={"column": "charge", "period": "once"}))
    assert once[-1].sentence == "A customer who is kept is worth what was paid once. An assumption."
    assert assumed.in_words(make_schema(money=None)) == told[:3]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alpha": 0.0}, "'assume_acceptance_alpha' must be above 0, not 0"),
        ({"stayers_taking": 1.2}, "'assume_stayers_taking' must be from 0 to 1, not 1.2"),
        ({"contact_cost": float("nan")}, "'assume_contact_cost' must be at least 0, not nan"),
    ],
)
def test_assumptions_that_cannot_be(given: dict[str, float], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Assumptions(**given)
