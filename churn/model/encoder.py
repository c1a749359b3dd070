"""Every feature as a small integer: the bin between thresholds, or the level.

Models train on these codes and nothing else, so a split of any of their trees is a look-up on a code, and a model can be
compiled into tables (see `churn.model.tables`). Missing values, and levels that training never listed, have codes of their own.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError, in_words

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[Any]  # unsigned integers, 8, 16 or 32 bits

MAX_BINS = 254  # with the missing code, a number's codes fit a byte
_FEW_ROWS = 1000  # so few levels are looked up one by one


@dataclass(frozen=True, slots=True)
class NumberCodes:
    """A number's code is how many of the rising `thresholds` lie below it; k + 1 is missing.

    So x ≤ thresholds[i] ⇔ code ≤ i.
    """

    name: str
    thresholds: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return len(self.thresholds) + 2

    @property
    def missing(self) -> int:
        return len(self.thresholds) + 1

    def encode(self, values: Floats) -> npt.NDArray[np.intp]:
        """Codes of float64 values [rows], NaN being missing."""
        # NaN sorts behind every number: one threshold more, at infinity, gives it the code k + 1
        return np.searchsorted(np.array((*self.thresholds, np.inf)), values)

    def code(self, value: float | None) -> int:
        """The code of one value; None or NaN is missing."""
        if value is None or value != value:
            return self.missing
        return bisect_left(self.thresholds, value)


@dataclass(frozen=True)
class LevelCodes:
    """A category's code is its level's position; L is missing, L + 1 a level that is not listed.

    `merged` (length L + 2, or empty for the positions themselves) gives codes to share: levels that no tree tells apart.
    """

    name: str
    levels: tuple[str, ...]
    merged: tuple[int, ...] = ()
    _positions: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_positions", dict(zip(self.levels, self.codes, strict=False)))

    @property
    def codes(self) -> tuple[int, ...]:
        """The code of each level, of missing and of unseen."""
        return self.merged or tuple(range(len(self.levels) + 2))

    @property
    def size(self) -> int:
        return max(self.codes) + 1

    @property
    def missing(self) -> int:
        return self.codes[-2]

    @property
    def unseen(self) -> int:
        return self.codes[-1]

    def encode(self, values: pl.Series) -> Codes:
        """Codes of a String series, null being missing."""
        if len(values) <= _FEW_ROWS:  # a call of polars costs more than looking so many up
            return np.array([self.code(value) for value in values.to_list()], dtype=np.uint32)
        listed = values.cast(pl.Enum(self.levels), strict=False).to_physical()
        if listed.null_count() == 0 and not self.merged:
            return listed.to_numpy()
        length = len(self.levels)
        positions = listed.cast(pl.UInt32 if length > 60_000 else pl.UInt16 if length > 250 else pl.UInt8).fill_null(length + 1)
        codes = positions.to_numpy(writable=True)
        if values.null_count():
            codes[values.is_null().to_numpy()] = length
        return np.array(self.merged, dtype=codes.dtype)[codes] if self.merged else codes

    def code(self, value: str | None) -> int:
        """The code of one value; None is missing."""
        if value is None:
            return self.missing
        code = self._positions.get(value)
        return self.unseen if code is None else code


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as codes.

    `codes`: unsigned integers [features, rows]. `numbers`: float64 [number features, rows], NaN where missing, in the order of
    `Encoder.number_features`; empty where they were not asked for.
    """

    codes: Codes
    numbers: Floats

    @property
    def rows(self) -> int:
        return int(self.codes.shape[1])

    def slice(self, start: int, stop: int) -> Encoded:
        return Encoded(self.codes[:, start:stop], self.numbers[:, start:stop])


@dataclass(frozen=True, slots=True)
class Columns:
    """What each column of a training matrix says about a code: `values[column][code]` of feature `features[column]`."""

    names: tuple[str, ...]
    features: tuple[int, ...]
    values: tuple[Floats, ...]

    def filled(self, missing: float) -> Columns:
        """The columns of a matrix whose missing values were filled in, for models that take none."""
        return replace(self, values=tuple(np.nan_to_num(values, nan=missing) for values in self.values))


@dataclass(frozen=True)
class Encoder:
    """Turns a conformed table into codes. Immutable, plain data, JSON in and out."""

    features: tuple[NumberCodes | LevelCodes, ...]

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema, max_bins: int = MAX_BINS) -> Encoder:
        """Choose each number's thresholds from a conformed table; levels are the schema's.

        A number of at most `max_bins` distinct values gets a bin for each of them, otherwise bins of about equal count in
        which a frequent value stands alone.
        """
        features: list[NumberCodes | LevelCodes] = []
        for feature in schema.features:
            if feature.is_number:
                values = _numbers(table, feature.name)
                features.append(NumberCodes(feature.name, _thresholds(values[np.isfinite(values)], max_bins)))
            else:
                features.append(LevelCodes(feature.name, tuple(level.value for level in feature.levels)))
        return cls(tuple(features))

    # -- shape -----------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each feature has, missing and unseen included."""
        return tuple(feature.size for feature in self.features)

    @property
    def number_features(self) -> tuple[int, ...]:
        """Positions of the features that are numbers."""
        return tuple(i for i, feature in enumerate(self.features) if isinstance(feature, NumberCodes))

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the features that are categories: columns of `matrix` without an order."""
        return tuple(i for i, feature in enumerate(self.features) if isinstance(feature, LevelCodes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer that holds every code."""
        return np.min_scalar_type(max(self.sizes, default=1) - 1)

    # -- encoding --------------------------------------------------------------

    def encode(self, table: pl.DataFrame, *, numbers: bool = True) -> Encoded:
        """Codes of a conformed table, and its numbers unless told otherwise. Raises DataError for a column that is missing."""
        codes = np.empty((len(self.features), table.height), dtype=self.dtype)
        kept: list[Floats] = []
        for i, feature in enumerate(self.features):
            if isinstance(feature, NumberCodes):
                values = _numbers(table, feature.name)
                codes[i] = feature.encode(values)
                kept.append(values)
            else:
                codes[i] = feature.encode(_texts(table, feature.name))
        raw = np.array(kept, dtype=np.float64).reshape(len(kept), table.height) if numbers else np.empty((0, table.height))
        return Encoded(codes, raw)

    def encode_row(self, row: Mapping[str, Any]) -> list[int]:
        """Codes of one conformed customer, column → value. An absent column counts as missing."""
        return [feature.code(row.get(feature.name)) for feature in self.features]

    # -- what models train on ----------------------------------------------------

    def matrix(self, encoded: Encoded, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """The codes as floats [rows, features]: NaN where a number is missing, an integer code for every category."""
        result = np.ascontiguousarray(encoded.codes.T, dtype=dtype)
        for i in self.number_features:
            result[encoded.codes[i] == self.features[i].missing, i] = np.nan
        return result

    @cached_property
    def columns(self) -> Columns:
        """What the columns of `matrix` say about each code."""
        values = []
        for feature in self.features:
            column = np.arange(feature.size, dtype=np.float64)
            if isinstance(feature, NumberCodes):
                column[feature.missing] = np.nan
            values.append(column)
        return Columns(self.names, tuple(range(len(self.features))), tuple(values))

    @cached_property
    def onehot_columns(self) -> Columns:
        """What the columns of `onehot` say about each code: one column for a number, one for every level and for missing."""
        names: list[str] = []
        features: list[int] = []
        values: list[Floats] = []
        for i, feature in enumerate(self.features):
            if isinstance(feature, NumberCodes):
                names.append(feature.name)
                features.append(i)
                values.append(self.columns.values[i])
                continue
            labels = (*feature.levels, "missing")  # an unseen level is zero in all of them
            for code in range(feature.size - 1 if not feature.merged else feature.size):
                label = labels[code] if not feature.merged else f"code {code}"
                names.append(f"{feature.name} = {label}")
                features.append(i)
                values.append((np.arange(feature.size) == code).astype(np.float64))
        return Columns(tuple(names), tuple(features), tuple(values))

    def onehot(self, encoded: Encoded, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """The codes [rows, `onehot_columns`] with a 0/1 column for each level: for models that split on numbers only."""
        columns = self.onehot_columns
        result = np.empty((encoded.rows, len(columns.names)), dtype=dtype, order="F")
        for j, (i, values) in enumerate(zip(columns.features, columns.values, strict=True)):
            result[:, j] = values.astype(dtype)[encoded.codes[i]]
        return np.ascontiguousarray(result)

    # -- making it small ---------------------------------------------------------

    def merge(self, groups: Sequence[npt.NDArray[np.intp]]) -> tuple[Encoder, tuple[npt.NDArray[np.intp], ...]]:
        """Give codes that need not be told apart one code.

        `groups[feature][code]` is a label; codes of one label may be merged. Bins merge with their neighbours, levels (and
        missing, and unseen) with any other; a number's missing code stays its own. Returns the encoder and, for each
        feature, one old code that stands for each new one.
        """
        features: list[NumberCodes | LevelCodes] = []
        stand_ins: list[npt.NDArray[np.intp]] = []
        for feature, labels in zip(self.features, groups, strict=True):
            if isinstance(feature, NumberCodes):
                kept = np.flatnonzero(labels[: feature.missing - 1] != labels[1 : feature.missing])
                features.append(replace(feature, thresholds=tuple(feature.thresholds[i] for i in kept)))
                stand_ins.append(np.array([0, *(kept + 1), feature.missing], dtype=np.intp))
            else:
                _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
                order = np.argsort(np.argsort(first))  # new codes in the order in which their levels are listed
                merged = tuple(int(order[inverse[code]]) for code in feature.codes)
                features.append(replace(feature, merged=merged))
                stand_ins.append(np.sort(first).astype(np.intp))
        return Encoder(tuple(features)), tuple(stand_ins)

    # -- in and out ----------------------------------------------------------------

    def to_json(self) -> str:
        document = [
            {"name": feature.name, "thresholds": feature.thresholds}
            if isinstance(feature, NumberCodes)
            else {"name": feature.name, "levels": feature.levels, "merged": feature.merged}
            for feature in self.features
        ]
        return json.dumps({"features": document}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """Read an encoder. Raises BundleRejected where the text is no encoder."""
        try:
            features = tuple(_read(entry) for entry in json.loads(text)["features"])
        except (ValueError, KeyError, TypeError) as error:
            raise BundleRejected(f"the encoder cannot be read: {in_words(error)}") from error
        return cls(features)


def _read(entry: dict[str, Any]) -> NumberCodes | LevelCodes:
    name = str(entry["name"])
    if "thresholds" in entry:
        thresholds = tuple(float(threshold) for threshold in entry["thresholds"])
        if not (np.isfinite(thresholds).all() and all(low < high for low, high in pairwise(thresholds))):
            raise ValueError(f"thresholds of {name!r} do not rise")
        return NumberCodes(name, thresholds)
    levels = tuple(str(level) for level in entry["levels"])
    merged = tuple(int(code) for code in entry["merged"])
    if len(set(levels)) != len(levels):
        raise ValueError(f"a level of {name!r} is listed twice")
    if merged and (len(merged) != len(levels) + 2 or set(merged) != set(range(max(merged) + 1))):
        raise ValueError(f"codes of {name!r} do not fit its {len(levels)} levels")
    return LevelCodes(name, levels, merged)


def _numbers(table: pl.DataFrame, name: str) -> Floats:
    return column_of(table, name, pl.Float64).to_numpy()  # null becomes NaN


def _texts(table: pl.DataFrame, name: str) -> pl.Series:
    return column_of(table, name, pl.String)


def column_of(table: pl.DataFrame, name: str, dtype: type[pl.DataType]) -> pl.Series:
    """A column of a conformed table. Raises DataError where it is missing or of another type."""
    if name not in table.columns:
        raise DataError(f"column {name!r} is needed by the model; the table does not have it")
    column = table[name]
    if column.dtype == pl.Null:
        return column.cast(dtype)
    if column.dtype != dtype:
        raise DataError(f"column {name!r} must be {dtype.__name__} in a conformed table; it is {column.dtype}")
    return column


def _thresholds(values: Floats, max_bins: int) -> tuple[float, ...]:
    """Cuts between distinct values: all of them, or those that give at most `max_bins` bins of about equal count."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return ()
    cuts = np.arange(len(distinct) - 1)
    light_bins = max_bins
    while len(cuts) >= max_bins:
        heavy = counts > values.size / max_bins
        light = np.cumsum(np.where(heavy, 0, counts))
        width = max(light[-1], 1) / max(light_bins, 1)
        bucket = np.ceil(light / width).astype(np.int64)
        cuts = np.flatnonzero(heavy[:-1] | heavy[1:] | (bucket[:-1] != bucket[1:]))
        if light_bins == 0 and len(cuts) >= max_bins:
            cuts = cuts[np.linspace(0, len(cuts) - 1, max_bins - 1).astype(np.intp)]
        light_bins = light_bins * 9 // 10
    middle = distinct[:-1] / 2 + distinct[1:] / 2
    between = (distinct[:-1] <= middle) & (middle < distinct[1:])  # two floats may have none between them
    middle = np.where(between, middle, distinct[:-1])
    return tuple(float(threshold) for threshold in middle[cuts])
