"""A model as a folder of plain data: JSON, npz arrays (never pickle) and parquet, under a manifest of sums.

Nothing in a bundle can run when it is loaded, and one that is incomplete, altered or of an unknown format is refused. A manifest
names the kind of its model: tables, unless it says `"model_kind": "estimator"`, which holds a skops file with a list of its
types instead (`churn.model.estimator`).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from pydantic import ValidationError

from churn.data.arrays import loaded
from churn.data.schema import Schema
from churn.errors import BundleRejected, SchemaError
from churn.model import estimator, manifest
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoder
from churn.model.estimator import EstimatorModel
from churn.model.risk_model import RiskModel
from churn.model.scoring import ScoringModel
from churn.model.store import disk
from churn.model.tables import Tables
from churn.words import sentence_list

SCHEMA, ENCODER, TABLES, CALIBRATOR = "schema.json", "encoder.json", "tables.npz", "calibrator.json"
METRICS, LEADERBOARD = "metrics.json", "leaderboard.json"
CARD, REFERENCE = "card.md", "reference.parquet"
HOLDOUT = "holdout.parquet"  # an extra file: features and outcome of the rows kept apart in training
OUT_OF_FOLD = "out_of_fold.parquet"  # an extra file: what training foresaw for its customers without having seen them
KIND = "model_kind"  # in the manifest
_COMMON = {SCHEMA, CALIBRATOR, METRICS, LEADERBOARD, CARD, REFERENCE}
_OWN = {"tables": _COMMON | {ENCODER, TABLES}, "estimator": _COMMON | {*estimator.FILES}}
_Stored = TypeVar("_Stored")
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Bundle:
    """A loaded model and what is known about it.

    `version` is empty until it is published. `reference`: a sample of conformed rows, features only, without ids and contacts.
    `extra`: further files by name, such as `profile.json`, each read from the folder when it is asked for.
    """

    version: str
    model: RiskModel
    metrics: dict[str, Any]
    leaderboard: list[dict[str, Any]]
    card: str
    reference: pl.DataFrame
    manifest: dict[str, Any]
    extra: Mapping[str, bytes]

    @property
    def schema(self) -> Schema:
        return self.model.schema

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.manifest["created"])


def save(
    folder: Path,
    model: ScoringModel | EstimatorModel,
    *,
    metrics: Mapping[str, Any],
    leaderboard: list[dict[str, Any]],
    card: str,
    reference: pl.DataFrame,
    simulated: bool,
    extra: Mapping[str, Any] | None = None,
    created: datetime | None = None,
) -> dict[str, Any]:
    """Write a bundle into an empty or new folder and return its manifest.

    Parameters
    ----------
    metrics, leaderboard: JSON values without NaN.
    reference: conformed rows; features of the schema only, and columns named `__…__`.
    simulated: whether the training table was made up; a registry refuses a bundle that differs from its workspace.
    extra: further files, name → bytes, or anything JSON can hold (then the name should end in .json).
    created: aware moment; now unless given.

    Raises
    ------
    BundleRejected: the folder holds files already, a value is no JSON, or `reference` would carry an id or a contact.
    """
    _check_reference(reference, model.schema)
    extra = extra or {}
    for name in extra.keys() & {manifest.NAME, *_OWN["tables"], *_OWN["estimator"]}:
        raise BundleRejected(f"an extra file cannot be called {name!r}: a bundle has its own")
    rows = io.BytesIO()
    reference.write_parquet(rows)
    files = {
        SCHEMA: model.schema.to_json().encode(),
        **(model.to_files() if isinstance(model, EstimatorModel) else _tables_files(model)),
        CALIBRATOR: model.calibrator.to_json().encode(),
        METRICS: _json(METRICS, metrics),
        LEADERBOARD: _json(LEADERBOARD, leaderboard),
        CARD: card.encode(),
        REFERENCE: rows.getvalue(),
        **{name: value if isinstance(value, bytes) else _json(name, value) for name, value in extra.items()},
    }
    with disk(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BundleRejected(f"{folder} is not empty; a bundle needs a folder of its own")
        for name, data in files.items():
            (folder / name).write_bytes(data)
    facts = {KIND: "estimator"} if isinstance(model, EstimatorModel) else {}  # tables need no word: bundles before had no other
    return manifest.seal(folder, kind="model", simulated=simulated, schema_hash=model.schema.hash, created=created, **facts)


def load(folder: Path) -> Bundle:
    """Verify every sum and load the model. Raises BundleRejected naming the file and why."""
    return read(folder, manifest.verify(folder, "model"))


def read(folder: Path, facts: dict[str, Any], where: str = "") -> Bundle:
    """Load a folder that was verified already, with its manifest. Raises BundleRejected naming the file and why.

    where: how messages call it, such as "model v2", if not by its path.
    """
    where = where or str(folder)
    kind = facts.get(KIND, "tables")
    if kind not in _OWN:
        raise BundleRejected(f"{where}: the kind of model {kind!r} is not known; this version knows {' and '.join(_OWN)}")
    own = _OWN[kind]
    for name in sorted(own - facts["files"].keys()):
        raise BundleRejected(f"{where}: {name} is missing")
    with disk(folder, "read"):
        files = {name: (folder / name).read_bytes() for name in own}
    reader = _Reader(where, files)
    schema = reader.schema()
    if schema.hash != facts["schema_hash"]:
        raise BundleRejected(f"{where}: {SCHEMA} is not the schema the manifest names")
    return Bundle(
        version=facts.get("version", ""),
        model=reader.tables_model(schema) if kind == "tables" else reader.estimator_model(schema),
        metrics=reader.json(METRICS, dict),
        leaderboard=reader.json(LEADERBOARD, list),
        card=reader.text(CARD),
        reference=reader.reference(schema),
        manifest=facts,
        extra=_Extra(folder, sorted(facts["files"].keys() - own)),
    )


def _tables_files(model: ScoringModel) -> dict[str, bytes]:
    arrays = io.BytesIO()
    np.savez_compressed(arrays, allow_pickle=False, **model.tables.to_arrays())
    return {ENCODER: model.encoder.to_json().encode(), TABLES: arrays.getvalue()}


class _Extra(Mapping[str, bytes]):
    """Files that may be large and that few ask for."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder = folder
        self._names = names

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        with disk(self._folder / name, "read"):
            return (self._folder / name).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Reader:
    """Turns the files of one bundle into what they stand for; whatever cannot be understood is refused by name."""

    def __init__(self, where: str, files: Mapping[str, bytes]) -> None:
        self._where = where
        self._files = files

    def text(self, name: str) -> str:
        try:
            return self._files[name].decode()
        except UnicodeDecodeError as error:
            raise self._refused(name, error) from error

    def json(self, name: str, kind: type[Any]) -> Any:
        try:
            document = json.loads(self.text(name))
        except ValueError as error:
            raise self._refused(name, error) from error
        if not isinstance(document, kind):
            raise BundleRejected(f"{self._where}: {name} must hold a {kind.__name__}, not a {type(document).__name__}")
        return document

    def schema(self) -> Schema:
        try:
            return Schema.model_validate_json(self._files[SCHEMA])
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            unknown = sorted({str(one["loc"][-1]) for one in found if one["type"] == "extra_forbidden"})
            if unknown:  # its sum agrees, so it is as it was written
                raise BundleRejected(
                    f"{self._where} was written by a newer version of churn (its schema has {sentence_list(map(repr, unknown))}, "
                    "which this one does not know); update churn"
                ) from error
            place = ".".join(map(str, found[0]["loc"]))
            raise BundleRejected(
                f"{self._where}: {SCHEMA} cannot be read: {f'{place}: ' if place else ''}{found[0]['msg']}"
            ) from error

    def estimator_model(self, schema: Schema) -> EstimatorModel:
        calibrator = self._own(CALIBRATOR, Calibrator.from_json, self.text(CALIBRATOR))
        try:
            return EstimatorModel.from_files(self._files, schema, calibrator)
        except BundleRejected as error:
            raise BundleRejected(f"{self._where}: {error}") from error

    def tables_model(self, schema: Schema) -> ScoringModel:
        try:
            with loaded(io.BytesIO(self._files[TABLES])) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._refused(TABLES, error) from error
        encoder = self._own(ENCODER, Encoder.from_json, self.text(ENCODER))
        tables = self._own(TABLES, Tables.from_arrays, arrays)
        calibrator = self._own(CALIBRATOR, Calibrator.from_json, self.text(CALIBRATOR))
        try:
            return ScoringModel(schema, encoder, tables, calibrator)
        except SchemaError as error:
            raise BundleRejected(f"{self._where}: {SCHEMA}, {ENCODER} and {TABLES} do not belong together: {error}") from error

    def _own(self, name: str, understand: Callable[[_Stored], _Part], stored: _Stored) -> _Part:
        try:
            return understand(stored)
        except BundleRejected as error:
            raise BundleRejected(f"{self._where}: {name}: {error}") from error

    def reference(self, schema: Schema) -> pl.DataFrame:
        try:
            table = pl.read_parquet(io.BytesIO(self._files[REFERENCE]))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._refused(REFERENCE, error) from error
        _check_reference(table, schema)
        return table

    def _refused(self, name: str, error: Exception) -> BundleRejected:
        return BundleRejected(f"{self._where}: {name} cannot be read: {' '.join(str(error).split())[:200]}")


def _check_reference(table: pl.DataFrame, schema: Schema) -> None:
    for column in table.columns:
        if column not in schema and not (column.startswith("__") and column.endswith("__")):
            raise BundleRejected(f"{REFERENCE} may hold features only, no ids and no contacts; column {column!r} is none")


def _json(name: str, value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BundleRejected(f"{name} cannot be written as JSON: {error}") from error
