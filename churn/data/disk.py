"""What a disk refuses, in words: the path, the reason, what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from churn.errors import StoreUnavailable

_POLARS = re.compile(r"\(os error (\d+)\)")  # polars gives the system's number in its words only

_ADVICE = {
    errno.ENOENT: "the folder does not exist and cannot be made; choose another",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.EROFS: "the disk is read-only; choose another folder or have it mounted for writing",
    errno.EACCES: "this user may not do that; change the folder's rights or choose another folder",
    errno.EPERM: "this user may not do that; change the folder's rights or choose another folder",
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the quota is used up; make room and try again",
    errno.EFBIG: "a file may not be so large there; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}


@contextmanager
def disk(path: Path, doing: str) -> Iterator[None]:
    """Turn what the disk refuses, to Python or to polars, into StoreUnavailable that names the path and what to do."""
    try:
        yield
    except OSError as error:
        raise _unavailable(path, doing, error) from error
    except pl.exceptions.ComputeError as error:  # a Parquet file that is half written when the disk is full
        if not _POLARS.search(str(error)):
            raise
        raise _unavailable(path, doing, error) from error


def _unavailable(path: Path, doing: str, error: Exception) -> StoreUnavailable:
    named = (error.filename2 or error.filename) if isinstance(error, OSError) else None  # the second is what was to be made
    place = Path(named) if isinstance(named, str) else path
    if place.parent == path.parent and place.name.startswith("."):
        place = path  # the file beside it that was to take its place
    told = _POLARS.search(str(error))
    number = getattr(error, "errno", None) or (int(told.group(1)) if told else 0)
    advice = _ADVICE.get(number, "look at the disk and try again")
    return StoreUnavailable(f"{place} cannot be {doing} ({os.strerror(number) if number else error}): {advice}")
