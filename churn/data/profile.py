"""One column by itself: is it a number, a category, a date, an identifier, and how does it spell what is missing?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from churn.data import labels, values

Kind = Literal["number", "category", "flag", "date", "identifier", "text", "too many levels", "constant", "empty"]

MOST_LEVELS = 60  # the states of the USA are 50 and a few
NEARLY_UNIQUE = 0.95  # share of different values from which a text is an identifier
_NUMBER_SHARE = 0.95  # share of cells that must be numbers for a column with some other text to be one
_LEAST_UNIQUE = 10
_LOOKED_AT = 2000  # cells looked at one by one to see whether they are numbers in another spelling

# what people write for "not known"; compared without case and outer spaces
ABSENT = frozenset(
    {
        "",
        "na",
        "n/a",
        "n.a.",
        "#n/a",
        "#na",
        "<na>",
        "nan",
        "nat",
        "null",
        "(null)",
        "none",
        "nil",
        "unknown",
        "missing",
        "?",
        "-",
        "--",
    }
    | {"---", ".", "..", "not available", "not known", "undefined", "(blank)", "<null>", "#value!", "#ref!", "#div/0!"}
)
_MAYBE_LEVEL = frozenset({"none", "na", "nil", "-"})  # these can mean "has none" or be a code, such as a country's

_IDENTIFIER = re.compile(
    r"\b(id|ids|uuid|guid|surname|last name|first name|full name|clientnum|iban|msisdn|ssn|row number|rownum|imei)\b"
    r"|\b(customer|client|account|employee|member|user|subscriber|policy|invoice|card|order) (number|no|nr|key|code)\b"
)
_CODE = re.compile(r"\b(zip|postal|postcode|code|id)\b")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is. `values`: Float64 for a number, Date for a date, String else; null = missing.

    `missing`: how the column spells it; `odd`: 0-based rows of a number that hold no number; `spelt`: how many numbers are
    written with thousands, currency or percent signs; `levels`: a category's levels, most frequent first.
    """

    name: str
    kind: Kind
    values: pl.Series
    missing: tuple[str, ...] = ()
    distinct: int = 0
    evidence: str = ""
    odd: tuple[int, ...] = ()
    spelt: int = 0
    levels: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        return len(self.values) - self.values.null_count()


def profile(series: pl.Series) -> Column:
    """Decide what a column is; never raises."""
    name = series.name
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return Column(name, "text", values.as_text(series), evidence=f"its cells are of type {series.dtype!s}, no single values")
    if isinstance(series.dtype, (pl.Date, pl.Datetime)):
        return _dated(name, values.dates(series).values)
    text = values.as_text(series)
    found = _by_size(text)
    spellings = [cell for cell in found if cell.strip().lower() in ABSENT]
    filled = [cell for cell in found if cell not in set(spellings)]
    if not filled:
        only_maybe = [cell for cell in spellings if cell.strip().lower() in _MAYBE_LEVEL]
        if len(only_maybe) < 2:
            empty = pl.Series(name, [None] * len(series), dtype=pl.String)
            return Column(name, "empty", empty, tuple(spellings), evidence="no row has a value")
    numeric = series.dtype.is_numeric() and series.dtype != pl.Boolean
    if (not numeric or series.dtype.is_integer()) and filled and _date_like(filled):
        read = values.dates(text, spellings)
        if read.ambiguous:
            return Column(name, "date", text, tuple(spellings), len(filled), "dates whose day and month could swap")
        if not read.bad:
            return _dated(name, read.values, tuple(spellings))
    too_large = series.dtype.is_integer() and bool(values.numbers(series).bad)
    if (numeric and not too_large) or _mostly_numbers(text, filled, spellings):
        return _numeric(name, series, text, spellings, filled)
    column = _textual(name, text, found, spellings)
    if column.kind in ("identifier", "too many levels") and values.too_large(filled[0]):
        said = f"whole numbers of {len(filled[0])} digits, such as {filled[0]}, are too large to calculate with"
        return replace(column, evidence=f"{said}; {column.evidence}")
    return column


def _dated(name: str, dates: pl.Series, missing: tuple[str, ...] = ()) -> Column:
    known = dates.drop_nulls()
    if known.is_empty():
        return Column(name, "empty", dates, missing, evidence="no row has a value")
    evidence = f"dates from {known.dt.min()} to {known.dt.max()}; a number of days up to the table's date could be used instead"
    return Column(name, "date", dates.alias(name), missing, known.n_unique(), evidence)


_DATED = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b"  # 2026-11-19, 19.11.2026, 11/19/26
    r"|\d{4}-\d{1,2}$"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4}|[A-Za-z]{3,9} \d{1,2}, \d{4}"
    r"|(19|20)\d{2}[01]\d[0-3]\d$"  # bare numbers are dates only if they are eight digits of a plausible day
)


def _date_like(filled: Sequence[str]) -> bool:
    return all(_DATED.match(cell.strip()) for cell in filled[:50])


def _mostly_numbers(text: pl.Series, filled: list[str], spellings: list[str]) -> bool:
    if not filled:
        return False
    cells = text.drop_nulls()
    cells = cells.filter(~cells.is_in(spellings))
    bad = values.numbers(cells).bad
    if not bad:
        return True
    comma = values.comma_is_decimal(filled[:_LOOKED_AT])
    step = -(-len(bad) // _LOOKED_AT)
    rest = cells.gather(list(bad[::step])).to_list()
    plain = sum(values.plain_number(cell, comma=False if comma is None else comma) is not None for cell in rest)
    numbers = len(cells) - len(bad) + round(len(bad) * plain / len(rest))
    return numbers >= _NUMBER_SHARE * len(cells) and numbers >= 20


def _numeric(name: str, series: pl.Series, text: pl.Series, spellings: list[str], filled: list[str]) -> Column:
    read = values.numbers(series, spellings)
    number, odd, spelt = read.values, read.bad, 0
    if odd and series.dtype == pl.String:
        comma = values.comma_is_decimal(filled)
        cells = dict(zip(odd, text.gather(list(odd)).to_list(), strict=True))
        plain = {cell: values.plain_number(cell, comma=False if comma is None else comma) for cell in set(cells.values())}
        good = {row: float(plain[cell] or "nan") for row, cell in cells.items() if plain[cell] is not None}
        if good:
            number = number.scatter(list(good), list(good.values()))
        odd, spelt = tuple(row for row in odd if row not in good), len(good)
    number = number.alias(name)
    known = number.drop_nulls()
    distinct = known.n_unique()
    words = " ".join(labels.words_of(name))
    column = Column(name, "number", number, tuple(spellings), distinct, odd=odd, spelt=spelt)
    if distinct == 0:
        return replace(column, kind="empty", evidence="no row has a number that can be used")
    if distinct == 1 and len(known) == len(number):
        return replace(column, kind="constant", evidence=f"every row has {filled[0]!r}")
    whole = bool((known == known.round()).all())
    if whole and distinct == len(known) >= _LEAST_UNIQUE:
        first, last = float(known.min()), float(known.max())  # type: ignore[arg-type]
        if last - first + 1 == len(known):
            return replace(
                column, kind="identifier", evidence=f"counts the rows: every whole number from {first:g} to {last:g} once"
            )
    if values.too_alike(known):
        kind: Kind = "identifier" if whole and distinct >= NEARLY_UNIQUE * len(known) else "constant"
        low, high = (values.shown(float(end)) for end in (known.min(), known.max()))  # type: ignore[arg-type]
        evidence = f"its values, from {low} to {high}, differ by too little for their size to be calculated with"
        return replace(column, kind=kind, evidence=evidence)
    if whole and _IDENTIFIER.search(words) and distinct >= 0.5 * len(known) and distinct > MOST_LEVELS:
        return replace(column, kind="identifier", evidence=f"its name, and {distinct:,} different values in {len(known):,} rows")
    flag = set(known.unique().to_list()) == {0.0, 1.0} and len(filled) == 2
    if not odd and not spelt and (flag or (whole and _CODE.search(words))):
        return _textual(name, text, [*filled, *spellings], spellings)
    return column


def _textual(name: str, text: pl.Series, found: list[str], spellings: list[str]) -> Column:
    absent = [cell for cell in spellings if not _is_level(cell, text, [cell for cell in found if cell not in spellings])]
    level = text.set(text.is_in(absent).fill_null(value=False), None) if absent else text
    known = level.drop_nulls()
    counted = _by_size(level)
    distinct, missing = len(counted), tuple(absent)
    words = " ".join(labels.words_of(name))
    if distinct == 0:
        return Column(name, "empty", level, missing, evidence="no row has a value")
    if distinct == 1 and len(known) == len(level):
        return Column(name, "constant", level, missing, 1, f"every row has {counted[0][:40]!r}")
    long = float(known.str.count_matches(r"\s+").mean() or 0.0) >= 4  # type: ignore[arg-type]
    several = f"{distinct:,} different values in {len(known):,} rows"
    if _IDENTIFIER.search(words) and distinct > MOST_LEVELS:
        return Column(name, "identifier", level, missing, distinct, f"its name, and {several}")
    if distinct >= NEARLY_UNIQUE * len(known) and distinct >= _LEAST_UNIQUE:
        return Column(name, "text" if long else "identifier", level, missing, distinct, several)
    if distinct > MOST_LEVELS:
        return Column(name, "text" if long else "too many levels", level, missing, distinct, several)
    kind: Kind = "flag" if labels.is_flag(counted) else "category"
    return Column(name, kind, level, missing, distinct, levels=tuple(counted))


def _is_level(cell: str, text: pl.Series, others: list[str]) -> bool:
    """Whether a spelling that often means "missing" is a level of its own here.

    `None` and `Nil` say that a customer has none of it; `NA` stands for a place among other codes of two capitals; `-` is
    never a level.
    """
    bare = cell.strip()
    if bare.lower() not in _MAYBE_LEVEL or not others or bare == "-":
        return False
    if bare == "NA":
        return len(others) > 1 and all(re.fullmatch(r"[A-Z]{2}", other.strip()) for other in others)
    return bare in ("None", "none", "NONE", "Nil") and int((text == cell).sum()) >= max(5, 0.005 * len(text))


def _by_size(text: pl.Series) -> list[str]:
    """The different texts of a column, most frequent first, then in alphabetical order: the same every time."""
    counts = text.drop_nulls().alias("value").value_counts(name="size").sort(["size", "value"], descending=[True, False])
    return [str(value) for value in counts["value"].to_list()]
