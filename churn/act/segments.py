"""Segments: filters under a name, shared by everybody of a workspace, and counted at each scoring.

A segment is a filter, not a list of customers: who is in it follows the base. Its counts are kept, so that it can be seen to grow
or shrink; a segment whose filter is changed starts to be counted anew.
"""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from churn.base.groups import Filter
from churn.base.snapshot import Snapshot
from churn.errors import DataError, RecordsUnavailable

if TYPE_CHECKING:
    from churn.base.records import Records
    from churn.data.schema import Schema
    from churn.model.registry import Registry
    from churn.settings import Settings

_NAME = 80  # letters of a name at most


@dataclass(frozen=True, slots=True)
class Segment:
    """A named filter: who named it, and when (UTC)."""

    id: str
    name: str
    filter: Filter
    who: str
    made: datetime


@dataclass(frozen=True, slots=True)
class Count:
    """What a segment came to in one scoring; revenue None where the table has no money."""

    scoring: str
    as_of: date
    customers: int
    expected_leavers: float
    revenue_at_risk: float | None


def save(records: Records, name: str, chosen: Filter, who: str) -> Segment:
    """Name a filter; a name that is there already gets this filter, and its counts begin anew where that is another one.

    Raises
    ------
    DataError: there is no name, or nothing is chosen. RecordsUnavailable: the database cannot be used.
    """
    plain = " ".join(name.split())[:_NAME]
    if not plain:
        raise DataError("a segment needs a name")
    if not chosen:
        raise DataError("a segment without a filter would be everybody; choose some groups first")
    from churn.act import _export_rows as rows

    made = Segment(_id(plain), plain, chosen, who, datetime.now(UTC))
    document = to_json(chosen)
    with records.begin() as connection:
        there = rows.segment(connection, records.workspace, made.id)
        if there is None:
            row = {"id": made.id, "name": plain, "filter": document, "who": who, "made": made.made}
            rows.insert_segment(connection, records.workspace, row)
        else:
            if there.filter != document:
                rows.forget_counts(connection, records.workspace, made.id)
            changed = {"name": plain, "filter": document, "who": who, "made": made.made, "deleted": None}
            rows.change_segment(connection, records.workspace, made.id, changed)
    return made


def of_workspace(records: Records) -> tuple[Segment, ...]:
    """All segments, by name. Raises RecordsUnavailable."""
    from churn.act import _export_rows as rows

    with records.read() as connection:
        return tuple(_read(row) for row in rows.segments(connection, records.workspace))


def find(records: Records, name: str) -> Segment:
    """A segment by its name or id. Raises DataError where there is none, RecordsUnavailable."""
    found = of_workspace(records)
    for one in found:
        if name in (one.id, one.name) or _id(" ".join(name.split())[:_NAME]) == one.id:
            return one
    listed = ", ".join(repr(one.name) for one in found[:10]) or "none"
    raise DataError(f"there is no segment {name!r}; there are: {listed}")


def delete(records: Records, id: str) -> None:
    """Delete a segment; `save` under its name brings it back. Raises RecordsUnavailable."""
    from churn.act import _export_rows as rows

    with records.begin() as connection:
        rows.mark_segment(connection, records.workspace, id, datetime.now(UTC))


def count(records: Records, snapshot: Snapshot) -> int:
    """Count every segment in a scoring where that has not been done yet; how many were. A second time does nothing.

    A segment whose filter names a group that this scoring does not have is passed over. Raises RecordsUnavailable.
    """
    from churn.act import _export_rows as rows

    with records.read() as connection:
        done = rows.counted(connection, records.workspace, snapshot.id)
        waiting = [one for one in map(_read, rows.segments(connection, records.workspace)) if one.id not in done]
    new = 0
    for one in waiting:
        try:
            totals = snapshot.totals(one.filter)
        except DataError:  # another model's columns or groups
            continue
        row = {
            "segment": one.id,
            "scoring": snapshot.id,
            "as_of": snapshot.as_of,
            "customers": totals.customers,
            "expected_leavers": totals.expected_leavers,
            "revenue_at_risk": totals.revenue_at_risk,
            "counted": datetime.now(UTC),
        }
        with records.begin() as connection:
            new += rows.insert_count(connection, records.workspace, row)
    return new


def counts(records: Records, id: str) -> tuple[Count, ...]:
    """What a segment came to, scoring by scoring, the oldest first. Raises RecordsUnavailable."""
    from churn.act import _export_rows as rows

    with records.read() as connection:
        found = rows.counts(connection, records.workspace, id)
    return tuple(Count(row.scoring, row.as_of, row.customers, row.expected_leavers, row.revenue_at_risk) for row in found)


def to_json(chosen: Filter) -> str:
    """A filter as it is kept: column → labels."""
    return json.dumps({column: list(labels) for column, labels in chosen.parts}, ensure_ascii=False, sort_keys=True)


def from_json(document: str) -> Filter:
    """The filter that was kept."""
    return Filter.of(json.loads(document))


def count_shown(settings: Settings, registry: Registry, schema: Schema, scoring: str) -> list[str]:
    """Count all segments in the scoring that is on the desk now; a remark where that could not be done."""
    from churn.base.records import Records

    records = Records(settings)
    try:
        if of_workspace(records):
            with Snapshot.open(registry.scoring_folder(scoring), schema, settings) as snapshot:
                count(records, snapshot)
    except RecordsUnavailable as error:  # the scoring is published all the same
        return [f"Segments are not counted: {error}."]
    finally:
        records.close()
    return []


def _id(name: str) -> str:
    """A name for commands and keys: small letters and dashes, one for each name however it is spelt in capitals."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60]
    if slug.replace("-", " ") == name.lower():
        return slug
    return (
        f"{slug or 'segment'}-{uuid.uuid5(uuid.NAMESPACE_OID, name.lower()).hex[:8]}"  # others would share what letters are left
    )


def _read(row: Any) -> Segment:
    made = row.made if row.made.tzinfo else row.made.replace(tzinfo=UTC)  # SQLite keeps no time zone
    return Segment(row.id, row.name, from_json(row.filter), row.who, made)
