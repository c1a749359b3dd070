"""Promotion: a version becomes the champion if it passes the gates, and the base is scored with it in the same step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from churn.base.snapshot import CONTACTS, LEFT, ROWS, reason_column
from churn.data.schema import Schema
from churn.errors import BundleRejected, NotInStore, PromotionRefused, StoreConflict
from churn.model.bundle import Bundle
from churn.model.gates import Check, judge
from churn.model.registry import Pointer, Registry
from churn.model.registry import lost as second
from churn.model.store import Store
from churn.score import batch
from churn.score.publish import publish
from churn.settings import Settings

_ALL_THE_SAME = "To replace it all the same: churn promote VERSION --despite-gates --reason WHY."


@dataclass(frozen=True)
class Base:
    """Customers as a conformed table, the day they are about, and how many reasons to keep for each."""

    table: pl.DataFrame
    as_of: date
    reasons: int = 3


@dataclass(frozen=True)
class Promotion:
    """What a promotion did: the pointer now, the gates it passed, and how many customers were scored anew."""

    pointer: Pointer
    checks: tuple[Check, ...]
    rescored: int


def promote(
    version: str,
    registry: Registry,
    store: Store,
    settings: Settings,
    *,
    who: str,
    reason: str = "",
    despite_gates: bool = False,
    base: Base | None = None,
    champion: str | None = None,
    seen: Pointer | None = None,
    progress: batch.Progress | None = None,
) -> Promotion:
    """Make a version the champion; where customers are on the desk, they are scored with it and both change in one write.

    Parameters
    ----------
    despite_gates: promote although a gate does not hold; the history says so, so `reason` must not be empty.
    base: the customers to show with it; those on the desk, if any, unless given.
    champion: the version it was decided to replace, some time ago; any unless given.
    seen: the pointer that whoever decided was looking at; what is shown now unless given.

    Raises
    ------
    PromotionRefused: a gate does not hold, the champion or the base on the desk is damaged (these count as gates), the
        version is the champion already, or the base lacks a column it needs.
    StoreConflict: somebody else changed the champion meanwhile, or it is not the one that is to be replaced; nothing was changed.
    Else as the registry.
    """
    pointer = registry.pointer()
    if pointer is not None and pointer.model == version:
        raise PromotionRefused(f"model {version} is the champion already")
    if champion is not None and (pointer is None or pointer.model != champion):
        shown = f"{pointer.by} was faster: the champion is model {pointer.model} by now" if pointer else "there is no champion"
        raise StoreConflict(f"{shown}, not {champion}, which {version} was to replace; nothing was changed")
    if seen is not None and (pointer is None or pointer.etag != seen.etag):
        raise second(pointer)
    challenger = registry.load_model(version)
    replaced, lost = _champion(registry, pointer)
    base, lost_base = (base, ()) if base is not None else _base(registry, pointer, challenger.schema)
    checks = (*judge(challenger, replaced, settings), *lost, *lost_base)
    failed = [check.words for check in checks if not check.passed]
    if failed and not despite_gates:
        raise PromotionRefused(f"model {version} was not promoted. {' '.join(failed)}", checks)
    if failed:
        reason = f"{reason} (despite: {' '.join(failed)})"
    if base is None:
        now = registry.swap(model=version, scoring=None, action="promote", who=who, reason=reason, expected=pointer)
        return Promotion(now, checks, 0)
    some, sample = settings.slow_reasons, settings.slow_sample
    scored = batch.score(base.table, challenger.model, base.reasons, slow_reasons=some, slow_sample=sample, progress=progress)
    done = publish(
        scored,
        challenger,
        registry,
        store,
        as_of=base.as_of,
        who=who,
        reason=reason,
        action="promote",
        expected=pointer,
        progress=progress,
    )
    return Promotion(done.pointer, checks, scored.rows.height)


def on_the_desk(registry: Registry, schema: Schema) -> Base | None:
    """The customers that the desk shows, as a model with this schema takes them; None where it shows none.

    Raises PromotionRefused where they lack a column it needs; else as the registry.
    """
    pointer = registry.pointer()
    return None if pointer is None or pointer.scoring is None else _to_rescore(registry, pointer.scoring, schema)


def check_columns(types: Mapping[str, pl.DataType], schema: Schema) -> None:
    """Raise PromotionRefused where customers with columns of these types cannot be scored by a version of that schema."""
    for column in schema.needed:
        if column not in types:
            raise PromotionRefused(
                f"the customers on the desk have no column {column!r}, which this version needs; "
                "show those of a table that has it: churn promote VERSION --table TABLE"
            )
    for feature in schema.features:
        if feature.is_number is not types[feature.name].is_numeric():
            raise PromotionRefused(
                f"column {feature.name!r} of the customers on the desk is of another kind than this version needs; "
                "show those of another table: churn promote VERSION --table TABLE"
            )


def _champion(registry: Registry, pointer: Pointer | None) -> tuple[Bundle | None, tuple[Check, ...]]:
    """The champion; one that is damaged or gone is a gate that fails, so that it can be replaced, though not by mistake."""
    if pointer is None:
        return None, ()
    try:
        return registry.load_model(pointer.model), ()
    except (BundleRejected, NotInStore) as error:
        words = f"It cannot be held against the champion, which is damaged: {error}. {_ALL_THE_SAME}"
        return None, (Check("champion", False, words),)


def _base(registry: Registry, pointer: Pointer | None, schema: Schema) -> tuple[Base | None, tuple[Check, ...]]:
    """The customers on the desk, if there are any; where they cannot be read, a gate that fails."""
    if pointer is None or pointer.scoring is None:
        return None, ()
    try:
        return _to_rescore(registry, pointer.scoring, schema), ()
    except (BundleRejected, NotInStore) as error:
        words = f"The customers on the desk are damaged and would be gone until scored again: {error}. {_ALL_THE_SAME}"
        return None, (Check("scoring", False, words),)


def _to_rescore(registry: Registry, scoring: str, schema: Schema) -> Base:
    folder = registry.scoring_folder(scoring)
    rows = pl.read_parquet(folder / ROWS)
    check_columns(rows.schema, schema)
    kept = sum(reason_column(rank) in rows.columns for rank in range(1, len(schema.names) + 1))
    outcome = [LEFT] if LEFT in rows.columns else []
    base = rows.select(*schema.needed, *outcome)
    if (folder / CONTACTS).exists():
        contacts = pl.read_parquet(folder / CONTACTS)
        base = base.join(contacts, on=schema.key, how="left", maintain_order="left")
    as_of = next(info.as_of for info in registry.scorings() if info.id == scoring)
    return Base(base, date.fromisoformat(as_of), kept)
