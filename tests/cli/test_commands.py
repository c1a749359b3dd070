"""How commands end: exit codes, what is said after an interrupt, and an output that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.learn import training
from churn.score import batch

from .conftest import QUICK, Desk

CHURN = Path(sys.executable).with_name("churn")
ROOT = Path(__file__).resolve().parents[2]


_INTERRUPTED = """
import builtins, os, signal, sys
real = builtins.__import__
def interrupted(name, *rest):
    if name == sys.argv[-1]:
        builtins.__import__ = real
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest)
builtins.__import__ = interrupted
from churn.cli import main
main()
"""


@pytest.mark.parametrize("library", ["typer", "polars", "yaml", "rich.console"])
def test_an_interrupt_of_the_imports_is_a_line(tmp_path: Path, library: str) -> None:
    """Their first second is when people notice that they meant something else; it would come out of any library."""
    command = [sys.executable, "-c", _INTERRUPTED, "models", library]
    ran = subprocess.run(command, cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped; nothing was changed.\n")


def test_an_interrupt_says_what_was_kept(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    before = trained.pointer
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", interrupt)
        ran = trained.run("train", "t.csv", "--schema", "s.yaml", *QUICK)
        assert (ran.code, ran.err) == (130, "Stopped; nothing was changed.\n")
    with monkeypatch.context() as patch:
        patch.setattr(batch, "score", interrupt)  # in the middle of the promotion
        ran = trained.run("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote", "--json")
        assert ran.code == 130
        assert ran.json == {"error": "Stopped; model v2 is saved.", "kind": "Interrupted"}
    assert trained.pointer == before


def test_an_interrupt_after_the_desk_changed_says_so(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from churn.cli import scoring

    real = scoring.publish_scoring

    def late(*given: Any, **options: Any) -> None:
        real(*given, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "publish_scoring", late)
    ran = trained.run("score", "t.csv", "--publish", "--out", "x.csv", "--as-of", "2026-11-02")
    assert ran.code == 130
    assert ran.err == f"Stopped; x.csv is written and the desk shows model v1 with {trained.pointer['scoring']} now.\n"


@pytest.mark.parametrize("arguments", [("models",), ("models", "--json"), ("--help",), ("score", "--help")])
def test_an_output_that_cannot_be_written_is_said(trained: Desk, arguments: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([CHURN, *arguments], cwd=trained.home, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "churn: the output cannot be written: No space left on device\n")


def test_a_long_training_is_not_silent_where_nobody_sees_a_bar(desk: Desk) -> None:
    lines = desk.done("train", "t.csv", "--schema", "s.yaml", *QUICK).err.splitlines()
    assert len(lines) >= 4
    stages = [line.partition(":")[0].partition(" (")[0] for line in lines]
    assert len(set(stages)) == len(stages)  # one for each; this one takes seconds
    assert stages[0] == "Logistic regression"
    assert all(line.endswith(")") and " of " in line for line in lines)


def test_help_is_not_wrapped_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = subprocess.run([CHURN, "-h"], cwd=desk.home, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "--target left -o schema.yaml" in ran.stdout
    assert "3 refused by a gate" in " ".join(ran.stdout.split()).replace("3\n", "3 ")
    ran = subprocess.run([CHURN, "train", "-h"], cwd=desk.home, capture_output=True, text=True, check=True, env=dict(os.environ))
    prose = ran.stdout.partition("Every candidate")[2].partition("╭")[0].rstrip().splitlines()
    assert len(prose) == 5
    assert all(len(line.rstrip()) > 60 for line in prose[1:-1])  # no line broken in the middle
    assert "{TABLE}" in ran.stdout


def test_the_version_is_told(desk: Desk) -> None:
    from importlib.metadata import version

    assert desk.done("--version").out == f"churn {version('churn')}\n"


def test_a_next_command_names_the_workspace_where_it_is_not_the_usual_one(trained: Desk) -> None:
    publish = ("score", "t.csv", "--publish", "--as-of", "2026-11-02")
    assert "Open it with: churn app\n" in trained.done(*publish).out
    shop = ("--workspace", "shop")
    assert "Get one with: churn --workspace shop train TABLE --schema schema.yaml --promote" in trained.done(*shop, "models").out
    assert trained.run(*shop, "list", "build").line.endswith("then: churn --workspace shop score TABLE --publish")
    trained.done(*shop, "train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote")
    assert "Open it with: churn --workspace shop app\n" in trained.done(*shop, *publish).out
    pl.read_csv(trained.home / "t.csv").head(400).write_csv(trained.home / "half.csv")
    assert "churn --workspace shop quarantine release " in trained.run(*shop, "refresh", "half.csv").err
