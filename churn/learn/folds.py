"""Which rows train and which judge: a customer's rows stay together, and time only runs forward.

A row with a snapshot date is labelled once its horizon is over: until then a survivor is unknown, not 0, and so is a row that
happened to leave early, because keeping only leavers would invent churn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.errors import TrainingError
from churn.words import counted

LEFT = "__left__"
_OPEN = "__open__"
LEAST_ROWS = 50
LEAST_OF_A_CLASS = 10
MOST_LEVELS = 1_000  # some models see one column a level: 10,000 of them take gigabytes and say little


@dataclass(frozen=True, slots=True)
class Fold:
    """One split: positions of the rows trained on and of the rows judged."""

    train: np.ndarray  # int [n]
    test: np.ndarray  # int [m]
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Folds:
    """The splits of one table, and in words how they were made."""

    folds: tuple[Fold, ...]
    words: str
    complete: bool  # whether each row is judged once in every repeat


def labelled(table: pl.DataFrame, schema: Schema, *, as_of: date | None = None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows whose outcome is known, and notes on those left out.

    Parameters
    ----------
    table: conformed, with `__left__` (1, 0 or null).
    as_of: the day the outcomes were gathered; later horizons are still open. Unless given, only what the table itself shows
        counts: a snapshot whose survivors are all unlabelled is still open.

    Raises
    ------
    TrainingError: fewer than 50 rows, or fewer than 10 of a class, are left, or a column has more than 1,000 levels; the message
        has the counts.
    """
    notes = []
    known = table.filter(pl.col(LEFT).is_not_null())
    if known.height < table.height:
        unknown = table.height - known.height
        notes.append(f"{counted(unknown, 'row')} without an outcome {_was(unknown)} left out.")
    if schema.snapshot is not None:
        column, horizon = schema.snapshot.column, timedelta(days=schema.snapshot.horizon_days)
        by_day = table.group_by(column).agg((pl.col(LEFT).is_null().any() & (pl.col(LEFT) == 0).sum().eq(0)).alias(_OPEN))
        still_open = by_day.filter(pl.col(_OPEN))[column].to_list()
        if as_of is not None:
            still_open += [day for day in known[column].unique().to_list() if day is not None and day + horizon > as_of]
        early = known.filter(pl.col(column).is_in(list(set(still_open))))
        if early.height:
            known = known.filter(~pl.col(column).is_in(list(set(still_open))))
            rows = counted(early.height, "row")
            notes.append(f"{rows} of snapshots whose horizon is not over {_was(early.height)} left out.")
    check_enough(known, schema)
    _check_levels(schema)
    return known, tuple(notes)


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _check_levels(schema: Schema) -> None:
    for feature in schema.categories:
        if len(feature.levels) > MOST_LEVELS:
            raise TrainingError(
                f"column {feature.name!r} has {len(feature.levels):,} levels; at most {MOST_LEVELS:,} can be learnt from. "
                "Leave it out of the schema, or put levels together"
            )


def check_enough(table: pl.DataFrame, schema: Schema, where: str = "") -> None:
    """Raise TrainingError for fewer than 50 labelled rows or fewer than 10 of a class; `where` says which rows are meant."""
    rows, left = table.height, int(table[LEFT].sum() or 0)
    who = f"target {schema.target.column!r}"
    if rows < LEAST_ROWS:
        raise TrainingError(f"{who}: training needs at least {LEAST_ROWS} rows with a known outcome{where}; there are {rows}")
    for words, count in ((f"left ({schema.target.positive!r})", left), ("stayed", rows - left)):
        if count < LEAST_OF_A_CLASS:
            rule = f"training needs at least {LEAST_OF_A_CLASS} rows of customers who {words}{where}"
            raise TrainingError(f"{who}: {rule}; there are {count} of {rows:,}")


def make_folds(table: pl.DataFrame, schema: Schema, *, splits: int = 5, repeats: int = 1, seed: int = 0) -> Folds:
    """Split a labelled table for cross-validation.

    - one row a customer: repeated stratified K-fold;
    - customers repeat, no snapshot date: stratified, all rows of a customer in one fold;
    - snapshot dates: rolling origin with a gap of one horizon. Each fold judges one block of dates and one share of the
      customers, and trains on the other customers' rows whose horizon was over when the block began. Where the dates do not
      reach that far, customers are split as above and the words say so.

    Raises TrainingError if a class has fewer members than 2.
    """
    y = table[LEFT].to_numpy().astype(np.int64)
    keys = table[schema.key]
    if schema.snapshot is not None:
        by_time = _by_time(table[schema.snapshot.column], keys, y, schema.snapshot.horizon_days, splits, repeats, seed)
        if by_time:
            gap = f"a gap of {schema.snapshot.horizon_days} days"
            words = f"Forward in time, {len(by_time)} folds with {gap}; no customer is both trained on and judged in a fold."
            return Folds(tuple(by_time), words, complete=False)
    words = "the snapshot dates do not reach far enough to judge forward in time, so customers were split at random; " * (
        schema.snapshot is not None
    )
    words += f"{splits} folds × {repeats}"
    if keys.n_unique() < len(keys):
        return Folds(_grouped(keys, y, splits, repeats, seed), _sentence(words + ", all rows of a customer in one fold."), True)
    return Folds(_stratified(y, splits, repeats, seed), _sentence(words + ", stratified by the outcome."), True)


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _stratified(y: np.ndarray, splits: int, repeats: int, seed: int) -> tuple[Fold, ...]:
    from sklearn.model_selection import RepeatedStratifiedKFold

    splits = _possible(splits, y)
    splitter = RepeatedStratifiedKFold(n_splits=splits, n_repeats=repeats, random_state=seed)
    return tuple(Fold(train, test, i // splits) for i, (train, test) in enumerate(splitter.split(y, y)))


def _grouped(keys: pl.Series, y: np.ndarray, splits: int, repeats: int, seed: int) -> tuple[Fold, ...]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = keys.to_numpy()
    folds = []
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(_possible(splits, y), shuffle=True, random_state=seed + repeat)
        folds += [Fold(train, test, repeat) for train, test in splitter.split(y, y, groups)]
    usable = tuple(fold for fold in folds if _both(y[fold.train]) and _both(y[fold.test]))
    if len(usable) < len(folds):
        raise TrainingError(
            f"key {keys.name!r}: cross-validation needs leavers and stayers in every fold; all rows of one class belong to too "
            f"few of the {keys.n_unique():,} customers"
        )
    return usable


def _by_time(
    dates: pl.Series, keys: pl.Series, y: np.ndarray, horizon_days: int, splits: int, repeats: int, seed: int
) -> list[Fold]:
    days = dates.cast(pl.Int32).to_numpy()  # days since 1970
    distinct = np.unique(days)
    late = distinct[len(distinct) // 3 :]  # what is judged should have some past to learn from
    judged = [day for day in late if _enough_to_train(y[days + horizon_days <= day])]
    blocks = [block for block in np.array_split(np.array(judged, dtype=np.int64), min(splits, len(judged)) or 1) if len(block)]
    customers = keys.rank("dense").to_numpy().astype(np.int64) - 1
    count = int(customers.max()) + 1
    folds = []
    for repeat in range(repeats):
        share = np.random.default_rng(seed + repeat).permutation(count)[customers] % max(splits, 2)
        for i, block in enumerate(blocks):
            ours = share == i % max(splits, 2)
            train = np.flatnonzero(~ours & (days + horizon_days <= block[0]))
            test = np.flatnonzero(ours & np.isin(days, block))
            if len(train) and len(test) and _both(y[train]) and _both(y[test]):
                folds.append(Fold(train, test, repeat))
    return folds if len(folds) >= 2 else []


def _enough_to_train(y: np.ndarray) -> bool:
    return len(y) >= LEAST_ROWS and LEAST_OF_A_CLASS <= int(y.sum()) <= len(y) - LEAST_OF_A_CLASS


def _both(y: np.ndarray) -> bool:
    return len(y) > 0 and 0 < int(np.sum(y)) < len(y)


def _possible(splits: int, y: np.ndarray) -> int:
    rarest = min(int(y.sum()), len(y) - int(y.sum()))
    if rarest < 2:
        raise TrainingError(f"cross-validation needs at least 2 rows of each class; there is {rarest}")
    return min(splits, rarest)


def customer_folds(keys: pl.Series, *, splits: int = 3, seed: int = 0) -> tuple[Fold, ...]:
    """Each customer's rows judged once, by models trained on other customers; dates do not matter here."""
    customers = keys.rank("dense").to_numpy().astype(np.int64) - 1
    share = np.random.default_rng(seed).permutation(int(customers.max()) + 1)[customers] % splits
    return tuple(Fold(np.flatnonzero(share != i), np.flatnonzero(share == i)) for i in range(splits))
