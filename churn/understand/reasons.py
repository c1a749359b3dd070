"""The first reasons of many customers in words, word for word and point for point those of the screen (`account`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.base.snapshot import RISK
from churn.data.schema import Feature, Schema
from churn.understand.account import Typical, ranked, reason

_CHUNK = 100_000  # customers put in words at once


def in_words(
    rows: pl.DataFrame,
    points: pl.DataFrame,
    typical_risk: float,
    schema: Schema,
    typical: Typical,
    most: int,
    *,
    silent: bool = False,
) -> list[pl.Series]:
    """The first reasons of every customer, one column of text a rank; null where a customer has no further one.

    Equal facts with equal whole points are put in words once: most of a base shares them.

    Parameters
    ----------
    rows: conformed, with the risk (`RISK`). points: hundredths of a point, a column per feature, null for whoever has none.
    most: reasons of each customer. silent: whether those whose points print as nothing are passed over, as in the sentence under
        a customer's title.
    """
    said: dict[tuple[object, ...], str] = {}
    parts: list[list[pl.Series]] = [[] for _ in range(most)]
    for start in range(0, rows.height, _CHUNK):
        some, own = rows[start : start + _CHUNK], points[start : start + _CHUNK].select(schema.names)
        unexplained = own.to_series().is_null()
        hundredths = np.ascontiguousarray(own.fill_null(0).to_numpy().T.astype(np.int32))
        index, whole = ranked(hundredths, some[RISK].to_numpy(), typical_risk, len(hundredths) if silent else most)
        if silent:
            telling = np.argsort(whole == 0, axis=0, kind="stable")[:most]
            index, whole = np.take_along_axis(index, telling, axis=0), np.take_along_axis(whole, telling, axis=0)
            index = np.where(whole == 0, -1, index)
        index[:, unexplained.to_numpy()] = -1
        shared = _shared(some, schema, typical)
        for rank in range(most):
            texts = pl.Series([None] * some.height, dtype=pl.String)
            for place in np.unique(index[rank]) if rank < len(index) else ():
                if place < 0:
                    continue
                at = pl.Series(np.flatnonzero(index[rank] == place))
                sign = np.sign(hundredths[place, at])
                facts = pl.DataFrame(
                    {
                        "value": some[schema.names[place]].gather(at),
                        "whole": whole[rank, at],
                        "sign": sign,
                        "shared": shared[place][at] if place in shared else np.zeros(len(at), dtype=np.bool_),
                    }
                )
                different = facts.unique(maintain_order=True)
                told = [_line(schema.features[place], fact, schema, typical, said) for fact in different.iter_rows()]
                joined = facts.join(
                    different.with_columns(text=pl.Series(told, dtype=pl.String)),
                    on=facts.columns,
                    how="left",
                    nulls_equal=True,
                    maintain_order="left",
                )
                texts = texts.scatter(at, joined["text"])
            parts[rank].append(texts)
    return [pl.concat(texts) if texts else pl.Series([], dtype=pl.String) for texts in parts]


def _line(feature: Feature, fact: tuple[Any, ...], schema: Schema, typical: Typical, said: dict[tuple[object, ...], str]) -> str:
    """One reason in words: value, whole points, their sign, and whether another column of this customer says the same."""
    key = (feature.name, *fact)
    if key not in said:
        value, whole, sign, shared = fact
        told = reason(feature, value, float(sign), schema, typical, printed=whole)
        said[key] = (
            reason(feature, value, float(sign), schema, typical, printed=whole, named=True) if shared and told.ambiguous else told
        ).words
    return said[key]


def _shared(rows: pl.DataFrame, schema: Schema, typical: Typical) -> dict[int, npt.NDArray[np.bool_]]:
    """For each feature that may say what another one says ("no internet service"), the customers of whom that is so.

    Numbers name their column or carry a phrase of their own; only those that share a phrase are looked at.
    """
    phrases = Counter(feature.phrase for feature in schema.numbers if feature.phrase)
    codes: dict[str, int] = {}
    columns: dict[int, npt.NDArray[np.int64]] = {}
    for place, feature in enumerate(schema.features):
        if feature.is_number and (feature.phrase is None or phrases[feature.phrase] < 2):
            continue
        column = rows[feature.name]
        values = column.unique()
        facts = [reason(feature, value, 0.0, schema, typical).fact for value in values.to_list()]
        found = pl.Series([codes.setdefault(fact, len(codes)) for fact in facts], dtype=pl.Int64)
        pairs = pl.DataFrame({"value": values, "code": found})
        joined = pl.DataFrame({"value": column}).join(pairs, on="value", how="left", nulls_equal=True, maintain_order="left")
        columns[place] = joined["code"].to_numpy()
    often: dict[int, npt.NDArray[np.bool_]] = {}
    for place, own in columns.items():
        others = [other for elsewhere, other in columns.items() if elsewhere != place]
        same = np.logical_or.reduce([own == other for other in others]) if others else np.zeros(len(own), dtype=np.bool_)
        if same.any():
            often[place] = same
    return often
