"""A challenger against the champion: whoever loses a race has changed nothing, and what breaks live is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from churn.data.holdout import in_holdout
from churn.errors import DataError, SettingsError, StoreConflict, TrainingError
from churn.learn import training
from churn.renew import retrain, shadow
from churn.renew.rows import cohorts, to_judge_on, to_train_on, trained_until
from churn.score import log, promotion
from churn.score.outcomes import import_outcomes
from churn.watch import decisions

from .conftest import DAYS, SCHEMA, World


def _pointer(world: World) -> str:
    pointer = world.registry.pointer()
    assert pointer is not None
    return pointer.model


def _kinds(world: World) -> list[str]:
    return [one.kind for one in decisions.listed(world.desk.records)]


def _months(world: World, last: int) -> None:
    for day in DAYS[4 : last + 1]:
        world.month(day)


# -- which rows --------------------------------------------------------------------


def test_only_matured_days_are_trained_on(world: World) -> None:
    _months(world, 5)
    rows = to_train_on(pl.read_parquet(world.desk.settings.training_table), SCHEMA, world.store, today=DAYS[5])
    known = rows.group_by("day").agg(pl.col("__left__").count().alias("known")).sort("day")
    assert known["known"].to_list() == [1500, 1500, 1500, 1500, 0, 0]  # May is 31 days old, and its outcomes come after 32
    own = rows.filter(pl.col("day") == DAYS[0]).join(world.story.outcomes, on=["id", "day"])
    assert (own["__left__"] == (own["left"] == "Yes").cast(pl.Int8)).all()


def test_half_of_a_days_outcomes_teach_nothing(world: World) -> None:
    table = world.story.rows.filter(pl.col("day") == DAYS[6]).with_row_index("place")
    told = world.story.outcomes.select("id", "day", pl.col("left"))
    half = table.join(told, on=["id", "day"]).with_columns(left=pl.when(pl.col("place") < 700).then("left")).drop("place")
    rows = to_train_on(half, SCHEMA, world.store, today=DAYS[8])
    assert rows["__left__"].null_count() == rows.height


def test_undated_tables_must_say_who_left(world: World) -> None:
    undated = SCHEMA.model_copy(update={"snapshot": None})
    with pytest.raises(TrainingError, match="target 'left' is not in the table"):
        to_train_on(world.story.of(DAYS[0]).drop("day"), undated, world.store, today=DAYS[8])


def test_both_are_judged_on_the_latest_matured_day_of_customers_neither_has_seen(world: World) -> None:
    _months(world, 6)
    champion = world.registry.load_model("v1")
    rows = to_train_on(pl.read_parquet(world.desk.settings.training_table), SCHEMA, world.store, today=DAYS[6])
    judged = to_judge_on(rows, SCHEMA, (champion, champion), today=DAYS[6])
    assert judged["day"].unique().sort().to_list() == [DAYS[3], DAYS[4]]  # May alone has too few leavers
    assert 100 <= judged["__left__"].sum() < 200
    assert in_holdout(judged["id"], salt="churn-holdout", share=0.2).all()
    other = _with_metrics(champion, holdout_salt="another")
    both = to_judge_on(rows, SCHEMA, (champion, other), today=DAYS[6])
    assert both["day"].n_unique() > 1  # a fifth of a fifth: earlier days are taken in
    assert in_holdout(both["id"], salt="another", share=0.2).all()
    with pytest.raises(TrainingError, match="does not say which customers it was kept from"):
        to_judge_on(rows, SCHEMA, (champion, _with_metrics(champion, holdout_salt=None)), today=DAYS[6])


def _with_metrics(bundle: Any, **given: object) -> Any:
    return replace(bundle, metrics={**bundle.metrics, **given})


def test_cohorts_are_days_after_the_training_with_the_day_they_mature(world: World) -> None:
    _months(world, 5)
    champion = world.registry.load_model("v1")
    assert trained_until(champion) == DAYS[1]
    found = cohorts(world.store, champion, today=DAYS[5])
    assert [(one.day, one.known, one.matured) for one in found] == [
        (DAYS[3], 1500, True),
        (DAYS[4], 0, False),
        (DAYS[5], 0, False),
    ]
    assert [(one.matures - one.day).days for one in found] == [32, 32, 32]


# -- races and refusals -----------------------------------------------------------------


def test_who_is_overtaken_while_training_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _months(world, 7)
    other = world.train(DAYS[6])
    train = training.train

    def overtaken(*given: Any, **named: Any) -> Any:
        result = train(*given, **named)
        promotion.promote(other, world.registry, world.store, world.desk.settings, who="bob", despite_gates=True, reason="x")
        return result

    monkeypatch.setattr(training, "train", overtaken)
    with pytest.raises(StoreConflict, match=f"bob was faster: the champion is model {other} by now, not v1"):
        retrain.retrain(world.desk, today=DAYS[7])
    assert _pointer(world) == other
    assert world.registry.challenger() is None
    assert _kinds(world) == ["failed"]


def test_a_table_that_does_not_fit_is_kept_without_its_cells(world: World) -> None:
    twice = pl.concat([world.story.of(DAYS[0]), world.story.of(DAYS[0]).head(1)])
    twice.write_parquet(world.desk.settings.training_table)
    with pytest.raises(DataError, match="C00000"):
        retrain.retrain(world.desk, today=DAYS[3])
    (kept,) = decisions.listed(world.desk.records)
    assert (kept.kind, "C00000" in kept.words) == ("failed", False)


def test_nothing_to_train_on_is_said_before_anything_is_done(world: World) -> None:
    with pytest.raises(SettingsError, match="set 'training_table'"):
        retrain.retrain(world.with_settings(training_table="").desk, today=DAYS[3])
    assert _kinds(world) == []


def test_a_model_that_is_no_better_stays_in_the_store(world: World) -> None:
    found = retrain.retrain(world.desk, today=DAYS[3])  # nothing has changed yet
    assert found.decision.kind in ("stopped", "shadow")
    assert _pointer(world) == "v1"
    kept = world.with_settings(retrain="keep")
    _months(kept, 7)
    assert retrain.retrain(kept.desk, today=DAYS[7]).decision.kind == "stopped"
    assert _pointer(world) == "v1"


# -- shadow ------------------------------------------------------------------------------


def test_a_model_in_shadow_is_logged_unseen_and_takes_over_once_it_has_shown_itself(world: World) -> None:
    careful = world.with_settings(retrain="shadow")
    _months(careful, 7)
    done = retrain.retrain(careful.desk, today=DAYS[7])
    assert (done.decision.kind, _pointer(world)) == ("shadow", "v1")
    standing = world.registry.challenger()
    assert standing is not None
    assert (standing.model, standing.champion) == (done.version, "v1")
    logged = log.read(world.store, done.version)
    assert logged["__source__"].unique().to_list() == [shadow.SOURCE]
    assert logged["__as_of__"].unique().to_list() == [DAYS[7]]
    assert retrain.follow_shadow(careful.desk, today=DAYS[7]) is None  # too early to say, and nothing is logged twice
    assert log.read(world.store, done.version).height == logged.height

    careful.month(DAYS[8])
    later = DAYS[8].replace(month=10)
    import_outcomes(world.story.known(later), SCHEMA, world.store, today=later, known=set())
    taken = retrain.follow_shadow(careful.desk, today=later)
    assert taken is not None
    assert (taken.kind, taken.challenger, _pointer(world)) == ("promoted", done.version, done.version)
    after = world.registry.challenger()
    assert after is not None
    assert after.model is None


def test_a_challenger_to_a_champion_that_is_gone_is_let_go(world: World) -> None:
    _months(world, 6)
    second, third = world.train(DAYS[6]), world.train(DAYS[6])
    world.registry.set_challenger(third, who="ann", reason="", expected=None)
    promotion.promote(second, world.registry, world.store, world.desk.settings, who="bob", despite_gates=True, reason="x")
    found = retrain.follow_shadow(world.desk, today=DAYS[6])
    assert found is not None
    assert (found.kind, found.words) == ("stopped", "The champion it was held against, v1, is gone.")
    assert retrain.follow_shadow(world.desk, today=DAYS[6]) is None


# -- going back ----------------------------------------------------------------------------


def test_a_new_champion_that_foretells_wrongly_gives_way_to_the_one_before(world: World) -> None:
    """A model taught that everybody with a high fee stays: live, its risks are far too low."""
    taught = world.story.rows.filter(pl.col("day") < DAYS[2]).with_columns(left=pl.lit("No"))
    taught = taught.with_columns(pl.format("X{}", "id").alias("id"))  # no outcome of anybody's says otherwise
    few = pl.int_range(pl.len()) % 25 == 0
    version = world.train(DAYS[8], taught.with_columns(left=pl.when(few).then(pl.lit("Yes")).otherwise("left")))
    settings = world.desk.settings
    assert retrain.go_back(world.desk, today=DAYS[3]) is None  # v1 was promoted by a person
    promotion.promote(version, world.registry, world.store, settings, who="ann", despite_gates=True, reason="x")
    told = {"cause": "realised-loss", "model": "v1", "words": "It takes over.", "evidence": {}, "day": DAYS[3], "who": "ann"}
    decisions.record(world.desk.records, decisions.PROMOTED, challenger=version, **told)
    assert retrain.go_back(world.desk, today=DAYS[3]) is None  # no outcomes yet
    for day in DAYS[4:6]:
        world.month(day)
    back = retrain.go_back(world.desk, today=DAYS[5])
    assert back is not None
    assert (back.kind, back.model, back.challenger, _pointer(world)) == ("returned", version, "v1", "v1")
    assert "Model v1 is back." in back.words
    assert retrain.go_back(world.desk, today=DAYS[5]) is None  # once
