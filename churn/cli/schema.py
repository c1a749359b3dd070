"""`churn schema infer` and `churn schema check`."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
import yaml
from rich.table import Table
from rich.text import Text

from churn import words
from churn.cli.common import err, next_command, out, print_json, settings_of
from churn.data import quality
from churn.data.disk import disk
from churn.data.infer import PROPOSED, Draft, infer
from churn.data.schema import Schema
from churn.data.source import read_table, shown_url
from churn.errors import SourceError
from churn.settings import Settings

app = typer.Typer(no_args_is_help=True)

_LISTED = 100  # violations shown as a table; --json lists all

TABLE = Annotated[str, typer.Argument(metavar="TABLE", help="CSV, Parquet or XLSX file, s3://bucket/key, or an SQLAlchemy URL.")]
QUERY = Annotated[str | None, typer.Option(help="SQL to run, where TABLE is a database; the sheet, where it is a workbook.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


@app.command("infer")
def infer_command(
    context: typer.Context,
    table: TABLE,
    key: Annotated[str, typer.Option(help="Column that identifies a customer.")],
    target: Annotated[str, typer.Option(help="Column that says who left.")],
    positive: Annotated[
        str | None, typer.Option(help="Value of the target that means: left. Guessed for yes/no, 1/0, true/false.")
    ] = None,
    query: QUERY = None,
    name: Annotated[str | None, typer.Option(help="What to call these customers on screen.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; else the YAML goes to standard output.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Draft a schema from a table and say what was decided, and why.

    Nothing in the draft is final: it is YAML to be read and edited. A file that is already there is kept as FILE.bak.
    """
    if output is not None:
        _has_folder(output)
    settings = settings_of(context)
    raw = read_table(table, query=query, settings=settings)
    draft = infer(raw, key=key, target=target, positive=positive, name=name)
    place = shown_url(table)
    text = _commented(draft, place, raw.height)
    kept = _write(output, text) if output else None
    if as_json:
        print_json(
            {
                "schema": draft.schema.model_dump(mode="json", exclude_defaults=True),
                "decisions": [asdict(decision) for decision in draft.decisions],
                "warnings": draft.warnings,
                "output": str(output) if output else None,
            }
        )
        return
    console = out if output else err  # on standard output, only the YAML
    console.print(_decisions(draft, raw))
    leaks = [item for item in draft.schema.excluded if item.why == "leak"]
    for leak in leaks:
        console.print(Text(f"Left out as a leak: {leak.name} ({leak.evidence})", style="bold yellow"))
    for warning in draft.warnings:
        console.print(Text(warning, style="bold yellow"))
    if output is None:
        typer.echo(text, nl=False)
        return
    if kept:
        console.print(Text(f"The file that was there is now {kept}"))
    steps = _next(raw, draft.schema, place, query, output, settings)
    console.print(Text(f"Wrote {output}. Read it, edit what is wrong, then: {steps}"))


def _next(raw: pl.DataFrame, schema: Schema, place: str, query: str | None, output: Path, settings: Settings) -> str:
    """The commands that come after a draft, as a shell takes them; where cells do not fit yet, first the one that mends them."""
    table = shlex.quote(place) + (f" --query {shlex.quote(query)}" if query else "")
    described = f"--schema {shlex.quote(str(output))}"
    train = next_command(settings, f"train {table} {described} --promote")
    check = next_command(settings, f"schema check {table} {described}")
    report = quality.check(raw, schema, target=True, unique=schema.snapshot is not None)  # as training reads it
    if not report.errors:
        return train
    said = f"{words.counted(len(report.errors), 'cell')} cannot be used yet: {quality.message(report.errors)}"
    if any(error.fix is None for error in report.errors):
        return f"{check}\n{said}. Mend the table, or the schema, before: {train}"
    fixed = shlex.quote(_fixed_name(place))
    then = next_command(settings, f"train {fixed} {described} --promote")
    return f"{check} --fix -o {fixed}; {then}\n{said}. Nothing is lost by that."


def _fixed_name(place: str) -> str:
    """What to call the copy that is put right: beside a table in a file, else here."""
    path = Path(place.removeprefix("file://"))
    return str(path.with_name(f"{path.stem}-fixed.csv")) if path.is_file() else "fixed.csv"


@app.command("check")
def check_command(
    context: typer.Context,
    table: TABLE,
    schema: Annotated[Path, typer.Option("--schema", "-s", help="The schema to hold the table against.")],
    query: QUERY = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write a copy in which all that can be put right without loss is.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="With --fix: the copy, a .csv or .parquet file.")] = None,
    as_json: JSON = False,
) -> None:
    """Name every cell that breaks the schema. Exit code 1 if there is one; warnings alone are no failure.

    --fix rewrites spaces around values, numbers with thousands signs, currency signs or a decimal comma, and the case of
    levels. The table itself is never touched.
    """
    described = Schema.load(schema)
    if fix and output is None:
        raise SourceError("--fix needs -o FILE: the fixed copy goes there, the table itself stays as it is")
    if output is not None and not fix:
        raise SourceError("-o FILE is for the fixed copy and needs --fix")
    if output is not None:
        _may_write(output, table)
    raw = read_table(table, query=query, settings=settings_of(context))
    target = described.target.column in raw.columns
    report = quality.check(raw, described, target=target)
    fixed = 0
    if fix and output is not None:
        before = report
        copy, report = quality.fix(raw, described, target=target)
        _save(copy, output)
        fixed = before.fixable - report.fixable
    if as_json:
        print_json(
            {
                "rows": report.rows,
                "errors": len(report.errors),
                "warnings": len(report.warnings),
                "fixable": report.fixable,
                "fixed": fixed,
                "output": str(output) if output else None,
                "violations": [asdict(violation) for violation in report.violations],
            }
        )
    else:
        _show(report, fixed, output)
    if report.errors:
        raise typer.Exit(1)


def _commented(draft: Draft, place: str, rows: int) -> str:
    """The YAML under a few lines that say what is still to be done to it."""
    schema = draft.schema
    drafted = f"Drafted by `churn schema infer` from {words.counted(rows, 'row')} of {place}."
    notes = [drafted, "Every line is a guess that may be edited."]
    notes += [f"Left out as a leak: {item.name} ({item.evidence})" for item in schema.excluded if item.why == "leak"]
    near = [item for item in draft.decisions if item.decision.startswith(PROPOSED)]
    notes += [f"{item.column}: {item.decision}. {item.evidence}. To apply it, add it to `rules`." for item in near]
    if schema.money is None:
        notes.append("Nothing says what a customer brings in: add `money: {column: NAME, period: month}` to see revenue at risk.")
    if schema.actions:
        notes.append("What an action costs is not in the table: set each `cost` (0 until then) before it is offered.")
    example = _example_of_actions(schema)
    return "".join(f"# {' '.join(note.split())}\n" for note in notes) + schema.to_yaml() + example


def _example_of_actions(schema: Schema) -> str:
    """How actions are written, in comments, with columns of this table; empty where the draft has some."""
    if schema.actions:
        return ""
    feature = min((f for f in schema.features if f.editable), key=lambda f: f.is_number, default=None)
    change: dict[str, Any]
    if feature is None:
        label, change = "An offer", {"set": {"COLUMN": "VALUE"}}
    elif feature.is_number:
        label, change = f"{feature.label}: 10% less", {"scale": {feature.name: 0.9}}
    else:
        label, change = f"{feature.label}: {feature.levels[-1].shown}", {"set": {feature.name: feature.levels[-1].value}}
    action = {"name": "an_offer", "label": label, **change, "cost": 50}
    lines = yaml.safe_dump({"actions": [action]}, sort_keys=False, allow_unicode=True, width=110).splitlines()
    heading = (
        "What the desk may offer is not in the table. An action is written like this; it is tried for every customer opened:"
    )
    return "".join(f"# {line}\n" for line in (heading, *lines))


def _decisions(draft: Draft, raw: pl.DataFrame) -> Table:
    size = f"{words.counted(raw.height, 'row')} and {words.counted(raw.width, 'column')}"
    table = Table(title=f"What was decided about {size}", title_justify="left")
    for heading in ("Column", "Decision", "Evidence"):
        table.add_column(heading, overflow="fold")
    last = None
    for decision in draft.decisions:
        name = decision.column or "the table"
        style = "yellow" if decision.decision.startswith("left out: leak") else ""
        table.add_row(
            Text("" if name == last else name), Text(decision.decision, style=style), Text(decision.evidence, style="dim")
        )
        last = name
    return table


def _show(report: quality.Report, fixed: int, output: Path | None) -> None:
    if report.violations:
        table = Table("Severity", "Column", "Row", "Value", "Rule", "Fix")
        for item in report.violations[:_LISTED]:
            rows = "" if item.row is None else f"{item.row:,}" + (f" and {item.count - 1:,} more" if item.count > 1 else "")
            value = "" if item.row is None else "nothing" if item.value is None else repr(item.value)
            style = "red" if item.severity == "error" else "yellow"
            cells = (item.column, rows, value, item.rule, "" if item.fix is None else repr(item.fix))
            table.add_row(Text(item.severity, style=style), *(Text(cell, overflow="fold") for cell in cells))
        out.print(table)
        if len(report.violations) > _LISTED:
            out.print(f"… and {len(report.violations) - _LISTED:,} more; --json lists them all")
    if output is not None:
        out.print(Text(f"Wrote {output}: {words.counted(fixed, 'thing')} put right"))
    errors, warnings = len(report.errors), len(report.warnings)
    if not report.violations:
        out.print(f"{words.counted(report.rows, 'row')}: all fit the schema")
        return
    hint = f"; {report.fixable:,} can be put right with --fix -o FILE" if report.fixable and output is None else ""
    counts = (words.counted(report.rows, "row"), words.counted(errors, "error"), words.counted(warnings, "warning"))
    out.print(f"{counts[0]}: {counts[1]}, {counts[2]}{hint}")


def _write(path: Path, text: str) -> Path | None:
    """Write a schema, whole or not at all; one that is there and differs is moved aside. Returns where it went."""
    kept = None
    path = path.resolve() if path.is_symlink() and path.is_file() else path
    with _beside(path) as part:
        if path.exists() and not path.is_file():  # a pipe or /dev/stdout, which must not be replaced by a file
            path.write_text(text, encoding="utf-8")
            return None
        part.write_text(text, encoding="utf-8")
        if path.exists() and path.read_bytes() != text.encode():
            names = (path.with_name(f"{path.name}.bak{number or ''}") for number in count())
            kept = path.rename(next(free for free in names if not free.exists()))
        part.replace(path)
    return kept


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new file in the same folder, to be renamed to `path`; it is removed unless that happened."""
    part = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    with disk(path, "written"):
        try:
            yield part
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _has_folder(output: Path) -> None:
    """Raise SourceError, before any work is done, where the file would lie in a folder that is not there."""
    if not output.parent.is_dir():
        raise SourceError(f"{output} cannot be written: there is no folder {output.parent}; make it, or name another")


def _may_write(output: Path, table: str) -> None:
    _has_folder(output)
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise SourceError(f"{output}: the fixed copy is written as .csv or .parquet")
    if output.resolve() == Path(table.removeprefix("file://")).resolve():
        raise SourceError(f"{output} is the table itself; --fix never changes it, choose another name")


def _save(table: pl.DataFrame, path: Path) -> None:
    with _beside(path) as part:
        if path.suffix.lower() == ".csv":
            table.write_csv(part)
        else:
            table.write_parquet(part)
        part.replace(path)
