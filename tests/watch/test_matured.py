"""Which outcome belongs to which prediction: by hand, and under the delays with which outcomes are booked."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.score import outcomes
from churn.watch.matured import KNOWN, MATURED, due, labelled

DAY, OVER = date(2026, 9, 1), date(2026, 10, 1)
_PLAIN = {
    "key": "customer",
    "target": {"column": "churned", "positive": "Yes"},
    "features": [{"name": "tenure", "kind": "number", "label": "Tenure"}],
}


@pytest.fixture
def dated() -> Schema:
    return Schema.model_validate({**_PLAIN, "snapshot": {"column": "day", "horizon_days": 30}})


@pytest.fixture
def plain() -> Schema:
    return Schema.model_validate(_PLAIN)


def _predictions(*keys: str, day: date = DAY) -> pl.DataFrame:
    return pl.DataFrame({"__key__": list(keys), "__as_of__": [day] * len(keys)})


def _told(*rows: tuple[str, date | None, int, date]) -> pl.DataFrame:
    kinds = {"__key__": pl.String, "__as_of__": pl.Date, "__left__": pl.Int8, "__known_at__": pl.Date}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _left(found: pl.DataFrame) -> dict[str, int | None]:
    return dict(found.select("__key__", outcomes.LEFT).rows())


def test_of_one_snapshot_the_answer_known_last_holds(dated: Schema) -> None:
    told = _told(
        ("A", DAY, 1, date(2026, 9, 5)),
        ("A", DAY, 0, date(2026, 10, 3)),
        ("B", DAY, 0, OVER),
        ("B", DAY, 1, date(2026, 10, 9)),
        ("C", DAY, 1, date(2026, 10, 2)),
        ("C", DAY, 0, date(2026, 10, 2)),
        ("C", date(2026, 8, 1), 0, date(2026, 10, 2)),
    )
    found = labelled(_predictions("A", "B", "C"), told, dated, today=date(2026, 12, 1))
    assert _left(found) == {"A": 0, "B": 1, "C": 1}
    early = labelled(_predictions("A", "B", "C"), told, dated, today=date(2026, 10, 5))
    assert _left(early) == {"A": 0, "B": 0, "C": 1}  # what became known later is not known yet


def test_nothing_counts_before_the_horizon_is_over(dated: Schema) -> None:
    told = _told(("A", DAY, 1, date(2026, 9, 2)), ("B", DAY, 1, date(2026, 9, 3)))
    found = labelled(_predictions("A", "B"), told, dated, today=date(2026, 9, 30))
    assert _left(found) == {"A": None, "B": None}
    assert not found[KNOWN].any()
    assert due(DAY, dated) == OVER
    assert labelled(_predictions("A", "B"), told, dated, today=OVER)[KNOWN].all()


def test_leavers_who_are_booked_first_bias_nothing(dated: Schema) -> None:
    """Leavers are booked on the day, stayers up to 30 days after the end: no share is ever compared but the true one."""
    rng = np.random.default_rng(0)
    keys = [f"c{i}" for i in range(4_000)]
    gone = rng.random(len(keys)) < 0.2
    told = _told(
        *(
            (key, DAY, int(left), DAY + timedelta(int(day)) if left else OVER + timedelta(int(day)))
            for key, left, day in zip(keys, gone, rng.integers(0, 30, len(keys)), strict=True)
        )
    )
    seen = []
    for days in range(0, 70, 3):
        found = labelled(_predictions(*keys), told, dated, today=DAY + timedelta(days))
        known = found.filter(pl.col(outcomes.LEFT).is_not_null())
        if known.height:
            seen.append(float(known[outcomes.LEFT].to_numpy().mean()))
            assert found[MATURED].all()
    assert seen
    assert np.abs(np.array(seen) - gone.mean()).max() < 0.012  # 5 in 100 stayers may still be missing


def test_cohorts_mature_one_by_one(dated: Schema) -> None:
    later = DAY + timedelta(10)
    rows = pl.concat([_predictions("A", "B"), _predictions("C", "D", day=later)])
    told = _told(("A", DAY, 1, OVER), ("B", DAY, 0, OVER), ("C", later, 1, OVER), ("D", later, 1, OVER))
    found = labelled(rows, told, dated, today=date(2026, 10, 5))
    assert _left(found) == {"A": 1, "B": 0, "C": None, "D": None}
    assert found[MATURED].to_list() == [True, True, False, False]


def test_without_snapshots_the_days_say_what_an_outcome_is_of(plain: Schema) -> None:
    told = _told(
        ("in time", None, 1, date(2026, 9, 20)),
        ("seen after", None, 0, date(2026, 10, 4)),
        ("seen, then left", None, 0, date(2026, 10, 4)),
        ("seen, then left", None, 1, date(2026, 11, 20)),
        ("gone before", None, 1, date(2026, 8, 20)),
        ("seen too early", None, 0, date(2026, 9, 20)),
        ("left late", None, 1, date(2026, 11, 1)),
    )
    keys = ("in time", "seen after", "seen, then left", "gone before", "seen too early", "left late", "never told")
    found = labelled(_predictions(*keys), told, plain, today=date(2026, 12, 1), complete=0.4)
    assert found["__key__"].to_list() == [key for key in keys if key != "gone before"]
    assert found[KNOWN].to_list() == [True, True, True, False, False, False]
    assert not found[MATURED].any()  # of three who left nobody can say when one did: a third of the leavers would be missing
    without = labelled(_predictions(*keys[:-2]), told, plain, today=date(2026, 12, 1), complete=0.4)
    assert _left(without) == {"in time": 1, "seen after": 0, "seen, then left": 0, "seen too early": None}


def test_rows_keep_their_order_and_their_columns(plain: Schema) -> None:
    rows = _predictions("B", "A", "C").with_columns(pl.Series("tenure", [3, 1, 2]))
    found = labelled(rows, _told(("A", None, 0, date(2026, 11, 1))), plain, today=date(2026, 12, 1))
    assert found.select("__key__", "tenure").rows() == [("B", 3), ("A", 1), ("C", 2)]
    assert set(found.columns) == {"__key__", "__as_of__", "tenure", outcomes.LEFT, KNOWN, MATURED}
