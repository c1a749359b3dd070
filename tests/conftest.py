"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_TABLES = Path(os.environ.get("CHURN_REALDATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_table() -> Callable[[str], Path]:
    """The path of a real table by name; skips where the folder of real tables does not exist."""

    def find(name: str) -> Path:
        path = REAL_TABLES / name
        if not path.exists():
            pytest.skip(f"extra check on the real table {name}: no folder {REAL_TABLES} (set CHURN_REALDATA)")
        return path

    return find


os.environ.setdefault("CHURN_MLFLOW", "off")  # a second of processor time for each training; what is about it asks for it
