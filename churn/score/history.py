"""The risks a scoring's customers had before, carried along with it, so that one customer's past is one query.

Every scoring holds what the scoring before held, and that scoring's own risks: up to 12 earlier ones, one a day, oldest first.
Nobody has to keep or open twelve bases to draw one line, and a customer's past survives the clearing away of old scorings.
Whoever was away for one begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from churn.base.points import HUNDREDTHS
from churn.base.snapshot import HISTORY, RISK, ROWS, past_column
from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.model import manifest
from churn.model.store import disk

MOST = 12  # earlier scorings kept


@dataclass(frozen=True)
class Past:
    """`scorings`: id, `as_of` and model of each, oldest first; `risks`: one Int16 column for each, in hundredths of a point of
    risk (0–10,000), null where the customer was not in it; rows as the keys that were asked for."""

    scorings: tuple[Mapping[str, str], ...]
    risks: pl.DataFrame


def carry(before: Path, keys: pl.Series, schema: Schema, as_of: date) -> Past | None:
    """What the scoring before and its own past say of these customers; None where nothing is earlier than `as_of`.

    Only days before `as_of` count, and a day scored twice counts as it was shown last: the same customers scored again by
    another model are no new point in time. A base with another key column holds other customers, so there is no past.

    Parameters
    ----------
    before: a scoring's folder, from `Registry.scoring_folder`, hence verified.
    keys: text [customers].

    Raises
    ------
    BundleRejected: the folder is no scoring.
    """
    with disk(before, "read"):
        facts = manifest.parse((before / manifest.NAME).read_bytes(), str(before / manifest.NAME), "scoring")
        own = {"scoring": str(facts.get("id", facts.get("run"))), "as_of": str(facts["as_of"]), "model": str(facts["model"])}
        try:
            if schema.key not in pl.read_parquet_schema(before / ROWS):
                return None
            table = pl.read_parquet(before / ROWS, columns=[schema.key, RISK])
            listed: list[dict[str, str]] = facts.get("past") or []
            if listed:
                older = pl.read_parquet(before / HISTORY)
                table = table.hstack(older.rename({past_column(place): str(place) for place in range(len(listed))}))
        except pl.exceptions.PolarsError as error:
            raise BundleRejected(f"scoring {own['scoring']} cannot be read: {error}") from error
    day = as_of.isoformat()
    sources: list[tuple[dict[str, Any], str]] = [(one, str(place)) for place, one in enumerate(listed)]
    sources = [(one, column) for one, column in sources if one["as_of"] < min(day, own["as_of"])]
    if own["as_of"] < day:
        sources.append((own, RISK))
    sources = sources[-MOST:]
    if not sources:
        return None
    if table.schema[RISK] != pl.Int16:
        table = table.with_columns((pl.col(RISK) * HUNDREDTHS).round().cast(pl.Int16))
    found = pl.DataFrame({schema.key: keys}).join(table, on=schema.key, how="left", maintain_order="left")
    risks = found.select(pl.col(column).alias(past_column(place)) for place, (_, column) in enumerate(sources))
    return Past(tuple(one for one, _ in sources), risks)
