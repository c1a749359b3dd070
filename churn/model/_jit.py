"""Compiling with numba. Imported only by modules of compiled loops, which are themselves imported only where they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the machine code beside the file or in the user's cache; without a writable place, every process
    compiles anew."""
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba: "no locator available"
        compiled = numba.njit(nogil=True)(function)
    return cast("Callable[..., Any]", compiled)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A part of compiled functions, written out in each: a call with arrays costs tens of times what a comparison does."""
    return cast("Callable[..., Any]", numba.njit(inline="always")(function))
