"""Hold a table against its schema: read it into the types the model wants, and name every cell that does not fit.

Two kinds of finding. An *error* is what cannot be scored: a missing column, text in a number, a key that comes twice, a
number below `at_least`. A *warning* is what scores, but deserves a look: a level the schema does not know, a number outside
the range seen. `conform` changes types, and text only where it is what the schema itself calls a level; `fix` rewrites text where
nothing is lost by it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from churn import words
from churn.data import delimited, fixes, values
from churn.data.formula import quoted, renamed
from churn.data.schema import Feature, Rule, Schema
from churn.errors import DataError

LEFT = "__left__"
_SHOWN = 5  # kinds of violation that a message names; all of them are in `DataError.violations`
_REPEATED = "must not repeat"
_FAR = 10.0  # times what was seen: a number so far outside is of another order of magnitude


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not fit: `row` counts data rows from 1 (None: the whole column), `value` is the cell as it stands.

    `fix` is what `fix()` would write instead, None where it would have to guess. `count`: how many rows a warning is about.
    """

    column: str
    row: int | None
    value: str | None
    rule: str
    fix: str | None = None
    severity: Literal["error", "warning"] = "error"
    count: int = 1

    def __str__(self) -> str:
        if self.row is None:
            return f"column {self.column!r} {self.rule}"
        shown = "nothing" if self.value is None else repr(self.value)
        more = f" ({self.count:,} rows in all)" if self.count > 1 else ""
        return f"column {self.column!r} {self.rule}; row {self.row} has {shown}{more}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; `violations` holds errors first, then warnings. `fixable`: how many of them `fix` can put right."""

    violations: tuple[Violation, ...]
    rows: int
    fixable: int

    @property
    def errors(self) -> tuple[Violation, ...]:
        return tuple(violation for violation in self.violations if violation.severity == "error")

    @property
    def warnings(self) -> tuple[Violation, ...]:
        return tuple(violation for violation in self.violations if violation.severity == "warning")


def conform(raw: pl.DataFrame, schema: Schema, *, target: bool = False, unique: bool = True) -> pl.DataFrame:
    """Read a raw table into the conformed one.

    Parameters
    ----------
    raw: as `read_table` gives it; other columns than the schema's are dropped.
    target: also read the target, as Int8 column `__left__` (1 = positive, 0 = not, null = unknown).
    unique: whether a key may come only once (within one snapshot, where the schema has one).

    Returns
    -------
    In this order: key String; snapshot Date; features (numbers Float64, all others String; null = missing; a level's
    label read as the level, unseen levels as they stand); money Float64; contacts that the table has, String; `__left__`.

    Raises
    ------
    DataError: with every violation that is an error.
    """
    table, found = _read(raw, schema, target=target, unique=unique, warn=False)
    if found:
        found = [violation for violation in _with_fixes(found, raw, schema) if violation.severity == "error"]
        raise DataError(message(found) + _way_out(found), tuple(found))
    return table


def check(raw: pl.DataFrame, schema: Schema, *, target: bool = False, unique: bool = True, labels: bool = False) -> Report:
    """Every violation, errors and warnings, of a raw table; see `conform` for the parameters.

    labels: whether the rules speak of columns and values as people do (`Violation.column` and `value` stay the table's).
    """
    return look(raw, schema, target=target, unique=unique, labels=labels)[1]


def look(
    raw: pl.DataFrame, schema: Schema, *, target: bool = False, unique: bool = True, labels: bool = False
) -> tuple[pl.DataFrame, Report]:
    """What can be read of a raw table whatever is wrong with it, and all that is: as `conform`, but a column that is not there is
    left out and a cell that cannot be read is null. For looking at; only what `conform` gives may be scored."""
    table, found = _read(raw, schema, target=target, unique=unique, warn=True, labels=labels)
    found = _with_fixes(found, raw, schema)
    found.sort(key=lambda violation: violation.severity != "error")  # stable: column order within
    return table, Report(tuple(found), raw.height, sum(violation.fix is not None for violation in found))


def message(found: list[Violation] | tuple[Violation, ...]) -> str:
    """The first few violations in one line, those of one column against one rule together, and how many more there are."""
    alike: dict[tuple[str, str], list[Violation]] = {}
    for violation in found:
        rule = _REPEATED if violation.rule.startswith(_REPEATED) else violation.rule
        alike.setdefault((violation.column, rule), []).append(violation)
    told = [replace(same[0], count=sum(violation.count for violation in same)) for same in alike.values()]
    more = len(told) - _SHOWN
    return "; ".join(str(one) for one in told[:_SHOWN]) + (_more(more) if more > 0 else "")


def _more(number: int) -> str:
    return "; and one more column or rule" if number == 1 else f"; and {number:,} more columns or rules"


def _way_out(found: list[Violation]) -> str:
    """What to add to a refusal where some of it, or all, can be put right without loss."""
    mended = sum(violation.fix is not None for violation in found)
    part = "all" if mended == len(found) else f"{mended:,}"
    return f"; `churn schema check --fix` puts {part} of that right without loss" if mended else ""


def remarks(table: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Sentences about what can be scored and deserves a look all the same, one for a column; likely mistakes come first.

    table: conformed, its rows in the order of the file.
    """
    far: list[str] = []
    outside: list[str] = []
    for feature in schema.numbers:
        if feature.range is not None:
            is_far, said = _outside(table[feature.name], feature.range)
            (far if is_far else outside).extend(said)
    return (*far, *outside, *(line for feature in schema.categories for line in _unknown(table[feature.name], feature)))


def _outside(column: pl.Series, seen: tuple[float, float]) -> tuple[bool, list[str]]:
    """Whether a number has values far outside the range seen, and what to say of those, or else of all that are outside."""
    low, high = seen
    reach = _FAR * max(high - low, abs(low), abs(high))
    for limits, is_far in (((low - reach, high + reach), True), (seen, False)):
        rows = ((column < limits[0]) | (column > limits[1])).fill_null(value=False).arg_true()
        if len(rows):
            count = f"{words.counted(len(rows), 'value')} {'is' if len(rows) == 1 else 'are'}"
            where = "so far outside what was seen that a mistake is likely" if is_far else "outside what was seen"
            first = f"{values.shown(column[rows[0]])} in row {rows[0] + 1}"
            span = f"{values.shown(low)} to {values.shown(high)} when the schema was made"
            return is_far, [f"Column {column.name!r}: {count} {where} ({span}), such as {first}."]
    return False, []


def _unknown(column: pl.Series, feature: Feature) -> Iterator[str]:
    rows = (~column.is_in([level.value for level in feature.levels])).fill_null(value=False).arg_true()
    if len(rows):
        count = f"the schema does not know {len(rows):,} of its {len(column) - column.null_count():,} values"
        counts = "it counts as an unknown level" if len(rows) == 1 else "they all count as one unknown level"
        yield f"Column {feature.name!r}: {count}, such as {column[rows[0]]!r} in row {rows[0] + 1}; {counts}."


def repeated_keys(table: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """A sentence about keys that come more than once in a conformed table without dates, which training takes; else none."""
    keys = table[schema.key]
    if schema.snapshot is not None or (different := keys.n_unique()) == len(keys):
        return ()
    row = (~keys.is_first_distinct()).arg_true()[0]
    return (
        f"Column {schema.key!r}: the {len(keys):,} rows have {words.counted(different, 'key')} only; row {row + 1} repeats "
        f"{keys[row]!r}. Rows of one key are taken for one customer and kept together; a table to be scored must not repeat any.",
    )


def without_values(table: pl.DataFrame, usual: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Sentences about features without any value in a conformed table, though `usual` (conformed too) has some."""
    return tuple(
        f"Column {name!r} has no value in any row, which it has where the model was trained; it counts as missing."
        for name in schema.names
        if table[name].null_count() == table.height and usual[name].null_count() < usual.height
    )


# -- reading -------------------------------------------------------------------------------------------------------------


def _read(
    raw: pl.DataFrame, schema: Schema, *, target: bool, unique: bool, warn: bool, labels: bool = False
) -> tuple[pl.DataFrame, list[Violation]]:
    found: list[Violation] = []
    if raw.height == 0:
        found.append(Violation(schema.key, None, None, "has no rows"))
    wanted = [*schema.needed, *([schema.target.column] if target else [])]
    found.extend(_absent(raw, schema, wanted))
    columns: dict[str, pl.Series] = {}
    if schema.key in raw.columns:
        columns[schema.key] = _key(raw[schema.key], schema, found)
    if schema.snapshot and schema.snapshot.column in raw.columns:
        columns[schema.snapshot.column] = _snapshot(raw[schema.snapshot.column], schema, found)
    for feature in schema.features:
        if feature.name in raw.columns:
            column = raw[feature.name]
            read = (
                _number(column, feature, schema, found, warn, labels)
                if feature.is_number
                else _levels(column, feature, schema, found, warn)
            )
            columns[feature.name] = read
    if schema.money and schema.money.column in raw.columns and schema.money.column not in columns:
        columns[schema.money.column] = _plain(raw[schema.money.column], schema, found)
    for name in schema.contacts.columns:
        if name in raw.columns and name not in columns:
            text = values.as_text(raw[name])
            columns[name] = text.set(values.blank(text), None)
    if target and schema.target.column in raw.columns:
        columns[LEFT] = _target(raw[schema.target.column], schema, found)
    if unique and schema.key in columns:
        found.extend(_repeated(columns, schema))
    table = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    if warn:
        found.extend(_broken_rules(table, schema, labels))
    return table, found


def _absent(raw: pl.DataFrame, schema: Schema, wanted: list[str]) -> Iterator[Violation]:
    absent = [name for name in wanted if name not in raw.columns]
    if absent and raw.width == 1:
        yield Violation(absent[0], None, None, f"is not in the table, {delimited.one_column(raw.columns[0])}")
        return
    lower = {name.strip().lower(): name for name in reversed(raw.columns)}
    for name in absent:
        near = difflib.get_close_matches(name.lower(), list(lower), n=2, cutoff=0.7)
        hint = f"; did you mean {' or '.join(repr(lower[match]) for match in near)}?" if near else ""
        yield Violation(name, None, None, f"is not in the table{hint}")


def _spellings(feature: Feature, schema: Schema) -> frozenset[str]:
    return frozenset((*schema.missing, *feature.missing))


def _key(column: pl.Series, schema: Schema, found: list[Violation]) -> pl.Series:
    text = values.keys(column)
    empty = values.blank(text)
    if empty.any():
        for row in empty.arg_true().to_list():
            found.append(Violation(schema.key, row + 1, text[row], "is the key and must not be empty"))
    return text


def _repeated(columns: dict[str, pl.Series], schema: Schema) -> Iterator[Violation]:
    """Keys that come twice (within one snapshot): every row but the first, naming the first."""
    by = [schema.key, *([schema.snapshot.column] if schema.snapshot and schema.snapshot.column in columns else [])]
    keys = pl.DataFrame([columns[name].alias(name) for name in by])
    if (keys.to_series().n_unique() if keys.width == 1 else keys.n_unique()) == keys.height:
        return
    rows = keys.with_row_index("__row__", offset=1)
    rows = rows.with_columns(pl.col("__row__").min().over(by).alias("__first__"))
    rows = rows.filter(
        (pl.col("__row__") != pl.col("__first__"))
        & pl.col(schema.key).is_not_null()
        & (pl.col(schema.key).str.strip_chars() != "")
    )
    within = " within one snapshot" if len(by) == 2 else ""
    for row, key, first in rows.select("__row__", schema.key, "__first__").iter_rows():
        yield Violation(schema.key, row, key, f"{_REPEATED} that of row {first}{within}")


def _snapshot(column: pl.Series, schema: Schema, found: list[Violation]) -> pl.Series:
    read = values.dates(column, schema.missing)
    if read.ambiguous:
        found.append(
            Violation(
                column.name, None, None, "has dates whose day and month could swap; write them as YEAR-MONTH-DAY (2026-11-19)"
            )
        )
        return read.values
    text = values.as_text(column)
    for row in read.bad:
        found.append(Violation(column.name, row + 1, text[row], "must be a date"))
    if read.values.null_count() > len(read.bad):
        bad = set(read.bad)
        for row in read.values.is_null().arg_true().to_list():
            if row not in bad:
                found.append(Violation(column.name, row + 1, text[row], "must have a date in every row"))
    return read.values


def _plain(column: pl.Series, schema: Schema, found: list[Violation]) -> pl.Series:
    read = values.numbers(column, schema.missing)
    _unreadable(column, read.bad, found)
    return read.values


def _unreadable(column: pl.Series, bad: tuple[int, ...], found: list[Violation]) -> None:
    if bad:
        cells = values.as_text(column.gather(list(bad))).to_list()
        for row, cell in zip(bad, cells, strict=True):
            rule = f"must be below {values.LARGEST:,.0f} in size" if values.too_large(cell) else "must be a number"
            found.append(Violation(column.name, row + 1, cell, rule))


def _number(
    column: pl.Series, feature: Feature, schema: Schema, found: list[Violation], warn: bool, labels: bool = False
) -> pl.Series:
    read = values.numbers(column, _spellings(feature, schema))
    _unreadable(column, read.bad, found)
    number = read.values
    low, high = number.min(), number.max()
    limits: list[tuple[pl.Series, str]] = []
    if feature.at_least is not None and low is not None and low < feature.at_least:  # type: ignore[operator]
        limits.append((number < feature.at_least, f"must be ≥ {values.shown(feature.at_least)}"))
    if feature.at_most is not None and high is not None and high > feature.at_most:  # type: ignore[operator]
        limits.append((number > feature.at_most, f"must be ≤ {values.shown(feature.at_most)}"))
    for outside, rule in limits:
        for row in outside.arg_true().to_list():
            found.append(Violation(feature.name, row + 1, values.shown(number[row]), rule))
    _required(number, column, feature, found, set(read.bad))
    if warn and low is not None:
        found.extend(_number_warnings(number, feature, schema if labels else None))
    return number


def _number_warnings(number: pl.Series, feature: Feature, spoken: Schema | None) -> Iterator[Violation]:
    """What deserves a look in a column of numbers; with a schema in `spoken`, limits are written as people write them."""

    def limit(value: float) -> str:
        return values.shown(value) if spoken is None else words.exact(value, feature, spoken)

    def first(where: pl.Series, rule: str) -> Iterator[Violation]:
        rows = where.fill_null(value=False).arg_true()
        if len(rows):
            yield Violation(feature.name, rows[0] + 1, values.shown(number[rows[0]]), rule, severity="warning", count=len(rows))

    if feature.range is not None:
        low, high = feature.range
        within = (feature.at_least is None) | (number >= (feature.at_least or 0))
        yield from first((number < low) & within, f"was never below {limit(low)} when the schema was made")
        within = (feature.at_most is None) | (number <= (feature.at_most or 0))
        yield from first((number > high) & within, f"was never above {limit(high)} when the schema was made")
    if feature.whole:
        yield from first(number != number.round(), "is expected to be a whole number")


def _levels(column: pl.Series, feature: Feature, schema: Schema, found: list[Violation], warn: bool) -> pl.Series:
    known = values.level_values(feature)
    level = values.levels(column, known, _spellings(feature, schema), values.level_labels(feature))
    _required(level, column, feature, found, set())
    if warn:
        rows = pl.DataFrame({"level": level}).with_row_index("row", offset=1).drop_nulls()
        unseen = rows.filter(~pl.col("level").is_in(list(known))).group_by("level").agg(pl.col("row").min(), pl.len())
        for value, row, count in unseen.sort("row").iter_rows():
            found.append(Violation(feature.name, row, value, "has a level the schema does not know", None, "warning", count))
    return level


def _required(read: pl.Series, column: pl.Series, feature: Feature, found: list[Violation], bad: set[int]) -> None:
    if feature.required and read.null_count() > len(bad):
        for row in read.is_null().arg_true().to_list():
            if row not in bad:
                cell = column[row]
                found.append(Violation(feature.name, row + 1, None if cell is None else str(cell), "is required"))


def _target(column: pl.Series, schema: Schema, found: list[Violation]) -> pl.Series:
    target = schema.target
    known = (target.positive, *([target.negative] if target.negative is not None else []))
    level = values.levels(column, known, (*schema.missing, *target.missing))
    left = pl.select(pl.when(level.is_null()).then(None).otherwise(level == target.positive).cast(pl.Int8)).to_series()
    if target.negative is not None:
        unknown = ~level.is_in(list(known)).fill_null(value=True)
        if unknown.any():
            rule = f"must be {target.positive!r} or {target.negative!r}"
            for row in unknown.arg_true().to_list():
                found.append(Violation(target.column, row + 1, level[row], rule))
            left = left.set(unknown, None)
    return left


def _broken_rules(table: pl.DataFrame, schema: Schema, labels: bool) -> Iterator[Violation]:
    """Rows where a rule of the schema says what a value must be, and it is another. What is not known breaks no rule."""
    for rule in schema.rules:
        if not {*rule.columns, *rule.then} <= set(table.columns):
            continue
        holds = rule.holds(table)
        for name, wanted in rule.then.items():
            column = table[name]
            other = column != (float(wanted) if schema.feature(name).is_number else str(wanted))
            rows = (holds & other.fill_null(value=False)).arg_true()
            if len(rows):
                value = column[rows[0]]
                shown = values.shown(value) if isinstance(value, float) else str(value)
                must = values.shown(float(wanted)) if schema.feature(name).is_number else repr(str(wanted))
                must = f"“{words.exact(wanted, schema.feature(name), schema)}”" if labels else must
                where = _spoken_condition(rule, schema) if labels else condition(rule, schema)
                says = f"is expected to be {must} where {where}"
                yield Violation(name, rows[0] + 1, shown, says, severity="warning", count=len(rows))


def _spoken_condition(rule: Rule, schema: Schema) -> str:
    """When a rule applies, in words where it only names values: `Internet service is “No”`."""
    if isinstance(rule.when, str):
        return condition(rule, schema, labels=True)
    parts = []
    for name, wanted in rule.when.items():
        feature = schema.feature(name)
        named = [f"“{words.exact(value, feature, schema)}”" for value in ((wanted,) if isinstance(wanted, str) else wanted)]
        parts.append(f"{feature.label} is {' or '.join(named)}")
    return " and ".join(parts)


def condition(rule: Rule, schema: Schema, *, labels: bool = False) -> str:
    """When a rule applies, written as a formula: `InternetService = 'No'`; with `labels` `Internet service = 'No'`."""
    if labels:
        return renamed(condition(rule, schema), {feature.name: feature.label for feature in schema.features})
    if isinstance(rule.when, str):
        return rule.when

    def spelt(name: str, value: str) -> str:
        return value if schema.feature(name).is_number else "'" + value.replace("'", "''") + "'"

    parts = []
    for name, wanted in rule.when.items():
        texts = [spelt(name, value) for value in ((wanted,) if isinstance(wanted, str) else wanted)]
        parts.append(f"{quoted(name)} = {texts[0]}" if len(texts) == 1 else f"{quoted(name)} in ({', '.join(texts)})")
    return " and ".join(parts)


# -- fixing --------------------------------------------------------------------------------------------------------------


def fix(raw: pl.DataFrame, schema: Schema, *, target: bool = False, unique: bool = True) -> tuple[pl.DataFrame, Report]:
    """A copy of the table with what can be rewritten without loss, and the report of what is left.

    Rewritten are: spaces around keys, levels and the target; numbers with thousands signs, currency signs or a decimal comma;
    `1.0` to the level `1`; a label to its level, and the case of a level, where only one level fits. Nothing else
    changes, no row is dropped.
    """
    fixed = raw
    for name in raw.columns:
        changes = fixes.changes(raw[name], schema)
        if changes:
            fixed = fixed.with_columns(pl.col(name).replace(list(changes), list(changes.values())))
    return fixed, check(fixed, schema, target=target, unique=unique)


def _with_fixes(found: list[Violation], raw: pl.DataFrame, schema: Schema) -> list[Violation]:
    """Say what `fix` would write; add a warning for keys with spaces around them, which only `fix` cares about."""
    cache: dict[str, dict[str, str]] = {}
    result: list[Violation] = []
    for violation in found:
        if violation.row is None or violation.column not in raw.columns or violation.value is None:
            result.append(violation)
            continue
        if violation.column not in cache:
            cache[violation.column] = fixes.changes(raw[violation.column], schema)
        new = cache[violation.column].get(violation.value)
        result.append(violation if new is None else replace(violation, fix=new))
    if schema.key in raw.columns and (keys := fixes.changes(raw[schema.key], schema)):
        rows = raw[schema.key].is_in(list(keys)).arg_true()
        cell: Any = raw[schema.key][rows[0]]
        result.append(
            Violation(schema.key, rows[0] + 1, cell, "has spaces around it", keys[cell], severity="warning", count=len(rows))
        )
    return result
