"""Training: candidates are tuned and judged on the same folds, the best that compiles is checked once on the holdout.

The holdout's customers are never trained on, not even at the end, so that the next challenger can be held against this
champion on rows neither has seen.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.data.fingerprint import fingerprint
from churn.data.holdout import CUSTOMER, in_holdout, key_hash
from churn.data.schema import Schema
from churn.data.values import shown, too_alike
from churn.errors import TrainingError
from churn.learn._run import Run, Steps, predictions
from churn.learn.candidates import BLEND, CANDIDATES, KEYS, Candidate
from churn.learn.card import Facts, write_card
from churn.learn.evaluation import evaluate_folds, evaluate_holdout
from churn.learn.folds import LEFT, check_enough, labelled, make_folds
from churn.learn.leaderboard import Row, choose_calibrator, judge, ranked
from churn.learn.tuning import Progress, Tuned, silent
from churn.learn.winner import Winner
from churn.model import bundle
from churn.model.estimator import EstimatorModel
from churn.model.metrics import Metrics
from churn.model.scoring import ScoringModel
from churn.settings import Settings
from churn.words import counted

REFERENCE_ROWS = 5_000
SPLITS = 5
_ROWS_FOR_ONE_CORE = 200_000
_LEAST_IN_HOLDOUT = 5  # of each class


@dataclass(frozen=True)
class TrainingResult:
    """Everything a training found out.

    `winner`: key of the candidate with the lowest log-loss; `saved`: the best that compiles, or the winner where that was asked
    for; it is what `model` is.
    `out_of_fold`: key, snapshot date if there is one, `__risk__` and `__left__` of every labelled row, predicted by a model that
    was not trained on the row's customer.
    """

    schema: Schema
    leaderboard: tuple[Row, ...]
    winner: str
    saved: str
    model: ScoringModel | EstimatorModel
    cross_validation: Metrics
    holdout: Metrics | None
    card: str
    reference: pl.DataFrame
    holdout_rows: pl.DataFrame  # features and `__left__`, no ids
    out_of_fold: pl.DataFrame
    notes: tuple[str, ...]
    tuned: Mapping[str, Tuned] = field(default_factory=dict)  # every setting that was tried, by candidate
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """What the bundle keeps as metrics.json."""
        return {
            **self.facts,
            "winner": self.winner,
            "saved": self.saved,
            "cross_validation": self.cross_validation.to_dict(),
            "holdout": self.holdout.to_dict() if self.holdout else None,
            # out-of-fold rows are several times as many as the holdout's, and no less unseen
            "calibration_covariance": self.cross_validation.to_dict()["recalibration"]["covariance"],
            "notes": list(self.notes),
        }


def train(
    table: pl.DataFrame,
    schema: Schema,
    *,
    settings: Settings,
    trials: int | None = None,
    minutes: float | None = None,
    repeats: int = 1,
    candidates: Sequence[str] | None = None,
    threads: int | None = None,
    as_of: date | None = None,
    save_winner: bool = False,
    parent: str | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train on a conformed table with `__left__`.

    Parameters
    ----------
    table: conformed with its target; several rows a customer are fine.
    settings: seed, holdout and number of trials.
    trials: settings to try for a candidate that gains most from tuning; others get a share of it. From the settings unless
        given; ignored where `minutes` is given.
    minutes: how long to tune and judge, about; every candidate gets at least its first trial.
    repeats: how often the cross-validation of the leaderboard is repeated, each time with other folds.
    candidates: keys out of `churn.learn.candidates.KEYS`; all that are installed unless given.
    threads: cores a model is trained on; unless given one, and all for more than 200,000 rows.
    as_of: the day outcomes were gathered, for tables with snapshot dates (see `churn.learn.folds.labelled`).
    save_winner: save the candidate with the lowest log-loss even if it does not compile, as a scikit-learn pipeline
        (`churn.learn.winner`).
    parent: the version that is to be succeeded, such as the champion, for the new version's line of descent.
    progress: called as (message, steps done, steps in all).

    Raises
    ------
    TrainingError: too few rows or rows of a class; a number whose values differ by too little for its size; no such candidate,
        or none that compiles; a compiled model that differs from the trained one.
    """
    began = datetime.now(UTC)
    chosen, blend = _chosen(candidates, save_winner)
    rows, notes = labelled(table, schema, as_of=as_of)
    held = in_holdout(rows[schema.key], salt=settings.holdout_salt, share=settings.holdout_share)
    holdout = rows.filter(held)
    kept = rows.filter(~held)
    check_enough(kept, schema, " outside the holdout")
    still = list(_column_notes(kept, schema))
    if len(still) == len(schema.features):
        raise TrainingError("no column has different values in the rows trained on, so nothing can be learnt from them")
    run = Run(kept, schema, settings.seed, threads or _threads(kept.height), [*notes, *still])
    steps = Steps(progress or silent)
    asked = settings.trials if trials is None else trials
    budget = {c.key: 1 if minutes is not None else max(1, round(asked * c.share_of_trials)) for c in chosen}
    folds = make_folds(kept, schema, splits=SPLITS, repeats=repeats, seed=settings.seed)
    steps.total = sum(budget.values()) + len(chosen) * len(folds.folds) + 3

    tuned = run.tune(chosen, budget, minutes, steps)
    judged = judge(chosen, tuned, kept, schema, folds.folds, blend=blend, threads=run.threads, seed=run.seed, step=steps.next)
    steps.next("Comparing the candidates")
    board, best, saved = _board(ranked(judged, run.y, groups=run.customers), run.notes, save_winner)
    its = next(one for one in judged if one.key == saved.key)
    winner = None if saved.compiles else Winner.of(run, saved.key, tuned)
    if winner is not None:
        steps.total += len(folds.folds)
        its = winner.judged(its, folds, steps.next)
    calibration = choose_calibrator(its, run.y)
    cross_validation = evaluate_folds(run.y, calibration.folds, groups=run.customers, seed=run.seed)
    steps.next("Training the model to keep")
    model = winner.model(calibration) if winner else run.compile(saved.key, tuned, calibration)
    risk = model.score(holdout).risk if holdout.height else np.zeros(0)
    held_metrics = _on_holdout(holdout, risk, schema, run)
    steps.next("Predicting each row by a model that has not seen it")
    seen = winner.out_of_fold(folds, calibration) if winner else run.out_of_fold(saved.key, tuned, folds, calibration)
    out_of_fold = pl.concat([seen, predictions(holdout, schema, risk)])
    steps.finish()

    facts = Facts(
        trained_on=datetime.now(UTC).date(),
        table=kept,
        holdout=holdout,
        holdout_risk=risk,
        rows=board,
        best=best,
        saved=saved,
        cross_validation=cross_validation,
        holdout_metrics=held_metrics,
        folds=folds.words,
        calibration=calibration.words,
        typical_risk=model.typical_risk,
        made_of=_made_of(model),
        notes=tuple(run.notes),
        simulated=settings.simulated,
    )
    names = list(schema.names)
    return TrainingResult(
        schema=schema,
        leaderboard=board,
        winner=best.key,
        saved=saved.key,
        model=model,
        cross_validation=cross_validation,
        holdout=held_metrics,
        card=write_card(schema, facts),
        reference=kept.sample(min(REFERENCE_ROWS, kept.height), seed=run.seed, shuffle=True).select(names),
        holdout_rows=holdout.select(*names, LEFT),
        out_of_fold=out_of_fold,
        notes=tuple(run.notes),
        tuned=tuned,
        began=began,
        facts={
            "kind": saved.name,
            "rows": kept.height,
            "positives": int(run.y.sum()),
            "trained_on": facts.trained_on.isoformat(),
            "learnt_until": _last_day(kept, schema),
            "folds": folds.words,
            "calibration": calibration.words,
            "holdout_salt": settings.holdout_salt,
            "holdout_share": settings.holdout_share,
            "seed": settings.seed,
            "run": uuid.uuid4().hex[:12],
            "table": {"sha256": fingerprint(table), "rows": table.height, "columns": table.width},
            "parent": parent,
        },
    )


def write_bundle(result: TrainingResult, folder: Path, *, simulated: bool) -> dict[str, Any]:
    """Write a training result as a bundle into a new or empty folder; returns its manifest (see `churn.model.bundle.save`).

    Further files: `holdout.parquet`, features and `__left__` of the rows kept apart; `out_of_fold.parquet`, `__customer__`
    (`churn.data.holdout.key_hash` with the salt in the metrics), the snapshot date if any, `__left__` and `__risk__`.
    """
    # without keys; the next challenger and this model can still be judged on the same rows
    extra = {bundle.HOLDOUT: _parquet(result.holdout_rows), bundle.OUT_OF_FOLD: _parquet(_without_keys(result))}
    return bundle.save(
        folder,
        result.model,
        metrics=result.metrics,
        leaderboard=[row.to_dict() for row in result.leaderboard],
        card=result.card,
        reference=result.reference,
        simulated=simulated,
        extra=extra,
    )


def _last_day(table: pl.DataFrame, schema: Schema) -> str | None:
    """The last snapshot a table has, as ISO text; None where it has no dates."""
    last = table[schema.snapshot.column].max() if schema.snapshot else None
    return last.isoformat() if isinstance(last, date) else None


def _threads(rows: int) -> int:
    """Small tables gain little from several cores, and OpenMP's threads, which wait for each other by spinning, made training
    four times as dear (and ten times as slow) where other work shared two cores."""
    return 1 if rows <= _ROWS_FOR_ONE_CORE else os.cpu_count() or 1


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _without_keys(result: TrainingResult) -> pl.DataFrame:
    """The out-of-fold predictions under hashes: a bundle holds no ids."""
    key, salt = result.schema.key, result.facts["holdout_salt"]
    hashes = pl.Series(CUSTOMER, [key_hash(one, salt) for one in result.out_of_fold[key]], dtype=pl.UInt64)
    return result.out_of_fold.with_columns(hashes).drop(key)


def _made_of(model: ScoringModel | EstimatorModel) -> str:
    """What is behind the model's scores and reasons, as it follows its name in the card."""
    if isinstance(model, ScoringModel):
        return "compiled into tables: each score is a sum of looked-up numbers, and so are its reasons."
    return f"a scikit-learn pipeline stored with skops. {model.reasons_words}"


def _chosen(keys: Sequence[str] | None, any_kind: bool) -> tuple[tuple[Candidate, ...], bool]:
    """The candidates to train, and whether their average stands beside them. At least one must compile, unless any kind may be
    saved."""
    if keys is None:
        return tuple(candidate for candidate in CANDIDATES if candidate.available), True
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        raise TrainingError(f"candidate {unknown[0]!r} is not known; there are: {', '.join(KEYS)}")
    blend = BLEND.key in keys
    wanted = {*keys, *(BLEND.members if blend else ())}
    chosen = tuple(candidate for candidate in CANDIDATES if candidate.key in wanted)
    for candidate in chosen:
        if not candidate.available:
            raise TrainingError(f"candidate {candidate.key!r} needs a library that is not installed: pip install 'churn[smote]'")
    if not any_kind and not any(candidate.compiles for candidate in chosen):
        compiling = ", ".join(candidate.key for candidate in CANDIDATES if candidate.compiles)
        raise TrainingError(
            f"none of the candidates {', '.join(keys)} can be saved; add one of: {compiling}, or ask for the winner to be saved: "
            "--save-winner"
        )
    return chosen, blend


def _column_notes(table: pl.DataFrame, schema: Schema) -> Iterator[str]:
    for feature in schema.features:
        values = table[feature.name].drop_nulls()
        if feature.is_number and too_alike(values):
            low, high = (shown(float(end)) for end in (values.min(), values.max()))  # type: ignore[arg-type]
            raise TrainingError(
                f"column {feature.name!r}: its values, from {low} to {high}, differ by too little for their size "
                "to be calculated with; leave it out of the schema"
            )
        if values.is_empty():
            yield f"Column {feature.name!r} has no value in the rows trained on; it does not count."
        elif values.n_unique() == 1 and values.len() == table.height:
            yield f"Column {feature.name!r} has the same value in all rows trained on; it does not count."


def _board(rows: Sequence[Row], notes: list[str], save_winner: bool) -> tuple[tuple[Row, ...], Row, Row]:
    """The leaderboard with the row to save marked, its best row and that one."""
    best, saved = rows[0], replace(next(row for row in rows if row.compiles or save_winner), saved=True)
    if not saved.compiles:
        notes.append(
            f"{saved.name} does not compile into tables and is saved as a scikit-learn pipeline, judged as that on the same "
            "folds; its reasons take longer than those of tables."
        )
    if best.key != saved.key:
        notes.append(
            f"{best.name} predicts best, but does not compile into tables; {saved.name} is saved, with a log-loss "
            f"{saved.behind.value:.4f} ± {saved.behind.standard_error:.4f} higher."
        )
    return tuple(saved if row.key == saved.key else row for row in rows), best, saved


def _on_holdout(holdout: pl.DataFrame, risk: np.ndarray, schema: Schema, run: Run) -> Metrics | None:
    y = holdout[LEFT].to_numpy().astype(np.float64)
    rarest = int(min(y.sum(), len(y) - y.sum()))
    if rarest < _LEAST_IN_HOLDOUT:
        run.notes.append(
            f"The holdout has {counted(len(y), 'row')}, of which {int(y.sum()):,} left: too few to judge by, so no gate can pass."
        )
        return None
    keys = holdout[schema.key]
    return evaluate_holdout(y, risk, groups=keys.to_numpy() if keys.n_unique() < len(keys) else None, seed=run.seed)
