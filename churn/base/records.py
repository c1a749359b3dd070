"""The database of what people make, such as the scenarios they keep: SQLite by default, PostgreSQL or another by URL.

It is made on first use and carries a version, so that a later version of the desk knows what it finds. Customers, scores and
models are never in it: they lie in the store, read-only. This module is the only one that writes through SQLAlchemy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sql
from sqlalchemy import exc

from churn.data.source import shown_url
from churn.errors import RecordsUnavailable, SettingsError, WorkspaceMixed
from churn.settings import Settings

FORMAT = 1
FILE = "records.sqlite"  # in the folder of the setting `data`
_WAIT_S = 15  # that a writer waits for another
_CONNECT_S = 5  # for a server to answer

METADATA = sql.MetaData()

_about = sql.Table(
    "churn_about",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),  # one row, number 1
    sql.Column("format", sql.Integer, nullable=False),
    sql.Column("simulated", sql.Boolean, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
)

SCENARIOS = sql.Table(
    "churn_scenarios",
    METADATA,
    sql.Column("token", sql.String(43), primary_key=True),  # what a link holds: random, so that nobody guesses another
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("customer", sql.Text, nullable=False),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("edits", sql.Text, nullable=False),  # JSON: [[column, value], …] in the order they were made
    sql.Column("since", sql.String(20), nullable=False),  # which kind of edit, see churn.understand.what_if
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("scoring", sql.Text, nullable=False),
    sql.Column("risk", sql.Float, nullable=False),  # by that model, 0–1
    sql.Column("risk_before", sql.Float, nullable=False),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
    sql.Column("deleted", sql.DateTime(timezone=True)),
    sql.Index("churn_scenarios_customer", "workspace", "customer"),
)


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
        """A transaction: what is done in it is kept whole or not at all.

        Raises
        ------
        SettingsError: the setting is no address of a database, or its driver is not installed.
        RecordsUnavailable: it cannot be reached, made or written, or was made by a later version of the desk.
        WorkspaceMixed: it holds simulated records and this workspace real ones, or the other way round.
        """
        engine = self._opened()
        try:
            with engine.begin() as connection:
                yield connection
        except exc.SQLAlchemyError as error:
            raise self._unavailable(error) from error

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

    def _made(self) -> sql.Engine:
        try:
            url = sql.make_url(self._url)
            if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
                waiting = {"connect_timeout": _CONNECT_S} if url.get_backend_name() == "postgresql" else {}
                return sql.create_engine(url, pool_pre_ping=True, connect_args={**waiting, **url.query})
            file = self._settings.home / url.database  # a relative place starts from there, as all settings' do
            file.parent.mkdir(parents=True, exist_ok=True)
            return sql.create_engine(url.set(database=str(file)), connect_args={"timeout": _WAIT_S})
        except OSError as error:
            raise RecordsUnavailable(f"the folder of {self.address} cannot be made: {error.strerror or error}") from error
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
            raise SettingsError(f"setting 'database' is no address of a database that can be used: {self.address}") from error

    def _prepare(self, engine: sql.Engine) -> None:
        """Make the tables where they are not there yet, and look whether these records are this workspace's to read."""
        try:
            try:
                self._make(engine)
            except (exc.OperationalError, exc.ProgrammingError, exc.IntegrityError):
                self._make(engine)  # another process made them at the same moment
            with engine.connect() as connection:
                found = connection.execute(sql.select(_about)).one()
        except exc.SQLAlchemyError as error:
            raise self._unavailable(error) from error
        if found.format > FORMAT:
            raise RecordsUnavailable(
                f"the database {self.address} was made by a later version of the desk: its format is {found.format}, "
                f"this version reads up to {FORMAT}"
            )
        if found.simulated is not self._settings.simulated:
            kinds = ("simulated", "real") if found.simulated else ("real", "simulated")
            raise WorkspaceMixed(
                f"the database {self.address} holds {kinds[0]} records and workspace '{self.workspace}' {kinds[1]} customers; "
                "choose another database"
            )

    def _make(self, engine: sql.Engine) -> None:
        with engine.begin() as connection:
            METADATA.create_all(connection)
            if connection.execute(sql.select(sql.func.count()).select_from(_about)).scalar_one() == 0:
                row = {"id": 1, "format": FORMAT, "simulated": self._settings.simulated, "made": datetime.now(UTC)}
                connection.execute(sql.insert(_about).values(row))

    def _unavailable(self, error: exc.SQLAlchemyError) -> RecordsUnavailable:
        """What the driver says, without the statement and its values, and without a password."""
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        password = sql.make_url(self._url).password
        said = said.replace(str(password), "***") if password else said
        return RecordsUnavailable(f"the database {self.address} cannot be used: {said}")
