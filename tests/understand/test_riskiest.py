"""The riskiest segments: what is there is found, what is chance is not told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND, Filter
from churn.base.snapshot import MARGIN, RISK, Snapshot
from churn.data.schema import Schema
from churn.score.batch import Scored, band_of, write_scoring
from churn.settings import Settings
from churn.understand.riskiest import LEAST_SHARE, riskiest

COLUMNS = 8
LEVELS = 4
SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "features": [
            {"name": f"c{i}", "kind": "category", "label": f"C{i}", "levels": [{"value": f"{i}{j}"} for j in range(LEVELS)]}
            for i in range(COLUMNS)
        ],
    }
)
Open = Callable[..., Snapshot]


@pytest.fixture
def open_risks(tmp_path: Path) -> Iterator[Open]:
    """A base whose risks follow from its codes; the model is sure of its calibration."""
    opened: list[Snapshot] = []
    numbers = itertools.count()

    def make(size: int, risk_of: Callable[[np.ndarray, np.random.Generator], np.ndarray], seed: int = 1) -> Snapshot:
        draw = np.random.default_rng(seed)
        codes = draw.integers(0, LEVELS, (COLUMNS, size))
        risk = np.clip(risk_of(codes, draw), 0.001, 0.999)
        columns: dict[str, Any] = {"id": [f"K{i}" for i in range(size)]}
        columns |= {f"c{i}": [f"{i}{j}" for j in codes[i]] for i in range(COLUMNS)}
        columns |= {RISK: risk, MARGIN: np.zeros(size), BAND: band_of(risk, SCHEMA)}
        folder = tmp_path / f"scoring-{next(numbers)}"
        scored = Scored(pl.DataFrame(columns), None, 0.2, {}, {}, 0, 0)
        facts = {"model_version": "v1", "schema": SCHEMA, "as_of": date(2026, 11, 1), "simulated": False}
        write_scoring(folder, scored, **facts, calibration_covariance=[[0.0, 0.0], [0.0, 0.0]])
        opened.append(Snapshot.open(folder, SCHEMA, Settings(home=tmp_path)))
        return opened[-1]

    yield make
    for snapshot in opened:
        snapshot.close()


def _planted(codes: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A triple no shorter group shows as well, a pair, and little else."""
    triple = (codes[0] == 1) & (codes[2] == 3) & (codes[5] == 0)
    pair = (codes[1] == 2) & (codes[4] == 2)
    return 0.1 + 0.6 * triple + 0.3 * pair + draw.normal(0, 0.03, codes.shape[1])


def test_planted_segments_are_found(open_risks: Open) -> None:
    snapshot = open_risks(8000, _planted)
    found = riskiest(snapshot)
    names = [one.segment.labels for one in found.segments]
    assert names[:2] == [("01", "23", "50"), ("12", "42")]
    first = found.segments[0]
    assert first.checked_risk == pytest.approx(0.7, abs=0.05)
    assert first.segment.average_risk == pytest.approx(0.7, abs=0.05)
    assert first.likely.low < first.checked_risk < first.likely.high
    assert first.against_average == pytest.approx(first.checked_risk / found.average_risk)
    assert first.segment == snapshot.segments(first.segment.filter, first.segment.columns)[0]
    assert found.searched + found.checked == 8000
    assert 0 < first.checked < first.segment.customers
    assert found.tried > 500


def test_it_keeps_to_the_filter(open_risks: Open) -> None:
    snapshot = open_risks(8000, _planted)
    chosen = Filter.of({"c0": ["00", "02"], "c7": ["70", "71", "72"]})
    found = riskiest(snapshot, chosen)
    assert found.segments[0].segment.labels == ("12", "42")
    assert found.searched + found.checked == snapshot.totals(chosen).customers
    for one in found.segments:
        assert one.segment.filter.labels("c7") in (("70", "71", "72"), *((f"7{i}",) for i in range(3)))


def test_chance_is_not_told(open_risks: Open) -> None:
    """Risks drawn at random: some of thousands of groups look risky, and the other half says they are not."""
    told = 0
    for seed in range(20):
        snapshot = open_risks(3000, lambda codes, draw: draw.beta(1, 4, codes.shape[1]), seed)
        told += len(riskiest(snapshot).segments)
    assert told <= 2


def test_size_and_overlap(open_risks: Open) -> None:
    snapshot = open_risks(
        6000,
        lambda codes, draw: (
            0.05 + 0.05 * codes.sum(axis=0) / COLUMNS * (codes[0] + codes[1]) + draw.normal(0, 0.02, codes.shape[1])
        ),
    )
    found = riskiest(snapshot, most=5)
    assert 1 < len(found.segments) <= 5
    risks = [one.checked_risk for one in found.segments]
    assert risks == sorted(risks, reverse=True)
    for one in found.segments:
        assert one.checked >= snapshot.small_group
        assert one.segment.customers >= 0.8 * LEAST_SHARE * 6000
    for one, other in itertools.combinations(found.segments, 2):
        assert one.segment.labels != other.segment.labels


def test_too_few_to_search(open_risks: Open) -> None:
    snapshot = open_risks(40, _planted)
    assert riskiest(snapshot).segments == ()
    nobody = Filter.of({BAND: ["Very high"], "c0": ["00"], "c1": ["10"]})
    found = riskiest(snapshot, nobody)
    assert (found.segments, found.checked) == ((), snapshot.totals(nobody).customers - found.searched)


def test_everybody_alike(open_risks: Open) -> None:
    found = riskiest(open_risks(2000, lambda codes, draw: np.full(codes.shape[1], 0.2)))
    assert found.segments == ()
    assert found.average_risk == pytest.approx(0.2)
