"""Batches that were held back: the table as it came, and the report that says why, until somebody releases or drops them.

`quarantine/2026-11-19-BATCH/` holds `table.parquet`, then `report.json`, then what was decided in `decision.json`. The report is
written last, so that a batch is there with its reason or not at all; the same rows are held back once.

Releasing says that a batch is right after all: a run that meets the same rows again scores them.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from churn.data import values
from churn.data.incoming import Check, IncomingReport
from churn.data.quality import Violation
from churn.errors import DataError, NotInStore, StoreConflict, StoreDamaged, in_words
from churn.model.store import Store

PREFIX = "quarantine/"
TABLE, REPORT, DECISION = "table.parquet", "report.json", "decision.json"
_FORMAT = 1
_ID = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Held:
    """One batch held back. `released` and `who` say whether somebody decided that it is right after all."""

    id: str
    since: datetime
    source: str  # where the table came from, without a password
    report: IncomingReport
    released: datetime | None = None
    who: str | None = None
    reason: str = ""

    @property
    def let_through(self) -> bool:
        """Whether somebody released it and it can be scored."""
        return self.released is not None and self.report.releasable


def hold(store: Store, raw: pl.DataFrame, report: IncomingReport, *, source: str = "", now: datetime | None = None) -> Held:
    """Put a batch aside with its report. The same rows held back before are found there, whatever the day.

    Raises
    ------
    StoreUnavailable: nothing is held; nothing was scored either.
    """
    for held in batches(store):
        if held.report.batch == report.batch:
            return held
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    id = f"{moment:%Y-%m-%d}-{report.batch}"
    buffer = io.BytesIO()
    _plain(raw).write_parquet(buffer, compression="zstd")
    store.write(f"{PREFIX}{id}/{TABLE}", buffer.getvalue())
    document = {"format": _FORMAT, "since": moment.isoformat(), "source": source, "report": _document(report)}
    try:
        store.write(f"{PREFIX}{id}/{REPORT}", _dump(document), if_absent=True)
    except StoreConflict:  # the same batch, held back by another run just now
        return find(store, id)
    return Held(id, moment, source, report)


def batches(store: Store) -> tuple[Held, ...]:
    """Every batch held back, released ones too, oldest first."""
    names = {entry.key for entry in store.list(PREFIX)}
    ids = sorted(key[len(PREFIX) : -len(REPORT) - 1] for key in names if key.endswith(f"/{REPORT}"))
    return tuple(_held(store, id, decided=f"{PREFIX}{id}/{DECISION}" in names) for id in ids if _ID.fullmatch(id))


def find(store: Store, id: str) -> Held:
    """One batch by its id, or by the only batch whose id begins so. Raises NotInStore."""
    known = batches(store)
    found = [held for held in known if held.id == id] or [held for held in known if id and held.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotInStore(f"{id!r} is the beginning of {len(found)} batches in quarantine; name one: churn quarantine list")
    raise NotInStore(f"there is no batch {id!r} in quarantine; see churn quarantine list")


def table(store: Store, held: Held) -> pl.DataFrame:
    """The rows of a batch as they came. Raises StoreDamaged, NotInStore."""
    name = f"{PREFIX}{held.id}/{TABLE}"
    try:
        return pl.read_parquet(io.BytesIO(store.read(name).data))
    except pl.exceptions.PolarsError as error:
        raise StoreDamaged(f"{store.address}/{name} is damaged ({error}); restore it from a backup") from error


def release(store: Store, held: Held, *, who: str, reason: str) -> Held:
    """Decide that a batch is right after all; done again, the first decision stands.

    Raises
    ------
    DataError: no reason is given, or the batch cannot be scored whatever anybody decides.
    """
    if not reason.strip():
        raise DataError("say why the batch is right after all: --reason")
    if not held.report.releasable:
        why = " ".join(check.words for check in held.report.checks if check.structural)
        raise DataError(f"{held.id} cannot be scored, so it is not released. {why} Mend the table, and drop this one")
    decision = {"format": _FORMAT, "at": datetime.now(UTC).isoformat(), "who": who, "reason": reason, "id": uuid.uuid4().hex}
    with suppress(StoreConflict):  # decided already
        store.write(f"{PREFIX}{held.id}/{DECISION}", _dump(decision), if_absent=True)
    return find(store, held.id)


def drop(store: Store, held: Held) -> None:
    """Remove a batch: first its report, so that nobody finds half of it."""
    for name in (REPORT, DECISION, TABLE):
        store.delete(f"{PREFIX}{held.id}/{name}")


def rewrite(store: Store, held: Held, left: pl.DataFrame, key: str) -> None:
    """Keep only these rows of a batch, and name the key nowhere in its report: for erasing a customer only."""
    buffer = io.BytesIO()
    left.write_parquet(buffer, compression="zstd")
    document = _json(store, f"{PREFIX}{held.id}/{REPORT}")
    told = document["report"]
    told["violations"] = [one for one in told["violations"] if one["value"] != key]
    for check in told["checks"]:
        check["words"] = check["words"].replace(repr(key), "a customer who was forgotten")
    store.write(f"{PREFIX}{held.id}/{REPORT}", _dump(document))
    store.write(f"{PREFIX}{held.id}/{TABLE}", buffer.getvalue())


def is_released(store: Store, batch: str) -> bool:
    """Whether somebody has said that these very rows (`IncomingReport.batch`) are right after all."""
    return any(held.report.batch == batch and held.released is not None for held in batches(store))


# -- in and out ----------------------------------------------------------------------------------------------------------


def _plain(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns of kinds that parquet does not take, as text."""
    odd = [column.name for column in raw.get_columns() if isinstance(column.dtype, pl.Object)]
    return raw.with_columns(values.as_text(raw[name]).alias(name) for name in odd)


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _document(report: IncomingReport) -> dict[str, Any]:
    return {**asdict(report), "newest": report.newest.isoformat() if report.newest else None}


def _held(store: Store, id: str, *, decided: bool) -> Held:
    document = _json(store, f"{PREFIX}{id}/{REPORT}")
    decision = _json(store, f"{PREFIX}{id}/{DECISION}") if decided else {}
    try:
        told = document["report"]
        report = IncomingReport(
            batch=told["batch"],
            rows=told["rows"],
            newest=date.fromisoformat(told["newest"]) if told["newest"] else None,
            checks=tuple(Check(**check) for check in told["checks"]),
            errors=told["errors"],
            violations=tuple(Violation(**violation) for violation in told["violations"]),
        )
        since, at = datetime.fromisoformat(document["since"]), decision.get("at")
        released = datetime.fromisoformat(at) if at else None
        return Held(id, since, document["source"], report, released, decision.get("who"), decision.get("reason", ""))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreDamaged(
            f"{store.address}/{PREFIX}{id} is damaged ({in_words(error)}); drop it: churn quarantine drop"
        ) from error


def _json(store: Store, name: str) -> dict[str, Any]:
    try:
        document = json.loads(store.read(name).data)
    except ValueError as error:
        raise StoreDamaged(f"{store.address}/{name} is damaged ({in_words(error)}); restore it from a backup") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise StoreDamaged(f"{store.address}/{name} is of a format this version does not know; update churn")
    return document
