"""A scored table as people read it: key, risk, band and reasons in words, in a file that no spreadsheet runs as a program."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import polars as pl

from churn.base.groups import BAND
from churn.base.snapshot import RISK, points_column, reason_column
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.store import disk
from churn.score.batch import Scored
from churn.understand.account import Typical, reason

KINDS = (".csv", ".xlsx", ".parquet")
_EXCEL_ROWS, _EXCEL_TEXT = 1_048_575, 32_767  # below the header; characters in a cell
# What makes a spreadsheet take a cell for a formula, in full width too (OWASP, CSV injection); a plain number is none.
_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
_NUMBER = r"^[+-]?\d+([.,]\d+)?$"


def scored_for_people(scored: Scored, schema: Schema, typical: Typical | None = None, *, simulated: bool = False) -> pl.DataFrame:
    """Key (and snapshot date), `risk` (0–1), `band` and `reason 1` … in words, the riskiest first.

    Parameters
    ----------
    typical: what is usual, from the model's reference, for "(half have 29 or more)"; left out, the words do without.
    simulated: adds a column that says so to every row.
    """
    rows = scored.rows.sort(RISK, schema.key, descending=[True, False])
    usual = typical or Typical({})
    own = [schema.key, *([schema.snapshot.column] if schema.snapshot else [])]
    bands = pl.Series([band.name for band in schema.bands])
    columns = [rows[RISK].round(6).alias(_free("risk", own)), bands.gather(rows[BAND]).alias(_free("band", own))]
    rank = 1
    while reason_column(rank) in rows.columns:
        columns.append(_in_words(rows, rank, schema, usual).alias(_free(f"reason {rank}", own)))
        rank += 1
    if simulated:
        columns.append(pl.Series(_free("note", own), ["Simulated data"] * rows.height, dtype=pl.String))
    return rows.select(own).with_columns(columns)


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a table by the ending of its name: .csv, .xlsx or .parquet; whole or not at all.

    In .csv and .xlsx no cell and no header is taken for a formula or a link; numbers stay numbers, text stays text.

    Raises
    ------
    DataError: another ending, or more than .xlsx holds. StoreUnavailable: the disk refuses.
    """
    check_place(path)
    kind = path.suffix.lower()
    part = path.with_name(f".{uuid.uuid4().hex}{kind}")
    with disk(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if kind == ".parquet":
                frame.write_parquet(part)
            elif kind == ".csv":
                # every text is quoted, so that a semicolon in it does not start a cell where semicolons separate
                harmless(frame).write_csv(part, quote_style="non_numeric", include_bom=True)
            else:
                _write_xlsx(frame, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def check_place(path: Path, source: str = "") -> None:
    """Raise DataError where no result can be written: a folder, a name of another ending, or the table it is made from."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it that ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise DataError(
            f"{path}: the name must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}, not in {repr(kind) if kind else 'nothing'}"
        )
    read = Path(source.removeprefix("file://"))
    if source and path.exists() and read.exists() and path.samefile(read):
        raise DataError(f"{path} is the table that is read; it would be lost. Choose another name for the result")


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before every text and header that a spreadsheet would run."""
    cells = pl.col(pl.String)
    risky = cells.str.contains(_FORMULA) & ~cells.str.contains(_NUMBER)
    frame = frame.with_columns(pl.when(risky).then(pl.lit("'") + cells).otherwise(cells).name.keep())
    return frame.rename({name: f"'{name}" for name in frame.columns if re.match(_FORMULA, name)})


def _write_xlsx(frame: pl.DataFrame, path: Path) -> None:
    import xlsxwriter

    if frame.height > _EXCEL_ROWS:
        raise DataError(f"a .xlsx file holds {_EXCEL_ROWS:,} rows, not {frame.height:,}; write .csv or .parquet")
    texts = frame.select(pl.col(pl.String).str.len_chars().max())
    for name, longest in zip(texts.columns, texts.row(0) if texts.width else (), strict=True):
        if (longest or 0) > _EXCEL_TEXT:
            raise DataError(
                f"a .xlsx cell holds {_EXCEL_TEXT:,} characters; column {name!r} has {longest:,}; write .csv or .parquet"
            )
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "constant_memory": True}
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet = book.add_worksheet()
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for column, name in enumerate(frame.columns):
            sheet.write_string(0, column, name)
        for row, cells in enumerate(frame.iter_rows(), start=1):
            for column, cell in enumerate(cells):
                if isinstance(cell, str):
                    sheet.write_string(row, column, cell)
                elif isinstance(cell, (int, float)):
                    sheet.write_number(row, column, cell)
                elif cell is not None:
                    sheet.write_datetime(row, column, cell, day)


def _in_words(rows: pl.DataFrame, rank: int, schema: Schema, typical: Typical) -> pl.Series:
    """The reasons of one rank as text. Equal facts with equal whole points are put in words once: most of a base shares them."""
    texts = pl.Series([None] * rows.height, dtype=pl.String)
    index, points = rows[reason_column(rank)], rows[points_column(rank)].cast(pl.Float64)
    for place, feature in enumerate(schema.features):
        at = (index == place).fill_null(False).arg_true()
        if at.is_empty():
            continue
        facts = pl.DataFrame({"value": rows[feature.name].gather(at), "points": points.gather(at).round(2)})
        different = facts.unique(maintain_order=True)
        told = [reason(feature, value, size, schema, typical).words for value, size in different.iter_rows()]
        joined = facts.join(
            different.with_columns(text=pl.Series(told, dtype=pl.String)),
            on=["value", "points"],
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        texts = texts.scatter(at, joined["text"])
    return texts


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
