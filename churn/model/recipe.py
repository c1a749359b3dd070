"""How an estimator wants to be asked: which columns, in which form, and what to make of the answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from churn.data.schema import Feature, Schema
from churn.errors import BundleRejected, DataError, in_words
from churn.model.encoder import column_of
from churn.model.risk_model import Floats

Text = Literal["str", "category"]
Space = Literal["probability", "margin"]
How = Literal["trees", "coalitions", "orders"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known about an estimator once it was tried on a reference table.

    `columns`: those it takes, in its order; `named`: by name, else as an array. `text`: pandas type of categories; `numbers`:
    whether levels that are numbers, such as 0 and 1, are given as numbers. `missing`: (column, text) of categories whose missing
    values are given as a text the schema reads as missing, such as "Unknown", which the estimator knows as a level.
    `positive`: the class that means leaving. `space`: whether its answer f is a probability, or log-odds of which the
    probability is the logistic function. `how` its contributions are found; `owner`, for trees: the position in `columns` that
    each column of the matrix the trees see comes from. `seed` of the random orders; `sampling_error`: typical standard error of
    points (0–1 scale).
    """

    columns: tuple[str, ...]
    named: bool
    text: Text
    numbers: bool
    positive: int
    space: Space
    missing: tuple[tuple[str, str], ...] = ()
    how: How = "orders"
    owner: tuple[int, ...] = ()
    seed: int = 0
    sampling_error: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, schema: Schema) -> Recipe:
        """Read a recipe. Raises BundleRejected where the text is none, or names columns the schema does not have."""
        try:
            document = json.loads(text)
            recipe = cls(
                columns=tuple(map(str, document["columns"])),
                named=bool(document["named"]),
                text=_one_of(document["text"], "str", "category"),
                numbers=bool(document["numbers"]),
                positive=int(document["positive"]),
                space=_one_of(document["space"], "probability", "margin"),
                missing=tuple((str(name), str(text)) for name, text in document["missing"]),
                how=_one_of(document["how"], "trees", "coalitions", "orders"),
                owner=tuple(map(int, document["owner"])),
                seed=int(document["seed"]),
                sampling_error=float(document["sampling_error"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BundleRejected(f"it is no recipe for an estimator: {in_words(error)}") from error
        for name in recipe.columns:
            if name not in schema:
                raise BundleRejected(f"the estimator takes column {name!r}, which is no feature of schema {schema.name!r}")
        if recipe.positive not in (0, 1) or not all(-1 <= place < len(recipe.columns) for place in recipe.owner):
            raise BundleRejected("a class or a column is named that the estimator does not have")
        return recipe

    def frame(self, table: pl.DataFrame, schema: Schema) -> Any:
        """A conformed table as the pandas table the estimator is given. Raises DataError as `column_of`."""
        import pandas as pd

        missing = dict(self.missing)
        columns = {name: self._column(table, schema.feature(name), missing.get(name)) for name in self.columns}
        return pd.DataFrame(columns, index=pd.RangeIndex(table.height))

    def _column(self, table: pl.DataFrame, feature: Feature, missing: str | None) -> Any:
        import pandas as pd

        if feature.is_number:
            return column_of(table, feature.name, pl.Float64).to_numpy()  # null becomes NaN
        texts = column_of(table, feature.name, pl.String)
        if self.numbers and levels_are_numbers(feature):
            return texts.cast(pl.Float64, strict=False).to_numpy()
        if missing is not None:
            texts = texts.fill_null(missing)
        if self.text == "str":
            return texts.to_pandas()
        named = [] if missing is None else [missing]
        levels = pl.Series([*(level.value for level in feature.levels), *named], dtype=pl.String)
        places = texts.replace_strict(levels, pl.int_range(len(levels), eager=True), default=-1, return_dtype=pl.Int32)
        kind = pd.CategoricalDtype(levels.to_list())
        return pd.Categorical.from_codes(places.fill_null(-1).to_numpy(), dtype=kind)  # a new level counts as missing

    def ask(self, estimator: Any, frame: Any) -> Floats:
        """f of a frame, float64 [rows]. Raises DataError with what the estimator says where it does not take the rows."""
        given = frame if self.named else frame.to_numpy()
        if not len(frame):
            return pl.Series([], dtype=pl.Float64).to_numpy()
        try:
            if self.space == "margin":
                margin: Floats = estimator.decision_function(given).astype(float)
                return margin if self.positive else -margin
            return estimator.predict_proba(given)[:, self.positive].astype(float)  # type: ignore[no-any-return]
        except (ValueError, TypeError) as error:
            raise DataError(f"the model does not take these rows: {' '.join(str(error).split())[:300]}") from error


def levels_are_numbers(feature: Feature) -> bool:
    """Whether all levels of a category are spelt as numbers: a table read without its schema has numbers there."""
    texts = pl.Series([level.value for level in feature.levels], dtype=pl.String)
    return not feature.is_number and texts.cast(pl.Float64, strict=False).null_count() == 0


def _one_of(value: Any, *known: Any) -> Any:
    if value not in known:
        raise ValueError(f"{value!r} must be one of {', '.join(known)}")
    return value
