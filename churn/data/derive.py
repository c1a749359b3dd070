"""What follows from what: columns computed from two others, columns that repeat another, levels that fix other columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.data.formula import columns as columns_of
from churn.data.formula import evaluate, quoted
from churn.data.schema import Rule

Floats = npt.NDArray[np.float64]

EXACT_SHARE = 0.995  # share of rows that a formula must give to the last digit shown
CLOSE_FIT = 0.99  # R² of a formula, taken as it is, that holds approximately
MOST_COLUMNS = 40  # number columns compared
_LEAST_ROWS = 50
_SAMPLE = 1500
_FEW = 64
_ONE_ALONE = 0.95  # R² of one column from which it needs no other
_LEAST_VALUES = 8  # a column of fewer distinct values agrees with too much by chance
_NONE_OF_IT = frozenset({"no", "none", "0", "false", "n"})
_SUPPORT = 30  # rows that a level must have before what it implies counts


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that follows from others, to the last digit shown in `held` of the `rows` where all of it is known.

    `residual`: it gives the rows only nearly, or not all of them, so that each keeps its difference. `share`: `held` by `rows`,
    or R² where it holds nearly (`near`).
    """

    column: str
    formula: str
    share: float
    residual: bool
    rows: int
    held: int
    near: bool = False


@dataclass(frozen=True, slots=True)
class Implication:
    """Where `column` is `level`, each of `then` holds; seen in `rows` rows.

    `broken`: rows, there or elsewhere, that speak against it; 0 where it always holds.
    """

    column: str
    level: str
    then: Mapping[str, str | float]
    rows: int
    broken: int = 0


def find_formulas(numbers: Mapping[str, Floats]) -> tuple[Derived, ...]:
    """Columns that are the sum, difference, product or quotient of two others, or a multiple of one, exactly or nearly.

    Parameters
    ----------
    numbers: column → float64[rows], NaN where missing; in the table's order, which decides who derives from whom: of the
    columns of one exact relation the last counts as derived. A near relation is looked for as a product only.

    At most 40 columns are compared. No cycles: a formula uses no column that is derived from the one it gives.
    """
    names = [name for name, column in numbers.items() if _varied(column)][:MOST_COLUMNS]
    if len(names) < 2:
        return ()
    table = np.stack([numbers[name] for name in names])
    rng = np.random.default_rng(0)
    sample = np.sort(rng.choice(table.shape[1], size=min(_SAMPLE, table.shape[1]), replace=False))
    worth = _worth_trying(table[:, sample])
    multiples = _multiples(names, table[:, sample])
    found: dict[str, Derived] = {}
    for nearly in (False, True):  # what is exact first: a near relation may be another way to see it
        for place, name in enumerate(names):  # in the table's order: the last column of a relation is the derived one
            pairs = [(i, j, sign) for i, j, sign, near in worth.get(place, ()) if near == nearly]
            formulas = [f"{quoted(names[i])} {sign} {quoted(names[j])}" for i, j, sign in pairs]
            formulas = formulas if nearly else [*multiples.get(place, ()), *formulas]
            candidates = [_near(name, text, numbers) if nearly else _exact(name, text, numbers) for text in formulas]
            derived = [item for item in candidates if item is not None and not _circular(item, found)]
            if derived and name not in found:
                found[name] = max(derived, key=lambda item: item.share) if nearly else derived[0]
    return tuple(found[name] for name in names if name in found)


def _varied(column: Floats) -> bool:
    known = column[~np.isnan(column)]
    return known.size >= _LEAST_ROWS and np.unique(known).size >= _LEAST_VALUES


def _worth_trying(table: Floats) -> dict[int, list[tuple[int, int, str, bool]]]:
    """For each column, the pairs and signs that come close on a few rows: (first, second, sign, only nearly).

    One pass over all pairs with all columns at once; what it lets through is judged on all rows afterwards.
    table: float64[columns, rows].
    """
    worth: dict[int, list[tuple[int, int, str, bool]]] = {}
    few = table[:, :: max(1, table.shape[1] // _FEW)]
    steps = np.array([[0.51 * 10.0 ** -_decimals(column)] for column in table])
    spread = np.nanvar(table, axis=1)
    for i in range(len(table)):
        for j in range(i + 1, len(table)):
            a, b = few[i], few[j]
            with np.errstate(all="ignore"):
                results = {"-": a - b, "~": b - a, "+": a + b, "*": a * b, "/": a / b, "\\": b / a}
                product = table[i] * table[j]
            for sign, result in results.items():
                close = np.abs(few - result) <= steps + 1e-9 * np.abs(few)
                known = ~np.isnan(few) & np.isfinite(result)
                share = close.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
                for place in np.flatnonzero((share > 0.9) & (np.arange(len(table)) > j)).tolist():
                    turned = sign in "~\\"
                    pair = (j, i) if turned else (i, j)
                    worth.setdefault(place, []).append((*pair, {"~": "-", "\\": "/"}.get(sign, sign), False))
            fit = 1 - np.nanmean((table - product) ** 2, axis=1) / spread
            for place in np.flatnonzero(fit >= CLOSE_FIT - 0.02).tolist():
                if place not in (i, j):
                    worth.setdefault(place, []).append((i, j, "*", True))
    return worth


def _multiples(names: Sequence[str], table: Floats) -> dict[int, list[str]]:
    """For each column, the earlier columns of which it is a fixed multiple, such as minutes at a price: `0.17 * minutes`."""
    found: dict[int, list[str]] = {}
    for place in range(1, len(table)):
        wanted, earlier = table[place], table[:place]
        with np.errstate(all="ignore"):
            factors = np.nansum(earlier * wanted, axis=1) / np.nansum(np.where(np.isnan(wanted), np.nan, earlier) ** 2, axis=1)
        for other in np.flatnonzero(np.isfinite(factors)).tolist():
            step = 0.51 * 10.0 ** -_decimals(wanted) + 1e-6 * np.abs(wanted)
            if np.mean(np.abs(wanted - factors[other] * table[other]) <= 4 * step) < 0.9:
                continue
            for digits in range(1, 7):  # the shortest factor that does
                factor = float(f"{factors[other]:.{digits}g}")
                if np.mean(np.abs(wanted - factor * table[other]) <= step) > 0.9 and factor not in (0.0, 1.0):
                    found.setdefault(place, []).append(f"{factor:.12g} * {quoted(names[other])}")
                    break
    return found


def _exact(name: str, text: str, numbers: Mapping[str, Floats]) -> Derived | None:
    """The formula, if it gives the column to the last digit shown and neither of its columns alone nearly does."""
    wanted, result = numbers[name], np.asarray(evaluate(text, numbers))
    decimals = _decimals(wanted)
    held, rows = _agreeing(wanted, result, decimals)
    if (
        held < EXACT_SHARE * rows
        or not rows
        or any(_agreement(wanted, numbers[part], decimals) > 0.9 for part in columns_of(text))
    ):
        return None
    if _agreeing(wanted, result, 9)[0] < held and decimals <= 6:
        text = f"round({text}, {decimals})"
    return Derived(name, text, held / rows, residual=held < rows, rows=rows, held=held)


def _decimals(column: Floats) -> int:
    """How many decimals a column is written with (at most 12)."""
    known = column[~np.isnan(column)]
    for decimals in range(13):
        if np.all(np.abs(known - np.round(known, decimals)) <= 1e-9 * np.maximum(np.abs(known), 1e-3)):
            return decimals
    return 12


def _agreement(wanted: Floats, given: Floats, decimals: int) -> float:
    """Of the rows where both are known, the share that differ by no more than half a unit of the last digit shown."""
    held, rows = _agreeing(wanted, given, decimals)
    return held / rows if rows else 0.0


def _agreeing(wanted: Floats, given: Floats, decimals: int) -> tuple[int, int]:
    """How many rows agree, and of how many; of none where too few are known to say."""
    known = ~np.isnan(wanted) & ~np.isnan(given)
    rows = int(known.sum())
    if rows < max(_LEAST_ROWS, 0.5 * (~np.isnan(wanted)).sum()):
        return 0, 0
    tolerance = 0.5 * 10.0**-decimals * 1.0001 + 1e-9 * np.abs(wanted[known])
    return int((np.abs(wanted[known] - given[known]) <= tolerance).sum()), rows


def _near(name: str, text: str, numbers: Mapping[str, Floats]) -> Derived | None:
    """The product, if the column nearly is it and neither of the two alone tells as much."""
    wanted, result = numbers[name], np.asarray(evaluate(text, numbers))
    fit = _fit(wanted, result)
    if fit < CLOSE_FIT or max(_line(wanted, numbers[part]) for part in columns_of(text)) > _ONE_ALONE:
        return None
    held, rows = _agreeing(wanted, result, _decimals(wanted))
    return Derived(name, text, fit, residual=True, rows=rows, held=held, near=True)


def _fit(wanted: Floats, given: Floats) -> float:
    """R² of a formula with nothing fitted: 1 − Σ(y − f)² / Σ(y − ȳ)²."""
    known = ~np.isnan(wanted) & ~np.isnan(given)
    if known.sum() < _LEAST_ROWS:
        return 0.0
    y, f = wanted[known], given[known]
    spread = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - f) ** 2).sum()) / spread if spread > 0 else 0.0


def _line(wanted: Floats, given: Floats) -> float:
    """R² of a straight line through one column."""
    known = ~np.isnan(wanted) & ~np.isnan(given)
    if known.sum() < _LEAST_ROWS or wanted[known].std() == 0 or given[known].std() == 0:
        return 0.0
    return float(np.corrcoef(wanted[known], given[known])[0, 1] ** 2)


def _circular(new: Derived, known: Mapping[str, Derived]) -> bool:
    """Whether a formula needs, directly or through others, the column it gives."""
    seen: set[str] = set()
    queue = list(columns_of(new.formula))
    while queue:
        column = queue.pop()
        if column == new.column:
            return True
        if column not in seen and column in known:
            queue.extend(columns_of(known[column].formula))
        seen.add(column)
    return False


def find_copies(table: pl.DataFrame) -> dict[str, str]:
    """Columns that are another, earlier one over again: the same values, or the same groups under other names.

    table: text or number columns; returns copy → original. Numbers count as copies only where they are equal.
    """
    copies: dict[str, str] = {}
    seen: dict[tuple[bool, int, bytes], str] = {}
    for column in table.get_columns():
        if column.n_unique() < 2:
            continue
        if column.dtype == pl.String:  # by where each value first occurs: the names of the levels are no matter
            rows = pl.DataFrame({"v": column}).with_row_index("row").select(pl.col("row").min().over("v")).to_series()
            key = (True, len(rows), rows.to_numpy().tobytes())
        else:
            key = (False, len(column), column.cast(pl.Float64).fill_null(float("nan")).to_numpy().tobytes())
        if key in seen:
            copies[column.name] = seen[key]
        else:
            seen[key] = column.name
    return copies


def find_implications(
    levels: pl.DataFrame, numbers: Mapping[str, Floats], names: Mapping[str, Sequence[str]]
) -> tuple[Implication, ...]:
    """Levels that mean "no" and then always fix other columns: Internet = No ⇒ every service says "No internet service".

    Parameters
    ----------
    levels: the text features (null = missing). numbers: the number features. names: column → the words of its name.

    A column follows if its level then names the parent ("No internet service" names "Internet service") and comes nowhere
    else, or if it is a number that is then always 0 and otherwise mostly is not. Coincidences of two plain levels are not
    reported: they are facts about these customers, not rules.

    What holds in at least `EXACT_SHARE` of the rows but not in all is reported apart, column by column, with the rows that
    speak against it: typing errors, or customers for whom it is not so.
    """
    found: list[Implication] = []
    for parent in levels.columns:
        column = levels[parent]
        for level in column.unique().drop_nulls().sort().to_list():
            if level.strip().lower() not in _NONE_OF_IT:
                continue
            here = (column == level).fill_null(value=False)
            rows = int(here.sum())
            if rows < _SUPPORT or rows > levels.height - _SUPPORT:
                continue
            follows: dict[str, tuple[str | float, int]] = {}
            for child in levels.columns:
                told = _follows(levels[child], here, names[parent]) if child != parent else None
                if told is not None:
                    follows[child] = told
            mask = here.to_numpy()
            for name, number in numbers.items():
                inside, outside = number[mask], number[~mask]
                zero = int((inside == 0).sum())
                if zero >= EXACT_SHARE * rows and np.nanmean(outside == 0) < 0.5:
                    follows[name] = 0.0, rows - zero
            always = {child: value for child, (value, broken) in follows.items() if not broken}
            if always:
                found.append(Implication(parent, level, always, rows))
            found += [
                Implication(parent, level, {child: value}, rows, broken) for child, (value, broken) in follows.items() if broken
            ]
    return tuple(found)


def _follows(child: pl.Series, here: pl.Series, parent_words: Sequence[str]) -> tuple[str, int] | None:
    """The value that a column (nearly) always has here and (nearly) nowhere else, and the rows that speak against it."""
    inside = child.filter(here)
    counts = inside.drop_nulls().value_counts(sort=True)
    if counts.is_empty() or not parent_words:
        return None
    value, count = str(counts[child.name][0]), int(counts["count"][0])
    told = {word.lower() for word in value.replace("-", " ").replace("_", " ").split()}
    if not set(parent_words) <= told or not told & {"no", "not", "without", "none"}:
        return None
    elsewhere = int((child.filter(~here) == value).sum())
    if count < EXACT_SHARE * len(inside) or elsewhere > (1 - EXACT_SHARE) * count:
        return None
    return value, len(inside) - count + elsewhere


def rules_of(
    implications: Sequence[Implication], levels: Mapping[str, Sequence[str]], labels: Mapping[str, str]
) -> tuple[Rule, ...]:
    """Implications that always hold as rules for edits, and the way back: with internet, "No internet service" becomes "No".

    levels: column → its levels. labels: column → how people call it.
    """
    rules: list[Rule] = []
    for found in implications:
        if found.broken:
            continue
        rules.append(
            Rule(
                when={found.column: found.level},
                then=dict(found.then),
                label=f"No {_lower_first(labels[found.column])}",
                evidence=f"holds in all {found.rows:,} such rows",
            )
        )
        others = tuple(level for level in levels[found.column] if level != found.level)
        for child, value in found.then.items():
            plain = next((level for level in levels.get(child, ()) if level.strip().lower() == "no"), None)
            if isinstance(value, str) and plain is not None and others:
                when: dict[str, str | tuple[str, ...]] = {found.column: others if len(others) > 1 else others[0], child: value}
                way_back = f"{value!r} is nowhere else"
                rules.append(Rule(when=when, then={child: plain}, label=labels[found.column], evidence=way_back))
    return tuple(rules)


def _lower_first(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
