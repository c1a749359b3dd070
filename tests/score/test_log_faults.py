"""Whoever is killed, cut off, doubled or faster: every acknowledged prediction is in the log exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.errors import StoreUnavailable
from churn.model.store import FileStore, Store, open_store
from churn.score import log
from churn.settings import Settings

from ..model.conftest import new_place
from ..model.test_s3_faults import Proxy

ROOT = Path(log.__file__).parents[2]
DAY = date(2026, 11, 1)
RUNS = 6
SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "features": [{"name": "tenure", "kind": "number", "label": "Tenure"}],
    }
)


def some(run: int, rows: int = 50) -> pl.DataFrame:
    keys = [f"{run}-{number}" for number in range(rows)]
    return pl.DataFrame({"id": keys, "tenure": [1.0] * rows, RISK: [0.5] * rows, MARGIN: [0.0] * rows})


def append(store: Store, run: int, rows: int = 50) -> bool:
    return log.append(store, some(run, rows), SCHEMA, model="v1", as_of=DAY, run=f"r{run}", source="publish")[1]


def exactly_once(store: Store, runs: Any, rows: int = 50) -> bool:
    wanted = sorted(f"{run}-{number}" for run in runs for number in range(rows))
    return log.read(store)["__key__"].sort().to_list() == wanted


class Killed(BaseException):
    """Stands for kill -9: no cleaning up may run that catches errors only."""


class Mortal(FileStore):
    """A store whose owner dies before the n-th thing that changes it."""

    def __init__(self, root: Path, lives: int) -> None:
        super().__init__(root)
        self._lives = lives

    def _step(self) -> None:
        self._lives -= 1
        if self._lives < 0:
            raise Killed

    def write(self, key: str, data: bytes, **condition: Any) -> str:
        self._step()
        return super().write(key, data, **condition)

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)


@pytest.mark.parametrize("again", [False, True], ids=["first", "over a compacted day"])
def test_a_compaction_killed_before_any_of_its_steps_loses_and_doubles_nothing(tmp_path: Path, again: bool) -> None:
    steps = 0
    while True:
        place = tmp_path / str(steps)
        store = FileStore(place)
        for run in range(RUNS):
            append(store, run)
            if again and run == RUNS // 2:
                log.compact(store)
        try:
            log.compact(Mortal(place, steps))
        except Killed:
            assert exactly_once(store, range(RUNS)), f"killed before step {steps}"
            assert not append(store, 0), "a run finds itself logged"
            log.compact(store)
            assert exactly_once(store, range(RUNS)), f"killed before step {steps}, and done again"
            steps += 1
            continue
        break
    assert steps >= 2 + RUNS // 2
    assert exactly_once(store, range(RUNS))


def test_an_expiry_killed_before_any_of_its_steps_brings_nothing_back(tmp_path: Path) -> None:
    steps = 0
    while True:
        place = tmp_path / str(steps)
        store = FileStore(place)
        for run in range(4):
            append(store, run)
            if run == 2:
                with pytest.raises(Killed):
                    log.compact(Mortal(place, 3))  # the index counts, and not all that it replaced is gone
        try:
            log.expire(Mortal(place, steps), date(2027, 1, 1))
        except Killed:
            left = log.read(store)["__key__"]
            assert left.n_unique() == len(left)
            steps += 1
            continue
        break
    assert steps >= 4
    assert log.read(store).height == 0


def test_readers_see_every_prediction_once_while_the_log_is_compacted(store: Store) -> None:
    wrong: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            found = log.read(store, columns=["__key__"])["__key__"]
            if found.n_unique() != len(found) or len(found) < 50:
                wrong.append(len(found))

    append(store, 0)
    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for run in range(1, 25):
        append(store, run)
        if run % 3 == 0:
            log.compact(store)
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert exactly_once(store, range(25))


def test_two_compactions_at_once_leave_each_run_once(store: Store) -> None:
    for run in range(RUNS):
        append(store, run)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            log.compact(store)
        except Exception as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert exactly_once(store, range(RUNS))


_SCORER = """
import sys
from datetime import date
from pathlib import Path
import polars as pl
from churn.data.schema import Schema
from churn.model.store import open_store
from churn.score import log
from churn.settings import Settings
store = open_store(Settings(home=Path(sys.argv[1]), store=sys.argv[2], s3_endpoint=sys.argv[3]))
schema = Schema.model_validate_json(sys.argv[4])
store.list("log/")
print("ready", flush=True)
sys.stdin.readline()
for run in sys.argv[5:]:
    keys = [f"{run}-{number}" for number in range(3000)]
    rows = pl.DataFrame({"id": keys, "tenure": [1.0] * 3000, "__risk__": [0.5] * 3000, "__margin__": [0.0] * 3000})
    log.append(store, rows, schema, model="v1", as_of=date(2026, 11, 1), run=f"r{run}", source="publish")
    print(run, flush=True)
"""


def scorer(settings: Settings, *runs: int) -> subprocess.Popen[str]:
    words = [str(settings.home), settings.store, settings.s3_endpoint, SCHEMA.to_json(), *map(str, runs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", _SCORER, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def begin(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


@pytest.fixture(params=["file", pytest.param("ceph", marks=[pytest.mark.system, pytest.mark.xdist_group("ceph")])])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty store in a folder, and on a real S3 server."""
    if request.param == "file":
        return Settings(home=tmp_path, store="store")
    address = request.getfixturevalue("ceph_server")
    request.getfixturevalue("s3_credentials")
    return Settings(home=tmp_path, store=f"s3://{new_place(address)}", s3_endpoint=address)


def test_what_a_killed_scorer_acknowledged_is_there_once(anywhere: Settings) -> None:
    """Killed at some moment of its work, and begun again from the start."""
    generator, store = random.Random(7), open_store(anywhere)
    acknowledged = set[int]()
    for _ in range(2):
        child = scorer(anywhere, *range(40))
        begin(child)
        time.sleep(generator.uniform(0.02, 0.25))
        child.send_signal(signal.SIGKILL)
        told, _ = child.communicate()
        acknowledged.update(int(line) for line in told.split("\n")[:-1] if line)
        keys = log.read(store)["__key__"]
        assert keys.n_unique() == len(keys)
        assert {f"{run}-2999" for run in acknowledged} <= set(keys)
        assert len(keys) % 3000 == 0, "a part is there whole or not at all"
    assert not any(append(store, run, 3000) for run in acknowledged), "each finds itself logged"
    last = max(acknowledged, default=0) + 2
    for run in range(last):
        append(store, run, 3000)
    assert exactly_once(store, range(last), 3000)


def test_two_scorers_of_the_same_runs_log_each_once(anywhere: Settings) -> None:
    children = [scorer(anywhere, *range(5)) for _ in range(2)]
    for child in children:
        begin(child)
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert exactly_once(open_store(anywhere), range(5), 3000)


@pytest.mark.parametrize("cut", [0, 4, 0.5, -9, -1])
def test_a_truncated_part_is_named_and_mended_by_its_own_run(store: Store, cut: float) -> None:
    append(store, 1)
    append(store, 2)
    name = "log/model=v1/date=2026-11-01/r1.parquet"
    whole = store.read(name).data
    store.write(name, whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with pytest.raises(StoreUnavailable, match=r"r1\.parquet is damaged"):
        log.read(store)
    found, damaged = log.keys(store)
    assert len(found) == 50
    assert len(damaged) == 1
    assert append(store, 1)
    assert exactly_once(store, (1, 2))


# -- a real server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def away(ceph_server: str, s3_credentials: None, tmp_path: Path) -> Iterator[tuple[Store, Proxy]]:
    """A store on a real server, by a way that can be cut; it gives up after about a second."""
    proxy = Proxy(ceph_server)
    short = {"s3_attempts": 2, "s3_connect_timeout_s": 0.5, "s3_read_timeout_s": 1.0}
    yield open_store(Settings(home=tmp_path, store=f"s3://{new_place(ceph_server)}", s3_endpoint=proxy.address, **short)), proxy
    proxy.cut()


@pytest.mark.system
@pytest.mark.xdist_group("ceph")
def test_while_the_server_is_away_nothing_is_acknowledged_and_later_all_is_there_once(away: tuple[Store, Proxy]) -> None:
    store, proxy = away
    append(store, 0)
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        append(store, 1)
    proxy.mend()
    acknowledged = [run for run in range(3) if append(store, run)]
    assert set(acknowledged) <= {1, 2}
    assert exactly_once(store, range(3))


@pytest.mark.system
@pytest.mark.xdist_group("ceph")
def test_a_real_server_compacts_under_readers(away: tuple[Store, Proxy]) -> None:
    store, _ = away
    for run in range(RUNS):
        append(store, run)
    compacting = threading.Thread(target=log.compact, args=(store,))
    compacting.start()
    while compacting.is_alive():
        assert exactly_once(store, range(RUNS))
    compacting.join()
    assert len({part.name for part in log.parts(store)}) == 1
    assert exactly_once(store, range(RUNS))
