"""Whether a difference is more than chance: the few tests that watching needs, in plain arithmetic.

Pages use them, and scipy would cost a page more memory than all its data; they are tested against scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LEAST_EXPECTED = 5.0  # of a cell of a chi-square test; rarer levels are counted together (Cochran 1954)


def effective_size(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """nm / (n + m): the size of one sample that is as far off as two of n and m are apart; 0 where one is empty."""
    n, m = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return np.divide(n * m, n + m, out=np.zeros(np.broadcast(n, m).shape), where=(n + m) > 0)


def ks_p(distance: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """How likely two samples of one population lie at least so far apart (Kolmogorov–Smirnov, two-sided).

    Kolmogorov's series (1933) at √n·d corrected for n as by Vrbik (2018): for n ≥ 150 within 2e-4 of the exact probability.
    Where values repeat the true probability is smaller, so the test errs on the side of chance.

    Parameters
    ----------
    distance: largest difference of the two shares at or below a value, 0–1.
    size: `effective_size` of the two samples; nothing is known (1) where it is 0.
    """
    n = np.asarray(size, dtype=np.float64)
    root = np.sqrt(np.maximum(n, 1e-9))
    z = root * np.asarray(distance, dtype=np.float64)
    z = z + 1 / (6 * root) + (z - 1) / (4 * np.maximum(n, 1e-9))
    far, near = np.maximum(z, 0.5), np.clip(z, 0.1, 1.0)
    terms = np.arange(1, 8).reshape(-1, *([1] * z.ndim))
    tail = 2 * np.sum((-1.0) ** (terms - 1) * np.exp(-2 * (terms * far) ** 2), axis=0)
    body = 1 - math.sqrt(2 * math.pi) / near * np.sum(np.exp(-((2 * terms - 1) ** 2) * math.pi**2 / (8 * near**2)), axis=0)
    found = np.where(z > 0.8, tail, body)
    return np.where((n > 0) & (np.asarray(distance) > 0), np.clip(found, 0.0, 1.0), 1.0)


def ks_critical(p: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """The distance from which on `ks_p` is at most p (for p ≤ 0.2, by the first term of the series); infinite for no sample."""
    n = np.asarray(size, dtype=np.float64)
    safe = np.maximum(n, 1e-9)
    z = np.sqrt(-np.log(np.asarray(p, dtype=np.float64) / 2) / 2)
    found = (z - 1 / (6 * np.sqrt(safe)) + 1 / (4 * safe)) / (1 + 1 / (4 * safe)) / np.sqrt(safe)
    return np.where(n > 0, found, np.inf)


def chi_square_p(statistic: float, freedom: int) -> float:
    """The upper tail of the chi-square distribution, as the finite sum that it is for a whole number of degrees of freedom.

    Abramowitz and Stegun (1964), 26.4.4 and 26.4.5. 1 for no freedom.
    """
    if freedom < 1 or statistic <= 0:
        return 1.0
    half = statistic / 2
    if freedom % 2:
        found, start, steps = math.erfc(math.sqrt(half)), 0.5, freedom // 2
    else:
        found, start, steps = math.exp(-half), 1.0, freedom // 2 - 1
    log_half = math.log(half)
    found += math.fsum(math.exp((start + k) * log_half - half - math.lgamma(start + k + 1)) for k in range(steps))
    return min(found, 1.0)


def homogeneity(first: Floats, second: Floats) -> tuple[float, int]:
    """Pearson's chi-square statistic of two rows of counts, and its degrees of freedom.

    Cells where fewer than five would be expected in either row are counted together, for there the approximation fails.
    """
    n, m = float(first.sum()), float(second.sum())
    if not n or not m:
        return 0.0, 0
    both = first + second
    rare = both * min(n, m) / (n + m) < _LEAST_EXPECTED
    if rare.any():
        first = np.append(first[~rare], first[rare].sum())
        second = np.append(second[~rare], second[rare].sum())
        both = first + second
    used = both > 0
    freedom = int(used.sum()) - 1
    if freedom < 1:
        return 0.0, 0
    expected = both[used] * n / (n + m)
    other = both[used] - expected
    return float(((first[used] - expected) ** 2 * (1 / expected + 1 / other)).sum()), freedom


def only_here_p(found: float, here: float, there: float) -> float:
    """How likely all `found` rows of a kind lie among the `here` and none among the `there` by chance (exact, hypergeometric)."""
    k = min(found, here)
    if k <= 0 or there <= 0:
        return 1.0
    log_p = math.lgamma(here + 1) - math.lgamma(here - k + 1) - math.lgamma(here + there + 1) + math.lgamma(here + there - k + 1)
    return math.exp(min(log_p, 0.0))


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """The adjusted p-value of each test (Benjamini and Hochberg 1995): rejecting those ≤ q keeps the false among them to q."""
    if not len(p):
        return []
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    found = np.empty(len(values))
    found[order] = adjusted
    return [float(one) for one in found]
