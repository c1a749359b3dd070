"""What is known of a customer's earlier risks travels from scoring to scoring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from churn.base.snapshot import HISTORY, RISK, Snapshot
from churn.data.schema import Schema
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import history
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings

MakeTable = Callable[..., pl.DataFrame]
PublishModel = Callable[[Schema], Bundle]
FIRST = date(2026, 1, 1)


@pytest.fixture
def champion(schema: Schema, publish_model: PublishModel, registry: Registry) -> Bundle:
    bundle = publish_model(schema)
    registry.swap(model=bundle.version, scoring=None, action="promote", who="me", expected=None)
    return bundle


@pytest.fixture
def show(registry: Registry, store: Store, settings: Settings) -> Callable[..., Snapshot]:
    """Publish a table as the next scoring and open it."""

    def publish_and_open(table: pl.DataFrame, model: Bundle, day: date, *, promote: bool = False) -> Snapshot:
        scored = score(table, model.model)
        given = {"action": "promote", "expected": registry.pointer()} if promote else {}
        done = publish(scored, model, registry, store, as_of=day, who="me", **given)
        return Snapshot.open(registry.scoring_folder(done.scoring), model.schema, settings)

    return publish_and_open


def test_each_scoring_adds_the_one_before(
    champion: Bundle, schema: Schema, make_table: MakeTable, show: Callable[..., Snapshot]
) -> None:
    wanted: dict[str, list[tuple[date, float]]] = {}
    for month in range(15):
        day = FIRST + timedelta(days=30 * month)
        table = make_table(schema, 40, seed=month).tail(40 - month % 3)  # some are not there every time
        with show(table, champion, day) as snapshot:
            for key in ("C0000", "C0001", "C0039"):
                found = snapshot.past(key)
                there = snapshot.customer(key)
                if there is None:
                    assert found == ()
                    wanted[key] = []  # whoever was away begins anew
                    continue
                earlier = wanted.setdefault(key, [])[-history.MOST :]
                assert [one.as_of for one in found] == [one[0] for one in earlier]
                assert [one.risk for one in found] == pytest.approx([one[1] for one in earlier], abs=5.01e-5)
                assert {one.model for one in found} <= {champion.version}
                wanted[key].append((day, there.risk))
            assert snapshot.past("nobody") == ()
    assert {key: len(found) for key, found in wanted.items()} == {"C0000": 0, "C0001": 0, "C0039": 15}


def test_who_was_away_for_a_scoring_begins_anew(
    champion: Bundle, schema: Schema, make_table: MakeTable, show: Callable[..., Snapshot]
) -> None:
    show(make_table(schema, 3), champion, FIRST).close()
    show(make_table(schema, 2), champion, FIRST + timedelta(1)).close()
    with show(make_table(schema, 3), champion, FIRST + timedelta(2)) as snapshot:
        assert [one.as_of for one in snapshot.past("C0001")] == [FIRST, FIRST + timedelta(1)]
        assert snapshot.past("C0002") == ()


def test_a_day_scored_again_is_one_point_in_time(
    champion: Bundle, schema: Schema, make_table: MakeTable, publish_model: PublishModel, show: Callable[..., Snapshot]
) -> None:
    table = make_table(schema, 20)
    show(table, champion, FIRST).close()
    show(table, champion, FIRST + timedelta(30)).close()
    other = publish_model(schema)
    with show(table, other, FIRST + timedelta(30), promote=True) as again:
        assert [(one.as_of, one.model) for one in again.past("C0001")] == [(FIRST, "v1")]
    with show(table, other, FIRST + timedelta(60)) as later:
        assert [(one.as_of, one.model) for one in later.past("C0001")] == [(FIRST, "v1"), (FIRST + timedelta(30), "v2")]
    with show(table, other, FIRST + timedelta(15)) as backwards:
        assert [one.as_of for one in backwards.past("C0001")] == [FIRST]


def test_another_key_is_another_base(
    champion: Bundle, schema: Schema, make_table: MakeTable, show: Callable[..., Snapshot], registry: Registry
) -> None:
    show(make_table(schema, 5), champion, FIRST).close()
    pointer = registry.pointer()
    assert pointer is not None
    assert pointer.scoring is not None
    folder = registry.scoring_folder(pointer.scoring)
    other = schema.model_copy(update={"key": "account"})
    assert history.carry(folder, pl.Series(["C0001"]), other, FIRST + timedelta(9)) is None
    found = history.carry(folder, pl.Series(["C0003", "nobody"]), schema, FIRST + timedelta(9))
    assert found is not None
    assert found.risks.dtypes == [pl.Int16]
    assert found.risks["risk_0"][1] is None


def test_a_scoring_before_that_is_damaged_ends_the_line(
    champion: Bundle, schema: Schema, make_table: MakeTable, show: Callable[..., Snapshot], registry: Registry,
    settings: Settings, store: Store,
) -> None:  # fmt: skip
    show(make_table(schema, 5), champion, FIRST).close()
    pointer = registry.pointer()
    assert pointer is not None
    for entry in store.list(f"scorings/{pointer.scoring}/"):
        if entry.key.endswith("rows.parquet"):
            store.write(entry.key, b"nothing")
    fresh = Settings(home=settings.home, store=settings.store, cache="another", data=settings.data)
    done = publish(
        score(make_table(schema, 6), champion.model),
        champion,
        Registry(store, fresh),
        store,
        as_of=FIRST + timedelta(9),
        who="me",
    )
    assert done.new
    folder = registry.scoring_folder(done.scoring)
    assert not (folder / HISTORY).exists()
    assert pl.read_parquet(Path(folder) / "rows.parquet").height == 6
    assert RISK in pl.read_parquet_schema(Path(folder) / "rows.parquet")
