"""The database of what people make: made on first use, by whoever comes first; clear about what is wrong with it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sql

from churn.base.records import FILE, FORMAT, Records
from churn.errors import RecordsUnavailable, SettingsError, WorkspaceMixed
from churn.settings import Settings

from .postgres import Postgres, postgres, server  # noqa: F401 - fixtures


def _settings(home: Path, database: str = "", workspace: str = "default") -> Settings:
    return Settings(workspace=workspace, home=home, data=f"data/{workspace}", database=database)


def _tables(records: Records) -> set[str]:
    with records.begin() as connection:
        return set(sql.inspect(connection).get_table_names())


def test_nothing_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    records = Records(_settings(tmp_path))
    assert not (tmp_path / "data").exists()
    assert {"churn_about", "churn_scenarios"} <= _tables(records)
    assert (tmp_path / "data" / "default" / FILE).exists()


@pytest.mark.parametrize("place", ["sqlite:///kept/mine.db", "sqlite:///{home}/kept/mine.db"])
def test_a_relative_place_starts_from_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _tables(Records(_settings(tmp_path, place.format(home=tmp_path))))
    assert (tmp_path / "kept" / "mine.db").exists()
    assert not list(elsewhere.iterdir())


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    first = Records(_settings(tmp_path))
    made = _about(first)
    first.close()
    assert _about(Records(_settings(tmp_path))) == made
    assert _about(first) == made  # closed, it opens again


def _about(records: Records) -> tuple[object, ...]:
    with records.begin() as connection:
        return tuple(connection.execute(sql.text("select * from churn_about")).one())


def test_many_come_first_at_once(tmp_path: Path) -> None:
    many = [Records(_settings(tmp_path)) for _ in range(8)]
    failed: list[BaseException] = []
    gate = threading.Barrier(len(many))

    def open_one(records: Records) -> None:
        gate.wait()
        try:
            _about(records)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is told by the test
            failed.append(error)

    threads = [threading.Thread(target=open_one, args=(records,)) for records in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with many[0].begin() as connection:
        assert connection.execute(sql.text("select count(*) from churn_about")).scalar_one() == 1


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    records = Records(_settings(tmp_path))
    before = _about(records)

    def fail() -> None:
        with records.begin() as connection:
            connection.execute(sql.text("update churn_about set format = 0"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _about(records) == before


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    records = Records(_settings(tmp_path))
    with records.begin() as connection:
        connection.execute(sql.text(f"update churn_about set format = {FORMAT + 1}"))
    with pytest.raises(RecordsUnavailable, match=f"made by a later version of the desk: its format is {FORMAT + 1}"):
        _about(Records(_settings(tmp_path)))


def test_simulated_and_real_records_never_meet(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/one.db"
    _about(Records(_settings(tmp_path, place)))
    with pytest.raises(WorkspaceMixed, match="holds real records and workspace 'demo' simulated customers"):
        _about(Records(_settings(tmp_path, place, workspace="demo")))


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("nonsense", SettingsError, "no address of a database"),
        ("nosuch://host/base", SettingsError, "no address of a database"),
        ("postgresql+psycopg://ann:s3cret@127.0.0.1:1/base", RecordsUnavailable, "cannot be used"),
        ("sqlite:////proc/no/where.db", RecordsUnavailable, "cannot be made"),
    ],
)
def test_errors_are_clear_and_never_show_a_password(tmp_path: Path, address: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        _about(Records(_settings(tmp_path, address)))
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "kept.db").write_text("not a database, but longer than a header would be, so that it is looked at" * 20)
    with pytest.raises(RecordsUnavailable, match="file is not a database"):
        _about(Records(_settings(tmp_path, f"sqlite:///{tmp_path}/kept.db")))


def test_a_database_that_somebody_else_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("churn.base.records._WAIT_S", 0.1)
    records = Records(_settings(tmp_path))
    _about(records)
    other = sqlite3.connect(tmp_path / "data" / "default" / FILE, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(RecordsUnavailable, match="database is locked"):
        _about(records)
    other.execute("rollback")
    other.close()
    _about(records)


@pytest.mark.system
def test_postgres_is_made_and_kept(postgres: Postgres, tmp_path: Path) -> None:  # noqa: F811
    settings = _settings(tmp_path, postgres.url)
    first = Records(settings)
    made = _about(first)
    assert _about(Records(settings)) == made
    assert {"churn_about", "churn_scenarios"} <= _tables(first)
    assert not (tmp_path / "data").exists()
    with pytest.raises(WorkspaceMixed):
        _about(Records(_settings(tmp_path, postgres.url, workspace="demo")))
