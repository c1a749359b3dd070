"""Decisions about renewing the model: each with its evidence, kept for good.

A trigger (`due`) names champion and cause and comes once for both; what it led to answers it. What only says why nothing is done
(`waiting`, `blocked`) is kept when it changes, not each night.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from churn.base.records import Records
    from churn.watch._rows import Row

DUE, WAITING, BLOCKED = "due", "waiting", "blocked"
PROMOTED, SHADOW, STOPPED, FAILED, RETURNED = "promoted", "shadow", "stopped", "failed", "returned"
_IDLE = frozenset({WAITING, BLOCKED})
KINDS = {
    DUE: "A new training is due",
    WAITING: "Waiting for outcomes",
    BLOCKED: "Held back",
    PROMOTED: "A new model took over",
    SHADOW: "A new model runs beside the champion",
    STOPPED: "The champion stays",
    FAILED: "The training failed",
    RETURNED: "The model before is back",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `model`: the champion it is about; `answers`: id of the trigger that it is the end of.

    `words`: the decision and its reasons in sentences; `evidence`: the figures behind it; `day`: the day it was made for;
    `at`: when (UTC).
    """

    id: str
    kind: str
    cause: str
    model: str
    challenger: str | None
    answers: str | None
    words: str
    evidence: Mapping[str, Any]
    day: date
    who: str
    at: datetime

    @property
    def title(self) -> str:
        return KINDS.get(self.kind, self.kind)


def listed(records: Records, *, most: int | None = None) -> tuple[Decision, ...]:
    """Decisions, the latest first. Raises RecordsUnavailable."""
    from churn.watch import _rows as rows

    with records.read() as connection:
        return tuple(_read(row) for row in rows.decisions(connection, records.workspace, most=most))


def record(
    records: Records,
    kind: str,
    *,
    cause: str,
    model: str,
    words: str,
    evidence: Mapping[str, Any],
    day: date,
    who: str,
    challenger: str | None = None,
    answers: str | None = None,
    now: datetime | None = None,
) -> Decision | None:
    """Keep a decision. None where it is there already: a trigger of this champion and cause, or the same idle words again.

    Raises RecordsUnavailable: nothing was kept.
    """
    from churn.watch import _rows as rows

    at = now or datetime.now(UTC)
    made = Decision(uuid.uuid4().hex[:12], kind, cause, model, challenger, answers, words, evidence, day, who, at)
    slot = f"{model}|{cause}" if kind == DUE else None
    with records.begin() as connection:
        rows.alone(connection, records.workspace)
        if slot is not None and rows.slot_taken(connection, records.workspace, slot):
            return None
        if kind in _IDLE:
            last = next(iter(rows.decisions(connection, records.workspace, most=1)), None)
            if last is not None and (last.kind, last.model, last.words) == (kind, model, words):
                return None
        document = json.dumps(evidence, ensure_ascii=False, default=_plain)
        row = {name: getattr(made, name) for name in Decision.__slots__ if name != "evidence"}
        rows.insert_decision(connection, records.workspace, row | {"slot": slot, "evidence": document})
    return made


def _read(row: Row) -> Decision:
    from churn.base.records import utc

    plain = ("id", "kind", "cause", "model", "challenger", "answers", "words", "day", "who")
    return Decision(**{name: getattr(row, name) for name in plain}, evidence=json.loads(row.evidence), at=utc(row.at))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
