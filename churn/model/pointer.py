"""The pointer to what the desk shows, and the history it carries, as they lie in the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from churn.errors import StoreUnavailable, in_words

FORMAT = 1
ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One swap that won. `scoring` is None where a model was promoted without a scored base; `id` is random."""

    model: str
    scoring: str | None
    since: datetime
    by: str
    reason: str
    action: str
    id: str

    @property
    def pair(self) -> tuple[str, str | None]:
        return self.model, self.scoring


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the desk shows, since when, and the etag that a swap compares."""

    model: str
    scoring: str | None
    since: datetime
    by: str
    reason: str
    action: str
    etag: str
    history: tuple[HistoryEntry, ...]  # oldest first; the last is this one

    @property
    def model_since(self) -> datetime:
        """Since when this model has been shown without a break, whatever scorings came with it."""
        since = self.since
        for entry in reversed(self.history):
            if entry.model != self.model:
                break
            since = entry.since
        return since


def document(data: bytes, where: str) -> dict[str, Any]:
    """A small JSON file of the store's own. Raises StoreUnavailable, so that whoever shows something keeps showing it."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise StoreUnavailable(f"{where} is damaged ({in_words(error)}); restore it from a backup") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise StoreUnavailable(f"{where}: format {found!r} is not known; this version reads format {FORMAT}")
    return document


def write(history: tuple[HistoryEntry, ...]) -> bytes:
    """The pointer to the last pair of the history."""
    entries = [{**asdict(entry), "since": entry.since.isoformat()} for entry in history]
    return dump({"format": FORMAT, **entries[-1], "history": entries})


def read(data: bytes, etag: str, where: str) -> Pointer:
    """The pointer as it was written. Raises StoreUnavailable where it cannot be understood."""
    found = document(data, where)
    try:
        history = tuple(_entry(one) for one in found["history"])
        last = _entry(found)
        if last != history[-1]:
            raise ValueError("the current pair is not the last of the history")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoreUnavailable(f"{where} is damaged ({in_words(error)}); restore it from a backup") from error
    return Pointer(last.model, last.scoring, last.since, last.by, last.reason, last.action, etag, history)


def _entry(document: dict[str, Any]) -> HistoryEntry:
    names = ("model", "by", "reason", "action", "id")
    return HistoryEntry(
        scoring=None if document["scoring"] is None else str(document["scoring"]),
        since=datetime.fromisoformat(document["since"]),
        **{name: str(document[name]) for name in names},
    )


def before(history: tuple[HistoryEntry, ...]) -> tuple[str, str | None] | None:
    """The pair under the current one, once every rollback has undone what it undid.

    A pair without a scoring counts only while no customers have been shown yet: going back to it would empty the desk.
    """
    shown: list[tuple[str, str | None]] = []
    for entry in history:
        if entry.action == ROLLBACK and entry.pair in shown:
            while shown[-1] != entry.pair:
                shown.pop()
        elif not shown or shown[-1] != entry.pair:
            shown.append(entry.pair)
    customers_shown = any(scoring is not None for _, scoring in shown)
    under = [pair for pair in shown[:-1] if pair != shown[-1] and (pair[1] is not None or not customers_shown)]
    return under[-1] if under else None


def dump(document: dict[str, Any]) -> bytes:
    """A small JSON file of the store's own, as it is stored."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
