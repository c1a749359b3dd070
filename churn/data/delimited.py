"""Text tables: which encoding, which delimiter, which decimal sign; and which line is wrong.

The delimiter is the one of `, ; tab |` that gives the most lines as many fields as the header has. Polars reads the rows;
the slower `csv` module is asked only to name the line when Polars refuses, or when a row may be short.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from churn.data.schema import is_pattern
from churn.errors import SourceError

_DELIMITERS = (",", ";", "\t", "|")
_UNKNOWN_DELIMITER = re.compile(r" {2,}|[^\w\s.\"'+-]|\s")  # one sign that no number and no name is made of, or spaces
_BOMS = (  # utf-32 before utf-16: its mark begins with the other's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 16  # characters looked at to find the delimiter, bytes to find the encoding
_CODE_PAGES = (
    *("cp1252", "latin_1", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859_2", "iso8859_15", "mac_roman"),
    *("cp932", "gb18030", "big5", "cp949", "koi8_r"),
)
_NEIGHBOURS = {"cp1252", "latin_1", "cp1250", "cp1257", "iso8859_2", "iso8859_15", "mac_roman"}
_COMMA_NUMBER = r"^\s*[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+\s*$"
_GROUPED_POINT = r"^\s*[+-]?\d{1,3}(\.\d{3})*\s*$"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|(\d+|\d{1,3}(\.\d{3})+)(,\d+)?)\s*$"
_EITHER_COMMA = r"^\s*[+-]?[1-9]\d{0,2},\d{3}\s*$"  # 1,234: a thousand and more, or one and a bit; 0,234 can be one thing only
_EITHER_POINT = r"^\s*[+-]?[1-9]\d{0,2}\.\d{3}\s*$"
_POINT_NUMBER = r"^\s*[+-]?(\d+\.\d+|\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,})\s*$"
_SEVERAL = 3  # cells with a decimal comma that are no slip of a finger


def parse(data: bytes, place: str) -> pl.DataFrame:
    """Read the bytes of a delimited text file; every column is String and blanks are kept.

    place: the file's name for messages.

    Raises
    ------
    SourceError: no text, one column only although the lines look separated, a line with too many or too few fields (named),
    a column named twice or not at all though it holds values, an open quotation mark.
    """
    content = decode(data, place)
    if "\n" not in content[:_SAMPLE] and "\r" in content:  # line ends of old Macs
        content = content.replace("\r", "\n")
    content = content.lstrip("\ufeff")
    if content[:_SAMPLE].lstrip()[:1] in ("{", "[", "<"):
        raise SourceError(f"{place} is no table: it starts like JSON or HTML; save it as CSV, Parquet or XLSX")
    separator = _separator(content, place)
    records = csv.reader(io.StringIO(content[:_SAMPLE], newline=""), delimiter=separator)
    header = next((row for row in records if any(cell.strip() for cell in row)), [])
    names = [name.strip() for name in header]
    try:
        table = pl.read_csv(
            content.encode(), separator=separator, infer_schema=False, empty_string_is_null=False, missing_columns="raise"
        )
    except pl.exceptions.PolarsError as error:
        reason = _wrong_line(content, separator) or " ".join(str(error).split())[:160]
        raise SourceError(f"{place}: {reason}") from error
    if table.width != len(names):
        raise SourceError(f"{place}: {_wrong_line(content, separator) or 'the header cannot be read'}")
    if table.height and bool((table.to_series(-1) == "").any()) and (problem := _wrong_line(content, separator)):
        raise SourceError(f"{place}: {problem}")
    table.columns = [str(position) for position in range(table.width)]
    table = table.filter(pl.any_horizontal(pl.all() != ""))
    return _decimal_points(name_columns(table, names, place), separator)


def one_column(name: str) -> str:
    """What to say of a table that lacks a column and has a single one: most likely it was not taken apart as it should be."""
    read = f"which was read as the one column {name[:60]!r}"
    if mark := next((mark for mark in _DELIMITERS if mark in name), None):
        return f"{read}: it seems to be separated by {mark!r}"
    return f"{read}: in text, commas, semicolons, tabs or bars must separate columns, the same in every line"


def name_columns(table: pl.DataFrame, names: list[str], place: str) -> pl.DataFrame:
    """Give a table its column names; nameless columns without any value are dropped.

    Raises SourceError for a name that comes twice and for a nameless column that holds values.
    """
    check_names(names, place)
    kept: list[pl.Series] = []
    seen: dict[str, int] = {}
    for position, (name, column) in enumerate(zip(names, table.get_columns(), strict=True), start=1):
        if not name:
            empty = column.drop_nulls()
            if empty.dtype == pl.String:
                empty = empty.filter(empty.str.strip_chars() != "")
            if empty.is_empty():
                continue
            name = f"column_{position}"
        if name in seen:
            raise SourceError(f"{place}: column name {name!r} comes twice, as columns {seen[name]} and {position}; rename one")
        seen[name] = position
        kept.append(column.alias(name))
    return pl.DataFrame(kept)


def check_names(names: Iterable[str], place: str) -> None:
    """Raise SourceError for a column name that polars would take for a pattern of names."""
    for name in names:
        if is_pattern(name):
            raise SourceError(
                f"{place}: column name {name!r} cannot be used, as it must not be '*', nor begin with ^ and end with $; rename it"
            )


def decode(data: bytes, place: str) -> str:
    """Bytes as text: by byte order mark, as UTF-8, or in the legacy encoding that charset-normalizer finds most likely.

    Raises SourceError for what is no text in any of them.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _utf_16(data[:_SAMPLE])
    if encoding is None and b"\x00" in data[:_SAMPLE]:
        raise SourceError(f"{place} is no text table: it holds null bytes; CSV, Parquet and XLSX can be read")
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise SourceError(f"{place} is not {encoding} throughout, though it begins so: byte {error.start + 1}") from error
        return _legacy(data, error.start, place)


def _utf_16(sample: bytes) -> str | None:
    """UTF-16 without a mark: in western text, every second byte is null."""
    if len(sample) < 4 or (len(sample) % 2 and len(sample) < _SAMPLE):
        return None
    even, odd = sample[::2].count(0) * 2 / len(sample), sample[1::2].count(0) * 2 / len(sample)
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else None


def _legacy(data: bytes, start: int, place: str) -> str:
    from charset_normalizer import from_bytes

    # what tells is in the lines that are not plain ASCII; the first of them holds byte `start`
    lines = [line for line in data[start - min(start, 200) :].splitlines() if not line.isascii()]
    sample = b"\n".join(lines[:400])[:_SAMPLE]
    likely = [match.encoding for match in from_bytes(sample, cp_isolation=list(_CODE_PAGES))]
    # between neighbours of cp1252 the ranking is a matter of chance on short cells: take cp1252 unless it puts signs into words
    if set(likely[:1]) <= _NEIGHBOURS:
        likely = ["cp1252", *likely]
    likely.sort(key=lambda encoding: encoding in _NEIGHBOURS and _signs_in_words(sample, encoding))
    for encoding in (*likely, "cp1252", "latin_1"):
        try:
            content = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x80-\x9f]", content):
            return content
    line = data.count(b"\n", 0, start) + 1
    raise SourceError(
        f"{place} is no UTF-8, nor another encoding that can be recognised; line {line} holds byte 0x{data[start]:02x}"
    )


def _signs_in_words(sample: bytes, encoding: str) -> bool:
    """Whether an encoding puts signs where letters should be: `Łódź` (cp1250) reads `£ódŸ` in cp1252."""
    text = sample.decode(encoding, errors="replace")
    foreign = re.findall(r"[^\x00-\x7f](?=\w)|(?<=\w)[^\x00-\x7f]", text)
    signs = sum(not character.isalpha() or character == "\u0178" for character in foreign)
    return bool(signs > 0.05 * len(foreign))


def _separator(content: str, place: str) -> str:
    sample = content[:_SAMPLE]
    whole = len(content) <= _SAMPLE
    fits: dict[str, tuple[float, int]] = {candidate: _fit(sample, candidate, whole) for candidate in _DELIMITERS}
    best = max(fits, key=lambda candidate: fits[candidate])
    if fits[best][1] >= 2:
        return best
    if spoken := _other_separator(sample, whole):
        raise SourceError(
            f"{place} has one column only; its lines look separated by {spoken}, "
            "but commas, semicolons, tabs or bars are expected"
        )
    return best


def _other_separator(sample: str, whole: bool) -> str | None:
    """What separates the lines where none of the usual delimiters does, in words: a sign that comes as often in each of them.

    One that comes once could be part of a text, such as the @ of an address.
    """
    lines = [line for line in sample.splitlines() if line.strip()]
    lines = lines[:-1] if not whole and len(lines) > 2 else lines
    counts = [Counter(_UNKNOWN_DELIMITER.findall(line.strip())) for line in lines[:100]]
    for sign, times in counts[0].most_common() if counts else ():
        if times >= 2 and all(count[sign] == times for count in counts):
            return "spaces" if sign == " " else f"{len(sign)} spaces" if not sign.strip() else repr(sign)
    return None


def _fit(sample: str, separator: str, whole: bool) -> tuple[float, int]:
    """How well a delimiter splits: the share of lines as wide as the header, and that width (1 = it does not split)."""
    widths: list[int] = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator):
            if any(cell.strip() for cell in row):
                widths.append(len(row))
            if len(widths) > 100:
                break
        else:
            if not whole and len(widths) > 2:
                widths.pop()  # the sample ends inside this line
    except csv.Error:
        pass
    if not widths or widths[0] < 2:
        return 0.0, 1
    return sum(width == widths[0] for width in widths) / len(widths), widths[0]


def _wrong_line(content: str, separator: str) -> str | None:
    """The first line whose fields are not as many as the header's, in words; None if there is none."""
    width = 0
    last = 0
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    try:
        for row in reader:
            first, last = last + 1, reader.line_num
            if not row or not any(cell.strip() for cell in row):
                continue
            width = width or len(row)
            if len(row) != width:
                if last > first + 10:
                    return f"a quotation mark opened on line {first} seems never to be closed"
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                return f"line {first} has {fields} where the header has {width}{_hint(row, width, separator)}"
    except csv.Error:
        return f"a quotation mark opened on line {last + 1} seems never to be closed"
    if _odd_quotes(content, separator):
        return f"a quotation mark opened on line {first} seems never to be closed"
    return None


def _odd_quotes(content: str, separator: str) -> bool:
    try:
        for _ in csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _hint(row: list[str], width: int, separator: str) -> str:
    if len(row) > width and separator == "," and sum(cell.strip().isdigit() for cell in row) > width // 2:
        return "; numbers with a comma need quotation marks or another delimiter"
    return ""


def _decimal_points(table: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Rewrite numbers with a decimal comma, column by column, where the column's values leave no doubt.

    A column whose decimal signs are commas, such as `12,5`, is rewritten. Where such columns are more than a cell or two and
    no column of the table has a decimal point, columns that hold only `1,234` or `1.234` follow them, since one table has one
    decimal sign. Other values of such a column, a spelling of missing for example, stay as they are.

    A comma among decimal points is no reason to read the points as thousands: there nothing is rewritten, and the check against
    the schema names the cell (`churn.data.quality`).
    """
    commas = [name for name in table.columns if table[name].str.contains(",", literal=True).any()]
    signs = {name: found for name in commas if (found := _decimal_signs(table[name])) is not None}
    sure = [name for name, found in signs.items() if found.sure]
    if not sure:
        return table
    follow: list[str] = []
    grouped: list[str] = []
    leads = any(signs[name].commas >= signs[name].numbers / 2 for name in sure)
    several = separator == ";" or sum(signs[name].commas for name in sure) >= _SEVERAL  # ; is chosen where , is in the numbers
    others = {name: _decimal_signs(table[name]) for name in table.columns if name not in signs}
    if leads and several and not any(found and found.points for found in (*signs.values(), *others.values())):
        follow = [name for name in signs if name not in sure and table[name].str.contains(_COMMA_NUMBER).any()]
        grouped = [name for name, found in others.items() if found and found.either and _all(table[name], _GROUPED_POINT)]
    rewritten = [
        pl.when(pl.col(name).str.contains(_COMMA_NUMBER))
        .then(pl.col(name).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True))
        .when(pl.col(name).str.contains(r"^\s*[+-]?\d{1,3}(\.\d{3})+\s*$"))
        .then(pl.col(name).str.replace_all(".", "", literal=True))
        .otherwise(pl.col(name))
        for name in (*sure, *follow)
    ]
    return table.with_columns(*rewritten, *(pl.col(name).str.replace_all(".", "", literal=True) for name in grouped))


@dataclass(frozen=True, slots=True)
class _Signs:
    """How many cells of a column are numbers, and how many of those show a decimal comma, a decimal point, or either."""

    numbers: int
    commas: int
    points: int
    either: int

    @property
    def sure(self) -> bool:
        """Whether the comma is the decimal sign: no cell says otherwise, and more say so than could mean two things."""
        return self.commas > 0 and not self.points and self.commas > self.either


def _decimal_signs(column: pl.Series) -> _Signs | None:
    """What a column's cells tell of its decimal sign; None where it is not one of numbers."""
    filled = column.filter(column.str.strip_chars() != "")
    point = filled.str.contains(_POINT_NUMBER)
    number = point | filled.str.contains(_NUMBER)
    if number.sum() < max(0.5 * len(filled), 1) or filled.filter(~number).n_unique() > 3:
        return None
    grouped = filled.str.contains(r"^\s*[+-]?[1-9]\d{0,2}(\.\d{3}){2,}\s*$")  # 1.234.567
    either_comma, either_point = filled.str.contains(_EITHER_COMMA), filled.str.contains(_EITHER_POINT)
    return _Signs(
        numbers=int(number.sum()),
        commas=int((filled.str.contains(_COMMA_NUMBER) & ~either_comma).sum()),
        points=int((point & ~either_point).sum()),
        either=int((either_comma | either_point | grouped).sum()),
    )


def _all(column: pl.Series, pattern: str) -> bool:
    filled = column.filter(column.str.strip_chars() != "")
    return len(filled) > 0 and bool(filled.str.contains(pattern).all())
