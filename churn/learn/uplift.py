"""Learning from a finished randomised campaign whom calling changes, and judging it against the ranking by risk.

Two ways, on the same small trees that compile into tables:

- *Two models*: the risk of leaving among those held out less that among those called, each learnt in its own arm.
- *Transformed outcome* (Athey and Imbens 2016, PNAS 113:7353): with the share e called, the mean of Y* = Y·(e − W)/(e·(1 − e))
  given a customer's columns is by how much calling lowers the risk, so one regression of Y* learns it. Y is leaving, less its
  mean in the campaign, which leaves the mean of Y* as it is but for chance and takes away most of its noise; W is 1 for whoever
  is called.

Both are judged cross-fitted: nobody is ranked by a model that saw them. Scores of a fold are ranked within it, for models of
different folds differ in level, and a fold where calling did well is foretold by a model from folds where it did worse.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from churn import words
from churn.act import results
from churn.act.campaigns import CALL, FINISHED, Campaign
from churn.act.uplift import (
    CALLED,
    COMPARISON,
    EFFECT,
    HELD,
    PREFIX,
    RISK,
    TRANSFORMED,
    TWO_MODELS,
    WORTH,
    Comparison,
    Trial,
    compare,
    judge,
)
from churn.base.records import Records
from churn.base.snapshot import ROWS
from churn.data.schema import Schema
from churn.errors import CampaignRefused, DataError
from churn.learn._run import distorted, verify
from churn.learn.candidates import MAX_BINS, Design, Fitted, LightGBM, Params, Parts
from churn.model import bundle, manifest
from churn.model.encoder import Encoder, Floats
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.model.trees import from_lightgbm

FOLDS: Final = 5
LEAST: Final = 200  # customers of an arm whose outcome is known
LEAST_OF_A_CLASS: Final = 20  # of an arm who left, and who stayed
# Few and short steps: what calling changes is small beside what makes customers leave, and there are few rows to learn it from.
SETTINGS: Final[Params] = {
    "num_leaves": 4,
    "learning_rate": 0.05,
    "trees": 80,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "lambda_l2": 10.0,
}
_CARDS: Final = {
    CALLED: "The risk of customers who are to be called.",
    HELD: "The risk of customers who are kept uncalled.",
    EFFECT: "By how much calling lowers the risk: its margin is that difference as a share, and no log-odds.",
}


@dataclass(frozen=True, eq=False, slots=True)
class Learnt:
    """The compiled models of `churn campaign uplift`, by the names of their bundles, and how their rankings did."""

    comparison: Comparison
    models: dict[str, ScoringModel]
    reference: pl.DataFrame


@dataclass(frozen=True, eq=False, slots=True)
class _Regression(Fitted):
    """LightGBM trees of a regression: their sum is the answer itself."""

    booster: Any

    def margin(self, design: Design) -> Floats:
        return np.asarray(self.booster.predict(design.codes), dtype=np.float64)

    def probability(self, design: Design) -> Floats:
        raise TypeError("a difference is no probability")

    def parts(self, encoder: Encoder) -> Parts:
        return Parts(from_lightgbm(self.booster, encoder))


class _Effect(LightGBM):
    """The same small trees with squared loss, for the transformed outcome."""

    key = "lightgbm-effect"

    def fit(self, params: Params, design: Design, y: Floats, *, threads: int, seed: int) -> Fitted:
        import lightgbm

        settings = {**self._settings(params, threads, seed), "objective": "regression", "metric": "l2"}
        return _Regression(lightgbm.train(settings, self._dataset(design, y), params["trees"]))


# -- from a campaign -------------------------------------------------------------


def learn(
    records: Records, registry: Registry, id: str, outcomes: pl.DataFrame, *, seed: int = 0, today: date | None = None
) -> Learnt:
    """Learn from a campaign whom calling changes, and compare the ranking with those by risk and by expected value.

    Parameters
    ----------
    outcomes: as `churn.act.results.measure` takes them.

    Raises
    ------
    CampaignRefused: it is not finished, nobody was held out, its arms are not as drawn, or too few outcomes are known; the
        message says how many more. NotInStore, BundleRejected: its scoring or model is not there any more.
    """
    found = results.measure(records, id, outcomes, today=today)
    campaign = found.campaign
    told = results.known_members(records, id, outcomes, today=today).filter(pl.col("left").is_not_null())
    _check(found, told)
    schema = registry.load_model(campaign.model).schema
    table = _rows(registry, campaign, schema, told["customer"])
    return from_rows(campaign, table, told, schema, seed=seed)


def from_rows(campaign: Campaign, table: pl.DataFrame, told: pl.DataFrame, schema: Schema, *, seed: int = 0) -> Learnt:
    """The same from rows at hand.

    Parameters
    ----------
    table: conformed features. told: `arm`, `left` (1 or 0), `risk` and `expected_value` (or null), of the same customers in the
        same order.
    """
    trial = Trial(np.asarray(told["arm"].to_numpy() == CALL), np.asarray(told["left"].to_numpy() == 1))
    scores = {RISK: told["risk"].to_numpy().astype(np.float64)}
    if not told["expected_value"].has_nulls():
        scores[WORTH] = told["expected_value"].to_numpy().astype(np.float64)
    scores |= cross_fitted(table, schema, trial, seed=seed)
    rankings = compare(scores, trial, seed=seed)
    effect = float(trial.left[~trial.called].mean() - trial.left[trial.called].mean())
    best, verdict = judge(rankings, effect)
    comparison = Comparison(
        campaign=campaign.id,
        name=campaign.name,
        customers=trial.customers,
        held=int((~trial.called).sum()),
        left=int(trial.left.sum()),
        folds=FOLDS,
        effect=effect,
        rankings=rankings,
        best=best,
        verdict=verdict,
        risks=(float(told["risk"].min()), float(told["risk"].max())),  # type: ignore[arg-type]
        columns={feature.name: feature.label for feature in schema.features},
    )
    return Learnt(comparison, compiled(table, schema, trial, seed=seed), _reference(table, schema, seed))


def cross_fitted(table: pl.DataFrame, schema: Schema, trial: Trial, *, folds: int = FOLDS, seed: int = 0) -> dict[str, Floats]:
    """Name → score [n] of each uplift ranking, from models that did not see the customer; ranked within each fold, 0–1."""
    scores = {name: np.empty(trial.customers) for name in (TWO_MODELS, TRANSFORMED)}
    fold = _folds(trial, folds, seed)
    for number in range(folds):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        encoder = Encoder.fit(table[train], schema, MAX_BINS)
        part = Trial(trial.called[train], trial.left[train])
        fitted = _fit(table[train], encoder, part, seed)
        design = Design.of(table[test], encoder)
        found = {
            TWO_MODELS: fitted[HELD].probability(design) - fitted[CALLED].probability(design),
            TRANSFORMED: fitted[EFFECT].margin(design),
        }
        for name, score in found.items():
            scores[name][test] = _within(score)
    return scores


def compiled(table: pl.DataFrame, schema: Schema, trial: Trial, *, seed: int = 0) -> dict[str, ScoringModel]:
    """The models of all customers by the names of their bundles. Raises TrainingError where compiling one changes it."""
    encoder = Encoder.fit(table, schema, MAX_BINS)
    made = {}
    for name, fitted in _fit(table, encoder, trial, seed).items():
        model = ScoringModel.build(schema, encoder, fitted.parts(encoder).trees, table)
        verify(fitted, encoder, model, table)
        verify(fitted, encoder, model, distorted(table, schema, seed))
        made[name] = model
    return made


def keep(learnt: Learnt, store: Store, *, simulated: bool) -> Comparison:
    """Put the bundles into the store, then the comparison that names where they are; returned as it is kept.

    Each run has a folder of its own, so whoever reads an earlier comparison finds the models that belong to it.
    """
    campaign = learnt.comparison.campaign
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    kept = replace(learnt.comparison, models=f"{PREFIX}/{campaign}/{stamp}")
    with tempfile.TemporaryDirectory() as place:
        for name, model in learnt.models.items():
            folder = Path(place) / name
            facts = bundle.save(
                folder,
                model,
                metrics={"campaign": campaign, "customers": kept.customers},
                leaderboard=[],
                card=f"# {kept.name}\n\n{_CARDS[name]}\n",
                reference=learnt.reference,
                simulated=simulated,
            )
            store.upload(f"{kept.models}/{name}", folder, [*facts["files"], manifest.NAME])
    store.write(f"{PREFIX}/{campaign}/{COMPARISON}", kept.to_json().encode())
    return kept


# -- inside ----------------------------------------------------------------------


def _check(found: results.Result, told: pl.DataFrame) -> None:
    """Raise CampaignRefused where nothing could be learnt, and say what is missing."""
    campaign = found.campaign
    if campaign.status != FINISHED:
        raise CampaignRefused(
            f"campaign {campaign.name!r} is {campaign.status}; whom calling changes is learnt from a finished one"
        )
    if not found.measurable:
        raise CampaignRefused(f"nobody was kept uncalled in campaign {campaign.name!r}, so whom calling changes cannot be told")
    if found.mismatch.found or found.lost.found:
        raise CampaignRefused(f"campaign {campaign.name!r} has arms of other sizes than were drawn; nothing is learnt from it")
    if not found.progress.enough:
        more = words.counted(found.progress.more, "more outcome")
        raise CampaignRefused(f"campaign {campaign.name!r} needs {more} before its result may be read, and so before this")
    open_ = campaign.size - found.gone - told.height
    rest = (
        f"; {words.count(open_)} of its outcomes are still open"
        if open_
        else "; all its outcomes are known, so take a larger one"
    )
    for called, who in ((True, "called"), (False, "kept uncalled")):
        arm = told.filter((pl.col("arm") == CALL) == called)
        left = int(arm["left"].sum())
        needs = (
            (arm.height, LEAST, f"customers {who}"),
            (left, LEAST_OF_A_CLASS, f"customers {who} who left"),
            (arm.height - left, LEAST_OF_A_CLASS, f"customers {who} who stayed"),
        )
        for have, least, what in needs:
            if have < least:
                raise CampaignRefused(
                    f"whom calling changes needs {least} {what}, with a known outcome; campaign {campaign.name!r} has {have}, "
                    f"so {least - have} more{rest}"
                )


def _rows(registry: Registry, campaign: Campaign, schema: Schema, customers: pl.Series) -> pl.DataFrame:
    """The features of customers as scored for the campaign, in this order. Raises DataError for one who is not there."""
    path = registry.scoring_folder(campaign.scoring) / ROWS
    scored = pl.read_parquet(path, columns=[schema.key, *schema.names])
    wanted = pl.DataFrame({schema.key: customers}).join(
        scored.with_columns(pl.col(schema.key).cast(pl.String), pl.lit(True).alias("__there__")),
        on=schema.key,
        how="left",
        maintain_order="left",
    )
    if (missing := wanted.filter(pl.col("__there__").is_null())).height:
        raise DataError(
            f"customer {missing[schema.key][0]!r} of campaign {campaign.name!r} is not in scoring {campaign.scoring!r}"
        )
    return wanted.select(schema.names)


def _fit(table: pl.DataFrame, encoder: Encoder, trial: Trial, seed: int) -> dict[str, Fitted]:
    left, share = trial.left.astype(np.float64), float(trial.called.mean())
    transformed = (left - left.mean()) * (share - trial.called) / (share * (1 - share))
    parts: Sequence[tuple[str, LightGBM, Any, Any]] = (
        (CALLED, LightGBM(), trial.called, left),
        (HELD, LightGBM(), ~trial.called, left),
        (EFFECT, _Effect(), np.ones_like(trial.called), transformed),
    )
    return {
        name: kind.fit(SETTINGS, Design.of(table.filter(pl.Series(rows)), encoder), y[rows], threads=1, seed=seed)
        for name, kind, rows, y in parts
    }


def _folds(trial: Trial, folds: int, seed: int) -> np.ndarray:
    """The fold of each customer [n]; each has its share of every arm's leavers and stayers."""
    rng = np.random.default_rng(seed)
    found = np.empty(trial.customers, dtype=np.int64)
    for called in (True, False):
        for left in (True, False):
            rows = np.flatnonzero((trial.called == called) & (trial.left == left))
            found[rng.permutation(rows)] = np.arange(len(rows)) % folds
    return found


def _within(score: Floats) -> Floats:
    """Where each stands among these, 0–1, the same score the same place."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    below = np.cumsum(count) - count
    return np.asarray((below + count / 2)[place.reshape(-1)] / len(score))


def _reference(table: pl.DataFrame, schema: Schema, seed: int, rows: int = 500) -> pl.DataFrame:
    return table.select(schema.names).sample(min(rows, table.height), seed=seed)
