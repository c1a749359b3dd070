"""Two scorings compared, against a count by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND, Filter
from churn.base.snapshot import MARGIN, RISK, Snapshot
from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.score.batch import Scored, band_of, write_scoring
from churn.settings import Settings
from churn.understand.movers import BandMove, Driver, movers, movers_in

Folder = Callable[..., Path]


@pytest.fixture
def scoring(tmp_path: Path) -> Folder:
    def make(name: str, risks: dict[str, float], **facts: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        table = pl.DataFrame(
            {"id": list(risks), "__risk__": list(risks.values())}, schema={"id": pl.String, "__risk__": pl.Float64}
        )
        table.write_parquet(folder / "rows.parquet")
        total = sum(risks.values())
        known = {
            "as_of": "2026-10-19",
            "model": "v12",
            "rows": len(risks),
            "sums": {"risk": total, "revenue_at_risk": 100 * total},
        }
        (folder / "manifest.json").write_text(json.dumps({**known, **facts}))
        return folder

    return make


def test_counts_by_hand(scoring: Folder, schema: Schema) -> None:
    before = scoring(
        "a", {"1": 0.10, "2": 0.70, "3": 0.20, "gone": 0.60}, mean_points={"tenure": 0.10, "Monthly": 0.05, "old": 1}
    )
    now = scoring("b", {"1": 0.65, "2": 0.59, "3": 0.20, "new": 0.90}, mean_points={"tenure": 0.11, "Monthly": 0.20}, as_of="x")
    found = movers(before, now, schema)
    assert found.since.isoformat() == "2026-10-19"
    assert (found.band, found.into, found.out_of, found.came, found.went) == ("Very high", 1, 1, 1, 1)
    assert found.bands == (
        BandMove("Low", 1, 0, 0, 1),
        BandMove("Medium", 1, 1, 0, 0),
        BandMove("High", 0, 1, 1, 0),
        BandMove("Very high", 2, 2, 1, 1),
    )
    assert found.change == pytest.approx((2.34 - 1.60) / 4)
    assert found.change_of_same == pytest.approx((0.55 - 0.11) / 3)
    assert found.leavers == pytest.approx(0.74)
    assert found.revenue == pytest.approx(74)
    assert found.same_model
    assert found.drivers == (Driver("Monthly", pytest.approx(0.15)), Driver("tenure", pytest.approx(0.01)))


def test_bands_add_up(scoring: Folder, schema: Schema) -> None:
    before = scoring("a", {str(i): (i * 37 % 100) / 100 for i in range(300)})
    now = scoring("b", {str(i): (i * 53 % 100) / 100 for i in range(50, 400)})
    found = movers(before, now, schema)
    assert sum(band.before for band in found.bands) == 300
    assert sum(band.now for band in found.bands) == 350
    assert sum(band.into for band in found.bands) == sum(band.out_of for band in found.bands)
    assert sum(band.now - band.before for band in found.bands) == found.came - found.went


def test_another_model_has_no_drivers(scoring: Folder, schema: Schema) -> None:
    before = scoring("a", {"1": 0.1}, model="v11", mean_points={"tenure": 0.1})
    now = scoring("b", {"2": 0.2}, mean_points={"tenure": 0.2}, sums={"risk": 0.2, "revenue_at_risk": None})
    found = movers(before, now, schema)
    assert not found.same_model
    assert found.drivers == ()
    assert found.change_of_same is None
    assert found.revenue is None


def test_what_cannot_be_compared(scoring: Folder, schema: Schema, tmp_path: Path) -> None:
    fine = scoring("a", {"1": 0.1})
    (broken := scoring("b", {"1": 0.1})).joinpath("rows.parquet").write_bytes(b"no parquet")
    with pytest.raises(BundleRejected, match="cannot be compared"):
        movers(fine, broken, schema)
    with pytest.raises(BundleRejected, match="cannot be read"):
        movers(fine, tmp_path / "nothing", schema)
    other = Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, "key": 'my "key"'})
    with pytest.raises(BundleRejected, match="cannot be compared"):
        movers(fine, fine, other)


@pytest.fixture
def opened(tmp_path: Path, schema: Schema, reference: pl.DataFrame) -> Iterator[Callable[..., Snapshot]]:
    """Scorings of made-up customers from numbers, risks and contracts."""
    made: list[Snapshot] = []

    def make(numbers: Sequence[int], risks: Sequence[float], contracts: Sequence[str], model: str = "v1") -> Snapshot:
        table = reference.head(len(numbers)).with_columns(
            pl.Series("id", [f"K{number}" for number in numbers]),
            pl.Series("Contract", contracts),
            pl.lit(10.0).alias("Monthly"),
            pl.Series(RISK, risks),
            pl.lit(0.0).alias(MARGIN),
            band_of(np.array(risks), schema).alias(BAND),
        )
        folder = tmp_path / f"scoring-{len(made)}"
        as_of = date(2026, 10, 1 + len(made))
        write_scoring(
            folder, Scored(table, None, 0.2, {}, {}, 0, 0), model_version=model, schema=schema, as_of=as_of, simulated=False
        )
        made.append(Snapshot.open(folder, schema, Settings(home=tmp_path)))
        return made[-1]

    yield make
    for snapshot in made:
        snapshot.close()


def test_movers_of_a_group(opened: Callable[..., Snapshot], schema: Schema) -> None:
    short, long = "Month-to-month", "Two year"
    before = opened([1, 2, 3, 4, 5], [0.1, 0.7, 0.2, 0.8, 0.3], [short, short, short, long, long])
    now = opened([1, 2, 4, 5, 6], [0.9, 0.65, 0.9, 0.7, 0.4], [short, long, short, long, short])
    found = movers_in(before, now, Filter.of({"Contract": [short]}))
    assert (found.before, found.now) == (3, 3)
    assert (found.came, found.joined, found.went, found.left_for_others) == (1, 1, 1, 1)
    assert (found.band, found.into, found.out_of) == ("Very high", 1, 0)
    assert found.change == pytest.approx((0.9 + 0.9 + 0.4) / 3 - (0.1 + 0.7 + 0.2) / 3)
    assert found.leavers == pytest.approx(1.2)
    assert found.revenue == pytest.approx(12)
    assert (found.since, found.same_model) == (date(2026, 10, 1), True)
    assert found.now - found.before == found.came + found.joined - found.went - found.left_for_others
    nobody = movers_in(before, now, Filter.of({"Contract": ["One year"]}))
    assert (nobody.before, nobody.now, nobody.change) == (0, 0, None)


def test_movers_of_everybody_are_the_movers(opened: Callable[..., Snapshot], schema: Schema, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    contracts = ["Month-to-month", "One year", "Two year"]
    before = opened(range(300), draw.random(300), draw.choice(contracts, 300))
    now = opened(range(40, 380), draw.random(340), draw.choice(contracts, 340), "v2")
    whole, some = movers(tmp_path / "scoring-0", tmp_path / "scoring-1", schema), movers_in(before, now, Filter())
    assert (some.came, some.went, some.into, some.out_of) == (whole.came, whole.went, whole.into, whole.out_of)
    assert (some.joined, some.left_for_others, some.same_model) == (0, 0, whole.same_model)
    assert some.change == pytest.approx(whole.change)
    assert some.leavers == pytest.approx(whole.leavers)
    assert some.revenue == pytest.approx(whole.revenue)
    parts = [movers_in(before, now, Filter.of({"Contract": [contract]})) for contract in contracts]
    assert sum(part.came for part in parts) == some.came
    assert sum(part.joined for part in parts) == sum(part.left_for_others for part in parts) > 0
