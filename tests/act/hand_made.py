"""Lists and campaigns made up for tests, and a database in a file or in a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.act import campaigns
from churn.act.campaigns import Campaign
from churn.base.expected_value import Assumptions
from churn.base.records import Records
from churn.settings import Settings

AS_OF = date(2026, 6, 30)
START = datetime(2026, 7, 1, 9, tzinfo=UTC)
HORIZON = 90


def listed(size: int = 40, **columns: Any) -> pl.DataFrame:
    """A list as a call list gives it: `C0`, `C1`, …, every third of them of high risk."""
    found: dict[str, Any] = {
        "customer": [f"C{number}" for number in range(size)],
        "rank": list(range(1, size + 1)),
        "band": ["High" if number % 3 == 0 else "Medium" for number in range(size)],
        "risk": [0.6 if number % 3 == 0 else 0.3 for number in range(size)],
        "value": [500.0] * size,
        "expected_value": [float(size - number) for number in range(size)],
        "action": ["One-year contract"] * size,
        "owner": [None if number % 2 else "ann" for number in range(size)],
    }
    return pl.DataFrame({**found, **columns})


def made(records: Records, rows: pl.DataFrame | None = None, **given: Any) -> Campaign:
    """A draft of it; what is given replaces parts."""
    options: dict[str, Any] = {
        "name": "Summer save",
        "model": "v1",
        "scoring": "s1",
        "as_of": AS_OF,
        "horizon_days": HORIZON,
        "who": "ann",
        "assumptions": Assumptions(),
        "plan": {"offer": 60.0, "capacity": 40},
        "holdout_share": 0.25,
        "salt": "salt",
        "at": START,
    }
    return campaigns.create(records, listed() if rows is None else rows, **{**options, **given})


def running(records: Records, rows: pl.DataFrame | None = None, **given: Any) -> Campaign:
    campaign = made(records, rows, **given)
    return campaigns.start(records, campaign.id, who="ann", at=START)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """The records of one workspace, in a file and in a server."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    opened = Records(Settings(home=tmp_path, data="data", database=url))
    yield opened
    opened.close()
