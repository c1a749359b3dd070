"""Every candidate on the same folds: who predicts best, by how much, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.learn.candidates import BLEND, Candidate, Floats, Params
from churn.learn.evaluation import (
    FoldPrediction,
    corrected_estimate,
    fold_estimates,
    judged_to_trained,
    measure,
    per_fold,
)
from churn.learn.folds import Fold
from churn.learn.tuning import Tuned, prepare
from churn.model.calibration import KINDS, Calibrator, sigmoid
from churn.model.metrics import Estimate

CALIBRATION_ERRORS = 1.0  # by how many standard errors calibrating must lower the log-loss to count as more than noise


@dataclass(frozen=True)
class Judged:
    """One candidate's predictions on rows it was not trained on, fold by fold."""

    key: str
    name: str
    compiles: bool
    params: Params
    trials: int
    seconds: float
    folds: tuple[FoldPrediction, ...]
    margins: tuple[Floats, ...] | None  # log-odds a fold, for candidates that compile


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard. `behind`: log-loss minus the best candidate's on the same folds (0 for the best)."""

    key: str
    name: str
    compiles: bool
    measures: Mapping[str, Estimate]
    behind: Estimate
    params: Params
    trials: int
    seconds: float
    saved: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a figure without standard error (one fold) has null there."""
        document = asdict(self)
        for estimate in (*document["measures"].values(), document["behind"]):
            estimate.update({name: None for name, value in estimate.items() if value != value})
        return document


def judge(
    candidates: Sequence[Candidate],
    tuned: Mapping[str, Tuned],
    table: pl.DataFrame,
    schema: Schema,
    folds: Sequence[Fold],
    *,
    blend: bool,
    threads: int,
    seed: int,
    step: Callable[[str], None],
) -> tuple[Judged, ...]:
    """Train each candidate in each fold with its tuned settings; `blend` adds the average of those it is made of.

    Folds are encoded one at a time, so memory holds one fold. `step` is called before each fit with what is being done.
    """
    probabilities: dict[str, list[FoldPrediction]] = {candidate.key: [] for candidate in candidates}
    margins: dict[str, list[Floats]] = {candidate.key: [] for candidate in candidates}
    seconds = dict.fromkeys(probabilities, 0.0)
    for number, fold in enumerate(folds, 1):
        (data,) = prepare(table, schema, [fold])
        for candidate in candidates:
            step(f"{candidate.name}: fold {number} of {len(folds)}")
            start = time.perf_counter()
            fitted = candidate.fit(
                tuned[candidate.key].params_for(data.train.rows), data.train, data.y_train, threads=threads, seed=seed
            )
            if candidate.compiles:
                margin = fitted.margin(data.test)
                margins[candidate.key].append(margin)
                p = sigmoid(margin)
            else:
                p = fitted.probability(data.test)
            seconds[candidate.key] += time.perf_counter() - start
            probabilities[candidate.key].append(FoldPrediction(len(fold.train), fold.test, p, fold.repeat))
    result = [
        Judged(
            c.key,
            c.name,
            c.compiles,
            tuned[c.key].params,
            tuned[c.key].trials,
            seconds[c.key],
            tuple(probabilities[c.key]),
            tuple(margins[c.key]) if c.compiles else None,
        )
        for c in candidates
    ]
    if blend:
        members = [judged for judged in result if judged.key in BLEND.members]
        result.append(average_of(members))
    return tuple(result)


def average_of(members: Sequence[Judged]) -> Judged:
    """The candidate whose margin is the mean of the members': nothing needs to be trained for it."""
    margins = tuple(np.mean(of_fold, axis=0) for of_fold in zip(*(member.margins or () for member in members), strict=True))
    folds = tuple(
        FoldPrediction(fold.train_rows, fold.rows, sigmoid(margin), fold.repeat)
        for fold, margin in zip(members[0].folds, margins, strict=True)
    )
    params = {member.key: dict(member.params) for member in members}
    seconds = sum(member.seconds for member in members)
    return Judged(BLEND.key, BLEND.name, True, params, sum(m.trials for m in members), seconds, folds, margins)


def ranked(judged: Sequence[Judged], y: np.ndarray, *, groups: np.ndarray | None = None) -> tuple[Row, ...]:
    """The leaderboard, lowest log-loss first, for outcomes y [rows] and customers `groups` [rows] where a key repeats."""
    figures = {one.key: per_fold(y, one.folds) for one in judged}
    order = sorted(judged, key=lambda one: float(np.mean(figures[one.key]["log_loss"])))
    best = figures[order[0].key]["log_loss"]
    rows = []
    for one in order:
        ratio = judged_to_trained(one.folds)
        behind = corrected_estimate(np.subtract(figures[one.key]["log_loss"], best).tolist(), ratio)
        measures = fold_estimates(y, one.folds, groups=groups, draws=100)
        rows.append(Row(one.key, one.name, one.compiles, measures, behind, one.params, one.trials, one.seconds))
    return tuple(rows)


@dataclass(frozen=True)
class Calibration:
    """The calibrator chosen, why in words, and the fold predictions as they are with it, each calibrated by other folds."""

    calibrator: Calibrator
    words: str
    folds: tuple[FoldPrediction, ...]


def choose_calibrator(judged: Judged, y: np.ndarray) -> Calibration:
    """Keep the margins as they are, unless a calibrator lowers log-loss on folds it was not fitted on by more than noise.

    Each fold is calibrated by a calibrator fitted on the other folds of its repeat; the gain is the paired mean over folds with
    the corrected standard error (Nadeau & Bengio 2003).
    """
    assert judged.margins is not None
    plain = per_fold(y, judged.folds)["log_loss"]
    best: tuple[Estimate, Any, tuple[FoldPrediction, ...]] | None = None
    for kind in KINDS:
        if kind == "identity" or len(judged.folds) < 2:
            continue
        folds = _crossfitted(judged, y, kind)
        losses = [measure(y[fold.rows], fold.probability)["log_loss"] for fold in folds]
        gain = corrected_estimate(np.subtract(plain, losses).tolist(), judged_to_trained(folds))
        if best is None or gain.value > best[0].value:
            best = (gain, kind, folds)
    if best is None:
        return Calibration(Calibrator(), "Not calibrated: there is only one fold to judge by.", judged.folds)
    gain, kind, folds = best
    if not gain.value > CALIBRATION_ERRORS * gain.standard_error:
        words = f"Not calibrated: the best way ({kind}) would change log-loss by {-gain.value:+.4f}, which is no more than noise."
        return Calibration(Calibrator(), words, judged.folds)
    margins, outcomes = np.concatenate(judged.margins), np.concatenate([y[fold.rows] for fold in judged.folds])
    words = f"Calibrated ({kind}): it lowers cross-validated log-loss by {gain.value:.4f} ± {gain.standard_error:.4f}."
    return Calibration(Calibrator.fit(margins, outcomes, kind), words, folds)


def _crossfitted(judged: Judged, y: np.ndarray, kind: Any) -> tuple[FoldPrediction, ...]:
    assert judged.margins is not None
    result = []
    for i, fold in enumerate(judged.folds):
        others = [j for j, other in enumerate(judged.folds) if j != i and other.repeat == fold.repeat]
        others = others or [j for j in range(len(judged.folds)) if j != i]
        margins = np.concatenate([judged.margins[j] for j in others])
        outcomes = np.concatenate([y[judged.folds[j].rows] for j in others])
        calibrator = Calibrator.fit(margins, outcomes, kind)
        p = calibrator.probability(judged.margins[i])
        result.append(FoldPrediction(fold.train_rows, fold.rows, p, fold.repeat))
    return tuple(result)
