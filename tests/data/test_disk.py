"""What a disk refuses: said in words whoever meets it, Python or polars."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from churn.data import demo
from churn.data.disk import disk
from churn.errors import StoreUnavailable

ROWS = pl.DataFrame({"a": range(200_000)})


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: the system refuses the rest, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_that_polars_cannot_finish_names_its_file_and_what_to_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"t.{kind}"
    with pytest.raises(StoreUnavailable) as caught, _files_of_at_most(10_000), disk(path, "written"):
        getattr(ROWS, f"write_{kind}")(path)
    assert (
        str(caught.value) == f"{path} cannot be written (File too large): a file may not be so large there; choose another folder"
    )


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only")])
def test_what_the_system_says_is_said_with_advice(tmp_path: Path, number: int, advice: str) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(StoreUnavailable) as caught, disk(path, "written"):
        raise OSError(number, os.strerror(number), str(tmp_path / ".beside"))
    assert str(caught.value).startswith(f"{path} cannot be written ({os.strerror(number)}): {advice}")


def test_a_mistake_of_ours_is_no_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(pl.exceptions.ComputeError, match="no such thing"), disk(tmp_path, "written"):
        raise pl.exceptions.ComputeError("no such thing")


def test_a_demo_that_does_not_fit_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with pytest.raises(StoreUnavailable, match=r"demo cannot be written \(File too large\)"), _files_of_at_most(20_000):
        demo.write(folder, customers=500, months=3)
    assert [path.name for path in folder.iterdir()] == []
    assert demo.write(folder, customers=500, months=3).fresh
