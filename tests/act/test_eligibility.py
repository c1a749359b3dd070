"""Who may be called: every reason by itself, in which order they count, what a shared phone does, what stops a list."""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.act import eligibility
from churn.act.eligibility import REASONS, Candidates, counted, coverage, people, standing, suppression, withdrawn
from churn.errors import DataError, SuppressionStops
from churn.settings import Settings

from .listed import everybody, open_base, schema_of

TODAY = date(2026, 11, 28)


def _who(found: Candidates, base: Any) -> set[str]:
    return set(base.snapshot.rows(found.pool.places)["id"])


def _counts(found: Candidates) -> dict[str, int]:
    return {one.reason: one.customers for one in found.left_out if one.customers}


def _engaged(*rows: tuple[str, str, bool, date | None]) -> pl.DataFrame:
    kinds = {"customer": pl.String, "arm": pl.String, "open": pl.Boolean, "contacted": pl.Date}
    return pl.DataFrame(list(rows), schema=kinds, orient="row")


def test_every_reason_by_itself(tmp_path: Path) -> None:
    contacts = everybody(10)
    contacts["do_not_contact"][0] = "yes"
    contacts["consent"][2] = None
    contacts["phone"][7] = "unknown"
    base = open_base(tmp_path, schema_of(), [0.5] * 10, [50.0] * 8 + [None, 50.0], contacts, left=[0] * 6 + [1] + [0] * 3)
    engaged = _engaged(
        ("K3", "call", False, TODAY - timedelta(days=29)),
        ("K4", "call", True, None),
        ("K5", "holdout", True, None),
        ("K9", "call", False, TODAY - timedelta(days=30)),  # long enough ago
        ("somebody else", "call", True, None),
    )
    found = base.able(engaged=engaged, suppressed=pl.Series(["K1", "nobody"]), today=TODAY)
    assert _counts(found) == {
        "do not contact": 1, "suppressed": 1, "no consent": 1, "recent": 1, "campaign": 1, "holdout": 1, "gone": 1, "no phone": 1,
        "no worth": 1,
    }  # fmt: skip
    assert _who(found, base) == {"K9"}
    assert [one.reason for one in found.left_out] == list(REASONS[:-1])  # in the fixed order, those of nobody too
    assert found.asked == 10
    assert found.left_out[3].in_words(30) == "Contacted in the last 30 days"


def test_who_has_several_reasons_counts_under_the_first(tmp_path: Path) -> None:
    contacts = everybody(3) | {"consent": ["No", "No", "Yes"], "do_not_contact": ["Yes", "No", "No"], "phone": ["", "", ""]}
    base = open_base(tmp_path, schema_of(), [0.5] * 3, [50.0] * 3, contacts)
    found = base.able(gone=pl.Series(["K0", "K1", "K2"]))
    assert _counts(found) == {"do not contact": 1, "no consent": 1, "gone": 1}


@pytest.mark.parametrize(
    ("consent", "do_not_contact", "may"),
    [
        ("Yes", "No", True), (" YES ", "", True), ("1", None, True), ("true", "0", True),
        ("granted?", "No", False), (None, "No", False), ("", "No", False), ("No", "No", False),
        ("Yes", "Yes", False), ("Yes", "maybe", False), ("Yes", " x", False),
    ],
)  # fmt: skip
def test_consent_is_said_and_a_wish_not_to_be_called_need_not_be(
    consent: str | None, do_not_contact: str | None, may: bool, tmp_path: Path
) -> None:
    contacts = everybody(1) | {"consent": [consent], "do_not_contact": [do_not_contact]}
    base = open_base(tmp_path, schema_of(), [0.5], [50.0], contacts)
    assert len(base.able().pool.places) == int(may)


def test_whoever_shares_a_phone_shares_what_speaks_against_it(tmp_path: Path) -> None:
    contacts = everybody(4) | {"phone": ["030 23125001", "+49 30 23125-001", "0049 (0)30 23125001", "030 23125002"]}
    base = open_base(tmp_path, schema_of(), [0.5] * 4, [50.0] * 4, contacts)
    assert _who(base.able(), base) == {"K0", "K1", "K2", "K3"}  # who is best is known later
    assert len(set(base.able().household.tolist())) == 2
    for arm, reason in (("call", "campaign"), ("holdout", "holdout")):
        found = base.able(engaged=_engaged(("K1", arm, True, None)), today=TODAY)
        assert (_counts(found), _who(found, base)) == ({reason: 3}, {"K3"})
    found = base.able(suppressed=pl.Series(["K2"]))
    assert (_counts(found), _who(found, base)) == ({"suppressed": 3}, {"K3"})
    assert _who(base.able(gone=pl.Series(["K0"])), base) == {"K1", "K2", "K3"}  # another one of the household is still there


def test_consent_is_each_customers_own(tmp_path: Path) -> None:
    contacts = everybody(2) | {"phone": ["030 23125001"] * 2, "consent": ["No", "Yes"]}
    base = open_base(tmp_path, schema_of(), [0.5] * 2, [50.0] * 2, contacts)
    assert _who(base.able(), base) == {"K1"}


def test_a_table_without_contacts_leaves_nobody_out_for_them(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(roles=()), [0.5] * 3, [50.0] * 3)
    assert len(base.able().pool.places) == 3


def test_contact_data_that_ought_to_be_there_stops_the_list(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.5], [50.0])
    with pytest.raises(DataError, match="has no contact data, though the schema names column 'phone'"):
        base.able()
    lacking = {role: values for role, values in everybody(1).items() if role != "do_not_contact"}
    other = open_base(tmp_path / "other", schema_of(), [0.5], [50.0], lacking)
    with pytest.raises(DataError, match="lacks column 'do_not_contact'"):
        other.able()


def test_somebody_without_contact_data_has_given_no_consent(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.5] * 2, [50.0] * 2, everybody(2))
    path = base.folder / "contacts.parquet"
    pl.read_parquet(path).head(1).write_parquet(path)
    found = base.able()
    assert (_who(found, base), _counts(found)) == ({"K0"}, {"no consent": 1})


def test_what_is_known_of_people_is_kept_without_any_contact_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = open_base(tmp_path, schema_of(), [0.5] * 3, [50.0] * 3, everybody(3))
    first = people(base.folder, base.snapshot, base.settings)
    monkeypatch.setattr(eligibility, "_read", lambda *_: pytest.fail("read again"))
    again = people(base.folder, base.snapshot, base.settings)
    assert first.flags.tolist() == again.flags.tolist()
    assert first.household.tolist() == again.household.tolist()
    (kept,) = (base.settings.path("cache") / "people").iterdir()
    assert b"23125" not in kept.read_bytes()
    kept.write_bytes(kept.read_bytes()[:100])  # torn
    monkeypatch.undo()
    assert people(base.folder, base.snapshot, base.settings).household.tolist() == first.household.tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["", "030 23125001", "030 23125002", "x"]), min_size=1, max_size=12), st.data())
def test_everybody_is_counted_once(tmp_path_factory: pytest.TempPathFactory, phones: list[str], data: Any) -> None:
    size = len(phones)
    flags = st.lists(st.sampled_from(["Yes", "No", None]), min_size=size, max_size=size)
    contacts = everybody(size) | {"phone": phones, "consent": data.draw(flags), "do_not_contact": data.draw(flags)}
    base = open_base(tmp_path_factory.mktemp("base"), schema_of(), [0.5] * size, [50.0] * size, contacts)
    keys = [f"K{number}" for number in range(size)]
    found = base.able(suppressed=pl.Series(data.draw(st.lists(st.sampled_from(keys), max_size=3)), dtype=pl.String))
    assert sum(one.customers for one in found.left_out) + len(found.pool.places) == found.asked == size
    base.snapshot.close()


# -- the suppression table -----------------------------------------------------


def test_who_of_an_earlier_list_must_not_be_called_any_more(tmp_path: Path) -> None:
    contacts = everybody(6)
    contacts["do_not_contact"][0] = "Yes"
    contacts["consent"][1] = "No"
    contacts["phone"][3] = contacts["phone"][2]
    contacts["phone"][5] = None
    base = open_base(tmp_path, schema_of(), [0.5] * 6, [10.0] * 6, contacts)
    known = people(base.folder, base.snapshot, base.settings)
    engaged = _engaged(*((f"K{number}", "call", True, date.today()) for number in range(6)))
    keys = pl.Series(["K5", "K4", "K3", "K1", "K0", "K9"])
    now = standing(
        base.snapshot, known, base.settings, engaged=engaged, gone=pl.Series(["K4"]), suppressed=pl.Series(["K2", "K0"])
    )
    found = withdrawn(now, base.snapshot, keys)
    assert found == {
        "K4": "gone",
        "K3": "suppressed",  # by its phone, which K2 has as well
        "K1": "no consent",
        "K0": "do not contact",
        "K9": "not scored",
    }  # K5 has no phone, and all are in the campaign: neither withdraws anybody
    assert [(one.reason, one.customers) for one in counted({**found, "K8": "gone"})] == [
        *(("do not contact", 1), ("suppressed", 1), ("no consent", 1), ("gone", 2), ("not scored", 1))
    ]
    assert counted({}) == ()


def _suppressed(home: Path, **given: Any) -> pl.Series | None:
    return suppression(Settings(home=home, suppression="dnc.csv", **given), schema_of())


def test_a_table_of_who_must_not_be_called(tmp_path: Path) -> None:
    (tmp_path / "dnc.csv").write_text("id,why\n007,asked\n1000.0,moved\n")
    found = _suppressed(tmp_path)
    assert found is not None
    assert found.to_list() == ["007", "1000"]  # as keys are read everywhere
    assert suppression(Settings(home=tmp_path), schema_of()) is None


@pytest.mark.parametrize(
    ("keys", "known", "zeros", "says"),
    [
        (["0005307", "0000085"], 2, False, None),
        (["0005307", "9999999"], 1, False, None),  # somebody who was a customer once is no reason to warn
        (["5307", "85"], 0, True, "Of 2 customer numbers in the table of who must not be called, none is known here"),
        (["0005307", "85"], 1, True, "1 is known here"),
        (["00012"], 0, True, "other zeros in front"),
        (["other", "9999999"], 0, False, "keeps nobody from being called"),
    ],
)
def test_a_table_about_others_is_doubted(tmp_path: Path, keys: list[str], known: int, zeros: bool, says: str | None) -> None:
    base = open_base(tmp_path, schema_of(), [0.5] * 4, [10.0] * 4, everybody(4), keys=["0005307", "0000085", "12", "ABC"])
    found = coverage(pl.Series([*keys, None]), base.snapshot)
    assert (found.keys, found.customers, found.zeros) == (len(keys), known, zeros)
    assert (found.doubt() is None) if says is None else (says in str(found.doubt()))


def test_a_missing_a_stale_and_an_unfit_table_stop_the_list(tmp_path: Path) -> None:
    with pytest.raises(SuppressionStops, match=r"no list is made: .*dnc\.csv"):
        _suppressed(tmp_path)
    path = tmp_path / "dnc.csv"
    path.write_text("customer,why\n007,asked\n")
    with pytest.raises(SuppressionStops, match="lacks the key column 'id'; it has 'customer', 'why'"):
        _suppressed(tmp_path)
    path.write_text("id\n007\n")
    old = time.time() - 3 * 86_400
    os.utime(path, (old, old))
    with pytest.raises(SuppressionStops, match=r"is 3 days old; setting 'suppression_days' allows 1 day"):
        _suppressed(tmp_path)
    assert _suppressed(tmp_path, suppression_days=4) is not None
    path.write_text("id\n")
    with pytest.raises(SuppressionStops, match="no list is made"):  # emptied by mistake looks like this
        _suppressed(tmp_path)


def test_a_database_is_asked_anew(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "dnc.sqlite") as connection:
        connection.executescript("create table dnc (id text); insert into dnc values ('A'), ('B')")
    url = f"sqlite:///{tmp_path / 'dnc.sqlite'}"
    found = suppression(Settings(home=tmp_path, suppression=url, suppression_query="select id from dnc"), schema_of())
    assert found is not None
    assert found.to_list() == ["A", "B"]
