"""A store keeps whole objects, lets one of many writers win, and says plainly what it cannot do."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from churn.data.s3 import client
from churn.errors import NotInStore, SettingsError, StoreConflict, StoreUnavailable
from churn.model import store as module
from churn.model.store import Blob, FileStore, S3Store, Store, check, ensure_room, etag_of, open_store
from churn.settings import Settings

from .ceph_server import EVERYWHERE

# -- what both kinds do --------------------------------------------------------


@EVERYWHERE
def test_what_is_written_is_read_back(store: Store) -> None:
    etag = store.write("models/v1/a.json", b"one")
    assert store.read("models/v1/a.json").data == b"one"
    assert store.read("models/v1/a.json").etag == etag
    assert store.write("models/v1/a.json", b"two") != etag
    assert store.read("models/v1/a.json").data == b"two"


@EVERYWHERE
def test_an_empty_object_is_an_object(store: Store) -> None:
    store.write("empty", b"", if_absent=True)
    assert store.read("empty").data == b""


@EVERYWHERE
def test_what_is_not_there_is_named(store: Store) -> None:
    store.write("models/v1/a.json", b"one")
    for key in ("models/v2/a.json", "models/v1", "models/v1/a.json/deeper"):
        with pytest.raises(NotInStore, match=key):
            store.read(key)


@EVERYWHERE
def test_a_conditional_write_compares_the_etag(store: Store) -> None:
    first = store.write("pointer.json", b"one", if_absent=True)
    second = store.write("pointer.json", b"two", if_match=first)
    with pytest.raises(StoreConflict, match=r"pointer\.json"):
        store.write("pointer.json", b"three", if_match=first)
    with pytest.raises(StoreConflict):
        store.write("pointer.json", b"three", if_absent=True)
    assert store.read("pointer.json").data == b"two"
    assert store.read("pointer.json").etag == second


@EVERYWHERE
def test_an_object_that_is_gone_matches_no_etag(store: Store) -> None:
    etag = store.write("pointer.json", b"one")
    store.delete("pointer.json")
    with pytest.raises(StoreConflict):
        store.write("pointer.json", b"two", if_match=etag)


@EVERYWHERE
def test_one_of_many_writers_wins(store: Store, at_once: Callable[..., list[Any]]) -> None:
    etag = store.write("pointer.json", b"start")
    results = at_once(lambda number: store.write("pointer.json", f"writer {number}".encode(), if_match=etag), 8)
    winners = [number for number, result in enumerate(results) if isinstance(result, str)]
    assert len(winners) == 1
    assert all(isinstance(result, StoreConflict) for number, result in enumerate(results) if number not in winners), results
    assert store.read("pointer.json").data == f"writer {winners[0]}".encode()


@EVERYWHERE
def test_one_of_many_creators_wins(store: Store, at_once: Callable[..., list[Any]]) -> None:
    results = at_once(lambda number: store.write("claims/v1", f"writer {number}".encode(), if_absent=True), 8)
    assert sorted(type(result).__name__ for result in results) == ["StoreConflict"] * 7 + ["str"]


@EVERYWHERE
def test_a_listing_goes_by_prefix(store: Store) -> None:
    for key in ("models/v1/a", "models/v10/a", "models/v2/a", "other"):
        store.write(key, b"1234")
    assert [entry.key for entry in store.list("models/")] == ["models/v1/a", "models/v10/a", "models/v2/a"]
    assert [entry.key for entry in store.list("models/v1")] == ["models/v1/a", "models/v10/a"]
    assert [entry.key for entry in store.list()] == ["models/v1/a", "models/v10/a", "models/v2/a", "other"]
    assert store.list("nothing/here/") == []
    assert store.list("other/") == []
    assert {entry.size for entry in store.list()} == {4}


@EVERYWHERE
def test_a_listing_that_comes_in_pages_is_whole(store: Store, settings: Settings) -> None:
    if isinstance(store, S3Store):  # S3 answers 1,000 keys at a time; 5 make the same point
        store._client = client(settings)  # of its own, to be told so
        ask = "before-parameter-build.s3.ListObjectsV2"
        store._client.meta.events.register(ask, lambda params, **_: params.update(MaxKeys=5))
    for number in range(17):
        store.write(f"many/{number:05d}", b"x")
    assert [entry.key for entry in store.list("many/")] == [f"many/{number:05d}" for number in range(17)]


@EVERYWHERE
def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.write("a", b"x")
    for _ in range(2):
        store.delete("a")
        store.delete("a/b")
    assert store.list() == []


@EVERYWHERE
def test_a_folder_goes_up_and_comes_down(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deeper").mkdir(parents=True)
    (source / "a.json").write_bytes(b"a")
    (source / "deeper" / "b.npz").write_bytes(os.urandom(100_000))
    store.upload("models/v1", source, ["deeper/b.npz", "a.json"])
    store.download("models/v1", target)
    assert (target / "deeper/b.npz").read_bytes() == (source / "deeper/b.npz").read_bytes()
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == ["a.json", "b.npz"]
    with pytest.raises(NotInStore, match="v2"):
        store.download("models/v2", target)


@EVERYWHERE
def test_a_large_file_goes_up_in_parts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_PARTS_FROM", 6_400_000)
    monkeypatch.setattr(module, "_PART", 5 * 2**20)  # the least that S3 takes
    content = os.urandom(7_000_000)
    (tmp_path / "rows.parquet").write_bytes(content)
    store.upload("scorings/s", tmp_path, ["rows.parquet"])
    store.download("scorings/s", tmp_path / "down")
    assert (tmp_path / "down/rows.parquet").read_bytes() == content
    (entry,) = store.list("scorings/")
    assert entry.etag in (None, etag_of(tmp_path / "rows.parquet"))


@EVERYWHERE
def test_the_etag_of_a_small_file_is_known_beforehand(store: Store, tmp_path: Path) -> None:
    for content in (b"", b"one"):
        (tmp_path / "a").write_bytes(content)
        store.upload("x", tmp_path, ["a"])
        assert store.list("x/")[0].etag in (None, etag_of(tmp_path / "a"))


def test_a_file_that_is_not_there_cannot_go_up(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="gone"):
        store.upload("models/v1", tmp_path, ["gone"])
    assert store.list() == []


@pytest.mark.parametrize("key", ["../out", "a/../../out", "/etc/passwd", "a//b", "", ".hidden", "a/./b", "a\\b", "a\0b", "a/"])
def test_a_key_cannot_leave_the_store(store: Store, key: str) -> None:
    for act in (store.read, store.delete, lambda key: store.write(key, b"x")):
        with pytest.raises(NotInStore):
            act(key)


@EVERYWHERE
def test_a_good_store_is_healthy_and_stays_clean(store: Store) -> None:
    health = check(store)
    assert health.good
    assert health.problem is None
    assert health.seconds < 5
    assert store.list() == []


@EVERYWHERE
def test_a_sum_is_of_what_lies_there_now(store: Store) -> None:
    for content in (b"", b"one", os.urandom(3 * 2**20)):
        store.write("a/b", content)
        assert store.sha256("a/b") == hashlib.sha256(content).hexdigest()
    for key in ("a/c", "a", "a/b/c"):
        with pytest.raises(NotInStore):
            store.sha256(key)


@EVERYWHERE
def test_room_is_tried_and_given_back(store: Store) -> None:
    ensure_room(store, 3 * 2**20)
    assert store.list() == []


def test_looking_at_a_store_that_does_not_exist_makes_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "deep" / "store")
    assert check(store).good
    ensure_room(store)
    assert list(tmp_path.iterdir()) == []
    store.write("a", b"one")
    ensure_room(store)
    assert sorted(path.name for path in (tmp_path / "deep" / "store").iterdir()) == [".lock", "a"]


# -- addresses -----------------------------------------------------------------


def test_addresses() -> None:
    home = Path("/srv/desk")
    assert open_store(Settings(home=home, store="models/default")).address == "/srv/desk/models/default"
    assert open_store(Settings(home=home, store="file:///data/store")).address == "/data/store"
    assert open_store(Settings(home=home, store="s3://bucket/a/b/")).address == "s3://bucket/a/b"
    assert open_store(Settings(home=home, store="s3://bucket")).address == "s3://bucket"
    for wrong in ("gs://bucket", "s3://", "https://x"):
        with pytest.raises(SettingsError, match="'store'"):
            open_store(Settings(home=home, store=wrong))


# -- a folder ------------------------------------------------------------------


@settings_of_hypothesis(max_examples=20, deadline=None)
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_an_etag_is_the_content(one: bytes, two: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(Path(folder))
        assert (store.write("x", one) == store.write("y", two)) == (one == two)
        assert store.read("x") == Blob(one, store.write("x", one))


def test_a_link_cannot_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/link").symlink_to(tmp_path)
    store = FileStore(tmp_path / "store")
    with pytest.raises(NotInStore, match="leads out"):
        store.read("link/secret")
    with pytest.raises(NotInStore, match="leads out"):
        store.write("link/new", b"x")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    store.write("a", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.write("a", b"new")
    with pytest.raises(StoreUnavailable, match=rf"^{tmp_path}/probe cannot be written"):
        ensure_room(store)
    assert store.read("a").data == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a"]


def test_what_is_deleted_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    for key in ("a/x", "a/y", "top"):
        store.write(key, b"one")
    store.delete("a/x")
    assert (tmp_path / "a").is_dir()
    store.delete("a/y")
    store.delete("top")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    real, gone = Path.mkdir, [True, True]

    def and_deleted(path: Path, *given: Any, **options: Any) -> None:
        real(path, *given, **options)
        if gone and path == tmp_path / "a":  # another process deletes its last file there
            gone.pop()
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", and_deleted)
    store.write("a/x", b"two")
    assert store.read("a/x").data == b"two"


def test_a_lock_that_is_never_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    store.write("a", b"old")
    monkeypatch.setattr(module, "_LOCK_WAIT_S", 0.05)
    with module.locked(tmp_path / module.LOCK), pytest.raises(StoreUnavailable, match="another process"):
        store.write("a", b"new")
    assert store.read("a").data == b"old"


@pytest.mark.parametrize("root", ["/proc/churn", "/sys/churn"])
def test_a_place_that_takes_no_files(root: str) -> None:
    if not Path(root).parent.is_dir():
        pytest.skip(f"no {Path(root).parent} on this system")
    store = FileStore(Path(root))
    with pytest.raises(StoreUnavailable, match=root):
        store.write("pointer.json", b"x")
    health = check(store)
    assert not health.writable
    assert health.problem is not None
    assert root in health.problem


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("I am a file")
    store = FileStore(tmp_path / "store")
    with pytest.raises(StoreUnavailable, match="a file stands where a folder is needed"):
        store.write("a", b"x")
    with pytest.raises(StoreUnavailable):
        store.list()
    assert not check(store).readable


_ON_A_READ_ONLY_DISK = """
import sys
from pathlib import Path
from churn.errors import StoreUnavailable
from churn.model.store import FileStore, check
store = FileStore(Path(sys.argv[1]))
assert store.read("a").data == b"old"
for act in (lambda: store.write("a", b"new"), lambda: store.write("b/c", b"new"), lambda: store.delete("a")):
    try:
        act()
    except StoreUnavailable as error:
        assert sys.argv[1] in str(error) and sys.argv[2] in str(error), error
    else:
        raise SystemExit("written on a read-only disk")
assert store.read("a").data == b"old"
health = check(store)
assert health.readable and not health.writable, health
"""


def test_a_read_only_disk(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    alone = [unshare or "", "-m"] if os.geteuid() == 0 else [unshare or "", "-rm"]
    if unshare is None or subprocess.run([*alone, "sh", "-c", mount, "sh", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a folder read-only")
    FileStore(tmp_path).write("a", b"old")
    command = f'{mount} && exec "$2" -c "$3" "$1" read-only'
    _run_ok([*alone, "sh", "-c", command, "sh", str(tmp_path), sys.executable, _ON_A_READ_ONLY_DISK])


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    FileStore(tmp_path).write("a", b"old")
    tmp_path.chmod(0o555)
    script = [sys.executable, "-c", _ON_A_READ_ONLY_DISK, str(tmp_path), "rights"]
    if os.geteuid() == 0:  # to whom rights do not apply, unless that power is dropped
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("no setpriv on this system, and rights do not bind root")
        script = [setpriv, "--bounding-set=-dac_override", "--inh-caps=-dac_override", *script]
    try:
        _run_ok(script)
    finally:
        tmp_path.chmod(0o755)


def _run_ok(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(module.__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr


_WRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from churn.model.store import FileStore
store = FileStore(Path(sys.argv[1]))
print("ready", flush=True)
etag = store.read("pointer.json").etag
for number in itertools.count():
    etag = store.write("pointer.json", (str(number) * 100_000).encode()[:100_000] + b"end", if_match=etag)
"""


def test_a_killed_writer_leaves_old_or_new(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.write("pointer.json", b"end")
    for number in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(module.__file__).parents[2]
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.02 + 0.013 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        data = store.read("pointer.json").data
        assert data.endswith(b"end")
        assert len(data) in (3, 100_003)
        assert [entry.key for entry in store.list()] == ["pointer.json"]
        store.write("pointer.json", b"end")  # the lock went with its holder


# -- a bucket ------------------------------------------------------------------


@pytest.fixture
def bucket(s3_place: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    store = open_store(Settings(home=tmp_path, store=f"s3://{s3_place}", s3_endpoint=s3_server, s3_attempts=2))
    assert isinstance(store, S3Store)
    return store


def _answers(store: S3Store, monkeypatch: pytest.MonkeyPatch, operation: str, *answers: Any) -> None:
    """Let the next calls of an operation end as given: an HTTP status, or a function of the real call."""
    from botocore.exceptions import ClientError

    real, queue = getattr(store._client, operation), list(answers)

    def call(**arguments: Any) -> Any:
        answer = queue.pop(0) if queue else None
        if callable(answer):
            return answer(lambda: real(**arguments))
        if isinstance(answer, int):
            code = {412: "PreconditionFailed", 409: "ConditionalRequestConflict", 403: "AccessDenied"}.get(answer, str(answer))
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": answer}}, "PutObject")
        return real(**arguments)

    monkeypatch.setattr(store._client, operation, call)


def _lost_answer(real: Callable[[], Any]) -> Any:
    from botocore.exceptions import ReadTimeoutError

    real()
    raise ReadTimeoutError(endpoint_url="http://x")


def test_a_loser_that_gets_a_server_error_sees_a_conflict(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = bucket.write("p", b"one")
    bucket.write("p", b"two")
    _answers(bucket, monkeypatch, "put_object", 500)
    with pytest.raises(StoreConflict):
        bucket.write("p", b"three", if_match=etag)


@pytest.mark.parametrize("first", [500, 503, 409, 412])
def test_an_unclear_answer_is_tried_again_while_the_condition_holds(
    bucket: S3Store, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    etag = bucket.write("p", b"one")
    _answers(bucket, monkeypatch, "put_object", first)
    bucket.write("p", b"two", if_match=etag)
    assert bucket.read("p").data == b"two"


def test_a_winner_whose_answer_was_lost_has_won(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = bucket.write("p", b"one")
    _answers(bucket, monkeypatch, "put_object", _lost_answer)
    assert bucket.write("p", b"two", if_match=etag) == bucket.read("p").etag
    _answers(bucket, monkeypatch, "put_object", _lost_answer)
    assert bucket.write("new", b"x", if_absent=True) == bucket.read("new").etag


def test_a_server_that_keeps_failing_is_unavailable(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = bucket.write("p", b"one")
    _answers(bucket, monkeypatch, "put_object", *[503] * 10)
    with pytest.raises(StoreUnavailable):
        bucket.write("p", b"two", if_match=etag)
    assert bucket.read("p").data == b"one"


def test_a_refusal_is_not_tried_again(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(bucket, monkeypatch, "put_object", 403)
    with pytest.raises(StoreUnavailable, match="access denied"):
        bucket.write("p", b"two", if_absent=True)


def test_a_body_that_breaks_off_is_read_again(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import IncompleteReadError

    class Broken:
        def read(self) -> bytes:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=3)

    bucket.write("p", b"one")
    _answers(bucket, monkeypatch, "get_object", lambda real: {**real(), "Body": Broken()})
    assert bucket.read("p").data == b"one"
    _answers(bucket, monkeypatch, "get_object", *[lambda real: {**real(), "Body": Broken()}] * 2)
    with pytest.raises(StoreUnavailable, match="broke"):
        bucket.read("p")


def test_a_server_without_conditions_is_found_out(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bucket._client.put_object
    monkeypatch.setattr(bucket._client, "put_object", lambda IfMatch=None, IfNoneMatch=None, **arguments: real(**arguments))
    health = check(bucket)
    assert health.writable
    assert not health.conditional
    assert health.problem is not None
    assert "condition" in health.problem


def test_no_such_bucket(s3_credentials: None, s3_server: str, tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path, store="s3://nobody-has-this", s3_endpoint=s3_server, s3_attempts=1))
    for act in (lambda: store.read("a"), lambda: store.list(), lambda: store.write("a", b"x", if_absent=True)):
        with pytest.raises(StoreUnavailable, match="bucket does not exist"):
            act()


def test_no_server(s3_credentials: None, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, store="s3://desk/x", s3_endpoint="http://127.0.0.1:1", s3_attempts=1)
    store = open_store(settings)
    with pytest.raises(StoreUnavailable, match="no connection"):
        store.read("pointer.json")
    with pytest.raises(StoreUnavailable, match="no connection"):
        store.write("pointer.json", b"x", if_absent=True)
    health = check(open_store(replace(settings, s3_connect_timeout_s=0.5)))
    assert not health.readable
    assert health.problem is not None
