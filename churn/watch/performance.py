"""Performance: what logged predictions promised, window by window, and what came of them.

A window holds the predictions that one model made about the days of a month, a week or a day; models are never mixed. A customer
counts once in it, with the first of their predictions: whoever left early has no later one, so the last would show those who left
as they were just before, and everybody else at the end. What each figure is, and how sure, is in `churn.watch.figures`; when
outcomes count, in `churn.watch.matured`.

The log may be larger than memory. It is read window by window, only the columns that are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from churn.act.results import is_treated, treated
from churn.base.snapshot import RISK
from churn.base.value import Covariance
from churn.data.holdout import in_holdout
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import log, outcomes
from churn.watch.figures import Band, Figures, estimated, realised
from churn.watch.matured import COMPLETE, KNOWN, due, labelled

if TYPE_CHECKING:
    from churn.base.records import Records

Every = Literal["day", "week", "month"]
Whose = Literal["all", "called", "not called"]
LIST_SIZE: Final = 500  # unless said otherwise
FEW: Final = 200  # customers below which a window is too small to say
SHADOW: Final = "shadow"  # the source of predictions that nobody acted upon
RANKING_LEAST: Final = 0.01  # by so much the area under the curve must have fallen to matter
LEVEL_LEAST: Final = 0.01  # by so much the share that left must differ from the average risk to matter
LOSS_LEAST: Final = 0.01  # share by which log-loss must exceed what was promised to matter


@dataclass(frozen=True, slots=True)
class WindowPerformance:
    """What one model promised for the customers of one window, and what came of it.

    `start` to `end`, both included; `rows`: customers; `due`: the day on which the last of its outcomes may be known; `matured`:
    0–1, share of the customers whose outcome is known, their time being over; `estimated`: of all customers, without outcomes;
    `realised`: of those of matured cohorts, and `promised` the estimate for the same ones; both None until there are any. The
    list is of the whole window; where part of it has matured, it is those on it whose outcome counts. `kept_apart`: the model has
    learnt from some of these days, so only its holdout counts and the list is shorter by as much; sums are not of all.
    """

    model: str
    start: date
    end: date
    rows: int
    due: date
    matured: float
    estimated: Figures
    promised: Figures | None
    realised: Figures | None
    kept_apart: bool = False

    @property
    def few(self) -> bool:
        """Whether there are too few customers to say anything."""
        return (self.realised or self.estimated).rows < FEW

    @property
    def ranking_holds(self) -> bool | None:
        """Whether those who left ranked as far before those who stayed as was promised; None where nobody can say."""
        if self.realised is None or self.promised is None or self.few or not self.realised.auc or not self.promised.auc:
            return None
        found, promised = self.realised.auc.value, self.promised.auc
        return found >= promised.low or promised.value - found < RANKING_LEAST

    @property
    def level_holds(self) -> bool | None:
        """Whether as many left as was promised, neither more nor fewer; None where nobody can say."""
        if self.realised is None or self.promised is None or self.few:
            return None
        gap = self.realised.calibration.value
        return self.promised.calibration.holds(gap) or abs(gap) < LEVEL_LEAST


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model that its predictions are judged by.

    `covariance`: of its recalibration, how surely its risks are right; without it the bands are of chance alone. `learnt_until`:
    the last day it learnt from. What it says about that day and before is no prediction but for the customers of its holdout,
    which `salt` and `share` name, so only they count there.
    """

    covariance: Covariance | None = None
    learnt_until: date | None = None
    salt: str = ""
    share: float = 0.0

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> ModelFacts:
        """From a bundle's metrics."""
        until = metrics.get("learnt_until")
        return cls(
            covariance=metrics.get("calibration_covariance"),
            learnt_until=date.fromisoformat(until) if until else None,
            salt=str(metrics.get("holdout_salt", "")),
            share=float(metrics.get("holdout_share", 0.0)),
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """Realised log-loss of a window against what was promised for the same customers.

    `excess`: by what share it is above; `beyond`: above the band, by enough to matter, and of enough customers.
    """

    model: str
    start: date
    end: date
    realised: float
    promised: Band
    excess: float
    beyond: bool


@dataclass(frozen=True, slots=True)
class Change:
    """Estimated log-loss of a window against a baseline: `change` as a share of it, and whether that is more than chance."""

    model: str
    start: date
    end: date
    estimated: Band
    baseline: Band
    change: float
    sure: bool


# -- the history ---------------------------------------------------------------


def history(
    predictions: pl.DataFrame,
    statements: pl.DataFrame,
    schema: Schema,
    *,
    today: date,
    every: Every = "month",
    size: int = LIST_SIZE,
    facts: Mapping[str, ModelFacts] | None = None,
    called: pl.DataFrame | None = None,
    whose: Whose = "all",
    where: pl.Expr | None = None,
    complete: float = COMPLETE,
) -> tuple[WindowPerformance, ...]:
    """The performance of every model in every window, by time, then by model.

    Parameters
    ----------
    predictions: `__model__`, `__key__`, `__as_of__`, `__risk__`, `__scored_at__`; the money column if there is one; what `where`
        needs.
    statements: outcomes, as `churn.score.outcomes.statements` has them.
    today: nothing that was known later counts, and no prediction about a later day.
    size: how many customers are on the list, of those looked at.
    facts: of each model, by version (`facts_of`).
    called: who was to be called and when (`churn.act.results.treated`); needed where `whose` is not "all". A call may have
        changed what a customer did, so the promise is best judged on those not called.
    where: which of the customers to look at, as a condition on the columns. Whether a cohort has matured is told by all of it.

    Raises
    ------
    DataError: `whose` without `called`.
    """
    look = _Look(lambda _: statements, schema, today, every, size, facts or {}, called, whose, where, complete)
    windows = (
        (str(model), start, part)
        for (model, start), part in predictions.filter(pl.col(log.AS_OF) <= today).group_by(
            log.MODEL, _start(every), maintain_order=True
        )
        if isinstance(start, date)
    )
    return look.through(windows)


def of_log(
    store: Store,
    schema: Schema,
    *,
    today: date,
    every: Every = "month",
    size: int = LIST_SIZE,
    facts: Mapping[str, ModelFacts] | None = None,
    called: pl.DataFrame | None = None,
    whose: Whose = "all",
    where: pl.Expr | None = None,
    models: Sequence[str] | None = None,
    since: date | None = None,
    shadow: bool = False,
    damaged: list[str] | None = None,
    complete: float = COMPLETE,
) -> tuple[WindowPerformance, ...]:
    """`history` of the prediction log, one window in memory at a time.

    Parameters
    ----------
    today: as in `history`; predictions about later days are not read.
    models: only these versions. since: only predictions about days from then on. shadow: predictions nobody acted upon too.
    damaged: takes what is wrong with each part that cannot be read, instead of an error.

    Raises
    ------
    StoreUnavailable: the store is away, or a part of it is damaged.
    """
    look = _Look(_told_by(store, schema), schema, today, every, size, facts or {}, called, whose, where, complete)
    return look.through(_windows(store, every, look.columns, models, (since, today), damaged, shadow=shadow))


def window_of_log(
    store: Store,
    schema: Schema,
    model: str,
    start: date,
    *,
    today: date,
    every: Every = "month",
    columns: Sequence[str] = (),
    facts: Mapping[str, ModelFacts] | None = None,
    called: pl.DataFrame | None = None,
    whose: Whose = "all",
    where: pl.Expr | None = None,
    damaged: list[str] | None = None,
    complete: float = COMPLETE,
) -> pl.DataFrame:
    """The customers of one window by risk, with `__left__` where they are compared, and more columns of the log.

    What is raised is as in `of_log`; DataError where the log has nothing of that window.
    """
    look = _Look(_told_by(store, schema), schema, today, every, 1, facts or {}, called, whose, where, complete)
    until = min(_last(start, every), today)
    rows = _rows(store, model, start, until, list(dict.fromkeys([*look.columns, *columns])), None, damaged)
    if rows.is_empty():
        raise DataError(f"the log has no predictions of model {model} about the {every} from {start.isoformat()}")
    return _by_risk(look.chosen(look.ready(model, rows)[0]))


def who_was_called(records: Records) -> pl.DataFrame:
    """Those whose leaving a call may have changed, as `history` takes it."""
    return treated(records)


def facts_of(registry: Registry) -> dict[str, ModelFacts]:
    """What is known of every model in the store, by version. Raises StoreUnavailable."""
    return {one.version: ModelFacts.of(one.metrics) for one in registry.versions()}


def baseline(bundle: Bundle, size: int = LIST_SIZE) -> Figures:
    """What a model promises for its own reference sample: what later estimates are compared with."""
    p = np.sort(bundle.model.score(bundle.reference).risk)[::-1]
    return estimated(p, size, covariance=ModelFacts.of(bundle.metrics).covariance)


# -- what a retraining is decided by ------------------------------------------------


def loss_beyond_band(found: Sequence[WindowPerformance], least: float = LOSS_LEAST) -> tuple[Loss, ...]:
    """For every window with outcomes, whether its log-loss is beyond what was promised: the risks do not hold any more.

    Both are of the same customers, so that they have become other customers alone never counts. Best asked of customers not
    called.

    Parameters
    ----------
    found: as `history` gives it. least: share of the promised log-loss by which it must be exceeded.
    """
    listed = []
    for one in found:
        if one.realised is None or one.promised is None:
            continue
        loss, band = one.realised.log_loss.value, one.promised.log_loss
        excess = loss / band.value - 1 if band.value else 0.0
        beyond = loss > band.high and excess >= least and not one.few
        listed.append(Loss(one.model, one.start, one.end, loss, band, excess, beyond))
    return tuple(listed)


def estimated_change(
    found: Sequence[WindowPerformance], baselines: Mapping[str, Figures] | None = None, least: float = LOSS_LEAST
) -> tuple[Change, ...]:
    """For every window, how far its estimated log-loss has moved: the customers have become harder or easier to tell.

    Parameters
    ----------
    baselines: what each model is compared with, such as `baseline`; a model without one with its own first window.
    least: share of the baseline by which it must have moved.
    """
    known = dict(baselines or {})
    listed = []
    for one in found:
        start = known.setdefault(one.model, one.estimated).log_loss
        here = one.estimated.log_loss
        change = here.value / start.value - 1 if start.value else 0.0
        reach = (here.high - here.value) ** 2 + (start.high - start.value) ** 2
        sure = (here.value - start.value) ** 2 > reach and abs(change) >= least and one.rows >= FEW
        listed.append(Change(one.model, one.start, one.end, here, start, change, sure))
    return tuple(listed)


# -- inside --------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """What is looked at, and how."""

    statements: Callable[[pl.DataFrame], pl.DataFrame]  # of outcomes: those that may be about some predictions
    schema: Schema
    today: date
    every: Every
    size: int
    facts: Mapping[str, ModelFacts]
    called: pl.DataFrame | None
    whose: Whose
    where: pl.Expr | None
    complete: float

    def __post_init__(self) -> None:
        if self.whose != "all" and self.called is None:
            raise DataError(f"to look at customers {self.whose} it must be known who was called")

    @property
    def money(self) -> str | None:
        """The money column, where the log has it."""
        return self.schema.money.column if self.schema.money and self.schema.money.column in self.schema else None

    @property
    def columns(self) -> list[str]:
        """The columns of the log that are needed."""
        of_where = [] if self.where is None else self.where.meta.root_names()
        wanted = [log.KEY, log.AS_OF, log.SCORED_AT, RISK, *([self.money] if self.money else []), *of_where]
        return list(dict.fromkeys(wanted))

    def through(self, windows: Iterable[tuple[str, date, pl.DataFrame]]) -> tuple[WindowPerformance, ...]:
        listed = (self._window(model, start, *self.ready(model, rows)) for model, start, rows in windows)
        return tuple(sorted((one for one in listed if one), key=lambda one: (one.start, _natural(one.model))))

    def _of(self, model: str) -> ModelFacts:
        return self.facts.get(model, ModelFacts())

    def ready(self, model: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, float]:
        """One row a customer whom the model had not learnt from, with what became of them, and which share of all those are."""
        until, everybody = self._of(model).learnt_until, rows.height
        if until is not None and not rows.filter(pl.col(log.AS_OF) <= until).is_empty():
            new = in_holdout(rows[log.KEY], salt=self._of(model).salt, share=self._of(model).share)
            rows = rows.filter((pl.col(log.AS_OF) > until) | pl.Series(new))
        share = rows.height / everybody
        if rows[log.AS_OF].n_unique() > 1 or rows[log.SCORED_AT].n_unique() > 1:
            # of one day the prediction made last holds, of several days the first
            rows = rows.sort(log.AS_OF, log.SCORED_AT, descending=[False, True])
        first = rows.unique(log.KEY, keep="first", maintain_order=True)
        told = labelled(first, self.statements(first), self.schema, today=self.today, complete=self.complete)
        return told, share

    def chosen(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those looked at."""
        if self.called is not None and self.whose != "all":
            touched = is_treated(rows, self.called, key=log.KEY, snapshot=log.AS_OF, horizon_days=self.schema.horizon_days)
            rows = rows.filter(touched if self.whose == "called" else ~touched)
        if self.where is not None:
            rows = rows.filter(self.where)
        return rows

    def _window(self, model: str, start: date, everybody: pl.DataFrame, share: float) -> WindowPerformance | None:
        rows = self.chosen(everybody)
        if rows.is_empty():
            return None
        covariance, size = self._of(model).covariance, max(round(self.size * share), 1)
        promise = self._promise(rows, size, covariance)
        promised = found = None
        if rows[outcomes.LEFT].count():
            rows = _by_risk(rows)
            told = rows.filter(pl.col(outcomes.LEFT).is_not_null())
            if told.height < rows.height:
                size = max(rows[outcomes.LEFT].head(size).count(), 1)
                promised = self._promise(told, size, covariance)
            promised = promised or promise
            found = realised(self._risk(told), told[outcomes.LEFT].to_numpy(), size, money=self._money(told))
        last = everybody[log.AS_OF].max()
        assert isinstance(last, date)
        return WindowPerformance(
            model=model,
            start=start,
            end=_last(start, self.every),
            rows=rows.height,
            due=due(last, self.schema),
            matured=float(rows[KNOWN].sum()) / rows.height,
            estimated=promise,
            promised=promised,
            realised=found,
            kept_apart=share < 1,
        )

    def _promise(self, rows: pl.DataFrame, size: int, covariance: Covariance | None) -> Figures:
        p, money = self._risk(rows), self._money(rows)
        # which of equal risks are on the list makes no difference to a promise
        if money is None:
            return estimated(np.sort(p)[::-1], size, covariance=covariance)
        order = np.argsort(p)[::-1]
        return estimated(p[order], size, money=money[order], covariance=covariance)

    def _risk(self, rows: pl.DataFrame) -> np.ndarray:
        return rows[RISK].to_numpy().astype(np.float64)

    def _money(self, rows: pl.DataFrame) -> np.ndarray | None:
        return None if self.money is None else rows[self.money].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _told_by(store: Store, schema: Schema) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Outcomes as they are needed: of snapshots, those of one window at a time; without snapshots all, read once."""
    if schema.snapshot is None:
        everything = outcomes.statements(store)
        return lambda _: everything
    spans: dict[str, tuple[date, date]] = {}

    def told(rows: pl.DataFrame) -> pl.DataFrame:
        since, until = rows.select(pl.col(log.AS_OF).min(), last=pl.col(log.AS_OF).max()).row(0)
        return outcomes.statements(store, since=since, until=until, spans=spans)

    return told


def _windows(
    store: Store,
    every: Every,
    columns: Sequence[str],
    models: Sequence[str] | None,
    days: tuple[date | None, date],
    damaged: list[str] | None,
    *,
    shadow: bool,
) -> Iterator[tuple[str, date, pl.DataFrame]]:
    """The log of some days by model and window, each read when it is its turn; a column that no part of it has is null."""
    since, until = days
    listed = {(part.model, _first(part.date, every)) for part in log.parts(store, since=since, until=until)}
    sources = None if shadow else [source for source in log.SOURCES if source != SHADOW]
    for model, start in sorted(listed):
        if models is None or model in models:
            rows = _rows(store, model, max(start, since or start), min(_last(start, every), until), columns, sources, damaged)
            if not rows.is_empty():
                yield model, start, rows


def _rows(
    store: Store,
    model: str,
    since: date,
    until: date,
    columns: Sequence[str],
    sources: Sequence[str] | None,
    damaged: list[str] | None,
) -> pl.DataFrame:
    pieces = log.batches(store, model=model, since=since, until=until, columns=columns, sources=sources, damaged=damaged)
    rows = pl.concat([pl.DataFrame(schema={log.KEY: pl.String()}), *pieces], how="diagonal_relaxed")
    return rows.with_columns(pl.lit(None).alias(name) for name in columns if name not in rows.columns)


def _by_risk(rows: pl.DataFrame) -> pl.DataFrame:
    """In the order in which they would be called."""
    return rows.sort(RISK, log.KEY, descending=[True, False])


def _start(every: Every) -> pl.Expr:
    """The first day of the window that a row is in."""
    return pl.col(log.AS_OF).dt.truncate({"day": "1d", "week": "1w", "month": "1mo"}[every])


def _first(day: date, every: Every) -> date:
    if every == "day":
        return day
    return day - timedelta(days=day.weekday()) if every == "week" else day.replace(day=1)


def _last(start: date, every: Every) -> date:
    if every == "month":
        return (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return start + timedelta(days=6 if every == "week" else 0)


def _natural(model: str) -> tuple[str, int, str]:
    """v2 before v10."""
    head = model.rstrip("0123456789")
    return head, int(model[len(head) :] or 0), model
