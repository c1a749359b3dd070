"""Copies of the database: a backup is a SQLite file of its own, whatever the database is, and is restored into an empty one.

So a backup needs no other program to be made, looked at or opened, and takes what was kept in a file to a server and back.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from churn.base._tables import ABOUT, EVENTS, METADATA
from churn.base.records import Records, utc
from churn.data.disk import disk
from churn.errors import DataError, RecordsUnavailable
from churn.settings import Settings

_AT_ONCE = 2_000  # rows copied in one statement


def backup(settings: Settings, to: Path) -> Mapping[str, int]:
    """Copy the database as it is at one moment into a new file; how many rows of each table.

    Raises
    ------
    DataError: the file is there already, or its folder is not. RecordsUnavailable: the database, or the disk, refuses.
    """
    if to.exists():
        raise DataError(f"{to} is there already; a backup never overwrites. Choose another name")
    if not to.parent.is_dir():
        raise DataError(f"{to} cannot be written: there is no folder {to.parent}; make it, or name another")
    part = to.with_name(f".{uuid.uuid4().hex}.part")
    copy, here = Records(replace(settings, database=f"sqlite:///{part.resolve()}")), Records(settings)
    try:
        with disk(to, "written"):
            copied = _copy(here, copy)
            copy.close()
            with closing(sqlite3.connect(part)) as file:
                file.execute("PRAGMA journal_mode=DELETE")  # one file, not three
            part.replace(to)
    finally:
        here.close()
        copy.close()
        for left in part.parent.glob(f"{part.name}*"):
            left.unlink(missing_ok=True)
    return copied


def restore(settings: Settings, source: Path) -> Mapping[str, int]:
    """Put a backup into the database, which must hold nothing yet; all of it or nothing. How many rows of each table.

    The backup itself stays as it is; one of an earlier format is brought up to date on the way.

    Raises
    ------
    DataError: there is no such file, or the database holds something. RecordsUnavailable: the file is no backup, or the database
    refuses. WorkspaceMixed: the backup is of simulated records and this workspace real, or the other way round.
    """
    if not source.is_file():
        raise DataError(f"there is no file {source}")
    with tempfile.TemporaryDirectory(prefix="churn-restore-") as folder:
        place = Path(folder) / "backup.sqlite"
        with disk(source, "read"):
            shutil.copyfile(source, place)
        _refuse_other(source, place)
        opened = Records(replace(settings, database=f"sqlite:///{place}"))
        target = Records(settings)
        try:
            _refuse_unfit(source, place, opened)
            return _copy(opened, target, empty=True)
        finally:
            opened.close()
            target.close()


def _refuse_other(source: Path, copy: Path) -> None:
    """Raise for a file that no desk made: opened for writing, it would become an empty database."""
    try:
        with closing(sqlite3.connect(copy)) as file:
            named = file.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (ABOUT.name,)).fetchone()
            sound = file.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise RecordsUnavailable(f"{source} is no backup of a desk's database: {error}") from error
    if named is None or sound != ("ok",):
        first = next((line for line in str(sound[0] if sound else "").splitlines() if not line.startswith("***")), "")
        what = "holds none of a desk's tables" if named is None else f"is damaged: {first}"  # the first of many lines
        raise RecordsUnavailable(f"{source} is no backup of a desk's database: it {what}")


def _refuse_unfit(source: Path, copy: Path, opened: Records) -> None:
    """Raise, in the name of the file that was given, for a backup that cannot be brought up to date or is not whole."""
    try:
        with opened.read() as connection:
            there = set(sql.inspect(connection).get_table_names())
    except RecordsUnavailable as error:
        raise RecordsUnavailable(str(error).replace(str(copy), str(source))) from error
    lacking = sorted(table.name for table in METADATA.sorted_tables if table.name not in there)
    if lacking:
        raise RecordsUnavailable(f"{source} is no whole backup of a desk's database: it lacks the table {lacking[0]}")


def _copy(source: Records, target: Records, *, empty: bool = False) -> dict[str, int]:
    """All rows of one database into the other, in one transaction of each."""
    copied: dict[str, int] = {}
    with source.read(steady=True) as old, target.begin() as new:
        tables = [table for table in METADATA.sorted_tables if table is not ABOUT]
        if empty:
            for table in tables:
                if new.execute(sql.select(sql.literal(1)).select_from(table).limit(1)).first() is not None:
                    raise DataError(
                        f"the database {target.address} holds records already ({table.name}); restore into an empty one: set "
                        "'database' to another place, or move the file away"
                    )
        for table in tables:
            found = old.execution_options(stream_results=True).execute(sql.select(table))
            copied[table.name] = 0
            for part in found.mappings().partitions(_AT_ONCE):
                new.execute(sql.insert(table), [_plain(row) for row in part])
                copied[table.name] += len(part)
        if new.dialect.name == "postgresql":  # its counter knows nothing of rows that brought their number along
            counter = sql.func.pg_get_serial_sequence(EVENTS.name, EVENTS.c.id.name)
            last = sql.select(sql.func.max(EVENTS.c.id)).scalar_subquery()
            new.execute(sql.select(sql.func.setval(counter, sql.func.coalesce(last, 1), last.is_not(None))))
    return copied


def _plain(row: Any) -> dict[str, Any]:
    return {name: utc(value) if hasattr(value, "astimezone") else value for name, value in row.items()}
