"""One customer forgotten: gone from every file that can be reached, nobody else changed, and not to be brought back."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sql

from churn import words
from churn.base.records import EVENTS, EXPORTS, MEMBERS, SCENARIOS, Records
from churn.base.snapshot import ROWS, Snapshot
from churn.data import incoming
from churn.data.holdout import CUSTOMER, key_hash
from churn.data.schema import Schema
from churn.errors import DataError, RecordsUnavailable
from churn.model import bundle
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import FileStore, Store
from churn.score import erasure, forgotten, log, outcomes, quarantine
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings

from ..base.postgres import Postgres, postgres, server  # noqa: F401 - fixtures

MakeTable = Callable[..., pl.DataFrame]
FIRST, SECOND = date(2026, 10, 1), date(2026, 11, 1)
GONE, SALT = "C0007", "salt"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Desk:
    """A workspace in a folder with all that can hold a customer: two scorings, a log, outcomes, a batch held back, a campaign."""

    def __init__(self, home: Path, schema: Schema, model: ScoringModel, make_table: MakeTable, database: str = "") -> None:
        self.home, self.schema, self.make_table = home, schema, make_table
        self.settings = Settings(home=home, store="store", cache="cache", data="data", database=database)
        self.store: Store = FileStore(home / "store")
        self.registry = Registry(self.store, self.settings)
        self.records = Records(self.settings)
        folder = home / "bundle"
        hashes = pl.Series(CUSTOMER, [key_hash(f"C{number:04d}", SALT) for number in range(40)], dtype=pl.UInt64)
        seen = io.BytesIO()
        pl.DataFrame([hashes]).with_columns(__left__=pl.lit(0, pl.Int8), __risk__=pl.lit(0.3)).write_parquet(seen)
        bundle.save(
            folder,
            model,
            metrics={"calibration_covariance": [[1e-3, 0.0], [0.0, 1e-3]], "holdout_salt": SALT},
            leaderboard=[],
            card="#",
            reference=make_table(schema, 50, seed=8).select(schema.names),
            simulated=False,
            extra={bundle.OUT_OF_FOLD: seen.getvalue()},
        )
        self.bundle = self.registry.load_model(self.registry.publish_model(folder))
        self.registry.swap(model=self.bundle.version, scoring=None, action="promote", who="me", expected=None)
        for day, seed in ((FIRST, 1), (SECOND, 2)):
            self.publish(make_table(schema, 40, seed), day)
        table = pl.DataFrame({"customer": ["C0003", GONE], "churned": ["Yes", "No"], "known_at": ["2026-11-20", "2026-11-20"]})
        outcomes.import_outcomes(table, schema, self.store, today=date(2026, 12, 1))
        bad = make_table(schema, 40).with_columns(tenure=pl.lit("many"))
        quarantine.hold(self.store, pl.concat([bad, bad[7:8]]), incoming.inspect(pl.concat([bad, bad[7:8]]), schema, bad))
        self.keep()
        pointer = self.registry.pointer()
        assert pointer
        assert pointer.scoring
        self.snapshot().close()

    def publish(self, table: pl.DataFrame, day: date) -> Any:
        scored = score(table, self.bundle.model)
        return publish(scored, self.bundle, self.registry, self.store, as_of=day, who="me")

    def keep(self) -> None:
        with self.records.begin() as connection:
            for customer in (GONE, "C0008"):
                scenario = {"workspace": "default", "customer": customer, "name": "Cheaper", "edits": "[]", "since": "always"}
                more = {"model": "v1", "scoring": "s", "risk": 0.2, "risk_before": 0.3, "who": "ann", "made": NOW}
                connection.execute(sql.insert(SCENARIOS).values(token=f"t-{customer}", **scenario, **more))
                member = {"workspace": "default", "campaign": "spring", "customer": customer, "rank": int(customer[-1])}
                more = {"arm": "call", "band": "High", "risk": 0.5, "groups": '{"contract": "Monthly"}', "stage": "called"}
                connection.execute(sql.insert(MEMBERS).values(**member, **more, reason="moved to her sister's", version=1))
                event = {"workspace": "default", "campaign": "spring", "customer": customer, "field": "reason", "who": "ann"}
                connection.execute(
                    sql.insert(EVENTS).values(**event, after="moved to her sister's", at=NOW, source="page", edit="e")
                )
            export = {"workspace": "default", "campaign": "spring", "kind": "xlsx", "name": "spring.xlsx", "filter": "{}"}
            more = {"model": "v1", "scoring": "s", "assumptions": "{}", "plan": "{}", "rows": 2, "sha256": "0", "unmasked": True}
            connection.execute(sql.insert(EXPORTS).values(id="x", **export, **more, who="ann", at=NOW))
            connection.execute(sql.insert(EXPORTS).values(id="y", **{**export, "campaign": "autumn"}, **more, who="b", at=NOW))
        self.records.settle()

    def snapshot(self) -> Snapshot:
        pointer = self.registry.pointer()
        assert pointer
        assert pointer.scoring
        return Snapshot.open(self.registry.scoring_folder(pointer.scoring), self.schema, self.settings)

    def forget(self, key: str = GONE, store: Store | None = None, **given: Any) -> erasure.Receipt:
        registry = Registry(store, self.settings) if store else self.registry
        return erasure.forget(key, store or self.store, registry, self.records, self.settings, who="dpo", **given)

    def holding(self, key: str) -> list[str]:
        """Every file of the workspace in which the key can be found, or the hash that training knows the customer by."""
        return [str(path.relative_to(self.home)) for path in self.files() if _holds(path, key)]

    def files(self) -> Iterator[Path]:
        for place in ("store", "cache", "data"):
            yield from sorted(path for path in (self.home / place).rglob("*") if path.is_file())

    def sums(self) -> dict[str, str]:
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files()}


def _holds(path: Path, key: str) -> bool:
    data = path.read_bytes()
    if path.name.endswith(".duckdb") or not data.startswith(b"PAR1"):
        return key.encode() in data
    table = pl.read_parquet(io.BytesIO(data))
    hashed = key_hash(key, SALT)
    return any(
        bool((column.cast(pl.String) == key).any()) or (column.dtype == pl.UInt64 and bool((column == hashed).any()))
        for column in table.get_columns()
    )


@pytest.fixture
def desk(tmp_path: Path, schema: Schema, make_model: Callable[[Schema], ScoringModel], make_table: MakeTable) -> Iterator[Desk]:
    made = Desk(tmp_path, schema, make_model(schema), make_table)
    yield made
    made.records.close()


def test_nothing_of_a_forgotten_customer_can_be_found_any_more(desk: Desk) -> None:
    places = {name.split("/")[1] if name.startswith("store") else name.split("/")[0] for name in desk.holding(GONE)}
    assert places == {"log", "scorings", "outcomes", "quarantine", "models", "cache", "data"}
    done = desk.forget(reason="asked by mail")
    assert done.problems == ()
    assert desk.holding(GONE) == []
    assert done.finished
    assert {place: number for place, number in done.found.items() if place != "cache"} == {
        "log": 2, "scorings": 2, "models": 1, "outcomes": 1, "quarantine": 1, "scenarios": 1, "campaigns": 1, "history": 1,
    }  # fmt: skip
    assert GONE not in json.dumps(done.to_dict())
    assert desk.holding("C0008"), "the search finds whom it should"


def test_what_is_left_is_whole_and_adds_up(desk: Desk) -> None:
    before = {info.id: info for info in desk.registry.scorings()}
    desk.forget()
    for info in desk.registry.scorings():
        assert info.rows == before[info.id].rows - 1 == 39
        assert desk.registry.problem("scoring", info.id) is None
        rows = pl.read_parquet(desk.registry.scoring_folder(info.id) / ROWS)
        assert info.facts["sums"]["risk"] == pytest.approx(rows["__risk__"].sum(), abs=1e-9)
        told = sum(info.facts["mean_points"].values())
        assert told == pytest.approx(rows["__risk__"].mean() - info.facts["typical_risk"], abs=1e-4)
        assert sum(band["customers"] for band in info.facts["by_band"]) == 39
    assert desk.registry.problem("model", desk.bundle.version) is None
    with desk.snapshot() as base:
        assert base.totals().customers == 39
        assert base.customer(GONE) is None
        other = base.customer("C0008")
        assert other
        assert len(base.past("C0008")) == 1
    assert log.read(desk.store).height == 78
    pointer = desk.registry.pointer()
    assert pointer
    assert pointer.reason == "a customer was forgotten"
    assert desk.registry.rollback("me").scoring == before[pointer.history[1].scoring or ""].id


def test_a_campaign_keeps_its_evidence_under_a_pseudonym(desk: Desk) -> None:
    desk.forget()
    with desk.records.read() as connection:
        (member,) = connection.execute(sql.select(MEMBERS).where(MEMBERS.c.rank == 7)).all()
        assert member.customer.startswith("forgotten-")
        assert (member.arm, member.stage, member.risk, member.groups, member.reason) == ("call", "called", 0.5, "{}", None)
        events = connection.execute(sql.select(EVENTS.c.customer, EVENTS.c.after).order_by(EVENTS.c.id)).all()
        assert events == [(member.customer, None), ("C0008", "moved to her sister's")]
        assert connection.execute(sql.select(SCENARIOS.c.customer)).scalars().all() == ["C0008"]
    assert outcomes.read(desk.store)["__key__"].to_list() == ["C0003", member.customer]
    with pytest.raises(RecordsUnavailable, match="only added to"), desk.records.begin() as connection:
        connection.execute(sql.update(EVENTS).values(who="eve"))


def test_what_cannot_be_reached_is_said(desk: Desk) -> None:
    (desk.home / "data" / "records.sqlite.format-1").write_bytes(b"old")
    done = desk.forget(dry_run=True)
    assert (
        done.unreached[0]
        == "Exported file spring.xlsx of campaign spring, taken by ann on 2 Nov 2026, 12:00 UTC, with contact data."
    )
    assert not any("autumn" in line for line in done.unreached)
    assert any("records.sqlite.format-1" in line for line in done.unreached)
    assert any(line.startswith("Counts per day") for line in done.stays)


def test_a_dry_run_changes_nothing_and_finds_the_same(desk: Desk) -> None:
    before = desk.sums()
    looked = desk.forget(dry_run=True)
    assert desk.sums() == before
    assert looked.finished is None
    done = desk.forget()
    assert {place: number for place, number in done.found.items() if place != "cache"} == dict(looked.found)


def test_done_again_it_finds_nothing_and_says_so(desk: Desk) -> None:
    first = desk.forget()
    before = desk.sums()
    again = desk.forget()
    assert again.again
    assert again.found == first.found
    assert first.finished is not None
    day = words.day(first.finished.date())
    assert again.sentence == f"Already forgotten on {day}; nothing was found."
    assert (again.finished, again.since) == (first.finished, {})
    changed = {Path(name).name for name, told in desk.sums().items() if before.get(name) != told}
    assert len(changed) == 1, "only the receipt is written anew"
    assert erasure.receipt(desk.store, GONE) is not None
    assert erasure.receipt(desk.store, "C0008") is None

    back = pl.DataFrame({"__key__": [GONE], "__as_of__": [None], "__left__": [1], "__known_at__": [SECOND]})
    part = io.BytesIO()
    back.cast({"__as_of__": pl.Date, "__left__": pl.Int8}).write_parquet(part)
    desk.store.write(f"outcomes/{'0' * 20}.parquet", part.getvalue())  # a backup was brought back
    third = desk.forget()
    assert third.sentence == f"Already forgotten on {day}; found since, and rewritten or removed: 1 outcome."
    assert third.finished is not None
    assert third.finished > first.finished


def test_a_forgotten_customer_does_not_come_back(desk: Desk) -> None:
    desk.forget()
    done = desk.publish(desk.make_table(desk.schema, 40, 3), date(2026, 12, 1))
    assert done.forgotten == 1
    with desk.snapshot() as base:
        assert base.customer(GONE) is None
        assert base.totals().customers == 39
    rows = score(desk.make_table(desk.schema, 40, 4), desk.bundle.model).rows
    log.append(desk.store, rows, desk.schema, model="v1", as_of=SECOND, run="other", source="file")
    table = pl.DataFrame({"customer": [GONE, "C0003"], "churned": ["Yes", "Yes"], "known_at": ["2026-11-21"] * 2})
    report = outcomes.import_outcomes(table, desk.schema, desk.store, today=date(2026, 12, 1))
    assert (report.accepted, report.refused, report.forgotten, report.unknown_keys) == (1, (), 1, 0)
    bad = table.with_columns(known_at=pl.lit("soon"))
    told = outcomes.import_outcomes(bad, desk.schema, desk.store, today=date(2026, 12, 1))
    assert [refusal.row for refusal in told.refused] == [2], "what is wrong with a forgotten customer's row is not told"
    assert told.forgotten == 1
    log.compact(desk.store)
    assert desk.holding(GONE) == []


def test_the_same_rows_published_again_after_an_erasure_are_the_same_run(desk: Desk) -> None:
    before = desk.registry.pointer()
    assert before
    desk.forget()
    desk.forget("C0011")
    table = desk.make_table(desk.schema, 40, 2)
    again = desk.publish(table, SECOND)
    assert (again.new, again.forgotten, again.pointer.scoring) == (False, 2, before.scoring)
    told = log.read(desk.store, since=SECOND, columns=[log.KEY])
    assert (told.height, told[log.KEY].n_unique()) == (38, 38)
    without = table.filter(~pl.col("customer").is_in([GONE, "C0011"]))
    assert not desk.publish(without, SECOND).new, "nor if the table no longer has them"
    assert desk.publish(without.with_columns(tenure=pl.col("tenure") + 1), SECOND).new, "other values are another run"


def test_the_hash_of_a_stone_needs_the_store_s_own_salt(desk: Desk) -> None:
    desk.forget()
    gone = forgotten.of(desk.store)
    assert GONE in gone
    assert "C0008" not in gone
    assert len(gone.salt) >= 32
    assert forgotten.hashed(GONE, "other") not in gone.hashes
    assert gone.among(pl.Series(["C0008", GONE, None])).to_list() == [False, True, False]


def test_a_key_is_known_however_a_table_spells_it(desk: Desk) -> None:
    with pytest.raises(DataError, match="must not be empty"):
        desk.forget("  ")
    done = desk.forget("C9999")
    assert done.sentence == "There was nothing of this customer; from now on they are left out."


def test_compactions_and_scorings_that_run_meanwhile_bring_nobody_back(desk: Desk) -> None:
    rows = score(desk.make_table(desk.schema, 40, 5), desk.bundle.model).rows
    over = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                log.append(desk.store, rows, desk.schema, model="v1", as_of=SECOND, run=f"more{number}", source="api")
                log.compact(desk.store)
        except Exception as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    done = desk.forget()
    over.set()
    worker.join()
    assert failed == []
    assert done.problems == ()
    log.compact(desk.store)
    found = log.read(desk.store, columns=[log.KEY, log.RUN])
    assert GONE not in found[log.KEY].to_list()
    assert found.is_unique().all()
    assert (found.group_by(log.RUN).len()["len"] == 39).sum() >= found[log.RUN].n_unique() - 1, "the others are all there"


class Killed(BaseException):
    """Stands for kill -9."""


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

    def upload(self, prefix: str, folder: Path, names: Any) -> None:
        for name in names:
            self._step()
            super().upload(prefix, folder, [name])

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)


def test_killed_before_any_of_its_steps_it_leaves_a_desk_that_runs_and_is_finished_later(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    steps = 0
    kept = tmp_path_factory.mktemp("kept") / "before"
    desk.records.close()
    shutil.copytree(desk.home, kept)
    while True:
        try:
            done = desk.forget(store=Mortal(desk.home / "store", steps))
            break
        except Killed:
            pass
        for info in desk.registry.scorings():
            assert desk.registry.problem("scoring", info.id) is None, f"killed before step {steps}"
        with desk.snapshot() as base:
            assert base.totals().customers in (39, 40)
        done = desk.forget()
        assert done.problems == ()
        assert done.finished
        # what a killed rewriting had uploaded holds nobody who is forgotten, and goes after a day
        assert desk.holding(GONE) == [], f"killed before step {steps}"
        steps += 5
        desk.records.close()
        for place in ("store", "cache", "data"):
            shutil.rmtree(desk.home / place)
            shutil.copytree(kept / place, desk.home / place)
    assert steps > 25
    assert desk.holding(GONE) == []


def test_while_the_database_is_away_it_is_not_finished_and_no_evidence_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise RecordsUnavailable("the database cannot be used: it is away")

    with monkeypatch.context() as patch:
        patch.setattr(Records, "status", away)
        done = desk.forget()
    assert done.problems == ("the database cannot be used: it is away",)
    assert done.finished is None
    assert done.sentence == "Not finished: 1 place could not be rewritten. Start it again."
    assert [one.customer for one in erasure.unfinished(desk.store)] == [done.customer]
    assert GONE in outcomes.read(desk.store)["__key__"].to_list(), "it is not known yet whether a campaign rests on it"
    assert desk.forget().finished
    assert erasure.unfinished(desk.store) == ()
    assert desk.holding(GONE) == []
    assert outcomes.read(desk.store).height == 2


@pytest.mark.system
def test_a_server_s_history_is_guarded_again_afterwards(
    tmp_path: Path,
    schema: Schema,
    make_model: Callable[[Schema], ScoringModel],
    make_table: MakeTable,
    postgres: Postgres,  # noqa: F811 - fixture
) -> None:
    desk = Desk(tmp_path, schema, make_model(schema), make_table, postgres.url)
    done = desk.forget()
    assert done.problems == ()
    with desk.records.read() as connection:
        assert GONE not in connection.execute(sql.select(EVENTS.c.customer)).scalars().all()
        assert GONE not in connection.execute(sql.select(MEMBERS.c.customer)).scalars().all()
    with pytest.raises(RecordsUnavailable, match="only added to"), desk.records.begin() as connection:
        connection.execute(sql.update(EVENTS).values(who="eve"))
    desk.records.close()
