"""The process that sends runs to MLflow: `python -m churn.learn._mlflow PLACE`, started by `churn.learn.tracking`.

PLACE is a JSON document: the tracking `uri`, the `name` of experiment and registered model, the `outbox`, and where `files` of
runs go (empty: where the server puts them). Once everything is open it reads its work from standard input, another document:
`versions`, records of versions to register where they are not, and `aliases`, alias → version or null. It answers with one
document on standard output: `trainings`, `versions`, `aliases`; or `problem`, in words.

Whatever is sent is sent once: a training is found again by its `run`, and one that was left in the middle is begun anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_AT_MOST_S = 600  # that a process lives, whatever a server does
_PARAM = 6000  # letters of a parameter that MLflow takes
_NO_ANSWER = ("Max retries exceeded", "Read timed out", "Connection refused")
_AT_ONCE = 100  # parameters in one request


class Kept:
    """What MLflow keeps of one workspace: an experiment of runs and a registered model of the same name."""

    def __init__(self, uri: str, name: str, files: str = "") -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._name = name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                self._experiment = str(self._client.create_experiment(name, artifact_location=files or None))
            except MlflowException:  # somebody else made it just now
                self._experiment = str(self._client.get_experiment_by_name(name).experiment_id)
        else:
            self._experiment = str(found.experiment_id)

    def send(self, record: Mapping[str, Any]) -> str:
        """Keep a training with all that is nested under it; gives back the id of its run."""
        if (known := self._sent(str(record["tags"].get("run", "")))) is not None:
            return known
        run = self._start(record, None)
        for candidate in record["nested"]:
            self._whole(candidate, run)
        self._end(run, record)
        return run

    def register(self, record: Mapping[str, Any], versions: dict[str, str]) -> bool:
        """Make a version of the registered model of it, unless it is one; `versions`: as `versions()` gives it, added to."""
        from mlflow.exceptions import MlflowException

        if (identity := str(record["makes"])) in versions:
            return False
        run = self.send(record)
        try:
            self._client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = self._client.get_run(run).info.artifact_uri
        tags = dict(record["tags"]) | {"makes": identity}
        made = self._client.create_model_version(self._name, source=source, run_id=run, tags=tags, await_creation_for=0)
        versions[identity] = str(made.version)
        return True

    def versions(self) -> dict[str, str]:
        """Every version that is registered, by what its record `makes` → MLflow's own number for it."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_model_versions(f"name = '{self._name}'", page_token=token)
            found |= {str(one.tags["makes"]): str(one.version) for one in page if "makes" in one.tags}
            if not (token := page.token):
                return found

    def point(self, aliases: Mapping[str, str | None], versions: Mapping[str, str]) -> dict[str, str]:
        """Put aliases to versions; one that stands for nothing, or for what is not registered, is taken away."""
        if not versions:
            return {}
        now = {str(name): str(number) for name, number in self._client.get_registered_model(self._name).aliases.items()}
        for alias, identity in aliases.items():
            number = versions.get(identity or "")
            if number is None and alias in now:
                self._client.delete_registered_model_alias(self._name, alias)
            elif number is not None and now.get(alias) != number:
                self._client.set_registered_model_alias(self._name, alias, number)
        return {alias: one.partition(" ")[0] for alias, one in aliases.items() if one is not None and one in versions}

    def _sent(self, run: str) -> str | None:
        """The training that was sent before; one that was left in the middle is taken away."""
        if not run:
            return None
        for found in self._client.search_runs([self._experiment], f"tags.run = '{run}'"):
            if found.info.status == "FINISHED":
                return str(found.info.run_id)
            self._client.delete_run(found.info.run_id)
        return None

    def _whole(self, record: Mapping[str, Any], parent: str) -> None:
        run = self._start(record, parent)
        for nested in record["nested"]:
            self._whole(nested, run)
        self._end(run, record)

    def _start(self, record: Mapping[str, Any], parent: str | None) -> str:
        from mlflow.entities import Metric, Param

        tags = dict(record["tags"]) | ({"mlflow.parentRunId": parent} if parent else {})
        made = self._client.create_run(self._experiment, start_time=record["began"], tags=tags, run_name=record["name"])
        run = str(made.info.run_id)
        ended = record["ended"]
        metrics = [Metric(name, value, ended, step) for name, steps in record["metrics"].items() for value, step in steps]
        params = [Param(name, text[:_PARAM]) for name, text in record["params"].items()]
        for start in range(0, max(len(params), 1), _AT_ONCE):
            self._client.log_batch(run, metrics=[] if start else metrics, params=params[start : start + _AT_ONCE])
        for name, text in record["files"].items():
            self._client.log_text(run, text, name)
        return run

    def _end(self, run: str, record: Mapping[str, Any]) -> None:
        status = "KILLED" if record["given_up"] else "FINISHED"
        self._client.set_terminated(run, status=status, end_time=record["ended"])


def work(place: Mapping[str, str], document: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    """Send what lies in the outbox, register versions, put the aliases right."""
    with _alone(Path(place["outbox"])) as folder:
        versions = kept.versions()
        registered = trainings = 0
        for path in sorted(folder.glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            kept.send(record)
            registered += kept.register(record, versions)
            path.unlink()
            trainings += 1
        registered += sum(kept.register(record, versions) for record in document.get("versions", ()))
        return {
            "trainings": trainings,
            "versions": registered,
            "aliases": kept.point(document.get("aliases", {}), versions),
        }


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """One process at a time sends from an outbox; the lock goes with the process that held it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def main() -> None:
    place = json.loads(sys.argv[1])
    os.nice(5)  # the training comes first
    signal.alarm(_AT_MOST_S)
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever MLflow prints is no answer
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        kept = Kept(place["uri"], place["name"], place["files"])
        asked = sys.stdin.read()
        answer = work(place, json.loads(asked), kept) if asked else {}
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        sys.stdin.read()
        answer = {"problem": in_words(error)}
    json.dump(answer, told)
    told.close()


def in_words(error: Exception) -> str:
    """The first line of what went wrong, without what a library adds below it."""
    if any(sign in str(error) for sign in _NO_ANSWER):
        return "the server does not answer"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


if __name__ == "__main__":
    main()
