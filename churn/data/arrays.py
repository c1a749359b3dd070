"""Arrays in npz files, one reader at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

_ONE = threading.Lock()


@contextmanager
def loaded(source: Path | IO[bytes]) -> Iterator[Any]:
    """The arrays of a file as `numpy.load` gives them, without pickles; they are read when they are taken out.

    numpy reads each array's header with Python's parser, and that of CPython 3.11 counts its depth for all threads together: two
    that are in it at once can end in a SystemError (CPython's issue 106905). Raises as `numpy.load` does.
    """
    with _ONE, np.load(source, allow_pickle=False) as stored:
        yield stored
