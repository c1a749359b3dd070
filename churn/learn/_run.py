"""The steps of one training on the rows it may learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from churn.data.schema import Schema
from churn.errors import TrainingError
from churn.learn.candidates import BLEND, CANDIDATES, MAX_BINS, Average, Candidate, Design, Fitted, Floats
from churn.learn.evaluation import pooled
from churn.learn.folds import LEFT, Folds, customer_folds, make_folds
from churn.learn.leaderboard import Calibration
from churn.learn.tuning import Progress, Tuned, prepare, tune
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel

RISK = "__risk__"
TUNING_ROWS = 40_000  # a search on more rows finds much the same settings, later
TUNING_SPLITS = 3
TOLERANCE = 1e-5  # between the compiled margins and the trained model's
_TUNING_SHARE = 0.7  # of the minutes given; the rest is for the folds and the last fit
_PROBES = 2_000
_UNSEEN = "\0 a level nobody listed"


class Steps:
    """Counts what is done for whoever watches."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.total = 0
        self._done = 0

    def next(self, message: str) -> None:
        """Say what starts now."""
        self._progress(message, min(self._done, self.total), self.total)
        self._done += 1

    def finish(self) -> None:
        self._progress("Trained", self.total, self.total)


@dataclass(frozen=True)
class Run:
    """The rows, and what every step needs to know about how to train on them."""

    table: pl.DataFrame
    schema: Schema
    seed: int
    threads: int
    notes: list[str] = field(default_factory=list)

    @cached_property
    def y(self) -> Floats:
        return self.table[LEFT].to_numpy().astype(np.float64)

    @cached_property
    def customers(self) -> np.ndarray | None:
        """The keys [rows] where one comes more than once."""
        keys = self.table[self.schema.key]
        return keys.to_numpy() if keys.n_unique() < len(keys) else None

    # -- tuning ----------------------------------------------------------------

    def tune(
        self, candidates: Sequence[Candidate], trials: Mapping[str, int], minutes: float | None, steps: Steps
    ) -> dict[str, Tuned]:
        """Search settings for each candidate on folds of (a sample of) the rows."""
        sample = self._sample()
        folds = make_folds(sample, self.schema, splits=TUNING_SPLITS, seed=self.seed + 1)
        data = prepare(sample, self.schema, folds.folds)
        shares = sum(candidate.share_of_trials for candidate in candidates)
        result = {}
        for candidate in candidates:
            steps.next(f"{candidate.name}: tuning")
            allowed = None if minutes is None else minutes * _TUNING_SHARE * candidate.share_of_trials / shares
            wanted = trials[candidate.key]

            def tell(message: str, done: int, total: int, wanted: int = wanted) -> None:
                if done < wanted:
                    steps.next(f"{message}, {done} of {wanted} settings tried")

            result[candidate.key] = tune(
                candidate,
                data,
                trials=None if allowed is not None else wanted,
                minutes=allowed,
                seed=self.seed,
                threads=self.threads,
                progress=tell,
            )
        return result

    def _sample(self) -> pl.DataFrame:
        """At most `TUNING_ROWS` rows, whole customers where they repeat."""
        if self.table.height <= TUNING_ROWS:
            return self.table
        self.notes.append(f"Settings were searched on {TUNING_ROWS:,} of {self.table.height:,} rows.")
        keys = self.table[self.schema.key].unique(maintain_order=True)
        count = max(1, len(keys) * TUNING_ROWS // self.table.height)
        return self.table.filter(pl.col(self.schema.key).is_in(keys.sample(count, seed=self.seed).implode()))

    # -- the model to keep -------------------------------------------------------

    def fit(self, key: str, tuned: Mapping[str, Tuned], design: Design, y: Floats) -> Fitted:
        """Train a candidate, or the blend of several, with its tuned settings."""
        if key == BLEND.key:
            return Average(tuple(self.fit(member, tuned, design, y) for member in BLEND.members))
        candidate = next(candidate for candidate in CANDIDATES if candidate.key == key)
        return candidate.fit(tuned[key].params_for(design.rows), design, y, threads=self.threads, seed=self.seed)

    def compile(self, key: str, tuned: Mapping[str, Tuned], calibration: Calibration) -> ScoringModel:
        """Train on all rows, compile, and make sure that both say the same.

        Raises TrainingError if a compiled margin differs from the trained model's by more than 1e-5.
        """
        encoder = Encoder.fit(self.table, self.schema, MAX_BINS)
        fitted = self.fit(key, tuned, Design.of(self.table, encoder), self.y)
        parts = fitted.parts(encoder)
        compiled = ScoringModel.build(
            self.schema,
            encoder,
            parts.trees,
            self.table,
            linear=parts.linear,
            intercept=parts.intercept,
            calibrator=calibration.calibrator,
        )
        verify(fitted, encoder, compiled, self.table)
        verify(fitted, encoder, compiled, distorted(self.table, self.schema, self.seed))
        return compiled

    def out_of_fold(self, key: str, tuned: Mapping[str, Tuned], folds: Folds, calibration: Calibration) -> pl.DataFrame:
        """Key, snapshot date if any, outcome and `__risk__` of every row, from models not trained on the row's customer."""
        if folds.complete:
            _, risk = pooled(calibration.folds, self.table.height)
        else:
            risk = np.empty(self.table.height)
            for fold in customer_folds(self.table[self.schema.key], seed=self.seed):
                (data,) = prepare(self.table, self.schema, [fold])
                margins = self.fit(key, tuned, data.train, data.y_train).margin(data.test)
                risk[fold.test] = calibration.calibrator.probability(margins)
        return predictions(self.table, self.schema, risk)


def predictions(table: pl.DataFrame, schema: Schema, risk: np.ndarray) -> pl.DataFrame:
    """Key, snapshot date if any, outcome and risk of a labelled table."""
    dates = [schema.snapshot.column] if schema.snapshot else []
    return table.select(schema.key, *dates, LEFT).with_columns(pl.Series(RISK, risk, dtype=pl.Float64))


def distorted(table: pl.DataFrame, schema: Schema, seed: int, rows: int = _PROBES) -> pl.DataFrame:
    """Some rows with values taken away, and levels that nobody has listed: what a model must score like the trained one too."""
    sample = table.sample(min(rows, table.height), seed=seed).select(schema.names)
    rng = np.random.default_rng(seed)
    columns = []
    for feature in schema.features:
        draw = pl.Series(rng.random(sample.height))
        unseen = None if feature.is_number else _UNSEEN
        columns.append(
            pl.when(draw < 0.15)
            .then(None)
            .when(draw < 0.3)
            .then(pl.lit(unseen))
            .otherwise(pl.col(feature.name))
            .alias(feature.name)
        )
    return sample.with_columns(columns).cast({feature.name: sample.schema[feature.name] for feature in schema.features})


def verify(fitted: Fitted, encoder: Encoder, compiled: ScoringModel, table: pl.DataFrame) -> None:
    """Raise TrainingError if a compiled margin differs from the trained model's by more than 1e-5."""
    difference = np.abs(compiled.score(table).margin - fitted.margin(Design.of(table, encoder)))
    worst = int(np.argmax(difference))
    if not difference[worst] <= TOLERANCE:
        raise TrainingError(
            f"the compiled model differs from the trained one by {difference[worst]:.2g} in log-odds at row {worst + 1}; "
            f"at most {TOLERANCE:g} is allowed, so nothing was saved"
        )
