"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .model import ceph_server as ceph

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_TABLES = Path(os.environ.get("REAL_TABLES", REPOSITORY.parent / "shared" / "data"))

os.environ.setdefault("CHURN_MLFLOW", "off")  # a second of processor time for each training; what is about it asks for it


@pytest.fixture(scope="session")
def real_table() -> Callable[[str], Path]:
    """The path of a real table by name; skips where the folder of real tables does not exist."""

    def find(name: str) -> Path:
        path = REAL_TABLES / name
        if not path.exists():
            pytest.skip(f"extra check on the real table {name}: no folder {REAL_TABLES} (set REAL_TABLES)")
        return path

    return find


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials, whatever those of the person who runs the tests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real S3 server on loopback; skips where Ceph is not installed."""
    if missing := ceph.missing():
        pytest.skip(f"no real S3 server: {', '.join(missing)} not installed (Debian: radosgw ceph-mon ceph-osd ceph-common)")
    server = ceph.Ceph(tmp_path_factory.mktemp("ceph"))
    yield server.address
    server.stop()
