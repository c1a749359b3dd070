"""Arrays about a scoring that are worked out once and kept in the cache, for whoever looks at it next."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from churn.data.arrays import loaded
from churn.data.disk import disk

_FILES: Final = 4  # of earlier scorings that stay in a folder of the cache


def kept(path: Path, work: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """The arrays of an .npz file in the cache; worked out and put there where it is not, or torn: it is a copy.

    Raises StoreUnavailable where the disk refuses.
    """
    with disk(path, "read"):
        try:
            with loaded(path) as found:
                return dict(found)
        except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
            pass
    made = work()
    with disk(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{uuid.uuid4().hex}.npz")
        try:
            np.savez(half, allow_pickle=False, **made)
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        for old in sorted(path.parent.glob("[!.]*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)[_FILES:]:
            old.unlink(missing_ok=True)
    return made
