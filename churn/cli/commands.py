"""All commands in one application, and how each of them ends: its exit code and its last line."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from churn.cli import (
    alerts,
    campaigns,
    db,
    desk,
    drift,
    explaining,
    forget,
    imports,
    lists,
    log,
    mlflow,
    models,
    performance,
    quarantine,
    renewal,
    schema,
    scoring,
)
from churn.cli.common import CONFLICT, REFUSED, STOPPED, Interrupted, err, print_json, stopped
from churn.errors import ChurnError, PromotionRefused, StoreConflict


class _Group(TyperGroup):
    """A group that says what an interrupt left behind; Typer alone would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted(stopped(ctx.obj)) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    help="""The retention desk: who is likely to leave, why, and what is worth doing about it.

    A first round with your own table:

      churn schema infer customers.csv --key id --target left -o schema.yaml
      churn train customers.csv --schema schema.yaml --promote
      churn score customers.csv --publish
      churn app

    No table at hand? `churn demo` makes a simulated one, in a workspace of its own.

    Exit codes: 0 done; 1 done, and something is wrong that the output names (doctor, schema check, outcomes import, campaign
    import, db status, drift, refresh, watch, log compact, forget); 2 not done, one line says why; 3 refused by a gate, or
    somebody else was faster; 130 interrupted. With --json a failure is a document as well: {"error": …}.""",
)
app.add_typer(schema.app, name="schema", help="Draft a schema from a table, or check a table against one.")
app.add_typer(scoring.outcomes, name="outcomes", help="Bring in what became of customers.")
app.add_typer(lists.app, name="list", help="Build and export call lists.")
app.add_typer(campaigns.app, name="campaign", help="Run campaigns, and see whether calling helped.")
app.add_typer(alerts.app, name="alerts", help="See what the watch found, and settle it.")
app.add_typer(log.app, name="log", help="Look into the prediction log, bring predictions in, keep it small.")
app.add_typer(quarantine.app, name="quarantine", help="Batches held back: look at them, release or drop them.")
app.add_typer(db.app, name="db", help="Look after the database of what people make.")
app.add_typer(mlflow.app, name="mlflow", help="What MLflow keeps of trainings and versions.")
models.register(app)
imports.register(app)
scoring.register(app)
renewal.register(app)
explaining.register(app)
drift.register(app)
performance.register(app)
desk.register(app)
forget.register(app)


def _version(asked: bool) -> None:
    if asked:
        try:
            typer.echo(f"churn {version('churn')}")
        except PackageNotFoundError:
            typer.echo("churn, from a checkout that is not installed")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Workspace to use; `demo` is the simulated one.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Folder with config.yaml; paths in settings start there.")] = None,
    _asked: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = {"workspace": workspace, "home": home}


def _flowing(text: str) -> str:
    """Help with each paragraph on one line, to be wrapped at the width of the screen; what is indented stays as it is."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(one if one.startswith("  ") else " ".join(one.split()) for one in paragraphs)


_GROUPS = (schema.app, scoring.outcomes, lists.app, campaigns.app, alerts.app, log.app, quarantine.app, db.app, mlflow.app)
for _typer in (app, *_GROUPS):
    for _command in _typer.registered_commands:
        assert _command.callback is not None
        _command.help = _flowing(_command.callback.__doc__ or "")
app.info.help = _flowing(str(app.info.help))


def run() -> None:
    """Run the command line. A `ChurnError` becomes one line on standard error, and a document where --json was asked for."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except ChurnError as error:
        _say(error)
        sys.exit(CONFLICT if isinstance(error, (PromotionRefused, StoreConflict)) else REFUSED)
    except Interrupted as error:
        _say(error)
        sys.exit(STOPPED)
    except BrokenPipeError:  # `churn models | head`
        _let_go()
        sys.exit(1)
    except OSError as error:
        if not _output_is_lost():
            raise
        _let_go()
        err.print(f"churn: the output cannot be written: {error.strerror or error}", markup=False, style="bold red")
        sys.exit(REFUSED)


def _say(error: Exception) -> None:
    if "--json" in sys.argv:
        listed = {name: [asdict(one) for one in getattr(error, name, ())] for name in ("violations", "checks")}
        print_json({"error": str(error), "kind": type(error).__name__} | {name: all for name, all in listed.items() if all})
    start = "" if isinstance(error, Interrupted) else "churn: "
    err.print(f"{start}{error}", markup=False, style="bold red")


def _output_is_lost() -> bool:
    """Whether it is standard output that fails: then the end of a line fails too."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _let_go() -> None:
    """Send what is left of the output nowhere, so that the end of the process does not try once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
