"""`churn schema infer` and `churn schema check`, as a person or a program calls them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from churn import cli
from churn.data.schema import Schema

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["churn", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def table(tmp_path: Path) -> str:
    rows = 200
    left = [i * 7 % 10 < 3 for i in range(rows)]
    frame = pl.DataFrame(
        {
            "id": [f"c{i}" for i in range(rows)],
            "contract": [("Monthly", "One year")[(i + gone) % 2] for i, gone in enumerate(left)],
            "MonthlyCharges": [20 + i % 37 + 5 * gone for i, gone in enumerate(left)],
            "score_of_the_model": [0.9 if gone else 0.1 for gone in left],
            "left": ["Yes" if gone else "No" for gone in left],
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    return "t.csv"


def _infer(run: Run, table: str) -> None:
    assert run("schema", "infer", table, "--key", "id", "--target", "left", "-o", "s.yaml")[0] == 0


def test_infer_writes_yaml_and_shows_what_it_decided(run: Run, table: str, tmp_path: Path) -> None:
    code, out, err = run("schema", "infer", table, "--key", "id", "--target", "left", "-o", "s.yaml", "--name", "Subscribers")
    assert (code, err) == (0, "")
    schema = Schema.load(tmp_path / "s.yaml")
    assert schema.name == "Subscribers"
    assert schema.names == ("contract", "MonthlyCharges")
    assert "What was decided about 200 rows and 5 columns" in out
    assert "Left out as a leak: score_of_the_model (alone it ranks leavers with AUC 1.00" in out
    assert "churn train t.csv --schema s.yaml" in out
    notes = (tmp_path / "s.yaml").read_text().splitlines()[:4]
    assert notes[0] == "# Drafted by `churn schema infer` from 200 rows of t.csv."
    assert notes[2].startswith("# Left out as a leak: score_of_the_model")
    assert "set each `cost`" in notes[3]


def _next(out: str) -> list[list[str]]:
    """The commands that infer says come next, taken apart as a shell does."""
    words = out[out.index("then: ") + len("then: ") :].splitlines()[0]
    return [shlex.split(one) for one in words.split("; ")]


def test_infer_names_commands_that_work(run: Run, table: str, tmp_path: Path) -> None:
    rows = (tmp_path / table).read_text()
    (tmp_path / "my table.csv").write_text(rows)
    named = ("--key", "id", "--target", "left", "-o", "my schema.yaml")
    _, out, _ = run("schema", "infer", "my table.csv", *named)
    assert _next(out) == [["churn", "train", "my table.csv", "--schema", "my schema.yaml", "--promote"]]
    pl.read_csv(tmp_path / table).write_database("t", f"sqlite:///{tmp_path}/t.db", engine="sqlalchemy")
    address, query = f"sqlite:///{tmp_path}/t.db", "select * from t where id <> 'c9'"
    _, out, _ = run("schema", "infer", address, "--query", query, *named)
    assert _next(out) == [["churn", "train", address, "--query", query, "--schema", "my schema.yaml", "--promote"]]


def test_infer_names_the_command_that_mends_first(run: Run, table: str, tmp_path: Path) -> None:
    rows = pl.read_csv(tmp_path / table).with_columns(MonthlyCharges=pl.format("${}.5", "MonthlyCharges"))
    rows.write_csv(tmp_path / "my dollars.csv")
    code, out, _ = run("schema", "infer", "my dollars.csv", "--key", "id", "--target", "left", "-o", "s.yaml")
    assert code == 0
    assert "200 cells cannot be used yet: column 'MonthlyCharges' must be a number; row 1 has '$" in out
    mend, train = _next(out)
    assert run(*mend[1:])[0] == 0
    assert train == ["churn", "train", "my dollars-fixed.csv", "--schema", "s.yaml", "--promote"]
    assert run("schema", "check", train[2], "-s", "s.yaml")[:2] == (0, "200 rows: all fit the schema\n")


def test_infer_names_cells_that_nothing_mends(run: Run, table: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text((tmp_path / table).read_text().replace(",20,", ",inf,", 1))
    _, out, _ = run("schema", "infer", "bad.csv", "--key", "id", "--target", "left", "-o", "s.yaml")
    assert _next(out) == [["churn", "schema", "check", "bad.csv", "--schema", "s.yaml"]]
    assert "1 cell cannot be used yet: column 'MonthlyCharges' must be a number; row " in out
    assert "Mend the table, or the schema, before: churn train bad.csv --schema s.yaml --promote" in out


def test_infer_says_aloud_that_a_key_repeats(run: Run, table: str) -> None:
    named = ("schema", "infer", table, "--key", "contract", "--target", "left", "-o", "s.yaml")
    said = "Column 'contract' is to be the key, but 198 rows repeat another's."
    assert f"\n{said}\n" in run(*named)[1]
    assert json.loads(run(*named, "--json")[1])["warnings"] == [said]


def test_infer_without_a_file_prints_only_yaml_on_standard_output(run: Run, table: str) -> None:
    code, out, err = run("schema", "infer", table, "--key", "id", "--target", "left")
    assert code == 0
    assert Schema.from_yaml(out).key == "id"
    assert "What was decided" in err


def test_infer_keeps_the_schema_that_was_there(run: Run, table: str, tmp_path: Path) -> None:
    for text in ("my: edits", "my: other edits"):
        (tmp_path / "s.yaml").write_text(text)
        _infer(run, table)
    assert (tmp_path / "s.yaml.bak").read_text() == "my: edits"
    assert (tmp_path / "s.yaml.bak1").read_text() == "my: other edits"
    _infer(run, table)  # nothing has changed: no further copy
    assert sorted(path.name for path in tmp_path.glob("s.yaml*")) == ["s.yaml", "s.yaml.bak", "s.yaml.bak1"]


def test_infer_speaks_json(run: Run, table: str) -> None:
    code, out, _ = run("schema", "infer", table, "--key", "id", "--target", "left", "--json")
    answer = json.loads(out)
    assert code == 0
    assert Schema.model_validate(answer["schema"]).key == "id"
    assert {"column": "id", "decision": "key", "evidence": "one for each of 200 rows"} in answer["decisions"]


def test_check_is_quiet_about_a_table_that_fits(run: Run, table: str) -> None:
    _infer(run, table)
    code, out, _ = run("schema", "check", table, "--schema", "s.yaml")
    assert (code, out) == (0, "200 rows: all fit the schema\n")


def test_check_lists_every_violation_and_fails(run: Run, table: str, tmp_path: Path) -> None:
    _infer(run, table)
    text = (tmp_path / "t.csv").read_text().replace("c1,", "c0,").replace(",20,", ",x,", 1).replace("One year", "one YEAR ", 1)
    (tmp_path / "bad.csv").write_text(text)
    code, out, _ = run("schema", "check", "bad.csv", "--schema", "s.yaml")
    assert code == 1
    assert "must not repeat that of row 1" in out
    assert "must be a number" in out
    assert "'One year'" in out
    assert "200 rows: 2 errors, 1 warning; 1 can be put right with --fix -o FILE" in out
    code, out, _ = run("schema", "check", "bad.csv", "--schema", "s.yaml", "--json")
    answer = json.loads(out)
    assert code == 1
    assert (answer["errors"], answer["warnings"], answer["fixable"]) == (2, 1, 1)
    assert answer["violations"][0].keys() == {"column", "row", "value", "rule", "fix", "severity", "count"}


def test_warnings_alone_are_no_failure(run: Run, table: str, tmp_path: Path) -> None:
    _infer(run, table)
    (tmp_path / "w.csv").write_text((tmp_path / "t.csv").read_text().replace("One year", "Two years", 1))
    code, out, _ = run("schema", "check", "w.csv", "--schema", "s.yaml")
    assert code == 0
    assert "0 errors, 1 warning" in out


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_fix_writes_a_copy_and_leaves_the_table(run: Run, table: str, tmp_path: Path, suffix: str) -> None:
    _infer(run, table)
    bad = (tmp_path / "t.csv").read_text().replace("One year", " one year", 1)
    (tmp_path / "bad.csv").write_text(bad)
    code, out, _ = run("schema", "check", "bad.csv", "--schema", "s.yaml", "--fix", "-o", f"good{suffix}")
    assert code == 0
    assert f"Wrote good{suffix}: 1 thing put right" in out
    assert (tmp_path / "bad.csv").read_text() == bad
    assert run("schema", "check", f"good{suffix}", "--schema", "s.yaml")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("infer", "none.csv", "--key", "id", "--target", "left"), "none.csv: no such file"),
        (("infer", "t.csv", "--key", "ID_", "--target", "left"), "key column 'ID_' is not in the table; did you mean 'id'?"),
        (("infer", "t.csv", "--key", "id", "--target", "contract"), "Give --positive; it has"),
        (("infer", "t.csv", "--key", "id", "--target", "MonthlyCharges"), "must have two classes"),
        (("infer", "t.csv", "--key", "id", "--target", "left", "-o", "no/such/x.yaml"), "there is no folder no/such"),
        (("infer", "sqlite:///none.db", "--key", "id", "--target", "left"), "a database needs a query"),
        (("check", "t.csv", "--schema", "none.yaml"), "no schema at none.yaml"),
        (("check", "t.csv", "--schema", "s.yaml", "--fix"), "--fix needs -o FILE"),
        (("check", "t.csv", "--schema", "s.yaml", "-o", "x.csv"), "needs --fix"),
        (("check", "t.csv", "--schema", "s.yaml", "--fix", "-o", "./t.csv"), "is the table itself"),
        (("check", "t.csv", "--schema", "s.yaml", "--fix", "-o", "x.doc"), "written as .csv or .parquet"),
        (("check", "t.csv", "--schema", "s.yaml", "--fix", "-o", "no/x.csv"), "there is no folder no; make it"),
    ],
)
def test_bad_input_ends_with_one_clear_line_and_exit_code_2(run: Run, table: str, arguments: tuple[str, ...], says: str) -> None:
    _infer(run, table)
    code, _, err = run("schema", *arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_password_in_an_address_is_written_nowhere(run: Run, table: str, tmp_path: Path) -> None:
    pl.read_csv(tmp_path / "t.csv").write_database("t", f"sqlite:///{tmp_path}/t.db", engine="sqlalchemy")
    address = f"sqlite:///{tmp_path}/t.db?timeout=5"
    code, out, err = run(
        "schema", "infer", address, "--query", "select * from t", "--key", "id", "--target", "left", "-o", "s.yaml"
    )
    assert (code, err) == (0, "")
    address = "postgresql+psycopg://ann:s3cret@127.0.0.1:1/base?connect_timeout=2"
    code, out, err = run("schema", "check", address, "--query", "select 1", "--schema", "s.yaml")
    assert code == 2
    assert "s3cret" not in out + err
    assert "ann:***@127.0.0.1" in err


@pytest.mark.realdata
def test_telco_from_table_to_schema_to_check(run: Run, real_table: Callable[[str], Path]) -> None:
    path = str(real_table("WA_Fn-UseC_-Telco-Customer-Churn.csv"))
    assert run("schema", "infer", path, "--key", "customerID", "--target", "Churn", "-o", "telco.yaml")[0] == 0
    assert run("schema", "check", path, "--schema", "telco.yaml")[:2] == (0, "7,043 rows: all fit the schema\n")


def test_what_holds_is_written_with_its_evidence_and_what_nearly_holds_is_only_proposed(run: Run, tmp_path: Path) -> None:
    size = 1_000
    net = ["DSL" if i % 3 else "No" for i in range(size)]
    fee, months = [20 + i % 37 for i in range(size)], [1 + i * 13 % 71 for i in range(size)]
    support = ["No internet service" if kind == "No" else ("Yes", "No")[i // 3 % 2] for i, kind in enumerate(net)]
    paid = [one * other for one, other in zip(fee, months, strict=True)]
    backup = list(support)
    backup[3], paid[5] = "Yes", 7
    columns = {"InternetService": net, "TechSupport": support, "OnlineBackup": backup, "fee": fee, "months": months, "paid": paid}
    gone = ["Yes" if i * 7 % 10 < 3 else "No" for i in range(size)]
    pl.DataFrame({"id": range(size), **columns, "left": gone}).write_csv(tmp_path / "t.csv")
    _, out, _ = run("schema", "infer", "t.csv", "--key", "id", "--target", "left", "-o", "s.yaml")
    assert "rule: No means TechSupport = No internet service" in out
    assert "1 of 334 such rows speak against it (99.7% hold)" in out
    text = (tmp_path / "s.yaml").read_text(encoding="utf-8")
    assert "# InternetService: rule proposed, not applied: No means OnlineBackup = No internet service. 1 of 334" in text
    schema = Schema.load(tmp_path / "s.yaml")
    assert [(set(rule.then), rule.evidence) for rule in schema.rules if rule.label == "No internet service"] == [
        ({"TechSupport"}, "holds in all 334 such rows")
    ]
    derived = schema.feature("paid")
    assert (derived.formula, derived.residual) == ("fee * months", True)  # the odd row keeps its difference
    assert derived.evidence == "holds in 999 of 1,000 rows (99.9%); each row keeps its difference"


def test_check_names_rows_that_break_a_rule(run: Run, table: str, tmp_path: Path) -> None:
    _infer(run, table)
    text = (tmp_path / "s.yaml").read_text(encoding="utf-8")
    rule = "rules:\n- when: MonthlyCharges >= 60 or contract is missing\n  then: {contract: Monthly}\n"
    (tmp_path / "s.yaml").write_text(text + rule, encoding="utf-8")
    code, out, _ = run("schema", "check", table, "--schema", "s.yaml", "--json")
    assert code == 0
    (broken,) = json.loads(out)["violations"]
    charges = pl.read_csv(tmp_path / "t.csv").filter((pl.col("MonthlyCharges") >= 60) & (pl.col("contract") != "Monthly"))
    assert broken["column"] == "contract"
    assert broken["rule"] == "is expected to be 'Monthly' where MonthlyCharges >= 60 or contract is missing"
    assert broken["count"] == charges.height > 0
    (tmp_path / "s.yaml").write_text(text + rule.replace(">= 60", "> = 60"), encoding="utf-8")
    code, _, err = run("schema", "check", table, "--schema", "s.yaml")
    assert code == 2
    assert "rules, number 1: formula 'MonthlyCharges > = 60 or contract is missing' cannot be read at character 18: " in err


@pytest.mark.parametrize(
    ("column", "values", "label", "change"),
    [
        ("card", ["Blue", "Gold"], "Card: Gold", {"set": {"card": "Gold"}}),
        ("price", [10.5, 20.5, 30.25], "Price: 10% less", {"scale": {"price": 0.9}}),
        ("height", [150, 160, 170], "An offer", {"set": {"COLUMN": "VALUE"}}),
    ],
)
def test_a_draft_without_actions_shows_how_one_is_written(
    run: Run, tmp_path: Path, column: str, values: list[object], label: str, change: dict[str, object]
) -> None:
    left = ["Yes" if i * 7 % 10 < 3 else "No" for i in range(200)]
    made = {"id": [f"c{i}" for i in range(200)], column: [values[i * 11 % 13 % len(values)] for i in range(200)], "left": left}
    pl.DataFrame(made).write_csv(tmp_path / "plain.csv")
    _infer(run, "plain.csv")
    text = (tmp_path / "s.yaml").read_text(encoding="utf-8")
    described = Schema.from_yaml(text)
    assert described.actions == ()
    example = text[text.index("# What the desk may offer") :].splitlines()[1:]
    (action,) = yaml.safe_load("\n".join(line.removeprefix("# ") for line in example))["actions"]
    assert action == {"name": "an_offer", "label": label, **change, "cost": 50}
    if "COLUMN" not in str(change):  # taken out of its comment, it works
        uncommented = text.replace("\n".join(example), "\n".join(line.removeprefix("# ") for line in example))
        assert [one.label for one in Schema.from_yaml(uncommented).actions] == [label]
