"""The database of what people make, such as scenarios and campaigns: SQLite by default, PostgreSQL by URL.

It is made on first use and carries a format, so that a later version of the desk knows what it finds. A file of an earlier format
is brought up to this one when it is opened, after a copy of it was put aside; a server, which other desks may be using, only when
somebody asks for it (`churn db upgrade`). Customers, scores and models are never in it: they lie in the store, read-only. Only
this module opens it; only this module and the `_rows` of `churn.act` and `churn.watch` speak SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import exc

from churn.base._tables import (
    ABOUT,
    ALERT_EVENTS,
    ALERT_SENDINGS,
    ALERTS,
    CAMPAIGNS,
    DECISIONS,
    EVENTS,
    EXPORTS,
    FORMAT,
    MEMBERS,
    METADATA,
    REVISIONS,
    SCENARIOS,
    SEGMENT_COUNTS,
    SEGMENTS,
)
from churn.data.source import shown_url
from churn.errors import RecordsUnavailable, SettingsError, WorkspaceMixed
from churn.settings import Settings

__all__ = [
    "ALERTS",
    "ALERT_EVENTS",
    "ALERT_SENDINGS",
    "CAMPAIGNS",
    "DECISIONS",
    "EVENTS",
    "EXPORTS",
    "FILE",
    "FORMAT",
    "MEMBERS",
    "METADATA",
    "SCENARIOS",
    "SEGMENTS",
    "SEGMENT_COUNTS",
    "Records",
    "Status",
    "utc",
]

FILE = "records.sqlite"  # in the folder of the setting `data`
_WAIT_S = 15  # that a writer waits for another
_CONNECT_S = 5  # for a server to answer
_LOCK = 0x63687572  # of PostgreSQL's advisory locks, the one for making tables
_READING = "churn_reading"


@dataclass(frozen=True, slots=True)
class Status:
    """How far a database has come: its `format` (None where there are no tables yet) and the one this version `needs`.

    `rows`: how many of each table there are, of all workspaces, by the table's name; empty while it is not up to date.
    """

    address: str
    format: int | None
    needs: int
    simulated: bool | None
    made: datetime | None
    rows: dict[str, int]


def utc(moment: datetime) -> datetime:
    """A time as the database gives it, in UTC: SQLite keeps no zone, PostgreSQL gives its own."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class Records:
    """The database of one workspace; opened, and made, when it is first asked for. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet. `settings.database`, else a file in `settings.data`."""
        self.workspace = settings.workspace
        self._settings = settings
        self._engine: sql.Engine | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return shown_url(self._url)

    @contextmanager
    def begin(self) -> Iterator[sql.Connection]:
        """A transaction that may write: what is done in it is kept whole or not at all.

        On SQLite it waits for its turn at the start, so that what it reads is still so when it writes.

        Raises
        ------
        SettingsError: the setting is no address of a database, or its driver is not installed.
        RecordsUnavailable: it cannot be reached, made or written, was made by a later version of the desk, or is a server's of an
            earlier one.
        WorkspaceMixed: it holds simulated records and this workspace real ones, or the other way round.
        """
        with self._transaction({}) as connection:
            yield connection

    @contextmanager
    def read(self, *, steady: bool = False) -> Iterator[sql.Connection]:
        """A transaction that only reads and waits for no writer. Raises as `begin` does.

        On SQLite everything in it is of one moment; on a server only where that is asked for, with `steady`.
        """
        same = {"isolation_level": "REPEATABLE READ"} if steady and self._file is None else {}
        with self._transaction({_READING: True, **same}) as connection:
            yield connection

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[sql.Connection]:
        engine = self._opened()
        try:
            with engine.connect() as plain:
                connection = plain.execution_options(**options)
                with connection.begin():
                    yield connection
        except exc.SQLAlchemyError as error:
            raise self._unavailable(error) from error

    def status(self) -> Status:
        """How far the database has come; nothing is made or changed. Raises SettingsError, RecordsUnavailable."""
        engine = self._made(make=False)
        try:
            with closing_engine(engine), engine.connect().execution_options(**{_READING: True}) as connection:
                found = _about(connection)
                rows = {}
                if found is not None and found.format == FORMAT:
                    counts = {table.name: sql.select(sql.func.count()).select_from(table) for table in METADATA.sorted_tables}
                    rows = {name: connection.execute(count).scalar_one() for name, count in counts.items() if name != ABOUT.name}
        except exc.SQLAlchemyError as error:
            raise self._unavailable(error) from error
        if found is None:
            return Status(self.address, None, FORMAT, None, None, {})
        return Status(self.address, found.format, FORMAT, found.simulated, utc(found.made), rows)

    def upgrade(self) -> tuple[int | None, int]:
        """Bring the database to the format of this version, a server's too; the format before and after.

        Raises as `begin` does, but not for an earlier format.
        """
        self.close()
        before = self.status().format
        engine = self._made()
        with closing_engine(engine):
            self._prepare(engine, asked=True)
        return before, FORMAT

    def settle(self) -> None:
        """Put what waits beside a file into it, so that nothing deleted is left there; a reader in the middle of something stops
        that, and the next close does it. A server looks after its own."""
        if self._file is None:
            return
        connection = self._opened().raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise RecordsUnavailable(f"the database {self.address} cannot be used: {error}") from error
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of the connections; the next question opens new ones."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    # -- inside ----------------------------------------------------------------

    @property
    def _url(self) -> str:
        return self._settings.database or f"sqlite:///{self._settings.path('data') / FILE}"

    def _opened(self) -> sql.Engine:
        with self._lock:
            if self._engine is None:
                engine = self._made()
                try:
                    self._prepare(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _made(self, make: bool = True) -> sql.Engine:
        """An engine; with `make`, the folder of a file too. A file that is not there is not made by looking at it."""
        try:
            url = sql.make_url(self._url)
            file = self._file
            if file is None:
                waiting = {"connect_timeout": _CONNECT_S} if url.get_backend_name() == "postgresql" else {}
                return _ruled(sql.create_engine(url, pool_pre_ping=True, connect_args={**waiting, **url.query}))
            if make:
                file.parent.mkdir(parents=True, exist_ok=True)
            place = url.set(database=str(file) if make or file.exists() else ":memory:")
            return _ruled(sql.create_engine(place, connect_args={"timeout": _WAIT_S}))
        except OSError as error:
            raise RecordsUnavailable(f"the folder of {self.address} cannot be made: {error.strerror or error}") from error
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
            raise SettingsError(f"setting 'database' is no address of a database that can be used: {self.address}") from error

    @property
    def _file(self) -> Path | None:
        """The file of a SQLite database; None for a server, and for what lives in memory."""
        url = sql.make_url(self._url)
        if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
            return None
        return self._settings.home / url.database  # a relative place starts from there, as all settings' do

    def _prepare(self, engine: sql.Engine, *, asked: bool = False) -> None:
        """Make the tables, or bring them up to date where that may be done unasked; refuse what is not this workspace's."""
        try:
            if self._file is not None:
                _write_ahead(engine)
            with engine.connect().execution_options(**{_READING: True}) as connection:
                found = _about(connection)
            if self._behind(found):
                if found is not None and self._file is None and not asked:
                    raise RecordsUnavailable(
                        f"the database {self.address} was made by an earlier version of the desk: its format is {found.format}, "
                        f"this version needs {FORMAT}; bring it up to date with: churn db upgrade"
                    )
                self._migrate(engine)
        except exc.SQLAlchemyError as error:
            raise self._unavailable(error) from error

    def _behind(self, found: sql.Row[Any] | None) -> bool:
        """Whether there is something to make or to bring up to date; raises for what is not to be touched."""
        if found is None:
            return True
        if found.format > FORMAT:
            raise RecordsUnavailable(
                f"the database {self.address} was made by a later version of the desk: its format is {found.format}, "
                f"this version reads up to {FORMAT}"
            )
        if bool(found.simulated) is not self._settings.simulated:
            kinds = ("simulated", "real") if found.simulated else ("real", "simulated")
            raise WorkspaceMixed(
                f"the database {self.address} holds {kinds[0]} records and workspace '{self.workspace}' {kinds[1]} customers; "
                "choose another database"
            )
        return bool(found.format < FORMAT)

    def _migrate(self, engine: sql.Engine) -> None:
        """Run the steps that are missing, all or none: both databases take changes of tables into a transaction."""
        from alembic import command
        from alembic.config import Config

        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_LOCK)))
            found = _about(connection)
            if not self._behind(found):  # another process was faster
                return
            steps = Config(attributes={"connection": connection})
            steps.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            if found is None:
                command.upgrade(steps, "1")
                row = {"id": 1, "format": 1, "simulated": self._settings.simulated, "made": datetime.now(UTC)}
                connection.execute(sql.insert(ABOUT).values(row))
            else:
                self._put_aside(found.format)
                if not sql.inspect(connection).has_table(REVISIONS):
                    command.stamp(steps, str(found.format))
            command.upgrade(steps, str(FORMAT))

    def _put_aside(self, format: int) -> None:
        """Keep a copy of a file as it was before its format changes: `records.sqlite.format-1`."""
        file = self._file
        if file is None:
            return
        part = file.with_name(f".{file.name}.part")
        try:
            with closing(sqlite3.connect(file)) as now, closing(sqlite3.connect(part)) as copy:
                now.backup(copy)
            part.replace(file.with_name(f"{file.name}.format-{format}"))
        except (OSError, sqlite3.Error) as error:
            raise RecordsUnavailable(
                f"the database {self.address} was not brought up to date, for a copy of it cannot be kept: {error}"
            ) from error

    def _unavailable(self, error: exc.SQLAlchemyError) -> RecordsUnavailable:
        """What the driver says, without the statement and its values, and without a password."""
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        password = sql.make_url(self._url).password
        said = said.replace(str(password), "***") if password else said
        return RecordsUnavailable(f"the database {self.address} cannot be used: {said}")


@contextmanager
def closing_engine(engine: sql.Engine) -> Iterator[None]:
    """Let go of an engine's connections at the end."""
    try:
        yield
    finally:
        engine.dispose()


def _about(connection: sql.Connection) -> sql.Row[Any] | None:
    """What a database says of itself; None where it has no tables of the desk's yet."""
    if not sql.inspect(connection).has_table(ABOUT.name):
        return None
    return connection.execute(sql.select(ABOUT)).one_or_none()


def _ruled(engine: sql.Engine) -> sql.Engine:
    """SQLite with transactions that begin where they say so: Python's driver begins them late, and not for tables."""
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        sql.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sql.Connection) -> None:
    reading = connection.get_execution_options().get(_READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _write_ahead(engine: sql.Engine) -> None:
    """Let readers and a writer of a file work side by side (WAL); the file remembers it."""
    until = time.monotonic() + _WAIT_S
    while True:
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.DatabaseError as error:  # while another one sets it, SQLite does not wait but says so
            if "locked" not in str(error) or time.monotonic() > until:
                raise exc.DatabaseError("PRAGMA journal_mode=WAL", None, error) from error
            time.sleep(0.05)
        finally:
            connection.close()
