"""A database of an earlier version: brought up to date with nothing lost, unasked only where nobody else can be using it."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from churn.base import records as module
from churn.base._tables import ALERT_EVENTS, DECISIONS, EVENTS, EXPORTS, FORMAT, METADATA, REVISIONS, SCENARIOS
from churn.base.records import FILE, Records
from churn.errors import RecordsUnavailable, WorkspaceMixed
from churn.settings import Settings

from .postgres import Postgres, postgres, server  # noqa: F401 - fixtures

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
# The tables as the version before migrations made them, word for word.
BEFORE = (
    "CREATE TABLE churn_about (id INTEGER NOT NULL, format INTEGER NOT NULL, simulated BOOLEAN NOT NULL, made {time} NOT NULL, "
    "PRIMARY KEY (id))",
    "CREATE TABLE churn_scenarios (token VARCHAR(43) NOT NULL, workspace VARCHAR(200) NOT NULL, customer TEXT NOT NULL, "
    "name TEXT NOT NULL, edits TEXT NOT NULL, since VARCHAR(20) NOT NULL, model TEXT NOT NULL, scoring TEXT NOT NULL, "
    "risk FLOAT NOT NULL, risk_before FLOAT NOT NULL, who TEXT NOT NULL, made {time} NOT NULL, deleted {time}, "
    "PRIMARY KEY (token))",
    "CREATE INDEX churn_scenarios_customer ON churn_scenarios (workspace, customer)",
    "INSERT INTO churn_about VALUES (1, 1, {no}, '2026-01-02 03:04:05')",
    "INSERT INTO churn_scenarios VALUES ('t', 'default', 'C1', 'Cheaper', '[]', 'always', 'v1', 's1', 0.25, 0.5, 'ann', "
    "'2026-01-02 03:04:05', NULL)",
)


def _settings(home: Path, database: str = "", workspace: str = "default") -> Settings:
    return Settings(workspace=workspace, home=home, data=f"data/{workspace}", database=database)


def _old_file(home: Path) -> Path:
    file = home / "data" / "default" / FILE
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        for statement in BEFORE:
            connection.execute(statement.format(time="DATETIME", no="0"))
        connection.commit()
    return file


def _old_server(url: str) -> None:
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        for statement in BEFORE:
            connection.execute(sql.text(statement.format(time="TIMESTAMP WITH TIME ZONE", no="false")))
    engine.dispose()


def _scenario(records: Records) -> tuple[object, ...]:
    with records.read() as connection:
        return tuple(connection.execute(sql.select(SCENARIOS.c.token, SCENARIOS.c.name, SCENARIOS.c.risk)).one())


def _is_up_to_date(records: Records) -> None:
    """Alembic finds no difference between the database and the tables as they are now."""
    with records.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISIONS, "compare_type": True})
        assert compare_metadata(context, METADATA) == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    opened = Records(_settings(tmp_path, url))
    yield opened
    opened.close()


def test_the_last_step_is_the_format() -> None:
    steps = ScriptDirectory(str(Path(module.__file__).parent / "migrations"))
    assert steps.get_heads() == [str(FORMAT)]
    assert [step.revision for step in steps.walk_revisions()] == [str(number) for number in range(FORMAT, 0, -1)]


def test_the_steps_come_to_the_tables_as_they_are_now(fresh: Records) -> None:
    _is_up_to_date(fresh)
    found = fresh.status()
    assert (found.format, found.needs, found.simulated) == (FORMAT, FORMAT, False)
    assert set(found.rows.values()) == {0}


def test_a_file_of_the_first_format_is_adopted_and_a_copy_kept(tmp_path: Path) -> None:
    file = _old_file(tmp_path)
    records = Records(_settings(tmp_path))
    assert records.status().format == 1
    assert _scenario(records) == ("t", "Cheaper", 0.25)
    assert records.status().format == FORMAT
    with closing(sqlite3.connect(file.with_name(f"{FILE}.format-1"))) as copy:
        assert copy.execute("SELECT format FROM churn_about").fetchall() == [(1,)]
        assert copy.execute("SELECT name FROM churn_scenarios").fetchall() == [("Cheaper",)]
    _is_up_to_date(records)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    found = Records(_settings(tmp_path)).status()
    assert (found.format, found.rows) == (None, {})
    assert not (tmp_path / "data").exists()


def test_another_kind_of_records_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    file = _old_file(tmp_path)
    with pytest.raises(WorkspaceMixed):
        _scenario(Records(_settings(tmp_path, f"sqlite:///{file}", "demo")))
    assert Records(_settings(tmp_path)).status().format == 1


def _open(home: Path) -> None:
    records = Records(_settings(home))
    _scenario(records)
    records.close()


def test_many_processes_bring_one_file_up_to_date(tmp_path: Path) -> None:
    file = _old_file(tmp_path)
    spawned = multiprocessing.get_context("fork")
    many = [spawned.Process(target=_open, args=(tmp_path,)) for _ in range(6)]
    for one in many:
        one.start()
    for one in many:
        one.join(60)
    assert [one.exitcode for one in many] == [0] * len(many)
    with closing(sqlite3.connect(file.with_name(f"{FILE}.format-1"))) as copy:  # nobody kept a later one in its place
        assert copy.execute("SELECT format FROM churn_about").fetchall() == [(1,)]


def test_a_step_that_fails_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _old_file(tmp_path)
    upgrade = command.upgrade

    def fail(*given: object) -> None:
        upgrade(*given)
        raise sql.exc.OperationalError("a step", None, Exception("the disk is full"))

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(RecordsUnavailable, match="the disk is full"):
        _scenario(Records(_settings(tmp_path)))
    monkeypatch.undo()
    assert Records(_settings(tmp_path)).status().format == 1
    assert _scenario(Records(_settings(tmp_path))) == ("t", "Cheaper", 0.25)


@pytest.mark.system
def test_a_server_is_brought_up_to_date_only_when_asked(postgres: Postgres, tmp_path: Path) -> None:  # noqa: F811
    _old_server(postgres.url)
    records = Records(_settings(tmp_path, postgres.url))
    with pytest.raises(RecordsUnavailable, match=r"its format is 1, this version needs 3; .* with: churn db upgrade"):
        _scenario(records)
    assert records.status().format == 1
    assert records.upgrade() == (1, FORMAT)
    assert _scenario(records) == ("t", "Cheaper", 0.25)
    assert records.upgrade() == (FORMAT, FORMAT)
    records.close()


def test_evidence_is_only_added_to(fresh: Records) -> None:
    line = {"workspace": "default", "campaign": "c", "field": "status", "who": "ann", "at": NOW, "source": "page", "edit": "e"}
    sent = {"id": "x", "workspace": "default", "kind": "csv", "name": "a.csv", "filter": "[]", "model": "v1", "scoring": "s1"}
    sent |= {"assumptions": "{}", "plan": "{}", "rows": 1, "sha256": "0" * 64, "unmasked": False, "who": "ann", "at": NOW}
    with fresh.begin() as connection:
        connection.execute(sql.insert(EVENTS).values(line))
        connection.execute(sql.insert(EXPORTS).values(sent))
        told = {"workspace": "default", "alert": "a", "what": "opened", "who": "ann", "at": NOW}
        connection.execute(sql.insert(ALERT_EVENTS).values(told))
        made = {"id": "d", "workspace": "default", "kind": "due", "cause": "realised-loss", "model": "v1", "words": "Due."}
        connection.execute(sql.insert(DECISIONS).values(made | {"evidence": "{}", "day": NOW.date(), "who": "ann", "at": NOW}))
    for change in (
        sql.update(EVENTS).values(who="eve"),
        sql.delete(EVENTS),
        sql.update(EXPORTS).values(sha256="1" * 64),
        sql.delete(EXPORTS),
        sql.update(ALERT_EVENTS).values(who="eve"),
        sql.delete(ALERT_EVENTS),
        sql.update(DECISIONS).values(kind="promoted"),
        sql.delete(DECISIONS),
    ):
        with pytest.raises(RecordsUnavailable, match="is only added to"), fresh.begin() as connection:
            connection.execute(change)
    assert fresh.status().rows["churn_events"] == fresh.status().rows["churn_exports"] == 1


def test_readers_of_a_file_wait_for_no_writer(tmp_path: Path) -> None:
    records = Records(_settings(tmp_path))
    with records.begin() as writing:
        writing.execute(sql.text("update churn_about set simulated = simulated"))
        with records.read() as reading:
            assert reading.execute(sql.text("select count(*) from churn_about")).scalar_one() == 1
            assert reading.execute(sql.text("pragma journal_mode")).scalar_one() == "wal"
