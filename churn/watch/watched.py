"""All there is to see of a model's predictions: its windows, those of the models before it, for everybody or for one group.

What the Drift page, the command and the nightly watch ask first: sketches that are missing are built, then kilobytes are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from statistics import median

import polars as pl

from churn.errors import BundleRejected, NotInStore
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import log, sketch
from churn.score.sketch import Daily, Grid
from churn.watch import joint
from churn.watch.drift import Against, Every, WindowDrift, history, importance_of, span

SHOWN = 15  # windows that a page shows of a model
_MODELS = 3  # models before this one that are shown
_A_WEEK, _A_MONTH = 5, 20  # days between scorings from which on windows are weeks, months


@dataclass(frozen=True, eq=False)
class Watched:
    """What was found. `windows`: of this model, oldest first, `earlier`: of those before it, up to its first window.

    `grid`: this model's; `every`: how long windows are; `logged`: whether any model's predictions are logged at all.
    """

    windows: tuple[WindowDrift, ...]
    earlier: tuple[WindowDrift, ...]
    grid: Grid
    every: Every
    logged: bool


def watched(
    store: Store,
    registry: Registry,
    bundle: Bundle,
    *,
    before: Sequence[str] = (),
    every: Every | None = None,
    against: Against = "reference",
    importance: Mapping[str, float] | None = None,
    keep: pl.Expr | None = None,
    grid: Grid | None = None,
) -> Watched:
    """Look at a model of the store.

    Parameters
    ----------
    before: models that were in use before it, latest first.
    every: by how often there is a scoring, unless given.
    importance: as a scoring tells it; else worked out from the model's reference.
    keep: only customers for whom this holds of their features; their rows are read from the log, not from the sketches.
    grid: the model's, where it is known already.

    Raises
    ------
    StoreUnavailable: the store does not answer.
    """
    sketch.ensure(store, registry)
    days = sketch.read(store)
    own = [one for one in days if one.model == bundle.version]
    chosen: Every = every or usual_window([one.day for one in own or days])
    grid = grid or Grid.of(bundle)
    if keep is not None:
        since = _first_day(own, chosen)
        grid = grid.within(bundle, keep)
        own = list(_of_some(store, grid, keep, since))
    matters = importance_of(bundle, importance)
    together = joint.read(store, bundle.version) if keep is None else ()
    windows = history(own, grid, bundle.schema, every=chosen, against=against, importance=matters, joint=together)
    earlier: list[WindowDrift] = []
    if keep is None and windows:
        for version in before[:_MODELS]:
            earlier = [*_earlier(days, registry, version, chosen, against, (earlier or list(windows))[0].start), *earlier]
    return Watched(windows[-SHOWN:], tuple(earlier[-SHOWN:]), grid, chosen, bool(days))


def usual_window(days: Sequence[date]) -> Every:
    """Windows as long as scorings are apart, a month or a week; a week for scorings every day, once there are two of them."""
    ordered = sorted(set(days))
    gaps = [(after - before).days for before, after in pairwise(ordered)]
    apart = median(gaps) if gaps else 0
    if apart >= _A_MONTH:
        return "month"
    if apart >= _A_WEEK:
        return "week"
    return "week" if ordered and (ordered[-1] - ordered[0]).days >= 2 * 7 else "day"


def _first_day(days: Sequence[Daily], every: Every) -> date | None:
    """From which day on the log is to be read for as many windows as are shown."""
    starts = sorted({span(one.day, every)[0] for one in days})
    return starts[-SHOWN:][0] if starts else None


def _of_some(store: Store, grid: Grid, keep: pl.Expr, since: date | None) -> list[Daily]:
    columns = [log.KEY, *(column.name for column in grid.columns)]
    found: dict[date, sketch.Sketch] = {}
    for part in log.parts(store, model=grid.model, since=since):
        rows = log.rows(store, part, columns)
        if not set(keep.meta.root_names()) <= set(rows.columns):
            continue  # nobody can say who of them is of this group
        counted = sketch.sketch(rows.filter(keep), grid)
        found[part.date] = found[part.date] + counted if part.date in found else counted
    return [Daily(grid.model, day, one) for day, one in sorted(found.items())]


def _earlier(
    days: Sequence[Daily], registry: Registry, version: str, every: Every, against: Against, until: date
) -> tuple[WindowDrift, ...]:
    """The windows of a model before, up to the day where the next one's begin; none where it can no longer be had."""
    own = [one for one in days if one.model == version and one.day < until]
    if not own:
        return ()
    try:
        bundle = registry.load_model(version)
    except (BundleRejected, NotInStore):
        return ()
    return history(own, Grid.of(bundle), bundle.schema, every=every, against=against)
