"""The challenger: a version that runs in shadow beside the champion, as it lies in the store (`challenger.json`).

The file stays when there is none any more, so that each change is a conditional write over the one before.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from churn.errors import StoreUnavailable, in_words
from churn.model import pointer as pointers

NAME = "challenger.json"


@dataclass(frozen=True, slots=True)
class Challenger:
    """Which version runs in shadow beside which champion, since when, who decided so and why; `etag` is what a change compares.

    `model` is None where nothing runs in shadow any more.
    """

    model: str | None
    champion: str | None
    since: datetime
    by: str
    reason: str
    etag: str


def write(model: str | None, champion: str | None, since: datetime, by: str, reason: str) -> bytes:
    """The file. It holds something that only its writer knows."""
    facts = {"model": model, "champion": champion, "since": since.isoformat(), "by": by, "reason": reason}
    return pointers.dump({"format": pointers.FORMAT, **facts, "id": uuid.uuid4().hex[:12]})


def read(data: bytes, etag: str, where: str) -> Challenger:
    """The file as it was written. Raises StoreUnavailable where it cannot be understood."""
    found = pointers.document(data, where)
    try:
        since = datetime.fromisoformat(found["since"])
        return Challenger(_name(found["model"]), _name(found["champion"]), since, str(found["by"]), str(found["reason"]), etag)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreUnavailable(f"{where} is damaged ({in_words(error)}); restore it from a backup") from error


def _name(value: Any) -> str | None:
    return None if value is None else str(value)
