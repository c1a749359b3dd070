"""`churn db`: how far the database is, brought up to date, copied and put back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from churn.base.records import FILE, FORMAT

from .conftest import Desk

OLD = (
    "CREATE TABLE churn_about (id INTEGER NOT NULL PRIMARY KEY, format INTEGER NOT NULL, simulated BOOLEAN NOT NULL, "
    "made DATETIME NOT NULL)",
    "CREATE TABLE churn_scenarios (token VARCHAR(43) NOT NULL PRIMARY KEY, workspace VARCHAR(200) NOT NULL, "
    "customer TEXT NOT NULL, name TEXT NOT NULL, edits TEXT NOT NULL, since VARCHAR(20) NOT NULL, model TEXT NOT NULL, "
    "scoring TEXT NOT NULL, risk FLOAT NOT NULL, risk_before FLOAT NOT NULL, who TEXT NOT NULL, made DATETIME NOT NULL, "
    "deleted DATETIME)",
    "CREATE INDEX churn_scenarios_customer ON churn_scenarios (workspace, customer)",
    "INSERT INTO churn_about VALUES (1, 1, 0, '2026-01-02 03:04:05')",
)


@pytest.fixture
def bare(tmp_path: Path) -> Desk:
    """A home with nothing in it."""
    (tmp_path / "bare").mkdir()
    return Desk(tmp_path / "bare")


def test_from_nothing_to_a_copy_and_back(bare: Desk) -> None:
    assert "nothing yet; it is made on first use" in bare.done("db", "status").out
    assert not (bare.home / "data").exists()
    assert bare.done("db", "upgrade").out == f"The database is made, in format {FORMAT}.\n"
    assert bare.done("db", "upgrade").out == f"The database has format {FORMAT} already.\n"
    assert "real records" in bare.done("db", "status").out
    assert "copy.sqlite holds no records." in bare.done("db", "backup", "copy.sqlite").out
    assert "is there already; a backup never overwrites" in bare.run("db", "backup", "copy.sqlite").line
    assert bare.done("db", "restore", "copy.sqlite", "--json").json["rows"]["churn_campaigns"] == 0
    assert "there is no file" in bare.run("db", "restore", "missing.sqlite").line


def test_an_earlier_format_is_told_and_brought_up_to_date(bare: Desk) -> None:
    file = bare.home / "data" / "default" / FILE
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        for statement in OLD:
            connection.execute(statement)
        connection.commit()
    ran = bare.run("db", "status")
    assert ran.code == 1
    assert f"This version needs format {FORMAT}; bring it up to date with: churn db upgrade" in ran.out
    assert bare.done("db", "upgrade").out == f"From format 1 to {FORMAT}.\n"
    assert bare.done("db", "status", "--json").json["format"] == FORMAT


def test_a_later_format_is_told(bare: Desk) -> None:
    bare.done("db", "upgrade")
    with closing(sqlite3.connect(bare.home / "data" / "default" / FILE)) as connection:
        connection.execute("UPDATE churn_about SET format = 99")
        connection.commit()
    ran = bare.run("db", "status")
    assert (ran.code, "update churn" in ran.out) == (1, True)
    assert "made by a later version of the desk" in bare.run("db", "upgrade").line


def test_the_doctor_looks_at_it(bare: Desk) -> None:
    def told() -> tuple[bool, str]:
        found = {one["what"]: (one["good"], one["words"]) for one in bare.run("doctor", "--json").json}
        return found["database"]

    assert told()[0]
    assert "nothing kept yet" in told()[1]
    assert not (bare.home / "data").exists()
    bare.done("db", "upgrade")
    assert told()[1].endswith(f"format {FORMAT}")
    with closing(sqlite3.connect(bare.home / "data" / "default" / FILE)) as connection:
        connection.execute("UPDATE churn_about SET format = 99")
        connection.commit()
    assert told() == (False, told()[1])
    assert "has format 99" in told()[1]
