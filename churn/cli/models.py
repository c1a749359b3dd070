"""`churn train`, `churn models`, `churn promote`, `churn rollback`."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import uuid
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from churn.act import results
from churn.base.records import Records
from churn.cli.common import (
    CONFLICT,
    Report,
    changing,
    checks_json,
    customers,
    err,
    first_steps,
    holdout_words,
    keep,
    last_day,
    next_command,
    out,
    print_checks,
    print_json,
    progress,
    real_workspace,
    registry_of,
    settings_of,
    warn,
    who,
    without_forgotten,
)
from churn.data.quality import conform, remarks, repeated_keys
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import PromotionRefused, SettingsError, StoreConflict, StoreUnavailable
from churn.model.registry import Pointer, Registry, VersionInfo
from churn.model.store import ensure_room, open_store
from churn.settings import Settings

if TYPE_CHECKING:
    from churn.learn.training import TrainingResult
    from churn.model.metrics import Estimate

StoreOption = Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")]
_KEEP, _LEAVE_OUT, _WEIGHT = _TREATED = "keep", "leave-out", "weight"
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(train)
    app.command()(models)
    app.command()(promote)
    app.command()(rollback)


def train(
    context: typer.Context,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="CSV, Parquet, XLSX, a database URL, or s3://bucket/key, with the outcome.")
    ],
    schema: Annotated[Path, typer.Option("--schema", "-s", help="Schema of the table: churn schema infer drafts one.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Settings to try for each candidate.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Tune for so long instead.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="How often the cross-validation is repeated.")] = 2,
    candidates: Annotated[str | None, typer.Option(help="Comma-separated: only these kinds of model.")] = None,
    save_winner: Annotated[
        bool, typer.Option("--save-winner", help="Keep the best of all kinds, even if it does not compile into tables.")
    ] = False,
    treated: Annotated[
        str,
        typer.Option(
            metavar="keep|leave-out|weight",
            help="Rows of customers whom a campaign was calling at that time: their leaving may have been changed by it. "
            "With weight, those whom it kept uncalled at random stand for them.",
        ),
    ] = "keep",
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
    from churn.learn import tracking, training
    from churn.score import promotion

    if trials is not None and minutes is not None:
        raise SettingsError("--trials and --minutes exclude each other; give one of them")
    if treated not in _TREATED:
        raise SettingsError(f"--treated must be {_KEEP}, {_LEAVE_OUT} or {_WEIGHT}, not {treated!r}")
    settings = real_workspace(context, store=store)
    described = Schema.load(schema)
    registry = registry_of(settings)
    champion = registry.pointer()
    ensure_room(open_store(settings))  # now, not after minutes of training
    runs = context.with_resource(tracking.runs(settings, registry, warn))
    with progress(stages=True) as report:
        report("Reading", 0, 0)
        raw = read_table(table, query=query, settings=settings, real=True)
        report("Checking", 0, 0)
        conformed = conform(raw, described, target=True, unique=described.snapshot is not None)
        remarked = [*repeated_keys(conformed, described), *remarks(conformed, described)]
        conformed, left = without_forgotten(conformed, described, settings)
        remarked += left
        if treated == _LEAVE_OUT:
            conformed, left_out = _without_treated(conformed, described, settings)
            remarked.append(f"{left_out:,} rows are left out, for a campaign was calling their customers at that time.")
        if treated == _WEIGHT:
            conformed, remark = _with_stand_ins(conformed, described, settings)
            remarked.append(remark)
        result = training.train(
            conformed,
            described,
            settings=settings,
            trials=trials,
            minutes=minutes,
            repeats=repeats,
            candidates=tuple(name.strip() for name in candidates.split(",")) if candidates else None,
            save_winner=save_winner,
            parent=champion.model if champion else None,
            progress=report,
        )
        version = publish_model(result, registry, settings, report)
        runs.add(result, version)
    keep(context, f"model {version} is saved")
    if not as_json:
        _print_leaderboard(result)
        for remark in remarked:
            out.print(escape(remark), style="yellow")
        if result.holdout is not None:
            out.print(escape(holdout_words(result.holdout)))
        out.print(escape(str(result.facts["calibration"])))
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
    if as_json:
        checks = done.checks if done else getattr(refused, "checks", ())
        print_json(
            {
                "version": version,
                "winner": result.winner,
                "saved": result.saved,
                "champion": done is not None,
                "refused": str(refused) if refused else None,
                "checks": checks_json(checks),
                "leaderboard": [entry.to_dict() for entry in result.leaderboard],
                "holdout": result.holdout.to_dict() if result.holdout else None,
                "calibration": result.facts["calibration"],
                "notes": [*result.notes, *remarked],
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
    out.print(f"[bold]{version}[/] is the champion now. {_next(done.rescored, settings)}")


def _without_treated(table: pl.DataFrame, schema: Schema, settings: Settings) -> tuple[pl.DataFrame, int]:
    """The rows whose outcome no call can have changed, and how many others there were."""
    snapshot = schema.snapshot.column if schema.snapshot else None
    with closing(Records(settings)) as records:
        called = results.treated(records)
    touched = results.is_treated(table, called, key=schema.key, snapshot=snapshot, horizon_days=schema.horizon_days)
    return table.filter(~touched), int(touched.sum())


def _with_stand_ins(table: pl.DataFrame, schema: Schema, settings: Settings) -> tuple[pl.DataFrame, str]:
    """The same rows, those kept uncalled in place of those called, and in a sentence how many."""
    snapshot = schema.snapshot.column if schema.snapshot else None
    with closing(Records(settings)) as records:
        drawn = results.drawn(records)
    found, gave_way, alone = results.with_stand_ins(
        table, drawn, key=schema.key, snapshot=snapshot, horizon_days=schema.horizon_days
    )
    told = f"Customers kept uncalled stand for those called at that time in {gave_way - alone:,} rows"
    return found, f"{told}; {alone:,} are left out, for nobody like them was kept uncalled." if alone else f"{told}."


def publish_model(result: TrainingResult, registry: Registry, settings: Settings, report: Report) -> str:
    """Write a training result as a bundle and put it in the store; returns its version.

    Raises
    ------
    StoreUnavailable: the store does not take it; the message names the folder that the model is kept in, if it could be.
    """
    from churn.learn import training

    report("Saving", 0, 0)
    with tempfile.TemporaryDirectory(prefix="churn-") as place:
        folder = Path(place) / "bundle"
        training.write_bundle(result, folder, simulated=settings.simulated)
        try:
            return str(registry.publish_model(folder))
        except StoreUnavailable as error:
            if settings.simulated or (kept := _kept_outside(folder)) is None:
                raise
            again = next_command(settings, f"import-model {shlex.quote(str(kept))}")
            raise StoreUnavailable(f"{error}. The model is kept in {kept}; when the store takes it: {again}") from error


def _kept_outside(folder: Path) -> Path | None:
    """A copy of a bundle in the current folder, or else among the temporary files; None where no disk takes it."""
    name = f"model-{uuid.uuid4().hex[:6]}"
    for place in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            return Path(shutil.copytree(folder, place / name))
        except OSError:
            shutil.rmtree(place / name, ignore_errors=True)
    return None


def models(context: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the versions with their holdout metrics, who is the champion, and the history of changes."""
    settings = settings_of(context, store=store)
    registry = registry_of(settings)
    pointer = registry.pointer()
    versions = tuple(_looked_at(info, registry, pointer) for info in registry.versions())
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
        out.print(f"No model in {place} yet. Get one with: {first_steps(settings)}")
        return
    table = Table(
        "",
        "version",
        "trained (UTC)",
        "kind",
        "AUC",
        "log-loss",
        "calibration error",
        "top-decile lift",
        box=None,
        pad_edge=False,
    )
    for info in versions:
        mark = "[bold]champion[/]" if pointer and info.version == pointer.model else ""
        mark += "[red] damaged[/]" if info.problem else ""
        table.add_row(mark, info.version, *_facts(info))
    out.print(table)
    for info in versions:
        if info.problem:
            out.print(escape(f"{info.version} cannot be used: {info.problem}"), style="red")
    for entry in reversed(pointer.history[-10:] if pointer else ()):
        why = f" — {entry.reason}" if entry.reason else ""
        shown = f"{entry.action:<9} {entry.model} with {entry.scoring or 'no scoring'}"
        words = f"{entry.since:%Y-%m-%d %H:%M} UTC  {shown}, by {entry.by}{why}"
        out.print(escape(words))


def _looked_at(info: VersionInfo, registry: Registry, pointer: Pointer | None) -> VersionInfo:
    """The version with its problem; of the champion every sum is verified, of the others what a listing tells."""
    if info.problem or pointer is None or info.version != pointer.model:
        return info
    return replace(info, problem=registry.problem("model", info.version))


def promote(
    context: typer.Context,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version to make the champion, such as v3.")],
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    despite: Annotated[bool, typer.Option("--despite-gates", help="Promote although a gate fails; needs --reason.")] = False,
    table: Annotated[str | None, typer.Option(help="Show the customers of this table instead of those on the desk.")] = None,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion. The customers on the desk are scored with it first, and both change in one step.

    --table is for a version that needs columns the customers on the desk do not have.
    """
    from churn.learn import tracking
    from churn.score import promotion

    if despite and not reason:
        raise SettingsError("--despite-gates needs --reason: the history must say why")
    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    with progress() as report, changing(context, registry):
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
    tracking.mirror(registry, settings)
    if as_json:
        shown = done.pointer
        print_json(
            {"model": shown.model, "scoring": shown.scoring, "since": shown.since, "rescored": done.rescored}
            | {"checks": checks_json(done.checks)}
        )
        return
    print_checks(done.checks)
    out.print(f"[bold]{escape(version)}[/] is the champion now. {_next(done.rescored, settings)}")


def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the model and scoring that were shown before; done again, the ones before those."""
    from churn.learn import tracking

    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    with changing(context, registry):
        pointer = registry.rollback(who(settings), reason)
    tracking.mirror(registry, settings)
    if as_json:
        print_json({"model": pointer.model, "scoring": pointer.scoring, "since": pointer.since})
        return
    out.print(f"The desk shows model [bold]{pointer.model}[/] with {pointer.scoring or 'no scoring'} again.")


def _next(rescored: int, settings: Settings) -> str:
    if rescored:
        return f"{customers(rescored).capitalize()} were scored with it."
    return f"Next: {next_command(settings, 'score TABLE --publish')}"


def _facts(info: VersionInfo) -> tuple[str, ...]:
    holdout = info.metrics.get("holdout") or {}
    figures = [holdout.get(name, {}).get("value") for name in ("roc_auc", "log_loss", "ece", "top_decile_lift")]
    created = f"{info.created:%Y-%m-%d %H:%M}" if info.created else "–"
    kind = str(info.metrics.get("kind", "–"))
    return (created, kind, *("–" if figure is None else f"{figure:.3f}" for figure in figures))


_WIDE = 120  # columns of a screen that takes every measure with its error
_HEADS = {
    "log_loss": "log-loss",
    "roc_auc": "AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
    "top_decile_lift": "lift",
}


def _print_leaderboard(result: TrainingResult) -> None:
    """Every candidate with the measures that decide; the saved one is marked. A narrow screen gets fewer figures, none cut."""
    wide = out.width >= _WIDE
    heads = _HEADS if wide else {name: _HEADS[name] for name in ("log_loss", "roc_auc", "ece", "top_decile_lift")}
    table = Table("", "candidate", *heads.values(), "behind", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for row in result.leaderboard:
        figures = [
            _with_error(row.measures[name], 2 if name == "top_decile_lift" else 4, error=wide or name == "log_loss")
            for name in heads
        ]
        behind = "–" if row.behind.value == 0 else _with_error(row.behind, 4)
        table.add_row("[green]✓[/]" if row.saved else "", escape(row.name), *figures, behind)
    out.print(table)
    out.print("✓ saved; ± one standard error over the folds; behind: how much more log-loss than the best, on the same folds.")
    for note in result.notes:
        out.print(escape(note))


def _with_error(estimate: Estimate, digits: int, *, error: bool = True) -> str:
    known = error and estimate.standard_error == estimate.standard_error
    return f"{estimate.value:.{digits}f}" + (f" ±{estimate.standard_error:.{digits}f}" if known else "")
