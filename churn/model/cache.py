"""Verified local copies of what the store holds, and the last pointer seen.

A copy appears whole or not at all, whoever else is fetching the same; one that does not match its manifest is fetched anew.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from churn.errors import BundleRejected, NotInStore
from churn.model import manifest
from churn.model.store import LOCK, FileStore, disk, locked

_PARTIAL = ".partial-"
_STALE_S = 24 * 3600.0  # what a killed process left behind is removed after a day


class Cache:
    """Copies of one store's folders, under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._verified: dict[str, str] = {}  # folder → sum of the manifest it was verified with, in this process
        self._lock = threading.Lock()

    def known(self, name: str) -> bytes | None:
        """The manifest of the copy, unchecked, or None if there is no copy."""
        path = self._root / name / manifest.NAME
        with disk(path, "read"):
            return path.read_bytes() if path.is_file() else None

    def folder(self, name: str, kind: manifest.Kind, wanted: bytes, fetch: Callable[[Path], None], where: str = "") -> Path:
        """The copy whose manifest is `wanted`, byte for byte; every sum is verified the first time in a process.

        Parameters
        ----------
        name: such as `models/v3`.
        fetch: fills an empty folder; called if there is no such copy or it is corrupt.
        where: what it is a copy of, for messages.

        Raises
        ------
        BundleRejected: what was fetched does not match; the copy there was stays.
        StoreUnavailable: the cache cannot be written, or what `fetch` raises.
        """
        final = self._root / name
        with self._lock:
            if self._good(name, kind, wanted):
                return final
            with disk(self._root, "written"):
                self._sweep()
                part = self._root / f"{_PARTIAL}{uuid.uuid4().hex}"
                part.mkdir(parents=True)
                try:
                    fetch(part)
                    if (part / manifest.NAME).read_bytes() != wanted:
                        raise BundleRejected(f"{name} changed while it was fetched; try again")
                    manifest.verify(part, kind, where)
                    final.parent.mkdir(parents=True, exist_ok=True)
                    with locked(self._root / LOCK):
                        if not self._good(name, kind, wanted):  # unless another process was faster
                            self._drop(final)
                            part.rename(final)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
            self._verified[name] = hashlib.sha256(wanted).hexdigest()
            return final

    def verified(self, name: str, kind: manifest.Kind, facts: dict[str, Any]) -> Path | None:
        """The copy that these facts are the manifest of, if there is one and its sums agree; nothing is fetched."""
        return self._root / name if self._good(name, kind, manifest.dump(facts)) else None

    def note(self, name: str, data: bytes | None) -> None:
        """Keep a small file, or remove it (None); one that is kept already is not written, so a read-only disk still reads."""
        files = FileStore(self._root)
        if self.noted(name) == data:
            return
        if data is None:
            files.delete(name)
        else:
            files.write(name, data)

    def noted(self, name: str) -> bytes | None:
        try:
            return FileStore(self._root).read(name).data
        except NotInStore:
            return None

    def _good(self, name: str, kind: manifest.Kind, wanted: bytes) -> bool:
        if self.known(name) != wanted:
            return False
        if self._verified.get(name) == hashlib.sha256(wanted).hexdigest():
            return True
        try:
            manifest.verify(self._root / name, kind)
        except BundleRejected:
            return False
        self._verified[name] = hashlib.sha256(wanted).hexdigest()
        return True

    def _drop(self, folder: Path) -> None:
        aside = self._root / f"{_PARTIAL}{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            folder.rename(aside)  # at once, so that nobody meets half a folder
            shutil.rmtree(aside, ignore_errors=True)

    def _sweep(self) -> None:
        if self._root.is_dir():
            for path in self._root.glob(f"{_PARTIAL}*"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _STALE_S:
                        shutil.rmtree(path, ignore_errors=True)
