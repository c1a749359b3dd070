"""The holdout: customers no training ever sees, chosen by a salted hash of their key.

The same customers in every training, whatever the order of the rows or the other customers in the table, so that a champion
and its challenger are judged on rows neither has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import polars as pl

CUSTOMER = "__customer__"  # a column of such hashes


def key_hash(key: str, salt: str) -> int:
    """A key as 64 bits that do not show it: the first 8 bytes of BLAKE2b(salt, NUL, key)."""
    return int.from_bytes(hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest(), "big")


def holdout_position(key: str, salt: str) -> float:
    """Where a key falls in [0, 1), evenly spread: its hash as a share.

    >>> holdout_position("7590-VHVEG", "churn-holdout") == holdout_position("7590-VHVEG", "churn-holdout")
    True
    """
    return (key_hash(key, salt) >> 11) / (1 << 53)  # 53 bits fit a float exactly, so that 1 is never reached


def in_holdout(keys: pl.Series | Iterable[str], *, salt: str, share: float) -> np.ndarray:
    """Which rows belong to the holdout.

    Parameters
    ----------
    keys: the customers' keys as text, one a row; a repeated key gets the same answer each time.
    salt: `Settings.holdout_salt`; another salt draws another holdout.
    share: share of customers to keep apart, 0–1.

    Returns
    -------
    bool [rows]

    Raises
    ------
    ValueError: `share` is outside 0–1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the holdout's share must be within 0 and 1, not {share}")
    positions: dict[str, float] = {}
    chosen = []
    for key in keys:
        position = positions.get(key)
        if position is None:
            position = positions[key] = holdout_position(key, salt)
        chosen.append(position < share)
    return np.asarray(chosen, dtype=bool)
