"""Bad input of every kind, through the command line: one line that says what is wrong, exit code 2, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from churn.data.schema import Feature, Level, Schema

from .conftest import QUICK, Desk, customers

INFER = ("schema", "infer", "x", "--key", "customer_id", "--target", "left", "-o", "new.yaml")
TRAIN = ("train", "x", "--schema", "s.yaml", *QUICK, "--promote")
OUT = ("score", "x", "--out", "scored.csv")
PUBLISH = ("score", "x", "--publish", "--as-of", "2026-11-01")
EARLIER = "what an earlier run has written"


def refused(desk: Desk, *arguments: str) -> str:
    """What the command says in its one line; it has changed no file but the cache, nor begun one."""
    (desk.home / "scored.csv").write_text(EARLIER)
    before = _kept(desk)
    line = desk.run(*arguments).line
    assert _kept(desk) == before
    return line


def _kept(desk: Desk) -> dict[str, str]:
    return {name: total for name, total in desk.sums().items() if not name.startswith(".cache")}


# -- tables ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """A spoilt table, and what each command says of it; None where it can be used all the same."""

    make: Callable[[pl.DataFrame], bytes]
    infer: str | None
    train: str | None
    score: str | None


def _csv(table: pl.DataFrame) -> bytes:
    return table.write_csv().encode()


def _every(make: Callable[[pl.DataFrame], bytes], says: str) -> Bad:
    return Bad(make, says, says, says)


def _cell(column: str, row: int, value: str) -> Callable[[pl.DataFrame], bytes]:
    """One cell of another value; rows count from 1."""
    place = pl.int_range(1, pl.len() + 1) == row
    return lambda table: _csv(table.with_columns(pl.when(place).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)))


def _all(column: str, value: str) -> Callable[[pl.DataFrame], bytes]:
    return lambda table: _csv(table.with_columns(pl.lit(value).alias(column)))


TWO_KEYS = "column 'customer_id' must not repeat that of row 1; row 701 has 'C00000' (2 rows in all)"
TWO_CLASSES = "target column 'left' must have two classes; every row has "
BAD = {
    "wrong delimiter": _every(
        lambda table: _csv(table).replace(b",", b"^"), "x has one column only; its lines look separated by '^', but commas,"
    ),
    "two delimiters": _every(
        lambda table: b"\n".join(
            line.replace(b",", b";") if number % 2 else line for number, line in enumerate(_csv(table).splitlines())
        ),
        "x: line 2 has 1 field where the header has 8",
    ),
    "a row too short": _every(
        lambda table: _csv(table).replace(b",Yes\n", b"\n", 1), "x: line 2 has 7 fields where the header has 8"
    ),
    "column missing": Bad(
        lambda table: _csv(table.drop("contract")),
        None,
        "column 'contract' is not in the table",
        "column 'contract' is not in the table",
    ),
    "column misspelt": Bad(
        lambda table: _csv(table.rename({"tenure": "Tenur"})),
        None,
        "column 'tenure' is not in the table; did you mean 'Tenur'?",
        "column 'tenure' is not in the table; did you mean 'Tenur'?",
    ),
    "outcome missing": Bad(
        lambda table: _csv(table.drop("left")),
        "target column 'left' is not in the table; its columns are: customer_id, name,",
        "column 'left' is not in the table",
        None,
    ),
    "key missing": Bad(
        lambda table: _csv(table.drop("customer_id")),
        "key column 'customer_id' is not in the table; its columns are: name,",
        "column 'customer_id' is not in the table",
        "column 'customer_id' is not in the table",
    ),
    # a customer may have several rows in training, where they stay in one fold
    "keys twice": Bad(lambda table: _csv(pl.concat([table, table.head(2)])), None, None, TWO_KEYS),
    "a key empty": Bad(
        _cell("customer_id", 3, ""), None, "column 'customer_id' is the key and must not be empty; row 3 has ''", "row 3 has ''"
    ),
    "text in a number": Bad(
        _cell("tenure", 18, "twelve"), None, "column 'tenure' must be a number; row 18 has 'twelve'", "row 18 has 'twelve'"
    ),
    "a number below its limit": Bad(
        _cell("tenure", 18, "-3"), None, "column 'tenure' must be ≥ 0; row 18 has '-3'", "must be ≥ 0; row 18 has '-3'"
    ),
    "dates in a number": Bad(
        _all("tenure", "2024-01-31"),
        None,
        "column 'tenure' must be a number; row 1 has '2024-01-31' (700 rows in all)",
        "column 'tenure' must be a number; row 1 has '2024-01-31' (700 rows in all)",
    ),
    "an outcome of neither class": Bad(
        _cell("left", 4, "perhaps"),
        "target column 'left' must have two classes; it has",
        "column 'left' must be 'Yes' or 'No'; row 4 has 'perhaps'",
        "column 'left' must be 'Yes' or 'No'; row 4 has 'perhaps'",
    ),
    "one class": Bad(
        _all("left", "No"),
        f"{TWO_CLASSES}'No', so nothing can be learnt",
        "target 'left': training needs at least 10 rows of customers who left ('Yes'); there are 0 of 700",
        None,
    ),
    "one row": Bad(
        lambda table: _csv(table.head(1)),
        TWO_CLASSES,
        "target 'left': training needs at least 50 rows with a known outcome; there are 1",
        None,
    ),
    "a header only": _every(lambda table: _csv(table.clear()), "x has a header but no rows"),
    "empty": _every(lambda _: b"", "x is empty"),
    "blank": _every(lambda _: b"\n \n", "x is empty"),
    "column twice": _every(
        lambda table: _csv(table).replace(b"online", b"tenure"), "x: column name 'tenure' comes twice, as columns 4 and 7; rename"
    ),
    "a name like a pattern": _every(
        lambda table: _csv(table).replace(b"online", b"^.*$"), "x: column name '^.*$' cannot be used, as it must not be '*', nor"
    ),
    "a quotation mark left open": _every(
        lambda table: _csv(table).replace(b"C00003", b'"C00003'), "x: a quotation mark opened on line 5 seems never to be closed"
    ),
    "no known encoding": _every(
        lambda table: _csv(table).replace(b"C00003", b"C\x81\x8d\x02\xff"),
        "x is no UTF-8, nor another encoding that can be recog",
    ),
    "null bytes": _every(
        lambda _: bytes(range(256)) * 4, "x is no text table: it holds null bytes; CSV, Parquet and XLSX can be read"
    ),
    "JSON": _every(lambda table: table.write_json().encode(), "x is no table: it starts like JSON or HTML"),
    "compressed": _every(lambda _: b"\x1f\x8b\x08\x00 something", "x cannot be read: it is compressed (gzip); unpack it first"),
    "a parquet file cut short": _every(lambda _: b"PAR1 and no more", "x is no Parquet file, or a damaged one"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table(trained: Desk, case: str) -> None:
    bad = BAD[case]
    (trained.home / "x").write_bytes(bad.make(customers().cast(pl.String)))
    for command, says in ((INFER, bad.infer), (TRAIN, bad.train), (OUT, bad.score), (PUBLISH, bad.score)):
        if says is not None:
            assert says in refused(trained, *command)
    if bad.score is None:  # last, as it does write
        trained.done(*OUT)
        assert (trained.home / "scored.csv").read_text() != EARLIER


def test_no_table(trained: Desk) -> None:
    assert refused(trained, "score", "none.csv", "--publish") == "none.csv: no such file"
    assert refused(trained, "score", ".", "--publish") == ". is a folder; name one file in it"
    assert "not fetched from the web" in refused(trained, "score", "https://example.org/t.csv", "--publish")
    assert "a database needs a query" in refused(trained, "score", "sqlite:///none.db", "--publish")
    database = ("score", "sqlite:///none.db", "--publish", "--query", "select * from t")
    assert refused(trained, *database) == "sqlite:///none.db: no such file"
    (trained.home / "none.db").touch()
    assert refused(trained, *database) == "sqlite:///none.db: no such table: t"


def test_an_old_encoding_is_read_as_it_was_meant(trained: Desk) -> None:
    table = customers().with_columns(name=pl.col("name").str.replace("Ann", "Zoë"))
    (trained.home / "latin.csv").write_bytes(table.write_csv().encode("latin-1"))
    trained.done("score", "latin.csv", "--publish")
    (place,) = (trained.home / "models" / "default" / "scorings").glob(f"{trained.pointer['scoring']}/contacts.parquet")
    assert "Zoë Smith 0" in pl.read_parquet(place)["name"]


def test_columns_that_say_nothing_are_left_out_with_the_reason(desk: Desk) -> None:
    rows = pl.int_range(pl.len())
    columns = {
        "nothing": pl.lit(""),
        "same": pl.lit("x"),
        "since": pl.format("2024-{}-05", (rows % 12 + 1).cast(pl.String).str.zfill(2)),
    }
    customers().with_columns(**columns, code=pl.format("c{}", rows)).write_csv(desk.home / "odd.csv")
    infer = ("schema", "infer", "odd.csv", "--key", "customer_id", "--target", "left")
    decisions = {
        (one["column"], one["decision"], one["evidence"][:40])
        for one in desk.done(*infer, "--json").json["decisions"]
        if one["column"] in (*columns, "code")
    }
    assert decisions == {
        ("nothing", "left out: empty", "no row has a value"),
        ("same", "left out: constant", "every row has 'x'"),
        ("since", "left out: date", "dates from 2024-01-05 to 2024-12-05; a n"),
        ("code", "left out: identifier", "700 different values in 700 rows"),
    }


def test_a_column_of_10_000_levels(desk: Desk) -> None:
    rows = 12_000
    town = pl.Series([f"Town {number * 7919 % 10_000}" for number in range(rows)])
    table = pl.concat([customers(), *(customers(seed=seed) for seed in range(2, 19))]).head(rows)
    table = table.with_columns(customer_id=pl.format("C{}", pl.int_range(pl.len())), town=town)
    table.write_csv(desk.home / "towns.csv")
    desk.done("schema", "infer", "towns.csv", "--key", "customer_id", "--target", "left", "-o", "towns.yaml")
    schema = Schema.load(desk.home / "towns.yaml")
    assert [item.why for item in schema.excluded if item.name == "town"] == ["too many levels"]
    levels = tuple(Level(value=f"Town {number}") for number in range(10_000))
    forced = (Feature(name="town", kind="category", label="Town", levels=levels), *schema.features)
    (desk.home / "forced.yaml").write_text(schema.model_copy(update={"features": forced}).to_yaml())
    says = refused(desk, "train", "towns.csv", "--schema", "forced.yaml", *QUICK)
    assert says.startswith("column 'town' has 10,000 levels; at most 1,000 can be learnt from")


def test_what_can_be_used_all_the_same_is_remarked_on(trained: Desk) -> None:
    strange = customers().with_columns(tenure=pl.lit(""), contract=pl.format("Plan {}", pl.int_range(pl.len())))
    strange.write_csv(trained.home / "x")
    empty = "Column 'tenure' has no value in any row, which it has where the model was trained"
    unknown = "Column 'contract': the schema does not know 700 of its 700 values, such as 'Plan 0'"
    shown = trained.done(*OUT).out
    assert empty in shown
    assert unknown in shown
    told = trained.done(*OUT, "--json").json["warnings"]
    assert [line[:50] for line in told[:2]] == [empty[:50], unknown[:50]]
    trained_on = trained.done("train", "x", "--schema", "s.yaml", *QUICK).out
    assert "Column 'tenure' has no value in the rows trained on" in trained_on
    assert unknown in trained_on


def test_what_was_never_seen_is_scored_with_a_warning(trained: Desk) -> None:
    rows = pl.int_range(1, pl.len() + 1)
    strange = customers().with_columns(
        tenure=pl.when(rows == 18).then(190).otherwise("tenure"),
        MonthlyCharges=pl.when(rows == 7).then(1e12).otherwise("MonthlyCharges"),
        contract=pl.when(rows == 5).then(pl.lit("Ten years")).otherwise("contract"),
    )
    strange.drop("left").write_csv(trained.home / "x")
    shown = trained.done(*OUT).out
    told = trained.done(*OUT, "--json").json["warnings"]
    assert [line in shown for line in told] == [True] * 3
    values = {"MonthlyCharges": "1000000000000 in row 7", "tenure": "190 in row 18", "contract": "'Ten years' in row 5"}
    for line, (column, value) in zip(told, values.items(), strict=True):
        assert line.startswith(f"Column '{column}': ")
        assert f"such as {value}" in line
    assert "so far outside what was seen that a mistake is likely" in told[0]


@pytest.mark.parametrize(
    ("cell", "rule"), [("1e308", "must be below 9,007,199,254,740,992 in size"), ("1e400", "must be a number")]
)
def test_a_number_beyond_all_measure_reaches_no_sum(trained: Desk, cell: str, rule: str) -> None:
    (trained.home / "x").write_bytes(_cell("MonthlyCharges", 18, cell)(customers().cast(pl.String)))
    says = f"column 'MonthlyCharges' {rule}; row 18 has '{cell}'"
    for command in (TRAIN, OUT, PUBLISH):
        assert refused(trained, *command) == says
    ran = _command(trained, *INFER)
    assert (ran.returncode, ran.stderr) == (0, "")  # no warning of a library's either
    assert says in ran.stdout


def test_whole_numbers_too_large_to_calculate_with_are_no_number_to_train_on(desk: Desk) -> None:
    big = customers().with_columns(big=pl.lit(2**63 - 1, pl.Int64) - pl.int_range(pl.len()))
    big.write_csv(desk.home / "x")
    ran = _command(desk, *INFER)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "whole numbers of 19 digits, such as 92233720368547" in ran.stdout
    text = (desk.home / "new.yaml").read_text()
    numbered = text.replace("features:\n", "features:\n  - {name: big, kind: number, label: Big}\n")
    (desk.home / "s.yaml").write_text(numbered)
    says = refused(desk, *TRAIN)
    assert says == "column 'big' must be below 9,007,199,254,740,992 in size; row 1 has '9223372036854775807' (700 rows in all)"


def test_numbers_that_differ_too_little_for_their_size_are_named_before_training(desk: Desk) -> None:
    customers().with_columns(big=pl.lit(2**53 - 1) - 3 * pl.int_range(pl.len())).write_csv(desk.home / "x")
    ran = _command(desk, *INFER)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "left out: identifier" in ran.stdout
    text = (desk.home / "new.yaml").read_text()
    (desk.home / "s.yaml").write_text(text.replace("features:\n", "features:\n  - {name: big, kind: number, label: Big}\n"))
    says = _command(desk, *TRAIN).stderr.splitlines()
    assert says[-1].startswith("churn: column 'big': its values, from 90071992547388")
    assert says[-1].endswith("differ by too little for their size to be calculated with; leave it out of the schema")
    assert not any("arning" in line or "sklearn" in line for line in says)


def test_keys_that_repeat_are_remarked_on_in_training(desk: Desk) -> None:
    pl.concat([customers(), customers().head(2)]).write_csv(desk.home / "x")
    shown = desk.done("train", "x", "--schema", "s.yaml", *QUICK).out
    assert "Column 'customer_id': the 702 rows have 700 keys only; row 701 repeats 'C00000'." in shown


def test_a_refusal_says_what_mends_it(trained: Desk) -> None:
    customers().with_columns(MonthlyCharges=pl.format("${}", "MonthlyCharges")).write_csv(trained.home / "x")
    for command in (TRAIN, OUT):
        assert refused(trained, *command).endswith("; `churn schema check --fix` puts all of that right without loss")


def test_simulated_tables_stay_out_of_a_real_workspace(trained: Desk) -> None:
    customers().write_parquet(trained.home / "x", metadata={"simulated": "true"})
    for command in (TRAIN, OUT, PUBLISH, ("outcomes", "import", "x"), ("promote", "v1", "--table", "x")):
        assert refused(trained, *command).startswith("x is marked as simulated data, and the workspace 'default' holds real data")
    trained.done(*INFER)  # looking at it mixes nothing


def test_a_base_that_shrinks_to_one_customer_is_pointed_out(trained: Desk) -> None:
    customers(1).write_csv(trained.home / "x")
    shown = trained.done(*PUBLISH).out
    assert "1 customer scored" in shown
    assert "The desk showed 700 customers before. Were they not meant to go: churn rollback" in shown
    trained.done("rollback")
    assert "700 customers" not in trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-01", "--json").out


# -- schemas and settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "kind: number",
            "kind: numbre",
            "bad.yaml: feature 'tenure', kind: must be 'number', 'category' or 'flag', not 'numbre'",
        ),
        ("key: customer_id", "colour: red", "bad.yaml: key: is missing; colour: there is no such field"),
        ("key: customer_id", "key: tenure", "bad.yaml: key column 'tenure' cannot be a feature too"),
        ("key: customer_id", "key: [", "bad.yaml, line "),
        ("format: 1", "format: 9", "bad.yaml: format 9 is not known; this version reads format 1"),
        ("positive: 'Yes'", "positive: Gone", "column 'left' must be 'Gone' or 'No'; row "),
    ],
)
def test_a_malformed_schema(desk: Desk, old: str, new: str, says: str) -> None:
    text = (desk.home / "s.yaml").read_text()
    assert old in text
    (desk.home / "bad.yaml").write_text(text.replace(old, new))
    assert refused(desk, "train", "t.csv", "--schema", "bad.yaml", *QUICK).startswith(says)


def test_no_schema(desk: Desk) -> None:
    says = refused(desk, "train", "t.csv", "--schema", "none.yaml", *QUICK)
    assert says == "no schema at none.yaml; draft one with: churn schema infer TABLE --key … --target …"
    assert refused(desk, "train", "t.csv", "--schema", "t.csv", *QUICK).startswith("t.csv: a schema is a table of names")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gate_eec: 0.1", "unknown setting 'gate_eec' in config.yaml; did you mean 'gate_ece'?"),
        ("colour: red", "unknown setting 'colour' in config.yaml; the settings are: address, "),
        ("gate_ece: much", "setting 'gate_ece' in config.yaml must be a number, not 'much'"),
        (
            "workspaces: {default: {port: 99999}}",
            "setting 'port' in config.yaml, workspace 'default' must be from 1 to 65535, not",
        ),
        ("workspace: ../../etc", "setting 'workspace' must be a name of letters, digits, '-', '_' or '.', not '../../etc'"),
        ("store: models/demo", "setting 'store' is 'models/demo', which belongs to the demo workspace; choose another place"),
        ("store: ftp://desk", "setting 'store' must be a folder, file://… or s3://bucket/prefix, not 'ftp://desk'"),
    ],
)
def test_bad_settings(trained: Desk, text: str, says: str) -> None:
    trained.settings(text)
    for command in (("models",), PUBLISH, ("rollback",)):
        assert refused(trained, *command).startswith(says)


def test_broken_settings_name_the_file_and_the_line(trained: Desk) -> None:
    path = trained.home / "config.yaml"
    trained.settings("gate_ece: 0.1\nport: [\n")
    assert refused(trained, "models").startswith(f"{path}, line 3 is no YAML: ")
    path.write_bytes(b"store: \xff\n")
    assert refused(trained, "models") == f"{path} is no text in UTF-8; save it as UTF-8"


def test_bad_environment_and_home(trained: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHURN_PROT", "8502")
    assert refused(trained, "models") == "unknown setting 'prot' in the environment; did you mean 'port'?"
    monkeypatch.delenv("CHURN_PROT")
    assert refused(trained, "--home", str(tmp_path / "none"), "models").startswith(f"there is no folder {tmp_path / 'none'}")


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("score", "t.csv"), "say where the result goes: --out FILE, --publish, or both"),
        (("score", "t.csv", "--out", "x.doc"), "x.doc: the name must end in .csv, .xlsx or .parquet, not in '.doc'"),
        (("score", "t.csv", "--out", "x"), "x: the name must end in .csv, .xlsx or .parquet, not in nothing"),
        (("score", "t.csv", "--out", "."), ". is a folder; name a file in it that ends in .csv, .xlsx or .parquet"),
        (("score", "t.csv", "--out", "models/../t.csv"), "models/../t.csv is the table that is read; it would be lost"),
        (
            ("score", "t.csv", "--out", "t.csv/x.csv"),
            "t.csv/x.csv cannot be written (Not a directory): a file stands where a folder is need",
        ),
        (("score", "t.csv", "--out", "x.csv", "--model", "v9"), "there is no model v9 in "),
        (("score", "t.csv", "--out", "x.csv", "--model", "../v1"), "there is no model '../v1'; names look like v12"),
        (("promote", "v9"), "there is no model v9 in "),
        (("promote", "v1"), "model v1 is the champion already"),
        (("promote", "v1", "--despite-gates"), "--despite-gates needs --reason: the history must say why"),
        (
            ("train", "t.csv", "--schema", "s.yaml", "--candidates", "xgboost"),
            "candidate 'xgboost' is not known; there are: logis",
        ),
        (
            ("train", "t.csv", "--schema", "s.yaml", "--trials", "3", "--minutes", "1"),
            "--trials and --minutes exclude each other",
        ),
        (("outcomes", "import", "t.csv"), "column 'known_at' is not in the outcomes; they have 'customer_id', "),
        (("outcomes", "import", "none.csv"), "none.csv: no such file"),
    ],
)
def test_bad_arguments(trained: Desk, arguments: tuple[str, ...], says: str) -> None:
    assert refused(trained, *arguments).startswith(says)


@pytest.mark.parametrize("arguments", [("frobnicate",), ("score",), ("train", "t.csv", "--schema", "s.yaml", "--trials", "none")])
def test_a_call_that_cannot_be_understood_points_to_help(trained: Desk, arguments: tuple[str, ...]) -> None:
    ran = trained.run(*arguments)
    assert ran.code == 2
    assert "--help" in ran.err
    assert ran.out == ""


# -- stores ------------------------------------------------------------------------------------------------------------


def test_no_champion(desk: Desk) -> None:
    for command in (("score", "t.csv", "--publish"), ("score", "t.csv", "--out", "x.csv")):
        says = refused(desk, *command)
        assert says.startswith(f"there is no champion in {desk.home / 'models' / 'default'}; train one: churn train TABLE")
    assert refused(desk, "outcomes", "import", "t.csv").startswith("there is no champion, so nothing says which column")
    assert refused(desk, "rollback") == "there is nothing to roll back: no model was promoted yet"
    assert "No model in" in desk.done("models").out
    assert not (desk.home / "models").exists()  # looking makes nothing


def test_a_store_that_does_not_answer(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("CHURN_S3_ATTEMPTS", "1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CHURN_S3_ENDPOINT", address)
        for command in (("models",), ("score", "t.csv", "--publish")):
            says = refused(trained, *command, "--store", "s3://desk/shop")
            assert says.startswith("s3://desk/shop/workspace.json: no connection; check the address and the network")
            assert address in says
        ran = trained.run("doctor", "--store", "s3://desk/shop", "--json")
        assert ran.code == 1
        assert [finding["good"] for finding in ran.json if finding["what"] == "store"] == [False]


def test_no_place_for_the_cache(trained: Desk) -> None:
    """What needs no copy goes on; what does names the place."""
    (trained.home / ".cache").write_text("")
    assert trained.pointer["model"] == "v1"
    says = refused(trained, *OUT[:1], "t.csv", *OUT[2:])
    assert says.startswith(str(trained.home / ".cache"))
    assert says.endswith("a file stands where a folder is needed")


def test_a_file_where_the_store_should_be(trained: Desk) -> None:
    for command in (("models",), ("train", "t.csv", "--schema", "s.yaml", *QUICK)):
        says = refused(trained, *command, "--store", "s.yaml")
        assert "a file stands where a folder is needed" in says
        assert says.startswith(str(trained.home / "s.yaml"))


@pytest.mark.parametrize("how", ["altered", "cut short", "gone"])
@pytest.mark.parametrize("name", ["manifest.json", "tables.npz", "schema.json"])
def test_a_corrupt_model(trained: Desk, name: str, how: str) -> None:
    _spoil(trained.home / "models" / "default" / "models" / "v1" / name, how)
    shutil.rmtree(trained.home / ".cache", ignore_errors=True)
    place = str(trained.home / "models" / "default")
    for command in (OUT, PUBLISH):
        (trained.home / "x").write_bytes((trained.home / "t.csv").read_bytes())
        says = refused(trained, *command)
        assert place in says
        assert ".partial" not in says
        if name != "manifest.json":
            assert name in says
    assert trained.run("doctor").code == 1
    listed = trained.done("models").out
    if name == "manifest.json":
        assert "v1 cannot be used" in listed or "The champion v1 is not in" in listed
    # a new version is refused, because it cannot be held against the champion; said out loud it takes its place
    ran = trained.run(*TRAIN)
    assert "It cannot be held against the champion, which is damaged" in ran.line
    assert "churn promote VERSION --despite-gates --reason WHY" in ran.line
    trained.done("promote", "v2", "--despite-gates", "--reason", "v1 is damaged")
    assert trained.pointer["model"] == "v2"
    trained.done("score", "t.csv", "--publish")
    assert trained.run("doctor").code == 0


def test_a_corrupt_scoring_can_be_replaced(trained: Desk) -> None:
    scoring = trained.pointer["scoring"]
    _spoil(trained.home / "models" / "default" / "scorings" / scoring / "rows.parquet", "altered")
    shutil.rmtree(trained.home / ".cache", ignore_errors=True)
    assert trained.run("doctor").code == 1
    (trained.home / "x").write_bytes((trained.home / "t.csv").read_bytes())
    ran = trained.run(*TRAIN)
    assert "The customers on the desk are damaged and would be gone until scored again" in ran.line
    assert "rows.parquet was altered" in ran.line
    trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-02")
    trained.done("promote", "v2")


def test_a_good_copy_serves_while_the_store_is_away(trained: Desk) -> None:
    trained.done(*("score", "t.csv", "--out", "first.csv"))
    (trained.home / "models" / "default" / "models" / "v1" / "tables.npz").unlink()
    trained.done(*("score", "t.csv", "--out", "second.csv"))
    assert (trained.home / "first.csv").read_bytes() == (trained.home / "second.csv").read_bytes()


@pytest.mark.parametrize("name", ["pointer.json", "workspace.json"])
def test_a_corrupt_pointer(trained: Desk, name: str) -> None:
    (trained.home / "x").write_bytes((trained.home / "t.csv").read_bytes())
    _spoil(trained.home / "models" / "default" / name, "cut short")
    for command in (("models",), PUBLISH, ("rollback",)):
        says = refused(trained, *command)
        assert says.startswith(str(trained.home / "models" / "default" / name))
        assert says.endswith("restore it from a backup")


def _spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "altered" else data[: len(data) // 2])


# -- the machine -------------------------------------------------------------------------------------------------------


def test_a_schema_is_written_whole_or_not_at_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (desk.home / "link.yaml").symlink_to(desk.home / "s.yaml")
    infer = ("schema", "infer", "t.csv", "--key", "customer_id", "--target", "left", "--name", "Others", "-o")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        says = "new.yaml cannot be written (No space left on device): the disk is full; make room and try again"
        assert refused(desk, *infer, "new.yaml") == says
    desk.done(*infer, "link.yaml")
    assert (desk.home / "link.yaml").is_symlink()
    assert Schema.load(desk.home / "s.yaml").name == "Others"
    assert (desk.home / "s.yaml.bak").exists()
    pipe = _command(desk, *infer, "/dev/stdout")
    assert "name: Others" in pipe.stdout


def _command(desk: Desk, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as people call it."""
    churn = Path(sys.executable).with_name("churn")
    return subprocess.run(
        [*before, str(churn), *arguments],
        cwd=desk.home,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )


def test_a_refusal_in_a_process_of_its_own(trained: Desk) -> None:
    ran = _command(trained, "score", "none.csv", "--publish")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "churn: none.csv: no such file\n")


def test_a_reader_that_goes_away_is_no_error(trained: Desk) -> None:
    churn = Path(sys.executable).with_name("churn")
    with subprocess.Popen(
        [churn, "models", "--json"], cwd=trained.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_port_in_use(trained: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        says = refused(trained, "app", "--port", str(port))
    assert says.startswith(f"port {port} of 127.0.0.1 cannot be used (Address already in use)")
    assert "--port" in says
    trained.settings("address: 0.0.0.0")
    assert refused(trained, "app").startswith("setting 'address' is '0.0.0.0': whoever reaches it would see every customer")


_EACH = """
import contextlib, io, json, sys
from churn import cli
for arguments in json.loads(sys.argv[1]):
    sys.argv, code, out, err = ["churn", *arguments], 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def test_a_read_only_disk(trained: Desk) -> None:
    """Every command that writes says so and leaves all as it was; what only reads goes on."""
    unshare = shutil.which("unshare")
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    alone = [unshare or "", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*alone, mount, "sh", str(trained.home)], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a folder read-only")
    trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-02")
    before = trained.sums()
    refusals = {
        "new.csv": ("score", "t.csv", "--out", "new.csv"),
        "new.yaml": ("schema", "infer", "t.csv", "--key", "customer_id", "--target", "left", "-o", "new.yaml"),
        ".cache/default/": ("score", "t.csv", "--publish", "--as-of", "2026-11-09"),
        "models/default": ("train", "t.csv", "--schema", "s.yaml", *QUICK),
        "models/default/": ("rollback",),
    }
    commands = json.dumps([*refusals.values(), ("models",), ("doctor", "--json")])
    script = f'{mount} && cd "$1" && exec "$2" -c "$3" "$4"'
    ran = subprocess.run(
        [*alone, script, "sh", str(trained.home), sys.executable, _EACH, commands],
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=True,
    )
    *refused_, models, doctor = [json.loads(line) for line in ran.stdout.splitlines()]
    for place, (code, _, err) in zip(refusals, refused_, strict=True):
        assert code == 2
        (line,) = err.splitlines()
        assert line.startswith("churn: "), line
        assert place in line
        assert "Read-only file system" in line
    assert models[0] == 0
    assert "champion  v1" in models[1]
    assert [finding["good"] for finding in json.loads(doctor[1]) if finding["what"] == "store"] == [False]
    assert trained.sums() == before
