"""A real PostgreSQL server on loopback, for the tests of what is kept in a database."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ACCOUNT = "postgres"  # the server refuses to run as root


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server and an empty database in it."""

    url: str


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name) or next((str(folder / name) for folder in folders if (folder / name).exists()), None)
    if found is None:
        pytest.skip(f"no PostgreSQL: {name} is not installed (Debian: postgresql)")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server of its own; skips where PostgreSQL is not installed."""
    initdb, program = _program("initdb"), _program("postgres")
    folder = tmp_path_factory.mktemp("postgres")
    user = _ACCOUNT if os.getuid() == 0 else None
    if user:
        for place in (folder, *folder.parents):  # the server's account has to come through to its folder
            if str(place).startswith("/tmp/") and place.owner() == "root":
                place.chmod(place.stat().st_mode | 0o011)
        shutil.chown(folder, user)
    command = [initdb, "-D", str(folder / "data"), "-U", "ann", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    process = subprocess.Popen([program, *options], user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)  # does not wait for those who are still connected
        process.wait(20)


@pytest.fixture
def postgres(server: int) -> Postgres:
    """An empty database."""
    name = f"d{uuid.uuid4().hex}"
    with _connect(server) as connection:
        connection.execute(f"create database {name}")
    return Postgres(f"postgresql+psycopg://ann@127.0.0.1:{server}/{name}")


def _connect(port: int) -> Any:
    import psycopg

    return psycopg.connect(f"host=127.0.0.1 port={port} user=ann dbname=postgres connect_timeout=2", autocommit=True)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "PostgreSQL did not start"
        try:
            _connect(port).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("PostgreSQL did not answer")
