"""A desk in a folder of its own, used through the real command line."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn import cli
from churn.data import s3
from churn.model import store
from churn.model.registry import Registry
from churn.settings import Settings

QUICK = ("--trials", "1", "--repeats", "1", "--candidates", "logistic-regression")
STAGE = re.compile(r" \([\d,]+ of [\d,]+\)$")
MONTHS = tuple(date(2025 + (6 + month) // 12, (6 + month) % 12 + 1, 1) for month in range(8))


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that `--json` promises."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """What a refusal says on standard error: one line, without a traceback; stages of a training may go before it."""
        assert self.code in (2, 3), (self.code, self.out, self.err)
        lines = [line for line in self.err.splitlines() if not STAGE.search(line)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("churn: "), self.err
        return lines[0].removeprefix("churn: ")


@dataclass(frozen=True)
class Desk:
    """A home folder: its settings, store and cache, and tables beside them."""

    home: Path

    def run(self, *arguments: str | Path) -> Ran:
        """Run the command in this folder, as a shell would; names of files are looked for here."""
        out, err = io.StringIO(), io.StringIO()
        code: Any = 0
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(self.home)
            patch.setattr(sys, "argv", ["churn", *map(str, arguments)])
            try:
                cli.main()
            except SystemExit as stop:
                code = stop.code or 0
        return Ran(code, out.getvalue(), err.getvalue())

    def done(self, *arguments: str | Path) -> Ran:
        """Run a command that has to succeed."""
        ran = self.run(*arguments)
        assert ran.code == 0, ran.err
        return ran

    def sums(self, *folders: str) -> dict[str, str]:
        """Every file below the folders (all unless given) and the sum of what it holds."""
        found = [path for folder in folders or (".",) for path in sorted((self.home / folder).rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def settings(self, text: str) -> None:
        (self.home / "config.yaml").write_text(text, encoding="utf-8")

    def registry(self, workspace: str | None = None) -> Registry:
        """The store of this home, beside the command line."""
        settings = Settings.load(workspace, home=self.home, environ={})
        return Registry(store.open_store(settings), settings)

    @property
    def pointer(self) -> Any:
        """The champion as `churn models --json` names it."""
        return self.done("models", "--json").json["champion"]


def customers(rows: int = 700, *, seed: int = 1, dated: bool = False) -> pl.DataFrame:
    """A table as a company has it: contacts beside the features, blanks, and leavers that a model can find.

    dated: `rows` customers at eight month ends, whoever has left does not come back, the last two months' outcomes open.
    """
    rng = np.random.default_rng(seed)
    contract = rng.choice(["Monthly", "Yearly", "Two years"], rows, p=[0.5, 0.3, 0.2])
    online = rng.choice(["Yes", "No"], rows)
    charge = np.round(rng.gamma(4, 15, rows) + 10, 2)
    start = rng.integers(0, 60, rows)
    frames, present = [], np.ones(rows, dtype=bool)
    for month, day in enumerate(MONTHS if dated else MONTHS[:1]):
        tenure = start + month
        level = -2.2 if dated else -0.4
        chance = 1 / (1 + np.exp(-(level - 0.08 * (tenure - 24) + 2.5 * (contract == "Monthly") + 0.8 * (online == "No") - 1)))
        left = rng.random(rows) < chance
        frame = pl.DataFrame(
            {
                "customer_id": [f"C{number:05d}" for number in range(rows)],
                "name": [f"Ann Smith {number}" for number in range(rows)],
                "email": [f"ann.{number}@example.org" for number in range(rows)],
                "tenure": [None if number % 23 == 5 else int(value) for number, value in enumerate(tenure)],
                "MonthlyCharges": charge,
                "contract": contract,
                "online": online,
                "left": np.where(left, "Yes", "No"),
            }
        )
        if dated:
            frame = frame.with_columns(day=pl.lit(day), left=pl.lit(None, pl.String) if month > 5 else pl.col("left"))
        frames.append(frame.filter(pl.Series(present)))
        present &= ~left
    return pl.concat(frames)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the person who runs the tests has set does not count."""
    for name in os.environ:
        if name.startswith("CHURN_") and name != "CHURN_MLFLOW":  # off, see the other conftest
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A home with nothing in it but a table, its schema, and gates that a table this small can pass."""
    return _furnished(tmp_path / "home")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server on loopback that keeps everything in memory."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Settings, as YAML, of an empty store: a folder, or a bucket."""
    if request.param == "file":
        return "store: shop\n"
    address = request.getfixturevalue("s3_server")
    for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_CONFIG_FILE", "/nonexistent")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = s3.client(Settings(s3_endpoint=address))
    monkeypatch.setattr(store, "client", lambda settings: client)  # one for all commands: it takes long to make
    bucket = f"desk-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    return f"store: s3://{bucket}/shop\ns3_endpoint: {address}\ns3_attempts: 2\n"


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = _furnished(tmp_path_factory.mktemp("trained") / "home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("CHURN_") and name != "CHURN_MLFLOW":
                patch.delenv(name)
        desk.done("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote")
        desk.done("score", "t.csv", "--publish", "--as-of", "2026-11-01")
    return desk


@pytest.fixture
def trained(_trained: Desk, tmp_path: Path) -> Desk:
    """A home with a champion (v1) and a scoring on the desk; a copy that a test may spoil."""
    return Desk(Path(shutil.copytree(_trained.home, tmp_path / "trained", ignore=shutil.ignore_patterns(".cache"))))


def _furnished(home: Path) -> Desk:
    home.mkdir(parents=True)
    desk = Desk(home)
    desk.settings("gate_ece: 0.15\n")
    customers().write_csv(home / "t.csv")
    desk.done("schema", "infer", "t.csv", "--key", "customer_id", "--target", "left", "-o", "s.yaml")
    return desk
