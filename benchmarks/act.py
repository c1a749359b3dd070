"""act-holdout-…, act-false-claims: whether the holdout is what it says, and whether results claim no more than they may.

Holdouts are drawn of a million customers by the function that campaigns use, and drawn again after the list has grown. Campaigns
are simulated from nothing but risks and an effect, 10,000 with one and 10,000 without, of sizes and mixes of bands drawn anew for
each, and measured as the desk measures them. Nothing here is a time: the figures are shares and counts.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from churn.act import effect
from churn.act.holdout import HOLDOUT, draw

_CUSTOMERS, _CAMPAIGNS, _SHARE = 1_000_000, 10_000, 0.1
_RISK = np.array([0.07, 0.24, 0.46, 0.75])  # of the four bands
_BANDS = np.array(["Low", "Medium", "High", "Very high"])


def run() -> list[dict[str, Any]]:
    return [*_holdouts(), *_campaigns()]


def _holdouts() -> list[dict[str, Any]]:
    """The worst imbalance of a band, and how many changed arms when the list grew by a quarter."""
    rng = np.random.default_rng(1)
    keys = [f"C{number:07d}" for number in range(_CUSTOMERS)]
    bands = _BANDS[rng.choice(4, _CUSTOMERS, p=[0.4, 0.3, 0.2, 0.1])]
    first = _CUSTOMERS * 4 // 5
    early = draw(keys[:first], bands[:first].tolist(), salt="campaign", share=_SHARE)
    before = dict(zip(keys[:first], early, strict=True))
    moved = bands.copy()
    again = rng.random(_CUSTOMERS) < 0.1
    moved[again] = _BANDS[rng.choice(4, int(again.sum()))]  # a new scoring puts some into another band
    late = draw(keys, moved.tolist(), salt="campaign", share=_SHARE, before=before)
    changed = sum(one != other for one, other in zip(early, late[:first], strict=True))
    held = np.array(early) == HOLDOUT
    worst = float(max(abs(held[bands[:first] == band].mean() - _SHARE) for band in _BANDS))
    spread = abs(held[0::2].mean() - held[1::2].mean())  # of something the draw cannot know
    print(
        f"{first:,} drawn, {int(held.sum()):,} held out; worst band off by {worst:.1e}; "
        f"even and odd customers differ by {spread:.1e}; {changed} of {first:,} changed arms when {_CUSTOMERS - first:,} joined",
        file=sys.stderr,
    )
    return [
        _row("act-holdout-imbalance-1m", worst, "≤ 0.001", "of a band"),
        _row("act-holdout-changed-1m", float(changed), "≤ 0", "customers"),
    ]


def _campaigns() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    inside = told = claims = plain = 0
    for _ in range(_CAMPAIGNS):
        inside_one, told_one, plain_one = _campaign(rng, rng.uniform(0.1, 0.4))
        inside, told, plain = inside + inside_one, told + told_one, plain + plain_one
        claims += _campaign(rng, 0.0)[1]
    print(
        f"{_CAMPAIGNS:,} campaigns with an effect: the interval held it in {inside:,} and told a difference in {told:,}; "
        f"{_CAMPAIGNS:,} without: {claims:,} claims; the interval that knows no bands would have held it in {plain:,}",
        file=sys.stderr,
    )
    coverage = inside / _CAMPAIGNS
    return [
        _row("act-holdout-coverage", coverage, None, "of intervals"),
        _row("act-holdout-coverage-off", abs(coverage - 0.95), "≤ 0.01", "from 0.95"),
        _row("act-false-claims", claims / _CAMPAIGNS, "≤ 0.057", "of campaigns"),
    ]


def _campaign(rng: np.random.Generator, acceptance: float) -> tuple[bool, bool, bool]:
    """One campaign: whether its interval holds the true effect, whether it tells a difference, and what the plain one holds."""
    sizes = rng.multinomial(rng.integers(600, 6000), rng.dirichlet([1.0, 2.0, 3.0, 2.0]))
    held = np.round(sizes * _SHARE).astype(int)
    called = sizes - held
    risk = np.clip(_RISK + rng.normal(0, 0.04, 4), 0.01, 0.95)
    called_left, held_left = rng.binomial(called, risk * (1 - acceptance)), rng.binomial(held, risk)
    counted = list(zip(called_left.tolist(), called.tolist(), held_left.tolist(), held.tolist(), strict=True))
    found = effect.stratified(counted)
    true = float((sizes * risk).sum() / sizes.sum() * acceptance)
    plain = effect.intention_to_treat(int(called_left.sum()), int(called.sum()), int(held_left.sum()), int(held.sum())).interval
    return found.interval.low <= true <= found.interval.high, found.told, plain.low <= true <= plain.high


def _row(name: str, value: float, target: str | None, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "peer": None, "peer_value": None, "ratio": None, "target": target, "unit": unit}
