"""Codes mean what they say, whatever the table holds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.data.schema import Feature, Level, Schema, Target
from churn.errors import BundleRejected, DataError
from churn.model.encoder import Encoder, LevelCodes, NumberCodes

SCHEMA = Schema(
    key="id",
    target=Target(column="left", positive="Yes"),
    features=(
        Feature(name="tenure", kind="number", label="Tenure"),
        Feature(name="plan", kind="category", label="Plan", levels=(Level(value="A"), Level(value="B"), Level(value="C"))),
        Feature(name="bill", kind="number", label="Bill"),
        Feature(name="paperless", kind="flag", label="Paperless", levels=(Level(value="No"), Level(value="Yes"))),
    ),
)


def table(tenure: list[float | None], plan: list[str | None] | None = None) -> pl.DataFrame:
    rows = len(tenure)
    return pl.DataFrame(
        {
            "tenure": pl.Series(tenure, dtype=pl.Float64),
            "plan": pl.Series(plan or ["A"] * rows, dtype=pl.String),
            "bill": pl.Series([1.5 * (i % 7) for i in range(rows)], dtype=pl.Float64),
            "paperless": pl.Series(["Yes" if i % 3 else "No" for i in range(rows)], dtype=pl.String),
        }
    )


def test_codes_count_thresholds_below() -> None:
    feature = NumberCodes("tenure", (1.0, 2.5, 9.0))
    values = np.array([-np.inf, 0.0, 1.0, 1.1, 2.5, 9.0, 9.1, np.inf, np.nan])
    assert feature.encode(values).tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 4]
    assert [feature.code(value) for value in values] == feature.encode(values).tolist()
    assert feature.code(None) == feature.missing == 4
    assert feature.size == 5


def test_missing_and_unseen_levels_have_codes_of_their_own() -> None:
    feature = LevelCodes("plan", ("A", "B", "C"))
    values = pl.Series(["C", None, "A", "Z", "B", ""])
    assert feature.encode(values).tolist() == [2, 3, 0, 4, 1, 4]
    assert [feature.code(value) for value in values] == [2, 3, 0, 4, 1, 4]
    merged = LevelCodes("plan", ("A", "B", "C"), merged=(0, 1, 0, 1, 1))
    assert merged.encode(values).tolist() == [0, 1, 0, 1, 1, 1]
    assert [merged.code(value) for value in values] == [0, 1, 0, 1, 1, 1]
    assert merged.size == 2


@pytest.mark.parametrize("length", [200, 255, 256, 300, 70_000])
def test_many_levels(length: int) -> None:
    feature = LevelCodes("plan", tuple(f"level {i}" for i in range(length)))
    values = pl.Series([f"level {length - 1}", None, "other", "level 0"])
    assert feature.encode(values).tolist() == [length - 1, length, length + 1, 0]


def test_fit_and_encode_a_table() -> None:
    rows = table([3.0, None, 1.0, 2.0, 3.0], ["B", None, "Q", "A", "C"])
    encoder = Encoder.fit(rows, SCHEMA)
    assert encoder.features[0] == NumberCodes("tenure", (1.5, 2.5))
    encoded = encoder.encode(rows)
    assert encoded.codes.dtype == np.uint8
    assert encoded.codes[0].tolist() == [2, 3, 0, 1, 2]
    assert encoded.codes[1].tolist() == [1, 3, 4, 0, 2]
    np.testing.assert_array_equal(encoded.numbers[0], [3, np.nan, 1, 2, 3])
    assert encoder.number_features == (0, 2)
    assert encoder.categorical == (1, 3)
    assert encoder.encode(rows, numbers=False).numbers.shape == (0, 5)
    for i, row in enumerate(rows.iter_rows(named=True)):
        assert encoder.encode_row(row) == encoded.codes[:, i].tolist()


def test_matrix_and_onehot_say_what_the_columns_say() -> None:
    rows = table([3.0, None, 1.0, 2.0, 3.0], ["B", None, "Q", "A", "C"])
    encoder = Encoder.fit(rows, SCHEMA)
    encoded = encoder.encode(rows)
    matrix = encoder.matrix(encoded)
    np.testing.assert_array_equal(matrix[:, 0], [2, np.nan, 0, 1, 2])
    np.testing.assert_array_equal(matrix[:, 1], [1, 3, 4, 0, 2])
    onehot = encoder.onehot(encoded)
    names = encoder.onehot_columns.names
    assert names[1:5] == ("plan = A", "plan = B", "plan = C", "plan = missing")
    np.testing.assert_array_equal(onehot[:, 1:5].argmax(1), [1, 3, 0, 0, 2])
    assert onehot[2, 1:5].sum() == 0  # unseen
    for built, columns in ((matrix, encoder.columns), (onehot, encoder.onehot_columns)):
        for j, (feature, values) in enumerate(zip(columns.features, columns.values, strict=True)):
            np.testing.assert_array_equal(built[:, j], values[encoded.codes[feature]])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 4).map(float)), min_size=1),
    st.integers(2, 12),
)
def test_bins_keep_the_order_and_their_number(values: list[float | None], max_bins: int) -> None:
    rows = table(values)
    encoder = Encoder.fit(rows, SCHEMA, max_bins=max_bins)
    feature = encoder.features[0]
    assert isinstance(feature, NumberCodes)
    assert len(feature.thresholds) < max_bins
    known = sorted({value for value in values if value is not None})
    codes = [feature.code(value) for value in known]
    assert codes == sorted(codes)
    if len(known) <= max_bins:
        assert codes == list(range(len(known)))


def test_a_frequent_value_stands_alone() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros(500), rng.gamma(2, 100, 1500)])
    feature = Encoder.fit(table(values.tolist()), SCHEMA, max_bins=20).features[0]
    assert isinstance(feature, NumberCodes)
    codes = feature.encode(values)
    assert (codes[:500] == 0).all()
    assert (codes[500:] > 0).all()
    assert 15 <= len(feature.thresholds) <= 19
    assert np.bincount(codes[500:]).max() < 200


def test_merge_keeps_what_is_told_apart() -> None:
    rows = table([3.0, None, 1.0, 2.0, 4.0], ["B", None, "Q", "A", "C"])
    encoder = Encoder.fit(rows, SCHEMA)
    groups = [np.zeros(size, dtype=np.intp) for size in encoder.sizes]
    groups[0] = np.array([0, 0, 5, 5, 0])
    groups[1] = np.array([7, 1, 7, 1, 1])
    small, stand_ins = encoder.merge(groups)
    assert small.features[0] == NumberCodes("tenure", (2.5,))
    assert small.sizes == (3, 2, 2, 1)
    old, new = encoder.encode(rows), small.encode(rows)
    for labels, stand_in, before, after in zip(groups, stand_ins, old.codes, new.codes, strict=True):
        np.testing.assert_array_equal(labels[stand_in[after]], labels[before])
    again, _ = small.merge([np.arange(size) for size in small.sizes])
    np.testing.assert_array_equal(again.encode(rows).codes, new.codes)


def test_json_round_trip() -> None:
    rows = table([3.1, None, 1.0 / 3, 2.0, 4.0])
    encoder = Encoder.fit(rows, SCHEMA)
    small, _ = encoder.merge([np.zeros(size, dtype=np.intp) for size in encoder.sizes])
    assert Encoder.from_json(encoder.to_json()) == encoder
    assert Encoder.from_json(small.to_json()) == small


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"features": [{"name": "a"}]}',
        '{"features": [{"name": "a", "thresholds": [2, 1]}]}',
        '{"features": [{"name": "a", "levels": ["x"], "merged": [0, 0]}]}',
    ],
)
def test_json_that_is_no_encoder_is_refused(text: str) -> None:
    with pytest.raises(BundleRejected, match="encoder"):
        Encoder.from_json(text)


def test_a_table_that_does_not_fit_is_refused() -> None:
    rows = table([1.0, 2.0])
    encoder = Encoder.fit(rows, SCHEMA)
    with pytest.raises(DataError, match="'plan'"):
        encoder.encode(rows.drop("plan"))
    with pytest.raises(DataError, match="'tenure' must be Float64"):
        encoder.encode(rows.with_columns(pl.col("tenure").cast(pl.String)))
    nothing = rows.with_columns(pl.lit(None).alias("tenure"))
    assert (encoder.encode(nothing).codes[0] == 2).all()
