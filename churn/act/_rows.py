"""Scenarios as rows of the database; the one module of this folder that asks in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql

from churn.base.records import SCENARIOS


def names(connection: sql.Connection, workspace: str, customer: str) -> set[str]:
    """The names of a customer's scenarios."""
    return set(connection.execute(_there(workspace, SCENARIOS.c.name).where(SCENARIOS.c.customer == customer)).scalars())


def insert(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    """Keep a scenario, column → value."""
    connection.execute(sql.insert(SCENARIOS).values(workspace=workspace, **row))


def of_customer(connection: sql.Connection, workspace: str, customer: str, most: int) -> Sequence[sql.Row[Any]]:
    """A customer's scenarios, the latest first, at most so many."""
    asked = _there(workspace, SCENARIOS).where(SCENARIOS.c.customer == customer)
    return connection.execute(asked.order_by(SCENARIOS.c.made.desc(), SCENARIOS.c.token).limit(most)).all()


def find(connection: sql.Connection, workspace: str, token: str) -> sql.Row[Any] | None:
    """The scenario of a token; None where there is none."""
    return connection.execute(_there(workspace, SCENARIOS).where(SCENARIOS.c.token == token)).one_or_none()


def mark(connection: sql.Connection, workspace: str, token: str, deleted: datetime | None) -> None:
    """Mark a scenario as deleted, or, with None, as there again."""
    chosen = sql.update(SCENARIOS).where(SCENARIOS.c.workspace == workspace, SCENARIOS.c.token == token)
    connection.execute(chosen.values(deleted=deleted))


def _there(workspace: str, *columns: Any) -> sql.Select[Any]:
    """What is not deleted, of one workspace."""
    return sql.select(*columns).where(SCENARIOS.c.workspace == workspace, SCENARIOS.c.deleted.is_(None))
