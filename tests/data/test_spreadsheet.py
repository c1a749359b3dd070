"""Files for people: nothing a spreadsheet would run, and nothing that it would lose."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from churn.data.spreadsheet import DELIMITERS, Sheet, csv_bytes, harmless, sheet_names, workbook, write
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


# -- two hundred cells that somebody might send ------------------------------------

_STARTS = ("=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＋", "－", "＠", " =", "\u00a0=", "\ufeff=", "\u200b@", "\u202e+")
_BODIES = (
    "1+1",
    "SUM(1+1)*cmd|' /C calc'!A0",
    "cmd|'/C notepad'!'A1'",
    'HYPERLINK("http://127.0.0.1/?leak="&A1,"Click")',
    'IMPORTXML(CONCAT("http://127.0.0.1/?v=",A1),"//a")',
    'WEBSERVICE("http://127.0.0.1/")',
    "MSEXCEL|'\\..\\..\\..\\Windows\\System32\\cmd.exe'!''",
    "DDE(\"cmd\";\"/C calc\";\"!A0\")",
    "2+5+cmd|' /C calc'!A0",
    "10+20+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "A1",
)  # fmt: skip
HOSTILE = [f"{start}{body}" for start in _STARTS for body in _BODIES] + [
    'a";=1+1;"',
    "a,=1+1",
    "a\n=1+1",
    "a\t=1+1",
    "'=1+1",
    '"=1+1"',
    "<script>alert(1)</script>",
    "{=1+1}",
    "%0A=1+1",
    "Ａ＝1",
]
KEPT = {"zeros": "00420", "long": "1234567890123456789012", "phone": "+493023125001", "exponent": "4E12", "date": "2026-11-01"}


def _hostile_table() -> pl.DataFrame:
    columns = {"key": HOSTILE, "=1+1": HOSTILE[::-1], "@SUM(A1)": HOSTILE, "risk": [0.25] * len(HOSTILE)}
    return pl.DataFrame(columns).with_columns(
        **{name: pl.lit(text) for name, text in KEPT.items()}, day=pl.lit(date(2026, 11, 1))
    )


def test_there_are_two_hundred_of_them() -> None:
    assert len(set(HOSTILE)) >= 200


def test_hostile_cells_and_headers_are_inert_in_csv() -> None:
    for delimiter in DELIMITERS.values():
        content = csv_bytes(_hostile_table(), delimiter=delimiter).decode("utf-8-sig")
        header, *lines = list(csv.reader(content.splitlines(keepends=True), delimiter=delimiter))
        assert len(lines) == len(HOSTILE)
        assert {len(line) for line in lines} == {len(header)}  # none starts a cell or a line of its own
        for cell in [*header, *(cell for line in lines for cell in line)]:
            plain = cell.lstrip(" \u00a0\ufeff\u200b\u202e")
            assert plain[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠") or _is_number(plain), cell
        assert [line[0].removeprefix("'") for line in lines] == [text.removeprefix("'") for text in HOSTILE]  # nothing is lost


def _is_number(text: str) -> bool:
    return text.removeprefix("+").removeprefix("-").replace(".", "", 1).isdigit()


def test_hostile_cells_headers_and_names_are_text_in_excels_format() -> None:
    content = workbook([Sheet("=cmd|' /C calc'!A0", _hostile_table()), Sheet("=cmd|' /C calc'!A0", _hostile_table())])
    book = openpyxl.load_workbook(io.BytesIO(content))
    for sheet in book.worksheets:
        assert [str(cell.value).replace("_x000D_", "\r") for cell in sheet["A"]][1:] == HOSTILE  # how the format spells CR
        assert [sheet.cell(1, column).value for column in (1, 2, 3)] == ["key", "=1+1", "@SUM(A1)"]
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s", "n", "d"}
        assert not any(cell.hyperlink for row in sheet.iter_rows() for cell in row)
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == f"A1:J{len(HOSTILE) + 1}"
    assert len(set(book.sheetnames)) == 2
    assert not any(re.match(r"[=+\-@']", name) for name in book.sheetnames)
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert not [name for name in parts.namelist() if "external" in name.lower() or "connections" in name.lower()]
        assert b"<f>" not in b"".join(parts.read(name) for name in parts.namelist())


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["List", "list"], ("List", "list (2)")),
        (["a/b:c?[x]*\\"], ("a b c x",)),
        (["", "''", "History"], ("Sheet", "Sheet (2)", "Sheet History")),
        (["=1+1", "x" * 40], ("Sheet =1+1", "x" * 31)),
        (["y" * 40, "y" * 41], ("y" * 31, "y" * 27 + " (2)")),
    ],
)
def test_names_of_sheets(wanted: list[str], found: tuple[str, ...]) -> None:
    assert sheet_names(wanted) == found


def test_another_delimiter_is_refused_and_the_mark_is_optional() -> None:
    frame = pl.DataFrame({"a": ["ü"]})
    assert csv_bytes(frame, marked=False) == '"a"\n"ü"\n'.encode()
    assert csv_bytes(frame).startswith(b"\xef\xbb\xbf")
    with pytest.raises(DataError, match=r"not by '\|'"):
        csv_bytes(frame, delimiter="|")


# -- through LibreOffice -------------------------------------------------------------


def _through_libreoffice(source: Path, kind: str, *options: str) -> Path:
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed (package libreoffice-calc-nogui)")
    out = source.parent / "out"
    profile = f"-env:UserInstallation=file://{source.parent / 'profile'}"
    command = [office, profile, "--headless", "--norestore", *options, "--convert-to", kind, "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (found,) = out.glob(f"{source.stem}.*")
    return found


@pytest.mark.system
def test_a_workbook_through_libreoffice_and_back(tmp_path: Path) -> None:
    """Opened, calculated and saved: every cell is what it was, and none was run."""
    source = tmp_path / "list.xlsx"
    source.write_bytes(workbook([Sheet("=1+1", _hostile_table())]))
    sheet = openpyxl.load_workbook(_through_libreoffice(source, "xlsx")).worksheets[0]
    # what an XML file cannot tell apart are ends of lines, and blanks that nobody sees at an end
    assert [_flat(cell.value) for cell in sheet["A"]][1:] == [_flat(text) for text in HOSTILE]
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s", "n", "d"}
    header = [cell.value for cell in sheet[1]]
    last = dict(zip(header, (cell.value for cell in sheet[len(HOSTILE) + 1]), strict=True))
    assert {name: last[name] for name in KEPT} == KEPT
    assert (last["risk"], last["day"].date()) == (0.25, date(2026, 11, 1))


@pytest.mark.system
def test_a_csv_through_libreoffice(tmp_path: Path) -> None:
    """Opened as it comes, with quoted cells as text: nothing is run, and zeros, long numbers and phones keep every sign."""
    source = tmp_path / "list.csv"
    source.write_bytes(csv_bytes(_hostile_table()))
    read = "--infilter=CSV:44,34,UTF8,1,,0,true,true,false,true"  # comma, quotation mark, quoted cells are text, formulas run
    sheet = openpyxl.load_workbook(_through_libreoffice(source, "xlsx", read)).worksheets[0]
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}
    header = [cell.value for cell in sheet[1]]
    last = dict(zip(header, (cell.value for cell in sheet[sheet.max_row]), strict=True))
    assert {name: str(last[name]) for name in KEPT} == KEPT


def _flat(text: object) -> str:
    return re.sub(r"[\r\n\t]+", " ", str(text)).replace("_x000D_", " ").strip()
