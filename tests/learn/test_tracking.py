"""What MLflow is told of a training, and that a training does not care whether MLflow is there."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import polars as pl
import pytest

from churn.errors import TrainingError
from churn.learn import _mlflow, tracking
from churn.learn.tracking import RunRecord, post, sync, training_record, version_record
from churn.learn.training import TrainingResult, train, write_bundle
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings

if TYPE_CHECKING:
    from .conftest import MakeTable


@pytest.fixture(scope="module")
def result(make_table: MakeTable) -> TrainingResult:
    table, schema = make_table(600)
    settings = Settings(seed=3)
    return train(
        table,
        schema,
        settings=settings,
        trials=6,
        candidates=("logistic-regression", "lightgbm"),
        threads=1,
        parent="v0",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path, environ={})


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(open_store(settings), settings)


@pytest.fixture
def version(result: TrainingResult, registry: Registry, tmp_path: Path) -> str:
    write_bundle(result, tmp_path / "bundle", simulated=False)
    return registry.publish_model(tmp_path / "bundle")


def kept(settings: Settings) -> Any:
    """A client of the SQLite file, as anybody may open it."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{settings.home}/data/default/mlflow.sqlite")


# -- records -------------------------------------------------------------------


def test_a_training_is_told_whole(result: TrainingResult) -> None:
    record = training_record(result, "v3", Settings())
    assert record.tags["table_sha256"] == result.facts["table"]["sha256"]
    assert record.tags["schema_hash"] == result.schema.hash
    assert (record.tags["parent"], record.tags["version"], record.tags["simulated"]) == ("v0", "v3", "no")
    assert result.holdout is not None
    assert record.metrics["holdout_roc_auc"] == ((result.holdout.roc_auc.value, 0),)
    assert json.loads(record.files["metrics.json"])["run"] == record.tags["run"]
    assert [one.name for one in record.nested] == [row.name for row in result.leaderboard]
    for candidate, row in zip(record.nested, result.leaderboard, strict=True):
        assert candidate.metrics["log_loss"] == ((row.measures["log_loss"].value, 0),)
        assert len(candidate.nested) == row.trials > 1
        ended = [trial.metrics["log_loss"][0][0] for trial in candidate.nested if not trial.given_up]
        assert min(ended) == pytest.approx(result.tuned[row.key].log_loss)
        for trial in candidate.nested:
            folds = [step for _, step in trial.metrics["log_loss_so_far"]]
            assert folds == list(range(len(folds)))
            assert trial.given_up is ("log_loss" not in trial.metrics)
            assert record.began <= trial.began <= trial.ended <= record.ended


def test_pictures_are_pictures(result: TrainingResult) -> None:
    record = training_record(result, "v3", Settings())
    pictures = {name: text for one in (record, *record.nested) for name, text in one.files.items() if name.endswith(".svg")}
    assert pictures.keys() == {"gain.svg", "calibration.svg", "trials.svg"}
    for text in pictures.values():
        root = ElementTree.fromstring(text)
        for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
            for point in line.attrib["points"].split():
                across, down = map(float, point.split(","))
                assert 56 <= across <= 408, "a line leaves its field"
                assert 36 <= down <= 276, "a line leaves its field"


def test_the_table_is_known_by_its_sum(result: TrainingResult, make_table: MakeTable) -> None:
    table, schema = make_table(600)
    again: dict[str, Any] = {"settings": Settings(seed=3), "trials": 1, "candidates": ("logistic-regression",), "threads": 1}
    same = train(table, schema, **again)
    other = train(table.with_columns(pl.col("charge") + 1), schema, **again)
    assert same.facts["table"] == result.facts["table"]
    assert other.facts["table"] != result.facts["table"]
    assert same.facts["run"] != result.facts["run"]
    assert same.facts["parent"] is None


# -- in MLflow -----------------------------------------------------------------


def test_runs_versions_and_aliases(result: TrainingResult, version: str, settings: Settings, registry: Registry) -> None:
    told: list[str] = []
    with tracking.runs(settings, registry, told.append) as runs:
        runs.add(result, version)
        registry.swap(model=version, scoring=None, action="promote", who="me", expected=None)
    assert told == []
    assert list(tracking.outbox(settings).glob("*.json")) == []
    client = kept(settings)
    (experiment,) = [one for one in client.search_experiments() if one.name == "churn-default"]
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    record = training_record(result, version, settings)
    assert len(found) == 1 + len(record.nested) + sum(len(one.nested) for one in record.nested)
    (training,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == training.info.run_id]
    assert {run.info.run_name for run in children} == {one.name for one in record.nested}
    assert training.data.metrics["cv_log_loss"] == pytest.approx(result.cross_validation.log_loss.value)
    assert {file.path for file in client.list_artifacts(training.info.run_id)} == set(record.files)
    champion = client.get_model_version_by_alias("churn-default", "champion")
    assert champion.tags["version"] == version
    assert champion.run_id == training.info.run_id
    # nothing is sent twice; what waits, what is not known and what points wrong is put right
    client.delete_registered_model_alias("churn-default", "champion")
    client.set_registered_model_alias("churn-default", "challenger", champion.version)
    post(record, tracking.outbox(settings))
    again = sync(registry, settings)
    assert again == tracking.Sent(1, 0, {"champion": version})
    assert len(client.search_runs([experiment.experiment_id], max_results=1000)) == len(found)
    aliases = client.get_registered_model("churn-default").aliases
    assert {name: str(number) for name, number in aliases.items()} == {"champion": str(champion.version)}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('kept')}/mlflow.sqlite"


class TestKept:
    """The process's own part, without the process."""

    @pytest.fixture
    def mine(self, uri: str, request: pytest.FixtureRequest, tmp_path: Path) -> _mlflow.Kept:
        return _mlflow.Kept(uri, request.node.name, tmp_path.as_uri())

    def test_a_training_left_in_the_middle_is_begun_anew(
        self, mine: _mlflow.Kept, result: TrainingResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = asdict(training_record(result, "v1", Settings()))
        with monkeypatch.context() as patch:
            patch.setattr(mine, "_end", lambda run, record: (_ for _ in ()).throw(ConnectionError("gone")))
            with pytest.raises(ConnectionError):
                mine.send(record)
        run = mine.send(record)
        assert mine.send(record) == run
        found = mine._client.search_runs([mine._experiment], f"tags.run = '{record['tags']['run']}'")
        assert [(one.info.run_id, one.info.status) for one in found] == [(run, "FINISHED")]

    def test_versions_of_two_stores_are_told_apart(self, mine: _mlflow.Kept, result: TrainingResult) -> None:
        mine_too = replace(training_record(result, "v1", Settings()), nested=(), files={})
        other = replace(mine_too, tags={**mine_too.tags, "run": "other"}, makes="v1 other")
        versions = mine.versions()
        assert [mine.register(asdict(one), versions) for one in (mine_too, other, other)] == [True, True, False]
        assert versions == mine.versions()
        assert mine.point({"champion": "v1 other", "challenger": None}, versions) == {"champion": "v1"}
        assert mine.point({"champion": "v7 unknown"}, versions) == {}

    def test_many_and_long_parameters(self, mine: _mlflow.Kept) -> None:
        params = {f"p{number}": "x" * 7000 for number in range(130)}
        run = mine.send(asdict(RunRecord("many", params, {}, {"run": "many"}, {}, 1000, 2000)))
        found = mine._client.get_run(run)
        assert len(found.data.params) == 130
        assert found.info.end_time == 2000


def test_a_version_without_a_training_is_told_from_its_bundle(version: str, registry: Registry) -> None:
    record = version_record(registry.load_model(version), version)
    assert record.tags["version"] == version
    assert "holdout_log_loss" in record.metrics
    assert record.nested == ()


# -- when MLflow is not there ------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def silent_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://user:hush@127.0.0.1:{free.getsockname()[1]}"


def locked(settings: Settings) -> Settings:
    place = settings.home / "data" / "default" / "mlflow.sqlite"
    place.parent.mkdir(parents=True)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    _HELD.append(holder)
    return settings


def no_room(settings: Settings) -> Settings:
    (settings.home / "data").write_text("a file where a folder is needed")
    return settings


_HELD: list[sqlite3.Connection] = []
_DOWN: dict[str, Callable[[Settings], Settings]] = {
    "nobody there": lambda settings: replace(settings, mlflow=silent_address(), mlflow_wait_s=60),
    "locked": lambda settings: replace(locked(settings), mlflow_wait_s=0.5),
    "no room": lambda settings: replace(no_room(settings), mlflow_wait_s=60),
}


@pytest.mark.parametrize("how", _DOWN)
def test_a_training_does_without(how: str, result: TrainingResult, version: str, settings: Settings, registry: Registry) -> None:
    registry.swap(model=version, scoring=None, action="promote", who="me", expected=None)
    down, told = _DOWN[how](settings), list[str]()
    with tracking.runs(down, registry, told.append) as runs:
        runs.add(result, version)
    (warning,) = told
    assert "MLflow" in warning or "still being sent" in warning
    for unfit in ("Traceback", "\n", "hush"):
        assert unfit not in warning
    if how != "no room":
        assert "churn mlflow sync" in warning
        assert len(list(tracking.outbox(down).glob("*.json"))) == 1
    for holder in _HELD:
        holder.close()
    _HELD.clear()


def test_the_waiting_is_bounded(deaf: str, result: TrainingResult, version: str, settings: Settings, registry: Registry) -> None:
    told: list[str] = []
    with tracking.runs(replace(settings, mlflow=deaf, mlflow_wait_s=0.3), registry, told.append) as runs:
        runs.add(result, version)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    (warning,) = told
    assert "within 0.3 seconds" in warning


def test_a_training_that_fails_sends_nothing(settings: Settings, registry: Registry) -> None:
    told: list[str] = []
    with pytest.raises(TrainingError), tracking.runs(settings, registry, told.append):
        raise TrainingError("too few rows")
    assert told == []


def test_switched_off_nothing_is_started(
    result: TrainingResult, settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_started", lambda _: pytest.fail("a process was started"))
    off = replace(settings, mlflow="off")
    with tracking.runs(off, registry, pytest.fail) as runs:
        runs.add(result, "v1")
    tracking.mirror(registry, off)
    assert not tracking.outbox(off).exists()
