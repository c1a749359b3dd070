"""Cells that can be rewritten without losing anything: what `churn schema check --fix` does, and no more.

Spaces around keys, levels and the target; numbers with thousands signs, currency signs or a decimal comma; `1.0` for the
level `1`; a label for its level, and the case of a level, where only one level fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from churn.data import values
from churn.data.schema import Schema


def changes(column: pl.Series, schema: Schema) -> dict[str, str]:
    """Cell → what to write instead, for one column of the table, looked up by its name; only text is ever rewritten."""
    name = column.name
    if column.dtype != pl.String:
        return {}
    money = schema.money.column if schema.money else None
    if name in schema:
        feature = schema.feature(name)
        spellings = frozenset((*schema.missing, *feature.missing))
        if feature.is_number:
            return _number_changes(column, spellings)
        return _level_changes(column, values.level_values(feature), spellings, values.level_labels(feature))
    if name == money:
        return _number_changes(column, frozenset(schema.missing))
    if name == schema.target.column:
        known = (schema.target.positive, *([schema.target.negative] if schema.target.negative is not None else []))
        return _level_changes(column, known, frozenset((*schema.missing, *schema.target.missing)))
    if name == schema.key:
        return _key_changes(column)
    return {}


def _number_changes(column: pl.Series, missing: frozenset[str]) -> dict[str, str]:
    bad = values.numbers(column, missing).bad
    if not bad:
        return {}
    cells = column.gather(list(bad)).unique().to_list()
    comma = values.comma_is_decimal(column.drop_nulls().unique().to_list())
    rewritten = {cell: values.plain_number(cell, comma=comma) for cell in cells}
    return {cell: new for cell, new in rewritten.items() if new is not None}


def _level_changes(
    column: pl.Series, known: tuple[str, ...], missing: frozenset[str], labels: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    changes: dict[str, str] = {}
    for cell in column.unique().drop_nulls().to_list():
        if cell in known or cell in missing or not cell.strip():
            continue
        bare = " ".join(cell.split())
        same = [level for level in known if level == bare] or [
            level for level in known if " ".join(level.split()).casefold() == bare.casefold()
        ]
        same = same or [level for label, level in labels.items() if " ".join(label.split()).casefold() == bare.casefold()]
        same = same or [level for level in (values.known_spellings([bare], known).get(bare),) if level and bare.endswith(".0")]
        if len(same) == 1:
            changes[cell] = same[0]
    return changes


def _key_changes(column: pl.Series) -> dict[str, str]:
    """Spaces around keys go, unless that makes two keys one."""
    bare = column.str.strip_chars()
    changed = column.filter(bare != column).drop_nulls().unique().to_list()
    if not changed or bare.n_unique() != column.n_unique():
        return {}
    return {cell: cell.strip() for cell in changed if cell.strip()}
