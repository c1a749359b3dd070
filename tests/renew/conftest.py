"""A small desk whose customers begin to leave for another reason in the middle of the year."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from churn.base.records import Records
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.learn import training
from churn.model.registry import Registry
from churn.model.store import Store, open_store
from churn.renew.retrain import Desk
from churn.renew.rows import to_train_on
from churn.score import batch, promotion
from churn.score.outcomes import import_outcomes
from churn.score.publish import publish
from churn.settings import Settings

SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes", "negative": "No"},
        "snapshot": {"column": "day", "horizon_days": 30},
        "features": [
            {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month", "whole": True, "range": [0, 72]},
            {"name": "fee", "kind": "number", "label": "Monthly fee", "unit": "money"},
            {"name": "plan", "kind": "category", "label": "Plan", "levels": [{"value": "Monthly"}, {"value": "Yearly"}]},
        ],
    }
)
DAYS = tuple(date(2026, month, 28) for month in range(1, 10))
CHANGE = DAYS[4]  # from this day's customers on, a high fee makes leave, and a monthly plan no longer does
CUSTOMERS = 1500
QUICK = ("logistic-regression",)


@dataclass(frozen=True)
class Story:
    """The customers of nine months and what became of them, 30 days later."""

    rows: pl.DataFrame
    outcomes: pl.DataFrame

    def of(self, day: date) -> pl.DataFrame:
        return self.rows.filter(pl.col("day") == day)

    def known(self, day: date) -> pl.DataFrame:
        return self.outcomes.filter(pl.col("known_at") <= day)


@pytest.fixture(scope="session")
def story() -> Story:
    rng = np.random.default_rng(11)
    frames = []
    for day in DAYS:
        tenure, fee = rng.integers(0, 72, CUSTOMERS), np.round(rng.gamma(4, 15, CUSTOMERS) + 10, 2)
        plan = rng.choice(["Monthly", "Yearly"], CUSTOMERS)
        pull = 2.5 * (plan == "Monthly") if day < CHANGE else 2.5 * (fee > 70)
        chance = 1 / (1 + np.exp(-(pull - 0.04 * tenure - 1)))
        keys = [f"C{number:05d}" for number in range(CUSTOMERS)]
        frames.append(
            pl.DataFrame(
                {"id": keys, "day": day, "tenure": tenure, "fee": fee, "plan": plan, "gone": rng.random(CUSTOMERS) < chance}
            )
        )
    rows = pl.concat(frames)
    told = rows.select("id", "day", pl.col("gone").alias("left"), (pl.col("day") + timedelta(days=32)).alias("known_at"))
    return Story(rows.drop("gone"), told.with_columns(pl.when("left").then(pl.lit("Yes")).otherwise(pl.lit("No")).alias("left")))


@dataclass(frozen=True)
class World:
    """A desk with a champion v1, trained on January and February, that shows the customers of April."""

    desk: Desk
    story: Story

    @property
    def store(self) -> Store:
        return self.desk.store

    @property
    def registry(self) -> Registry:
        return self.desk.registry

    def with_settings(self, **given: object) -> World:
        return World(replace(self.desk, settings=replace(self.desk.settings, **given)), self.story)  # type: ignore[arg-type]

    def month(self, day: date) -> None:
        """What a night brings: outcomes, the table to train on, and the base scored with the champion."""
        self.story.rows.filter(pl.col("day") <= day).write_parquet(self.desk.settings.training_table)
        import_outcomes(self.story.known(day), SCHEMA, self.store, today=day, known=set())
        pointer = self.registry.pointer()
        assert pointer is not None
        self.publish(day, pointer.model)

    def publish(self, day: date, model: str) -> None:
        bundle = self.registry.load_model(model)
        scored = batch.score(conform(self.story.of(day), SCHEMA), bundle.model)
        publish(scored, bundle, self.registry, self.store, as_of=day, who="ann")

    def train(self, today: date, rows: pl.DataFrame | None = None) -> str:
        """A version trained on what is known by a day; it is in the store and nobody sees it."""
        table = to_train_on(self.story.rows if rows is None else rows, SCHEMA, self.store, today=today)
        result = training.train(table, SCHEMA, settings=self.desk.settings, trials=1, candidates=QUICK, as_of=today)
        folder = self.desk.settings.home / f"bundle-{len(self.registry.versions())}"
        training.write_bundle(result, folder, simulated=False)
        return self.registry.publish_model(folder)


@pytest.fixture(scope="session")
def _made(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    world = _opened(home, story)
    import_outcomes(story.known(DAYS[3]), SCHEMA, world.store, today=DAYS[3], known=set())
    version = world.train(DAYS[3], story.rows.filter(pl.col("day") < DAYS[2]))
    promotion.promote(version, world.registry, world.store, world.desk.settings, who="ann")
    world.month(DAYS[3])
    world.desk.records.close()
    return home


@pytest.fixture
def world(_made: Path, story: Story, tmp_path: Path) -> Iterator[World]:
    """A copy that a test may spoil."""
    opened = _opened(Path(shutil.copytree(_made, tmp_path / "home")), story)
    yield opened
    opened.desk.records.close()


@pytest.fixture
def again(world: World) -> Callable[[], World]:
    """The same desk as another process would open it."""
    return lambda: _opened(world.desk.settings.home, world.story)


def _opened(home: Path, story: Story) -> World:
    home.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        home=home,
        store="store",
        data="data",
        cache="cache",
        training_table=str(home / "history.parquet"),
        retrain_candidates=",".join(QUICK),
        trials=1,
        gate_auc=0.55,
        gate_ece=0.15,
        retrain_cooldown_days=0,
        alert_windows=2,
        mlflow="",
    )
    store = open_store(settings)
    return World(Desk(Registry(store, settings), store, Records(settings), settings, "ann"), story)
