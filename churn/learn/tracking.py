"""Runs kept in MLflow: every setting tried, every candidate judged, every version saved, and which of them the desk shows.

A training never waits for MLflow and never fails with it. What is to be kept is written into an outbox, one small file a
training, and a process of its own (`churn.learn._mlflow`, the one module that imports MLflow) takes it from there. That process
starts when the training does and is done with its imports long before there is something to send; at the end the command
waits for it `mlflow_wait_s` at most. What could not be sent stays in the outbox, and goes with the next training or with
`churn mlflow sync`.

The aliases `champion` and `challenger` mirror the store; nothing reads them back, so they may be wrong for a while and are put
right by the same command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from churn.data.disk import disk
from churn.data.source import shown_url
from churn.errors import BundleRejected, ChurnError, NotInStore, StoreUnavailable
from churn.learn import _plots
from churn.learn.leaderboard import Row
from churn.learn.training import TrainingResult
from churn.learn.tuning import Trial
from churn.model.bundle import Bundle
from churn.model.metrics import MEASURES, Metrics, stored
from churn.model.registry import Registry
from churn.settings import Settings

ALIASES = ("champion", "challenger")
_SYNC_S = 300.0  # that a command which does nothing else waits
_REPAIR = "What is to be kept waits in {outbox} and goes with the next training, or with: churn mlflow sync"


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow is to keep it, with the runs nested under it.

    `params`, `tags`: name → text. `metrics`: name → (value, step) pairs. `files`: name → text. `began`, `ended`: ms since 1970.
    `given_up`: the run was ended before its end, as a trial that was clearly losing. `makes`: which version it made, if any, told
    apart from one of that name in another store (`_identity`).
    """

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, tuple[tuple[float, int], ...]]
    tags: Mapping[str, str]
    files: Mapping[str, str]
    began: int
    ended: int
    given_up: bool = False
    makes: str | None = None
    nested: tuple[RunRecord, ...] = ()


@dataclass(frozen=True)
class Sent:
    """What came of it: how many trainings were sent, how many versions were registered anew, and what the aliases say now."""

    trainings: int
    versions: int
    aliases: Mapping[str, str]


class Runs:
    """The way of one command's runs to MLflow. `warning` says, after `finish`, what did not get there; None where all did."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outbox = outbox(settings)
        self.warning: str | None = None
        self.added = False
        self._sender = _started(settings) if settings.keeps_runs else None
        if settings.keeps_runs and self._sender is None:
            self.warning = "The runs of this training are not kept in MLflow: no process can be started to send them."

    def add(self, result: TrainingResult, version: str) -> None:
        """Keep a training and the version that was saved of it. A disk that refuses becomes a warning."""
        if self._sender is not None:
            self._keep(training_record(result, version, self._settings))

    def finish(self, registry: Registry) -> None:
        """Have everything sent and the aliases mirrored; wait no longer than the setting says."""
        sender, self._sender = self._sender, None
        if sender is not None:
            found = sender.send(mirrored(registry), self._settings.mlflow_wait_s)
            if isinstance(found, str):
                self.warning = self.warning or found

    def close(self) -> None:
        """Let go of the process that was to send, where nothing is to be sent."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _keep(self, record: RunRecord) -> None:
        try:
            post(record, self._outbox)
        except StoreUnavailable as error:
            self.warning = f"The runs of this training are not kept in MLflow: {error}"
        self.added = True


@contextmanager
def runs(settings: Settings, registry: Registry, tell: Callable[[str], None]) -> Iterator[Runs]:
    """Around a training: `add` what it found. At the end that is sent, and `tell` is told in words what could not be.

    After an error too, once there is something to send: a version that was refused is a version.
    """
    found = Runs(settings)
    try:
        try:
            yield found
        except ChurnError:
            if found.added:
                found.finish(registry)
            raise
        if found.added:
            found.finish(registry)
    finally:
        found.close()
        if found.warning:
            tell(found.warning)


def mirror(registry: Registry, settings: Settings) -> None:
    """Have the aliases follow the store, without waiting for it; whatever goes wrong is put right by the next `sync`."""
    if settings.keeps_runs and (sender := _started(settings)) is not None:
        sender.send(mirrored(registry), 0)


def sync(registry: Registry, settings: Settings) -> Sent | str:
    """Send what waits, register every version of the store that MLflow does not know, put the aliases right.

    Gives back in words what went wrong, if anything did.
    """
    document = mirrored(registry)
    listed = [info.version for info in registry.versions() if not info.problem]
    document["versions"] = [asdict(record) for version in reversed(listed) if (record := _of_version(version, registry))]
    sender = _started(settings)
    return sender.send(document, _SYNC_S) if sender else "No process can be started to send them."


def outbox(settings: Settings) -> Path:
    """The folder of what waits to be sent."""
    return settings.path("data") / "mlflow-outbox"


def post(record: RunRecord, folder: Path) -> Path:
    """Put a record into the outbox, whole or not at all. Raises StoreUnavailable where the disk refuses."""
    with disk(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{record.began:013d}-{record.tags.get('run') or uuid.uuid4().hex[:12]}.json"
        draft = place.with_suffix(".part")
        draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
        draft.replace(place)
    return place


def mirrored(registry: Registry) -> dict[str, Any]:
    """What the store says: which version is the champion, which the challenger, and their records."""
    try:
        pointer, challenger = registry.pointer(), registry.challenger()
    except StoreUnavailable:
        return {}
    named = {"champion": pointer.model if pointer else None, "challenger": challenger.model if challenger else None}
    records = {version: _of_version(version, registry) for version in named.values() if version}
    found = {alias: record.makes if (record := records.get(version or "")) else None for alias, version in named.items()}
    return {"aliases": found, "versions": [asdict(record) for record in records.values() if record]}


# -- records -------------------------------------------------------------------


def training_record(result: TrainingResult, version: str, settings: Settings) -> RunRecord:
    """A training with its candidates and, under each of them, the settings that were tried."""
    facts = result.facts
    ended = datetime.now(UTC)
    metrics = _figures(result.cross_validation, "cv_") | (_figures(result.holdout, "holdout_") if result.holdout else {})
    return RunRecord(
        name=f"{version}: {facts['kind']}",
        params={
            **_flat({name: facts[name] for name in ("seed", "folds", "holdout_share", "calibration")}),
            "candidates": ", ".join(row.key for row in result.leaderboard),
            "winner": result.winner,
            "saved": result.saved,
        },
        metrics=metrics | {"rows": ((float(facts["rows"]), 0),), "positives": ((float(facts["positives"]), 0),)},
        tags=_lineage(facts, result.schema.hash) | {"simulated": _yes(settings.simulated), "version": version},
        files={
            "schema.json": result.schema.to_json(),
            "card.md": result.card,
            "leaderboard.json": json.dumps([row.to_dict() for row in result.leaderboard], indent=1),
            "metrics.json": json.dumps(result.metrics, indent=1),
            **_curves(result.holdout or result.cross_validation),
        },
        began=_ms(result.began),
        ended=_ms(ended),
        makes=_identity(version, facts),
        nested=tuple(_candidate(row, result) for row in result.leaderboard),
    )


def _candidate(row: Row, result: TrainingResult) -> RunRecord:
    tuned = result.tuned.get(row.key)
    tried = tuned.tried if tuned else ()
    began = _ms(tried[0].began) if tried else _ms(result.began)
    losses = [one.log_loss for one in tried]
    return RunRecord(
        name=row.name,
        params=_flat(row.params),
        metrics={
            **{name: ((estimate.value, 0),) for name, estimate in row.measures.items() if isfinite(estimate.value)},
            "behind": ((row.behind.value, 0),),
            "trials": ((float(row.trials), 0),),
            "seconds": ((row.seconds, 0),),
        },
        tags={"candidate": row.key, "saved": _yes(row.saved), "compiles": _yes(row.compiles)},
        files={"trials.svg": _plots.trials(losses, row.name)} if len(losses) > 1 else {},
        began=began,
        ended=began + round(1000 * row.seconds),
        nested=tuple(_trial(one) for one in tried),
    )


def _trial(trial: Trial) -> RunRecord:
    """A setting that was tried: `log_loss` is its last, `log_loss_so_far` that after each fold."""
    so_far = {"log_loss_so_far": tuple((loss, step) for step, loss in enumerate(trial.losses))} if trial.losses else {}
    trees = {"trees": str(trial.trees)} if trial.trees else {}
    return RunRecord(
        name=f"trial {trial.number}",
        params=_flat(trial.params) | trees,
        metrics=so_far | ({} if trial.log_loss is None else {"log_loss": ((trial.log_loss, 0),)}),
        tags={},
        files={},
        began=_ms(trial.began),
        ended=_ms(trial.ended),
        given_up=trial.log_loss is None,
    )


def version_record(bundle: Bundle, version: str) -> RunRecord:
    """A version whose training was not kept: trained elsewhere, or while MLflow was switched off."""
    found = {"cv_": stored(bundle.metrics, "cross_validation"), "holdout_": stored(bundle.metrics, "holdout")}
    metrics: dict[str, tuple[tuple[float, int], ...]] = {}
    for prefix, figures in found.items():
        metrics |= _figures(figures, prefix) if figures else {}
    shown = found["holdout_"] or found["cv_"]
    return RunRecord(
        name=f"{version}: {bundle.metrics.get('kind', 'a model')}",
        params={},
        metrics=metrics,
        tags=_lineage(bundle.metrics, bundle.schema.hash) | {"simulated": _yes(bundle.manifest["simulated"]), "version": version},
        files={
            "schema.json": bundle.schema.to_json(),
            "card.md": bundle.card,
            "leaderboard.json": json.dumps(bundle.leaderboard, indent=1),
            "metrics.json": json.dumps(bundle.metrics, indent=1),
            **(_curves(shown) if shown else {}),
        },
        began=_ms(bundle.created),
        ended=_ms(bundle.created),
        makes=_identity(version, bundle.metrics),
    )


def _of_version(version: str, registry: Registry) -> RunRecord | None:
    try:
        return version_record(registry.load_model(version), version)
    except (BundleRejected, NotInStore, StoreUnavailable):
        return None  # nothing can be told of it, and whoever uses it is told why


def _identity(version: str, facts: Mapping[str, Any]) -> str:
    """The version, and the training it is of: another store has a v1 too."""
    return f"{version} {facts.get('run') or ''}".rstrip()


def _lineage(facts: Mapping[str, Any], schema_hash: str) -> dict[str, str]:
    table = facts.get("table") or {}
    named = {"run": facts.get("run"), "table_sha256": table.get("sha256"), "parent": facts.get("parent")}
    return {"schema_hash": schema_hash} | {name: str(value) for name, value in named.items() if value}


def _figures(metrics: Metrics, prefix: str) -> dict[str, tuple[tuple[float, int], ...]]:
    return {f"{prefix}{name}": ((metrics[name].value, 0),) for name in MEASURES if isfinite(metrics[name].value)}


def _curves(metrics: Metrics) -> dict[str, str]:
    return {"gain.svg": _plots.gain(metrics), "calibration.svg": _plots.calibration(metrics)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def _ms(moment: datetime) -> int:
    return round(1000 * moment.timestamp())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# -- the process that sends ------------------------------------------------------


def _started(settings: Settings) -> _Sender | None:
    try:
        return _Sender(settings)
    except OSError:  # no more processes, or no room for what one would say
        return None


class _Sender:
    """A process that imports MLflow, opens its store, and waits to be told what to send.

    It belongs to no terminal, so that an interrupt of the command does not reach it, and ends by itself: with its work, or at
    once where the command ends without giving it any.
    """

    def __init__(self, settings: Settings) -> None:
        self._waiting = _REPAIR.format(outbox=outbox(settings))
        self._address = shown_url(settings.mlflow)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "churn.learn._mlflow", json.dumps(_place(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **_QUIET, "PYTHONPATH": os.pathsep.join(_paths())},
            start_new_session=True,
        )

    def send(self, document: Mapping[str, Any], wait_s: float) -> Sent | str:
        """Give it its work and wait; in words what went wrong, or that it is not done yet."""
        assert self._process.stdin is not None
        try:
            out, _ = self._process.communicate(json.dumps(document).encode(), timeout=wait_s) if wait_s else self._leave(document)
        except subprocess.TimeoutExpired:
            return f"{self._address} has not taken the runs within {wait_s:g} seconds; they are still being sent. {self._waiting}"
        except OSError:  # it ended before it was given any work
            out = b""
        answer: dict[str, Any] = json.loads(out) if out.strip() else {"problem": self._last_words()}
        self._errors.close()
        if "problem" in answer:
            return f"The runs are not in MLflow ({self._address}) yet: {shown_url(answer['problem'])}. {self._waiting}"
        return Sent(answer.get("trainings", 0), answer.get("versions", 0), answer.get("aliases", {}))

    def _leave(self, document: Mapping[str, Any]) -> tuple[bytes, None]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document).encode())
        self._process.stdin.close()
        return b"{}", None

    def _last_words(self) -> str:
        """What a process that ended without an answer said last."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the process that sends them ended: {lines[-1]}" if lines else "the process that sends them ended without a word"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._errors.close()


_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would report what is done with it to its makers
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "OMP_NUM_THREADS": "1",
}


def _paths() -> Iterable[str]:
    """Where the process finds this package: where this one found it."""
    return [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]


def _place(settings: Settings) -> dict[str, str]:
    uri = settings.mlflow
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_absolute():
        uri = f"sqlite:///{(settings.home / uri.removeprefix('sqlite:///')).resolve()}"
    return {
        "uri": uri,
        "name": f"churn-{settings.workspace}",
        "outbox": str(outbox(settings)),
        "files": (settings.path("data") / "mlflow-files").as_uri() if uri.startswith("sqlite:") else "",
    }
