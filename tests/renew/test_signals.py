"""What drift, loss and age say, as the rules take it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl
import pytest

from churn.renew import signals
from churn.renew.rows import cohorts
from churn.score import log
from churn.score.outcomes import import_outcomes
from churn.settings import Settings
from churn.watch.drift import ColumnDrift, Finding, WindowDrift
from churn.watch.figures import Band
from churn.watch.joint import JointDrift
from churn.watch.performance import Change, Loss

from .conftest import DAYS, SCHEMA, World

START, END = date(2026, 5, 1), date(2026, 5, 31)
SETTINGS = Settings()


def _column(name: str, status: str, distance: float = 0.12, importance: float = 0.04) -> ColumnDrift:
    kind = "risk" if name == "__risk__" else "number"
    return ColumnDrift(
        name, kind, distance, "ks", (0.03, 0.05), 0.0, 0.0, status, 0.1, 0.0, 0.0, (), 0.0, 0.0, importance  # type: ignore[arg-type]
    )  # fmt: skip


def _window(risk: str, *columns: ColumnDrift, joint: str | None = None, customers: int = 900) -> WindowDrift:
    found = (Finding("", "joint", 0.2, 0.0, 0.0, joint),) if joint else ()  # type: ignore[arg-type]
    tested = JointDrift("v1", START, END, 0.2, 0.7, 0.0, (), 900) if joint else None
    return WindowDrift("v1", START, END, 900, True, _column("__risk__", risk), columns, found, customers, 0.2, 0.2, joint=tested)


def _by_cause(window: WindowDrift, settings: Settings = SETTINGS) -> dict[tuple[str, str], bool | None]:
    found = signals.of_drift([window], SCHEMA, settings)
    return {(one.cause, one.subject): one.windows[0].fired for one in found}


def test_drift_is_told_column_by_column_under_the_names_people_use() -> None:
    window = _window("watch", _column("fee", "moved"), _column("tenure", "watch"), joint="moved")
    assert _by_cause(window) == {
        ("score-drift", ""): False,
        ("column-moved", "fee"): True,
        ("column-moved", "tenure"): False,
        ("joint-drift", ""): True,
    }
    fee = next(one for one in signals.of_drift([window], SCHEMA, SETTINGS) if one.subject == "fee")
    assert (fee.label, fee.model, fee.windows[0].size) == ("Monthly fee", "v1", "by 12 points")


def test_what_moved_by_new_values_or_missing_ones_is_told_with_their_share() -> None:
    new = replace(_column("fee", "moved", distance=0.015), new_share=0.012)
    missing = replace(_column("tenure", "moved", distance=0.015), missing=0.12, missing_reference=0.02)
    found = {one.subject: one for one in signals.of_drift([_window("quiet", new, missing)], SCHEMA, SETTINGS)}
    assert found["fee"].windows[0].size == "(1% new)"
    assert found["tenure"].windows[0].size == "(12% missing, was 2%)"


def test_a_column_of_no_weight_raises_nothing_unless_nobody_knows_the_weights() -> None:
    window = _window("quiet", _column("fee", "moved", importance=0.01), _column("tenure", "quiet", importance=0.99))
    assert ("column-moved", "fee") not in _by_cause(window)
    assert ("column-moved", "fee") in _by_cause(window, replace(SETTINGS, alert_weight=0.01))
    unknown = _window("quiet", _column("fee", "moved", importance=0.0), _column("tenure", "quiet", importance=0.0))
    assert _by_cause(unknown)["column-moved", "fee"] is True


def test_few_customers_and_an_untested_window_say_nothing() -> None:
    found = _by_cause(_window("few", _column("fee", "few"), customers=150))
    assert set(found.values()) == {None}
    assert signals.of_drift([], SCHEMA, SETTINGS) == ()


def test_loss_counts_upwards_and_of_the_model_only() -> None:
    band = Band(0.3, 0.28, 0.32)
    losses = [Loss("v1", START, END, 0.4, band, 1 / 3, True), Loss("v2", START, END, 0.4, band, 1 / 3, True)]
    (window,) = signals.of_loss(losses, [], "v1").windows
    assert (window.fired, window.size) == (True, "by 33%")
    changes = [Change("v1", START, END, band, band, change, True) for change in (0.1, -0.1)]
    assert [one.fired for one in signals.of_estimate(changes, [], "v1").windows] == [True, False]


@pytest.mark.parametrize(("day", "stale"), [(9, False), (10, True)])
def test_a_scoring_is_out_of_date_after_so_many_days(day: int, stale: bool) -> None:
    found = signals.of_age(datetime(2026, 6, 1, tzinfo=UTC), date(2026, 6, day), SETTINGS)
    assert found.windows[0].fired is stale
    assert signals.of_age(None, date(2026, 6, day), SETTINGS).windows == ()


def test_without_snapshots_a_cohort_is_a_day_of_scoring(world: World) -> None:
    """Customers scored on one day, seen or gone since; v1 is taken for a model of a table without dates."""
    plain = SCHEMA.model_copy(update={"snapshot": None})
    champion = world.registry.load_model("v1")
    undated = replace(
        champion, model=replace(champion.model, schema=plain), metrics={**champion.metrics, "learnt_until": DAYS[2].isoformat()}
    )
    scored = world.story.of(DAYS[4]).with_columns(pl.lit(0.1).alias("__risk__"), pl.lit(-2.0).alias("__margin__"))
    log.append(world.store, scored, plain, model="v7", as_of=DAYS[4], run="a", source="publish")
    gone = pl.int_range(pl.len()) % 5 == 0
    told = scored.select(
        "id",
        pl.when(gone).then(pl.lit("Yes")).otherwise(pl.lit("No")).alias("left"),
        pl.when(gone).then(date(2026, 6, 10)).otherwise(date(2026, 6, 28)).alias("known_at"),
    )
    import_outcomes(told, plain, world.store, today=date(2026, 7, 1), known=set())
    of_may = [one for one in cohorts(world.store, undated, today=date(2026, 7, 1)) if one.day == DAYS[4]]
    assert [(one.known, one.left, one.matured) for one in of_may] == [(1500, 300, True)]
    assert not any(one.matured for one in cohorts(world.store, undated, today=date(2026, 6, 26)) if one.day == DAYS[4])
