"""Customers who asked to be forgotten: known again by a salted hash of their key, so that nothing brings them back.

`forgotten/salt.json` is made once and never changes; `forgotten/HASH.json` stands for one customer. The hash does not show the
key, but whoever can read the store can try keys against it, as with every hash of something that can be guessed. That is
the price of knowing a forgotten customer when tomorrow's table brings them again.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass

import polars as pl

from churn import words
from churn.errors import NotInStore, StoreConflict, StoreDamaged, in_words
from churn.model.store import Store

PREFIX = "forgotten/"
SALT = f"{PREFIX}salt.json"
_STONE = re.compile(r"forgotten/(?P<hash>[0-9a-f]{32})\.json")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Who is not to come back: hashes of keys, and the salt they were made with."""

    salt: str
    hashes: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def __contains__(self, key: object) -> bool:
        return bool(self.hashes) and hashed(str(key), self.salt) in self.hashes

    def among(self, keys: pl.Series) -> pl.Series:
        """Which of these keys are forgotten, as booleans in their order; nothing is hashed where nobody is forgotten."""
        if not self.hashes:
            return pl.repeat(False, len(keys), eager=True, dtype=pl.Boolean)
        found = [key is not None and hashed(key, self.salt) in self.hashes for key in keys.cast(pl.String)]
        return pl.Series(found, dtype=pl.Boolean)

    def without(self, table: pl.DataFrame, key: str) -> tuple[pl.DataFrame, int]:
        """The table without them, and how many rows that took."""
        if not self.hashes:
            return table, 0
        kept = table.filter(~self.among(table[key]))
        return kept, table.height - kept.height


NOBODY = Forgotten("", frozenset())


def hashed(key: str, salt: str) -> str:
    """A key as 128 bits that do not show it: BLAKE2b(key) keyed with the salt, in hexadecimal digits."""
    return hashlib.blake2b(key.encode(), key=salt.encode(), digest_size=16).hexdigest()


def left_out(rows: int) -> str:
    """How many rows of a table were left out, in a sentence that names nobody."""
    whose, verb = ("a customer", "was") if rows == 1 else ("customers", "were")
    return f"{words.counted(rows, 'row')} of {whose} who asked to be forgotten {verb} left out."


def pseudonym(key: str, salt: str) -> str:
    """The name under which what is evidence stays: the same each time, and nobody's key."""
    return f"forgotten-{hashlib.blake2b(key.encode(), key=salt.encode(), digest_size=8, person=b'pseudonym').hexdigest()}"


def of(store: Store) -> Forgotten:
    """Who is forgotten in this store; one listing where nobody is.

    Raises
    ------
    StoreDamaged: the salt cannot be understood, so nobody could be known again.
    """
    hashes = frozenset(match["hash"] for entry in store.list(PREFIX) if (match := _STONE.fullmatch(entry.key)))
    return Forgotten(_salt(store), hashes) if hashes else NOBODY


def salt(store: Store) -> str:
    """The store's salt, made on first use."""
    try:
        return _salt(store)
    except NotInStore:
        document = {"format": _FORMAT, "salt": secrets.token_hex(24)}
        with suppress(StoreConflict):  # made by another process just now
            store.write(SALT, json.dumps(document, indent=1).encode() + b"\n", if_absent=True)
        return _salt(store)


def stone(key: str, salt: str) -> str:
    """The name of the object that stands for a forgotten customer."""
    return place(hashed(key, salt))


def place(hash: str) -> str:
    """The same of a key that is known by its hash only."""
    return f"{PREFIX}{hash}.json"


def _salt(store: Store) -> str:
    data = store.read(SALT).data
    try:
        document = json.loads(data)
        if document["format"] != _FORMAT or not document["salt"]:
            raise ValueError("its format is not known")
        return str(document["salt"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{store.address}/{SALT} is damaged ({in_words(error)}); restore it from a backup") from error
