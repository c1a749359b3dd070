"""Alerts, what was sent of them, and decisions as rows of the database: asked in SQL here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql

from churn.base.records import ALERT_EVENTS, ALERT_SENDINGS, ALERTS, DECISIONS

Row = sql.Row[Any]


def alone(connection: sql.Connection, workspace: str) -> None:
    """Let no other watch open, close or send before the end of this transaction; on SQLite it is the only writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sql.select(sql.func.pg_advisory_xact_lock(sql.func.hashtext(f"churn watch {workspace}"))))


# -- alerts --------------------------------------------------------------------


def alerts(connection: sql.Connection, workspace: str, *, closed: bool, most: int | None = None) -> Sequence[Row]:
    """Alerts, the latest first; those that are closed only where asked for."""
    asked = sql.select(ALERTS).where(ALERTS.c.workspace == workspace).order_by(ALERTS.c.opened.desc(), ALERTS.c.id)
    return connection.execute((asked if closed else asked.where(ALERTS.c.slot.is_not(None))).limit(most)).all()


def alert(connection: sql.Connection, workspace: str, id: str) -> Row | None:
    return connection.execute(sql.select(ALERTS).where(ALERTS.c.workspace == workspace, ALERTS.c.id == id)).one_or_none()


def last_mute(connection: sql.Connection, workspace: str, cause: str, subject: str) -> Row | None:
    """The alert of this cause and subject that was muted for longest."""
    same = (ALERTS.c.workspace == workspace, ALERTS.c.cause == cause, ALERTS.c.subject == subject, ALERTS.c.until.is_not(None))
    return connection.execute(sql.select(ALERTS).where(*same).order_by(ALERTS.c.until.desc()).limit(1)).one_or_none()


def insert_alert(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    connection.execute(sql.insert(ALERTS).values(workspace=workspace, **row))


def change_alert(connection: sql.Connection, workspace: str, id: str, values: Mapping[str, Any]) -> None:
    connection.execute(sql.update(ALERTS).where(ALERTS.c.workspace == workspace, ALERTS.c.id == id).values(**values))


def add_event(
    connection: sql.Connection, workspace: str, id: str, what: str, who: str, at: datetime, detail: str | None = None
) -> None:
    line = {"alert": id, "what": what, "detail": detail, "who": who, "at": at}
    connection.execute(sql.insert(ALERT_EVENTS).values(workspace=workspace, **line))


def events(connection: sql.Connection, workspace: str, id: str) -> Sequence[Row]:
    """The history of an alert, oldest first."""
    asked = sql.select(ALERT_EVENTS).where(ALERT_EVENTS.c.workspace == workspace, ALERT_EVENTS.c.alert == id)
    return connection.execute(asked.order_by(ALERT_EVENTS.c.id)).all()


# -- what was sent ---------------------------------------------------------------


def sendings(connection: sql.Connection, workspace: str, channel: str) -> Mapping[str, Row]:
    """What became of each alert on one channel, by the alert's id."""
    asked = sql.select(ALERT_SENDINGS).where(ALERT_SENDINGS.c.workspace == workspace, ALERT_SENDINGS.c.channel == channel)
    return {row.alert: row for row in connection.execute(asked).all()}


def put_sending(connection: sql.Connection, workspace: str, id: str, channel: str, values: Mapping[str, Any], new: bool) -> None:
    if new:
        connection.execute(sql.insert(ALERT_SENDINGS).values(workspace=workspace, alert=id, channel=channel, **values))
        return
    chosen = (ALERT_SENDINGS.c.alert == id, ALERT_SENDINGS.c.channel == channel)
    connection.execute(sql.update(ALERT_SENDINGS).where(*chosen).values(**values))


# -- decisions ---------------------------------------------------------------------


def decisions(connection: sql.Connection, workspace: str, *, most: int | None = None) -> Sequence[Row]:
    """Decisions, the latest first; of one moment, what answers a trigger before the trigger."""
    asked = sql.select(DECISIONS).where(DECISIONS.c.workspace == workspace)
    order = (DECISIONS.c.at.desc(), DECISIONS.c.answers.is_(None), DECISIONS.c.id)
    return connection.execute(asked.order_by(*order).limit(most)).all()


def insert_decision(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    connection.execute(sql.insert(DECISIONS).values(workspace=workspace, **row))


def slot_taken(connection: sql.Connection, workspace: str, slot: str) -> bool:
    asked = sql.select(DECISIONS.c.id).where(DECISIONS.c.workspace == workspace, DECISIONS.c.slot == slot)
    return connection.execute(asked).first() is not None
