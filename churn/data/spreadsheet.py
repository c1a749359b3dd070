"""Tables as files that people open: CSV, XLSX and Parquet, in which no cell, header or name runs as a program.

A spreadsheet takes text that begins like a formula for one (OWASP, CSV injection). In CSV there are no types, so such text gets
an apostrophe; in XLSX every text is a text cell and stays as it is, with its plus sign, its leading zeros and all its digits.
Numbers stay numbers, days stay days.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from churn.data.disk import disk
from churn.errors import DataError

KINDS = (".csv", ".xlsx", ".parquet")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_EXCEL_ROWS, _EXCEL_TEXT = 1_048_575, 32_767  # below the header; characters in a cell
_EXCEL_NAME = 31  # characters of a sheet's name
_NARROW, _WIDE, _SURROUND = 8, 60, 2  # characters of a column, and what stands around its text
_LOOKED_AT = 2_000  # rows that a column's width is made from
# What makes a spreadsheet take a cell for a formula, in full width too, also behind blanks and marks that nobody sees, which
# some programs drop; a plain number is none.
_FORMULA = r"^[\s\ufeff\u200b-\u200f\u202a-\u202e\u2060]*[=+\-@\t\r\n＝＋－＠]"
_STARTS = r"^[\t\r\n]"
_NUMBER = r"^[+-]?\d+([.,]\d+)?$"


@dataclass(frozen=True)
class Sheet:
    """One sheet of a workbook. `formats`: column → how Excel shows its numbers, such as `0%`; `filtered`: with a filter on
    every header."""

    name: str
    table: pl.DataFrame
    formats: Mapping[str, str] = field(default_factory=dict)
    filtered: bool = True


# -- writing -----------------------------------------------------------------------------------------------------------------


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
        try:
            _write(frame, kind, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def as_bytes(frame: pl.DataFrame, kind: str) -> bytes:
    """The same file in memory; nothing touches the disk. `kind`: the ending, one of `KINDS`. Raises DataError as `write` does."""
    file = io.BytesIO()
    _write(frame, kind, file)
    return file.getvalue()


def csv_bytes(frame: pl.DataFrame, *, delimiter: str = ",", marked: bool = True) -> bytes:
    """A table as CSV in UTF-8, harmless and with every text quoted, so that no other delimiter begins a cell within one.

    Parameters
    ----------
    delimiter: one of the values of `DELIMITERS`; raises DataError for another.
    marked: whether the file begins with a byte order mark, without which Excel reads umlauts wrongly.
    """
    if delimiter not in DELIMITERS.values():
        raise DataError(f"a CSV file is delimited by one of {', '.join(map(repr, DELIMITERS.values()))}, not by {delimiter!r}")
    file = io.BytesIO()
    harmless(frame).write_csv(file, separator=delimiter, quote_style="non_numeric", include_bom=marked)
    return file.getvalue()


def workbook(sheets: Sequence[Sheet], made: datetime | None = None) -> bytes:
    """Several tables as one XLSX file: text cells, a header that stays in view, filters, widths by what is in a column.

    Parameters
    ----------
    sheets: their names are put into a form that Excel takes (`sheet_names`).
    made: when the file says it was made; now unless given.

    Raises DataError for more than a sheet or a cell holds.
    """
    file = io.BytesIO()
    _write_xlsx(sheets, file, made)
    return file.getvalue()


def check_place(path: Path, source: str = "") -> None:
    """Raise DataError where no result can be written: no such folder, a folder itself, another ending, the table read."""
    if not path.parent.exists():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}; make it, or name another")
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


# -- what a spreadsheet would run ----------------------------------------------------------------------------------------------


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before every text and header that a spreadsheet would run."""
    cells = pl.col(pl.String)
    risky = cells.str.contains(_FORMULA) | cells.str.contains(_STARTS)
    risky &= ~cells.str.contains(_NUMBER)
    frame = frame.with_columns(pl.when(risky).then(pl.lit("'") + cells).otherwise(cells).name.keep())
    return frame.rename({name: f"'{name}" for name in frame.columns if re.match(_FORMULA, name) or re.match(_STARTS, name)})


def plain(cells: pl.Series) -> pl.Series:
    """Texts as they were before `harmless`: without the apostrophe that it put before what a spreadsheet would run."""
    bare = cells.str.strip_prefix("'")
    table = harmless(pl.DataFrame({"": bare}))
    return pl.select(pl.when((table[""] == cells) & (bare != cells)).then(bare).otherwise(cells)).to_series().alias(cells.name)


def sheet_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of sheets as Excel takes them: at most 31 characters, none of `[]:*?/\\`, no quotation mark at an end, each once.

    A name also stands in formulas that refer to the sheet, so one that begins like a formula gets a word before it.
    """
    found: list[str] = []
    for name in wanted:
        plain = " ".join(re.sub(r"[\[\]:*?/\\\x00-\x1f\x7f]", " ", name).split()).strip("' ")
        plain = f"Sheet {plain}" if re.match(_FORMULA, plain) or plain.lower() in ("", "history") else plain
        short = plain[:_EXCEL_NAME].strip("' ")
        number = 1
        while short.lower() in {one.lower() for one in found}:
            number += 1
            ending = f" ({number})"
            short = plain[: _EXCEL_NAME - len(ending)].rstrip("' ") + ending
        found.append(short)
    return tuple(found)


# -- inside ------------------------------------------------------------------------------------------------------------------


def _write(frame: pl.DataFrame, kind: str, to: Path | io.BytesIO) -> None:
    if kind == ".parquet":
        frame.write_parquet(to)
    elif kind == ".csv":
        # every text is quoted, so that a semicolon in it does not start a cell where semicolons separate
        harmless(frame).write_csv(to, quote_style="non_numeric", include_bom=True)
    else:
        _write_xlsx([Sheet("Customers", frame)], to)


def _write_xlsx(sheets: Sequence[Sheet], to: Path | io.BytesIO, made: datetime | None = None) -> None:
    import xlsxwriter

    for sheet in sheets:
        _check_sheet(sheet.table)
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    options["in_memory" if isinstance(to, io.BytesIO) else "constant_memory"] = True
    with xlsxwriter.Workbook(to if isinstance(to, io.BytesIO) else str(to), options) as book:
        book.set_properties({"created": (made or datetime.now(UTC)).replace(tzinfo=None)})
        head = book.add_format({"bold": True, "bottom": 1})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for name, one in zip(sheet_names([sheet.name for sheet in sheets]), sheets, strict=True):
            sheet = book.add_worksheet(name)
            table = one.table
            shown = [book.add_format({"num_format": one.formats[column]}) if column in one.formats else None
                     for column in table.columns]  # fmt: skip
            for place, width in enumerate(_widths(table)):
                sheet.set_column(place, place, width)
            sheet.freeze_panes(1, 0)
            if one.filtered and table.width:
                sheet.autofilter(0, 0, max(table.height, 1), table.width - 1)
            for place, column in enumerate(table.columns):
                sheet.write_string(0, place, column, head)
            for row, cells in enumerate(table.iter_rows(), start=1):
                for place, cell in enumerate(cells):
                    if cell is None:
                        continue
                    if isinstance(cell, str):
                        sheet.write_string(row, place, cell)
                    elif isinstance(cell, bool):
                        sheet.write_boolean(row, place, cell)
                    elif isinstance(cell, (int, float)):
                        sheet.write_number(row, place, cell, shown[place])
                    elif isinstance(cell, datetime):
                        sheet.write_datetime(row, place, cell.replace(tzinfo=None), moment)
                    elif isinstance(cell, date):
                        sheet.write_datetime(row, place, cell, day)


def _check_sheet(frame: pl.DataFrame) -> None:
    if frame.height > _EXCEL_ROWS:
        raise DataError(f"a .xlsx file holds {_EXCEL_ROWS:,} rows, not {frame.height:,}; write .csv or .parquet")
    texts = frame.select(pl.col(pl.String).str.len_chars().max())
    for name, longest in zip(texts.columns, texts.row(0) if texts.width else (), strict=True):
        if (longest or 0) > _EXCEL_TEXT:
            raise DataError(
                f"a .xlsx cell holds {_EXCEL_TEXT:,} characters; column {name!r} has {longest:,}; write .csv or .parquet"
            )


def _widths(frame: pl.DataFrame) -> list[int]:
    """Characters of every column: what is in it, or its header with the button of its filter."""
    some = frame.head(_LOOKED_AT)
    found = []
    for name in frame.columns:
        column = some[name]
        inside = column.str.len_chars().max() if column.dtype == pl.String else 12
        longest = inside if isinstance(inside, int) else 0
        found.append(min(max(longest, len(name) + _SURROUND, _NARROW), _WIDE) + _SURROUND)
    return found
