"""`churn demo`, `churn app`, `churn doctor`; and that the demo and a company's data never meet."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from datetime import datetime, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.act import campaigns
from churn.base.records import FILE, Records
from churn.base.snapshot import RISK, ROWS
from churn.cli.demo_campaigns import WORKED
from churn.data import demo
from churn.model.store import FileStore
from churn.score import outcomes
from churn.settings import Settings

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


def _campaigns(desk: Desk) -> list[pl.DataFrame]:
    """The members of the demo's campaigns, the latest first."""
    records = Records(Settings.load("demo", home=desk.home, environ={}))
    found = [campaigns.members(records, one.id) for one in campaigns.every(records)]
    records.close()
    return found


def test_the_demo_has_a_campaign_that_helped_and_one_that_is_running(simulated: Desk) -> None:
    listed = simulated.done("--workspace", "demo", "campaign", "list", "--json").json
    assert {one["id"]: one["status"] for one in listed} == {"autumn-save": "running", "summer-save": "finished"}
    found = simulated.done("--workspace", "demo", "campaign", "results", "summer-save", "--json").json
    assert found["readable"]
    effect, base = found["effect"], found["effect"]["held"]["left"] / found["effect"]["held"]["customers"]
    assert effect["interval"]["low"] <= WORKED * base <= effect["interval"]["high"]  # what is known to be so
    running = simulated.done("--workspace", "demo", "campaign", "results", "autumn-save")
    assert "Simulated data" in running.out
    assert "Not enough data yet" in running.out


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
    assert len(registry.scorings()) == 8
    assert simulated.done("models", "--json").json["champion"] is None
    listed = simulated.done("--workspace", "demo", "models", "--json").json
    assert listed["champion"]["model"] == "v1"
    assert all(finding["good"] for finding in simulated.done("--workspace", "demo", "doctor", "--json").json)


class _Earlier(datetime):
    """A clock that is behind."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Earlier:
        return cls(2020, 1, 1, tzinfo=tz)


def test_the_demo_is_the_same_wherever_and_whenever_it_is_made(
    simulated: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "datetime", _Earlier)
    other = _simulated(tmp_path)
    known = outcomes.read(FileStore(other.home / "models" / "demo"))
    assert known.equals(outcomes.read(FileStore(simulated.home / "models" / "demo")))
    assert known.height == pl.read_parquet(other.home / "data" / "demo" / "outcomes.parquet").height
    timed = (f"data/demo/{FILE}", "data/demo/mlflow")  # which note when they were made
    sums = [{name: sum_ for name, sum_ in one.sums("data").items() if not name.startswith(timed)} for one in (other, simulated)]
    assert sums[0] == sums[1]
    for here, there in zip(_campaigns(simulated), _campaigns(other), strict=True):
        assert here.equals(there)
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
    earlier = {info.version for info in desk.registry("demo").versions()}
    (desk.home / "data" / "demo" / "latest.parquet").unlink()
    assert "The demo is ready" in desk.done("demo").out
    listed = desk.done("-w", "demo", "models", "--json").json
    first = next(entry for entry in listed["history"] if "The simulated base was made anew" in entry["reason"])
    assert first["model"] not in earlier
    assert listed["champion"]["model"] not in earlier


def test_doctor_says_what_is_missing(desk: Desk, trained: Desk) -> None:
    ran = desk.run("doctor")
    assert ran.code == 1
    assert "none yet; get one with: churn train TABLE --schema schema.yaml --promote" in ran.out
    assert not (desk.home / "models").exists()  # looking makes nothing
    assert ran.err == "Something is wrong; the lines with ✗ say what.\n"
    findings = {finding["what"]: finding for finding in trained.done("doctor", "--json").json}
    assert list(findings)[:4] == ["workspace", "store", "champion", "scoring"]
    assert findings["champion"]["words"].startswith("model v1, since 20")
    before = trained.sums("models")
    assert trained.done("doctor").out.count("✓") == len(findings)
    assert trained.sums("models") == before  # the probes are gone


def _findings(desk: Desk, *options: str) -> dict[str, dict[str, Any]]:
    return {finding["what"]: finding for finding in desk.run(*options, "doctor", "--json").json}


def test_doctor_on_an_empty_home_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    findings = _findings(desk)
    assert [name for name in ("store", "log", "cache") if not findings[name]["good"]] == []
    assert list(tmp_path.iterdir()) == []
    assert _findings(desk, "-w", "demo")["champion"]["words"] == "none yet; get one with: churn demo"


def test_doctor_finds_damage_in_the_store_behind_a_good_copy(trained: Desk) -> None:
    trained.done("doctor")
    place, scoring = trained.home / "models" / "default", trained.pointer["scoring"]
    (part,) = (place / "log").rglob("*.parquet")
    for path in (place / "models" / "v1" / "tables.npz", place / "scorings" / scoring / "rows.parquet", part):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    findings = _findings(trained)
    assert [name for name, found in findings.items() if not found["good"]] == ["champion", "scoring", "log"]
    assert "tables.npz was altered in the store" in findings["champion"]["words"]
    assert "rows.parquet was altered in the store" in findings["scoring"]["words"]
    assert part.name in findings["log"]["words"]


def test_doctor_says_what_is_wrong_with_the_settings(trained: Desk) -> None:
    trained.settings("gate_eec: 0.1\n")
    ran = trained.run("doctor", "--json")
    assert ran.code == 1
    assert ran.json[0] == {
        "what": "settings",
        "good": False,
        "words": "unknown setting 'gate_eec' in config.yaml; did you mean 'gate_ece'?",
    }


def test_doctor_tries_the_cache_and_the_port(trained: Desk) -> None:
    (trained.home / ".cache").write_text("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trained.settings(f"port: {server.server_port}\n")
    try:
        for answer, good in ((b'{"status":"ok"}', True), (b"something else", False)):
            _Health.answer = answer
            findings = _findings(trained)
            assert findings["port"]["good"] is good
            assert not findings["cache"]["good"]
        assert "cannot be used (Address already in use)" in findings["port"]["words"]
    finally:
        server.shutdown()
        server.server_close()
    assert _findings(trained)["port"]["words"].endswith("is free")


class _Health(BaseHTTPRequestHandler):
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_named_in_the_demo_is_refused_rather_than_passed_over(simulated: Desk) -> None:
    for command in (("models",), ("doctor",), ("score", "t.csv", "--out", "x.csv")):
        ran = simulated.run("-w", "demo", *command, "--store", "elsewhere")
        said = ran.out + ran.err
        assert "--store cannot be given in the workspace 'demo', which keeps its own" in " ".join(said.split())


def test_app_listens_where_it_is_told(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import serve

    seen: list[Any] = []
    monkeypatch.setattr(serve, "run", seen.append)
    trained.done("app", "--address", "localhost", "--port", "8766")
    assert [(one.address, one.port) for one in seen] == [("localhost", 8766)]
    assert trained.run("app", "--address", "0.0.0.0").line.startswith("setting 'address' is '0.0.0.0': whoever reaches it")


def test_app_serves_this_workspace(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import serve

    seen: list[Any] = []
    monkeypatch.setattr(serve, "run", seen.append)
    shown = trained.done("-w", "shop", "app", "--port", "8765").out
    assert shown == "The desk opens at http://127.0.0.1:8765 — workspace shop. Ctrl+C ends it.\n"
    assert [(one.workspace, one.port, one.home) for one in seen] == [("shop", 8765, trained.home)]
