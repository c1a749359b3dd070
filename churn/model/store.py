"""Where models, scorings and the log lie: a folder or an S3 bucket, behind one small set of operations.

A write is whole or absent, never half. A write with a condition (`if_match`, `if_absent`) is the only way two people can
change the same object: one wins, the other gets a `StoreConflict`. What is written under a condition should hold something
that only its writer knows (a random id), so that a writer whose answer got lost can tell its own success from another's.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from churn.data.disk import disk as disk  # also for whoever writes beside a store
from churn.data.s3 import calling, client, split
from churn.errors import ChurnError, NotInStore, SettingsError, StoreConflict, StoreUnavailable
from churn.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCK = ".lock"
PROBES = "probes/"
_LOCK_WAIT_S = 15.0
_ROUNDS = 4  # of a conditional write whose outcome is unclear; boto3's own retries come on top
_MIB = 1024 * 1024
_IN_PARTS_FROM, _PART = 64 * _MIB, 16 * _MIB  # files as large as that are uploaded to S3 in parts
_KEY_PART = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")  # no empty part, no leading dot, so neither "." nor ".."


@dataclass(frozen=True, slots=True)
class Blob:
    """An object and the etag that a conditional write compares."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing; the etag is given where it costs nothing."""

    key: str
    size: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a store can do, tried out; `problem` is the first thing that failed."""

    address: str
    readable: bool
    writable: bool
    conditional: bool
    seconds: float
    problem: str | None = None

    @property
    def good(self) -> bool:
        return self.readable and self.writable and self.conditional


class Store(Protocol):
    """Objects by key (`models/v3/manifest.json`), in a folder or a bucket alike.

    All methods raise StoreUnavailable where the store does not answer or refuses, and NotInStore for a key it cannot hold
    (empty part, leading dot, backslash or control character).
    """

    @property
    def address(self) -> str:
        """The store as people write it: a path, or s3://bucket/prefix."""

    def read(self, key: str) -> Blob:
        """The object. Raises NotInStore if there is none."""

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Put the object, whole or not at all, and return its etag.

        Parameters
        ----------
        if_match: write only over the object that has this etag.
        if_absent: write only where there is no object yet.

        Raises
        ------
        StoreConflict: the condition does not hold; nothing was written.
        """

    def list(self, prefix: str = "") -> list[Entry]:
        """Every object whose key begins with `prefix`, by key."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if there is none."""

    def upload(self, prefix: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a local folder to `prefix/name`, in the order given, large ones in parts."""

    def download(self, prefix: str, folder: Path) -> None:
        """Copy every object under `prefix/` into a local folder. Raises NotInStore if there is none."""

    def sha256(self, key: str) -> str:
        """The sum of the object as it lies there now, every byte of it read. Raises NotInStore if there is none."""

    def trial(self) -> AbstractContextManager[Store]:
        """An empty store in the same place, to try things in; nothing of it is left afterwards, not even a folder."""


def open_store(settings: Settings) -> Store:
    """The store the settings name. Nothing is connected or created yet. Raises SettingsError for an unknown kind of address."""
    address = settings.store
    if address.startswith("s3://"):
        bucket, prefix = split(address)
        if not bucket:
            raise SettingsError(f"setting 'store' must be s3://bucket/prefix, not {address!r}")
        return S3Store(settings, bucket, prefix.strip("/"))
    if "://" in address and not address.startswith("file://"):
        raise SettingsError(f"setting 'store' must be a folder, file://… or s3://bucket/prefix, not {address!r}")
    return FileStore(settings.path("store"))


def check(store: Store) -> Health:
    """Try what the desk needs of a store: read, write and delete a probe, and refuse a write whose condition fails."""
    started = time.monotonic()
    done = {"readable": False, "writable": False, "conditional": False}
    problem = None
    try:
        store.list(PROBES)
        done["readable"] = True
        with store.trial() as place:
            etag = place.write("probe", b"first", if_absent=True)
            done["writable"] = place.read("probe").data == b"first"
            done["conditional"] = (
                _refuses(place, "probe", if_absent=True)
                and _refuses(place, "probe", if_match="0" * 32)
                and place.write("probe", b"second", if_match=etag) != etag
                and _refuses(place, "probe", if_match=etag)
            )
        if not done["conditional"]:
            problem = f"{store.address}: a write whose condition fails must be refused; this server does it all the same"
    except ChurnError as error:
        problem = str(error)
    return Health(address=store.address, seconds=time.monotonic() - started, problem=problem, **done)


def ensure_room(store: Store, size: int = _MIB) -> None:
    """Write so many bytes and take them away again, before long work whose result could not be kept otherwise.

    Raises
    ------
    StoreUnavailable: the store cannot be written, or is full.
    """
    with store.trial() as place:
        place.write("probe", os.urandom(size))


def _refuses(store: Store, key: str, *, if_match: str | None = None, if_absent: bool = False) -> bool:
    try:
        store.write(key, uuid.uuid4().bytes, if_match=if_match, if_absent=if_absent)
    except StoreConflict:
        return True
    return False


def _checked(key: str) -> str:
    if not all(_KEY_PART.fullmatch(part) for part in key.split("/")):
        raise NotInStore(f"{key!r} cannot be a name in the store: no part may be empty, begin with a dot or hold a backslash")
    return key


def _conflict(where: str) -> StoreConflict:
    return StoreConflict(f"{where}: somebody else changed it first; nothing was written")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock file against all other threads and processes. Raises StoreUnavailable after 15 s of waiting."""
    import fcntl  # not on Windows, where a store in a folder is not offered

    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{lock} has been held by another process for {_LOCK_WAIT_S:.0f} s; end that process and try again"
                    ) from error
            time.sleep(random.uniform(0.001, 0.01))
        yield
    finally:
        os.close(handle)  # lets go of the lock


# -- a folder ------------------------------------------------------------------


class FileStore:
    """A store in a local or mounted folder: files are written beside their place and renamed, under a lock between processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        return str(self._root)

    def read(self, key: str) -> Blob:
        path = self._path(key)
        with disk(path, "read"):
            data = _content(path)
        if data is None:
            raise NotInStore(f"{path}: there is no such object")
        return Blob(data, _etag(data))

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        path = self._path(key)
        with disk(path, "written"), self._beside(path) as (part, stream):
            stream.write(data)
            _flush(stream)
            with locked(self._root / LOCK):
                if if_match is not None or if_absent:
                    now = _content(path)
                    if (None if now is None else _etag(now)) != if_match:
                        raise _conflict(str(path))
                part.replace(path)
                _flush_folder(path.parent)
        return _etag(data)

    def list(self, prefix: str = "") -> list[Entry]:
        base = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self._root
        entries = []
        with disk(base, "listed"):
            if self._root.exists() and not self._root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))
            for folder, folders, names in os.walk(base, onerror=_unless_missing):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for path in (Path(folder, name) for name in names if not name.startswith(".")):
                    key = path.relative_to(self._root).as_posix()
                    if key.startswith(prefix):
                        with suppress(FileNotFoundError):  # gone since the folder was read
                            entries.append(Entry(key, path.stat().st_size))
        return sorted(entries, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with disk(path, "deleted"), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            if path.parent != self._root:
                with suppress(OSError):  # only where nothing else is in it
                    path.parent.rmdir()

    def upload(self, prefix: str, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            path = self._path(f"{prefix}/{name}")
            with disk(path, "written"), (folder / name).open("rb") as source, self._beside(path) as (part, stream):
                shutil.copyfileobj(source, stream, _MIB)
                _flush(stream)
                part.replace(path)
                _flush_folder(path.parent)

    def download(self, prefix: str, folder: Path) -> None:
        entries = self.list(f"{prefix}/")
        if not entries:
            raise NotInStore(f"{self._path(prefix)}: there is nothing there")
        for entry in entries:
            target = folder / entry.key.removeprefix(f"{prefix}/")
            with disk(target, "written"):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._path(entry.key), target)

    def sha256(self, key: str) -> str:
        path = self._path(key)
        with disk(path, "read"):
            try:
                with path.open("rb") as stream:
                    return hashlib.file_digest(stream, "sha256").hexdigest()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotInStore(f"{path}: there is no such object") from error

    @contextmanager
    def trial(self) -> Iterator[Store]:
        # where the store does not exist yet, in the folder that it would be made in
        near = next(folder for folder in (self._root, *self._root.parents) if folder.exists())
        with disk(self._root, "written"):
            try:
                place = Path(tempfile.mkdtemp(prefix=".probe-", dir=near))
            except OSError as error:
                raise OSError(error.errno, error.strerror) from error  # without the name of the probe: the store is meant
        try:
            yield FileStore(place)
        except StoreUnavailable as error:
            raise StoreUnavailable(str(error).replace(str(place), str(self._root))) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _path(self, key: str) -> Path:
        path = self._root / _checked(key)
        root = self._root.resolve()
        if root not in path.resolve().parents:  # a link inside the store that leads out of it
            raise NotInStore(f"{key!r} leads out of the store {self._root}")
        return path

    @contextmanager
    def _beside(self, path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
        """A new file in the folder of `path`, to be renamed to it; removed unless that happened."""
        part = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with self._new(part) as stream:
                yield part, stream
        finally:
            part.unlink(missing_ok=True)

    def _new(self, part: Path) -> IO[bytes]:
        for last in (False, False, True):
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                return part.open("xb")
            except FileNotFoundError:  # somebody deleted the last file beside it, and with it the folder
                if last:
                    raise
        raise AssertionError("unreachable")


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _flush(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- a bucket ------------------------------------------------------------------


class S3Store:
    """A store under a prefix of an S3 bucket. Needs a server that honours If-Match and If-None-Match on PUT."""

    def __init__(self, settings: Settings, bucket: str, prefix: str) -> None:
        self._settings = settings
        self._bucket = bucket
        self._prefix = prefix

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @cached_property
    def _client(self) -> S3Client:
        return client(self._settings)

    def read(self, key: str) -> Blob:
        name, where = self._name(key), self._where(key)
        for last in _tries(self._settings.s3_attempts):
            with calling(where):
                answer = self._client.get_object(Bucket=self._bucket, Key=name)
            try:  # boto3 retries the call but not the reading of its body
                with calling(where):
                    return Blob(answer["Body"].read(), answer["ETag"].strip('"'))
            except StoreUnavailable:
                if last:
                    raise
        raise AssertionError("unreachable")

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        name, where = self._name(key), self._where(key)
        condition: dict[str, Any] = {}
        if if_absent:
            condition["IfNoneMatch"] = "*"
        elif if_match is not None:
            condition["IfMatch"] = if_match  # without quotes: some servers compare the text as it is
        for last in _tries(_ROUNDS):
            try:
                with calling(where):
                    return self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **condition)["ETag"].strip('"')
            except (StoreConflict, NotInStore, StoreUnavailable) as error:
                if not condition or not _unclear(error):
                    raise
                # A loser may get a 5xx and a winner whose answer was lost a 412, so only what lies there now can tell.
                now = self._current(key)
                if now is not None and now.data == data:
                    return now.etag
                if (None if now is None else now.etag) != if_match:
                    raise _conflict(where) from error
                if last:
                    raise
        raise AssertionError("unreachable")

    def list(self, prefix: str = "") -> list[Entry]:
        if "/" in prefix:
            _checked(prefix.rpartition("/")[0])
        full = f"{self._prefix}/{prefix}" if self._prefix else prefix
        cut = len(full) - len(prefix)
        entries = []
        with calling(self._where(prefix)):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=full):
                for item in page.get("Contents", ()):
                    entries.append(Entry(item["Key"][cut:], item["Size"], item["ETag"].strip('"')))
        return sorted(entries, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        with calling(self._where(key)):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def upload(self, prefix: str, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            key = f"{prefix}/{name}"
            with disk(folder / name, "read"), calling(self._where(key)):
                self._client.upload_file(str(folder / name), self._bucket, self._name(key), Config=_in_parts())

    def download(self, prefix: str, folder: Path) -> None:
        entries = self.list(f"{prefix}/")
        if not entries:
            raise NotInStore(f"{self._where(prefix)}: there is nothing there")
        for entry in entries:
            target = folder / _checked(entry.key).removeprefix(f"{prefix}/")  # keys come from outside: none may leave the folder
            with disk(target, "written"), calling(self._where(entry.key)):
                target.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self._bucket, self._name(entry.key), str(target), Config=_in_parts())

    def sha256(self, key: str) -> str:
        name, where = self._name(key), self._where(key)
        for last in _tries(self._settings.s3_attempts):
            with calling(where):
                answer = self._client.get_object(Bucket=self._bucket, Key=name)
            found = hashlib.sha256()
            try:  # boto3 retries the call but not the reading of its body
                with calling(where):
                    for part in answer["Body"].iter_chunks(_MIB):
                        found.update(part)
                return found.hexdigest()
            except StoreUnavailable:
                if last:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def trial(self) -> Iterator[Store]:
        place = S3Store(self._settings, self._bucket, self._name(f"{PROBES}{uuid.uuid4().hex}"))
        place.__dict__["_client"] = self._client  # made once
        try:
            yield place
        finally:
            for entry in place.list():
                place.delete(entry.key)

    def _current(self, key: str) -> Blob | None:
        try:
            return self.read(key)
        except NotInStore:
            return None

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{_checked(key)}" if self._prefix else _checked(key)

    def _where(self, key: str) -> str:
        return f"{self.address}/{key}"


def _in_parts() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=_IN_PARTS_FROM, multipart_chunksize=_PART, max_concurrency=4)


def etag_of(path: Path) -> str:
    """The etag that S3 gives a file uploaded by `S3Store`: its MD5, or that of the MD5s of its parts and their number.

    With encryption by keys of KMS an etag is something else; whoever compares must take a difference for "not known".
    """
    parts = []
    whole = path.stat().st_size < _IN_PARTS_FROM
    with disk(path, "read"), path.open("rb") as stream:
        while data := stream.read(_IN_PARTS_FROM if whole else _PART):
            parts.append(hashlib.md5(data, usedforsecurity=False))
    if whole:
        return (parts or [hashlib.md5(usedforsecurity=False)])[0].hexdigest()
    together = b"".join(part.digest() for part in parts)
    return f"{hashlib.md5(together, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _tries(count: int) -> Iterator[bool]:
    """`count` tries with growing, random pauses between them; True for the last."""
    for number in range(1, count + 1):
        yield number == count
        time.sleep(random.uniform(0.5, 1.0) * min(0.1 * 2**number, 5.0))


def _unclear(error: ChurnError) -> bool:
    """Whether a write that failed so may have happened, or may succeed if it is tried again."""
    from botocore.exceptions import ClientError, HTTPClientError

    if not isinstance(error, StoreUnavailable):
        return True
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    return isinstance(cause, HTTPClientError)
