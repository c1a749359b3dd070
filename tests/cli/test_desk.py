"""`churn demo`, `churn app`, `churn doctor`; and that the demo and a company's data never meet."""

from __future__ import annotations

import functools
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.base.snapshot import RISK, ROWS
from churn.data import demo

from .conftest import QUICK, Desk

CUSTOMERS = 400
_write = demo.write


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "write", functools.partial(_write, customers=CUSTOMERS))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A home with the demo; gates that hold for a base this small."""
    return _simulated(tmp_path_factory.mktemp("demo"))


def _simulated(home: Path) -> Desk:
    desk = Desk(home)
    desk.settings("gate_ece: 1\ngate_auc: 0.5\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "write", functools.partial(_write, customers=CUSTOMERS))
        assert f"The demo is ready: {CUSTOMERS} simulated customers." in desk.done("demo").out
    return desk


def _risks(desk: Desk) -> list[pl.DataFrame]:
    registry = desk.registry("demo")
    ids = [info.id for info in sorted(registry.scorings(), key=lambda info: info.as_of)]
    return [pl.read_parquet(registry.scoring_folder(id) / ROWS).sort(demo.KEY) for id in ids]


def test_the_demo_is_at_once_the_second_time_and_changes_nothing(simulated: Desk) -> None:
    before = simulated.sums("models", "data")
    start = time.process_time()
    shown = simulated.done("demo").out
    assert time.process_time() - start < 2
    assert shown.startswith("The demo is there: model v1, scoring 20")
    assert simulated.sums("models", "data") == before


def test_the_demo_is_in_its_own_workspace_and_says_what_it_is(simulated: Desk) -> None:
    assert {name.split("/")[1] for name in simulated.sums("models", "data")} == {"demo"}
    registry = simulated.registry("demo")
    assert all(info.facts["simulated"] for info in (*registry.versions(), *registry.scorings()))
    assert len(registry.scorings()) == 3
    assert simulated.done("models", "--json").json["champion"] is None
    listed = simulated.done("--workspace", "demo", "models", "--json").json
    assert listed["champion"]["model"] == "v1"
    assert all(finding["good"] for finding in simulated.done("--workspace", "demo", "doctor", "--json").json)


def test_the_demo_is_the_same_wherever_it_is_made(simulated: Desk, tmp_path: Path) -> None:
    other = _simulated(tmp_path)
    assert other.sums("data") == simulated.sums("data")
    for here, there in zip(_risks(simulated), _risks(other), strict=True):
        assert here.height > 0.9 * CUSTOMERS
        assert here.equals(there)
        assert here[RISK].is_between(0, 1).all()


@pytest.mark.parametrize(
    "command",
    [
        ("train", "t.csv", "--schema", "s.yaml", *QUICK),
        ("score", "t.csv", "--publish"),
        ("score", "t.csv", "--out", "x.csv"),
        ("promote", "v1"),
        ("rollback",),
        ("outcomes", "import", "t.csv"),
    ],
)
def test_no_other_command_writes_to_the_demo(simulated: Desk, command: tuple[str, ...]) -> None:
    before = simulated.sums()
    says = "the workspace 'demo' holds simulated data only and is written by `churn demo`; choose another one"
    assert simulated.run("-w", "demo", *command).line == says
    assert simulated.sums() == before


def test_no_other_workspace_reaches_the_demo(simulated: Desk) -> None:
    before = simulated.sums()
    for place in ("models/demo", "./models/../models/demo", "models/demo/models", f"file://{simulated.home}/models/demo"):
        assert "belongs to the demo workspace" in simulated.run("models", "--store", place).line
    assert "belongs to the demo workspace" in simulated.run("score", "t.csv", "--publish", "--store", "models/demo").line
    (simulated.home / "link").symlink_to(simulated.home / "models" / "demo")
    assert "belongs to the demo workspace" in simulated.run("models", "--store", "link").line
    (simulated.home / "link").unlink()
    assert simulated.sums() == before


def test_a_copy_of_the_demo_is_no_store_for_real_data(simulated: Desk, trained: Desk) -> None:
    shutil.copytree(simulated.home / "models" / "demo", trained.home / "copy")
    says = trained.run("score", "t.csv", "--publish", "--store", "copy").line
    assert "holds simulated data of workspace 'demo'; workspace 'default' is for real data. Nothing was done" in says


def test_real_data_in_the_place_of_the_demo_stays(trained: Desk) -> None:
    (trained.home / "models" / "default").rename(trained.home / "models" / "demo")
    before = trained.sums("models")
    assert "is for simulated data. Nothing was done" in trained.run("demo").line
    assert trained.sums("models") == before


def test_a_demo_made_anew_brings_its_own_model(simulated: Desk, tmp_path: Path) -> None:
    desk = Desk(Path(shutil.copytree(simulated.home, tmp_path / "home")))
    (desk.home / "data" / "demo" / "latest.parquet").unlink()
    assert "The demo is ready" in desk.done("demo").out
    listed = desk.done("-w", "demo", "models", "--json").json
    assert listed["champion"]["model"] == "v2"
    assert "The simulated base was made anew" in listed["history"][4]["reason"]


def test_doctor_says_what_is_missing(desk: Desk, trained: Desk) -> None:
    ran = desk.run("doctor")
    assert ran.code == 1
    assert "none yet; train one: churn train TABLE --schema schema.yaml --promote" in ran.out
    assert ran.err == "Something is wrong; the lines with ✗ say what.\n"
    findings = {finding["what"]: finding for finding in trained.done("doctor", "--json").json}
    assert list(findings)[:4] == ["workspace", "store", "champion", "scoring"]
    assert findings["champion"]["words"].startswith("model v1, since 20")
    before = trained.sums("models")
    assert trained.done("doctor").out.count("✓") == len(findings)
    assert trained.sums("models") == before  # the probes are gone


def test_app_serves_this_workspace(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import serve

    seen: list[Any] = []
    monkeypatch.setattr(serve, "run", seen.append)
    shown = trained.done("-w", "shop", "app", "--port", "8765").out
    assert shown == "The desk opens at http://127.0.0.1:8765 — workspace shop. Ctrl+C ends it.\n"
    assert [(one.workspace, one.port, one.home) for one in seen] == [("shop", 8765, trained.home)]
