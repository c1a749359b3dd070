"""Scoring a table: who is scored, what a row says, and the folder it is published as."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from polars.testing import assert_frame_equal

from churn.base.groups import BAND
from churn.base.snapshot import CONTACTS, LEFT, MARGIN, POINTS, RISK, ROWS, SAMPLED, points_column, reason_column
from churn.data.schema import Schema
from churn.errors import DataError, StoreUnavailable
from churn.model import manifest
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import LinearTerms, NumberTerm
from churn.score.batch import in_hundredths, run_id, score, write_scoring

MakeTable = Callable[..., pl.DataFrame]
MakeModel = Callable[[Schema], ScoringModel]
DAY = date(2026, 11, 1)


def test_every_row_agrees_with_the_model(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table, model = make_table(schema, 250), make_model(schema)
    seen: list[tuple[str, int, int]] = []
    scored = score(table, model, 2, chunk=40, progress=lambda *step: seen.append(step))
    explained = model.explain(table)
    rows = scored.rows
    assert rows["customer"].to_list() == table["customer"].to_list()
    np.testing.assert_allclose(rows[RISK], explained.risk, rtol=0, atol=1e-15)
    np.testing.assert_allclose(rows[MARGIN], explained.margin, rtol=0, atol=1e-15)
    assert [schema.bands[code].name for code in rows[BAND]] == [schema.band(risk).name for risk in rows[RISK]]
    for i in range(250):
        order = sorted(range(4), key=lambda j: (-abs(explained.points[i, j]), j))
        assert [rows[reason_column(rank)][i] for rank in (1, 2)] == order[:2]
        for rank in (1, 2):
            assert rows[points_column(rank)][i] == pytest.approx(explained.points[i, order[rank - 1]], rel=1e-6)
    assert scored.typical_risk == explained.typical_risk
    assert sum(scored.mean_points.values()) == pytest.approx(rows[RISK].mean() - scored.typical_risk, abs=1e-12)
    assert scored.mean_size["tenure"] == pytest.approx(np.abs(explained.points[:, 0]).mean())
    assert seen[0] == ("Scoring", 40, 250)
    assert seen[-1] == ("Scoring", 250, 250)
    assert score(table, model, 2).rows.equals(rows)


def test_what_has_no_points_is_no_reason(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    scored = score(make_table(schema, 5), make_model(schema), 9)
    assert reason_column(5) not in scored.rows.columns
    assert scored.rows[reason_column(4)].null_count() == 5
    assert (scored.rows[points_column(4)] == 0).all()
    none = score(make_table(schema, 5), make_model(schema), 0)
    assert reason_column(1) not in none.rows.columns


class Slow(ScoringModel):
    """A model whose reasons take long."""

    quick = False


def test_reasons_that_take_long_go_to_the_riskiest(
    schema: Schema, make_table: MakeTable, make_model: MakeModel, tmp_path: Path
) -> None:
    table, model = make_table(schema, 250), make_model(schema)
    slow = Slow(model.schema, model.encoder, model.tables, model.calibrator)
    whole = score(table, model, 2)
    assert score(table, slow, 2).rows.equals(whole.rows)
    assert score(table, slow, 2, slow_reasons=250).explained is None
    assert score(table, model, 2, slow_reasons=30).explained is None
    seen: list[tuple[str, int, int]] = []
    some = score(table, slow, 2, slow_reasons=130, progress=lambda *step: seen.append(step))
    assert some.explained == 130
    assert_frame_equal(some.rows.select(RISK, MARGIN, BAND), whole.rows.select(RISK, MARGIN, BAND))
    assert seen == [("Scoring", 250, 250), ("Finding reasons", 100, 130), ("Finding reasons", 130, 130)]
    riskiest = pl.Series(whole.rows[RISK].rank("ordinal", descending=True) <= 130)
    kept = [column(rank) for rank in (1, 2) for column in (reason_column, points_column)]
    assert_frame_equal(some.rows.filter(riskiest).select(kept), whole.rows.filter(riskiest).select(kept))
    assert some.rows.filter(~riskiest).select(pl.col(kept).null_count()).row(0) == (120,) * 4
    assert some.mean_points == {}  # means over the riskiest would not add up to anything
    facts = [
        write_scoring(tmp_path / name, scored, model_version="v1", schema=schema, as_of=DAY, simulated=False)
        for name, scored in (("some", some), ("whole", whole))
    ]
    assert [fact["explained"] for fact in facts] == [130, 250]


def test_rows_hold_no_contact(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    scored = score(make_table(schema, 4), make_model(schema))
    assert not {"who", "mail"} & set(scored.rows.columns)
    assert scored.contacts is not None
    assert scored.contacts.columns == ["customer", "who", "mail"]
    assert scored.contacts.height == 4
    apart = pl.DataFrame({"customer": ["C0002", "C9999"], "mail": ["a@b.c", "d@e.f"]})
    given = score(make_table(schema, 4).drop("who", "mail"), make_model(schema), contacts=apart)
    assert given.contacts is not None
    assert given.contacts.rows() == [("C0002", "a@b.c")]
    assert score(make_table(schema, 4).drop("who", "mail"), make_model(schema)).contacts is None


def test_the_latest_row_is_scored_and_who_is_gone_is_not(dated: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    early = make_table(dated, 4, day=date(2026, 9, 1)).with_columns(pl.Series(LEFT, [0, 1, 0, 0], dtype=pl.Int8))
    late = make_table(dated, 4, day=DAY).with_columns(pl.Series(LEFT, [1, None, 0, None], dtype=pl.Int8))
    table = pl.concat([late.filter(pl.col("customer") != "C0003"), early])
    scored = score(table, make_model(dated))
    # C0000 left after its latest row; C0001 was said to have left earlier, but is there again; C0003 was last seen earlier
    assert scored.rows.select("customer", "day", LEFT).rows() == [
        ("C0001", DAY, None),
        ("C0002", DAY, 0),
        ("C0003", date(2026, 9, 1), 0),
    ]
    assert (scored.gone, scored.earlier, scored.behind) == (1, 3, 1)


def test_without_dates_a_label_says_nothing_about_now(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(schema, 3).with_columns(pl.Series(LEFT, [1, 0, None], dtype=pl.Int8))
    scored = score(table, make_model(schema))
    assert scored.rows[LEFT].to_list() == [1, 0, None]
    assert (scored.gone, scored.earlier, scored.behind) == (0, 0, 0)


def test_nobody_to_score(dated: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(dated, 3)
    with pytest.raises(DataError, match="no rows"):
        score(table.head(0), make_model(dated))
    with pytest.raises(DataError, match="all 3 have left already"):
        score(table.with_columns(pl.lit(1, pl.Int8).alias(LEFT)), make_model(dated))


def test_a_key_twice_is_refused(schema: Schema, dated: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    for one in (schema, dated):
        table = make_table(one, 3)
        with pytest.raises(DataError, match="'C0000' is there more than once"):
            score(pl.concat([table, table.head(1)]), make_model(one))


def test_missing_and_unseen_values_are_scored(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(schema, 3).with_columns(
        tenure=pl.Series([None, 1.0, 2.0]),
        charge=pl.Series([None] * 3, dtype=pl.Float64),
        contract=pl.Series(["Weekly", None, "Yearly"]),
    )
    scored = score(table, make_model(schema))
    assert scored.rows[RISK].is_finite().all()
    assert scored.rows["contract"].to_list() == ["Weekly", None, "Yearly"]


# -- the run and its folder ----------------------------------------------------


def test_a_run_is_known_by_what_went_into_it(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table, model = make_table(schema, 30), make_model(schema)

    def run(frame: pl.DataFrame, version: str = "v1", day: date = DAY) -> str:
        return run_id(score(frame, model), model_version=version, schema=schema, as_of=day)

    first = run(table)
    assert len(first) == 20
    assert run(table.sample(fraction=1, shuffle=True, seed=1)) == first
    assert run(table, version="v2") != first
    assert run(table, day=date(2026, 11, 2)) != first
    assert run(table.head(29)) != first
    assert run(table.with_columns(pl.col("tenure") + 1)) != first
    assert run(table.with_columns(mail=pl.lit("x"))) != first
    nothing, blank = (table.with_columns(contract=pl.lit(text, pl.String)) for text in (None, ""))
    assert run(nothing) != run(blank)


def test_the_folder_says_what_is_in_it(tmp_path: Path, schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    scored = score(make_table(schema, 200), make_model(schema))
    folder = tmp_path / "scoring"
    covariance = [[1e-3, 0.0], [0.0, 1e-3]]
    facts = write_scoring(
        folder, scored, model_version="v3", schema=schema, as_of=DAY, simulated=True, calibration_covariance=covariance
    )
    assert manifest.verify(folder, "scoring") == facts
    assert set(facts["files"]) == {ROWS, CONTACTS, POINTS}
    assert (facts["model"], facts["as_of"], facts["rows"], facts["simulated"]) == ("v3", "2026-11-01", 200, True)
    assert facts["schema_hash"] == schema.hash
    rows = pl.read_parquet(folder / ROWS)
    assert rows.sort("customer").equals(scored.rows)
    assert rows.columns[:5] == ["customer", "tenure", "charge", "contract", "idle"]
    assert facts["sums"]["risk"] == pytest.approx(rows[RISK].sum())
    assert facts["sums"]["revenue_at_risk"] == pytest.approx((rows[RISK] * rows["charge"]).sum())
    low, high = facts["sums"]["interval"]
    assert low < facts["sums"]["revenue_at_risk"] < high
    assert [band["customers"] for band in facts["by_band"]] == [(rows[BAND] == code).sum() for code in range(4)]
    assert facts["mean_points"] == scored.mean_points
    assert facts["edges"]["tenure"] == [12, 24, 48]
    assert "who" not in rows.columns
    with pytest.raises(StoreUnavailable):
        write_scoring(folder, scored, model_version="v3", schema=schema, as_of=DAY, simulated=True)


def test_without_money_the_sums_say_so(tmp_path: Path, schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    other = schema.model_copy(update={"money": None})
    scored = score(make_table(other, 20), make_model(other))
    facts = write_scoring(tmp_path / "scoring", scored, model_version="v1", schema=other, as_of=DAY, simulated=False)
    assert facts["sums"] == {
        "risk": pytest.approx(scored.rows[RISK].sum()),
        "money": None,
        "revenue_at_risk": None,
        "leavers_interval": None,
        "interval": None,
    }
    assert facts["by_band"][0]["revenue_at_risk"] is None


# -- points --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(points=arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 30)), elements=st.floats(-2, 2)))
def test_hundredths_add_up_along_every_row(points: np.ndarray) -> None:
    whole = in_hundredths(points)
    assert np.abs(whole.sum(axis=0) / 1e4 - points.sum(axis=1)).max() <= 5e-5 + 1e-12
    assert np.abs(whole.T / 1e4 - points).max() <= 1e-4 + 1e-12
    assert not whole.T[points == 0].any()


def test_all_points_are_kept_in_the_order_of_the_rows(
    tmp_path: Path, schema: Schema, make_table: MakeTable, make_model: MakeModel
) -> None:
    model = make_model(schema)
    scored = score(make_table(schema, 200), model, chunk=60)
    write_scoring(tmp_path / "scoring", scored, model_version="v1", schema=schema, as_of=DAY, simulated=False)
    rows, points = pl.read_parquet(tmp_path / "scoring" / ROWS), pl.read_parquet(tmp_path / "scoring" / POINTS)
    assert points.columns == list(schema.names)
    assert set(points.dtypes) == {pl.Int16}
    wanted = model.explain(rows).points
    np.testing.assert_allclose(points.to_numpy() / 1e4, wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(points.to_numpy().sum(axis=1) / 1e4 + model.typical_risk, rows[RISK], rtol=0, atol=5.01e-5)
    assert (points["idle"] == 0).all()


def test_points_beyond_16_bits_are_kept_whole(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    """Two terms that cancel each other may have hundreds of points each, and the sum is still the risk."""
    background = make_table(schema, 300, seed=9)
    linear = LinearTerms(numbers=(NumberTerm(0, 2.0, 0.0, 0.0), NumberTerm(1, -1.0, 0.0, 0.0)), codes=())
    model = ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=linear)
    table = make_table(schema, 50).with_columns(tenure=pl.col("charge") * 0.5 + 1e3, charge=pl.col("charge") + 2e3)
    scored = score(table, model, 2, chunk=20)
    assert scored.points is not None
    assert scored.points["tenure"].dtype == pl.Int32
    assert scored.points["tenure"].max() > 40_000
    total = scored.points.cast(pl.Int64).sum_horizontal() / 1e4 + model.typical_risk
    np.testing.assert_allclose(total, scored.rows[RISK], rtol=0, atol=5.01e-5)


def test_where_reasons_take_long_a_sample_has_them_too(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table, model = make_table(schema, 400), make_model(schema)
    slow = Slow(model.schema, model.encoder, model.tables, model.calibrator)
    some = score(table, slow, 2, slow_reasons=30, slow_sample=100)
    whole = score(table, model, 2)
    assert some.points is not None
    assert whole.points is not None
    inside = some.points[SAMPLED]
    assert some.sampled == inside.sum() == 100
    riskiest = pl.Series(whole.rows[RISK].rank("ordinal", descending=True) <= 30)
    explained = some.points["tenure"].is_not_null()
    assert explained.to_list() == (inside | riskiest).to_list()
    assert some.explained == explained.sum()
    assert_frame_equal(some.points.drop(SAMPLED).filter(explained), whole.points.filter(explained))
    # whoever is in the sample is so in a smaller base too, and the sample is no list of the riskiest
    half = score(table.head(200), slow, 2, slow_reasons=30, slow_sample=100)
    assert half.points is not None
    kept = set(some.rows["customer"].filter(inside)) & set(table["customer"].head(200))
    assert kept <= set(half.rows["customer"].filter(half.points[SAMPLED]))
    assert abs(whole.rows[RISK].filter(inside).mean() - whole.rows[RISK].mean()) < 4 * whole.rows[RISK].std() / 10
    assert score(table, slow, 2, slow_reasons=400).sampled is None


def test_bins_are_values_or_of_like_size(tmp_path: Path, schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(schema, 4000).with_columns(tenure=pl.when(pl.col("tenure") == 5).then(None).otherwise("tenure"))
    facts = write_scoring(
        tmp_path / "one", score(table, make_model(schema)), model_version="v1", schema=schema, as_of=DAY, simulated=False
    )
    assert facts["bins"]["tenure"] == sorted({float(value) for value in range(73)} - {5.0})
    charge = facts["bins"]["charge"]
    assert charge == sorted(set(charge))
    assert len(charge) == 40
    assert charge[-1] == table["charge"].max()
    counts = np.histogram(table["charge"], bins=[-np.inf, *np.nextafter(charge, np.inf)])[0]
    assert counts.min() >= 80
    empty = table.with_columns(charge=pl.lit(None, pl.Float64))
    facts = write_scoring(
        tmp_path / "two", score(empty, make_model(schema)), model_version="v1", schema=schema, as_of=DAY, simulated=False
    )
    assert facts["bins"]["charge"] == []
