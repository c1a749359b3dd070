"""Cells: text, numbers, levels and dates as tables spell them, whatever the file type they came from.

Everything here works on whole columns and takes a fast path first; rows are looked at one by one only where a value
turns out to be unreadable.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from churn.data.schema import Feature

YES = frozenset({"yes", "y", "true", "t", "1"})
NO = frozenset({"no", "n", "false", "f", "0"})
LARGEST = 2.0**53  # from this size on a float64 skips whole numbers, so that no sum and no comparison can be relied on

_ALIKE = 1e-9  # spread as a share of size: a float64 has 16 digits, and what follows from 7 of them is still a good result
_TIME_OF_DAY = r"[T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?\s*(Z|UTC|[+-]\d{2}:?\d{2})?$"
_DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%Y%m%d",
)
_YEARS = (1900, 2100)
_WHOLE_FLOAT = r"^([+-]?\d+)\.0+$"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column read as numbers: `values` Float64 (missing = null, never NaN); `bad` the 0-based rows that hold no usable one."""

    values: pl.Series
    bad: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dates:
    """A column read as dates: `values` Date; `bad` the 0-based rows that are no date; `ambiguous` if day and month could swap."""

    values: pl.Series
    bad: tuple[int, ...]
    ambiguous: bool = False


def blank(series: pl.Series) -> pl.Series:
    """Which cells of a text column hold nothing but white space, or are null."""
    return (series.str.strip_chars() == "").fill_null(value=True)


def as_text(series: pl.Series) -> pl.Series:
    """A column as text: whole numbers without a decimal point, `True`/`False`, dates in ISO form; NaN and null are null."""
    kind = series.dtype
    if kind == pl.String:
        return series
    if kind == pl.Boolean:
        return pl.select(pl.when(series).then(pl.lit("True")).when(~series).then(pl.lit("False"))).to_series().alias(series.name)
    if kind.is_float():
        number = series.cast(pl.Float64).fill_nan(None)
        whole = number.is_not_null() & (number == number.round()) & (number.abs() < 2**53)
        plain = number.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.select(pl.when(whole).then(plain).otherwise(number.cast(pl.String))).to_series().alias(series.name)
    if kind.is_decimal():
        return as_text(series.cast(pl.Float64))
    if isinstance(kind, pl.Datetime):
        text = series.dt.strftime("%Y-%m-%d %H:%M:%S")
        return text.str.strip_suffix(" 00:00:00")
    if kind.is_nested() or isinstance(kind, (pl.Object, pl.Binary, pl.Duration)):  # kinds that polars does not cast
        return pl.Series(series.name, [None if value is None else str(value) for value in series.to_list()], dtype=pl.String)
    return series.cast(pl.String)


def keys(series: pl.Series) -> pl.Series:
    """A column of keys as text: `1000.0`, as a CSV spells whole numbers that were floats on the way, is the customer `1000`.

    The same in every table, whatever its other keys look like, so that the log, outcomes and the holdout mean the same customer.
    """
    text = as_text(series)
    if series.dtype != pl.String or not text.str.contains(".0", literal=True).any():
        return text
    return text.str.replace(_WHOLE_FLOAT, "$1")


def numbers(series: pl.Series, missing: Collection[str] = ()) -> Numbers:
    """Read a column as numbers. Blank cells and the spellings in `missing` are null; spaces around a number are no matter.

    Infinite values, those of `LARGEST` and more in size, and `NaN` spelt out where it is no declared spelling of missing, are
    bad.
    """
    kind = series.dtype
    if kind == pl.String:
        return _spelt_numbers(series, frozenset(missing))
    if not (kind.is_numeric() or kind == pl.Boolean or kind == pl.Null):
        return _spelt_numbers(as_text(series), frozenset(missing))
    values = series.cast(pl.Float64).fill_nan(None)
    spelt = [float(text) for text in missing if _is_plain_number(text)]
    if spelt:
        values = values.set(values.is_in(spelt), None)
    beyond = _beyond(values)
    if beyond.any():
        return Numbers(values.set(beyond, None), tuple(beyond.arg_true().to_list()))
    return Numbers(values, ())


def _spelt_numbers(series: pl.Series, missing: frozenset[str]) -> Numbers:
    values = series.cast(pl.Float64, strict=False)
    numeric = [text for text in missing if _is_plain_number(text.strip())]
    if numeric:
        values = values.set(series.is_in(numeric), None)
    beyond = _beyond(values)
    if values.null_count() > series.null_count() or beyond.any():
        unread = (values.is_null() | beyond) & series.is_not_null()
        text = series.filter(unread).str.strip_chars()
        read = text.cast(pl.Float64, strict=False)
        absent = (text == "") | text.is_in([*missing, *(spelling.strip() for spelling in missing)])
        read = read.set(absent, None)
        good = absent | (~_beyond(read) & read.is_not_null())
        rows = unread.arg_true()
        values = values.scatter(rows, read.set(~good, None))
        return Numbers(values, tuple(rows.filter(~good).to_list()))
    return Numbers(values, ())


def _beyond(values: pl.Series) -> pl.Series:
    """Which of them are too large, infinite or NaN (which counts as larger than all); false where there is none."""
    return (values.abs() >= LARGEST).fill_null(value=False)


def too_large(text: str) -> bool:
    """Whether a cell holds a number that is too large to be used."""
    return _is_plain_number(text) and abs(float(text)) >= LARGEST


def too_alike(numbers: pl.Series) -> bool:
    """Whether numbers (Float64) differ by so little for their size that what tells them apart is lost in calculating."""
    if numbers.min() == numbers.max():  # none, or all the same: then the spread is rounding alone
        return False
    size, spread = numbers.abs().max(), numbers.std(ddof=0)
    return isinstance(size, float) and isinstance(spread, float) and spread <= _ALIKE * size


def _is_plain_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


def shown(number: float) -> str:
    """A number as a message names it: all of its digits, no exponent where it can be avoided.

    >>> shown(250898.09), shown(3.0)
    ('250898.09', '3')
    """
    return f"{number:.0f}" if number == int(number) and abs(number) < LARGEST else f"{number:.15g}"


def levels(
    series: pl.Series, known: Iterable[str], missing: Collection[str] = (), labels: Mapping[str, str] = MappingProxyType({})
) -> pl.Series:
    """Read a column as levels: text as it stands, other types as the schema spells them; missing spellings are null.

    1, 1.0 and True become the level `1` where there is one, else the level that means yes; likewise 0 and no. Blank cells
    are missing unless blank is a level. Text that is no known level is kept: it is an unseen level.

    labels: what levels are called, by `level_labels`; such a text means that level.
    """
    known = list(known)
    text = as_text(series)
    found = text.unique().drop_nulls().to_list()
    native = series.dtype != pl.String
    spelt = known_spellings(found, known) if native else {}
    absent = {
        value for value in found if value in missing or (value not in known and (not value.strip() or value.strip() in missing))
    }
    called = {value: labels[value] for value in found if value in labels}
    changes: dict[str, str | None] = {**called, **spelt, **dict.fromkeys(absent)}
    if not changes:
        return text
    return text.replace(list(changes), list(changes.values()))


def known_spellings(found: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """For texts that a number or truth value gave, the level each means, where it is spelt differently and clear."""
    known = list(known)
    meaning = {side: [level for level in known if level.strip().lower() in words] for side, words in (("yes", YES), ("no", NO))}
    result: dict[str, str] = {}
    for value in found:
        if value in known:
            continue
        side = "yes" if value.lower() in YES else "no" if value.lower() in NO else ""
        same = [level for level in known if same_number(level, value)] or (meaning[side] if side else [])
        if len(same) == 1:
            result[value] = same[0]
    return result


def same_number(one: str, other: str) -> bool:
    return _is_plain_number(one) and _is_plain_number(other) and float(one) == float(other)


def level_values(feature: Feature) -> tuple[str, ...]:
    return tuple(level.value for level in feature.levels)


def level_labels(feature: Feature) -> dict[str, str]:
    """Label → the level called so, where only one is and no level is spelt so: `Yes` → `1`."""
    often = Counter(level.shown for level in feature.levels)
    known = level_values(feature)
    return {level.shown: level.value for level in feature.levels if often[level.shown] == 1 and level.shown not in known}


def dates(series: pl.Series, missing: Collection[str] = ()) -> Dates:
    """Read a column as dates, all rows in one spelling; a time of day is cut off.

    ISO dates come first. Where day and month could both be first for every row, and that would make a difference,
    `ambiguous` is set and nothing is read.
    """
    if series.dtype == pl.Date:
        return Dates(series, ())
    if isinstance(series.dtype, pl.Datetime):
        return Dates(series.dt.date(), ())
    text = as_text(series).str.strip_chars()
    text = text.set(text.is_in(["", *missing]).fill_null(value=False), None)
    found = text.unique().drop_nulls()
    if found.is_empty():
        return Dates(pl.Series(series.name, [None] * len(series), dtype=pl.Date), ())
    cut = found.str.replace(_TIME_OF_DAY, "")
    cut = pl.select(pl.when(cut.str.contains(r"^\d{4}-\d{1,2}$")).then(cut + "-01").otherwise(cut)).to_series()
    tried = [_read(cut, form) for form in _DATE_FORMATS]
    best = max(tried, key=lambda read: len(read) - read.null_count())  # the first of equals
    rivals = [read for read in tried if read.null_count() == best.null_count() and not read.equals(best)]
    if best.null_count() < len(best) and rivals:
        return Dates(pl.Series(series.name, [None] * len(series), dtype=pl.Date), (), ambiguous=True)
    values = text.replace_strict(found, best, default=None, return_dtype=pl.Date)
    bad = (values.is_null() & text.is_not_null()).arg_true().to_list()
    return Dates(values.alias(series.name), tuple(bad))


def _read(text: pl.Series, form: str) -> pl.Series:
    if form == "%Y%m%d":  # a bare number is a date only with eight digits
        text = text.set(~text.str.contains(r"^\d{8}$"), None)
    read = text.str.to_date(form, strict=False)
    return read.set(~read.dt.year().is_between(*_YEARS).fill_null(value=False), None)


# -- spellings of numbers that lose nothing when rewritten ---------------------------------------------------------------

_SIGN = re.compile(r"^([+-]?)\s*(?:[$€£¥₹]|USD|EUR|GBP|CHF)?\s*|\s*(?:[$€£¥₹%]|USD|EUR|GBP|CHF)$", re.IGNORECASE)
_THOUSANDS_POINT = re.compile(r"^[+-]?\d{1,3}(,\d{3})+\.\d+$|^[+-]?\d{1,3}(,\d{3}){2,}$")
_THOUSANDS_COMMA = re.compile(r"^[+-]?\d{1,3}(\.\d{3})+,\d+$|^[+-]?\d{1,3}(\.\d{3}){2,}$")
_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_EITHER = re.compile(r"^[+-]?[1-9]\d{0,2},\d{3}$")  # 1,234: a thousand and more, or one and a bit


def plain_number(text: str, *, comma: bool | None = None) -> str | None:
    """A number as it is usually written, if `text` is one in another spelling: `$1,234.50` → `1234.50`, `12,5` → `12.5`.

    comma: whether the column's other values show that the comma is the decimal sign; None if they do not tell, and then
    `1,234` is left alone. Returns None where the text is no number or could mean two.
    """
    bare = text.strip().replace("\u2212", "-").replace("\u00a0", " ").replace("\u202f", " ")
    bare = _SIGN.sub(r"\1", bare).strip()
    if re.fullmatch(r"[+-]?\d{1,3}([ '’]\d{3})+([.,]\d+)?", bare):
        bare = re.sub(r"[ '’]", "", bare)
    if _EITHER.match(bare):
        if comma is None:
            return None
        bare = bare.replace(",", "." if comma else "")
    elif _THOUSANDS_POINT.match(bare):
        bare = bare.replace(",", "")
    elif _THOUSANDS_COMMA.match(bare):
        bare = bare.replace(".", "").replace(",", ".")
    elif _COMMA.match(bare):
        bare = bare.replace(",", ".")
    plain = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", bare)
    return bare if plain and _is_plain_number(bare) and not too_large(bare) else None


def comma_is_decimal(texts: Iterable[str]) -> bool | None:
    """Whether the values of a column show that the comma is the decimal sign (True), a thousands sign (False) or neither.

    A few decimal commas among as many of `1,234` show neither: which of the two are the slips is anybody's guess.
    """
    said = {True: 0, False: 0}
    either = 0
    for text in texts:
        bare = _SIGN.sub(r"\1", text.strip()).strip()
        if _THOUSANDS_COMMA.match(bare) or (_COMMA.match(bare) and not _EITHER.match(bare)):
            said[True] += 1
        elif _THOUSANDS_POINT.match(bare) or re.fullmatch(r"[+-]?\d+\.\d+", bare):
            said[False] += 1
        else:
            either += bool(_EITHER.match(bare))
    if bool(said[True]) == bool(said[False]) or 0 < said[True] <= either:
        return None
    return said[True] > 0
