"""Arrays in files: whole, without pickles, and from many threads at once."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from churn.data.arrays import loaded


def test_many_threads_read_what_was_written(tmp_path: Path) -> None:
    written = {f"part_{number}": np.arange(number, dtype=np.int32) for number in range(40)}
    np.savez(tmp_path / "arrays.npz", allow_pickle=False, **written)

    def read(_: int) -> bool:
        with loaded(tmp_path / "arrays.npz") as stored:
            found = {name: stored[name] for name in stored.files}
        return found.keys() == written.keys() and all(np.array_equal(found[name], written[name]) for name in written)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(40)))


def test_nothing_that_could_run_is_loaded() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, bad=np.array([{}], dtype=object))
    buffer.seek(0)
    with pytest.raises(ValueError, match="allow_pickle=False"), loaded(buffer) as stored:
        stored["bad"]
