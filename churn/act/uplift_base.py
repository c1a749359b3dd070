"""What a campaign taught about whom calling changes, for everybody of a base.

The models that `churn campaign uplift` keeps are compiled tables, so a base is scored by look-ups, once, and kept in the cache.
A campaign says nothing of customers unlike those in it: whose risk lies below or above that of all of them has no figure.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn import words
from churn.act._kept import kept
from churn.act.uplift import CALLED, EFFECT, HELD, TWO_MODELS, Comparison
from churn.base.snapshot import RISK, ROWS, Snapshot
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model import bundle
from churn.model.risk_model import RiskModel
from churn.model.store import Store
from churn.settings import Settings

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]  # what is being done, customers done, customers in all

_CHUNK: Final = 100_000  # customers scored between two signs of progress
_DECIMALS: Final = 6  # of a difference of risks; what is closer than that is the same
_FORMAT: Final = 1  # of the file in the cache


@dataclass(frozen=True, eq=False, slots=True)
class Uplift:
    """By how much calling is expected to lower everybody's risk, 0–1 scale, and from which campaign that is learnt.

    `lowers`: float64 [n] in the order of the base; NaN for customers unlike those of the campaign. `version`: where the models
    are in the store.
    """

    version: str
    campaign: str
    lowers: Floats


def why_not(learnt: Comparison | None, schema: Schema) -> str | None:
    """Why a base of this schema cannot be ranked by whom calling changes, in a sentence; None where it can."""
    if learnt is None:
        return words.say("uplift nothing learnt")
    lacking = [label for name, label in learnt.columns.items() if name not in schema]
    return words.say("uplift other columns", name=learnt.name, columns=words.sentence_list(lacking)) if lacking else None


def of_base(
    learnt: Comparison, store: Store, snapshot: Snapshot, folder: Path, settings: Settings, progress: Progress | None = None
) -> Uplift:
    """Score the base in `folder` with the better of the two ways of a campaign, or take what is kept of it.

    Raises
    ------
    DataError: its customers are described by other columns than the campaign's were. NotInStore, BundleRejected: the models are
        not there any more, or not as they were. StoreUnavailable: the store or the disk refuses.
    """
    if (reason := why_not(learnt, snapshot.schema)) is not None:
        raise DataError(reason)
    told = json.dumps([snapshot.facts["files"].get(ROWS, {}), learnt.models, learnt.best, learnt.risks], sort_keys=True)
    digest = uuid.uuid5(uuid.NAMESPACE_OID, told).hex[:16]
    path = settings.path("cache") / "uplift" / f"{snapshot.facts['run']}-{digest}-{_FORMAT}.npz"
    found = kept(path, lambda: {"lowers": _scored(learnt, store, folder / ROWS, progress)})
    return Uplift(learnt.models, learnt.name, found["lowers"])


def _scored(learnt: Comparison, store: Store, path: Path, progress: Progress | None) -> Floats:
    names = (HELD, CALLED) if learnt.best == TWO_MODELS else (EFFECT,)
    models = [_model(store, f"{learnt.models}/{name}") for name in names]
    with disk(path, "read"):
        rows = pl.read_parquet(path, columns=[*learnt.columns, RISK])
    lowers = np.empty(rows.height)
    for start in range(0, rows.height, _CHUNK):
        if progress is not None:
            progress(words.say("uplift scoring"), start, rows.height)
        part = rows.slice(start, _CHUNK)
        scores = [model.score(part) for model in models]
        lowers[start : start + part.height] = scores[0].risk - scores[1].risk if len(scores) == 2 else scores[0].margin
    least, most = learnt.risks
    risk = rows[RISK].to_numpy()
    return np.where((risk >= least) & (risk <= most), np.round(lowers, _DECIMALS), np.nan)


def _model(store: Store, key: str) -> RiskModel:
    with tempfile.TemporaryDirectory(prefix="churn-") as place:
        store.download(key, Path(place))
        return bundle.load(Path(place)).model
