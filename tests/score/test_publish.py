"""Publishing: the desk shows the scoring and the log has it, or nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.snapshot import ROWS, Snapshot
from churn.data.schema import Schema
from churn.errors import BundleRejected, NoChampion, NotInStore, StoreConflict, StoreUnavailable
from churn.model import bundle
from churn.model.bundle import Bundle
from churn.model.encoder import Encoder
from churn.model.interactions import Interactions
from churn.model.registry import Pointer, Registry
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.model.trees import Split, Tree
from churn.score import log, sketch
from churn.score.batch import Scored, score
from churn.score.publish import publish
from churn.settings import Settings

DAY = date(2026, 11, 1)
MakeTable = Callable[..., pl.DataFrame]
PublishModel = Callable[[Schema], Bundle]


@pytest.fixture
def champion(schema: Schema, publish_model: PublishModel, registry: Registry) -> Bundle:
    published = publish_model(schema)
    assert published.version
    registry.swap(model=published.version, scoring=None, action="promote", who="me", expected=None)
    return published


@pytest.fixture
def scored(champion: Bundle, schema: Schema, make_table: MakeTable) -> Scored:
    return score(make_table(schema, 60), champion.model)


def test_what_is_published_is_on_the_desk_and_in_the_log(
    champion: Bundle, scored: Scored, schema: Schema, registry: Registry, store: Store, settings: Settings
) -> None:
    seen: list[tuple[str, int, int]] = []
    done = publish(
        scored, champion, registry, store, as_of=DAY, who="me", reason="monthly", progress=lambda *step: seen.append(step)
    )
    assert done.new
    pointer = registry.pointer()
    assert pointer == done.pointer
    assert pointer is not None
    assert (pointer.model, pointer.scoring, pointer.action, pointer.reason) == (
        champion.version,
        done.scoring,
        "publish",
        "monthly",
    )
    with Snapshot.open(registry.scoring_folder(done.scoring), schema, settings) as snapshot:
        assert snapshot.id == done.scoring
        assert snapshot.customers == 60
        assert snapshot.totals().interval is not None
        first = snapshot.customer("C0003")
        assert first is not None
        explained = champion.model.explain_row(dict(first.row))
        assert explained.risk == pytest.approx(first.risk, abs=1e-12)
    logged = log.read(store)
    assert logged["__risk__"].to_list() == scored.rows["__risk__"].to_list()
    assert logged["__source__"].unique().to_list() == ["publish"]
    assert [part.run for part in log.parts(store)] == [done.run]
    assert seen == [("Publishing", done_, 3) for done_ in range(4)]


def test_the_same_run_again_changes_nothing(champion: Bundle, scored: Scored, registry: Registry, store: Store) -> None:
    first = publish(scored, champion, registry, store, as_of=DAY, who="me")
    entries = store.list("")
    again = publish(scored, champion, registry, store, as_of=DAY, who="someone else")
    assert (again.scoring, again.run, again.new) == (first.scoring, first.run, False)
    assert store.list("") == entries
    other = publish(scored, champion, registry, store, as_of=date(2026, 11, 2), who="me")
    assert other.new
    assert other.scoring != first.scoring


def test_a_log_part_that_went_missing_is_written_again(
    champion: Bundle, scored: Scored, registry: Registry, store: Store
) -> None:
    publish(scored, champion, registry, store, as_of=DAY, who="me")
    (part,) = log.parts(store)
    store.delete(part.name)
    assert not publish(scored, champion, registry, store, as_of=DAY, who="me").new
    assert log.parts(store) == (part,)


class Interrupted:
    """A registry that fails at one step, as a lost race or connection would."""

    def __init__(self, registry: Registry, step: str, error: Exception, before: Callable[[], object] | None = None) -> None:
        self._registry, self._step, self._error, self._before = registry, step, error, before

    def __getattr__(self, name: str) -> Any:
        if name != self._step:
            return getattr(self._registry, name)

        def fail(*_: Any, **__: Any) -> None:
            if self._before:
                self._before()
            raise self._error

        return fail


@pytest.mark.parametrize("step", ["publish_scoring", "swap"])
def test_what_fails_half_way_changes_nothing_on_the_desk(
    step: str, champion: Bundle, scored: Scored, registry: Registry, store: Store
) -> None:
    before = registry.pointer()
    broken: Any = Interrupted(registry, step, StoreConflict("somebody was faster"))
    with pytest.raises(StoreConflict):
        publish(scored, champion, broken, store, as_of=DAY, who="me")
    assert registry.pointer() == before
    assert log.parts(store) == ()
    uploaded = len(registry.scorings())
    done = publish(scored, champion, registry, store, as_of=DAY, who="me")
    assert done.new
    assert len(registry.scorings()) == max(uploaded, 1)  # what was uploaded already serves
    assert len(log.parts(store)) == 1


def test_who_lost_to_the_same_run_leaves_its_log_alone(
    champion: Bundle, scored: Scored, schema: Schema, make_table: MakeTable, registry: Registry, store: Store
) -> None:
    def others() -> None:
        publish(scored, champion, registry, store, as_of=DAY, who="another")
        publish(score(make_table(schema, 9), champion.model), champion, registry, store, as_of=DAY, who="a third")

    broken: Any = Interrupted(registry, "swap", StoreConflict("somebody was faster"), before=others)
    with pytest.raises(StoreConflict):
        publish(scored, champion, broken, store, as_of=DAY, who="me")
    assert len(log.parts(store)) == 2


@pytest.mark.parametrize("named", [StoreConflict, NotInStore])
def test_the_same_run_at_once_is_on_the_desk_once(
    named: type[Exception], champion: Bundle, scored: Scored, registry: Registry, store: Store
) -> None:
    """Whoever comes second to the very same run has nothing left to do, and leaves no second copy."""
    theirs: list[str] = []

    def other() -> None:
        registry_alone: Any = Interrupted(registry, "scorings", AssertionError())
        registry_alone.scorings = lambda: ()  # looked before the copy of the first was finished
        theirs.append(publish(scored, champion, registry_alone, store, as_of=DAY, who="another").scoring)

    broken: Any = Interrupted(registry, "swap", named("somebody was faster"), before=other)
    done = publish(scored, champion, broken, store, as_of=DAY, who="me")
    assert (done.scoring, done.new, done.pointer.by) == (theirs[0], False, "another")
    assert [info.id for info in registry.scorings()] == theirs
    assert {entry.key.split("/")[1] for entry in store.list("scorings/")} == set(theirs)
    assert len(log.parts(store)) == 1
    assert registry.problem("scoring", theirs[0]) is None


def test_a_promotion_that_comes_second_is_told_so(
    champion: Bundle, scored: Scored, schema: Schema, publish_model: PublishModel, registry: Registry, store: Store
) -> None:
    """Each lands in the history or is told; the log keeps what was shown, though the second wrote it, and one copy is enough."""
    other, before = publish_model(schema), registry.pointer()
    again: dict[str, Any] = {"as_of": DAY, "action": "promote", "expected": before}
    theirs: list[str] = []

    def first() -> None:
        alone: Any = Interrupted(registry, "scorings", AssertionError())
        alone.scorings = lambda: ()
        theirs.append(publish(scored, other, alone, store, who="one", **again).scoring)

    broken: Any = Interrupted(registry, "swap", StoreConflict("one was faster"), before=first)
    with pytest.raises(StoreConflict, match="one was faster"):
        publish(scored, other, broken, store, who="two", **again)
    with pytest.raises(StoreConflict, match="one was faster"):
        publish(scored, other, registry, store, who="three", **again)
    assert [entry.by for entry in registry.history()] == ["me", "one"]
    assert [info.id for info in registry.scorings()] == theirs
    assert [part.model for part in log.parts(store)] == ["v2"]


@pytest.mark.parametrize("shown", [True, False], ids=["on the desk", "an earlier one"])
def test_a_damaged_copy_of_the_same_run_is_replaced(
    shown: bool, champion: Bundle, scored: Scored, schema: Schema, make_table: MakeTable, registry: Registry, store: Store
) -> None:
    first = publish(scored, champion, registry, store, as_of=DAY, who="me")
    if not shown:
        publish(score(make_table(schema, 9), champion.model), champion, registry, store, as_of=DAY, who="me")
    registry.scoring_folder(first.scoring)  # a good copy here hides nothing
    key = f"scorings/{first.scoring}/rows.parquet"
    data = bytearray(store.read(key).data)
    data[len(data) // 2] ^= 1
    store.write(key, bytes(data))
    again = publish(scored, champion, registry, store, as_of=DAY, who="me")
    assert again.new
    assert again.scoring != first.scoring
    assert registry.problem("scoring", again.scoring) is None
    assert not publish(scored, champion, registry, store, as_of=DAY, who="me").new


def test_more_reasons_than_are_kept_are_a_new_scoring(
    champion: Bundle, schema: Schema, make_table: MakeTable, registry: Registry, store: Store
) -> None:
    table, found = make_table(schema, 60), {}
    for reasons in (0, 2, 1):
        found[reasons] = publish(score(table, champion.model, reasons), champion, registry, store, as_of=DAY, who="me")
    assert [found[reasons].new for reasons in (0, 2, 1)] == [True, True, False]
    assert found[1].scoring == found[2].scoring  # has what was asked for, and one more
    assert len({one.run for one in found.values()}) == 1
    assert len(log.parts(store)) == 1
    rows = pl.read_parquet(registry.scoring_folder(found[2].scoring) / ROWS)
    assert "__reason_2__" in rows.columns


def test_after_a_lost_connection_the_log_stays(champion: Bundle, scored: Scored, registry: Registry, store: Store) -> None:
    broken: Any = Interrupted(registry, "swap", StoreUnavailable("no answer"))  # it may have happened
    with pytest.raises(StoreUnavailable):
        publish(scored, champion, broken, store, as_of=DAY, who="me")
    assert len(log.parts(store)) == 1


def test_only_the_champion_can_be_published(
    champion: Bundle, scored: Scored, schema: Schema, publish_model: PublishModel, registry: Registry, store: Store
) -> None:
    other = publish_model(schema)
    with pytest.raises(StoreConflict, match="the champion is model v1 by now, and this scoring was made with v2"):
        publish(scored, other, registry, store, as_of=DAY, who="me")
    pointer = registry.pointer()
    done = publish(scored, other, registry, store, as_of=DAY, who="me", action="promote", expected=pointer)
    assert (done.pointer.model, done.pointer.action) == ("v2", "promote")
    with pytest.raises(StoreConflict):
        publish(scored, champion, registry, store, as_of=DAY, who="me", action="promote", expected=pointer)
    assert [part.model for part in log.parts(store)] == ["v2"]


def test_no_champion_no_scoring(
    schema: Schema, make_table: MakeTable, publish_model: PublishModel, registry: Registry, store: Store
) -> None:
    bundle = publish_model(schema)
    scored = score(make_table(schema, 3), bundle.model)
    with pytest.raises(NoChampion, match="promote model v1 first"):
        publish(scored, bundle, registry, store, as_of=DAY, who="me")
    unpublished: Pointer | None = None
    with pytest.raises(BundleRejected, match="only a model in the store"):
        publish(
            scored, Bundle(**{**bundle.__dict__, "version": None}), registry, store, as_of=DAY, who="me", expected=unpublished
        )


def test_a_scoring_without_points_is_made_again(
    champion: Bundle, scored: Scored, registry: Registry, store: Store, schema: Schema, settings: Settings
) -> None:
    """One that an earlier version published: the same run, but not all that is kept of a run today."""
    old = publish(replace(scored, points=None), champion, registry, store, as_of=DAY, who="me")
    new = publish(scored, champion, registry, store, as_of=DAY, who="me")
    assert (new.run, new.new) == (old.run, True)
    assert new.scoring != old.scoring
    with Snapshot.open(registry.scoring_folder(old.scoring), schema, settings) as snapshot:
        assert not snapshot.has_points
    with Snapshot.open(registry.scoring_folder(new.scoring), schema, settings) as snapshot:
        assert snapshot.has_points
        assert snapshot.past("C0003") == ()  # the same day
    assert len(log.parts(store)) == 1
    again = publish(scored, champion, registry, store, as_of=DAY, who="me")
    assert (again.scoring, again.new) == (new.scoring, False)


def test_pairs_of_columns_are_told_over_all_customers(
    schema: Schema, make_table: MakeTable, registry: Registry, store: Store, tmp_path: Path
) -> None:
    background = make_table(schema, 300, seed=9)
    encoder = Encoder.fit(background, schema)
    short, monthly = (Split(feature, np.arange(encoder.sizes[feature]) < 1) for feature in (0, 2))
    tree = Tree((short, monthly), (1, -1), (-3, -2), np.array([0.7, -0.2, 0.1]))
    model = ScoringModel.build(schema, encoder, (tree,), background)
    given = {"metrics": {}, "leaderboard": [], "card": "#", "simulated": False}
    bundle.save(tmp_path / "bundle", model, reference=background.select(schema.names), **given)
    loaded = registry.load_model(registry.publish_model(tmp_path / "bundle"))
    table = make_table(schema, 60)
    done = publish(score(table, model), loaded, registry, store, as_of=DAY, who="me", action="promote")
    facts = next(info.facts for info in registry.scorings() if info.id == done.scoring)
    found = Interactions.of(model, background)
    assert facts["pairs"] == {"exact": True, "sizes": [["tenure", "contract", pytest.approx(found.sizes(table)[0])]]}
    assert found.sizes(table)[0] > 1e-3


def test_what_is_published_is_counted_and_a_failure_there_undoes_nothing(
    champion: Bundle, scored: Scored, registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> int:
        raise StoreUnavailable("the store went away")

    with monkeypatch.context() as patch:
        patch.setattr(sketch, "ensure", away)
        done = publish(scored, champion, registry, store, as_of=DAY, who="me")
    assert registry.pointer() == done.pointer
    assert sketch.read(store) == ()
    publish(scored, champion, registry, store, as_of=date(2026, 11, 8), who="me")
    assert [one.sketch.rows for one in sketch.read(store)] == [60, 60]
