"""The nightly commands: what they print, how they end, and that twice is once."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import polars as pl
import pytest

from churn.base.records import Records
from churn.settings import Settings
from churn.watch import alerts, rules
from churn.watch.rules import Condition

from .conftest import Desk

TODAY = datetime.now(UTC).date()


@pytest.fixture
def nightly(trained: Desk) -> Desk:
    trained.settings("gate_ece: 0.15\nsource: t.csv\nmlflow: ''\nuser: ann\n")
    return trained


def _records(desk: Desk) -> closing[Records]:
    return closing(Records(Settings.load(home=desk.home, environ={})))


def _open(records: Records) -> tuple[str, ...]:
    found = [
        Condition(rules.COLUMN_MOVED, name, "v1", "raised", f"{name} has moved.", TODAY, TODAY) for name in ("tenure", "contract")
    ]
    return alerts.update(records, found, model="v1", today=TODAY).opened


def test_refresh_twice_is_once_and_says_what_it_did(nightly: Desk) -> None:
    first = nightly.done("refresh", "--json").json
    assert (first["model"], first["rows"], first["held"], first["new"]) == ("v1", 700, None, True)
    assert first["watch"]["due"]["kind"] == ""
    sums = nightly.sums("models")
    again = nightly.done("refresh")
    assert "Already on the desk: 700 customers" in again.out
    assert "Nothing calls for a new training" in again.out
    assert f"Model v1, 1 month looked at: {TODAY:%b %Y}." in again.out
    assert nightly.sums("models") == sums


def test_a_bad_table_ends_with_2_and_a_line(nightly: Desk) -> None:
    pl.read_csv(nightly.home / "t.csv").head(350).write_csv(nightly.home / "t.csv")
    pointer = nightly.pointer
    ran = nightly.run("refresh")
    assert ran.code == 2
    assert "the table was held back and the desk is as it was. This table must not be scored." in ran.err
    assert "350 customers; the desk showed 700." in ran.err
    assert f"churn quarantine release {nightly.done('quarantine', 'list', '--json').json[0]['id']} --reason" in ran.err
    assert "A table is held back: far fewer customers than before" in ran.out
    assert nightly.pointer == pointer
    listed = nightly.done("alerts", "list", "--json").json
    assert [one["cause"] for one in listed] == ["bad-data"]


def test_a_table_that_is_not_there_ends_with_2_a_line_and_an_alert(nightly: Desk) -> None:
    ran = nightly.run("refresh", "gone.csv", "--json")
    assert ran.line == "gone.csv: no such file"
    assert (ran.json["error"], ran.json["kind"]) == ("gone.csv: no such file", "SourceError")
    assert (ran.json["checks"], ran.json["scoring"]) == ([], None)
    (alert,) = nightly.done("alerts", "list", "--json").json
    assert alert["words"] == "The table could not be read: gone.csv: no such file."


def test_a_channel_that_fails_ends_with_1_and_names_no_address(nightly: Desk) -> None:
    nightly.settings("gate_ece: 0.15\nmlflow: ''\nalert_webhook: http://127.0.0.1:9/S3CRET\nalert_attempts: 1\n")
    lost = Condition(rules.REALISED_LOSS, "", "v1", "raised", "The model errs more than it promised.", TODAY, TODAY)
    with _records(nightly) as records:  # and no outcomes are known that would close it
        alerts.update(records, [lost], model="v1", today=TODAY)
    ran = nightly.run("watch")
    assert ran.code == 1
    assert "webhook: the webhook did not answer" in ran.out
    assert "S3CRET" not in ran.out + ran.err


def test_alerts_are_acknowledged_and_muted_with_a_reason(nightly: Desk) -> None:
    assert "No alert is open." in nightly.done("alerts", "list").out
    with _records(nightly) as records:
        first, second = _open(records)
    assert "why" in nightly.run("alerts", "ack", first).err
    assert "ann has seen it: Known" in nightly.done("alerts", "ack", first, "--why", "Known").out
    muted = nightly.done("alerts", "mute", second, "--until", str(TODAY), "--why", "Later", "--json").json
    assert (muted["state"], muted["until"], muted["who"]) == ("muted", str(TODAY), "ann")
    assert "acknowledged: Known" in nightly.done("alerts", "show", first).out
    assert nightly.run("alerts", "mute", first, "--until", "2020-01-01", "--why", "x").line.startswith("an alert can be muted")
    assert "for a year at most" in nightly.run("alerts", "mute", first, "--until", "2999-01-01", "--why", "x").line
    assert nightly.run("alerts", "ack", "nobody", "--why", "x").line.startswith("there is no alert 'nobody'")


def test_a_training_is_kept_as_a_decision(nightly: Desk) -> None:
    assert "Nothing was decided yet" in nightly.done("decisions").out
    assert nightly.run("retrain").line.startswith("there is nothing to train on")
    found = nightly.done("retrain", "t.csv", "--candidates", "logistic-regression", "--trials", "1", "--json").json
    assert (found["version"], found["decision"]["cause"]) == ("v2", "asked")
    (kept,) = nightly.done("decisions", "--json").json
    assert kept["id"] == found["decision"]["id"]
    assert kept["kind"] in ("stopped", "shadow")  # the same table again: surely better it is not
    assert nightly.pointer["model"] == "v1"


def test_watch_before_there_is_a_champion(desk: Desk) -> None:
    assert desk.run("watch").line.startswith("there is no champion to watch")
    assert desk.run("refresh", "t.csv").line.startswith("there is no champion to score with")


def test_nobody_looks_from_a_day_that_is_still_to_come(nightly: Desk) -> None:
    for command in (("watch",), ("retrain", "t.csv"), ("refresh", "t.csv")):
        assert "1 Jan 2999, which lies in the future" in nightly.run(*command, "--as-of", "2999-01-01").line
    assert "No alert is open." in nightly.done("alerts", "list").out


@pytest.mark.parametrize("command", ["refresh", "watch", "retrain"])
def test_the_demo_is_written_by_none_of_them(desk: Desk, command: str) -> None:
    before = desk.sums()
    assert "holds simulated data only and is written by `churn demo`" in desk.run("--workspace", "demo", command).line
    assert desk.sums() == before


def test_doctor_says_where_alerts_go_and_no_address(nightly: Desk) -> None:
    def said(settings: str) -> tuple[bool, str]:
        nightly.settings(settings)
        return next((one["good"], one["words"]) for one in nightly.run("doctor", "--json").json if one["what"] == "watch")

    assert said("mlflow: ''\n") == (
        True,
        "alerts are kept and sent nowhere; 'training_table' is not set, so a training that is due is only announced",
    )
    assert said("alert_webhook: https://hooks.example.com/S3CRET\ntraining_table: t.csv\n") == (True, "alerts go to webhook")
    mail = "alert_email_to: a@example.org\nalert_smtp_host: mail.example.org\n"
    good, words = said(f"{mail}alert_smtp_user: desk\n")
    assert (good, "CHURN_SMTP_PASSWORD is not set" in words) == (False, True)
    assert said("alert_rules: mood\n")[0] is False
