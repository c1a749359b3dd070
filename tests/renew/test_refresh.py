"""The nightly run: twice is harmless, bad data goes no further, and what fails beside it is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from churn.errors import SettingsError, SourceError
from churn.renew import watching
from churn.renew.refresh import Refreshed, Table, refresh
from churn.score import log, quarantine

from .conftest import DAYS, SCHEMA, World

DAY = DAYS[4]


@pytest.fixture
def source(world: World) -> Path:
    path = world.desk.settings.home / "base.parquet"
    world.story.of(DAY).write_parquet(path)
    return path


def _refresh(world: World, source: Path | None, outcomes: Path | None = None) -> Refreshed:
    table = Table(str(source)) if source else None
    told = Table(str(outcomes)) if outcomes else None
    return refresh(world.desk, today=DAY, source=table, outcomes=told, environ={})


def _state(world: World) -> tuple[object, ...]:
    pointer = world.registry.pointer()
    assert pointer is not None
    return pointer.model, pointer.scoring, len(pointer.history), len(log.parts(world.store)), len(world.registry.scorings())


def test_twice_is_once(world: World, source: Path) -> None:
    before = _state(world)
    first = _refresh(world, source)
    assert (first.held, first.as_of, first.problems) == (None, DAY, ())
    assert first.published is not None
    assert first.published.new
    state = _state(world)
    assert state != before
    again = _refresh(world, source)
    assert again.published is not None
    assert not again.published.new
    assert (again.watched.sketches, again.watched.changes.opened, _state(world)) == (0, (), state)


def test_a_bad_table_is_held_back_and_the_desk_stays(world: World, source: Path) -> None:
    rows = world.story.of(DAY)
    rows.with_columns(fee=pl.lit(None, pl.Float64)).write_parquet(source)
    before = _state(world)
    found = _refresh(world, source)
    assert found.held is not None
    assert (found.scored, found.published, _state(world)) == (None, None, before)
    (alert,) = found.watched.open
    assert alert.cause == "bad-data"
    assert found.held.id in alert.words
    assert _refresh(world, source).held == found.held
    assert len(quarantine.batches(world.store)) == 1

    rows.write_parquet(source)  # the next night's table is right again
    after = _refresh(world, source)
    assert (after.held, after.watched.changes.closed) == (None, ())  # nobody has decided about the batch
    quarantine.drop(world.store, found.held)
    assert _refresh(world, source).watched.open == ()


def test_an_alert_tells_of_every_table_that_is_held_back(world: World, source: Path) -> None:
    rows = world.story.of(DAY)
    rows.drop("fee").write_parquet(source)
    first = _refresh(world, source)
    assert first.held is not None
    assert first.watched.open[0].words == f"A table is held back: a column is missing ({first.held.id})."
    rows.head(300).write_parquet(source)
    second = _refresh(world, source)
    assert second.held is not None
    (alert,) = second.watched.open
    assert alert.words.startswith("2 tables are held back: ")
    assert f"far fewer customers than before ({second.held.id})" in alert.words
    quarantine.release(world.store, second.held, who="ann", reason="A branch was sold")
    assert _refresh(world, source).watched.open[0].words == first.watched.open[0].words


def test_a_table_that_somebody_released_is_scored(world: World, source: Path) -> None:
    world.story.of(DAY).head(900).write_parquet(source)  # 60% of the base
    held = _refresh(world, source).held
    assert held is not None
    quarantine.release(world.store, held, who="ann", reason="A branch was sold")
    found = _refresh(world, source)
    assert (found.held, found.watched.open) == (None, ())
    assert found.scored is not None
    assert found.scored.rows.height == 900


def test_outcomes_come_along_and_their_failing_stops_nothing(world: World, source: Path) -> None:
    told = world.desk.settings.home / "told.csv"
    world.story.known(DAY + timedelta(days=10)).filter(pl.col("known_at") <= DAY).write_csv(told)
    found = _refresh(world, source, told)
    assert found.outcomes is not None
    assert found.outcomes.accepted == 3 * 1500 + 0
    told.write_text("nothing,of,use\n1,2,3\n")
    missing = _refresh(world, source, told)
    assert (missing.outcomes, missing.published is not None) == (None, True)
    assert missing.problems[0].startswith("Outcomes were not imported: column 'id' is not in the outcomes")

    known = world.story.known(DAY + timedelta(days=10)).filter(pl.col("known_at") <= DAY)
    yes, no = SCHEMA.target.positive, SCHEMA.target.negative
    opposite = pl.when(pl.col(SCHEMA.target.column) == yes).then(pl.lit(no)).otherwise(pl.lit(yes))
    known.with_columns(opposite.alias(SCHEMA.target.column)).write_csv(told)
    swapped = _refresh(world, source, told)
    assert (swapped.outcomes, swapped.published is not None) == (None, True)
    assert swapped.problems[0].startswith("Outcomes were not imported: the outcomes contradict what is known of ")


def test_without_a_source_and_with_one_that_is_gone(world: World) -> None:
    with pytest.raises(SettingsError, match="set 'source'"):
        _refresh(world, None)
    home = world.desk.settings.home
    assert isinstance(_refresh(world, home / "gone.csv").unread, SourceError)


@pytest.mark.parametrize(("text", "why"), [(None, "no such file"), ("", "is empty"), ("id,day,tenure\n", "a header but no rows")])
def test_a_table_that_cannot_be_read_raises_an_alert_until_one_can(
    world: World, source: Path, text: str | None, why: str
) -> None:
    lost = world.desk.settings.home / "lost.csv"
    if text is not None:
        lost.write_text(text)
    before = _state(world)
    found = _refresh(world, lost)
    assert (found.report, found.held, found.published, _state(world)) == (None, None, None, before)
    (alert,) = found.watched.open
    assert alert.cause == "bad-data"
    assert alert.words.startswith("The table could not be read: ")
    assert alert.words.endswith(f"{why}.")
    assert _refresh(world, lost).watched.changes.opened == ()
    assert watching.watch(world.desk, today=DAY, environ={}).changes.closed == ()  # no table was looked for
    assert _refresh(world, source).watched.changes.closed == (alert.id,)


def test_an_alert_quotes_nothing_of_a_table(world: World) -> None:
    ragged = world.desk.settings.home / "ragged.csv"
    ragged.write_text("id,'Ann Smith','Ann Smith'\n1,2,3\n")
    found = _refresh(world, ragged)
    assert "Ann Smith" in str(found.unread)
    assert "Ann Smith" not in found.watched.open[0].words
