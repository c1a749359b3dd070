"""The `churn` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from churn.cli import desk, explaining, imports, models, schema, scoring
from churn.cli.common import err
from churn.errors import ChurnError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""The retention desk: who is likely to leave, why, and what is worth doing about it.

    A first round with your own table:

      churn schema infer customers.csv --key customer_id --target left -o schema.yaml
      churn train customers.csv --schema schema.yaml --promote
      churn score customers.csv --publish
      churn app

    No table at hand? `churn demo` makes a simulated one, in a workspace of its own.
    Bad input ends with one line that says what is wrong, and exit code 2.""",
)
app.add_typer(schema.app, name="schema", help="Draft a schema from a table, or check a table against one.")
app.add_typer(scoring.outcomes, name="outcomes", help="Bring in what became of customers.")
models.register(app)
imports.register(app)
scoring.register(app)
explaining.register(app)
desk.register(app)


@app.callback()
def _main(
    context: typer.Context,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Workspace to use; `demo` is the simulated one.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Folder with config.yaml; paths in settings start there.")] = None,
) -> None:
    context.obj = {"workspace": workspace, "home": home}


def main() -> None:
    """Run the command line; a `ChurnError` becomes one line on standard error and exit code 2."""
    try:
        app()
    except ChurnError as error:
        err.print(f"churn: {error}", markup=False, style="bold red")
        sys.exit(2)
    except BrokenPipeError:  # `churn models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
