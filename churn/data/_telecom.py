"""The telecom customers of the demo: who joins, what a month does to them, and how likely they are to leave.

A state is a dict of arrays, one element per customer who is still there. What a snapshot shows (`observe`) is less than the
state: frailty, how far somebody has turned away and the shock of a price rise stay hidden behind what they cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

KEY = "customer_id"
RISE = 0.16  # share by which prices rise
_FLOOR = 0.006  # chance of leaving in a month whatever the company does: moves, deaths

_AGES = (18, 90)
_CONTRACTS = ("Month-to-month", "One year", "Two years")
_TERMS = np.array([0, 12, 24])
# mean months as a customer by contract and internet, and the shares used with it: where 400 simulated months settle
_STAY = np.array([[48.0, 37.0, 20.0], [56.0, 45.0, 26.0], [40.0, 38.0, 30.0]])
_INTERNET = ("No internet", "DSL", "Fibre")
_PAYMENTS = ("Direct debit", "Credit card", "Bank transfer", "Paper invoice", "Mobile wallet")
_HOUSEHOLDS = ("Single", "Couple", "Family")
_REGIONS = ("North", "East", "South", "West", "Capital", "unknown")

_Floats: TypeAlias = npt.NDArray[np.float64]
State: TypeAlias = dict[str, npt.NDArray[Any]]


def newcomers(count: int, rng: np.random.Generator, *, tenured: bool = False, price: float = 1.0, wallet: bool = False) -> State:
    """Customers who join; `tenured` ones have been there for a while."""
    internet = _draw(rng, count, (0.28, 0.42, 0.30) if tenured else (0.16, 0.34, 0.50))
    online = internet > 0
    contract = _draw(rng, count, (0.48, 0.36, 0.16) if tenured else (0.74, 0.17, 0.09))
    tenure = np.zeros(count)
    if tenured:
        tenure = np.floor(_STAY[contract, internet] * (-np.log1p(-0.96 * rng.random(count))) ** 1.25)
    term = _TERMS[contract]
    left = np.where(term > 0, term - tenure % np.maximum(term, 1), 0)
    payment = _draw(rng, count, (0.36, 0.21, 0.26, 0.17))
    if wallet:
        payment = np.where(rng.random(count) < 0.09, 4, payment)
    state: State = {
        "tenure": tenure.astype(np.int64),
        "contract": contract,
        "months_left": left.astype(np.int64),
        "internet": internet,
        "lines": 1 + _draw(rng, count, (0.58, 0.28, 0.10, 0.04)),
        "security": online & (rng.random(count) < 0.36),
        "support": online & (rng.random(count) < 0.38),
        "streaming": online & (rng.random(count) < 0.48),
        "payment": payment,
        "paperless": rng.random(count) < np.where(payment == 3, 0.15, 0.72),
        "household": _draw(rng, count, (0.44, 0.31, 0.25)),
        "region": _draw(rng, count, (0.17, 0.18, 0.24, 0.27, 0.13, 0.01)),
        "age": np.clip(46 + 16 * rng.standard_normal(count), *_AGES).round(),
        "haggled": 1 + 0.09 * rng.standard_normal(count).clip(-2.5, 2.5),  # what this customer pays, against the list
        "price": np.where(contract == 0, price, 1.0),  # the rise, where it was felt
        "frailty": 0.25 * rng.standard_normal(count),  # what no column records
        "fading": rng.standard_normal(count),  # how far the customer has turned away already
        "trouble": np.exp(0.5 * rng.standard_normal(count)),
        "calls": np.zeros((count, 3)),
        "sloppy": 0.22 * rng.random(count) ** 2,
        "late": np.zeros(count),
        "use": np.array([9.0, 95.0, 210.0])[internet] * np.exp(0.45 * rng.standard_normal(count)),
        "answers": rng.random(count) < 0.58,
        "survey": np.full(count, np.nan),
        "shock": np.zeros(count),
        "paid": np.zeros(count),
        "no_age": rng.random(count) < 0.03,
        "no_household": rng.random(count) < 0.02,
    }
    if tenured:
        state["late"] = rng.binomial(12, state["sloppy"]).astype(float)
        state["paid"] = (tenure * _charge(state) * (0.9 + 0.1 * rng.random(count))).round(2)
    return state


def _draw(rng: np.random.Generator, count: int, shares: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """Codes 0, 1, … with these shares."""
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(count), side="right").astype(np.int64)


def join(state: State, fresh: State, taken: int) -> State:
    fresh = {**fresh, "id": np.arange(taken, taken + len(fresh["tenure"]))}
    return {name: np.concatenate([state[name], values]) for name, values in fresh.items()} if state else fresh


def _charge(state: Mapping[str, npt.NDArray[Any]]) -> _Floats:
    """Monthly charge: what the list says for these services, less the contract's discount, as this customer pays it."""
    online = np.array([0.0, 19.0, 34.0])[state["internet"]]
    extras = 5.0 * state["security"] + 6.0 * state["support"] + 11.0 * state["streaming"]
    listed = (9.0 + 8.5 * state["lines"] + online + extras) * np.array([1.0, 0.93, 0.88])[state["contract"]]
    return np.asarray((listed * state["haggled"] * state["price"] * 20).round() / 20)


def hazard(state: State, *, risen: bool) -> _Floats:
    """Chance of leaving within the coming month: a logistic function of the state.

    Once prices have `risen`, a rival woos whoever is free to go: the same data then mean more risk, for good.
    """
    online, fibre, free = state["internet"] > 0, state["internet"] == 2, state["contract"] == 0
    calls = state["calls"].sum(axis=1).clip(max=7)
    survey = np.where(np.isnan(state["survey"]), 7.0, state["survey"])
    unhelped = online & ~state["support"]
    score = (
        -6.7
        + np.array([2.2, 0.0, -0.8])[state["contract"]]
        + 2.0 * (~free & (state["months_left"] <= 3))
        + np.select([state["tenure"] <= 3, state["tenure"] <= 12, state["tenure"] <= 30], [1.9, 1.0, 0.4], 0.0)
        + np.array([-0.4, 0.0, 0.4])[state["internet"]]
        + 0.7 * (fibre & free & ~state["security"])
        + np.select([calls >= 4, calls >= 2], [1.0, 0.5], 0.0)
        + np.select([unhelped & (calls >= 4), unhelped & (calls >= 2)], [1.5, 1.0], 0.0)
        + np.select([state["late"] >= 3, state["late"] >= 1], [1.3, 0.4], 0.0)
        + np.array([-0.35, -0.10, 0.25, 0.60, 0.10])[state["payment"]]
        + np.select([free & (_charge(state) >= 80), free & (_charge(state) >= 60)], [0.9, 0.4], 0.0)
        - np.where(free, 0.20, 0.08) * (survey - 7.0)
        + 0.6 * ((state["age"] < 30) & free)
        + 0.15 * (state["household"] == 0)
        + 1.2 * state["fading"].clip(min=-0.5)
        + state["frailty"]
        + state["shock"]
        + 0.3 * (free & risen)
    )
    return np.asarray(_FLOOR + (1 - _FLOOR) / (1 + np.exp(-score)))


def live_a_month(state: State, rng: np.random.Generator, *, rise: bool, risen: bool) -> State:
    """One month for everybody who stayed: pay, call, use less or more, run out of a contract."""
    state = dict(state)
    count = len(state["tenure"])
    state["paid"] = (state["paid"] + _charge(state)).round(2)
    state["tenure"] = state["tenure"] + 1
    months_left = np.maximum(state["months_left"] - 1, 0)
    ended = (state["contract"] > 0) & (months_left == 0)
    renews = rng.random(count) < 0.72
    signs = (state["contract"] == 0) & (rng.random(count) < 0.016)
    contract = np.where(ended & ~renews, 0, np.where(signs, 1, state["contract"]))
    state["months_left"] = np.where(ended & renews, _TERMS[contract], np.where(signs, 12, months_left))
    if rise or risen:
        out = ended & ~renews & (state["price"] == 1.0)  # whoever drops out of a contract meets the new list
        hit = ((state["contract"] == 0) & (state["price"] == 1.0)) if rise else out
        state["price"] = np.where(hit, 1 + RISE, state["price"])
        state["shock"] = np.where(hit, 0.70, state["shock"] * 0.9)
    state["contract"] = contract
    fading = 0.92 * state["fading"] + 0.39 * rng.standard_normal(count)
    rate = 0.36 * state["trouble"] * np.array([0.5, 0.9, 1.2])[state["internet"]] * np.where(state["support"], 0.75, 1.0)
    state["calls"] = np.column_stack([state["calls"][:, 1:], rng.poisson(rate)])
    state["fading"] = fading + 0.25 * rise * (state["shock"] > 0)
    paid_late = rng.random(count) < state["sloppy"] * np.where(state["payment"] <= 1, 0.5, 1.6)
    forgotten = rng.random(count) < state["late"] / 12
    state["late"] = np.clip(state["late"] + paid_late - forgotten, 0, 12)
    asked = state["answers"] & (np.isnan(state["survey"]) | (rng.random(count) < 0.2))
    answer = 7.4 - 0.9 * state["fading"] - 0.5 * state["calls"].sum(axis=1) + 1.2 * rng.standard_normal(count)
    state["survey"] = np.where(asked, answer.round().clip(0, 10), state["survey"])
    return state


def observe(state: State, day: date, rng: np.random.Generator) -> pl.DataFrame:
    """The snapshot of one day: what the company's systems know, holes included."""
    count = len(state["tenure"])
    charge = _charge(state)
    use = state["use"] * np.exp(-0.12 * state["fading"] + 0.15 * rng.standard_normal(count))
    usual = (100 - 15.0 * state["fading"] + 5.0 * rng.standard_normal(count)).clip(5, 250).round()
    ends = np.where(state["contract"] == 0, 0, np.where(state["months_left"] <= 3, 1, 2))
    return (
        pl.DataFrame(
            {
                KEY: keys(state["id"]),
                "snapshot_date": pl.Series([day]).extend_constant(day, count - 1),
                "age": _holes(state["age"], state["no_age"]),
                "household": _levels(_HOUSEHOLDS, state["household"], state["no_household"]),
                "region": _levels(_REGIONS, state["region"]),
                "tenure_months": state["tenure"],
                "contract": _levels(_CONTRACTS, state["contract"]),
                "contract_ends": _levels(("No end date", "Within 3 months", "Later"), ends),
                "internet": _levels(_INTERNET, state["internet"]),
                "mobile_lines": state["lines"],
                "online_security": _yes(state["security"]),
                "tech_support": _yes(state["support"]),
                "streaming_tv": _yes(state["streaming"]),
                "data_gb": _holes(use.round(1), rng.random(count) < 0.015),
                "data_against_usual": _holes(usual, state["tenure"] < 3),
                "support_calls": state["calls"].sum(axis=1).astype(np.int64),
                "survey_score": _holes(state["survey"], np.isnan(state["survey"])),
                "payment_method": _levels(_PAYMENTS, state["payment"]),
                "paperless_billing": _yes(state["paperless"]),
                "late_payments": state["late"].astype(np.int64),
                "monthly_charge": charge,
                "total_charges": state["paid"],
            }
        )
        .sort(KEY)
        .rechunk()
    )


def keys(ids: npt.NDArray[np.int64]) -> pl.Series:
    """Customer numbers: eight digits, some with leading zeros, in no order; one per id, as 99 999 989 is prime."""
    return pl.Series(KEY, (ids + 1) * 61_803_399 % 99_999_989).cast(pl.String).str.zfill(8)


def _levels(names: tuple[str, ...], codes: npt.NDArray[np.int64], unknown: npt.NDArray[np.bool_] | None = None) -> pl.Series:
    indices = pl.Series(codes)
    return pl.Series(names).gather(indices if unknown is None else indices.set(pl.Series(unknown), None))


def _yes(flags: npt.NDArray[np.bool_]) -> pl.Series:
    return _levels(("No", "Yes"), flags.astype(np.int64))


def _holes(values: _Floats, unknown: npt.NDArray[np.bool_]) -> pl.Series:
    return pl.Series(values).set(pl.Series(unknown), None)
