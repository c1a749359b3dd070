"""Exports: what is in the file, who may take what, and that nothing leaves the desk without a record."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from churn.act.call_list import UPLIFT, Terms
from churn.act.export import ENDINGS, File, Origin, export, filter_in_words, info, recorded, write
from churn.base.expected_value import Assumptions
from churn.base.groups import BAND, Filter
from churn.base.records import Records
from churn.data.schema import Schema
from churn.errors import ExportRefused, RecordsUnavailable
from churn.principal import CONTACTS, Principal
from churn.settings import Settings

from ..base.postgres import postgres, server  # noqa: F401 - fixtures
from .listed import schema_of

MAY, MAY_NOT = Principal("ann", frozenset({CONTACTS})), Principal("bob")
ORIGIN = Origin(
    title="=cmd|' /C calc'!A0 / Autumn",
    filter=Filter.of({"plan": ["A"], BAND: ["High"]}),
    model="v3",
    scoring="s7",
    as_of=date(2026, 11, 1),
    terms=Terms(offer=20.0, capacity=100, budget=500.0),
    assumptions=Assumptions(),
    simulated=False,
)
ROWS = pl.DataFrame(
    {
        "rank": [1, 2],
        "customer": ["=1+1", "00042"],
        "__risk__": [0.876543, 0.5],
        "band": ["Very high", "High"],
        "value": [600.0, 480.129],
        "expected_value": [30.0, 12.5],
        "reason_1": ["Only 1 month: +25 points", "@SUM(A1)"],
        "reason_2": [None, "Plan A: +3 points"],
        "reason_3": pl.Series([None, None], dtype=pl.String),
        "action": ["Plan B", None],
        "owner": ["+Max", "Eva"],
        "same_phone": [None, "K7, K9"],
    }
)
CONTACT_DATA = pl.DataFrame(
    {
        "id": ["=1+1", "00042"],
        "name": ["-Anna Vogel", "Otto Weiß"],
        "phone": ["030 23125001", "030 23125002"],
        "email": ["anna@example.org", "o@example.org"],
    }
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    made = Records(Settings(home=tmp_path, database=url))
    yield made
    made.close()


def _export(records: Records, schema: Schema | None = None, **given: Any) -> File:
    asked = {"kind": "xlsx", "unmasked": False, "principal": MAY, "contacts": CONTACT_DATA, "origin": ORIGIN, **given}
    principal, contacts, origin = asked.pop("principal"), asked.pop("contacts"), asked.pop("origin")
    return export(records, ROWS, contacts, schema or schema_of(), origin, principal, **asked)


def _cells(file: File) -> list[dict[str, Any]]:
    sheet = openpyxl.load_workbook(io.BytesIO(file.content)).worksheets[0]
    header, *lines = sheet.iter_rows(values_only=True)
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_workbook_for_people(records: Records) -> None:
    first, second = _cells(_export(records, unmasked=True))
    assert first["Customer"] == "=1+1"
    assert second["Customer"] == "00042"
    assert (first["Name"], first["Phone"], first["E-mail"]) == ("-Anna Vogel", "+493023125001", "anna@example.org")
    assert (first["Risk"], second["Worth ($)"], first["A call is worth ($)"]) == (0.8765, 480.13, 30.0)
    assert (first["Reason 1"], first["Reason 2"], second["Reason 1"]) == ("Only 1 month: +25 points", None, "@SUM(A1)")
    assert (first["What could help most"], second["Same phone"], first["Owner"]) == ("Plan B", "K7, K9", "+Max")
    assert "Note" not in first


def test_a_list_ranked_by_whom_calling_changes_says_so_and_from_which_models(records: Records) -> None:
    origin = replace(ORIGIN, terms=Terms(offer=20.0, ranked_by=UPLIFT, learnt="uplift/summer-save/1"))
    file = _export(records, origin=origin)
    told = dict(openpyxl.load_workbook(io.BytesIO(file.content)).worksheets[1].iter_rows(min_row=2, values_only=True))
    assert told["Ranked by"] == "Whom calling changes (uplift/summer-save/1)"
    assert json.loads(file.manifest.plan)["ranked_by"] == "uplift"
    assert json.loads(file.manifest.plan)["learnt"] == "uplift/summer-save/1"


def test_the_sheet_beside_it_says_what_the_list_rests_on(records: Records) -> None:
    file = _export(records)
    book = openpyxl.load_workbook(io.BytesIO(file.content))
    assert book.sheetnames[1] == "About this list"
    told = dict(book.worksheets[1].iter_rows(min_row=2, values_only=True))
    assert told["List"] == ORIGIN.title
    assert told["Filter"] == "Risk band: High; Plan: A"
    assert (told["Model"], told["Scoring"], told["Scored as of"]) == ("v3", "s7", "1 Nov 2026")
    assert (told["Offer"], told["Capacity"], told["Budget"]) == ("$20", "100", "$500")
    assert told["Kept uncalled"].startswith("Nobody yet: this file holds everybody on the list. A campaign made of it draws 10%")
    lines = info(replace(ORIGIN, campaign="c"), schema_of(), id="1", who="ann", at=datetime.now(UTC), rows=9, unmasked=False)
    assert dict(lines.iter_rows())["Kept uncalled"] == "10% of the list, who are not in this file"
    assert told["Ranked by"] == "What a call is worth"
    assert told["Offers that work (assumption)"].startswith("30%. Of those about to leave")
    assert (told["Contact data"], told["Exported by"], told["Export"]) == ("masked", "ann", file.manifest.id)


def test_contact_data_is_masked_unless_asked_for(records: Records) -> None:
    for kind in ("xlsx", "csv"):
        file = _export(records, kind=kind, principal=MAY_NOT)
        text = str(_cells(file)) if kind == "xlsx" else file.content.decode()
        assert "•••" in text
        assert not re.search("23125001|Vogel|anna@", text)
        assert not file.manifest.unmasked


def test_unmasked_only_with_the_role_and_refused_before_anything_is_recorded(records: Records) -> None:
    for asked in ({"unmasked": True}, {"kind": "dialler"}, {"kind": "csv", "unmasked": True}):
        with pytest.raises(ExportRefused, match="only with the role 'contacts', which bob does not have"):
            _export(records, principal=MAY_NOT, **asked)
    assert recorded(records) == ()
    assert _export(records, unmasked=True).manifest.unmasked


def test_csv_as_asked_for(records: Records) -> None:
    content = _export(records, kind="csv", delimiter=";", marked=False, unmasked=True).content.decode()
    header, first, second = csv.reader(io.StringIO(content), delimiter=";")
    row = dict(zip(header, first, strict=True))
    assert (row["Customer"], row["Name"], row["Phone"]) == ("'=1+1", "'-Anna Vogel", "+493023125001")
    assert dict(zip(header, second, strict=True))["Customer"] == "00042"
    assert _export(records, kind="csv").content.startswith(b"\xef\xbb\xbf")


def test_a_dialler_takes_digits_only(records: Records) -> None:
    odd = CONTACT_DATA.with_columns(phone=pl.Series(["0049 (0)30 23125-001", "unknown"]))
    file = _export(records, kind="dialler", contacts=odd)
    assert file.content == b"493023125001\n"
    assert (file.manifest.rows, file.manifest.unmasked, Path(file.manifest.name).suffix) == (1, True, ".txt")
    with pytest.raises(ExportRefused, match="needs phone numbers"):
        _export(records, kind="dialler", contacts=None)


@pytest.mark.parametrize("kind", ENDINGS)
def test_what_is_recorded(kind: Any, records: Records) -> None:
    file = _export(records, kind=kind, unmasked=True)
    (found,) = recorded(records)
    assert found == file.manifest
    assert found.sha256 == hashlib.sha256(file.content).hexdigest()
    assert (found.who, found.kind, found.rows, found.model, found.scoring, found.unmasked) == ("ann", kind, 2, "v3", "s7", True)
    assert json.loads(found.filter) == {"plan": ["A"], BAND: ["High"]}
    plan = {"offer": 20.0, "capacity": 100, "budget": 500.0, "holdout": 0.1}
    assert json.loads(found.plan) == plan | {"ranked_by": "expected value", "learnt": ""}
    assert json.loads(found.assumptions)["alpha"] == 6.0


def test_without_a_record_nothing_is_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordsUnavailable):
        _export(Records(Settings(home=tmp_path, database="sqlite:///file/records.sqlite")))


def test_simulated_customers_say_so_everywhere(records: Records) -> None:
    from dataclasses import replace

    file = _export(records, origin=replace(ORIGIN, simulated=True))
    assert {row["Note"] for row in _cells(file)} == {"Simulated data"}
    assert file.manifest.name.startswith("simulated-call-list-2026-11-01-")


def test_a_column_of_the_table_may_be_called_like_one_of_ours() -> None:
    schema = schema_of()
    assert filter_in_words(Filter.of({"plan": ["A", "B"], "gone": ["x"]}), schema) == ["gone: x", "Plan: A or B"]


# -- killed in the middle --------------------------------------------------------

_CHILD = """
import sys
from pathlib import Path
from churn.base.records import Records
from churn.settings import Settings
from tests.act.test_export import _export
from churn.act.export import write
home = Path(sys.argv[1])
records = Records(Settings(home=home))
print("ready", flush=True)
for number in range(10_000):
    file = _export(records, kind="csv", unmasked=True)
    write(file, home / "out" / file.manifest.name)
"""


@pytest.mark.system
def test_killed_at_any_moment_no_file_is_without_its_record_and_none_has_two(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    repository = Path(__file__).resolve().parents[2]
    for turn in range(4):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], cwd=repository, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.1 + 0.07 * turn)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    found = recorded(Records(Settings(home=tmp_path)), most=100_000)
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "out").glob("[!.]*")]
    assert len(sums) > 4
    by_name = {one.name: one.sha256 for one in found}
    assert len(by_name) == len(found) == len({one.id for one in found})
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "out").glob("[!.]*")}.items() <= (
        by_name.items()
    )
    assert len(found) <= len(sums) + 4  # at most the one that each was killed at


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = _export(Records(Settings(home=tmp_path)))
    write(file, tmp_path / "list.xlsx")
    assert (tmp_path / "list.xlsx").read_bytes() == file.content
    assert not list(tmp_path.glob(".*xlsx"))
