"""The worklist: a stale edit is refused and told, a filled file is taken once and whole, nothing is lost, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from typing import Any

import polars as pl
import pytest

from churn.act import campaigns, worklist
from churn.act.campaigns import CALL, STAGES
from churn.act.worklist import Member, edit, in_words, take
from churn.base.records import Records
from churn.data import spreadsheet
from churn.data.source import parse_table
from churn.errors import CampaignRefused, RecordsConflict
from churn.settings import Settings

from ..base.postgres import postgres, server  # noqa: F401 - fixtures
from .hand_made import START, listed, made, records, running  # noqa: F401 - fixtures

FORK = multiprocessing.get_context("fork")
WRITERS, TURNS = 20, 5  # a hundred edits in all


def first(records: Records, id: str = "summer-save") -> Member:  # noqa: F811
    return worklist.listed(records, id, limit=1)[0]


def change(records: Records, member: Member, who: str = "ann", **changes: Any) -> Member:  # noqa: F811
    return edit(records, "summer-save", member.customer, version=member.version, changes=changes, who=who, at=START)


def filled(**columns: Any) -> pl.DataFrame:
    """A file of members as nobody had changed them yet."""
    return pl.DataFrame({**columns, "Version": [1] * len(next(iter(columns.values())))})


# -- one edit ------------------------------------------------------------------


def test_an_edit_is_kept_and_told(records: Records) -> None:  # noqa: F811
    running(records)
    before = first(records)
    after = change(records, before, stage="Offered", reason="  wants  a discount ", owner="bob", due=date(2026, 7, 9))
    assert (after.stage, after.reason, after.owner, after.due) == ("offered", "wants a discount", "bob", date(2026, 7, 9))
    assert (after.version, after.contacted) == (2, START)
    assert first(records) == after
    lines = worklist.history(records, "summer-save", customer=before.customer)
    assert {(line.field, line.before, line.after, line.who, line.source, line.version) for line in lines} == {
        ("stage", "to call", "offered", "ann", "page", 2),
        ("reason", None, "wants a discount", "ann", "page", 2),
        ("owner", before.owner, "bob", "ann", "page", 2),
        ("due", None, "2026-07-09", "ann", "page", 2),
    }
    assert "Due date: – → 9 Jul 2026" in [in_words(line) for line in lines]


def test_a_stale_edit_is_refused_with_what_the_other_did(records: Records) -> None:  # noqa: F811
    running(records)
    seen = first(records)
    kept = change(records, seen, "bob", stage="saved")
    with pytest.raises(RecordsConflict, match=r"bob set the stage of customer 'C\d+' to saved, it was to call; your change was"):
        change(records, seen, "ann", stage="lost")
    with pytest.raises(RecordsConflict):
        change(records, seen, "ann", owner="ann2")  # another field: the row is not as she saw it either
    assert first(records) == kept


def test_saying_what_is_so_already_is_no_edit(records: Records) -> None:  # noqa: F811
    running(records)
    seen = first(records)
    kept = change(records, seen, "bob", stage="saved")
    assert change(records, seen, "ann", stage="saved") == kept
    assert len(worklist.history(records, "summer-save", customer=seen.customer)) == 1


def test_a_slip_can_be_taken_back(records: Records) -> None:  # noqa: F811
    running(records)
    after = change(records, change(records, first(records), stage="reached"), stage="to call")
    assert (after.stage, after.contacted, after.version) == ("to call", None, 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stage": "maybe"}, "the stage must be one of to call, reached, .*; it is 'maybe'"),
        ({"due": "tomorrow"}, "due must be a date; it is 'tomorrow'"),
        ({"reason": "x" * 201}, "at most 200 letters; it has 201"),
        ({"risk": 0.1}, "stage, reason, owner, due can be changed, not 'risk'"),
    ],
)
def test_values_that_cannot_be(records: Records, changes: dict[str, Any], says: str) -> None:  # noqa: F811
    running(records)
    seen = first(records)
    with pytest.raises(CampaignRefused, match=says):
        change(records, seen, **changes)
    assert first(records) == seen


def test_what_a_campaign_allows_follows_its_status(records: Records) -> None:  # noqa: F811
    made(records)
    one = change(records, first(records), owner="bob", due=date(2026, 7, 9))
    with pytest.raises(CampaignRefused, match="has not been started"):
        change(records, one, stage="reached")
    campaigns.start(records, "summer-save", who="ann")
    held = campaigns.members(records, "summer-save").filter(pl.col("arm") != CALL)["customer"][0]
    with pytest.raises(CampaignRefused, match="is held out and must not be called"):
        edit(records, "summer-save", held, version=1, changes={"stage": "reached"}, who="ann")
    with pytest.raises(CampaignRefused, match="customer 'X' is not in campaign"):
        edit(records, "summer-save", "X", version=1, changes={"stage": "reached"}, who="ann")
    campaigns.finish(records, "summer-save", who="ann")
    with pytest.raises(CampaignRefused, match="is finished; its worklist stays as it is"):
        change(records, one, stage="reached")
    with pytest.raises(CampaignRefused, match="is finished"):
        take(records, "summer-save", filled(Customer=["C1"], Stage=["saved"]), who="ann")


def test_the_list_is_narrowed_and_paged_by_rank(records: Records) -> None:  # noqa: F811
    running(records)
    everybody = worklist.listed(records, "summer-save", limit=100)
    assert [one.rank for one in everybody] == sorted(one.rank for one in everybody)
    assert worklist.listed(records, "summer-save", limit=7, offset=7) == everybody[7:14]
    change(records, everybody[3], stage="saved", owner="bob")
    assert [one.customer for one in worklist.listed(records, "summer-save", stages=["saved"])] == [everybody[3].customer]
    assert (
        worklist.number(records, "summer-save", owners=["bob", "ann"])
        == len([one for one in everybody if one.owner == "ann" and one is not everybody[3]]) + 1
    )
    assert worklist.owners(records, "summer-save") == ("ann", "bob")


# -- a filled file ---------------------------------------------------------------


def test_a_file_is_taken_once(records: Records) -> None:  # noqa: F811
    running(records)
    sheet = worklist.sheet(records, "summer-save")
    done = sheet.with_columns(pl.when(pl.col("Rank") <= 10).then(pl.lit("Saved")).otherwise("Stage").alias("Stage"))
    changed = done.filter(pl.col("Stage") == "Saved").height
    taken = take(records, "summer-save", done, who="bob")
    assert (taken.rows, taken.changed, taken.same, taken.refused, taken.again) == (30, changed, 30 - changed, (), False)
    after = campaigns.members(records, "summer-save")
    again = take(records, "summer-save", done, who="bob")
    assert (again.changed, again.same, again.refused, again.again) == (0, 30, (), True)
    assert campaigns.members(records, "summer-save").equals(after)
    assert {line.source for line in worklist.history(records, "summer-save") if line.customer} == {"import"}


def test_taken_again_it_does_not_undo_what_came_after(records: Records) -> None:  # noqa: F811
    running(records)
    one = first(records)
    table = filled(Customer=[one.customer], Stage=["reached"])
    take(records, "summer-save", table, who="bob")
    kept = change(records, first(records), stage="saved")
    assert take(records, "summer-save", table, who="bob").changed == 0
    assert first(records) == kept


def test_what_others_changed_meanwhile_is_not_overwritten(records: Records) -> None:  # noqa: F811
    running(records)
    sheet = worklist.sheet(records, "summer-save")
    ours, theirs, other, both = (one.customer for one in worklist.listed(records, "summer-save", limit=4))
    members = {one.customer: one for one in worklist.listed(records, "summer-save", limit=4)}
    change(records, members[theirs], "eve", stage="lost", reason="moved away")
    change(records, members[other], "eve", owner="eve")
    change(records, members[both], "eve", stage="saved")
    said = {ours: "Reached", theirs: "Saved", other: "Offered", both: "Saved"}
    done = sheet.with_columns(pl.col("Customer").replace_strict(said, default=pl.col("Stage")).alias("Stage"))
    taken = take(records, "summer-save", done, who="bob")
    assert [(one.customer, one.why) for one in taken.refused] == [
        (theirs, f"eve set the stage of customer '{theirs}' to lost, it was to call")
    ]
    now = {one.customer: (one.stage, one.owner) for one in worklist.listed(records, "summer-save", limit=4)}
    assert now[ours][0] == "reached"
    assert now[theirs][0] == "lost"
    assert now[other] == ("offered", "eve")  # another field of the same customer: both are kept
    assert now[both][0] == "saved"
    assert taken.changed == 2


def test_each_refused_row_is_named_with_its_reason(records: Records) -> None:  # noqa: F811
    running(records)
    called = [one.customer for one in worklist.listed(records, "summer-save", limit=6)]
    held = campaigns.members(records, "summer-save").filter(pl.col("arm") != CALL)["customer"][0]
    table = filled(
        customer=[called[0], "X9", None, called[1], called[2], held, called[0], called[3], called[4]],
        stage=["saved", "saved", "saved", "perhaps", "lost", "reached", "lost", None, "–"],
        due=["2026-07-09", None, None, None, "soon", None, None, "2026-07-10", None],
    )
    taken = take(records, "summer-save", table, who="bob")
    assert [str(one) for one in taken.refused] == [
        "row 2, customer 'X9': is not in campaign 'Summer save'",
        "row 3: names no customer",
        f"row 4, customer '{called[1]}': the stage must be one of {', '.join(STAGES)}; it is 'perhaps'",
        f"row 5, customer '{called[2]}': due must be a date that can be read in one way, such as 2026-12-24; it is 'soon'",
        f"row 6, customer '{held}': is held out and must not be called, so there is nothing to note",
        f"row 7, customer '{called[0]}': is in the file before, in row 1",
    ]
    assert (taken.rows, taken.changed, taken.same) == (9, 2, 1)


@pytest.mark.parametrize("column", ["Version (leave as it is)", "version", "Edit"])
def test_an_older_file_never_takes_anything_back(records: Records, column: str) -> None:  # noqa: F811
    running(records)
    sheet = worklist.sheet(records, "summer-save").rename({worklist.VERSION: column})
    older = sheet.drop("Rank")
    take(records, "summer-save", sheet.with_columns(Stage=pl.lit("Saved"), Owner=pl.lit("Zoë")), who="bob")
    kept = campaigns.members(records, "summer-save")
    assert take(records, "summer-save", older, who="eve").changed == 0
    with pytest.raises(CampaignRefused, match=r"column 'Version \(leave as it is\)' is not in the file.*downloaded anew"):
        take(records, "summer-save", older.drop(column), who="eve")
    blank = older.with_columns(pl.lit(None, pl.Int64).alias(column))
    taken = take(records, "summer-save", blank, who="eve")
    assert len(taken.refused) == 30
    assert "the version must be the whole number that the file was written with; it is empty" in taken.refused[0].why
    assert campaigns.members(records, "summer-save").equals(kept)


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        (filled(Stage=["saved"]), CampaignRefused, "column 'Customer' is not in the file; it has 'Stage'"),
        (filled(Customer=["C1"], Note=["x"]), CampaignRefused, "none of the columns 'Stage', 'Reason', 'Owner', 'Due'"),
        (filled(Customer=[], Stage=[]), CampaignRefused, "the file has no rows"),
    ],
)
def test_a_file_that_cannot_be_taken(records: Records, table: pl.DataFrame, error: type[Exception], says: str) -> None:  # noqa: F811
    running(records)
    with pytest.raises(error, match=says):
        take(records, "summer-save", table, who="bob")
    assert worklist.number(records, "summer-save", stages=["to call"]) == 30


@pytest.mark.parametrize("kind", [".xlsx", ".csv"])
def test_the_way_through_a_spreadsheet_and_back(records: Records, kind: str) -> None:  # noqa: F811
    keys = ["=1+1", "+49170", "@x", "-7", "0012", "12345678901234567890", "'q", 'ü;,"x']
    running(records, listed(8).with_columns(customer=pl.Series(keys)), holdout_share=0.0)
    sheet = worklist.sheet(records, "summer-save", simulated=True)
    assert set(sheet["Note"]) == {"Simulated data"}
    stages = ["Saved", "Lost", "Reached", "Offered", "Unreachable", "Saved", "Lost", "Reached"]
    done = sheet.with_columns(pl.Series("Stage", stages), Reason=pl.lit("=HYPERLINK(1)"), Due=pl.lit(date(2026, 8, 9)))
    table = parse_table(spreadsheet.as_bytes(done, kind), f"filled{kind}")
    taken = take(records, "summer-save", table, who="bob")
    assert (taken.changed, taken.refused) == (8, ())
    found = worklist.listed(records, "summer-save")
    assert [(one.customer, one.stage, one.due) for one in found] == [
        (key, stage.lower(), date(2026, 8, 9)) for key, stage in zip(keys, stages, strict=True)
    ]


@pytest.mark.parametrize("kind", [".xlsx", ".csv"])
def test_a_file_that_nobody_touched_changes_nothing(records: Records, kind: str) -> None:  # noqa: F811
    said = ["-20 % was not enough", "+49 number wrong", "=A1", "'=A1", "@home", "'quoted", "\u200b=x", "-7"]
    running(records, listed(8).with_columns(owner=pl.Series(said)), holdout_share=0.0)
    for one in worklist.listed(records, "summer-save"):
        change(records, one, reason=str(one.owner))
    table = parse_table(spreadsheet.as_bytes(worklist.sheet(records, "summer-save"), kind), f"sheet{kind}")
    taken = take(records, "summer-save", table, who="bob")
    assert (taken.changed, taken.refused) == (0, ())
    edited = table.with_columns(Reason=pl.lit("'=B2" if kind == ".csv" else "=B2"))
    assert take(records, "summer-save", edited, who="bob").changed == 8
    assert {one.reason for one in worklist.listed(records, "summer-save")} == {"=B2"}


def test_dates_are_read_row_by_row_where_they_are_written_otherwise(records: Records) -> None:  # noqa: F811
    running(records)
    keys = [one.customer for one in worklist.listed(records, "summer-save", limit=5)]
    table = filled(Customer=keys, Due=["05.12.2026", "2026-12-05", "01/02/2026", "soon", None])
    taken = take(records, "summer-save", table, who="bob")
    assert [(one.row, one.why.rpartition("it is ")[2]) for one in taken.refused] == [(3, "'01/02/2026'"), (4, "'soon'")]
    assert [one.due for one in worklist.listed(records, "summer-save", limit=5)] == [date(2026, 12, 5)] * 2 + [None] * 3
    alike = filled(Customer=keys[2:], Due=["01/02/2026", "31/01/2026", "2026-12-05"])  # most rows show which way it is
    assert take(records, "summer-save", alike, who="bob").refused == ()
    assert worklist.listed(records, "summer-save", limit=3)[2].due == date(2026, 2, 1)


def test_the_schemas_key_names_customers_too(records: Records) -> None:  # noqa: F811
    running(records)
    one = first(records)
    assert take(records, "summer-save", filled(kunde=[one.customer], stage=["saved"]), who="bob", key="Kunde").changed == 1


# -- many at once, and killed -----------------------------------------------------


def _as_child(work: Callable[..., None], *given: Any) -> Any:
    return FORK.Process(target=work, args=given)


def _count_up(settings: Settings, customer: str, who: str) -> None:
    """Read a number in the reason, and write the next one, so often; whoever was slower looks again."""
    own = Records(settings)
    done = 0
    until = time.monotonic() + 100
    while done < TURNS and time.monotonic() < until:
        member = next(one for one in worklist.listed(own, "summer-save", limit=50) if one.customer == customer)
        number = int((member.reason or "0").partition(" ")[0]) + 1
        try:
            edit(own, "summer-save", customer, version=member.version, changes={"reason": f"{number} by {who}"}, who=who)
        except RecordsConflict:
            time.sleep(random.random() * 0.02)
        else:
            done += 1
    own.close()
    os._exit(0 if done == TURNS else 1)


def test_twenty_writers_lose_nothing(records: Records) -> None:  # noqa: F811
    campaign = running(records, listed(8))
    one = first(records)
    records.close()  # what a child inherits must be nobody's connection
    many = [_as_child(_count_up, records._settings, one.customer, f"p{number}") for number in range(WRITERS)]
    for child in many:
        child.start()
    for child in many:
        child.join(120)
    assert [child.exitcode for child in many] == [0] * WRITERS
    member = first(records)
    assert member.version == WRITERS * TURNS + 1
    lines = worklist.history(records, campaign.id, customer=one.customer, limit=1000)
    assert [line.after for line in lines] == [
        f"{turn} by {line.who}" for turn, line in zip(range(100, 0, -1), lines, strict=True)
    ]
    assert [line.before for line in lines] == [*(line.after for line in lines[1:]), None]
    assert member.reason == lines[0].after
    assert {who: sum(line.who == who for line in lines) for who in {line.who for line in lines}} == {
        f"p{number}": TURNS for number in range(WRITERS)
    }


def _take_it(settings: Settings, table: pl.DataFrame, ready: Connection) -> None:
    own = Records(settings)
    campaigns.find(own, "summer-save")
    ready.send(None)
    take(own, "summer-save", table, who="bob", at=START)
    os._exit(0)


def _killed(child: Any, ready: Connection, after: float) -> None:
    child.start()
    ready.recv()
    time.sleep(after)
    os.kill(child.pid, signal.SIGKILL)
    child.join(20)


def test_an_import_that_is_killed_is_whole_or_not_there(records: Records) -> None:  # noqa: F811
    size = 1_200
    running(records, listed(size), holdout_share=0.0)
    done = worklist.sheet(records, "summer-save").with_columns(Stage=pl.lit("Saved"), Reason=pl.lit("took it"))
    records.close()
    for after in (0.0, 0.02, 0.06, 0.12, 0.2, 0.3):
        here, there = FORK.Pipe(duplex=False)
        _killed(_as_child(_take_it, records._settings, done, there), here, after)
        saved = worklist.number(records, "summer-save", stages=["saved"])
        files = [line for line in worklist.history(records, "summer-save", limit=10_000) if line.field == "import"]
        assert (saved, len(files)) in ((0, 0), (size, 1)), after
        _is_consistent(records)
        records.close()
    taken = take(records, "summer-save", done, who="bob")  # whatever came of it, sent again it is all there, once
    assert (taken.changed, taken.again) in ((size, False), (0, True))
    assert worklist.number(records, "summer-save", stages=["saved"]) == size
    _is_consistent(records)


def _work_through(settings: Settings, ready: Connection) -> None:
    own = Records(settings)
    members = worklist.listed(own, "summer-save", limit=1000)
    ready.send(None)
    for stage in ("reached", "offered", "saved", "lost"):
        for member in members:
            version = STAGES.index(stage)
            changes = {"stage": stage, "reason": f"now {stage}"}
            edit(own, "summer-save", member.customer, version=version, changes=changes, who="bob")
            ready.send((member.customer, stage))
    os._exit(0)


def test_a_stage_that_was_confirmed_survives_a_kill(records: Records) -> None:  # noqa: F811
    running(records, listed(300), holdout_share=0.0)
    records.close()
    here, there = FORK.Pipe(duplex=False)
    child = _as_child(_work_through, records._settings, there)
    child.start()
    there.close()
    here.recv()
    confirmed: dict[str, str] = {}
    until = time.monotonic() + 1.2
    while time.monotonic() < until and here.poll(2):
        customer, stage = here.recv()
        confirmed[customer] = stage
    os.kill(child.pid, signal.SIGKILL)
    child.join(20)
    while here.poll(0):
        try:
            customer, stage = here.recv()
        except EOFError:
            break
        confirmed[customer] = stage
    assert confirmed
    members = {one.customer: one for one in worklist.listed(records, "summer-save", limit=1000)}
    ahead = 0
    for customer, member in members.items():
        told = STAGES.index(confirmed.get(customer, "to call"))
        there_ = STAGES.index(member.stage)
        assert there_ >= told, customer
        ahead += there_ - told
        assert member.reason == (None if there_ == 0 else f"now {member.stage}")
    assert ahead <= 1  # kept, and killed before it could be said
    _is_consistent(records)


def _is_consistent(records: Records) -> None:  # noqa: F811
    """Every member is what its history says, and has as many versions as it had edits: nothing is there twice."""
    lines = [line for line in worklist.history(records, "summer-save", limit=100_000) if line.customer]
    last: dict[tuple[str, str], str | None] = {}
    edits: dict[str, set[int | None]] = {}
    for line in reversed(lines):
        assert line.customer is not None
        last[(line.customer, line.field)] = line.after
        edits.setdefault(line.customer, set()).add(line.version)
    assert len(lines) == len({(line.customer, line.field, line.version) for line in lines})
    for row in campaigns.members(records, "summer-save").iter_rows(named=True):
        assert row["version"] == 1 + len(edits.get(row["customer"], ()))
        assert row["stage"] == last.get((row["customer"], "stage"), "to call")
        assert row["reason"] == last.get((row["customer"], "reason"))
