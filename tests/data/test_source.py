"""Tables from files of every kind, a database and S3; and what is said when they cannot be read."""

from __future__ import annotations

import io
import os
import sqlite3
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data import delimited, s3
from churn.data.source import parse_table, read_table, shown_url
from churn.errors import NotInStore, SourceError, StoreUnavailable, WorkspaceMixed
from churn.settings import Settings

ROWS = "id,name,amount\n1,Jörg,12.5\n2,Zoë, \n3,,7\n"
EXPECTED = {"id": ["1", "2", "3"], "name": ["Jörg", "Zoë", ""], "amount": ["12.5", " ", "7"]}


def _file(folder: Path, content: str | bytes, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_is_found(tmp_path: Path, separator: str, ends: str) -> None:
    table = read_table(_file(tmp_path, ROWS.replace(",", separator).replace("\n", ends)))
    assert table.to_dict(as_series=False) == EXPECTED
    assert set(table.dtypes) == {pl.String}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"])
def test_every_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    assert read_table(_file(tmp_path, ROWS, encoding=encoding)).to_dict(as_series=False) == EXPECTED


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", ["Müller", "Strauß", "Übergröße", "naïve", "Crème brûlée", "10 €", "Ångström"]),
        ("cp1251", ["Иванов", "Петрова", "Москва", "Санкт-Петербург", "клиент", "договор"]),
        ("cp1250", ["Łódź", "Kraków", "Przemyśl", "Dvořák", "Černý", "Žižkov"]),
    ],
)
def test_the_likeliest_legacy_encoding_is_taken(tmp_path: Path, encoding: str, words: list[str]) -> None:
    rows = "id;city\n" + "".join(f"{i};{words[i % len(words)]}\n" for i in range(200))
    assert read_table(_file(tmp_path, rows, encoding=encoding))["city"].to_list()[: len(words)] == words


def test_a_single_accent_after_much_ascii_is_read(tmp_path: Path) -> None:
    rows = "id,name\n" + "".join(f"{i},Smith\n" for i in range(20_000)) + "20000,Renée\n"
    assert read_table(_file(tmp_path, rows, encoding="cp1252"))["name"][-1] == "Renée"


def test_quoted_cells_keep_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, 'id,note\n1,"a, ""b""\nc"\n2,plain\n'))
    assert table["note"].to_list() == ['a, "b"\nc', "plain"]


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["12,5", "7", "1.234,50", ""], ["12.5", "7", "1234.50", ""]),
        (["1,5", "n/a", "-2,25", "3,0"], ["1.5", "n/a", "-2.25", "3.0"]),
        (["1,234", "5,678", "9", "1"], ["1.234", "5.678", "9", "1"]),  # the other column shows the decimal sign
        (["1889,5", "29,85", "108,15", ""], ["1889.5", "29.85", "108.15", ""]),  # thousands without their sign
        (["12345,678", "999", "1", "1"], ["12345.678", "999", "1", "1"]),
        (["1.234", "999", "12", "1"], ["1234", "999", "12", "1"]),  # likewise: these are thousands
        (["1.2345", "999", "12", "1"], ["1.2345", "999", "12", "1"]),  # no thousands: left alone
        (["red, blue", "1,5", "x", "y"], ["red, blue", "1,5", "x", "y"]),  # a text
    ],
)
def test_a_decimal_comma_becomes_a_point(tmp_path: Path, cells: list[str], read: list[str]) -> None:
    rows = "id;sure;cell\n" + "".join(f"{i};{i},5;{cell}\n" for i, cell in enumerate(cells))
    table = read_table(_file(tmp_path, rows))
    assert table["sure"].to_list() == ["0.5", "1.5", "2.5", "3.5"]
    assert table["cell"].to_list() == read


def test_thousands_signs_are_no_decimal_commas(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, 'id,cell\n1,"1,234"\n2,"5,678"\n3,"1,234.50"\n'))
    assert table["cell"].to_list() == ["1,234", "5,678", "1,234.50"]


@pytest.mark.parametrize(
    "cells",
    [
        ["1,3", "1.541", "2.594", "0.73"],  # a slip among decimal points
        ["1,3", "1.541", "2.594", "1.334"],  # as much so where each of them could be thousands
        ["99,50", "1,234", "29.85", "56.95"],
        ["1.234,50", "29.85", "56.95", "42.3"],
        ["99,50", "1,234", "2,345", "3,456"],  # which of them is the slip, nobody can say
        ["12,5", "0.541", "7", "1.234"],  # what begins with 0 is no thousand
        ["12,5", "1,234,567", "7", "1.234"],
    ],
)
def test_an_odd_comma_changes_no_other_value(tmp_path: Path, cells: list[str]) -> None:
    rows = "id,cell,ratio\n" + "".join(f'{i},"{cell}",{i + 1}.541\n' for i, cell in enumerate(cells))
    table = read_table(_file(tmp_path, rows))
    assert table["cell"].to_list() == cells
    assert table["ratio"].to_list() == ["1.541", "2.541", "3.541", "4.541"]


def test_one_decimal_comma_says_nothing_about_other_columns(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, 'id,visits,ratio\n1,"1,3",1.541\n2,4,2.594\n3,5,1.334\n'))
    assert table["ratio"].to_list() == ["1.541", "2.594", "1.334"]
    assert table["visits"].to_list() == ["1.3", "4", "5"]  # its own column has no other decimal sign


def test_a_decimal_point_anywhere_keeps_thousands_of_other_columns_in_doubt(tmp_path: Path) -> None:
    rows = "id;comma;point;either\n" + "".join(f"{i};{i},5;{i}.25;{i + 1}.541\n" for i in range(4))
    table = read_table(_file(tmp_path, rows))
    assert table["comma"].to_list() == ["0.5", "1.5", "2.5", "3.5"]
    assert table["either"].to_list() == ["1.541", "2.541", "3.541", "4.541"]


@given(
    plain=st.lists(st.decimals(0, 9999, places=3).map(str), min_size=1, max_size=12),
    odd=st.from_regex(r"\A(\d{1,4},\d{1,4}|[1-9]\.\d{3},\d{2})\Z"),
    place=st.integers(0, 12),
)
def test_numbers_with_a_point_stay_whatever_one_other_cell_holds(plain: list[str], odd: str, place: int) -> None:
    cells = [*plain[:place], odd, *plain[place:], "0.5"]
    content = "id,cell\n" + "".join(f'{i},"{cell}"\n' for i, cell in enumerate(cells))
    assert parse_table(content.encode(), "file.csv")["cell"].to_list() == cells


def test_rows_without_any_value_and_nameless_empty_columns_are_left_out(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, "id,a,\n1,x,\n\n,,\n2,y,\n\n\n"))
    assert table.to_dict(as_series=False) == {"id": ["1", "2"], "a": ["x", "y"]}


def test_a_nameless_column_with_values_gets_a_name(tmp_path: Path) -> None:
    assert read_table(_file(tmp_path, ",a\n0,x\n1,y\n")).columns == ["column_1", "a"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("id,name\n", "has a header but no rows"),
        ("id,name", "has a header but no rows"),
        ("id,name\n1,a\n2,b,c\n3,d\n", "line 3 has 3 fields where the header has 2"),
        ("id,name\n1,a\n2\n3,d\n", "line 3 has 1 field where the header has 2"),
        ("id,id\n1,a\n", "column name 'id' comes twice, as columns 1 and 2"),
        ("id,name, id\n1,a,b\n", "'id' comes twice"),
        ("id:name:x\n1:a:2\n2:b:3\n", "one column only; its lines look separated by ':'"),
        ("id@name@x\n1@a@2\n2@b@3\n", "one column only; its lines look separated by '@'"),
        ("id  name  x\n1  a b  2\n2  b  3\n", "one column only; its lines look separated by 2 spaces"),
        ("id name x\n1 a 2\n2 b 3\n", "one column only; its lines look separated by spaces"),
        ('id,name\n1,"a\n2,b\n3,c\n', "a quotation mark opened on line 2"),
        ('{"id": 1}\n', "JSON or HTML"),
        ("<!DOCTYPE html><html></html>", "JSON or HTML"),
        (b"\x89\x00\x01\x02\x00id,name", "is no text table"),
        (b"\x1f\x8b\x08\x00abc", "compressed (gzip)"),
        (b"PAR1junk", "no Parquet file, or a damaged one"),
        (b"PK\x03\x04junk", "no workbook, or a damaged one"),
        (b"\xd0\xcf\x11\xe0junk", "no workbook, or a damaged one"),
        (b"id,name\n1,a\n2,\xff\xfe\x81\x8d\x02\n", "no UTF-8"),
    ],
)
def test_bad_files_are_named_and_explained(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(SourceError) as caught:
        read_table(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_list_of_addresses_is_no_table_with_another_delimiter(tmp_path: Path) -> None:
    assert read_table(_file(tmp_path, "email\na@example.org\nb@example.org\n")).columns == ["email"]


def test_simulated_data_enters_no_workspace_of_real_data(tmp_path: Path) -> None:
    table = pl.DataFrame({"id": ["1", "2"], "amount": [1.5, 2.5]})
    table.write_parquet(tmp_path / "demo.parquet", metadata={"simulated": "true"})
    exported = table.with_columns(note=pl.lit("Simulated data"))
    exported.write_csv(tmp_path / "export.csv")
    exported.write_parquet(tmp_path / "export.parquet")
    exported.write_database("t", f"sqlite:///{tmp_path}/t.db", engine="sqlalchemy")
    for place in ("demo.parquet", "export.csv", "export.parquet", "t.db"):
        address, query = (f"sqlite:///{tmp_path}/t.db", "select * from t") if place == "t.db" else (str(tmp_path / place), None)
        assert read_table(address, query=query).height == 2
        with pytest.raises(WorkspaceMixed) as caught:
            read_table(address, query=query, settings=Settings(workspace="shop"), real=True)
        assert str(caught.value).startswith(f"{address} is marked as simulated data, and the workspace 'shop' holds real data")


def test_real_data_is_not_taken_for_simulated(tmp_path: Path) -> None:
    table = pl.DataFrame({"id": ["1", "2", "3"], "note": ["Simulated data", "Simulated data", "checked"], "none": ["", "", ""]})
    table.write_parquet(tmp_path / "a.parquet", metadata={"simulated": "false"})
    table.with_columns(note=pl.Series(["Simulated data", None, None])).write_parquet(tmp_path / "b.parquet")
    table.write_csv(tmp_path / "c.csv")
    for name in ("a.parquet", "b.parquet", "c.csv"):
        assert read_table(tmp_path / name, real=True).height == 3


def test_missing_files_folders_and_locked_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(SourceError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        read_table("null\0byte.csv")
    with pytest.raises(SourceError, match="not fetched from the web"):
        read_table("https://example.org/table.csv")
    if os.geteuid() != 0:
        locked = _file(tmp_path, ROWS)
        locked.chmod(0)
        with pytest.raises(SourceError, match="no right to read"):
            read_table(locked)


def test_parquet_keeps_types_and_simplifies_exotic_ones(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "id": [1, 2],
            "kind": pl.Series(["a", "b"], dtype=pl.Categorical),
            "price": pl.Series([1, 2], dtype=pl.Decimal(10, 2)),
            "day": [date(2026, 1, 2), None],
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert read.schema == {"id": pl.Int64, "kind": pl.String, "price": pl.Float64, "day": pl.Date}
    table.clear().write_parquet(tmp_path / "e.parquet")
    with pytest.raises(SourceError, match="no rows"):
        read_table(tmp_path / "e.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises(SourceError, match="damaged"):
        read_table(_file(tmp_path, whole[: len(whole) // 2], "half.parquet"))


def _workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_a_workbook_is_read_with_its_types(tmp_path: Path) -> None:
    rows: list[list[object]] = [["id", "n", "flag", None], [1, 1.5, True, None], [2, None, False, None], ["x", 3, True, None]]
    table = read_table(_file(tmp_path, _workbook({"one": rows, "empty": []}), "t.xlsx"))
    assert table.columns == ["id", "n", "flag"]
    assert table["id"].to_list() == ["1", "2", "x"]
    assert table["n"].to_list() == [1.5, None, 3.0]
    assert table["flag"].to_list() == [True, False, True]


def test_a_workbook_of_several_sheets_needs_a_choice(tmp_path: Path) -> None:
    rows: list[list[object]] = [["id"], [1]]
    path = _file(tmp_path, _workbook({"one": rows, "two": [["key"], [5]]}), "t.xlsx")
    with pytest.raises(SourceError, match=r"2 sheets with data \(one, two\)"):
        read_table(path)
    assert read_table(path, query="two")["key"].to_list() == [5]
    with pytest.raises(SourceError, match="has no sheet 'three'; its sheets are: one, two"):
        read_table(path, query="three")
    with pytest.raises(SourceError, match="column name 'id' comes twice"):
        read_table(_file(tmp_path, _workbook({"one": [["id", "id"], [1, 2]]}), "twice.xlsx"))
    with pytest.raises(SourceError, match="no rows"):
        read_table(_file(tmp_path, _workbook({"one": [["id", "x"]]}), "header.xlsx"))
    with pytest.raises(SourceError, match="no workbook"):
        read_table(_file(tmp_path, b"id,name\n1,2\n", "text.xlsx"))


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "base.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table customers (id integer, name text, amount real, mixed)")
        connection.executemany(
            "insert into customers values (?, ?, ?, ?)", [(1, "a", 1.5, 1), (2, None, 2, "x"), (3, "c", None, None)]
        )
    return f"sqlite:///{path}"


def test_a_database_is_asked_and_never_changed(database: str) -> None:
    table = read_table(database, query="select * from customers order by id")
    assert table.to_dict(as_series=False) == {
        "id": [1, 2, 3],
        "name": ["a", None, "c"],
        "amount": [1.5, 2.0, None],
        "mixed": ["1", "x", None],
    }
    for query in (
        "delete from customers",
        "drop table customers",
        "/* select */ drop table customers",
        "select 1 as a; drop table customers",
        "with a as (select 1) delete from customers",
        "select * into copy from customers",
        "pragma writable_schema = 1",
    ):
        with pytest.raises(SourceError, match="must be a select that changes nothing; it was not run"):
            read_table(database, query=query)
    kept = """-- delete; drop
        select count(*) as n, 'drop; delete' as "update" from customers; -- into"""
    assert read_table(database, query=kept).rows() == [(3, "drop; delete")]


@pytest.mark.parametrize(
    ("url", "query", "says"),
    [
        ("sqlite:///{path}", None, "needs a query"),
        ("sqlite:///{path}", "select * from nowhere", "no such table"),
        ("sqlite:///{path}", "select from where", "syntax error"),
        ("sqlite:///{path}", "select 1 as a, 2 as a", "'a' comes twice"),
        ("sqlite:///{path}", "select * from customers where id < 0", "has a header but no rows"),
        ("nosuchdialect://host/base", "select 1", "no database address"),
        ("postgresql://user:s3cret@host:notaport/base", "select 1", "no database address"),
        ("postgresql+psycopg://user:s3cret@127.0.0.1:1/base?connect_timeout=2", "select 1", "127.0.0.1"),
        ("mysql+pymysql://user:s3cret@127.0.0.1/base", "select 1", "no database address"),
    ],
)
def test_database_errors_are_clear_and_never_show_a_password(database: str, url: str, query: str | None, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_table(url.replace("sqlite:///{path}", database), query=query)
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_passwords_are_hidden_wherever_they_stand() -> None:
    assert shown_url("postgresql://ann:s3:c@ret@host/base") == "postgresql://ann:***@host/base"
    assert shown_url("mssql://host/base?User=a&Password=s3cret&x=1") == "mssql://host/base?User=a&Password=***&x=1"
    assert shown_url("sqlite:///base.db") == "sqlite:///base.db"


def test_a_table_on_s3_is_read(s3_settings: Settings) -> None:
    client = s3.client(s3_settings)
    client.create_bucket(Bucket="desk")
    client.put_object(Bucket="desk", Key="in/table.csv", Body=ROWS.encode())
    assert read_table("s3://desk/in/table.csv", settings=s3_settings).to_dict(as_series=False) == EXPECTED
    with pytest.raises(NotInStore, match=r"s3://desk/in/none\.csv: there is no such object"):
        read_table("s3://desk/in/none.csv", settings=s3_settings)
    with pytest.raises(StoreUnavailable, match="the bucket does not exist"):
        read_table("s3://nowhere/table.csv", settings=s3_settings)
    for address in ("s3://desk", "s3://desk/", "s3://desk/folder/", "s3:///key"):
        with pytest.raises(SourceError, match="name one object"):
            read_table(address, settings=s3_settings)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_what_the_csv_module_writes_is_read_back(rows: list[list[str]], separator: str) -> None:
    """Any cells, quoted as the standard library quotes them, come back as they were, but for rows without a value."""
    import csv

    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["first", "second", "third"], *rows])
    expected = [tuple(row) for row in rows if any(row)]
    table = delimited.parse(buffer.getvalue().encode(), "t.csv")
    if not any("," in cell for row in rows for cell in row):
        assert table.rows() == expected
    assert table.columns == ["first", "second", "third"]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        assert read_table(path).height > 0
    except SourceError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


@given(st.text('ab1,;"\n\r\t .', max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(content, newline="")
    try:
        assert read_table(path).height > 0
    except SourceError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
