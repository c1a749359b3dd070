"""Which model and which scoring the desk shows: one pointer to a pair, and everything that was ever published.

Under the root of the store:

- `workspace.json`: whether all in here is simulated; written once, first.
- `pointer.json`: the current pair and every one before it, so that both change in a single conditional write.
- `challenger.json`: the version that runs in shadow beside the champion, if any.
- `models/v12/…`, `scorings/2026-11-19-0612-ab12/…`: never changed once their manifest, written last, is there; but for customers
  who asked to be forgotten (`rewrite`).
- `claims/…`: who took which name; a name is never given out twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from churn.errors import (
    BundleRejected,
    NoChampion,
    NotInStore,
    PromotionRefused,
    StoreConflict,
    StoreUnavailable,
    WorkspaceMixed,
)
from churn.model import bundle, challenger, manifest
from churn.model import pointer as pointers
from churn.model.bundle import Bundle
from churn.model.cache import Cache
from churn.model.challenger import Challenger
from churn.model.pointer import HistoryEntry, Pointer
from churn.model.store import Entry, Store, disk, etag_of
from churn.settings import Settings

__all__ = ["HistoryEntry", "Pointer", "Registry", "ScoringInfo", "VersionInfo", "check_workspace"]

POINTER = "pointer.json"
MARKER = "workspace.json"
_ASIDE = "~"  # in the store's name of a file that was rewritten, before when that was
_STAMP = "%Y%m%d%H%M%S"
_STRANGER = timedelta(days=1)  # what a killed rewriting uploaded is removed after a day
_Info = TypeVar("_Info")
_PLACES: dict[manifest.Kind, str] = {"model": "models", "scoring": "scorings"}
_NAMES: dict[manifest.Kind, re.Pattern[str]] = {
    "model": re.compile(r"v[1-9][0-9]*"),
    "scoring": re.compile(r"\d{4}-\d\d-\d\d-\d{4}-[0-9a-f]{4,}"),
}


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A model in the store. `problem` says why it cannot be used; then the other fields hold what could be read."""

    version: str
    created: datetime | None
    schema_hash: str
    metrics: dict[str, Any]
    facts: dict[str, Any]  # the manifest
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ScoringInfo:
    """A scoring of the base in the store. `as_of` is the day the rows were true, as ISO text."""

    id: str
    model: str
    as_of: str
    rows: int
    created: datetime | None
    schema_hash: str
    facts: dict[str, Any]
    problem: str | None = None


def check_workspace(store: Store, settings: Settings, *, claim: bool = False) -> bool:
    """Refuse a store that holds simulated data where real data is meant, or the other way round.

    Parameters
    ----------
    claim: mark a store that has no mark yet; to be done before the first write.

    Returns
    -------
    Whether the store is marked; an empty one need not be.

    Raises
    ------
    WorkspaceMixed: names the store and both sides.
    """
    try:
        data = store.read(MARKER).data
    except NotInStore:
        if not claim:
            return False
        mark = {
            "format": pointers.FORMAT,
            "workspace": settings.workspace,
            "simulated": settings.simulated,
            "id": uuid.uuid4().hex,
        }
        try:
            store.write(MARKER, pointers.dump(mark), if_absent=True)
        except StoreConflict:
            return check_workspace(store, settings)  # another process marked it just now
        return True
    document = pointers.document(data, f"{store.address}/{MARKER}")
    if document.get("simulated") is not settings.simulated:
        kinds = {True: "simulated", False: "real"}
        raise WorkspaceMixed(
            f"{store.address} holds {kinds[bool(document.get('simulated'))]} data of workspace '{document.get('workspace')}'; "
            f"workspace '{settings.workspace}' is for {kinds[settings.simulated]} data. Nothing was done; give it its own store"
        )
    return True


class Registry:
    """Models, scorings and the pointer in one store. Safe to share between threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        # by address, so that a copy from another store is never taken for this one's version of the same name
        self._cache = Cache(settings.path("cache") / hashlib.sha256(store.address.encode()).hexdigest()[:8])
        self._entered = False
        self._noted: str | None = None
        self._metrics: dict[str, tuple[str, dict[str, Any]]] = {}

    # -- the pointer ---------------------------------------------------------

    def pointer(self) -> Pointer | None:
        """The current pair, or None where nothing was promoted yet.

        Raises
        ------
        StoreUnavailable: the store did not answer, or its pointer cannot be understood; keep showing what is shown.
        WorkspaceMixed: the store is not this workspace's.
        """
        self._enter()
        try:
            blob = self._store.read(POINTER)
        except NotInStore:
            self._note(None, "")
            return None
        pointer = pointers.read(blob.data, blob.etag, f"{self._store.address}/{POINTER}")
        self._note(blob.data, blob.etag)
        return pointer

    def last_known_pointer(self) -> Pointer | None:
        """The pointer last seen from this machine, for an app that starts while the store is away. Its etag fits no swap."""
        data = self._cache.noted(POINTER)
        return None if data is None else pointers.read(data, "", "the cached pointer")

    def history(self) -> tuple[HistoryEntry, ...]:
        """Every swap that won, oldest first."""
        pointer = self.pointer()
        return pointer.history if pointer else ()

    def swap(
        self, *, model: str, scoring: str | None, action: str, who: str, expected: Pointer | None, reason: str = ""
    ) -> Pointer:
        """Show another pair, in one conditional write.

        Parameters
        ----------
        action: `promote`, `publish` or `rollback`, for the history.
        expected: the pointer the decision was made on; None where there was none.

        Raises
        ------
        StoreConflict: the pointer is another by now; says who changed it. Nothing was written.
        NotInStore, BundleRejected: the model or the scoring is missing, or does not pass its checks.
        PromotionRefused: the scoring was made with another model or schema.
        """
        self._enter(claim=True)
        self._check_pair(model, scoring)
        now = self.pointer()
        if (now.etag if now else None) != (expected.etag if expected else None):
            raise lost(now)
        entry = HistoryEntry(model, scoring, datetime.now(UTC), who, reason, action, uuid.uuid4().hex[:12])
        data = pointers.write((*(now.history if now else ()), entry))
        try:
            etag = self._store.write(POINTER, data, if_match=now.etag if now else None, if_absent=now is None)
        except StoreConflict as error:
            raise lost(self.pointer()) from error
        self._note(data, etag)
        return pointers.read(data, etag, POINTER)

    def rollback(self, who: str, reason: str = "", *, seen: Pointer | None = None) -> Pointer:
        """Show the pair that was shown before the current one; done again, the one before that.

        Once customers were shown, a pair without a scoring is passed over: it would empty the desk.

        Parameters
        ----------
        seen: the pointer that whoever decided was looking at; what is shown now unless given.

        Raises
        ------
        NoChampion: nothing was promoted yet. NotInStore: there is no such pair before, or it is no longer in the store.
        Else as `swap`.
        """
        now = self.pointer()
        if now is None:
            raise NoChampion("there is nothing to roll back: no model was promoted yet")
        if seen is not None and seen.etag != now.etag:
            raise lost(now)
        before = pointers.before(now.history)
        if before is None:
            shown = f"model {now.model} with {f'scoring {now.scoring}' if now.scoring else 'no scoring'}"
            customers = " that showed customers" if len(now.history) > 1 else ""
            raise NotInStore(f"there is no pair before {shown}{customers}; nothing was changed")
        return self.swap(model=before[0], scoring=before[1], action=pointers.ROLLBACK, who=who, reason=reason, expected=now)

    def challenger(self) -> Challenger | None:
        """The version that runs in shadow, or that none does any more; None where none ever did. Raises as `pointer`."""
        self._enter()
        try:
            blob = self._store.read(challenger.NAME)
        except NotInStore:
            return None
        return challenger.read(blob.data, blob.etag, f"{self._store.address}/{challenger.NAME}")

    def set_challenger(self, model: str | None, *, who: str, reason: str, expected: Challenger | None) -> Challenger:
        """Let a version run in shadow beside the champion; None ends that. One conditional write.

        Parameters
        ----------
        expected: the challenger the decision was made on, as `challenger` gave it.

        Raises
        ------
        StoreConflict: it is another one by now; nothing was written. NotInStore, BundleRejected: the version is missing or
            damaged. PromotionRefused: it is the champion.
        """
        self._enter(claim=True)
        now = self.pointer()
        if model is not None:
            if now is not None and now.model == model:
                raise PromotionRefused(f"model {model} is the champion, so it cannot run in shadow beside it")
            self._check_whole("model", model, self.load_model(model).manifest)
        data = challenger.write(model, now.model if now else None, datetime.now(UTC), who, reason)
        etag = expected.etag if expected else None
        try:
            etag = self._store.write(challenger.NAME, data, if_match=etag, if_absent=expected is None)
        except StoreConflict as error:
            other = self.challenger()
            what = f"{other.by} was faster: {other.model or 'no model'} runs in shadow now" if other else "it was removed"
            raise StoreConflict(f"{what}; nothing was changed. Look again and repeat") from error
        return challenger.read(data, etag, challenger.NAME)

    def _check_pair(self, model: str, scoring: str | None) -> None:
        of_model = self.load_model(model).manifest
        self._check_whole("model", model, of_model)
        if scoring is None:
            return
        facts = self._facts("scoring", scoring)
        if facts["model"] != model:
            raise PromotionRefused(f"scoring {scoring} was made with model {facts['model']}, not {model}; nothing was changed")
        if facts["schema_hash"] != of_model["schema_hash"]:
            raise PromotionRefused(f"scoring {scoring} was made with another schema than model {model}'s; nothing was changed")
        self._keep_apart(facts, self._where("scoring", scoring))
        self._check_whole("scoring", scoring, facts)

    def _check_whole(self, kind: manifest.Kind, name: str, facts: dict[str, Any]) -> None:
        if (damage := self._damage(kind, name, facts)) is not None:
            raise BundleRejected(f"{damage}. Nothing was changed")

    def _damage(self, kind: manifest.Kind, name: str, facts: dict[str, Any]) -> str | None:
        """The first file that does not lie in the store as it was published; a copy here may be good while others fetch none.

        The store's own bytes count. Where it tells an etag and a verified copy lies here, the two are compared; else the file is
        read from the store.
        """
        place = f"{_PLACES[kind]}/{name}"
        entries = {entry.key.removeprefix(f"{place}/"): entry for entry in self._store.list(f"{place}/")}
        if (damage := _not_whole(facts, {file: entry.size for file, entry in entries.items()})) is not None:
            return f"{kind} {name}: {damage}; {manifest.ADVICE[kind]}"
        copy = self._cache.verified(place, kind, facts)
        for file, wanted in facts["files"].items():
            at = manifest.stored(file, wanted)
            etag = entries[at].etag
            if etag is not None and copy is not None and etag == etag_of(copy / file):
                continue
            if self._store.sha256(f"{place}/{at}") != wanted["sha256"]:
                return f"{kind} {name}: {file} was altered in the store, its sum is not the manifest's; {manifest.ADVICE[kind]}"
        return None

    # -- models and scorings -------------------------------------------------

    def publish_model(self, folder: Path) -> str:
        """Put a sealed bundle in the store and return its version (`v12`); the pointer stays as it is.

        Raises
        ------
        BundleRejected: the folder does not pass its checks. WorkspaceMixed: simulated meets real.
        """
        bundle.load(folder)
        return self._publish("model", folder)

    def publish_scoring(self, folder: Path) -> str:
        """Put a sealed scoring in the store and return its id (`2026-11-19-0612-ab12`, UTC); the pointer stays as it is.

        Raises
        ------
        BundleRejected: the folder does not pass its checks. WorkspaceMixed: simulated meets real.
        """
        return self._publish("scoring", folder)

    def problem(self, kind: manifest.Kind, name: str) -> str | None:
        """What is wrong with a model or scoring as it lies in the store, every sum of it verified; None where all is well.

        Raises
        ------
        StoreUnavailable: the store did not answer. WorkspaceMixed: it is not this workspace's.
        """
        self._enter()
        try:
            return self._damage(kind, name, self._facts(kind, name))
        except (BundleRejected, NotInStore) as error:
            return str(error)

    def withdraw_scoring(self, id: str) -> bool:
        """Take a scoring out of the store that was never shown, and say whether that was done.

        First its manifest, so that nobody finds it any more; if somebody shows it all the same just then, it is put back.
        """
        key = f"{_PLACES['scoring']}/{id}/{manifest.NAME}"
        try:
            kept = self._store.read(key).data
        except NotInStore:
            return False
        for taken in (False, True):
            if id in {entry.scoring for entry in self.history()}:
                if taken:
                    self._store.write(key, kept)
                return False
            self._store.delete(key)
        for entry in self._store.list(f"{_PLACES['scoring']}/{id}/"):
            self._store.delete(entry.key)
        return True

    def rewrite(
        self, kind: manifest.Kind, name: str, facts: dict[str, Any], folder: Path, files: Sequence[str], **changed: Any
    ) -> None:
        """Give files of a model or scoring other content, in one conditional write of its manifest: for erasing a customer only.

        Whoever fetches it meanwhile gets it as it was, or as it is then. What the store holds of the old content is removed at
        the end; `clear` does so for a rewriting that was killed before.

        Parameters
        ----------
        facts: its manifest that the decision was made on.
        folder: the new content of `files`, under their own names.
        changed: facts that are others now.

        Raises
        ------
        StoreConflict: it was rewritten by somebody else meanwhile; nothing was changed.
        """
        place = f"{_PLACES[kind]}/{name}"
        etag = self._store.read(f"{place}/{manifest.NAME}").etag
        if self._facts(kind, name)["sum"] != facts["sum"]:
            raise StoreConflict(f"{kind} {name} was rewritten by somebody else meanwhile; repeat it")
        stamp = f"{_ASIDE}{datetime.now(UTC):{_STAMP}}-{uuid.uuid4().hex[:6]}"
        stamps = {file: f"{file}{stamp}" for file in files}
        document = manifest.rewritten(facts, folder, stamps, **changed)
        for file, at in stamps.items():
            with disk(folder / at, "written"):
                (folder / file).rename(folder / at)
        self._store.upload(place, folder, stamps.values())
        try:
            self._store.write(f"{place}/{manifest.NAME}", manifest.dump(document), if_match=etag)
        except StoreConflict:
            for at in stamps.values():
                self._store.delete(f"{place}/{at}")
            raise
        self.clear(kind, name)

    def clear(self, kind: manifest.Kind, name: str) -> int:
        """Remove from the store what a rewriting left behind of the content before, and say how many objects that were."""
        place = f"{_PLACES[kind]}/{name}"
        facts = self._facts(kind, name)
        if not facts.get("rewritten"):
            return 0
        kept = {manifest.stored(file, wanted) for file, wanted in facts["files"].items()}
        limit = f"{datetime.now(UTC) - _STRANGER:{_STAMP}}"
        removed = 0
        for entry in self._store.list(f"{place}/"):
            at = entry.key.removeprefix(f"{place}/")
            _, aside, stamp = at.partition(_ASIDE)
            if at not in kept and (at in facts.get("rewritten", ()) or (aside and stamp < limit)):
                self._store.delete(entry.key)
                removed += 1
        return removed

    def renew_copy(self, kind: manifest.Kind, name: str) -> bool:
        """Replace this machine's copy of a model or scoring that was rewritten; False where there is none, or it is the same."""
        known = self._cache.known(f"{_PLACES[kind]}/{name}")
        if known is None or known == self._manifest(kind, name):
            return False
        self._folder(kind, name)
        return True

    def versions(self) -> tuple[VersionInfo, ...]:
        """Every model in the store, newest first; one with a missing or truncated file is listed with its problem.

        Sums are verified where a version is used (`load_model`) or asked about (`problem`), not for a list.
        """
        self._enter()
        entries = self._store.list("models/")
        sizes: dict[str, dict[str, int]] = {}
        for entry in entries:
            name, _, file = entry.key.removeprefix("models/").partition("/")
            sizes.setdefault(name, {})[file] = entry.size
        return _all(lambda name: self._version(name, sizes[name]), self._published("model", entries)[::-1])

    def scorings(self, newest: int | None = None) -> tuple[ScoringInfo, ...]:
        """The scorings in the store, newest first, all or so many; a damaged one is listed with its problem."""
        self._enter()
        return _all(self._scoring, self._published("scoring")[::-1][:newest])

    def load_model(self, version: str) -> Bundle:
        """The model, from a verified local copy. The store is asked for its manifest; if it is away, the copy serves.

        Raises
        ------
        NotInStore: no such version. BundleRejected: it does not pass its checks; a good copy stays.
        """
        folder = self._folder("model", version)
        where = f"model {version}"
        return bundle.read(folder, manifest.parse((folder / manifest.NAME).read_bytes(), where, "model"), where)

    def scoring_folder(self, id: str) -> Path:
        """A verified local copy of a scoring's files, to be read only. Raises as `load_model`."""
        return self._folder("scoring", id)

    def _publish(self, kind: manifest.Kind, folder: Path) -> str:
        facts = manifest.verify(folder, kind)
        self._keep_apart(facts, str(folder))
        if kind == "scoring" and not {"model", "as_of", "rows"} <= facts.keys():
            raise BundleRejected(f"{folder}: the manifest of a scoring must name model, as_of and rows")
        self._enter(claim=True)
        name = self._claim(kind, facts)
        prefix = f"{_PLACES[kind]}/{name}"
        if any("at" in file for file in facts["files"].values()):
            raise BundleRejected(f"{folder}: it was rewritten in the store it comes from, and is published there only")
        self._store.upload(prefix, folder, facts["files"])
        # last, so that whatever is not all there is not there at all
        named = manifest.dump({**facts, "version" if kind == "model" else "id": name})
        self._store.write(f"{prefix}/{manifest.NAME}", named, if_absent=True)
        return name

    def _claim(self, kind: manifest.Kind, facts: dict[str, Any]) -> str:
        """A name nobody else has or will have: whoever creates its claim first owns it."""
        prefix = f"claims/{_PLACES[kind]}/"
        taken = {entry.key.removeprefix(prefix) for entry in self._store.list(prefix)} | set(self._published(kind))
        number = max((_number(name) for name in taken if _NAMES["model"].fullmatch(name)), default=0)
        moment = datetime.fromisoformat(facts["created"]).astimezone(UTC)
        while True:
            number += 1
            name = f"v{number}" if kind == "model" else f"{moment:%Y-%m-%d-%H%M}-{uuid.uuid4().hex[:4]}"
            try:
                self._store.write(f"{prefix}{name}", pointers.dump({"id": uuid.uuid4().hex}), if_absent=True)
            except StoreConflict:
                continue
            return name

    def _published(self, kind: manifest.Kind, entries: Sequence[Entry] | None = None) -> list[str]:
        """Names of everything finished, oldest first; from a listing of its place, where there is one already."""
        prefix, end = f"{_PLACES[kind]}/", f"/{manifest.NAME}"
        entries = self._store.list(prefix) if entries is None else entries
        names = [entry.key[len(prefix) : -len(end)] for entry in entries if entry.key.endswith(end)]
        names = [name for name in names if _NAMES[kind].fullmatch(name)]
        return sorted(names, key=_number) if kind == "model" else sorted(names)

    def _facts(self, kind: manifest.Kind, name: str) -> dict[str, Any]:
        """The manifest in the store."""
        return manifest.parse(self._manifest(kind, name), self._where(kind, name), kind)

    def _manifest(self, kind: manifest.Kind, name: str) -> bytes:
        if _NAMES[kind].fullmatch(name):
            try:
                return self._store.read(f"{_PLACES[kind]}/{name}/{manifest.NAME}").data
            except NotInStore as error:
                raise NotInStore(f"there is no {kind} {name} in {self._store.address}") from error
        raise NotInStore(f"there is no {kind} {name!r}; names look like {'v12' if kind == 'model' else '2026-11-19-0612-ab12'}")

    def _folder(self, kind: manifest.Kind, name: str) -> Path:
        place = f"{_PLACES[kind]}/{name}"
        try:
            self._enter()
            wanted = self._manifest(kind, name)
        except StoreUnavailable:
            cached = self._cache.known(place)
            if cached is None:
                raise
            wanted = cached
        where = self._where(kind, name)
        facts = manifest.parse(wanted, where, kind)
        self._keep_apart(facts, where)
        return self._cache.folder(place, kind, wanted, lambda folder: self._fetch(place, facts, folder), where)

    def _fetch(self, place: str, facts: dict[str, Any], folder: Path) -> None:
        """Copy a model or scoring into a folder, each file under its own name whatever the store calls it."""
        self._store.download(place, folder)
        if not facts.get("rewritten"):
            return
        with disk(folder, "written"):
            for name in facts.get("rewritten", ()):
                (folder / name).unlink(missing_ok=True)
            for name, wanted in facts["files"].items():
                at = manifest.stored(name, wanted)
                if at != name and (folder / at).exists():
                    (folder / at).rename(folder / name)
            for path in folder.rglob(f"*{_ASIDE}*"):  # of a rewriting that was not finished
                path.unlink()

    def _keep_apart(self, facts: dict[str, Any], where: str) -> None:
        if facts["simulated"] is not self._settings.simulated:
            kinds = {True: "simulated", False: "real"}
            raise WorkspaceMixed(
                f"{where} comes from {kinds[facts['simulated']]} data; workspace '{self._settings.workspace}' is for "
                f"{kinds[self._settings.simulated]} data"
            )

    def _where(self, kind: manifest.Kind, name: str) -> str:
        return f"{self._store.address}/{_PLACES[kind]}/{name}"

    def _enter(self, *, claim: bool = False) -> None:
        """Check the store's mark; a mark never changes, so readers look once."""
        if claim or not self._entered:
            self._entered = check_workspace(self._store, self._settings, claim=claim)

    def _note(self, data: bytes | None, etag: str) -> None:
        """Keep the pointer for a start while the store is away. A disk that refuses it must not undo what was done."""
        if self._noted != etag:
            with suppress(StoreUnavailable):
                self._cache.note(POINTER, data)
                self._noted = etag

    def _version(self, name: str, sizes: Mapping[str, int]) -> VersionInfo:
        try:
            facts = self._facts("model", name)
        except (BundleRejected, NotInStore) as error:
            return VersionInfo(name, None, "", {}, {}, str(error))
        created = datetime.fromisoformat(facts["created"])
        try:
            metrics = self._read_metrics(name, facts)
        except (BundleRejected, NotInStore) as error:
            return VersionInfo(name, created, facts["schema_hash"], {}, facts, str(error))
        damage = _not_whole(facts, sizes)
        problem = f"{self._where('model', name)}: {damage}; {manifest.ADVICE['model']}" if damage else None
        return VersionInfo(name, created, facts["schema_hash"], metrics, facts, problem)

    def _read_metrics(self, name: str, facts: dict[str, Any]) -> dict[str, Any]:
        if self._metrics.get(name, ("",))[0] != facts["sum"]:
            data = self._store.read(f"{_PLACES['model']}/{name}/{bundle.METRICS}").data
            if hashlib.sha256(data).hexdigest() != facts["files"].get(bundle.METRICS, {}).get("sha256"):
                raise BundleRejected(f"{self._where('model', name)}/{bundle.METRICS} was altered; {manifest.ADVICE['model']}")
            self._metrics[name] = (facts["sum"], json.loads(data))
        return dict(self._metrics[name][1])

    def _scoring(self, name: str) -> ScoringInfo:
        try:
            facts = self._facts("scoring", name)
        except (BundleRejected, NotInStore) as error:
            return ScoringInfo(name, "", "", 0, None, "", {}, str(error))
        created = datetime.fromisoformat(facts["created"])
        return ScoringInfo(name, facts["model"], str(facts["as_of"]), facts["rows"], created, facts["schema_hash"], facts)


def _all(look: Callable[[str], _Info], names: Sequence[str]) -> tuple[_Info, ...]:
    """Look at many things at once: each costs a trip to the store."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(look, names))


def _not_whole(facts: dict[str, Any], sizes: Mapping[str, int]) -> str | None:
    """The first file of a manifest that is missing from a listing, or has another size there; None where none is."""
    for file, wanted in facts["files"].items():
        if sizes.get(manifest.stored(file, wanted)) != wanted["bytes"]:
            return f"{file} is missing from the store or not whole"
    return None


def _number(version: str) -> int:
    return int(version[1:])


def lost(now: Pointer | None) -> StoreConflict:
    """What whoever comes second is told: who was faster, and what the desk shows now."""
    if now is None:
        return StoreConflict("the pointer was removed meanwhile; nothing was changed. Look again and repeat")
    return StoreConflict(
        f"{now.by} was faster ({now.action}, {now.since:%d %b %Y, %H:%M} UTC): the desk shows model {now.model}, "
        f"scoring {now.scoring or 'none'} now; nothing was changed. Look again and repeat"
    )
