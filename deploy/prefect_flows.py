"""The nightly run as Prefect flows: schedule, retries, and what each run came to in Prefect's own pages.

Prefect lives in an environment of its own, for it pins libraries that the desk has newer; the flows only call the `churn`
command, so nothing else is shared:

    uv tool run --from 'prefect>=3,<4' --python 3.11 python deploy/prefect_flows.py

serves `churn-nightly` at 05:00 and `churn-watch` every hour in working time, in the time zone of `CHURN_PREFECT_ZONE` (UTC unless
given), until it is ended. `CHURN_COMMAND` is the command to call, `churn` unless given, with what goes before it if anything
does, such as `docker exec desk churn`. Cron does the same with less: see docs/deploy.md.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import Any

from prefect import flow, get_run_logger, serve, task
from prefect.client.schemas.objects import State
from prefect.schedules import Cron

DONE, ODD, REFUSED, CONFLICT = 0, 1, 2, 3  # exit codes of `churn`
_WAITS = [60, 300, 900]  # seconds before each try: a store that is away, or somebody who was faster
_LONGEST_S = 6 * 3600


class NotDone(RuntimeError):
    """`churn` did not do what it was asked to; `document` is what it said, `code` how it ended."""

    def __init__(self, code: int, document: dict[str, Any]) -> None:
        super().__init__(document.get("error") or f"the table was held back: {document.get('held')}")
        self.code = code
        self.document = document


def _worth_another_try(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Not where a table was held back: the same table would be held back again."""
    error = state.result(raise_on_failure=False)
    return not (isinstance(error, NotDone) and error.document.get("held"))


@task(retries=len(_WAITS), retry_delay_seconds=_WAITS, retry_condition_fn=_worth_another_try, log_prints=True)
def churn(*arguments: str) -> dict[str, Any]:
    """Run a `churn` command with --json and return its document. Both commands here may be done twice."""
    command = [*shlex.split(os.environ.get("CHURN_COMMAND", "churn")), *arguments, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    try:
        document = json.loads(ran.stdout)
    except ValueError:
        document = {"error": ran.stderr.strip() or f"{shlex.join(command)} ended with {ran.returncode}"}
    if ran.returncode not in (DONE, ODD):
        raise NotDone(ran.returncode, document)
    for problem in document.get("problems", ()):
        get_run_logger().warning(problem)
    return document


@flow(name="churn-nightly")
def nightly(workspace: str = "") -> dict[str, Any]:
    """Outcomes, table, check, scoring, log, watch; a training where one is due."""
    return churn(*_of(workspace), "refresh")


@flow(name="churn-watch")
def watch(workspace: str = "") -> dict[str, Any]:
    """Look and send alerts between two nights; train nothing."""
    return churn(*_of(workspace), "watch", "--only-look")


def _of(workspace: str) -> tuple[str, ...]:
    return ("--workspace", workspace) if workspace else ()


if __name__ == "__main__":
    zone = os.environ.get("CHURN_PREFECT_ZONE", "UTC")
    serve(
        nightly.to_deployment("churn-nightly", schedule=Cron("0 5 * * *", timezone=zone)),
        watch.to_deployment("churn-watch", schedule=Cron("0 8-18 * * 1-5", timezone=zone)),
    )
