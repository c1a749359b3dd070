"""How to reach one customer: the only display of contact data there is, a masked one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from churn.base.snapshot import CONTACTS
from churn.data.contacts import masked
from churn.data.schema import Schema
from churn.model.store import disk


@dataclass(frozen=True, slots=True)
class Contact:
    """One customer's contact data, masked, and what else is known of reaching them; None is not known.

    `consent`, `do_not_contact`: as the table spells them; `owner`: the colleague who looks after the customer, as named.
    """

    name: str | None = None
    phone: str | None = None
    email: str | None = None
    consent: str | None = None
    do_not_contact: str | None = None
    owner: str | None = None


def contact_of(folder: Path, key: str, schema: Schema) -> Contact | None:
    """The contact data of a customer in the scoring of `folder`, masked before anybody gets it; None where there is none.

    Raises StoreUnavailable where the disk refuses.
    """
    path = folder / CONTACTS
    named = {role: column for role in Contact.__slots__ if (column := getattr(schema.contacts, role))}
    if not named or not path.exists():
        return None
    with disk(path, "read"):
        found = pl.scan_parquet(path).filter(pl.col(schema.key) == key).head(1).collect()
    if found.is_empty():
        return None
    row = masked(found, schema.contacts).row(0, named=True)
    return Contact(**{role: row.get(column) for role, column in named.items()})
