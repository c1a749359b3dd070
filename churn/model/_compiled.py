"""The gathers of `churn.model.tables`, compiled with numba. Imported only by those who ask for the compiled engine.

One thread: scoring scales by files and processes, and a page must not take a core from its neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from churn.model._jit import jit
from churn.model._layout import Layout
from churn.model.encoder import Codes, Floats

_CHUNK = 8192  # rows worked on at a time


def margins(codes: Codes, layout: Layout, result: Floats) -> None:
    """Add to `result` [rows] the totals of every block at the rows' cells."""
    _margins(
        *(codes, layout.first, layout.feature, layout.stride, layout.step_start, layout.steps),
        *(layout.total_start, layout.totals, result),
    )


def contributions(codes: Codes, layout: Layout, result: npt.NDArray[Any]) -> None:
    """Fill `result` [features, rows] with what every feature contributes."""
    _contributions(
        *(codes, layout.first, layout.feature, layout.opens, layout.stride, layout.step_start, layout.steps),
        *(layout.value_start, layout.values, result),
    )


@jit
def _cells(codes, start, stop, first, last, feature, stride, step_start, steps, cell):  # type: ignore[no-untyped-def]
    """The cells of rows start to stop in the block of members first to last."""
    count = stop - start
    for r in range(count):
        cell[r] = 0
    for member in range(first, last):
        own = codes[feature[member], start:stop]
        step = np.int32(stride[member])
        if step != 0:
            for r in range(count):
                cell[r] += np.int32(own[r]) * step
        else:
            at = steps[step_start[member] :]
            for r in range(count):
                cell[r] += np.int32(at[own[r]])


@jit
def _margins(codes, first, feature, stride, step_start, steps, total_start, totals, result):  # type: ignore[no-untyped-def]
    cell = np.empty(_CHUNK, dtype=np.int32)
    rows = codes.shape[1]
    for start in range(0, rows, _CHUNK):
        stop = min(start + _CHUNK, rows)
        part = result[start:stop]
        for block in range(len(first) - 1):
            _cells(codes, start, stop, first[block], first[block + 1], feature, stride, step_start, steps, cell)
            table = totals[total_start[block] :]
            for r in range(stop - start):
                part[r] += table[cell[r]]


@jit
def _contributions(  # type: ignore[no-untyped-def]
    codes, first, feature, opens, stride, step_start, steps, value_start, values, result
):
    cell = np.empty(_CHUNK, dtype=np.int32)
    features, rows = result.shape
    opened = np.zeros(features, dtype=np.bool_)
    for member in range(len(feature)):
        opened[feature[member]] = True
    for start in range(0, rows, _CHUNK):
        stop = min(start + _CHUNK, rows)
        for f in range(features):
            if not opened[f]:
                result[f, start:stop] = 0
        for block in range(len(first) - 1):
            _cells(codes, start, stop, first[block], first[block + 1], feature, stride, step_start, steps, cell)
            for member in range(first[block], first[block + 1]):
                table = values[value_start[member] :]
                part = result[feature[member], start:stop]
                if opens[member]:
                    for r in range(stop - start):
                        part[r] = table[cell[r]]
                else:
                    for r in range(stop - start):
                        part[r] += table[cell[r]]
