"""Files for people: nothing a spreadsheet would run, and nothing that it would lose."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from churn.data.spreadsheet import harmless, write
from churn.errors import DataError, StoreUnavailable

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
