"""What people get in a file: words that agree with the points, and nothing a spreadsheet would run."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import DataError, StoreUnavailable
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.score import people
from churn.score.batch import score
from churn.score.people import harmless, scored_for_people, write
from churn.understand.account import Typical, account

from .conftest import DOCUMENT

MakeTable = Callable[..., pl.DataFrame]
MakeModel = Callable[[Schema], ScoringModel]
NASTY = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1",
    "a;=1+1",
    'say "x"',
    "-5",
    "+491711",
    "7,5",
    "",
    "plain",
]


def test_words_for_every_customer(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(schema, 40)
    scored = score(table, make_model(schema), 2)
    found = scored_for_people(scored, schema, Typical.of(table, schema))
    assert found.columns == ["customer", "risk", "band", "reason 1", "reason 2"]
    assert found["risk"].is_sorted(descending=True)
    by_key = {row["customer"]: row for row in scored.rows.iter_rows(named=True)}
    for row in found.iter_rows(named=True):
        own = by_key[row["customer"]]
        assert row["risk"] == pytest.approx(own["__risk__"], abs=1e-6)
        assert row["band"] == schema.band(own["__risk__"]).name


TWINS: dict[str, Any] = {
    "features": [
        *DOCUMENT["features"],
        {"name": "tv", "kind": "category", "label": "TV", "levels": [{"value": "No internet service"}, {"value": "Yes"}],
         "phrase": "{value}"},
        {"name": "films", "kind": "category", "label": "Films", "levels": [{"value": "No internet service"}, {"value": "Yes"}],
         "phrase": "{value}"},
        {"name": "contact", "kind": "number", "label": "Last contact", "unit": "month", "phrase": "{value} as a customer"},
    ]
}  # fmt: skip


def _explained_alike(table: pl.DataFrame, model: ScoringModel, schema: Schema, reasons: int) -> None:
    """Every row of the file for people has the reasons that the customer's page gives, to the letter."""
    typical = Typical.of(table, schema)
    scored = score(table, model, reasons)
    for row in scored_for_people(scored, schema, typical).iter_rows(named=True):
        customer = table.row(by_predicate=pl.col(schema.key) == row[schema.key], named=True)
        explained = model.explain_row(customer)
        told = account(
            customer, explained.points, risk=explained.risk, typical_risk=model.typical_risk, schema=schema, typical=typical
        )
        lines = [reason.words for reason in told.reasons if abs(reason.points) > 5e-5][:reasons]
        given = [row[f"reason {rank}"] for rank in range(1, reasons + 1)]
        assert given == lines + [None] * (reasons - len(lines))


def test_reasons_are_those_of_the_screen_to_the_letter(
    schema: Schema, make_table: MakeTable, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_CHUNK", 17)
    table = make_table(schema, 120, seed=3).with_columns(
        tenure=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise("tenure"),
        contract=pl.when(pl.int_range(pl.len()) % 11 == 0).then(pl.lit("odd")).otherwise("contract"),
    )
    _explained_alike(table, make_model(schema), schema, 4)


def test_facts_that_read_alike_are_told_apart_as_on_the_screen(make_table: MakeTable) -> None:
    schema = Schema.model_validate({**DOCUMENT, **TWINS})
    draw = np.random.default_rng(7)
    table = make_table(schema, 80).with_columns(
        tv=pl.Series(draw.choice(["No internet service", "Yes"], 80)),
        films=pl.Series(draw.choice(["No internet service", "Yes"], 80)),
        contact=pl.Series(draw.integers(0, 3, 80).astype(float)),
        tenure=pl.Series(draw.integers(0, 3, 80).astype(float)),
    )
    numbers = tuple(NumberTerm(schema.names.index(name), -0.3, 0.0, 0.0) for name in ("tenure", "contact"))
    codes = tuple(CodeTerm(schema.names.index(name), np.array([-0.8, 0.9, 0.0, 0.0])) for name in ("tv", "films"))
    linear = LinearTerms(numbers=numbers, codes=codes)
    model = ScoringModel.build(schema, Encoder.fit(table, schema), (), table, linear=linear)
    _explained_alike(table, model, schema, 4)
    words = scored_for_people(score(table, model, 4), schema).select(pl.concat_list(pl.col("^reason .$"))).to_series().explode()
    assert words.str.contains("Films: No internet service: ").any()
    assert words.str.contains("Last contact: 2 months: ").any()


def test_names_that_are_taken_and_rows_without_reasons(dated: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    other = dated.model_copy(update={"key": "risk"})
    scored = score(make_table(dated, 3).rename({"customer": "risk"}), make_model(other), 4)
    found = scored_for_people(scored, other, simulated=True)
    assert found.columns == ["risk", "day", "risk_", "band", "reason 1", "reason 2", "reason 3", "reason 4", "note"]
    assert found["reason 4"].null_count() == 3
    assert found["note"].unique().to_list() == ["Simulated data"]


def test_cells_that_would_run_are_neutralised() -> None:
    frame = harmless(pl.DataFrame({"=header": NASTY, "n": [-1.5] * len(NASTY), "none": [None] * len(NASTY)}))
    assert frame.columns == ["'=header", "n", "none"]
    assert frame["'=header"].to_list() == [*[f"'{text}" for text in NASTY[:7]], *NASTY[7:]]
    assert frame["n"].to_list() == [-1.5] * len(NASTY)


def test_csv_as_a_spreadsheet_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(pl.DataFrame({"key": NASTY, "risk": [0.5] * len(NASTY)}), path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["key", "risk"]
    assert [row[0] for row in rows[1:]] == [*[f"'{text}" for text in NASTY[:7]], *NASTY[7:]]
    assert b'"a;=1+1"' in path.read_bytes()  # quoted, so no cell of its own where semicolons separate


def test_xlsx_keeps_text_as_text(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    nasty = [text for text in NASTY if text and "\r" not in text] + ["https://example.org", "007"]
    frame = pl.DataFrame({"=key": nasty, "risk": [0.25] * len(nasty), "day": [date(2026, 11, 1)] * len(nasty)})
    write(frame.with_columns(none=pl.lit(None, pl.String)), path)
    sheet = openpyxl.load_workbook(path).active
    assert sheet is not None
    cells = [sheet.cell(row, 1) for row in range(1, len(nasty) + 2)]
    assert [cell.value for cell in cells] == ["=key", *nasty]
    assert {cell.data_type for cell in cells} == {"s"}
    assert all(cell.hyperlink is None for cell in cells)
    assert sheet.cell(2, 2).value == 0.25
    assert sheet.cell(2, 3).is_date
    assert sheet.cell(2, 4).value is None


def test_parquet_is_untouched_and_other_endings_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": NASTY})
    write(frame, tmp_path / "out.PARQUET")
    assert pl.read_parquet(tmp_path / "out.PARQUET").equals(frame)
    with pytest.raises(DataError, match=r"must end in \.csv, \.xlsx or \.parquet"):
        write(frame, tmp_path / "out.txt")
    with pytest.raises(DataError, match="holds 32,767 characters; column 'key' has 40,000"):
        write(pl.DataFrame({"key": ["x" * 40_000]}), tmp_path / "out.xlsx")
    with pytest.raises(DataError, match=r"there is no folder .*/sub; make it, or name another"):
        write(frame, tmp_path / "sub" / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.PARQUET"]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        write(pl.DataFrame({"key": ["a"]}), tmp_path / "file" / "out.csv")
