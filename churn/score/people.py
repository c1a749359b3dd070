"""A scored table as people read it: key, risk, band and reasons in words, in a file that no spreadsheet runs as a program."""

from __future__ import annotations

import io
import re
import uuid
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.base.groups import BAND
from churn.base.snapshot import RISK, reason_column
from churn.data.schema import Feature, Schema
from churn.errors import DataError
from churn.model.store import disk
from churn.score.batch import Scored
from churn.understand.account import Typical, ranked, reason

SIMULATED = "Simulated data"
KINDS = (".csv", ".xlsx", ".parquet")
_CHUNK = 100_000  # customers put in words at once
_EXCEL_ROWS, _EXCEL_TEXT = 1_048_575, 32_767  # below the header; characters in a cell
# What makes a spreadsheet take a cell for a formula, in full width too (OWASP, CSV injection); a plain number is none.
_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
_NUMBER = r"^[+-]?\d+([.,]\d+)?$"


def scored_for_people(scored: Scored, schema: Schema, typical: Typical | None = None, *, simulated: bool = False) -> pl.DataFrame:
    """Key (and snapshot date), `risk` (0–1), `band` and `reason 1` … in words, the riskiest first.

    The reasons are those of the screen (`churn.understand.account`), word for word and point for point.

    Parameters
    ----------
    typical: what is usual, from the model's reference, for "(half have 29 or more)"; left out, the words do without.
    simulated: adds a column that says so to every row.
    """
    order = scored.rows.select(pl.arg_sort_by(RISK, schema.key, descending=[True, False])).to_series()
    rows = scored.rows[order]
    own = [schema.key, *([schema.snapshot.column] if schema.snapshot else [])]
    bands = pl.Series([band.name for band in schema.bands])
    columns = [rows[RISK].round(6).alias(_free("risk", own)), bands.gather(rows[BAND]).alias(_free("band", own))]
    most = next(rank for rank in count() if reason_column(rank + 1) not in rows.columns)
    if most and scored.points is not None:
        told = _in_words(rows, scored.points[order], scored.typical_risk, schema, typical or Typical({}), most)
        columns += [text.alias(_free(f"reason {rank}", own)) for rank, text in enumerate(told, start=1)]
    if simulated:
        columns.append(pl.Series(_free("note", own), [SIMULATED] * rows.height, dtype=pl.String))
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


def _write(frame: pl.DataFrame, kind: str, to: Path | io.BytesIO) -> None:
    if kind == ".parquet":
        frame.write_parquet(to)
    elif kind == ".csv":
        # every text is quoted, so that a semicolon in it does not start a cell where semicolons separate
        harmless(frame).write_csv(to, quote_style="non_numeric", include_bom=True)
    else:
        _write_xlsx(frame, to)


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


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before every text and header that a spreadsheet would run."""
    cells = pl.col(pl.String)
    risky = cells.str.contains(_FORMULA) & ~cells.str.contains(_NUMBER)
    frame = frame.with_columns(pl.when(risky).then(pl.lit("'") + cells).otherwise(cells).name.keep())
    return frame.rename({name: f"'{name}" for name in frame.columns if re.match(_FORMULA, name)})


def _write_xlsx(frame: pl.DataFrame, to: Path | io.BytesIO) -> None:
    import xlsxwriter

    if frame.height > _EXCEL_ROWS:
        raise DataError(f"a .xlsx file holds {_EXCEL_ROWS:,} rows, not {frame.height:,}; write .csv or .parquet")
    texts = frame.select(pl.col(pl.String).str.len_chars().max())
    for name, longest in zip(texts.columns, texts.row(0) if texts.width else (), strict=True):
        if (longest or 0) > _EXCEL_TEXT:
            raise DataError(
                f"a .xlsx cell holds {_EXCEL_TEXT:,} characters; column {name!r} has {longest:,}; write .csv or .parquet"
            )
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    options["in_memory" if isinstance(to, io.BytesIO) else "constant_memory"] = True
    with xlsxwriter.Workbook(to if isinstance(to, io.BytesIO) else str(to), options) as book:
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


# -- words for a whole table -----------------------------------------------------------------------------------------------


def _in_words(
    rows: pl.DataFrame, points: pl.DataFrame, typical_risk: float, schema: Schema, typical: Typical, most: int
) -> list[pl.Series]:
    """The first reasons of every customer, one column of text a rank; null where a customer has no further one.

    Equal facts with equal whole points are put in words once: most of a base shares them.
    """
    said: dict[tuple[object, ...], str] = {}
    parts: list[list[pl.Series]] = [[] for _ in range(most)]
    for start in range(0, rows.height, _CHUNK):
        some, own = rows[start : start + _CHUNK], points[start : start + _CHUNK].select(schema.names)
        unexplained = own.to_series().is_null()
        hundredths = np.ascontiguousarray(own.fill_null(0).to_numpy().T.astype(np.int32))
        index, whole = ranked(hundredths, some[RISK].to_numpy(), typical_risk, most)
        index[:, unexplained.to_numpy()] = -1
        shared = _shared(some, schema, typical)
        for rank in range(most):
            texts = pl.Series([None] * some.height, dtype=pl.String)
            for place in np.unique(index[rank]):
                if place < 0 or rank >= len(index):
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


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
