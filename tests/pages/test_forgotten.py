"""A desk that runs while a customer is forgotten: it goes on, and opens the same pair again without them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from churn.base.records import Records
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score import erasure
from churn.settings import Settings
from pages.shared import data

from .page_bases import customers, publish_model, publish_scoring


def test_a_running_desk_drops_a_forgotten_customer_and_never_fails(tmp_path: Path) -> None:
    model = publish_model(tmp_path)
    for month, seed in ((9, 1), (10, 2)):
        publish_scoring(tmp_path, model, date(2026, month, 1), customers(300, seed=seed))
    settings = Settings.load(home=tmp_path, environ={})
    desk = data.Desk(settings)
    desk.look()
    first = desk.pair
    assert first
    assert first.before
    (someone, *_) = first.snapshot.top_customers(limit=1)
    store, records = open_store(settings), Records(settings)
    looked: list[data.Failure | None] = []

    def look(*_: object) -> None:  # between any two steps of the erasure
        desk.look()
        looked.append(desk.failure)
        assert desk.pair
        assert desk.pair.snapshot.totals().customers in (299, 300)

    erasure.forget(someone.key, store, Registry(store, settings), records, settings, who="dpo", progress=look)
    desk.look()
    assert set(looked) == {None}
    pair = desk.pair
    assert pair
    assert pair.id != first.id, "what was kept for the pair is not asked for any more"
    assert pair.id[:2] == first.id[:2]
    assert pair.snapshot.customer(someone.key) is None
    assert pair.snapshot.totals().customers == 299
    assert pair.before
    assert pair.before.customer(someone.key) is None
    desk.stop()
    records.close()
