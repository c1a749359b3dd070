"""Read a table from wherever it lies: CSV, Parquet, XLSX, a database by SQLAlchemy URL, or any of these files on S3.

What a file is, is decided by its first bytes, not by its name. A CSV comes back as text, every cell as it stood, with two
exceptions: rows without any value are left out, and numbers written with a decimal comma are rewritten with a point (a
column is rewritten when its values show that the comma is the decimal sign), so that whoever parses the column later
meets one decimal sign only. Other kinds of table keep their types.
"""

from __future__ import annotations

import datetime
import io
import logging
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from churn import words
from churn.data import delimited, s3, values
from churn.errors import SourceError, WorkspaceMixed
from churn.settings import Settings

_SQL = re.compile(r"^[A-Za-z][A-Za-z0-9_]*(\+[A-Za-z0-9_]+)?://")
_COMMENT_OR_TEXT = re.compile(r"(--[^\n]*|/\*.*?\*/)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`", re.DOTALL)
_READING = ("select", "with", "values")
_WRITING = frozenset(("insert", "update", "delete", "merge", "into"))  # what can follow those words and changes something
_UNPACKED = 1_000_000_000  # bytes
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_NOT_A_TABLE = (
    (b"\x1f\x8b", "it is compressed (gzip); unpack it first"),
    (b"BZh", "it is compressed (bzip2); unpack it first"),
    (b"\xfd7zXZ", "it is compressed (xz); unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed (zstd); unpack it first"),
    (b"%PDF", "it is a PDF"),
    (b"SQLite format 3", "it is a SQLite database; use sqlite:///PATH with a query"),
    (b"ARROW1", "it is an Arrow file; save it as Parquet or CSV"),
)


def read_table(
    source: str | Path, *, query: str | None = None, settings: Settings | None = None, real: bool = False
) -> pl.DataFrame:
    """Read a whole table.

    Parameters
    ----------
    source: a path (`file://` too), `s3://bucket/key`, or an SQLAlchemy URL such as `postgresql+psycopg://user@host/base`.
    query: the SQL to run, for a URL; the sheet's name, for a workbook of several sheets.
    settings: where S3 is, and the workspace; the defaults otherwise.
    real: whether the table is to enter that workspace, which holds real data: one marked as simulated is refused.

    Returns
    -------
    At least one row; column names are unique and not empty. CSV columns are all String, with blanks kept.

    Raises
    ------
    SourceError: nothing there, not readable, not a table, ragged rows, columns named twice, no rows.
    StoreUnavailable, NotInStore: S3 did not answer or has no such object.
    WorkspaceMixed: `real`, and the table is simulated.
    """
    place, settings = str(source), settings or Settings()
    if place.startswith(("http://", "https://", "ftp://")):
        raise SourceError(f"{place}: tables are not fetched from the web; download the file first")
    data, table = b"", None
    if place.startswith("s3://"):
        data = _download(place, settings)
    elif place.startswith("file://") or not _SQL.match(place):
        path = Path(place.removeprefix("file://")).expanduser()
        place, data = str(path), _file(path)
    else:
        table, place = _from_database(place, query), shown_url(place)
    table = _finished(_from_bytes(data, place, query) if table is None else table, place)
    if real and _is_simulated(data, table):
        raise WorkspaceMixed(
            f"{place} is marked as simulated data, and the workspace '{settings.workspace}' holds real data; nothing was done"
        )
    return table


def _is_simulated(data: bytes, table: pl.DataFrame) -> bool:
    """Whether a file says that what it holds was made up: the demo's tables in their metadata, what the demo's desk exports in a
    column that says so in every row."""
    if data.startswith(b"PAR1") and pl.read_parquet_metadata(io.BytesIO(data)).get("simulated") == "true":
        return True
    said = words.say("simulated")
    texts = (column for column in table.get_columns() if column.dtype == pl.String and column[0] == said)
    return any(column.null_count() == 0 and bool((column == said).all()) for column in texts)


def parse_table(data: bytes, name: str, *, sheet: str | None = None, most_rows: int | None = None) -> pl.DataFrame:
    """Read a table from the bytes of a file somebody sent, as `read_table` does from a path.

    Parameters
    ----------
    name: the file's, for messages; what it is, its bytes say. sheet: of a workbook of several.
    most_rows: a longer table is refused, a Parquet file and a workbook before they are unpacked.

    Raises
    ------
    SourceError: as `read_table`, and for a table that is too long.
    """
    if data.startswith(b"PK\x03\x04"):
        _refuse_bomb(data, name)
    elif data.startswith(b"PAR1") and most_rows is not None:
        try:
            rows = int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError(f"{name} is no Parquet file, or a damaged one: {_first_line(error)}") from error
        _refuse_long(rows, most_rows, name)
    table = _finished(_from_bytes(data, name, sheet), name)
    if most_rows is not None:
        _refuse_long(table.height, most_rows, name)
    return table


def sheets(data: bytes) -> tuple[str, ...]:
    """The names of a workbook's sheets; none where the bytes are no workbook that can be read."""
    if not data.startswith(_EXCEL):
        return ()
    import fastexcel

    try:
        return tuple(fastexcel.read_excel(data).sheet_names)
    except fastexcel.FastExcelError:
        return ()


def _refuse_long(rows: int, most: int, name: str) -> None:
    if rows > most:
        raise SourceError(f"{name} has {rows:,} rows; at most {most:,} are taken here")


def _refuse_bomb(data: bytes, name: str) -> None:
    """A workbook is a zip archive, and a small one can unpack to more than there is memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise SourceError(f"{name} is no workbook, or a damaged one: {_first_line(error)}") from error
    if size > _UNPACKED:
        raise SourceError(f"{name} unpacks to {size / 1e9:.1f} GB; at most {_UNPACKED / 1e9:.1f} GB are taken")


def shown_url(url: str) -> str:
    """A database URL fit for a screen or a log: passwords are replaced by `***`."""
    hidden = re.sub(r"(://[^:/@]*:).*(@)", r"\1***\2", url)
    return re.sub(r"(?i)([?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=)[^&]*", r"\1***", hidden)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise SourceError(f"{path} is a folder; name one file in it") from error
    except PermissionError as error:
        raise SourceError(f"{path}: no right to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise SourceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _download(url: str, settings: Settings) -> bytes:
    bucket, key = s3.split(url)
    if not bucket or not key or key.endswith("/"):
        raise SourceError(f"{url}: name one object, as s3://bucket/path/table.csv")
    client = s3.client(settings)
    with s3.calling(url):
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def _from_bytes(data: bytes, place: str, query: str | None) -> pl.DataFrame:
    if not data.strip(b"\x00\t\n\r \xef\xbb\xbf"):
        raise SourceError(f"{place} is empty")
    for magic, problem in _NOT_A_TABLE:
        if data.startswith(magic):
            raise SourceError(f"{place} cannot be read: {problem}")
    if data.startswith(_EXCEL):
        return _from_workbook(data, place, query)
    if data.startswith(b"PAR1") or place.lower().endswith((".parquet", ".pq")):
        return _from_parquet(data, place)
    if place.lower().endswith((".xlsx", ".xlsm", ".xls")):
        raise SourceError(f"{place} is no workbook, or a damaged one")
    return delimited.parse(data, place)


def _from_parquet(data: bytes, place: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{place} is no Parquet file, or a damaged one: {_first_line(error)}") from error


def _from_workbook(data: bytes, place: str, sheet: str | None) -> pl.DataFrame:
    import fastexcel

    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it warns of every empty column
    try:
        workbook = fastexcel.read_excel(data)
        names = list(workbook.sheet_names)
        if sheet is not None and sheet not in names:
            raise SourceError(f"{place} has no sheet {sheet!r}; its sheets are: {', '.join(names)}")
        loaded = {name: workbook.load_sheet(name, schema_sample_rows=None) for name in ([sheet] if sheet else names)}
        filled = [name for name, found in loaded.items() if found.width and found.total_height]
        if len(filled) > 1:
            raise SourceError(f"{place} has {len(filled)} sheets with data ({', '.join(filled)}); choose one with --query SHEET")
        if not filled:
            raise SourceError(f"{place} has no rows")
        header = workbook.load_sheet(filled[0], header_row=None, n_rows=1).to_polars()
        table = loaded[filled[0]].to_polars()
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{place} is no workbook, or a damaged one: {_first_line(error)}") from error
    titles = ["" if cell is None else values.as_text(pl.Series([cell]))[0].strip() for cell in header.row(0)]
    titles += [""] * (table.width - len(titles))
    return delimited.name_columns(table, titles[: table.width], place)


def _from_database(url: str, query: str | None) -> pl.DataFrame:
    import sqlalchemy as sql

    place = shown_url(url)
    if not query or not query.strip():
        raise SourceError(f"{place}: a database needs a query, such as --query 'select * from customers'")
    _refuse_writing(query, place)
    try:
        engine = sql.create_engine(url)
    except (sql.exc.ArgumentError, sql.exc.NoSuchModuleError, ImportError, ValueError) as error:
        raise SourceError(f"{place} is no database address that can be used: {_masked(error, url)}") from error
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not Path(file).exists():  # SQLite would make it
        raise SourceError(f"{place}: no such file")
    try:
        with engine.connect() as connection:  # never committed: what a select calls may write, and is to leave no trace
            result = connection.execute(sql.text(query))
            names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no dictionary
            rows = [tuple(row) for row in result.fetchall()]
    except sql.exc.ResourceClosedError as error:
        raise SourceError(f"{place}: the query gives no rows; it must be a select") from error
    except sql.exc.SQLAlchemyError as error:
        raise SourceError(f"{place}: {_masked(getattr(error, 'orig', None) or error, url)}") from error
    finally:
        engine.dispose()
    columns = [_column([row[position] for row in rows]) for position in range(len(names))]
    for position, column in enumerate(columns):
        columns[position] = column.alias(str(position))
    return delimited.name_columns(pl.DataFrame(columns), names, place)


def _refuse_writing(query: str, place: str) -> None:
    """A source is read: whatever is no select is refused before a database sees it, as some run it at once.

    Without comments and quoted text it is one statement, begins with `select`, `with` or `values`, and has no word that writes.
    """
    bare = _COMMENT_OR_TEXT.sub(lambda found: " " if found[1] else "''", query).strip().rstrip("; \t\r\n")
    told = re.findall(r"\w+", bare.lower())
    if not told or told[0] not in _READING or ";" in bare or not _WRITING.isdisjoint(told):
        raise SourceError(f"{place}: the query must be a select that changes nothing; it was not run")


def _column(cells: list[Any]) -> pl.Series:
    """One column of a database's answer; cells of several types become text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int, float, Decimal} and kinds - {int}:
        return pl.Series([None if cell is None else float(cell) for cell in cells], dtype=pl.Float64)
    if len(kinds) == 1 and kinds <= {int, str, bool, datetime.date, datetime.datetime}:
        try:
            return pl.Series(cells)
        except (pl.exceptions.PolarsError, OverflowError, TypeError):  # an integer beyond 64 bits
            pass
    return pl.Series([None if cell is None else str(cell) for cell in cells], dtype=pl.String)


def _finished(table: pl.DataFrame, place: str) -> pl.DataFrame:
    """Simplify exotic types; refuse a table without rows or columns."""
    if table.width == 0:
        raise SourceError(f"{place} has no columns")
    if table.height == 0:
        raise SourceError(f"{place} has a header but no rows")
    delimited.check_names(table.columns, place)
    plain = [
        column.cast(pl.Float64)
        if column.dtype.is_decimal()
        else column.cast(pl.String)
        if isinstance(column.dtype, (pl.Categorical, pl.Enum))
        else values.as_text(column)
        if column.dtype == pl.Object
        else column
        for column in table.get_columns()
    ]
    return pl.DataFrame(plain)


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _masked(error: BaseException, url: str) -> str:
    """A driver's message without the password, wherever the driver repeats it."""
    message = _first_line(error)
    found = re.search(r"://[^:/@]*:(.*)@", url)
    secrets = [found.group(1)] if found else []
    secrets += re.findall(r"(?i)[?&][^=&]*(?:pass|pwd|secret|token)[^=&]*=([^&]+)", url)
    for secret in secrets:
        for spelling in (secret, unquote(secret)):
            if spelling:
                message = message.replace(spelling, "***")
    return message
