"""A backup holds everything, opens anywhere, and is put back whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from churn.base._tables import CAMPAIGNS, EVENTS, METADATA
from churn.base.backup import backup, restore
from churn.base.records import Records
from churn.errors import DataError, RecordsUnavailable, WorkspaceMixed
from churn.settings import Settings

from .postgres import Postgres, postgres, server  # noqa: F401 - fixtures

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
Place = Callable[[str, str], Settings]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """The settings of an empty database, of a kind and under a name."""

    def make(kind: str, name: str) -> Settings:
        (tmp_path / name).mkdir()
        url = "" if kind == "sqlite" else request.getfixturevalue("postgres").url
        return Settings(home=tmp_path / name, data="data", database=url)

    return make


def _fill(settings: Settings, lines: int) -> None:
    campaign: dict[str, Any] = {"workspace": "default", "id": "c", "name": "Ünïcode'; --", "status": "draft", "version": 1}
    campaign |= {"salt": "s", "holdout_share": 0.1, "model": "v1", "scoring": "s1", "as_of": date(2026, 6, 30)}
    campaign |= {"horizon_days": 30, "filter": "[]", "assumptions": "{}", "plan": "{}", "who": "ann", "made": NOW}
    line = {"workspace": "default", "campaign": "c", "field": "stage", "who": "ann", "at": NOW, "source": "page", "edit": "e"}
    records = Records(settings)
    with records.begin() as connection:
        connection.execute(sql.insert(CAMPAIGNS).values(campaign))
        connection.execute(sql.insert(EVENTS), [{**line, "customer": f"C{number}"} for number in range(lines)])
    records.close()


def _all(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    records = Records(settings)
    with records.read() as connection:
        found = {
            table.name: sorted(
                tuple(str(cell.astimezone(UTC).replace(tzinfo=None)) if isinstance(cell, datetime) else str(cell) for cell in row)
                for row in connection.execute(sql.select(table))
            )
            for table in METADATA.sorted_tables
            if table.name != "churn_about"
        }
    records.close()
    return found


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "postgres", marks=pytest.mark.system),
        pytest.param("postgres", "sqlite", marks=pytest.mark.system),
    ],
)
def test_everything_comes_back(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, there: str) -> None:
    monkeypatch.setattr("churn.base.backup._AT_ONCE", 7)
    monkeypatch.setenv("TZ", "America/New_York")
    source, target, file = place(here, "here"), place(there, "there"), tmp_path / "copy.sqlite"
    _fill(source, 20)
    copied = backup(source, file)
    assert (copied["churn_campaigns"], copied["churn_events"]) == (1, 20)
    assert restore(target, file) == copied
    assert _all(target) == _all(source)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["copy.sqlite"]
    records = Records(target)  # and what comes after it gets numbers of its own
    line = {"workspace": "default", "campaign": "c", "field": "stage", "who": "bob", "at": NOW, "source": "page", "edit": "e"}
    with records.begin() as connection:
        connection.execute(sql.insert(EVENTS).values(line))
        assert connection.execute(sql.select(EVENTS.c.id).where(EVENTS.c.who == "bob")).scalar_one() == 21
    records.close()


def test_only_an_empty_database_is_restored_into(place: Place, tmp_path: Path) -> None:
    source, file = place("sqlite", "here"), tmp_path / "copy.sqlite"
    _fill(source, 3)
    backup(source, file)
    before = _all(source)
    with pytest.raises(DataError, match="holds records already"):
        restore(source, file)
    assert _all(source) == before


def test_a_backup_overwrites_nothing(place: Place, tmp_path: Path) -> None:
    source, file = place("sqlite", "here"), tmp_path / "copy.sqlite"
    file.write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        backup(source, file)
    assert file.read_text() == "mine"
    with pytest.raises(DataError, match="there is no folder"):
        backup(source, tmp_path / "no" / "copy.sqlite")


def test_what_is_no_backup_is_refused(place: Place, tmp_path: Path) -> None:
    target = place("sqlite", "there")
    text, other, damaged = tmp_path / "a.txt", tmp_path / "other.sqlite", tmp_path / "damaged.sqlite"
    text.write_text("no database, but long enough for a header to be looked for in it " * 50)
    engine = sql.create_engine(f"sqlite:///{other}")
    with engine.begin() as connection:
        connection.execute(sql.text("create table somebody_elses (a int)"))
    source = place("sqlite", "here")
    _fill(source, 2000)
    backup(source, damaged)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = bytes(8192)
    damaged.write_bytes(content)
    for file, says in ((text, "not a database"), (other, "none of a desk's tables"), (damaged, "damaged|malformed")):
        with pytest.raises(RecordsUnavailable, match=says):
            restore(target, file)
    with pytest.raises(DataError, match="there is no file"):
        restore(target, tmp_path / "missing.sqlite")
    assert not any(_all(target).values())


def test_a_backup_that_is_not_whole_or_of_a_later_desk_is_named_itself(place: Place, tmp_path: Path) -> None:
    source, target = place("sqlite", "here"), place("sqlite", "there")
    _fill(source, 20)
    part, later = tmp_path / "part.sqlite", tmp_path / "later.sqlite"
    for file, change in ((part, "drop table churn_exports"), (later, "update churn_about set format = 9999")):
        backup(source, file)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(change)
            connection.commit()
    for file, says in ((part, "lacks the table churn_exports"), (later, "later version")):
        with pytest.raises(RecordsUnavailable, match=says) as told:
            restore(target, file)
        assert str(file) in str(told.value)
        assert "churn-restore" not in str(told.value)
    assert not any(_all(target).values())


def test_simulated_records_stay_apart(place: Place, tmp_path: Path) -> None:
    source, file = place("sqlite", "here"), tmp_path / "copy.sqlite"
    _fill(source, 1)
    backup(source, file)
    with pytest.raises(WorkspaceMixed):
        restore(Settings(workspace="demo", home=tmp_path, data="demo"), file)
