"""Stores of both kinds, so that every test of a store runs against a folder and against S3."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from churn.data.s3 import client
from churn.model import manifest
from churn.model import store as store_module
from churn.model.scoring import ScoringModel
from churn.model.store import Store, open_store
from churn.settings import Settings

from . import tiny

_WITH_BUCKET: set[str] = set()


class OneAtATime:
    """moto looks at a condition and writes in two steps; one request at a time makes them one, as on a real server."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        with self._lock:
            return list(self._application(environ, start_response))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server on loopback that keeps everything in memory."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, OneAtATime(DomainDispatcherApplication(create_backend_app)), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_place(s3_server: str, s3_credentials: None) -> str:
    """An empty prefix of a bucket on the fast server: `bucket/prefix`."""
    return new_place(s3_server)


def new_place(address: str) -> str:
    if address not in _WITH_BUCKET:
        _client(address, 2).create_bucket(Bucket="desk")
        _WITH_BUCKET.add(address)
    return f"desk/{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["file", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, s3_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty store: in a folder, on moto's S3 server; on a real one where a test asks for `EVERYWHERE`."""
    places = {"home": tmp_path, "cache": "cache", "data": "data"}
    if request.param == "file":
        return Settings(store="store", **places)
    monkeypatch.setattr(store_module, "client", _shared_client)
    address = request.getfixturevalue("s3_server" if request.param == "s3" else "ceph_server")
    return Settings(store=f"s3://{new_place(address)}", s3_endpoint=address, s3_attempts=2, **places)


def _shared_client(settings: Settings) -> Any:
    return _client(settings.s3_endpoint, settings.s3_attempts)


@cache
def _client(address: str, attempts: int) -> Any:
    """One for all tests: a client takes longer to make than the requests of a test."""
    return client(Settings(s3_endpoint=address, s3_attempts=attempts))


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run a function in many threads that start together; what each returned or raised, in order."""

    def run(function: Callable[[int], Any], count: int) -> list[Any]:
        gate = threading.Barrier(count)
        results: list[Any] = [None] * count

        def one(number: int) -> None:
            gate.wait()
            try:
                results[number] = function(number)
            except Exception as error:  # noqa: BLE001 - handed to the test, which looks at its kind
                results[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run


@pytest.fixture(scope="session")
def tiny_model() -> ScoringModel:
    """A model of one number, one category and one interaction, for a handful of customers."""
    return tiny.model()


@pytest.fixture
def new_bundle(tiny_model: ScoringModel, tmp_path: Path) -> Callable[..., Path]:
    """Save the tiny model as a bundle in a new folder."""

    def save(**given: Any) -> Path:
        folder = tmp_path / "made" / uuid.uuid4().hex[:8]
        tiny.save(folder, tiny_model, **given)
        return folder

    return save


@pytest.fixture
def new_scoring(tiny_model: ScoringModel, tmp_path: Path) -> Callable[..., Path]:
    """Seal a folder that stands for a scoring by the given model."""

    def make(model: str, **given: Any) -> Path:
        folder = tmp_path / "made" / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(os.urandom(1000))
        facts: dict[str, Any] = {
            "schema_hash": tiny_model.schema.hash,
            "simulated": False,
            "model": model,
            "as_of": "2026-11-19",
            "rows": 2,
            "created": datetime(2026, 11, 19, 6, 12, tzinfo=UTC),
        }
        manifest.seal(folder, kind="scoring", **{**facts, **given})
        return folder

    return make
