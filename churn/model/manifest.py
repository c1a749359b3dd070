"""The manifest that makes a folder of files one thing: what it is, and the sum of every file in it.

Bundles (`churn.model.bundle`) and scorings (`churn.score.batch`) are such folders. Whoever fills a folder seals it last;
whoever reads it verifies it first. A folder without a manifest is unfinished and does not exist for anybody else.

`format` is the least a reader has to know: it rises when files say something that an earlier version of this project would not
understand, so that such a version refuses the folder in words instead of guessing. Earlier formats stay readable.

1. The first.
2. In the schema: columns that grow by themselves (`clock`), conditions as text in rules, evidence of derivations and rules.
3. In the schema: groups that must fare alike (`fairness`). A file under another name in the store (`at`), rewritten there to
   leave a customer out (`rewritten`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from churn.errors import BundleRejected, in_words
from churn.model.store import disk

FORMAT = 3
NAME = "manifest.json"
ADVICE = {  # what to do about damage, by kind
    "model": "restore it from a backup, or use another version: churn models",
    "scoring": "restore it from a backup, or score again: churn score TABLE --publish",
}

Kind = Literal["model", "scoring"]
_READS = range(1, FORMAT + 1)
_FACTS: dict[str, type | tuple[type, ...]] = {"kind": str, "created": str, "simulated": bool, "schema_hash": str, "files": dict}


def seal(
    folder: Path, *, kind: Kind, simulated: bool, schema_hash: str, created: datetime | None = None, **facts: Any
) -> dict[str, Any]:
    """Write the manifest of all files now in the folder, and return it.

    Parameters
    ----------
    folder: holds the finished files; a manifest from before is replaced.
    simulated: whether the rows behind it are made up; checked against the workspace wherever it goes.
    schema_hash: `Schema.hash` of the schema it was made with.
    created: aware moment; now unless given.
    facts: whatever else the kind needs (JSON values); a scoring has `model`, `as_of` and `rows`.

    Raises
    ------
    BundleRejected: a figure is infinite or NaN, which JSON does not know. StoreUnavailable: the disk refuses.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    document = {
        "format": FORMAT,
        "written_by": _program(),
        "kind": kind,
        "created": (created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "simulated": simulated,
        "schema_hash": schema_hash,
        **facts,
        "files": {name: facts_of(folder / name) for name in names if name != NAME},
    }
    if (place := next(_not_finite(document), None)) is not None:
        raise BundleRejected(f"a {kind} cannot be written: its figure {place} is no number that can be shown")
    with disk(folder / NAME, "written"):
        (folder / NAME).write_bytes(dump(document))
    return parse(dump(document), str(folder / NAME))


def verify(folder: Path, kind: Kind, where: str = "") -> dict[str, Any]:
    """The manifest of a folder whose files are all there, no more and no fewer, with the sizes and sums it names.

    where: how messages call the folder, if not by its path.

    Raises
    ------
    BundleRejected: names the file and what is wrong with it.
    """
    path, where = folder / NAME, where or str(folder)
    with disk(path, "read"):
        if not path.is_file():
            raise BundleRejected(f"{where}: {NAME} is missing, so this is no finished {kind}")
        document = parse(path.read_bytes(), f"{where}/{NAME}", kind)
        present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - {NAME}
        listed = document["files"]
        for name in sorted(listed.keys() - present):
            raise BundleRejected(f"{where}: {name} is missing")
        for name in sorted(present - listed.keys()):
            raise BundleRejected(f"{where}: {name} is not in the manifest")
        for name, wanted in listed.items():
            size = (folder / name).stat().st_size
            if size != wanted["bytes"]:
                raise BundleRejected(f"{where}: {name} must have {wanted['bytes']:,} bytes; it has {size:,}")
            if facts_of(folder / name)["sha256"] != wanted["sha256"]:
                raise BundleRejected(
                    f"{where}: {name} was altered: its content does not match the sum in the manifest; {ADVICE[kind]}"
                )
    return document


def parse(data: bytes, where: str, kind: Kind | None = None) -> dict[str, Any]:
    """Read a manifest and check its own sum, format, kind and fields. Raises BundleRejected."""
    try:
        document = json.loads(data)
    except ValueError as error:  # no UTF-8 or no JSON
        raise BundleRejected(f"{where} is damaged: {in_words(error)}") from error
    if not isinstance(document, dict):
        raise BundleRejected(f"{where} is damaged: a manifest is a table of names and values")
    form = document.get("format")
    if form not in _READS:
        if isinstance(form, int) and form > FORMAT:
            raise BundleRejected(
                f"{where} was written by a newer version of churn{_by(document)}: its format is {form}, and this one reads up to "
                f"{FORMAT}; update churn"
            )
        raise BundleRejected(f"{where}: format {form!r} is not known; this version reads formats up to {FORMAT}")
    if document.get("sum") != _own_sum(document):
        raise BundleRejected(f"{where} was altered: its content does not match its own sum")
    for name, wanted in _FACTS.items():
        if not isinstance(document.get(name), wanted):
            raise BundleRejected(f"{where}: field '{name}' is missing or malformed")
    try:
        datetime.fromisoformat(document["created"])
    except ValueError as error:
        raise BundleRejected(f"{where}: field 'created' is no moment: {document['created']!r}") from error
    for name, entry in document["files"].items():
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str) or not isinstance(entry.get("bytes"), int):
            raise BundleRejected(f"{where}: the entry of file {name!r} is malformed")
        for path in (name, stored(name, entry)):
            if not isinstance(path, str) or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise BundleRejected(f"{where}: file {path!r} leads out of the folder")
    if kind is not None and document["kind"] != kind:
        raise BundleRejected(f"{where} belongs to a {document['kind']}, not to a {kind}")
    return document


def stored(name: str, entry: Mapping[str, Any]) -> str:
    """Under which name the store keeps a file of a manifest, beside the manifest."""
    return entry.get("at", name)  # type: ignore[no-any-return]


def rewritten(facts: Mapping[str, Any], folder: Path, stamps: Mapping[str, str], **changed: Any) -> dict[str, Any]:
    """A manifest after some of its files got other content.

    Parameters
    ----------
    folder: where the new content lies, under the files' own names.
    stamps: file → the name under which the store keeps its new content.
    changed: facts that are others now.
    """
    old = facts["files"]
    files = {**old, **{name: {**facts_of(folder / name), "at": at} for name, at in stamps.items()}}
    gone = [*facts.get("rewritten", ()), *(stored(name, old[name]) for name in stamps)]
    document = {**facts, **changed, "format": FORMAT, "written_by": _program(), "files": files, "rewritten": gone}
    if (place := next(_not_finite(document), None)) is not None:
        raise BundleRejected(f"it cannot be rewritten: its figure {place} is no number that can be shown")
    return document


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    """The places of numbers that are infinite or NaN: `sums.interval.0`."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place
    elif isinstance(value, Mapping | list | tuple):
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _not_finite(inner, f"{place}.{name}" if place else str(name))


def _program() -> str:
    try:
        return f"churn {version('churn')}"
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "churn"


def _by(document: Mapping[str, Any]) -> str:
    by = document.get("written_by")
    return f" ({by})" if isinstance(by, str) else ""


def dump(document: Mapping[str, Any]) -> bytes:
    """A manifest as it is stored, with its own sum renewed."""
    return json.dumps({**document, "sum": _own_sum(document)}, ensure_ascii=False, indent=1).encode() + b"\n"


def _own_sum(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sum"}
    return hashlib.sha256(json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def facts_of(path: Path) -> dict[str, Any]:
    """The sum and the size of a file."""
    with path.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": path.stat().st_size}
