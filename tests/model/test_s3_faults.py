"""What a real S3 server's faults do to the store: nothing is lost, and each is said in a line that can be acted on."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlparse

import pytest

from churn.errors import BundleRejected, StoreConflict, StoreUnavailable
from churn.model import registry as module
from churn.model import store as store_module
from churn.model.registry import Registry
from churn.model.store import Store, open_store
from churn.settings import Settings

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("ceph"), pytest.mark.parametrize("settings", ["ceph"], indirect=True)]
ROOT = Path(module.__file__).parents[2]
Maker = Callable[..., Path]


class Proxy:
    """A way to the server that can be cut and mended."""

    def __init__(self, address: str) -> None:
        self._to = (str(urlparse(address).hostname), int(urlparse(address).port or 80))
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._port = 0
        self.mend()
        self.address = f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        assert self._listener is not None
        for one in (self._listener, *self._open):
            with suppress(OSError):  # gone already
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
                there = socket.create_connection(self._to)
            except OSError:
                return
            self._open += [here, there]
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def own_clients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Clients made from the settings at hand, not the one all tests share."""
    from churn.data.s3 import client

    monkeypatch.setattr(store_module, "client", client)
    return settings


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    made = Proxy(settings.s3_endpoint)
    yield made
    made.cut()


@pytest.fixture
def registry(store: Store, settings: Settings) -> Registry:
    return Registry(store, settings)


def _shown(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> Any:
    version = registry.publish_model(new_bundle())
    scoring = registry.publish_scoring(new_scoring(version))
    return registry.swap(model=version, scoring=scoring, action="promote", who="ana", expected=registry.pointer())


_SWAP = """
import sys
from pathlib import Path
from churn.errors import StoreConflict
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings
settings = Settings(home=Path(sys.argv[1]), store=sys.argv[2], s3_endpoint=sys.argv[3], cache=f"cache-{sys.argv[4]}")
registry = Registry(open_store(settings), settings)
expected = registry.pointer()
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.swap(model="v1", scoring=None, action="promote", who=sys.argv[4], expected=expected)
except StoreConflict:
    sys.exit(3)
"""


def test_of_eight_processes_each_lands_in_the_history_or_is_told(
    settings: Settings, registry: Registry, new_bundle: Maker, tmp_path: Path
) -> None:
    registry.publish_model(new_bundle())
    command = [sys.executable, "-c", _SWAP, str(tmp_path), settings.store, settings.s3_endpoint]
    children = [
        subprocess.Popen([*command, f"user {number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        for number in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    for child in children:
        child.communicate(b"go\n", timeout=60)
    codes = [child.returncode for child in children]
    assert set(codes) <= {0, 3}, codes
    landed = [f"user {number}" for number, code in enumerate(codes) if code == 0]
    assert [entry.by for entry in registry.history()] == landed
    assert len(landed) == 1  # all had seen the same pointer


_PUBLISH_FOR_EVER = """
import sys
from pathlib import Path
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings
settings = Settings(home=Path(sys.argv[1]), store=sys.argv[2], s3_endpoint=sys.argv[3], cache="cache-child")
registry = Registry(open_store(settings), settings)
print("ready", flush=True)
while True:
    version = registry.publish_model(Path(sys.argv[4]))
    registry.swap(model=version, scoring=None, action="promote", who="child", expected=registry.pointer())
"""


def test_killed_while_publishing_and_swapping(
    settings: Settings, registry: Registry, new_bundle: Maker, new_scoring: Maker, tmp_path: Path
) -> None:
    shown, folder = _shown(registry, new_bundle, new_scoring), new_bundle()
    command = [sys.executable, "-c", _PUBLISH_FOR_EVER, str(tmp_path), settings.store, settings.s3_endpoint, str(folder)]
    for number in range(4):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.1 + 0.083 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        now = registry.pointer()
        assert now is not None
        assert now.history[: len(shown.history)] == shown.history  # the old or a new one, nothing lost
        assert Registry(open_store(settings), settings).load_model(now.model).version == now.model
        assert all(info.problem is None for info in registry.versions())
        shown = now


@pytest.mark.parametrize("kind", ["models", "scorings"])
@pytest.mark.parametrize("how", ["truncated", "altered", "half"])
def test_damage_is_refused_and_the_last_good_pair_stays(
    registry: Registry, store: Store, settings: Settings, new_bundle: Maker, new_scoring: Maker, kind: str, how: str
) -> None:
    shown = _shown(registry, new_bundle, new_scoring)
    version = registry.publish_model(new_bundle()) if kind == "models" else shown.model
    scoring = registry.publish_scoring(new_scoring(version))
    name = f"models/{version}/tables.npz" if kind == "models" else f"scorings/{scoring}/rows.parquet"
    data = store.read(name).data
    if how == "half":
        store.delete(name)
    else:
        store.write(name, data[:-10] if how == "truncated" else data[:-1] + bytes([data[-1] ^ 1]))
    fresh = Registry(store, replace(settings, cache="fresh"))
    with pytest.raises(BundleRejected):
        fresh.load_model(version) if kind == "models" else fresh.scoring_folder(scoring)
    with pytest.raises(BundleRejected):
        fresh.swap(model=version, scoring=scoring, action="promote", who="ana", expected=shown)
    assert fresh.pointer() == shown
    assert fresh.load_model(shown.model).version == shown.model
    assert (fresh.scoring_folder(shown.scoring) / "rows.parquet").exists()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the server does not accept these credentials; check AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "the server does not accept these credentials; check AWS_ACCESS_KEY_ID"),
    ],
)
def test_wrong_credentials_are_said(
    own_clients: Settings, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable, match=re.escape(said)) as told:
        Registry(open_store(own_clients), own_clients).pointer()
    assert "\n" not in str(told.value)


def test_an_expired_token_is_said(own_clients: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway issues no tokens and looks at none, so its refusal is put into the words AWS has for it on the way back."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store(own_clients)

    def expire(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Error"] = {"Code": "ExpiredToken", "Message": "The provided token has expired."}

    store._client.meta.events.register("after-call.s3", expire)  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable, match="the credentials have expired; sign in again or renew AWS_SESSION_TOKEN") as told:
        Registry(store, own_clients).pointer()
    assert "\n" not in str(told.value)


def test_a_missing_bucket_is_said(own_clients: Settings) -> None:
    missing = replace(own_clients, store="s3://nowhere/desk")
    with pytest.raises(StoreUnavailable, match="the bucket does not exist; create it or correct the address"):
        Registry(open_store(missing), missing).pointer()


def test_cut_off_while_publishing_and_mended(
    own_clients: Settings, proxy: Proxy, new_bundle: Maker, new_scoring: Maker, tmp_path: Path
) -> None:
    straight = Registry(open_store(own_clients), own_clients)
    shown = _shown(straight, new_bundle, new_scoring)
    through = replace(own_clients, s3_endpoint=proxy.address, s3_attempts=1, s3_connect_timeout_s=1.0, cache="through")
    store = open_store(through)
    registry = Registry(store, through)
    assert registry.pointer() == shown
    registry.load_model(shown.model)
    proxy.cut()
    for act in (registry.pointer, lambda: registry.publish_model(new_bundle()), lambda: registry.rollback("ana")):
        with pytest.raises(StoreUnavailable, match=r"no connection|connection broke"):
            act()
    assert registry.last_known_pointer() is not None
    assert registry.load_model(shown.model).version == shown.model
    proxy.mend()
    assert registry.pointer() == shown  # nothing changed meanwhile, and nobody had to start anything anew
    version = registry.publish_model(new_bundle())
    assert registry.swap(model=version, scoring=None, action="promote", who="ana", expected=shown).model == version
    with pytest.raises(StoreConflict):
        straight.swap(model=version, scoring=None, action="promote", who="ben", expected=shown)


def test_the_desk_shows_what_it_has_while_cut_off_and_recovers(
    own_clients: Settings, proxy: Proxy, new_bundle: Maker, new_scoring: Maker
) -> None:
    """What the pages tell: the pair stays, the failure has a sentence, and it goes by itself."""
    from churn.base.snapshot import Snapshot
    from pages.shared.data import Desk, Pair

    _shown(Registry(open_store(own_clients), own_clients), new_bundle, new_scoring)
    through = replace(own_clients, s3_endpoint=proxy.address, s3_attempts=1, s3_connect_timeout_s=1.0, refresh_s=0.2)
    desk = Desk(through)
    pointer = Registry(open_store(own_clients), own_clients).pointer()
    assert pointer is not None

    class Nothing(Snapshot):
        def __init__(self) -> None: ...
        def close(self) -> None: ...

        id = str(pointer.scoring)
        facts = MappingProxyType({"sum": "none"})

    bundle = Registry(open_store(own_clients), own_clients).load_model(pointer.model)
    desk.pair = shown = Pair(pointer, bundle, Nothing())
    desk.watch()
    try:
        _until(lambda: desk.looked and desk.failure is None)
        proxy.cut()
        _until(lambda: desk.failure is not None)
        assert desk.failure is not None
        assert "no connection" in desk.failure.message
        assert desk.pair is shown
        assert desk.state()["ready"] is True
        proxy.mend()
        _until(lambda: desk.failure is None)
        assert desk.pair is shown
    finally:
        desk.stop()


def _until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
