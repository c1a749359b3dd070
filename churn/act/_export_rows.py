"""Exports and named segments as rows of the database: asked in SQL here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy import exc

from churn.base.records import EXPORTS, SEGMENT_COUNTS, SEGMENTS

Row = sql.Row[Any]


# -- exports -------------------------------------------------------------------


def insert_export(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    """Record an export, column → value."""
    connection.execute(sql.insert(EXPORTS).values(workspace=workspace, **row))


def exports(connection: sql.Connection, workspace: str, most: int) -> Sequence[Row]:
    """The latest exports, at most so many."""
    asked = sql.select(EXPORTS).where(EXPORTS.c.workspace == workspace)
    return list(connection.execute(asked.order_by(EXPORTS.c.at.desc(), EXPORTS.c.id).limit(most)).all())


# -- segments ------------------------------------------------------------------


def segment(connection: sql.Connection, workspace: str, id: str) -> Row | None:
    """A segment by its id, deleted or not; None where there is none."""
    return connection.execute(_segments(workspace).where(SEGMENTS.c.id == id)).one_or_none()


def segments(connection: sql.Connection, workspace: str) -> Sequence[Row]:
    """The segments that are not deleted, by name."""
    asked = _segments(workspace).where(SEGMENTS.c.deleted.is_(None)).order_by(SEGMENTS.c.name, SEGMENTS.c.id)
    return list(connection.execute(asked).all())


def insert_segment(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> None:
    connection.execute(sql.insert(SEGMENTS).values(workspace=workspace, **row))


def change_segment(connection: sql.Connection, workspace: str, id: str, values: Mapping[str, Any]) -> None:
    connection.execute(sql.update(SEGMENTS).where(SEGMENTS.c.workspace == workspace, SEGMENTS.c.id == id).values(**values))


def mark_segment(connection: sql.Connection, workspace: str, id: str, deleted: datetime | None) -> None:
    """Mark a segment as deleted, or, with None, as there again."""
    change_segment(connection, workspace, id, {"deleted": deleted})


def counts(connection: sql.Connection, workspace: str, segment: str) -> Sequence[Row]:
    """What a segment came to in every scoring that it was counted in, the oldest first."""
    asked = sql.select(SEGMENT_COUNTS).where(SEGMENT_COUNTS.c.workspace == workspace, SEGMENT_COUNTS.c.segment == segment)
    return list(connection.execute(asked.order_by(SEGMENT_COUNTS.c.as_of, SEGMENT_COUNTS.c.counted)).all())


def counted(connection: sql.Connection, workspace: str, scoring: str) -> set[str]:
    """The ids of the segments that were counted in a scoring."""
    asked = sql.select(SEGMENT_COUNTS.c.segment).where(
        SEGMENT_COUNTS.c.workspace == workspace, SEGMENT_COUNTS.c.scoring == scoring
    )
    return set(connection.execute(asked).scalars())


def insert_count(connection: sql.Connection, workspace: str, row: Mapping[str, Any]) -> bool:
    """Keep a count; whether it was new, for somebody else may have counted at the same moment."""
    try:
        with connection.begin_nested():
            connection.execute(sql.insert(SEGMENT_COUNTS).values(workspace=workspace, **row))
    except exc.IntegrityError:
        return False
    return True


def forget_counts(connection: sql.Connection, workspace: str, segment: str) -> None:
    """Let go of the counts of a segment whose filter is another one now."""
    connection.execute(
        sql.delete(SEGMENT_COUNTS).where(SEGMENT_COUNTS.c.workspace == workspace, SEGMENT_COUNTS.c.segment == segment)
    )


def _segments(workspace: str) -> sql.Select[Any]:
    return sql.select(SEGMENTS).where(SEGMENTS.c.workspace == workspace)
