"""Campaigns, their members and their history as rows of the database: asked in SQL here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql

from churn.base.records import CAMPAIGNS, EVENTS, MEMBERS

Row = sql.Row[Any]
_SOME = 500  # customers asked for in one statement


# -- campaigns -----------------------------------------------------------------


def campaign(connection: sql.Connection, workspace: str, id: str, *, lock: bool = False) -> Row | None:
    """A campaign by its id; None where there is none. With `lock`, whoever asks so too waits until this transaction is over."""
    asked = _campaigns(workspace).where(CAMPAIGNS.c.id == id)
    return connection.execute(asked.with_for_update() if lock else asked).one_or_none()


def alone(connection: sql.Connection, workspace: str) -> None:
    """Let nobody else put customers into campaigns before the end of this transaction; on SQLite it is the only writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sql.select(sql.func.pg_advisory_xact_lock(sql.func.hashtext(f"churn {workspace}"))))


def campaigns(connection: sql.Connection, workspace: str) -> Sequence[Row]:
    """All campaigns, the latest first."""
    return connection.execute(_campaigns(workspace).order_by(CAMPAIGNS.c.made.desc(), CAMPAIGNS.c.id)).all()


def ids(connection: sql.Connection, workspace: str) -> set[str]:
    """The ids of all campaigns."""
    return set(connection.execute(sql.select(CAMPAIGNS.c.id).where(CAMPAIGNS.c.workspace == workspace)).scalars())


def insert_campaign(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    connection.execute(sql.insert(CAMPAIGNS).values(workspace=workspace, **row))


def change_campaign(connection: sql.Connection, workspace: str, id: str, version: int, values: Mapping[str, Any]) -> bool:
    """Change a campaign if it still has this version, and count one up; whether it had."""
    chosen = sql.update(CAMPAIGNS).where(CAMPAIGNS.c.workspace == workspace, CAMPAIGNS.c.id == id, CAMPAIGNS.c.version == version)
    return connection.execute(chosen.values(version=version + 1, **values)).rowcount == 1


def sizes(connection: sql.Connection, workspace: str) -> Sequence[Row]:
    """`campaign`, `arm`, `stage` and how many `members` are there, of every campaign."""
    columns = (MEMBERS.c.campaign, MEMBERS.c.arm, MEMBERS.c.stage)
    asked = sql.select(*columns, sql.func.count().label("members")).where(MEMBERS.c.workspace == workspace)
    return connection.execute(asked.group_by(*columns)).all()


# -- members -------------------------------------------------------------------


def insert_members(connection: sql.Connection, workspace: str, id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    listed = [{"workspace": workspace, "campaign": id, **row} for row in rows]
    if listed:
        connection.execute(sql.insert(MEMBERS), listed)


def delete_members(connection: sql.Connection, workspace: str, id: str) -> None:
    connection.execute(sql.delete(MEMBERS).where(MEMBERS.c.workspace == workspace, MEMBERS.c.campaign == id))


def members(
    connection: sql.Connection,
    workspace: str,
    id: str,
    *,
    arm: str | None = None,
    stages: Sequence[str] = (),
    owners: Sequence[str] = (),
    customers: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Sequence[Row]:
    """The members of a campaign by rank; what is given narrows them."""
    if customers is not None and len(customers) > _SOME:
        found = [
            row
            for start in range(0, len(customers), _SOME)
            for row in members(connection, workspace, id, arm=arm, customers=customers[start : start + _SOME])
        ]
        return sorted(found, key=lambda row: (row.rank, row.customer))
    asked = _narrowed(sql.select(MEMBERS), workspace, id, arm, stages, owners, customers)
    asked = asked.order_by(MEMBERS.c.rank, MEMBERS.c.customer).limit(limit).offset(offset or None)
    return connection.execute(asked).all()


def count_members(
    connection: sql.Connection, workspace: str, id: str, arm: str, stages: Sequence[str], owners: Sequence[str]
) -> int:
    """How many members there are of those that `members` would list."""
    asked = _narrowed(sql.select(sql.func.count()), workspace, id, arm, stages, owners, None)
    return int(connection.execute(asked).scalar_one())


def owners(connection: sql.Connection, workspace: str, id: str) -> list[str]:
    """Who has members to call."""
    asked = sql.select(MEMBERS.c.owner).where(MEMBERS.c.workspace == workspace, MEMBERS.c.campaign == id)
    return sorted(connection.execute(asked.where(MEMBERS.c.owner.is_not(None)).distinct()).scalars())


def change_member(
    connection: sql.Connection, workspace: str, id: str, customer: str, version: int, values: Mapping[str, Any]
) -> bool:
    """Change a member if it still has this version, and count one up; whether it had."""
    chosen = sql.update(MEMBERS).where(
        MEMBERS.c.workspace == workspace,
        MEMBERS.c.campaign == id,
        MEMBERS.c.customer == customer,
        MEMBERS.c.version == version,
    )
    return connection.execute(chosen.values(version=version + 1, **values)).rowcount == 1


def engaged(connection: sql.Connection, workspace: str) -> Sequence[Row]:
    """Every member of every campaign with what tells whether they may be called again."""
    joined = MEMBERS.join(CAMPAIGNS, (MEMBERS.c.workspace == CAMPAIGNS.c.workspace) & (MEMBERS.c.campaign == CAMPAIGNS.c.id))
    asked: sql.Select[Any] = sql.select(
        *(MEMBERS.c.customer, MEMBERS.c.campaign, MEMBERS.c.band, MEMBERS.c.arm, MEMBERS.c.contacted),
        *(CAMPAIGNS.c.status, CAMPAIGNS.c.made, CAMPAIGNS.c.started, CAMPAIGNS.c.horizon_days),
    )
    return connection.execute(asked.select_from(joined).where(MEMBERS.c.workspace == workspace)).all()


# -- history -------------------------------------------------------------------


def add_events(connection: sql.Connection, workspace: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add to the history, in this order."""
    listed = [{"workspace": workspace, **row} for row in rows]
    if listed:
        connection.execute(sql.insert(EVENTS), listed)


def events(
    connection: sql.Connection,
    workspace: str,
    id: str,
    *,
    customer: str | None = None,
    field: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Sequence[Row]:
    """What was changed in a campaign, or of one of its members, the latest first."""
    asked = sql.select(EVENTS).where(EVENTS.c.workspace == workspace, EVENTS.c.campaign == id)
    asked = asked if customer is None else asked.where(EVENTS.c.customer == customer)
    asked = asked if field is None else asked.where(EVENTS.c.field == field)
    return connection.execute(asked.order_by(EVENTS.c.id.desc()).limit(limit).offset(offset or None)).all()


def count_events(connection: sql.Connection, workspace: str, id: str) -> int:
    asked = sql.select(sql.func.count()).select_from(EVENTS).where(EVENTS.c.workspace == workspace, EVENTS.c.campaign == id)
    return int(connection.execute(asked).scalar_one())


def events_since(connection: sql.Connection, workspace: str, id: str, at: datetime) -> Sequence[Row]:
    """What was changed of members since then, the earliest first."""
    asked = sql.select(EVENTS).where(EVENTS.c.workspace == workspace, EVENTS.c.campaign == id, EVENTS.c.at >= at)
    return connection.execute(asked.where(EVENTS.c.customer.is_not(None)).order_by(EVENTS.c.id)).all()


# -- inside --------------------------------------------------------------------


def _campaigns(workspace: str) -> sql.Select[Any]:
    return sql.select(CAMPAIGNS).where(CAMPAIGNS.c.workspace == workspace)


def _narrowed(
    asked: sql.Select[Any],
    workspace: str,
    id: str,
    arm: str | None,
    stages: Sequence[str],
    owners: Sequence[str],
    customers: Sequence[str] | None,
) -> sql.Select[Any]:
    asked = asked.where(MEMBERS.c.workspace == workspace, MEMBERS.c.campaign == id)
    asked = asked if arm is None else asked.where(MEMBERS.c.arm == arm)
    asked = asked.where(MEMBERS.c.stage.in_(stages)) if stages else asked
    asked = asked.where(MEMBERS.c.owner.in_(owners)) if owners else asked
    return asked if customers is None else asked.where(MEMBERS.c.customer.in_(customers))
