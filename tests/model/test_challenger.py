"""The version that runs in shadow: one conditional write, as the champion is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from churn.errors import NotInStore, PromotionRefused, StoreConflict, StoreUnavailable
from churn.model.registry import Registry
from churn.model.store import Store
from churn.settings import Settings

Maker = Callable[..., Path]


@pytest.fixture
def registry(store: Store, settings: Settings, new_bundle: Maker) -> Registry:
    """With a champion v1 and a version v2 beside it."""
    made = Registry(store, settings)
    for _ in range(2):
        made.publish_model(new_bundle())
    made.swap(model="v1", scoring=None, action="promote", who="ana", expected=None)
    return made


def test_it_comes_and_goes(registry: Registry) -> None:
    assert registry.challenger() is None
    first = registry.set_challenger("v2", who="ana", reason="not sure enough", expected=None)
    assert registry.challenger() == first
    assert (first.model, first.champion, first.by, first.reason) == ("v2", "v1", "ana", "not sure enough")
    gone = registry.set_challenger(None, who="ana", reason="let go", expected=first)
    assert registry.challenger() == gone
    assert (gone.model, gone.champion) == (None, "v1")


def test_who_looks_at_an_older_one_is_told(registry: Registry) -> None:
    first = registry.set_challenger("v2", who="ana", reason="", expected=None)
    with pytest.raises(StoreConflict, match="ana was faster: v2 runs in shadow now"):
        registry.set_challenger("v2", who="bob", reason="", expected=None)
    registry.set_challenger(None, who="ana", reason="", expected=first)
    with pytest.raises(StoreConflict, match="no model runs in shadow now; nothing was changed"):
        registry.set_challenger("v2", who="bob", reason="", expected=first)


def test_the_champion_and_what_is_not_there_cannot_be_it(registry: Registry) -> None:
    with pytest.raises(PromotionRefused, match="model v1 is the champion"):
        registry.set_challenger("v1", who="ana", reason="", expected=None)
    with pytest.raises(NotInStore, match="no model v9"):
        registry.set_challenger("v9", who="ana", reason="", expected=None)
    assert registry.challenger() is None


def test_a_torn_file_says_so(registry: Registry, store: Store) -> None:
    store.write("challenger.json", b'{"format": 1, "model": "v2"}')
    with pytest.raises(StoreUnavailable, match=r"challenger\.json is damaged \('since' is missing\)"):
        registry.challenger()
