"""One customer taken out of the database of what people make, so that what is evidence still adds up.

What was only kept goes: scenarios. What shows what a campaign did stays and loses its customer: a member of a campaign gets a
pseudonym in the place of the key, keeps arm, stage and risk, and loses groups and what was written by hand; so does its history.
The history is only ever added to, and the database itself refuses to change it; this is the one place that lifts that, inside one
transaction. What is recorded of exports names no customer and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sql

from churn.base.records import EVENTS, EXPORTS, MEMBERS, SCENARIOS, Records, utc

_BY_HAND = ("reason",)  # fields of a member that hold what somebody wrote


@dataclass(frozen=True, slots=True)
class Kept:
    """How many rows of each kind the database has of a customer, and the files that were made while they were in a campaign.

    `files`: exports that may hold them: those of their campaigns, and those that are of no campaign.
    """

    scenarios: int
    campaigns: tuple[str, ...]
    events: int
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file that was taken out of the desk: it cannot be reached from here."""

    name: str
    kind: str
    who: str
    at: datetime
    unmasked: bool
    campaign: str | None


def look(records: Records, customer: str) -> Kept:
    """What there is of a customer; nothing is changed. Raises RecordsUnavailable."""
    with records.read() as connection:
        return _found(connection, records.workspace, customer)


def erase(records: Records, customer: str, pseudonym: str) -> Kept:
    """Take a customer out, all of it or nothing, and say what there was. Done again it finds nothing.

    Raises
    ------
    RecordsUnavailable: the database cannot be used, or its owner is somebody else, who alone may lift what guards the history.
    """
    workspace = records.workspace
    with records.begin() as connection:
        found = _found(connection, workspace, customer)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrites what it deletes, where it lay
        connection.execute(sql.delete(SCENARIOS).where(SCENARIOS.c.workspace == workspace, SCENARIOS.c.customer == customer))
        member = sql.update(MEMBERS).where(MEMBERS.c.workspace == workspace, MEMBERS.c.customer == customer)
        connection.execute(member.values(customer=pseudonym, groups="{}", reason=None, version=MEMBERS.c.version + 1))
        if found.events:
            event = sql.update(EVENTS).where(EVENTS.c.workspace == workspace, EVENTS.c.customer == customer)
            with _unguarded(connection):
                connection.execute(event.where(EVENTS.c.field.in_(_BY_HAND)).values(before=None, after=None))
                connection.execute(event.values(customer=pseudonym))
    records.settle()
    return found


def _found(connection: sql.Connection, workspace: str, customer: str) -> Kept:
    def of(table: sql.Table) -> sql.Select[int]:
        return sql.select(sql.func.count()).where(table.c.workspace == workspace, table.c.customer == customer)

    member = sql.select(MEMBERS.c.campaign).where(MEMBERS.c.workspace == workspace, MEMBERS.c.customer == customer)
    campaigns = tuple(sorted(connection.execute(member).scalars()))
    theirs = sql.or_(EXPORTS.c.campaign.in_(campaigns), EXPORTS.c.campaign.is_(None))
    columns = (EXPORTS.c.name, EXPORTS.c.kind, EXPORTS.c.who, EXPORTS.c.at, EXPORTS.c.unmasked, EXPORTS.c.campaign)
    files = sql.select(*columns).where(EXPORTS.c.workspace == workspace, theirs).order_by(EXPORTS.c.at, EXPORTS.c.id)
    return Kept(
        scenarios=connection.execute(of(SCENARIOS)).scalar_one(),
        campaigns=campaigns,
        events=connection.execute(of(EVENTS)).scalar_one(),
        files=tuple(
            File(row.name, row.kind, row.who, utc(row.at), bool(row.unmasked), row.campaign) for row in connection.execute(files)
        ),
    )


@contextmanager
def _unguarded(connection: sql.Connection) -> Iterator[None]:
    """Lift what guards the history for the rest of this transaction's block; whatever fails undoes that too."""
    table = EVENTS.name
    if connection.dialect.name == "sqlite":
        asked = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        guards = connection.exec_driver_sql(asked, (table,)).all()
        for name, _ in guards:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield
        for _, made in guards:
            connection.exec_driver_sql(made)
        return
    connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
