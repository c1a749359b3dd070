"""The contact data of one customer: found by key, masked before anybody gets it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from churn.base.contact import Contact, contact_of
from churn.base.snapshot import CONTACTS

from .conftest import MakeSchema

PEOPLE = {
    "customer": ["a1", "a10"],
    "who": ["Eva Müller", None],
    "tel": ["030 2312 1234", "unknown"],
    "mail": ["eva@example.org", ""],
    "may": ["Yes", "No"],
    "agent": ["Tom Braun", None],
}
ROLES = {"name": "who", "phone": "tel", "email": "mail", "consent": "may", "owner": "agent", "country": "DE"}


def test_it_is_masked_and_of_that_customer(tmp_path: Path, make_schema: MakeSchema) -> None:
    schema = make_schema(contacts=ROLES)
    pl.DataFrame(PEOPLE).write_parquet(tmp_path / CONTACTS)
    found = contact_of(tmp_path, "a1", schema)
    assert found == Contact("E. M••••", "+49 ••• ••12 34", "e•••@e•••.org", consent="Yes", owner="Tom Braun")
    assert contact_of(tmp_path, "a10", schema) == Contact(phone="•••", consent="No")
    assert contact_of(tmp_path, "a", schema) is None


def test_without_contact_data_there_is_none(tmp_path: Path, make_schema: MakeSchema) -> None:
    assert contact_of(tmp_path, "a1", make_schema(contacts=ROLES)) is None
    pl.DataFrame(PEOPLE).write_parquet(tmp_path / CONTACTS)
    assert contact_of(tmp_path, "a1", make_schema()) is None
