"""`churn forget`: take a customer out of everything the desk keeps, with a receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from churn.base.records import Records
from churn.cli.common import keep, out, print_json, progress, registry_of, settings_of, who
from churn.data.disk import disk
from churn.errors import DataError
from churn.model.store import open_store
from churn.score import erasure


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(forget)


def forget(
    context: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="Customers as the tables spell their keys.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be rewritten, and change nothing.")] = False,
    reason: Annotated[str, typer.Option(help="Who asked for it and how; it is kept in the receipt.")] = "",
    receipt: Annotated[Path | None, typer.Option(help="JSON file to write the receipts to.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Forget customers: take them out of every scoring, the log, outcomes, and what people keep, and keep them out from now on.

    The desk keeps running. What is evidence of a campaign stays under a pseudonym; exported files and backups cannot be reached
    from here, and the receipt names them. It holds no key, only a salted hash. Killed half way, the same command finishes it;
    done twice, it says so. Exit code 1 if something could not be done, which the output names.
    """
    settings = settings_of(context, store=store)
    if receipt is not None and not receipt.parent.is_dir():
        raise DataError(f"{receipt} cannot be written: there is no folder {receipt.parent}; make it, or name another")
    registry, place, records = registry_of(settings), open_store(settings), Records(settings)
    done: dict[str, erasure.Receipt] = {}
    try:
        for key in dict.fromkeys(keys):
            keep(context, "what is begun has to be finished: give the command again")
            with progress() as report:
                done[key] = erasure.forget(
                    key, place, registry, records, settings, who=who(settings), reason=reason, dry_run=dry_run, progress=report
                )
    finally:
        records.close()
    documents = [made.to_dict() for made in done.values()]
    if receipt is not None:
        with disk(receipt, "written"):
            receipt.write_text(json.dumps(documents, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json(documents)
    else:
        for key, made in done.items():
            _print(key, made)
        if receipt is not None:
            out.print(f"Receipt written to {escape(str(receipt))}.")
    if any(made.problems for made in done.values()):
        raise typer.Exit(1)


def _print(key: str, made: erasure.Receipt) -> None:
    out.print(f"[bold]{escape(key)}[/]: {escape(made.sentence)}")
    for problem in made.problems:
        out.print(escape(f"  Not done: {problem}."), style="bold red")
    if made.earlier and not made.since and not made.problems:
        return
    out.print("Stays:")
    for line in made.stays:
        out.print(escape(f"  {line}"))
    out.print("Cannot be reached from here:")
    for line in made.unreached:
        out.print(escape(f"  {line}"))
