"""What a version must show before it may become the champion."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import polars as pl

from churn.data.quality import LEFT
from churn.errors import BundleRejected, DataError, SchemaError
from churn.model.bundle import HOLDOUT, Bundle
from churn.model.metrics import Metrics, log_loss, stored
from churn.settings import Settings


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: its name, whether the version passes, and the figures in words.

    `value`: the figure that was judged; `limit`: the least or most it may be. None where there is no figure.
    """

    name: str
    passed: bool
    words: str
    value: float | None = None
    limit: float | None = None


def gates(holdout: Metrics | None, champion_loss: float | None, settings: Settings) -> tuple[Check, ...]:
    """Judge a version by its holdout metrics.

    Parameters
    ----------
    holdout: the version's metrics on the holdout; None where the holdout is too small to judge, which passes no gate.
    champion_loss: the champion's log-loss on the same rows; None where there is no champion yet.
    settings: `gate_auc`, `gate_ece`, `gate_log_loss_slack`.
    """
    if holdout is None:
        return (Check("holdout", False, "The holdout has too few leavers or stayers to judge the version by."),)
    auc, ece, loss = holdout.roc_auc.value, holdout.ece.value, holdout.log_loss.value
    least, most, slack = settings.gate_auc, settings.gate_ece, settings.gate_log_loss_slack
    checks = [
        Check("roc_auc", auc >= least, f"Holdout ROC-AUC {auc:.3f}; at least {least:g} is needed.", auc, least),
        Check("ece", ece <= most, f"Holdout calibration error {ece:.3f}; at most {most:g} is allowed.", ece, most),
    ]
    if champion_loss is not None:
        words = (
            f"Log-loss {loss:.4f} against the champion's {champion_loss:.4f} on the same holdout; "
            f"at most {slack:g} more is allowed."
        )
        checks.append(Check("champion", loss <= champion_loss + slack, words, loss - champion_loss, slack))
    return tuple(checks)


def judge(challenger: Bundle, champion: Bundle | None, settings: Settings) -> tuple[Check, ...]:
    """Hold a version against the gates; the champion, if there is one, is measured on the same rows, which neither has seen."""
    own = stored(challenger.metrics, "holdout")
    if champion is None or own is None:
        return gates(own, None, settings)
    try:
        theirs = _loss_on_holdout(challenger, champion)
    except SchemaError as error:
        return (*gates(own, None, settings), Check("champion", False, f"It cannot be held against the champion: {error}."))
    return gates(own, theirs, settings)


def _loss_on_holdout(challenger: Bundle, champion: Bundle) -> float:
    if HOLDOUT not in challenger.extra:
        raise BundleRejected(f"model {challenger.version} carries no {HOLDOUT}; train it again")
    rows = pl.read_parquet(io.BytesIO(challenger.extra[HOLDOUT]))
    for name in champion.schema.names:
        if name not in rows.columns:
            raise SchemaError(f"model {champion.version} needs column {name!r}, which the holdout of {challenger.version} lacks")
        if champion.schema.feature(name).is_number is not rows[name].dtype.is_numeric():
            raise SchemaError(f"column {name!r} is of another kind in model {champion.version}")
    try:
        risk = champion.model.score(rows).risk
    except (BundleRejected, DataError) as error:  # an estimator is loaded when it is first asked, and may not take every row
        raise SchemaError(f"model {champion.version} cannot score its customers: {error}") from error
    return log_loss(rows[LEFT].to_numpy().astype(np.float64), risk)
