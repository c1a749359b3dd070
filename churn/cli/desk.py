"""`churn demo`, `churn app`, `churn doctor`: the desk itself."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import typer
from rich.markup import escape
from rich.table import Table

from churn.act import eligibility
from churn.base.records import Records
from churn.base.snapshot import Snapshot
from churn.cli.common import err, first_steps, next_command, out, print_json, progress, registry_of, settings_of
from churn.data.schema import Schema
from churn.errors import ChurnError, SettingsError, StoreUnavailable
from churn.model.store import FileStore, Store, check, ensure_room, open_store
from churn.principal import visitor
from churn.score import erasure, log, outcomes
from churn.settings import DEMO, Settings
from churn.watch import notify
from churn.watch.rules import Rules
from churn.words import sentence_list

_ROOT = Path(__file__).resolve().parents[2]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(demo)
    app.command(name="app")(serve)
    app.command()(doctor)


def demo(context: typer.Context) -> None:
    """Make the simulated base, train and promote a model on it, and score it; at once the second time.

    Everything goes to the workspace `demo`, which no other command writes to. Open it with: churn --workspace demo app
    """
    from churn.cli.demo import build

    chosen = context.obj or {}
    settings = Settings.load(DEMO, home=chosen.get("home"))
    with progress(stages=True) as report:
        done = build(settings, report)
    out.print(escape(done))


def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    address: Annotated[str | None, typer.Option(help="Address of this machine to listen on: 127.0.0.1, ::1.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to read from: a folder or s3://bucket/prefix.")] = None,
) -> None:
    """Open the desk in a browser at http://127.0.0.1:8501 (this machine only)."""
    settings = settings_of(context, port=port, address=address, store=store)
    visitor(settings)
    if not (_ROOT / "serve.py").exists():
        raise SettingsError(f"the app's files are not beside the package in {_ROOT}; start it from a checkout: make app")
    if (taken := _taken(settings)) is not None:
        raise SettingsError(
            f"port {settings.port} of {settings.address} cannot be used ({taken}); "
            "end what listens there or choose another with --port"
        )
    out.print(
        f"The desk opens at [bold]http://{settings.address}:{settings.port}[/] — workspace {settings.workspace}. Ctrl+C ends it."
    )
    sys.path.insert(0, str(_ROOT))
    from serve import run

    run(settings)


def _taken(settings: Settings) -> str | None:
    """Why the app cannot listen where it is to; None where it can."""
    with socket.socket(socket.AF_INET6 if ":" in settings.address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.address, settings.port))
        except OSError as error:
            return error.strerror or str(error)
    return None


@dataclass(frozen=True, slots=True)
class _Finding:
    what: str
    good: bool
    words: str


def doctor(
    context: typer.Context,
    store: Annotated[str | None, typer.Option(help="Store to look at instead of the configured one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try what the desk needs: settings, store, champion, scoring, suppression, log, database, cache, port, libraries.

    Every sum of the pair on the desk is verified in the store. Nothing is left behind. Exit code 1 if something is wrong.
    """
    try:
        findings = list(_examine(settings_of(context, store=store)))
    except SettingsError as error:
        findings = [_Finding("settings", False, str(error)), *_libraries()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            table.add_row("[green]✓[/]" if finding.good else "[bold red]✗[/]", finding.what, escape(finding.words))
        out.print(table)
    if not all(finding.good for finding in findings):
        if not as_json:
            err.print("Something is wrong; the lines with ✗ say what.")
        raise typer.Exit(1)


def _examine(settings: Settings) -> Iterator[_Finding]:
    yield _Finding("workspace", True, f"{settings.workspace}, home {settings.home}")
    store = open_store(settings)
    health = check(store)
    yield _Finding(
        "store", health.good, health.problem or f"{health.address} reads, writes and refuses conflicts, {health.seconds:.2f} s"
    )
    if health.good:
        yield from _examine_pair(settings)
        yield _log(store)
        yield from _erasures(store, settings)
    yield _database(settings)
    yield _watch(settings)
    cache = FileStore(settings.path("cache"))
    try:
        ensure_room(cache)
        yield _Finding("cache", True, f"{cache.address} can be written")
    except StoreUnavailable as error:
        yield _Finding("cache", False, str(error))
    yield _port(settings)
    yield from _libraries()


def _watch(settings: Settings) -> _Finding:
    """Whether the watch could do its work; where alerts go, without an address, and what a training would be made from."""
    try:
        Rules.of(settings)
        names = [*notify.channels(settings, os.environ), *(["cloudwatch"] if settings.alert_cloudwatch else [])]
    except SettingsError as error:
        return _Finding("watch", False, str(error))
    if settings.alert_smtp_user and not os.environ.get(notify.PASSWORD):
        return _Finding("watch", False, f"the mail server has a user, and {notify.PASSWORD} is not set")
    sent = f"alerts go to {sentence_list(names)}" if names else "alerts are kept and sent nowhere"
    table = "" if settings.training_table else "; 'training_table' is not set, so a training that is due is only announced"
    return _Finding("watch", True, f"{sent}{table}")


def _libraries() -> Iterator[_Finding]:
    for name in ("lightgbm", "catboost", "sklearn", "numba", "streamlit"):
        found = importlib.util.find_spec(name) is not None
        yield _Finding(name, found, "installed" if found else "missing; install again: make install")


def _examine_pair(settings: Settings) -> Iterator[_Finding]:
    registry = registry_of(settings)
    try:
        pointer = registry.pointer()
        if pointer is None:
            yield _Finding("champion", False, f"none yet; get one with: {first_steps(settings)}")
            return
        problem = registry.problem("model", pointer.model)
        bundle = registry.load_model(pointer.model)
    except ChurnError as error:
        yield _Finding("champion", False, str(error))
        return
    since = f"model {pointer.model}, since {pointer.since:%Y-%m-%d %H:%M} UTC by {pointer.by}, sums agree"
    yield _Finding("champion", problem is None, problem or since)
    if pointer.scoring is None:
        yield _Finding("scoring", False, f"no customers are scored yet: {next_command(settings, 'score TABLE --publish')}")
        return
    try:
        problem = registry.problem("scoring", pointer.scoring)
        registry.scoring_folder(pointer.scoring)
    except ChurnError as error:
        problem = problem or str(error)
    yield _Finding("scoring", problem is None, problem or f"{pointer.scoring}, schema {bundle.schema.name!r}, sums agree")
    if problem is None and settings.suppression:
        yield _suppression(settings, registry.scoring_folder(pointer.scoring), bundle.schema)


def _suppression(settings: Settings, folder: Path, schema: Schema) -> _Finding:
    """Whether the table of who must not be called is there, new enough, and about these customers."""
    try:
        suppressed = eligibility.suppression(settings, schema)
        assert suppressed is not None
        with Snapshot.open(folder, schema, settings) as snapshot:
            found = eligibility.coverage(suppressed, snapshot)
    except ChurnError as error:
        return _Finding("suppression", False, str(error))
    known = f"{settings.suppression}: {found.customers:,} of {found.keys:,} customer numbers are customers here"
    return _Finding("suppression", found.doubt() is None, found.doubt() or known)


def _log(store: Store) -> _Finding:
    try:
        customers, damaged = log.keys(store)
        parts = len(log.parts(store))
        outcomes.read(store)
    except ChurnError as error:
        return _Finding("log", False, str(error))
    if damaged:
        more = f"; so are {len(damaged) - 1:,} more parts" if len(damaged) > 1 else ""
        return _Finding("log", False, damaged[0] + more)
    return _Finding("log", True, f"{parts:,} part{'' if parts == 1 else 's'} about {len(customers):,} customers, all readable")


def _erasures(store: Store, settings: Settings) -> Iterator[_Finding]:
    """Customers of whom something may be left although they asked to be forgotten; nothing where nobody did."""
    try:
        begun = erasure.unfinished(store)
    except ChurnError as error:
        yield _Finding("forgotten", False, str(error))
        return
    if begun:
        more = f"; so are {len(begun) - 1:,} more" if len(begun) > 1 else ""
        told = f"an erasure that {begun[0].who} began {begun[0].started:%Y-%m-%d %H:%M} UTC is not finished{more}"
        yield _Finding("forgotten", False, f"{told}; give it again: {next_command(settings, 'forget KEY')}")


def _database(settings: Settings) -> _Finding:
    try:
        found = Records(settings).status()
    except ChurnError as error:
        return _Finding("database", False, str(error))
    if found.format is None:
        return _Finding("database", True, f"{found.address}: nothing kept yet")
    if found.format != found.needs:
        step = next_command(settings, "db upgrade") if found.format < found.needs else "an update of churn"
        return _Finding("database", False, f"{found.address} has format {found.format}, not {found.needs}; it needs {step}")
    return _Finding("database", True, f"{found.address}, format {found.format}")


def _port(settings: Settings) -> _Finding:
    place = f"{settings.address}:{settings.port}"
    taken = _taken(settings)
    if taken is None:
        return _Finding("port", True, f"{place} is free")
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    try:
        with urlopen(f"http://{host}:{settings.port}/health", timeout=2) as answer:
            desk = answer.read(100) == b'{"status":"ok"}'
    except (OSError, HTTPException):  # whatever listens there is no desk
        desk = False
    if desk:
        return _Finding("port", True, f"{place}: a desk is open there")
    return _Finding(
        "port", False, f"{place} cannot be used ({taken}); choose another: {next_command(settings, 'app --port PORT')}"
    )
