"""Choosing a candidate's settings by cross-validated log-loss, within a number of trials or of minutes.

The first trial is always the candidate's own default, so one trial is a sound choice too. For boosted trees the number of trees
is no setting to search: each trial's learning curves, averaged over the folds, say which is best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.learn.candidates import MAX_BINS, Candidate, Design, Floats, Params
from churn.learn.folds import LEFT, Fold
from churn.model.encoder import Encoder

_MOST_GROWTH = 1.5  # of the number of trees, from the rows tuned on to the rows trained on

Progress = Callable[[str, int, int], None]


def silent(message: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class FoldData:
    """One fold, encoded by an encoder that saw its training rows only."""

    train: Design
    y_train: Floats
    test: Design
    y_test: Floats


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: its mean log-loss, after each fold and in the end (None where it was given up), when it began
    and ended, and with how many trees in a row it did best (None for a candidate without)."""

    number: int
    params: Params
    losses: tuple[float, ...]
    log_loss: float | None
    began: datetime
    ended: datetime
    trees: int | None = None


@dataclass(frozen=True)
class Tuned:
    """The settings chosen (with `trees` where there are trees in a row), their log-loss, how many trials it took, on how many
    rows each of their models was trained (0 for settings that fit any number), and every setting `tried`."""

    params: Params
    log_loss: float
    trials: int
    rows: int = 0
    tried: tuple[Trial, ...] = field(default=(), compare=False)  # with the times they took

    def params_for(self, rows: int) -> dict[str, Any]:
        """The settings to train on so many rows: more rows bear more trees.

        By the square root of the ratio, by half at most: on three tables of 7,000 to 10,000 rows that lowered log-loss, by
        about 1 % where a thousand trees are needed and by next to nothing where a hundred are.
        """
        params = dict(self.params)
        if self.rows and "trees" in params:
            params["trees"] = round(params["trees"] * min(_MOST_GROWTH, max(1.0, (rows / self.rows) ** 0.5)))
        return params


def prepare(table: pl.DataFrame, schema: Schema, folds: Sequence[Fold]) -> tuple[FoldData, ...]:
    """Encode each fold of a labelled, conformed table."""
    y = table[LEFT].to_numpy().astype(np.float64)
    data = []
    for fold in folds:
        rows = table[fold.train]
        encoder = Encoder.fit(rows, schema, MAX_BINS)
        data.append(FoldData(Design.of(rows, encoder), y[fold.train], Design.of(table[fold.test], encoder), y[fold.test]))
    return tuple(data)


def tune(
    candidate: Candidate,
    data: Sequence[FoldData],
    *,
    trials: int | None = 20,
    minutes: float | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = silent,
) -> Tuned:
    """Search a candidate's settings with Optuna's TPE; a trial that is clearly losing after a fold is given up.

    Parameters
    ----------
    data: the folds to judge by; rows that judge the result later must not be among them.
    trials: how many settings to try, at least 1; None for as many as `minutes` allow.
    minutes: when to stop at the latest; the first trial always ends.
    progress: called as (message, trials done, trials in all; 0 where only time limits them).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it reports every exception with a traceback besides raising it
    until = None if minutes is None else time.monotonic() + 60 * minutes
    first = 4  # settings drawn at random before the search starts to learn
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=first, n_warmup_steps=0)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    study.enqueue_trial(dict(candidate.defaults))

    def objective(trial: Any) -> float:
        params = candidate.suggest(trial)
        curves: list[Floats] = []
        for step, fold in enumerate(data):
            curves.append(_losses(candidate, params, fold, threads, seed))
            loss, trees = _best(curves)
            trial.report(loss, step)
            if step + 1 < len(data) and trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("trees", trees)
        return loss

    def tell(study: Any, trial: Any) -> None:
        progress(f"{candidate.name}: tuning", len(study.trials), trials or 0)
        if until is not None and time.monotonic() >= until:
            study.stop()

    study.optimize(objective, n_trials=None if trials is None else max(1, trials), callbacks=[tell])
    best = study.best_trial
    trees = best.user_attrs["trees"]
    params = dict(best.params) if trees is None else {**best.params, "trees": trees}
    rows = round(float(np.mean([fold.train.rows for fold in data])))
    return Tuned(params, float(best.value), len(study.trials), rows, tuple(_trial(one) for one in study.trials))


def _trial(trial: Any) -> Trial:
    """An Optuna trial, of which a pruned one has the value of its last fold: here it has none."""
    pruned = trial.state.name != "COMPLETE"
    began = trial.datetime_start.astimezone(UTC)
    ended = (trial.datetime_complete or trial.datetime_start).astimezone(UTC)
    losses = tuple(float(loss) for _, loss in sorted(trial.intermediate_values.items()))
    value = None if pruned else float(trial.value)
    return Trial(trial.number, dict(trial.params), losses, value, began, ended, trial.user_attrs.get("trees"))


def _losses(candidate: Candidate, params: Params, fold: FoldData, threads: int, seed: int) -> Floats:
    """Log-loss on the fold by number of trees; a single figure [1] for a candidate without trees in a row."""
    curve = candidate.curve(params, fold.train, fold.y_train, fold.test, fold.y_test, threads=threads, seed=seed)
    if curve is not None:
        return curve
    fitted = candidate.fit(params, fold.train, fold.y_train, threads=threads, seed=seed)
    tiny = np.finfo(np.float64).eps
    p = np.clip(fitted.probability(fold.test), tiny, 1 - tiny)
    return np.array([-np.mean(fold.y_test * np.log(p) + (1 - fold.y_test) * np.log1p(-p))])


def _best(curves: Sequence[Floats]) -> tuple[float, int | None]:
    """The lowest point of the mean curve and its number of trees; a curve that ended early stays at its last value."""
    longest = max(len(curve) for curve in curves)
    mean = np.mean([np.concatenate([c, np.full(longest - len(c), c[-1])]) for c in curves], axis=0)
    at = int(np.argmin(mean))
    return float(mean[at]), at + 1 if longest > 1 else None
