"""A model that was trained elsewhere: looked over, tried on a reference table, judged, and made ready to be a version.

What cannot be known here is said in the card: what it was trained on, and so whether it has seen the customers it is judged on.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn import words
from churn.data.holdout import in_holdout
from churn.data.schema import Schema
from churn.errors import TrainingError
from churn.learn.card import caveats, estimated, holdout_groups
from churn.learn.evaluation import WORDS, evaluate_holdout
from churn.learn.folds import LEFT, labelled
from churn.learn.training import REFERENCE_ROWS
from churn.model import bundle
from churn.model.estimator import EstimatorModel
from churn.model.metrics import Metrics
from churn.settings import Settings

IMPORTED = "imported"  # what metrics call the candidate that is saved
_LEAST_JUDGED = 5  # of each class


@dataclass(frozen=True)
class Imported:
    """A model that passed, and everything its bundle will say about it."""

    model: EstimatorModel
    metrics: dict[str, Any]
    holdout: Metrics | None
    card: str
    reference: pl.DataFrame
    holdout_rows: pl.DataFrame | None
    notes: tuple[str, ...]


def import_model(data: bytes, name: str, table: pl.DataFrame, schema: Schema, settings: Settings) -> Imported:
    """Try the estimator in a skops file on a reference table, and judge it where outcomes are known.

    Parameters
    ----------
    data, name: the file, and what it is called.
    table: conformed, with `__left__` or without. Customers of the holdout (a hash of the key) judge it; a sample of the others
        becomes the reference it is explained against.

    Raises
    ------
    BundleRejected, SchemaError, DataError: as `EstimatorModel.build`.
    """
    notes: list[str] = []
    held = in_holdout(table[schema.key], salt=settings.holdout_salt, share=settings.holdout_share)
    others = table.filter(~held) if not held.all() else table
    reference = others.sample(min(REFERENCE_ROWS, others.height), seed=settings.seed, shuffle=True).select(schema.names)
    model = EstimatorModel.build(schema, data, reference)
    notes += _remarks(model, reference)
    holdout_rows, holdout, risk = None, None, None
    judged = _labelled(table, schema, notes)
    if judged is not None:
        judged = judged.filter(in_holdout(judged[schema.key], salt=settings.holdout_salt, share=settings.holdout_share))
        holdout_rows = judged.select(*schema.names, LEFT)
        risk = model.score(judged).risk
        holdout = _judge(judged, risk, schema, settings, notes)
    last = _last(model.live.estimator)
    kind = f"{kind_of(last)}, trained elsewhere"
    metrics = {
        "kind": kind,
        "class": type(last).__name__,
        "saved": IMPORTED,
        "file": {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "versions": dict(model.versions)},
        "imported_on": datetime.now(UTC).date().isoformat(),
        "cross_validation": None,
        "holdout": holdout.to_dict() if holdout else None,
        "calibration_covariance": holdout.to_dict()["recalibration"]["covariance"] if holdout else None,
        "holdout_salt": settings.holdout_salt,
        "holdout_share": settings.holdout_share,
        "seed": settings.seed,
        "notes": notes,
    }
    card = _card(model, kind, metrics, holdout_rows, risk, holdout, settings.simulated)
    return Imported(model, metrics, holdout, card, reference, holdout_rows, tuple(notes))


def write_bundle(imported: Imported, folder: Path, *, simulated: bool) -> dict[str, Any]:
    """Write an imported model as a bundle into a new or empty folder; returns its manifest."""
    extra = {}
    if imported.holdout_rows is not None:
        buffer = io.BytesIO()
        imported.holdout_rows.write_parquet(buffer)
        extra[bundle.HOLDOUT] = buffer.getvalue()
    return bundle.save(
        folder,
        imported.model,
        metrics=imported.metrics,
        leaderboard=[],
        card=imported.card,
        reference=imported.reference,
        simulated=simulated,
        extra=extra,
    )


def _last(estimator: Any) -> Any:
    """The step of a pipeline that predicts."""
    return _last(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def kind_of(estimator: Any) -> str:
    """What people call a fitted classifier, from the name of its class and, where it wraps another, of that one's.

    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> kind_of(HistGradientBoostingClassifier())
    'Histogram gradient boosting'
    """
    estimator = _last(estimator)
    name = type(estimator).__name__
    if hasattr(estimator, "best_estimator_"):
        return kind_of(estimator.best_estimator_)
    if name == "CalibratedClassifierCV" and estimator.estimator is not None:
        inner = kind_of(estimator.estimator)
        return f"{inner}, calibrated"
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", re.sub(r"(Classifier)?(CV)?$", "", name) or name)
    plain = [part if part.isupper() and len(part) > 1 else part.lower() for part in parts]
    text = " ".join("histogram" if part == "hist" else part for part in plain)
    return text[:1].upper() + text[1:]


def _remarks(model: EstimatorModel, reference: pl.DataFrame) -> list[str]:
    """What whoever trained it should know about how it takes the table."""
    notes = []
    unused = [name for name in model.feature_names if name not in model.recipe.columns]
    if unused:
        notes.append(f"The model does not take {_listed(unused)}; they count for nothing.")
    if idle := model.idle_columns(reference):
        notes.append(
            f"{_listed(idle)} changed no risk on {min(reference.height, 1_000):,} rows. "
            "If they should, check that the levels are spelt as in the table it was trained on."
        )
    missing, unseen = model.refused_columns(reference)
    if missing:
        notes.append(f"The model cannot score a customer whose value is missing in {_listed(missing)}: scoring would stop there.")
    if unseen:
        notes.append(f"The model cannot score a new level of {_listed(unseen)}: scoring would stop there.")
    return notes


def _listed(names: Any) -> str:
    return words.sentence_list(f"`{name}`" for name in names)


def _labelled(table: pl.DataFrame, schema: Schema, notes: list[str]) -> pl.DataFrame | None:
    if LEFT not in table.columns:
        notes.append(f"The reference has no column {schema.target.column!r}, so the model was not judged; no gate can pass.")
        return None
    try:
        rows, left_out = labelled(table, schema)
    except TrainingError as error:
        notes.append(f"The model was not judged, so no gate can pass: {error}.")
        return None
    notes += left_out
    return rows


def _judge(rows: pl.DataFrame, risk: np.ndarray, schema: Schema, settings: Settings, notes: list[str]) -> Metrics | None:
    y = rows[LEFT].to_numpy().astype(np.float64)
    if min(y.sum(), len(y) - y.sum()) < _LEAST_JUDGED:
        notes.append(
            f"The holdout has {words.counted(len(y), 'row')}, of which {int(y.sum()):,} left: "
            "too few to judge by, so no gate can pass."
        )
        return None
    keys = rows[schema.key]
    groups = keys.to_numpy() if keys.n_unique() < len(keys) else None
    metrics = evaluate_holdout(y, risk, groups=groups, seed=settings.seed)
    notes.append(
        f"Judged on {len(y):,} rows of the holdout. If the model was trained on these customers, its figures are too good."
    )
    if metrics.roc_auc.high < 0.5:
        notes.append(f"The model ranks who left below who stayed: does its class {schema.target.positive!r} mean leaving?")
    return metrics


def _card(
    model: EstimatorModel,
    kind: str,
    metrics: dict[str, Any],
    rows: pl.DataFrame | None,
    risk: np.ndarray | None,
    holdout: Metrics | None,
    simulated: bool,
) -> str:
    schema, file = model.schema, metrics["file"]
    made = ", ".join(f"{name} {version}" for name, version in file["versions"].items())
    start = "**Simulated data: nothing here describes real customers.**\n\n" if simulated else ""
    parts = [
        f"""# {words.escape_markdown(schema.name)}: who is likely to leave

{start}## The model
- Kind: {kind} (`{metrics["class"]}`); brought in from `{file["name"]}` (sha256 {file["sha256"][:16]}…), loaded with {made}.
- {estimated(schema)}
- The typical customer has a risk of {words.average(model.typical_risk)}.
- {model.reasons_words}

## What it learnt from
Not known here: whoever trained it knows. It takes the columns {_listed(model.recipe.columns)}.""",
        "\n".join(f"- {words.escape_markdown(note)}" for note in metrics["notes"]),
    ]
    if holdout is not None and rows is not None and risk is not None:
        lines = ["## How good it is", "", "| | Holdout |", "|---|---|"]
        lines += [f"| {shown} | {holdout[measure]} |" for measure, shown in WORDS.items()]
        lines += ["", f"On {words.count(holdout.rows)} rows. In brackets: 95 % intervals."]
        parts += ["\n".join(lines), holdout_groups(schema, rows, risk)]
    parts.append(caveats("What it was trained on is not known here, so neither is how it ages: watch drift and outcomes."))
    return "\n\n".join(part for part in parts if part) + "\n"
