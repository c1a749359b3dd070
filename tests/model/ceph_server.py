"""A real S3 server for tests: Ceph's gateway with one monitor and one store in memory, on loopback, ended with the tests.

Unlike moto it checks signatures and decides races between conditional writes for real.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

# for the fixture `settings`: a test runs on a folder, on moto and on this server
EVERYWHERE = pytest.mark.parametrize(
    "settings", ["file", "s3", pytest.param("ceph", marks=[pytest.mark.system, pytest.mark.xdist_group("ceph")])], indirect=True
)
PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
KEY, SECRET = "AKTEST", "SKTESTSECRET"

_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port},v1:127.0.0.1:{old_mon_port}]
public network = 127.0.0.0/8
auth allow insecure global id reclaim = false
ms bind ipv6 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 2000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
mon data avail crit = 1
mon data avail warn = 2
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
keyring = {folder}/keyring
setuser match path =
[mon.a]
mon data = {folder}/mon
[osd.0]
keyring = {folder}/osd/keyring
osd data = {folder}/osd
osd class update on start = false
osd crush update on start = false
[client.rgw]
keyring = {folder}/rgw/keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw enable gc threads = false
rgw enable lc threads = false
"""


def missing() -> list[str]:
    """The programs this machine does not have."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class Ceph:
    """Starts in about 12 s; `address` answers then, and `stop` ends every process it started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("mon", "osd", "rgw", "run", "log"):
            (folder / name).mkdir()
        port, mon_port, old_mon_port = _free_ports(3)
        self.address = f"http://127.0.0.1:{port}"
        fsid = str(uuid.uuid4())
        (folder / "ceph.conf").write_text(
            _CONFIGURATION.format(fsid=fsid, folder=folder, port=port, mon_port=mon_port, old_mon_port=old_mon_port)
        )
        keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
        self._run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{mon_port},v1:127.0.0.1:{old_mon_port}]", "--fsid",
                  fsid, monmap)  # fmt: skip
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run(
            "ceph-authtool", keyring, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *"
        )
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        try:
            self._start("ceph-mon", "-f", "-i", "a")
            _wait(lambda: self._try("ceph", "quorum_status"))
            osd = str(uuid.uuid4())
            self._run("ceph", "osd", "new", osd)
            self._run("ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *", "-o",
                      str(folder / "osd/keyring"))  # fmt: skip
            self._run("ceph", "auth", "get-or-create", "client.rgw", "mon", "allow rwx", "osd", "allow rwx", "-o",
                      str(folder / "rgw/keyring"))  # fmt: skip
            self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
            self._start("ceph-osd", "-f", "-i", "0")
            _wait(lambda: "1 up" in self._run("ceph", "osd", "stat"))
            self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
            self._start("radosgw", "-f", "-n", "client.rgw")
            _wait(self._answers)
            self._run("radosgw-admin", "user", "create", "--uid=churn", "--display-name=churn", f"--access-key={KEY}",
                      f"--secret={SECRET}")  # fmt: skip
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _command(self, *words: str) -> list[str]:
        return [words[0], "--conf", str(self._folder / "ceph.conf"), *words[1:]] if words[0] != "monmaptool" else list(words)

    def _run(self, *words: str) -> str:
        done = subprocess.run(self._command(*words), capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
        return done.stdout

    def _try(self, *words: str) -> bool:
        return subprocess.run([*self._command(*words), "--connect-timeout", "3"], capture_output=True, timeout=10).returncode == 0

    def _start(self, *words: str) -> None:
        log = (self._folder / "log" / f"{words[0]}.out").open("wb")
        with log:
            self._processes.append(subprocess.Popen(self._command(*words), stdout=log, stderr=log, env=os.environ.copy()))

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.address, timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def _wait(ready: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError("Ceph did not start in time")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
