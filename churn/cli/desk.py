"""`churn demo`, `churn app`, `churn doctor`: the desk itself."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from churn.cli.common import err, out, print_json, progress, registry_of, settings_of
from churn.errors import ChurnError, SettingsError
from churn.model.store import check, open_store
from churn.principal import visitor
from churn.settings import DEMO, Settings

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
    with progress() as report:
        done = build(settings, report)
    out.print(escape(done))


def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to read from: a folder or s3://bucket/prefix.")] = None,
) -> None:
    """Open the desk in a browser at http://127.0.0.1:8501 (this machine only)."""
    settings = settings_of(context, port=port, store=store)
    visitor(settings)
    if not (_ROOT / "serve.py").exists():
        raise SettingsError(f"the app's files are not beside the package in {_ROOT}; start it from a checkout: make app")
    with socket.socket(socket.AF_INET6 if ":" in settings.address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.address, settings.port))
        except OSError as error:
            raise SettingsError(
                f"port {settings.port} of {settings.address} cannot be used ({error.strerror}); "
                "end what listens there or choose another with --port"
            ) from error
    out.print(
        f"The desk opens at [bold]http://{settings.address}:{settings.port}[/] — workspace {settings.workspace}. Ctrl+C ends it."
    )
    sys.path.insert(0, str(_ROOT))
    from serve import run

    run(settings)


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
    """Try what the desk needs: settings, store, champion, scoring, libraries. Exit code 1 if something is wrong."""
    settings = settings_of(context, store=store)
    findings = list(_examine(settings))
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
    health = check(open_store(settings))
    yield _Finding(
        "store", health.good, health.problem or f"{health.address} reads, writes and refuses conflicts, {health.seconds:.2f} s"
    )
    if health.good:
        yield from _examine_pair(settings)
    for name in ("lightgbm", "catboost", "sklearn", "numba", "streamlit"):
        found = importlib.util.find_spec(name) is not None
        yield _Finding(name, found, "installed" if found else "missing; install again: make install")


def _examine_pair(settings: Settings) -> Iterator[_Finding]:
    registry = registry_of(settings)
    try:
        pointer = registry.pointer()
    except ChurnError as error:
        yield _Finding("champion", False, str(error))
        return
    if pointer is None:
        yield _Finding("champion", False, "none yet; train one: churn train TABLE --schema schema.yaml --promote")
        return
    try:
        bundle = registry.load_model(pointer.model)
        yield _Finding(
            "champion", True, f"model {pointer.model}, since {pointer.since:%Y-%m-%d %H:%M} by {pointer.by}, sums agree"
        )
    except ChurnError as error:
        yield _Finding("champion", False, str(error))
        return
    if pointer.scoring is None:
        yield _Finding("scoring", False, "no customers are scored yet: churn score TABLE --publish")
        return
    try:
        registry.scoring_folder(pointer.scoring)
        yield _Finding("scoring", True, f"{pointer.scoring}, schema {bundle.model.schema.name!r}, sums agree")
    except ChurnError as error:
        yield _Finding("scoring", False, str(error))
