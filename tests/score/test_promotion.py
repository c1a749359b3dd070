"""A promotion is decided on what somebody saw: who comes second is told, and nothing changes."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from churn.errors import PromotionRefused, StoreConflict
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score.batch import Scored, score
from churn.score.promotion import promote
from churn.score.publish import publish

DAY = date(2026, 11, 1)

if TYPE_CHECKING:
    from churn.data.schema import Schema
    from churn.model.bundle import Bundle
    from churn.settings import Settings

    from .conftest import MakeTable, PublishModel


@pytest.fixture
def champion(schema: Schema, publish_model: PublishModel, registry: Registry) -> Bundle:
    bundle = publish_model(schema)
    registry.swap(model=bundle.version or "", scoring=None, action="promote", who="me", expected=None)
    return bundle


@pytest.fixture
def scored(schema: Schema, make_table: MakeTable, champion: Bundle) -> Scored:
    return score(make_table(schema, 60), champion.model)


@pytest.fixture
def other(schema: Schema, publish_model: PublishModel, champion: Bundle) -> str:
    return publish_model(schema).version or ""


def test_a_decision_on_an_older_pointer_comes_second(
    champion: Bundle, scored: Scored, other: str, registry: Registry, store: Store, settings: Settings
) -> None:
    seen = registry.pointer()
    publish(scored, champion, registry, store, as_of=DAY, who="night run")
    now = registry.pointer()
    with pytest.raises(StoreConflict, match="night run was faster"):
        promote(other, registry, store, settings, who="ann", reason="better", despite_gates=True, seen=seen)
    with pytest.raises(StoreConflict, match="night run was faster"):
        registry.rollback("ann", "worse", seen=seen)
    assert registry.pointer() == now
    done = promote(other, registry, store, settings, who="ann", reason="better", despite_gates=True, seen=now)
    assert (done.pointer.model, done.pointer.by, done.rescored) == (other, "ann", scored.rows.height)
    assert registry.rollback("ann", "worse", seen=done.pointer).model == champion.version


def test_a_version_without_figures_needs_a_word(
    champion: Bundle, scored: Scored, other: str, registry: Registry, store: Store, settings: Settings
) -> None:
    with pytest.raises(PromotionRefused) as refused:
        promote(other, registry, store, settings, who="ann")
    assert [check.passed for check in refused.value.checks] == [False]
    done = promote(other, registry, store, settings, who="ann", reason="it is all we have", despite_gates=True)
    assert done.pointer.reason.startswith("it is all we have (despite: ")
