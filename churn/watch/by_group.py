"""Where predictions err, and how they treat groups: what was promised and what came, group by group.

Among many groups some look bad by chance. So all intervals of one answer hold together 19 times in 20 (Bonferroni over the groups
that are large enough to be told), and a group is *off* only where its interval leaves out what was promised. Shares have Wilson's
intervals (1927), which for a group of mixed risks are a little wide: no group is called off too soon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from churn.base.groups import BAND, Group, groups, number_edges
from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.metrics import TINY, wilson
from churn.score import outcomes
from churn.watch.figures import LEVEL, Band

LEAST = 50  # customers in a group below which nothing is said of it, unless said otherwise


@dataclass(frozen=True, slots=True)
class GroupPerformance:
    """How predictions for one group came out.

    `left` of `rows` customers left, `expected` were expected to; `gap`: share that left less the average risk. `excess`: log-loss
    above what was promised. `listed` of them were on the list, `selected` as a share of the group; `recall`: share of those who
    left that was on it, None where nobody left. `few`: too few customers to say; `off`: the gap is more than chance.
    """

    column: str
    label: str
    rows: int
    left: int
    expected: float
    gap: Band
    excess: float
    listed: int
    selected: Band
    recall: Band | None
    few: bool

    @property
    def off(self) -> bool:
        return not self.few and not self.gap.holds(0.0)


def groups_of(columns: Sequence[str], schema: Schema, reference: pl.DataFrame) -> dict[str, tuple[Group, ...]]:
    """The groups of columns, numbers cut where that suits a sample of the customers, such as a model's reference."""
    features = [schema.feature(column) for column in columns]
    return {one.name: groups(one, schema, number_edges(one, reference[one.name]) if one.is_number else None) for one in features}


def by_group(
    rows: pl.DataFrame, of: Mapping[str, Sequence[Group]], schema: Schema, size: int, *, least: int = LEAST
) -> tuple[GroupPerformance, ...]:
    """What was promised and what came, for each group of some columns and each band of risk; groups with nobody are left out.

    Parameters
    ----------
    rows: as `churn.watch.performance.window_of_log` gives them, with these columns; those with a known outcome count.
    of: groups by column. size: how many are on the list, of all that count. least: customers that a group needs.

    Raises
    ------
    DataError: no outcome is known yet.
    """
    told = rows.filter(pl.col(outcomes.LEFT).is_not_null())
    if told.is_empty():
        raise DataError("no outcome of these customers is known yet")
    p = np.clip(told[RISK].to_numpy().astype(np.float64), TINY, 1 - TINY)
    y = told[outcomes.LEFT].to_numpy().astype(np.float64)
    surprise = np.where(y == 1, -np.log(p), -np.log1p(-p)) + p * np.log(p) + (1 - p) * np.log1p(-p)
    on_list = np.arange(told.height) < size
    found = [(column, label, mask) for column, label, mask in _masks(told, of, schema) if mask.any()]
    level = LEVEL / max(sum(int(mask.sum()) >= least for *_, mask in found), 1)
    return tuple(
        _one(column, label, p[mask], y[mask], surprise[mask], on_list[mask], level, least) for column, label, mask in found
    )


def worst_first(found: Sequence[GroupPerformance]) -> tuple[GroupPerformance, ...]:
    """Those off by more than chance first, by how many customers they are wrong about; then the others; the small ones last."""
    return tuple(sorted(found, key=lambda one: (one.few, not one.off, -abs(one.left - one.expected))))


def _masks(told: pl.DataFrame, of: Mapping[str, Sequence[Group]], schema: Schema) -> list[tuple[str, str, np.ndarray]]:
    listed = [
        (column, group.label, told.select(group.expression(column)).to_series().to_numpy())
        for column, some in of.items()
        for group in some
    ]
    risk = told[RISK].to_numpy()
    edges = np.array([band.below for band in schema.bands])
    place = np.searchsorted(edges, risk, side="right")
    return [*listed, *((BAND, band.name, place == i) for i, band in enumerate(schema.bands))]


def _one(
    column: str,
    label: str,
    p: np.ndarray,
    y: np.ndarray,
    surprise: np.ndarray,
    on_list: np.ndarray,
    level: float,
    least: int,
) -> GroupPerformance:
    rows, left, listed = len(p), int(y.sum()), int(on_list.sum())
    share, average = left / rows, float(p.mean())
    low, high = wilson(left, rows, level)
    hits = int((y * on_list).sum())
    return GroupPerformance(
        column=column,
        label=label,
        rows=rows,
        left=left,
        expected=float(p.sum()),
        gap=Band(share - average, low - average, high - average),
        excess=float(surprise.mean()),
        listed=listed,
        selected=Band(listed / rows, *wilson(listed, rows, level)),
        recall=Band(hits / left, *wilson(hits, left, level)) if left else None,
        few=rows < least,
    )
