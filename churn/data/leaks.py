"""Columns that know the answer: how well one column alone ranks who leaves.

A column is turned into the share of leavers in each of its bins or levels, learnt on four fifths of the rows and applied to
the last, so that a column with many values cannot look good by remembering (target encoding, Micci-Barreca 2001, crossed).
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

_BINS = 64
_FOLDS = 5
_PRIOR = 10.0  # rows' worth of the average mixed into each level

LEAK = 0.97  # a column that alone reaches this AUC knows the answer
LEAK_BY_NAME = 0.90  # the same for one whose name says that it is a model's output or made after the fact

_SUSPECT = re.compile(
    r"naive_?bayes|classifier|predict|probab|churn_?(score|risk|prob|reason|category|label|value|flag|status)|model_?score|propensity"
    r"|(cancel|churn|termination|exit|leav|attrition)[a-z]*_?(date|reason|month|category)",
    re.IGNORECASE,
)


def suspicious_name(name: str) -> bool:
    """Whether a name reads like another model's output or like something known only afterwards."""
    return bool(_SUSPECT.search(name.replace(" ", "_")))


def codes_of_numbers(values: npt.NDArray[np.float64], bins: int = _BINS) -> tuple[npt.NDArray[np.int64], int]:
    """Quantile bins of a column (missing in a bin of its own): codes [rows] and how many there are."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return np.zeros(values.size, dtype=np.int64), 1
    distinct = np.unique(known)
    if distinct.size <= bins:
        edges = distinct
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    codes = np.searchsorted(edges, values, side="left")
    codes[np.isnan(values)] = edges.size + 1
    return codes.astype(np.int64), int(edges.size) + 2


def codes_of_levels(values: pl.Series) -> tuple[npt.NDArray[np.int64], int]:
    """Codes of a text column (missing is a level)."""
    codes = values.fill_null("\x00").rank("dense").to_numpy().astype(np.int64) - 1
    return codes, int(codes.max()) + 1 if codes.size else 1


def ranking(codes: npt.NDArray[np.int64], size: int, left: npt.NDArray[np.float64], seed: int = 0) -> float:
    """ROC-AUC (0–1, ≥ .5 but for noise) of a column's cross-fitted share of leavers.

    Parameters
    ----------
    codes: int64[rows], 0 ≤ code < size. left: float64[rows] of 0 and 1, both present.
    """
    fold = np.random.default_rng(seed).permutation(left.size) % _FOLDS
    rows = np.bincount(codes, minlength=size).astype(np.float64)
    leavers = np.bincount(codes, weights=left, minlength=size)
    total, gone = float(left.size), float(left.sum())
    score = np.empty(left.size)
    for part in range(_FOLDS):
        held = fold == part
        rows_in = np.bincount(codes[held], minlength=size)
        leavers_in = np.bincount(codes[held], weights=left[held], minlength=size)
        mean = (gone - leavers_in.sum()) / max(total - rows_in.sum(), 1.0)
        share = (leavers - leavers_in + _PRIOR * mean) / (rows - rows_in + _PRIOR)
        score[held] = share[codes[held]]
    return auc(score, left)


def auc(score: npt.NDArray[np.float64], left: npt.NDArray[np.float64]) -> float:
    """ROC-AUC by ranks (Hanley & McNeil 1982), ties counted half; .5 where one class is absent."""
    leavers = float(left.sum())
    others = left.size - leavers
    if leavers == 0 or others == 0:
        return 0.5
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[left == 1].sum() - leavers * (leavers + 1) / 2) / (leavers * others))


def information(codes: npt.NDArray[np.int64], size: int, left: npt.NDArray[np.float64]) -> float:
    """Mutual information (bits) of a coded column and the target (Shannon 1948), corrected for its size (Miller–Madow 1955)."""
    rows = np.bincount(codes, minlength=size).astype(np.float64)
    leavers = np.bincount(codes, weights=left, minlength=size)
    joint = np.stack([rows - leavers, leavers]) / left.size
    product = joint.sum(axis=0, keepdims=True) * joint.sum(axis=1, keepdims=True)
    where = joint > 0
    bits = float((joint[where] * np.log2(joint[where] / product[where])).sum())
    return bits - float((np.count_nonzero(rows) - 1) / (2 * left.size * np.log(2)))
