"""`churn train`, `churn models`, `churn promote`, `churn rollback`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from churn.cli.common import Report, customers, last_day, out, print_json, progress, real_workspace, registry_of, settings_of, who
from churn.data.quality import conform, remarks, repeated_keys
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import SettingsError
from churn.model.registry import Registry, VersionInfo
from churn.model.store import open_store

if TYPE_CHECKING:
    from churn.learn.training import TrainingResult
    from churn.model.metrics import Estimate

StoreOption = Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(train)
    app.command()(models)
    app.command()(promote)
    app.command()(rollback)


def train(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="CSV, Parquet, XLSX, a database URL, or s3://bucket/key, with the outcome.")],
    schema: Annotated[Path, typer.Option("--schema", "-s", help="Schema of the table: churn schema infer drafts one.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Settings to try for each candidate.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Tune for so long instead.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="How often the cross-validation is repeated.")] = 2,
    candidates: Annotated[str | None, typer.Option(help="Comma-separated: only these kinds of model.")] = None,
    save_winner: Annotated[
        bool, typer.Option("--save-winner", help="Keep the best of all kinds, even if it does not compile into tables.")
    ] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Make the winner the champion, if the gates hold.")] = False,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare models on a churn table and keep the best that compiles as a new version.

    Every candidate is tuned and judged on the same cross-validation folds; the winner by log-loss is checked once on a
    holdout that no training ever sees. With --promote it becomes the champion if its holdout AUC and calibration pass
    the gates in the settings and it is no worse than the champion on the same customers.
    """
    from churn.learn import promotion, training

    if trials is not None and minutes is not None:
        raise SettingsError("--trials and --minutes exclude each other; give one of them")
    settings = real_workspace(context, store=store)
    described = Schema.load(schema)
    registry = registry_of(settings)
    with progress() as report:
        report("Reading", 0, 0)
        raw = read_table(table, query=query, settings=settings, real=True)
        report("Checking", 0, 0)
        conformed = conform(raw, described, target=True, unique=described.snapshot is not None)
        remarked = [*repeated_keys(conformed, described), *remarks(conformed, described)]
        result = training.train(
            conformed,
            described,
            settings=settings,
            trials=trials,
            minutes=minutes,
            repeats=repeats,
            candidates=tuple(name.strip() for name in candidates.split(",")) if candidates else None,
            save_winner=save_winner,
            progress=report,
        )
        version = publish_model(result, registry, settings.simulated, report)
    if not as_json:
        _print_leaderboard(result)
        for remark in remarked:
            out.print(escape(remark), style="yellow")
        out.print(f"Saved as [bold]{version}[/] in {escape(open_store(settings).address)}.")
    done = None
    if promote:
        with progress() as report:
            done = promotion.promote(version, registry, open_store(settings), settings, who=who(settings), progress=report)
    if as_json:
        leaderboard = [entry.to_dict() for entry in result.leaderboard]
        print_json(
            {
                "version": version,
                "winner": result.winner,
                "champion": promote,
                "leaderboard": leaderboard,
                "notes": [*result.notes, *remarked],
            }
        )
        return
    if done is None:
        out.print(f"Make it the champion with: churn promote {version}")
        return
    for check in done.checks:
        out.print(f"[green]✓[/] {escape(check.words)}")
    out.print(f"[bold]{version}[/] is the champion now. {_next(done.rescored)}")


def publish_model(result: TrainingResult, registry: Registry, simulated: bool, report: Report) -> str:
    """Write a training result as a bundle and put it in the store; returns its version."""
    from churn.learn import training

    report("Saving", 0, 0)
    with tempfile.TemporaryDirectory(prefix="churn-") as place:
        folder = Path(place) / "bundle"
        training.write_bundle(result, folder, simulated=simulated)
        return str(registry.publish_model(folder))


def models(context: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the versions with their holdout metrics, who is the champion, and the history of changes."""
    settings = settings_of(context, store=store)
    registry = registry_of(settings)
    versions, pointer = registry.versions(), registry.pointer()
    if as_json:
        history = [asdict(entry) for entry in (pointer.history if pointer else ())]
        listed = [
            {"version": info.version, "created": info.created, "metrics": info.metrics, "problem": info.problem}
            for info in versions
        ]
        champion = {"model": pointer.model, "scoring": pointer.scoring, "since": pointer.since} if pointer else None
        print_json({"champion": champion, "versions": listed, "history": history})
        return
    if pointer and pointer.model not in {info.version for info in versions}:
        out.print(escape(f"The champion {pointer.model} is not in {open_store(settings).address} any more."), style="red")
    elif not versions:
        place = escape(open_store(settings).address)
        out.print(f"No model in {place} yet. Train one: churn train TABLE --schema schema.yaml --promote")
        return
    table = Table(
        "", "version", "trained", "kind", "AUC", "log-loss", "calibration error", "top-decile lift", box=None, pad_edge=False
    )
    for info in versions:
        mark = "[bold]champion[/]" if pointer and info.version == pointer.model else ""
        table.add_row(mark, info.version, *_facts(info))
    out.print(table)
    for info in versions:
        if info.problem:
            out.print(escape(f"{info.version} cannot be used: {info.problem}"), style="red")
    for entry in reversed(pointer.history[-10:] if pointer else ()):
        why = f" — {entry.reason}" if entry.reason else ""
        shown = f"{entry.action:<9} {entry.model} with {entry.scoring or 'no scoring'}"
        words = f"{entry.since:%Y-%m-%d %H:%M}  {shown}, by {entry.by}{why}"
        out.print(escape(words))


def promote(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="Version to make the champion, such as v3.")],
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    despite: Annotated[bool, typer.Option("--despite-gates", help="Promote although a gate fails; needs --reason.")] = False,
    table: Annotated[str | None, typer.Option(help="Show the customers of this table instead of those on the desk.")] = None,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: StoreOption = None,
) -> None:
    """Make a version the champion. The customers on the desk are scored with it first, and both change in one step.

    --table is for a version that needs columns the customers on the desk do not have.
    """
    from churn.learn import promotion

    if despite and not reason:
        raise SettingsError("--despite-gates needs --reason: the history must say why")
    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    with progress() as report:
        base = None
        if table is not None:
            schema = registry.load_model(version).schema
            raw = read_table(table, query=query, settings=settings, real=True)
            rows = conform(raw, schema, target=schema.target.column in raw.columns)
            base = promotion.Base(rows, last_day(rows, schema))
        done = promotion.promote(
            version,
            registry,
            open_store(settings),
            settings,
            who=who(settings),
            reason=reason,
            despite_gates=despite,
            base=base,
            progress=report,
        )
    for check in done.checks:
        out.print(f"{'[green]✓[/]' if check.passed else '[bold red]✗[/]'} {escape(check.words)}")
    out.print(f"[bold]{escape(version)}[/] is the champion now. {_next(done.rescored)}")


def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    store: StoreOption = None,
) -> None:
    """Show the model and scoring that were shown before; done again, the ones before those."""
    settings = real_workspace(context, store=store)
    pointer = registry_of(settings).rollback(who(settings), reason)
    out.print(f"The desk shows model [bold]{pointer.model}[/] with {pointer.scoring or 'no scoring'} again.")


def _next(rescored: int) -> str:
    return f"{customers(rescored).capitalize()} were scored with it." if rescored else "Next: churn score TABLE --publish"


def _facts(info: VersionInfo) -> tuple[str, ...]:
    holdout = info.metrics.get("holdout") or {}
    figures = [holdout.get(name, {}).get("value") for name in ("roc_auc", "log_loss", "ece", "top_decile_lift")]
    created = f"{info.created:%Y-%m-%d %H:%M}" if info.created else "–"
    kind = str(info.metrics.get("kind", "–"))
    return (created, kind, *("–" if figure is None else f"{figure:.3f}" for figure in figures))


def _print_leaderboard(result: TrainingResult) -> None:
    """Every candidate with the measures that decide, each with its standard error; the saved one is marked."""
    heads = {
        "log_loss": "log-loss",
        "roc_auc": "AUC",
        "pr_auc": "PR-AUC",
        "brier": "Brier",
        "ece": "ECE",
        "top_decile_lift": "lift",
    }
    table = Table("", "candidate", *heads.values(), "behind the best", box=None, pad_edge=False)
    for row in result.leaderboard:
        figures = [_with_error(row.measures[name], 2 if name == "top_decile_lift" else 4) for name in heads]
        behind = "–" if row.behind.value == 0 else _with_error(row.behind, 4)
        table.add_row("[green]saved[/]" if row.saved else "", escape(row.name), *figures, behind)
    out.print(table)
    for note in result.notes:
        out.print(escape(note))


def _with_error(estimate: Estimate, digits: int) -> str:
    error = f" ±{estimate.standard_error:.{digits}f}" if estimate.standard_error == estimate.standard_error else ""
    return f"{estimate.value:.{digits}f}{error}"
