"""`churn import-model`: a model trained elsewhere becomes a version."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from churn.cli.common import (
    CONFLICT,
    changing,
    checks_json,
    err,
    holdout_words,
    keep,
    next_command,
    out,
    print_checks,
    print_json,
    progress,
    real_workspace,
    registry_of,
    who,
    without_forgotten,
)
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import PromotionRefused, SettingsError, SourceError, StoreConflict
from churn.model.store import open_store

if TYPE_CHECKING:
    from churn.learn.importing import Imported
    from churn.model.skops_file import Contents


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("import-model")(import_model)


def import_model(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A fitted scikit-learn classifier or pipeline, from skops.io.dump; or a folder in which `churn train` kept a "
            "model that the store did not take.",
        ),
    ],
    schema: Annotated[
        Path | None, typer.Option("--schema", "-s", help="Schema of the table it scores; needed, but for a folder.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Table it is tried and explained on: CSV, Parquet, XLSX, a database URL, or s3://bucket/key; needed, but for a "
            "folder."
        ),
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it the champion, if the gates hold.")] = False,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Bring in a model that was trained elsewhere, as a new version.

    The file says which types it is made of; they are printed, and nothing is loaded if one of them is not on the list of those
    that may be. The model is tried on the reference table, with missing values and new levels too. Where the table has the
    outcome, the model is judged on the holdout, the same customers that judge every version: leave them out of its training.
    """
    from churn.learn import importing, tracking
    from churn.model import skops_file
    from churn.score import promotion

    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    imported, found = None, None
    if model.is_dir():
        if schema is not None or reference is not None:
            raise SettingsError(f"{model} is a folder, which has its schema and its reference in it; leave the options out")
        version = registry.publish_model(model)
    else:
        if schema is None or reference is None:
            raise SettingsError("a model in a file needs --schema and --reference: what it scores, and what it is tried on")
        described = Schema.load(schema)
        data = _read(model)
        with progress() as report:
            report("Looking at the file", 0, 0)
            found = skops_file.contents(data)
            skops_file.refuse_unknown(found)
            report("Reading", 0, 0)
            raw = read_table(reference, query=query, settings=settings, real=True)
            report("Checking", 0, 0)
            known = described.target.column in raw.columns
            table = conform(raw, described, target=known, unique=described.snapshot is not None)
            table, _ = without_forgotten(table, described, settings)
            report("Trying the model", 0, 0)
            imported = importing.import_model(data, model.name, table, described, settings)
            report("Saving", 0, 0)
            with tempfile.TemporaryDirectory(prefix="churn-") as place:
                folder = Path(place) / "bundle"
                importing.write_bundle(imported, folder, simulated=settings.simulated)
                version = registry.publish_model(folder)
    keep(context, f"model {version} is saved")
    if not as_json:
        if imported and found:
            _print(imported, found, model)
        out.print(f"Saved as [bold]{version}[/] in {escape(open_store(settings).address)}.")
    done, refused = None, None
    if promote:
        with progress() as report, changing(context, registry):
            try:
                done = promotion.promote(version, registry, open_store(settings), settings, who=who(settings), progress=report)
            except (PromotionRefused, StoreConflict) as error:
                if not as_json:
                    raise
                refused = error
    tracking.mirror(registry, settings)
    if as_json:
        print_json(
            {
                "version": version,
                "champion": done is not None,
                "refused": str(refused) if refused else None,
                "checks": checks_json(done.checks if done else getattr(refused, "checks", ())),
                "types": found.types if found else None,
                "trusted": found.trusted if found else None,
                "holdout": imported.holdout.to_dict() if imported and imported.holdout else None,
                "reasons": imported.model.reasons_words if imported else None,
                "notes": imported.notes if imported else [],
            }
        )
        if refused:
            err.print(f"churn: {refused}", markup=False, style="bold red")
            raise typer.Exit(CONFLICT)
        return
    if done is None:
        out.print(f"Make it the champion with: {next_command(settings, f'promote {version}')}")
        return
    print_checks(done.checks)
    out.print(f"[bold]{version}[/] is the champion now.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def _print(imported: Imported, found: Contents, path: Path) -> None:
    out.print(f"{escape(path.name)} is made of {len(found.types)} types:")
    for name in found.types:
        allowed = ", allowed by name" if name in found.trusted else ""
        out.print(escape(f"  {name}{allowed}"))
    out.print(escape(imported.model.reasons_words))
    for note in imported.notes:
        out.print(escape(note), style="yellow")
    if imported.holdout is not None:
        out.print(escape(holdout_words(imported.holdout)))
