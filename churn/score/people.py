"""A scored table as people read it: key, risk, band and reasons in words; `churn.data.spreadsheet` makes a file of it."""

from __future__ import annotations

from itertools import count

import polars as pl

from churn.base.groups import BAND
from churn.base.snapshot import RISK, reason_column
from churn.data.schema import Schema
from churn.data.values import level_values
from churn.score.batch import Scored
from churn.understand.account import Typical
from churn.understand.reasons import in_words

SIMULATED = "Simulated data"
UNKNOWN = "not known to the model"  # the column that names such values


def scored_for_people(scored: Scored, schema: Schema, typical: Typical | None = None, *, simulated: bool = False) -> pl.DataFrame:
    """Key (and snapshot date), `risk` (0–1), `band` and `reason 1` … in words, the riskiest first.

    The reasons are those of the screen (`churn.understand.account`), word for word and point for point.

    Rows with values that the model does not know, such as a new contract, are flagged in a column that names them; it is there
    only where there are any.

    Parameters
    ----------
    typical: what is usual, from the model's reference, for "(half have 29 or more)"; left out, the words do without.
    simulated: adds a column that says so to every row.
    """
    order = scored.rows.select(pl.arg_sort_by(RISK, schema.key, descending=[True, False])).to_series()
    rows = scored.rows[order]
    own = [schema.key, *([schema.snapshot.column] if schema.snapshot else [])]
    bands = pl.Series([band.name for band in schema.bands])
    columns = [rows[RISK].round(6).alias(_free("risk", own)), bands.gather(rows[BAND]).alias(_free("band", own))]
    most = next(rank for rank in count() if reason_column(rank + 1) not in rows.columns)
    if most and scored.points is not None:
        told = in_words(rows, scored.points[order], scored.typical_risk, schema, typical or Typical({}), most)
        columns += [text.alias(_free(f"reason {rank}", own)) for rank, text in enumerate(told, start=1)]
    unknown = not_known(rows, schema)
    if unknown.count():
        columns.append(unknown.alias(_free(UNKNOWN, own)))
    if simulated:
        columns.append(pl.Series(_free("note", own), [SIMULATED] * rows.height, dtype=pl.String))
    return rows.select(own).with_columns(columns)


def not_known(rows: pl.DataFrame, schema: Schema) -> pl.Series:
    """For each row of a conformed table the levels that the schema lacks (`Contract: Three year; Payment: Cheque`), else null.

    A model takes all of them for one unknown level, and has learnt nothing about it.
    """
    told = [
        pl.when(~pl.col(feature.name).is_in(list(level_values(feature)))).then(
            pl.concat_str(pl.lit(f"{feature.label}: "), pl.col(feature.name))
        )
        for feature in schema.categories
        if feature.levels and feature.name in rows.columns
    ]
    if not told:
        return pl.Series([None] * rows.height, dtype=pl.String)
    joined = rows.select(pl.concat_str(told, separator="; ", ignore_nulls=True)).to_series()
    return joined.set(joined == "", None)


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
