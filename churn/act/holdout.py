"""The randomised holdout of a campaign: who is kept uncalled, so that calling can be judged by what it changed.

Within each stratum, a risk band, the customers stand in the order of a salted hash of their key, which is as good as a shuffle
and the same for whoever draws again; the first of them are kept uncalled. How many is the share of the stratum, and over all
strata to the nearest whole customer, so the arms are alike in risk by construction and not by luck. Whoever was drawn once stays
where they were: only newcomers are drawn when a list is built anew or grows.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
import polars as pl

from churn import words
from churn.data.holdout import key_hash
from churn.errors import DataError

Arm = Literal["call", "holdout"]
CALL: Final[Arm] = "call"
HOLDOUT: Final[Arm] = "holdout"
SHARE: Final = 0.1
MOST_SHARE: Final = 0.5


def new_salt() -> str:
    """A random salt: a campaign has one of its own, so that nobody can tell from one draw who is held out of the next."""
    return secrets.token_hex(16)


def draw(
    customers: pl.Series | Sequence[str],
    strata: pl.Series | Sequence[str],
    *,
    salt: str,
    share: float = SHARE,
    before: Mapping[str, str] | None = None,
) -> list[Arm]:
    """Draw the arm of every customer of a list.

    Parameters
    ----------
    customers: keys, each once, in any order: it does not matter.
    strata: the risk band of each, or any other group within which the arms are to be balanced.
    salt: of the campaign. share: kept uncalled, 0–0.5.
    before: the arms drawn earlier, by key, also of customers who are not on this list.

    Returns
    -------
    `call` or `holdout` for each customer, in their order.

    Raises
    ------
    DataError: the share is outside its limits, a customer is on the list twice, an arm has another name, or the lengths differ.
    """
    keys, groups = list(customers), list(strata)
    if not 0 <= share <= MOST_SHARE:
        raise DataError(f"the share held out must be from 0 to {MOST_SHARE}, not {share!r}")
    if len(keys) != len(groups):
        raise DataError(f"every customer of a draw needs a risk band; there are {len(keys)} customers and {len(groups)} bands")
    if len(set(keys)) < len(keys):
        raise DataError(f"a customer can be drawn once; {Counter(keys).most_common(1)[0][0]!r} is on the list twice")
    arms: list[Arm | None] = [None if before is None else _known(before, key) for key in keys]
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    names = sorted(members, key=str)
    for group, wanted in zip(names, _quotas([len(members[name]) for name in names], share), strict=True):
        places = members[group]
        held = sum(arms[place] == HOLDOUT for place in places)
        newcomers = sorted((place for place in places if arms[place] is None), key=lambda p: (key_hash(keys[p], salt), keys[p]))
        for rank, place in enumerate(newcomers):
            arms[place] = HOLDOUT if rank < wanted - held else CALL
    return [arm or CALL for arm in arms]


def held_out(customers: int, share: float = SHARE) -> int:
    """How many of so many customers a first draw keeps uncalled: the share of them, to the nearest whole customer."""
    return int(words.rounded(customers * share))


def _known(before: Mapping[str, str], key: str) -> Arm | None:
    arm = before.get(key)
    if arm is None or arm == CALL:
        return None if arm is None else CALL
    if arm != HOLDOUT:
        raise DataError(f"an arm is {CALL!r} or {HOLDOUT!r}; customer {key!r} has {arm!r}")
    return HOLDOUT


def _quotas(sizes: Sequence[int], share: float) -> list[int]:
    """How many of each stratum are held out: its share rounded down or up, by largest remainder, so that the sum is right."""
    exact = np.asarray(sizes, dtype=np.float64) * share
    quotas = np.floor(exact + 1e-9).astype(np.int64)  # 30 × 0.1 is a little less than 3 in floats
    missing = held_out(int(sum(sizes)), share) - int(quotas.sum())
    for place in np.argsort(-(exact - quotas), kind="stable")[: max(missing, 0)]:
        quotas[place] += 1
    return [int(quota) for quota in quotas]
