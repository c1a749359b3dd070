"""Everything that can go wrong for a reason the user can act on.

One root, a handful of children named for the event. A message states the subject, the rule and the value:
"column 'tenure' must be ≥ 0; row 18 has -3".
"""

from __future__ import annotations

import json
from typing import Any


class ChurnError(Exception):
    """The root of every error this project raises on purpose; its text is shown to the user as it is."""


class SettingsError(ChurnError):
    """A setting is unknown or has a value it cannot have."""


class SourceError(ChurnError):
    """A table cannot be read: no such file, wrong delimiter, unknown encoding, no connection."""


class SchemaError(ChurnError):
    """A schema is malformed, or names what the table does not have."""


class DataError(ChurnError):
    """Rows break the schema.

    `violations` holds every one of them (see `churn.data.quality.Violation`); the message names the first few.
    """

    def __init__(self, message: str, violations: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class TrainingError(ChurnError):
    """A model cannot be trained on this table: too few rows, one class only, no usable column."""


class BundleRejected(ChurnError):
    """A model bundle or a scoring is incomplete, altered or of an unknown format; it was not loaded."""


class StoreUnavailable(ChurnError):
    """The store did not answer, refused the credentials, or cannot be written."""


class StoreDamaged(StoreUnavailable):
    """The store answered, and what lies there cannot be understood any more."""


class RecordsUnavailable(ChurnError):
    """The database of what people make cannot be reached, made or written; nothing was kept."""


class CampaignRefused(ChurnError):
    """A campaign or one of its members cannot be made or changed so; nothing was kept."""


class SuppressionStops(ChurnError):
    """Who must not be called is not known for sure, so no list is made."""


class ExportRefused(ChurnError):
    """Contact data may not leave the desk so, or what was recorded of an export does not fit the file."""


class NotInStore(ChurnError):
    """The store answered, and what was asked for is not there."""


class StoreConflict(ChurnError):
    """Somebody else changed the object first; nothing was written."""


class RecordsConflict(StoreConflict):
    """Somebody else changed a campaign or one of its members first; nothing was kept.

    `version`: of the member as the message tells of it; None where it tells of no member.
    """

    def __init__(self, message: str, version: int | None = None) -> None:
        super().__init__(message)
        self.version = version


class NoChampion(ChurnError):
    """The workspace has no champion yet."""


class PromotionRefused(ChurnError):
    """A version does not pass the gates; the champion stays.

    `checks` holds every gate with its verdict (see `churn.model.gates.Check`), where it was they that refused.
    """

    def __init__(self, message: str, checks: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.checks = checks


class WorkspaceMixed(ChurnError):
    """Simulated and real data would meet; nothing was done."""


def in_words(error: Exception) -> str:
    """What is wrong with a file that cannot be understood, where Python's own words are those of a programmer."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON from line {error.lineno} on"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no text in UTF-8"
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return str(error)
