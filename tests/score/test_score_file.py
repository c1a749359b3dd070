"""A file to be scored: columns matched, rows that cannot be scored named, the others scored as everywhere else."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from churn.data import spreadsheet
from churn.data.schema import Rule, Schema
from churn.data.source import parse_table, sheets
from churn.errors import DataError, SourceError
from churn.model.scoring import ScoringModel
from churn.score import people, score_file
from churn.score.batch import score
from churn.score.score_file import FileScores
from churn.understand.account import Typical

MakeTable = Callable[..., pl.DataFrame]
MakeModel = Callable[[Schema], ScoringModel]


@pytest.fixture
def raw(schema: Schema, make_table: MakeTable) -> pl.DataFrame:
    """Forty rows as a CSV gives them."""
    return make_table(schema, 40).select(pl.all().cast(pl.String)).with_columns(shoe=pl.lit("43"))


def _scores(raw: pl.DataFrame, model: ScoringModel, **given: bool) -> FileScores:
    checked = score_file.check(raw, model.schema, score_file.match(raw.columns, model.schema), **given)
    return score_file.score(checked, model, Typical.of(checked.table.clear(), model.schema))


# -- columns -------------------------------------------------------------------------------------------------------------


def test_columns_are_found_by_name_and_the_rest_is_not_looked_at(schema: Schema, raw: pl.DataFrame) -> None:
    matched = score_file.match(raw.columns, schema)
    assert dict(matched.found) == {name: name for name in ("customer", "tenure", "charge", "contract", "idle")}
    assert (matched.missing, matched.suggested) == ((), {})
    assert matched.unused == ("who", "mail", "shoe")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"tenure": "Tenure "}, {"tenure": "Tenure "}),
        ({"charge": "MONTHLY_CHARGE"}, {"charge": "MONTHLY_CHARGE"}),  # as people call it
        ({"customer": "Customer-Number", "tenure": "tenures"}, {"customer": "Customer-Number", "tenure": "tenures"}),
        ({"tenure": "Tenure (months)"}, {"tenure": "Tenure (months)"}),
        ({"contract": "weight"}, {}),
        ({"tenure": "who's"}, {}),
    ],
)
def test_a_missing_column_is_looked_for_under_like_names(
    schema: Schema, raw: pl.DataFrame, given: dict[str, str], meant: dict[str, str]
) -> None:
    table = raw.rename(given)
    matched = score_file.match(table.columns, schema)
    assert set(matched.missing) == set(given)
    assert matched.suggested == meant
    confirmed = score_file.match(table.columns, schema, {**given, "idle": "not there"})
    assert confirmed.missing == ()
    checked = score_file.check(table, schema, confirmed)
    assert checked.scorable == 40
    assert checked.table["customer"].to_list() == raw["customer"].to_list()


def test_a_column_is_suggested_once_and_contacts_and_outcomes_never(schema: Schema, raw: pl.DataFrame) -> None:
    table = raw.drop("tenure", "charge", "who", "mail").with_columns(tenur=pl.lit("1"), churned=pl.lit("Yes"))
    matched = score_file.match([*table.columns, "mail"], schema)
    assert matched.suggested == {"tenure": "tenur"}
    assert {"churned", "mail"} <= set(matched.unused)  # without dates an outcome says nothing about who is there


def test_one_column_can_stand_for_another_that_is_there_too(schema: Schema, raw: pl.DataFrame) -> None:
    table = raw.rename({"tenure": "charge", "charge": "tenure"})
    matched = score_file.match(table.columns, schema, {"tenure": "charge", "charge": "tenure"})
    assert (matched.found["tenure"], matched.found["charge"]) == ("charge", "tenure")
    assert score_file.check(table, schema, matched).table["tenure"].to_list() == raw["tenure"].to_list()


def test_missing_columns_are_named_as_people_call_them_and_nothing_can_be_scored(
    dated: Schema, make_table: MakeTable, make_model: MakeModel
) -> None:
    table = make_table(dated, 5).drop("day", "charge", "customer")
    checked = score_file.check(table, dated, score_file.match(table.columns, dated))
    assert checked.scorable == 0
    told = score_file.problem_table(checked.whole, dated, checked.match)
    assert told["Column"].to_list() == ["Customer number", "Date", "Monthly charge"]
    assert set(told["What is wrong"]) == {"is not in the file"}
    with pytest.raises(DataError):
        score_file.score(checked, make_model(dated), Typical({}))


# -- rows ----------------------------------------------------------------------------------------------------------------


def test_every_cell_in_the_way_is_named_and_the_good_rows_are_scored(
    schema: Schema, raw: pl.DataFrame, make_model: MakeModel
) -> None:
    row = pl.int_range(pl.len())
    bad = raw.with_columns(
        tenure=pl.when(row == 3).then(pl.lit("soon")).otherwise("tenure"),
        charge=pl.when(row.is_in([3, 7])).then(pl.lit("$1,234.50")).otherwise("charge"),
        customer=pl.when(row == 9).then(pl.lit("C0008")).otherwise("customer"),
    )
    matched = score_file.match(bad.columns, schema)
    checked = score_file.check(bad, schema, matched)
    assert (checked.rows, checked.scorable, checked.fixable) == (40, 37, 2)
    assert checked.good.not_().arg_true().to_list() == [3, 7, 9]
    told = score_file.problem_table(checked.problems, schema, matched)
    assert told.columns == ["Column", "In the file", "Row", "Value", "What is wrong", "Would become"]
    assert set(told.select("Column", "Row", "Value", "Would become").iter_rows()) == {
        ("Tenure", 4, "soon", None),
        ("Monthly charge", 4, "$1,234.50", "1234.50"),
        ("Monthly charge", 8, "$1,234.50", "1234.50"),
        ("Customer number", 10, "C0008", None),
    }
    model = make_model(schema)
    scores = _scores(bad, model)
    assert sorted(scores.table["customer"]) == sorted(raw["customer"].gather([i for i in range(40) if i not in (3, 7, 9)]))
    assert _scores(bad, model, fix=True).table.height == 38  # row 8 is put right; row 4 has another problem
    right = score_file.check(bad, schema, matched, fix=True)
    assert (right.fixable, right.fixed) == (0, 2)


def test_scores_are_those_of_a_scoring_run_word_for_word(schema: Schema, raw: pl.DataFrame, make_model: MakeModel) -> None:
    model = make_model(schema)
    scores = _scores(raw, model)
    table = raw.select(*schema.needed).with_columns(pl.col("tenure", "charge").cast(pl.Float64))
    expected = people.scored_for_people(score(table, model, 3), schema)
    assert scores.table.equals(expected)
    assert scores.average_risk == pytest.approx(expected["risk"].mean(), abs=1e-6)
    assert dict(scores.by_band) == {band.name: expected.filter(band=band.name).height for band in schema.bands}
    assert (scores.gone, scores.earlier, scores.behind, scores.without_reasons) == (0, 0, 0, 0)


def test_with_dates_the_latest_row_counts_and_who_left_is_not_scored(
    dated: Schema, make_table: MakeTable, make_model: MakeModel
) -> None:
    later = make_table(dated, 10, seed=2, day=date(2026, 12, 1)).head(8)
    table = pl.concat([make_table(dated, 10), later]).with_columns(churned=pl.lit(""))
    table = table.with_columns(churned=pl.when(pl.int_range(pl.len()) == 9).then(pl.lit("Yes")).otherwise("churned"))
    scores = _scores(table, make_model(dated))
    assert (scores.table.height, scores.gone, scores.earlier, scores.behind) == (9, 1, 8, 1)


def test_what_scores_but_deserves_a_look_speaks_of_columns_as_people_do(schema: Schema, raw: pl.DataFrame) -> None:
    rule = Rule(when="charge > 100 and contract = 'Monthly'", then={"idle": "Yes"})
    ruled = schema.model_copy(update={"rules": (rule,)})
    checked = score_file.check(raw, ruled, score_file.match(raw.columns, ruled))
    assert checked.scorable == 40
    (notice,) = checked.notices
    assert notice.rule == "is expected to be “Yes” where Monthly charge > 100 and Contract = 'Monthly'"
    named = schema.model_copy(update={"rules": (Rule(when={"contract": "Monthly"}, then={"idle": "Yes"}),)})
    (notice,) = score_file.check(raw, named, score_file.match(raw.columns, named)).notices
    assert notice.rule == "is expected to be “Yes” where Contract is “Monthly”"


def test_what_is_only_odd_is_in_the_download_too_and_reads_as_people_write(schema: Schema, raw: pl.DataFrame) -> None:
    charge = schema.feature("charge").model_copy(update={"range": (18.25, 118.5)})
    features = tuple(charge if feature.name == "charge" else feature for feature in schema.features)
    schema = schema.model_copy(update={"features": features})
    odd = raw.with_columns(
        charge=pl.Series(["x", "9999999", "200", *["20"] * 37]), contract=pl.Series([*["Weekly"] * 2, *["Yearly"] * 38])
    )
    checked = score_file.check(odd, schema, score_file.match(odd.columns, schema))
    assert [score_file.shown_value(notice, schema) for notice in checked.notices] == ["$9,999,999", "Weekly"]
    told = score_file.to_look_at(checked, schema).select("Column", "Row", "Value", "What is wrong", "Scored").rows()
    assert told == [
        ("Monthly charge", 1, "x", "must be a number", "No"),
        (
            "Monthly charge",
            2,
            "9999999",
            "was never above $118.50 when the model was trained (2 rows in all)",
            "Yes, but look at it",
        ),
        ("Contract", 1, "Weekly", "has a level the model does not know (2 rows in all)", "Yes, but look at it"),
    ]


def test_simulated_data_say_so_in_every_row(schema: Schema, raw: pl.DataFrame, make_model: MakeModel) -> None:
    checked = score_file.check(raw, schema, score_file.match(raw.columns, schema))
    scores = score_file.score(checked, make_model(schema), Typical({}), simulated=True)
    assert scores.table["note"].unique().to_list() == ["Simulated data"]


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", spreadsheet.KINDS)
def test_a_file_in_memory_is_read_as_it_was_written(raw: pl.DataFrame, kind: str) -> None:
    data = spreadsheet.as_bytes(raw, kind)
    assert parse_table(data, f"x{kind}", most_rows=40).equals(raw)
    with pytest.raises(SourceError, match=r"has 40 rows; at most 39 are taken here"):
        parse_table(data, f"x{kind}", most_rows=39)
    with pytest.raises(SourceError):
        parse_table(data[: len(data) // 2] if kind != ".csv" else b"\x00\x01", f"x{kind}")


def test_sheets_are_named_and_one_is_chosen(raw: pl.DataFrame) -> None:
    import xlsxwriter

    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        for name, value in (("Notes", "hello"), ("Data", "there")):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, ["a", "b"])
            sheet.write_row(1, 0, [value, "x"])
    data = file.getvalue()
    assert sheets(data) == ("Notes", "Data")
    assert parse_table(data, "x.xlsx", sheet="Data")["a"].to_list() == ["there"]
    assert sheets(spreadsheet.as_bytes(raw, ".csv")) == sheets(b"PK\x03\x04 damaged") == ()


def test_a_workbook_that_would_not_fit_in_memory_is_refused_unread(monkeypatch: pytest.MonkeyPatch, raw: pl.DataFrame) -> None:
    monkeypatch.setattr("churn.data.source._UNPACKED", 1_000)
    with pytest.raises(SourceError, match="unpacks to"):
        parse_table(spreadsheet.as_bytes(raw, ".xlsx"), "x.xlsx")
