"""Pages that stay open while champions and scorings change under them.

`CHURN_SWAP_SESSIONS=20 CHURN_SWAPS=50` runs it at full size.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.streamlit_client import Answer, Visitor
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings

from .page_bases import customers, publish_model, publish_scoring

SESSIONS = int(os.environ.get("CHURN_SWAP_SESSIONS", "6"))
SWAPS = int(os.environ.get("CHURN_SWAPS", "12"))
_LINE = re.compile(r"All (\d+) customers · .* · model (v\d+),")


@pytest.mark.timeout(600)
def test_sessions_follow_every_swap_and_mix_nothing(tmp_path: Path, serve: Callable[..., Any]) -> None:
    """Every pair has a number of customers of its own, so that a page tells which model and which scoring it was drawn from."""
    pairs: dict[str, int] = {}
    for number in range(3):
        model = publish_model(tmp_path)
        size = 500 + 10 * number
        publish_scoring(tmp_path, model, date.today(), customers(size, seed=number))
        pairs[model.version] = size
    app = serve(tmp_path, refresh_s=1)
    with ThreadPoolExecutor(1) as thread:  # Playwright keeps an event loop running on the tests' own thread
        thread.submit(asyncio.run, _watch_swaps(tmp_path, app.url, pairs)).result()
    assert app.process.poll() is None
    assert "Traceback" not in app.log.read_text()


async def _watch_swaps(home: Path, url: str, pairs: dict[str, int]) -> None:
    visitors = [Visitor(url) for _ in range(SESSIONS)]
    seen: list[set[tuple[str, int]]] = [set() for _ in visitors]
    over = asyncio.Event()

    async def live(visitor: Visitor, own: set[tuple[str, int]], draw: random.Random) -> None:
        await visitor.open()
        visitor.follow()
        while not over.is_set():
            own |= _pairs_on(await visitor.run(draw.choice(sorted(visitor.pages))))
            await asyncio.sleep(draw.uniform(0.1, 0.8))

    living = [
        asyncio.create_task(live(one, own, random.Random(number)))
        for number, (one, own) in enumerate(zip(visitors, seen, strict=True))
    ]
    settings = Settings.load(home=home, environ={})
    await asyncio.to_thread(_swap_again_and_again, home, settings, pairs)
    over.set()
    await asyncio.gather(*living)
    last = Registry(open_store(settings), settings).pointer()
    assert last is not None
    deadline = time.monotonic() + 30
    for visitor in visitors:
        while _pairs_on(await visitor.run()) != {(last.model, pairs[last.model])}:
            assert time.monotonic() < deadline, "a session still shows an older pair after 30 s"
            await asyncio.sleep(0.2)
    shown = [tick for visitor in visitors for tick in visitor.ticks]
    for found in (*seen, *(_pairs_on(tick) for tick in shown)):
        assert found <= set(pairs.items()), "a page mixes two pairs"
    assert len(set().union(*seen)) > 1  # swaps were seen at all
    assert all(tick.good for tick in shown)
    assert [error for visitor in visitors for error in visitor.exceptions] == []
    assert [alert for visitor in visitors for alert in visitor.alerts if "could not be drawn" in alert] == []
    for visitor in visitors:
        await visitor.close()


def _swap_again_and_again(home: Path, settings: Settings, pairs: dict[str, int]) -> None:
    """Promotions and rollbacks, and in the middle a new scoring of the champion."""
    registry = Registry(open_store(settings), settings)
    scorings = {info.model: info.id for info in registry.scorings()}
    draw = random.Random(7)
    for turn in range(SWAPS):
        now = registry.pointer()
        assert now is not None
        if turn == SWAPS // 2:
            table = customers(pairs[now.model], seed=99)
            publish_scoring(home, registry.load_model(now.model), date.today(), table)
        elif turn % 4 == 3:
            registry.rollback("ben", "worse")
        else:
            model = draw.choice([name for name in sorted(pairs) if name != now.model])
            registry.swap(model=model, scoring=scorings[model], action="promote", who="ana", expected=now)
        time.sleep(draw.uniform(0.1, 1.4))


def _pairs_on(answer: Answer) -> set[tuple[str, int]]:
    """Which model and how many customers the frame of the page names."""
    lines = (_LINE.search(text.replace(",", "", 1) if "," in text.partition("customers")[0] else text) for text in answer.texts)
    return {(found[2], int(found[1])) for found in lines if found}
