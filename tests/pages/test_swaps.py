"""Pages that stay open while champions and scorings change under them; `make bench ONLY=swap` is the same at full size."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.swap import swap
from churn.data.schema import Schema
from churn.model import bundle
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings

from .page_bases import DOCUMENT, customers, publish_scoring, small_model

_CHANGES = 8


@pytest.mark.system
@pytest.mark.timeout(600)
def test_sessions_follow_every_change_and_nothing_is_a_mixture(tmp_path: Path, serve: Callable[..., Any]) -> None:
    """Promotions and rollbacks on one hand, scoring runs of tables of other sizes on the other, and six sessions between."""
    settings = Settings.load(home=tmp_path, environ={})
    registry, schema = Registry(open_store(settings), settings), Schema.model_validate(DOCUMENT)
    for number, intercept in enumerate((-1.2, -0.2, -2.2)):
        reference = customers(300, seed=9).select(schema.names)
        given = {"metrics": {}, "leaderboard": [], "card": "#", "reference": reference, "simulated": False}
        bundle.save(tmp_path / f"bundle-{number}", small_model(schema, intercept), **given)
        registry.publish_model(tmp_path / f"bundle-{number}")
    tables = [customers(500 + 10 * number, seed=number) for number in range(3)]
    publish_scoring(tmp_path, registry.load_model("v1"), date.today(), tables[0])
    app = serve(tmp_path, refresh_s=1)
    with ThreadPoolExecutor(1) as thread:  # Playwright keeps an event loop running on the tests' own thread
        found = thread.submit(swap, tmp_path, app.url, tables, sessions=6, changes=_CHANGES).result()
    assert found.errors == []
    assert found.mixed_pages == []
    assert found.mixed_rows == 0
    assert found.promotions + found.rollbacks == _CHANGES
    assert found.promotions >= 1
    assert found.scorings >= 1
    assert len(found.seen) > 1  # changes were seen at all
    assert found.rows >= 500 * 3
    assert found.follow_s < 30
    assert app.process.poll() is None
    assert "Traceback" not in app.log.read_text()
