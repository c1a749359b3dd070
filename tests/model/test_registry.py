"""What the desk shows is one pair, changed in one write; whatever is published is whole or not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from churn.errors import (
    BundleRejected,
    NoChampion,
    NotInStore,
    PromotionRefused,
    StoreConflict,
    StoreUnavailable,
    WorkspaceMixed,
)
from churn.model import registry as module
from churn.model.registry import Pointer, Registry, check_workspace
from churn.model.store import Store, open_store
from churn.settings import Settings

from .ceph_server import EVERYWHERE

Maker = Callable[..., Path]


@pytest.fixture
def registry(store: Store, settings: Settings) -> Registry:
    return Registry(store, settings)


def _promote(registry: Registry, model: str, scoring: str | None = None, **given: Any) -> Pointer:
    arguments = {"action": "promote", "who": "ana", "reason": "better", "expected": registry.pointer(), **given}
    return registry.swap(model=model, scoring=scoring, **arguments)


def _away(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable(f"{store.address}: no connection")

    for operation in ("read", "write", "list", "delete", "upload", "download"):
        monkeypatch.setattr(store, operation, refuse)


# -- the pointer -------------------------------------------------------------------


def test_an_empty_store_shows_nothing(registry: Registry) -> None:
    assert registry.pointer() is None
    assert registry.history() == ()
    assert registry.versions() == ()
    assert registry.scorings() == ()
    assert registry.last_known_pointer() is None
    with pytest.raises(NoChampion, match="nothing to roll back"):
        registry.rollback("ana")


@EVERYWHERE
def test_the_whole_way(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    version = registry.publish_model(new_bundle())
    assert version == "v1"
    assert registry.pointer() is None  # publishing shows nothing
    scoring = registry.publish_scoring(new_scoring(version))
    assert scoring.startswith("2026-11-19-0612-")
    before = datetime.now(UTC)
    pointer = _promote(registry, version, scoring)
    assert registry.pointer() == pointer
    assert (pointer.model, pointer.scoring, pointer.by, pointer.reason, pointer.action) == (
        version,
        scoring,
        "ana",
        "better",
        "promote",
    )
    assert before <= pointer.since <= datetime.now(UTC)
    loaded = registry.load_model(version)
    assert loaded.version == version
    assert loaded.metrics == {"log_loss": 0.41}
    folder = registry.scoring_folder(scoring)
    facts = json.loads((folder / "manifest.json").read_bytes())
    assert (facts["id"], facts["model"]) == (scoring, version)
    (info,) = registry.versions()
    assert (info.version, info.metrics, info.problem) == ("v1", {"log_loss": 0.41}, None)
    (scored,) = registry.scorings()
    assert (scored.id, scored.model, scored.as_of, scored.rows) == (scoring, "v1", "2026-11-19", 2)


def test_versions_count_up_and_are_newest_first(registry: Registry, store: Store, new_bundle: Maker) -> None:
    folder = new_bundle()
    for number in range(1, 12):
        assert registry.publish_model(folder) == f"v{number}"
    assert [info.version for info in registry.versions()] == [f"v{number}" for number in range(11, 0, -1)]
    store.delete("models/v11/manifest.json")
    assert registry.publish_model(folder) == "v12"  # a number is never given out twice


def test_scorings_are_newest_first(registry: Registry, new_scoring: Maker) -> None:
    days = [3, 1, 2]
    ids = [registry.publish_scoring(new_scoring("v1", created=datetime(2026, 11, day, tzinfo=UTC))) for day in days]
    assert [info.id for info in registry.scorings()] == sorted(ids, reverse=True)
    assert [info.id for info in registry.scorings(1)] == [ids[0]]


def test_a_model_is_shown_since_its_first_scoring(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    version = registry.publish_model(new_bundle())
    first = _promote(registry, version)
    second = _promote(registry, version, registry.publish_scoring(new_scoring(version)), action="publish")
    assert second.since > first.since
    assert second.model_since == first.since
    other = _promote(registry, registry.publish_model(new_bundle()))
    assert other.model_since == other.since


def test_the_history_keeps_every_swap(registry: Registry, new_bundle: Maker) -> None:
    for action in ("promote", "publish", "promote"):
        _promote(registry, registry.publish_model(new_bundle()), action=action, reason=f"to {action} – gründlich")
    history = registry.history()
    assert [(entry.model, entry.action) for entry in history] == [("v1", "promote"), ("v2", "publish"), ("v3", "promote")]
    assert history[0].reason == "to promote – gründlich"
    assert len({entry.id for entry in history}) == 3


def test_a_swap_on_an_old_pointer_is_refused_and_says_who_was_faster(registry: Registry, new_bundle: Maker) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    _promote(registry, v1)
    seen = registry.pointer()
    won = _promote(registry, v2, who="ben")
    for expected in (seen, None):
        with pytest.raises(StoreConflict, match=r"ben was faster \(promote.*model v2"):
            _promote(registry, v1, expected=expected)
    assert registry.pointer() == won


def test_the_first_swap_expects_no_pointer(registry: Registry, new_bundle: Maker) -> None:
    version = registry.publish_model(new_bundle())
    imagined = replace(_promote(registry, version), etag="0" * 32)
    with pytest.raises(StoreConflict):
        _promote(registry, version, expected=imagined)


@EVERYWHERE
def test_of_many_swaps_at_once_each_wins_or_is_told(
    settings: Settings, registry: Registry, new_bundle: Maker, at_once: Callable[..., list[Any]]
) -> None:
    versions = [registry.publish_model(new_bundle()) for _ in range(4)]
    for won in (1, 2):
        expected = registry.pointer()

        def swap(number: int, expected: Pointer | None = expected) -> Pointer:
            mine = registry if number % 2 else Registry(open_store(settings), settings)
            return _promote(mine, versions[number % 4], who=f"user {number}", expected=expected)

        results = at_once(swap, 8)
        winners = [number for number, result in enumerate(results) if isinstance(result, Pointer)]
        assert len(winners) == 1, results
        assert all(isinstance(result, StoreConflict) for n, result in enumerate(results) if n not in winners), results
        history = registry.history()
        assert len(history) == won
        assert history[-1].by == f"user {winners[0]}"


@EVERYWHERE
def test_swaps_that_look_again_all_land(
    settings: Settings, registry: Registry, new_bundle: Maker, at_once: Callable[..., list[Any]]
) -> None:
    version = registry.publish_model(new_bundle())

    def insist(number: int) -> int:
        for lost in range(100):
            try:
                _promote(registry, version, who=f"user {number}")
            except StoreConflict:
                continue
            return lost
        raise AssertionError("never won")

    assert all(isinstance(result, int) for result in at_once(insist, 8))
    assert sorted(entry.by for entry in registry.history()) == [f"user {number}" for number in range(8)]


@EVERYWHERE
def test_versions_published_at_once_differ(registry: Registry, new_bundle: Maker, at_once: Callable[..., list[Any]]) -> None:
    folder = new_bundle()
    assert sorted(at_once(lambda number: registry.publish_model(folder), 6)) == [f"v{number}" for number in range(1, 7)]
    assert all(info.problem is None for info in registry.versions())


# -- pairs ---------------------------------------------------------------------------


def test_a_pair_belongs_together(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    of_v1 = registry.publish_scoring(new_scoring(v1))
    other_schema = registry.publish_scoring(new_scoring(v1, schema_hash="0" * 64))
    shown = _promote(registry, v1, of_v1)
    with pytest.raises(PromotionRefused, match=f"{of_v1} was made with model v1, not v2"):
        _promote(registry, v2, of_v1)
    with pytest.raises(PromotionRefused, match="another schema"):
        _promote(registry, v1, other_schema)
    assert registry.pointer() == shown


@pytest.mark.parametrize("name", ["v9", "v0", "v01", "latest", "../v1", "v1/..", "", "v1\n"])
def test_what_was_never_published_cannot_be_shown(registry: Registry, new_bundle: Maker, name: str) -> None:
    registry.publish_model(new_bundle())
    with pytest.raises(NotInStore, match="there is no model"):
        _promote(registry, name)
    with pytest.raises(NotInStore, match="there is no scoring"):
        _promote(registry, "v1", name)
    for load in (registry.load_model, registry.scoring_folder):
        with pytest.raises(NotInStore):
            load(name)
    assert registry.pointer() is None


def test_a_half_uploaded_bundle_does_not_exist(
    registry: Registry, store: Store, new_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.upload

    def breaks_off(prefix: str, folder: Path, names: Any) -> None:
        real(prefix, folder, list(names)[:3])
        raise StoreUnavailable("the connection broke")

    monkeypatch.setattr(store, "upload", breaks_off)
    with pytest.raises(StoreUnavailable):
        registry.publish_model(new_bundle())
    monkeypatch.undo()
    assert registry.versions() == ()
    with pytest.raises(NotInStore, match="no model v1"):
        registry.load_model("v1")
    assert registry.publish_model(new_bundle()) == "v2"


@pytest.mark.parametrize("how", ["truncated", "altered", "missing", "manifest"])
def test_a_corrupt_version_replaces_nothing(
    registry: Registry, settings: Settings, store: Store, new_bundle: Maker, how: str
) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    shown = _promote(registry, v1)
    key = f"models/{v2}/tables.npz"
    data = store.read(key).data
    if how == "truncated":
        store.write(key, data[:-10])
    elif how == "altered":
        store.write(key, data[:-1] + bytes([data[-1] ^ 1]))
    elif how == "missing":
        store.delete(key)
    else:
        key = f"models/{v2}/manifest.json"
        store.write(key, store.read(key).data[:-30])
    with pytest.raises(BundleRejected, match=key.rpartition("/")[2] if how != "manifest" else "is damaged"):
        _promote(registry, v2)
    assert registry.pointer() == shown
    assert registry.load_model(v1).version == v1
    infos = {info.version: info for info in registry.versions()}
    assert (infos["v2"].problem is not None) == (how != "altered")  # a listing tells sizes, no sums
    assert registry.problem("model", v1) is None
    found = registry.problem("model", v2)
    assert found is not None
    assert how == "manifest" or "tables.npz" in found
    assert infos["v1"].problem is None
    cache = settings.path("cache")
    assert not list(cache.rglob(".partial-*"))
    assert not list(cache.rglob("v2"))


def test_a_version_that_only_this_machine_still_has_is_not_promoted(registry: Registry, store: Store, new_bundle: Maker) -> None:
    version = registry.publish_model(new_bundle())
    registry.load_model(version)
    store.delete(f"models/{version}/tables.npz")
    with pytest.raises(BundleRejected, match=r"tables\.npz is missing from the store"):
        _promote(registry, version)
    assert registry.pointer() is None


@EVERYWHERE
@pytest.mark.parametrize("copied", [False, True], ids=["no copy", "a good copy here"])
@pytest.mark.parametrize("how", ["truncated", "altered", "missing"])
def test_a_corrupt_scoring_replaces_nothing(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, how: str, copied: bool
) -> None:
    version = registry.publish_model(new_bundle())
    bad, good = registry.publish_scoring(new_scoring(version)), registry.publish_scoring(new_scoring(version))
    _promote(registry, version, bad)
    shown = _promote(registry, version, good)
    if copied:
        registry.scoring_folder(bad)  # good as it is, it serves nobody else
    key = f"scorings/{bad}/rows.parquet"
    data = store.read(key).data
    if how == "missing":
        store.delete(key)
    else:
        store.write(key, b"short" if how == "truncated" else data[:500] + bytes([data[500] ^ 1]) + data[501:])
    says = r"rows\.parquet (is missing from the store or not whole|was altered in the store).*churn score TABLE --publish"
    for act in (lambda: _promote(registry, version, bad), lambda: registry.rollback("ana")):
        with pytest.raises(BundleRejected, match=says + r"\. Nothing was changed"):
            act()
    found = registry.problem("scoring", bad)
    assert found is not None
    assert "rows.parquet" in found
    if not copied:
        with pytest.raises(BundleRejected, match=r"rows\.parquet"):
            registry.scoring_folder(bad)
    assert registry.pointer() == shown
    assert registry.problem("scoring", good) is None


def test_a_verified_copy_spares_reading_the_store_again(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3 the etag is compared with the copy's; a folder is read, which costs no trip."""
    version = registry.publish_model(new_bundle())
    scoring = registry.publish_scoring(new_scoring(version))
    registry.scoring_folder(scoring)
    read: list[str] = []
    real = store.sha256
    monkeypatch.setattr(store, "sha256", lambda key: read.append(key) or real(key))
    _promote(registry, version, scoring)
    assert read == [] or not store.address.startswith("s3://")


def test_a_damaged_pointer_is_said_and_not_replaced(registry: Registry, store: Store, new_bundle: Maker) -> None:
    version = registry.publish_model(new_bundle())
    good = _promote(registry, version)
    data = store.read("pointer.json").data
    for bad in (data[:-20], b"", b"[]", data.replace(b'"format": 1', b'"format": 2'), data.replace(b'"history"', b'"past"')):
        store.write("pointer.json", bad)
        with pytest.raises(StoreUnavailable, match=r"pointer\.json"):
            registry.pointer()
        with pytest.raises(StoreUnavailable):
            registry.swap(model=version, scoring=None, action="promote", who="ana", expected=good)
        assert store.read("pointer.json").data == bad


def test_only_a_sealed_scoring_goes_up(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    with pytest.raises(BundleRejected, match="belongs to a model"):
        registry.publish_scoring(new_bundle())
    with pytest.raises(BundleRejected, match="belongs to a scoring"):
        registry.publish_model(new_scoring("v1"))
    unsealed = new_scoring("v1")
    (unsealed / "rows.parquet").write_bytes(b"later")
    with pytest.raises(BundleRejected, match=r"rows\.parquet"):
        registry.publish_scoring(unsealed)
    assert registry.scorings() == ()


# -- rolling back ----------------------------------------------------------------------


@EVERYWHERE
def test_rollback_goes_back_one_pair_at_a_time(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    pairs = [
        (v1, registry.publish_scoring(new_scoring(v1))),
        (v1, registry.publish_scoring(new_scoring(v1))),
        (v2, registry.publish_scoring(new_scoring(v2))),
    ]
    for model, scoring in pairs:
        _promote(registry, model, scoring)
    back = registry.rollback("ben", "worse")
    assert ((back.model, back.scoring), back.action, back.by, back.reason) == (pairs[1], "rollback", "ben", "worse")
    back = registry.rollback("ben")
    assert (back.model, back.scoring) == pairs[0]
    with pytest.raises(NotInStore, match="no pair before"):
        registry.rollback("ben")
    _promote(registry, *pairs[2])
    assert registry.rollback("ben").scoring == pairs[0][1]
    assert [entry.action for entry in registry.history()] == ["promote"] * 3 + ["rollback"] * 2 + ["promote", "rollback"]


def test_rollback_never_empties_the_desk(registry: Registry, new_bundle: Maker, new_scoring: Maker) -> None:
    """Pairs without a scoring count only while no customers were shown."""
    v1, v2, v3 = (registry.publish_model(new_bundle()) for _ in range(3))
    _promote(registry, v1)
    _promote(registry, v2)
    assert registry.rollback("ana").model == v1
    first = registry.publish_scoring(new_scoring(v1))
    shown = _promote(registry, v1, first)
    with pytest.raises(NotInStore, match=f"no pair before model v1 with scoring {first} that showed customers"):
        registry.rollback("ana")
    assert registry.pointer() == shown
    _promote(registry, v2)  # its base was damaged: the desk is empty
    back = registry.rollback("ana")
    assert (back.model, back.scoring) == (v1, first)
    _promote(registry, v2)
    second = registry.publish_scoring(new_scoring(v3))
    _promote(registry, v3, second)
    back = registry.rollback("ana")  # past the empty one
    assert (back.model, back.scoring) == (v1, first)
    with pytest.raises(NotInStore, match="no pair before"):
        registry.rollback("ana")
    _promote(registry, v3, second)
    _promote(registry, v2)
    _promote(registry, v3, second)
    assert registry.rollback("ana").scoring == first  # not to what is shown already


def test_a_scoring_that_was_never_shown_can_be_withdrawn(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.publish_model(new_bundle())
    shown, unseen, chosen = (registry.publish_scoring(new_scoring(version)) for _ in range(3))
    _promote(registry, version, shown)
    assert not registry.withdraw_scoring(shown)
    assert registry.withdraw_scoring(unseen)
    assert not registry.withdraw_scoring(unseen)
    assert {info.id for info in registry.scorings()} == {shown, chosen}
    assert store.list(f"scorings/{unseen}/") == []
    real = store.delete

    def while_somebody_shows_it(key: str) -> None:
        monkeypatch.undo()
        _promote(registry, version, chosen)
        real(key)

    monkeypatch.setattr(store, "delete", while_somebody_shows_it)
    assert not registry.withdraw_scoring(chosen)
    assert registry.problem("scoring", chosen) is None


def test_rollback_to_what_is_gone_is_refused(registry: Registry, store: Store, new_bundle: Maker) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    _promote(registry, v1)
    shown = _promote(registry, v2)
    for entry in store.list(f"models/{v1}/"):
        store.delete(entry.key)
    with pytest.raises(NotInStore, match="no model v1"):
        registry.rollback("ana")
    assert registry.pointer() == shown


# -- local copies ------------------------------------------------------------------------


def test_a_copy_is_fetched_once(
    registry: Registry, settings: Settings, store: Store, new_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.publish_model(new_bundle())
    registry.load_model(version)
    fetched: list[str] = []
    monkeypatch.setattr(store, "download", lambda prefix, folder: fetched.append(prefix))
    registry.load_model(version)
    Registry(store, settings).load_model(version)  # another process
    assert fetched == []


@EVERYWHERE
def test_a_corrupt_copy_is_fetched_again(registry: Registry, settings: Settings, store: Store, new_bundle: Maker) -> None:
    version = registry.publish_model(new_bundle())
    registry.load_model(version)
    (copy,) = settings.path("cache").rglob("tables.npz")
    good = copy.read_bytes()
    copy.write_bytes(good[:-5])
    Registry(store, settings).load_model(version)
    assert copy.read_bytes() == good
    (copy.parent / "manifest.json").unlink()
    registry.load_model(version)
    assert (copy.parent / "manifest.json").exists()


def test_a_store_made_anew_is_not_answered_from_old_copies(
    registry: Registry, settings: Settings, store: Store, new_bundle: Maker
) -> None:
    registry.load_model(registry.publish_model(new_bundle(metrics={"log_loss": 1.0})))
    for entry in store.list():
        store.delete(entry.key)
    fresh = Registry(store, settings)
    assert fresh.publish_model(new_bundle(metrics={"log_loss": 2.0})) == "v1"
    assert fresh.load_model("v1").metrics == {"log_loss": 2.0}
    assert registry.load_model("v1").metrics == {"log_loss": 2.0}


def test_copies_are_fetched_by_many_at_once(
    settings: Settings, registry: Registry, new_bundle: Maker, at_once: Callable[..., list[Any]]
) -> None:
    version = registry.publish_model(new_bundle())
    results = at_once(lambda number: Registry(open_store(settings), settings).load_model(version).version, 6)
    assert results == [version] * 6
    assert not list(settings.path("cache").rglob(".partial-*"))


def test_while_the_store_is_away_what_was_seen_stays(
    registry: Registry,
    settings: Settings,
    store: Store,
    new_bundle: Maker,
    new_scoring: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    v1, v2 = registry.publish_model(new_bundle()), registry.publish_model(new_bundle())
    scoring = registry.publish_scoring(new_scoring(v1))
    shown = _promote(registry, v1, scoring)
    registry.scoring_folder(scoring)
    _away(monkeypatch, store)
    started_now = Registry(store, settings)
    for one in (registry, started_now):
        with pytest.raises(StoreUnavailable):
            one.pointer()
        known = one.last_known_pointer()
        assert known is not None
        assert (known.model, known.scoring, known.since) == (shown.model, shown.scoring, shown.since)
        assert one.load_model(v1).version == v1
        assert (one.scoring_folder(scoring) / "rows.parquet").exists()
        with pytest.raises(StoreUnavailable):
            one.load_model(v2)


def test_a_pointer_that_is_gone_is_forgotten(registry: Registry, store: Store, new_bundle: Maker) -> None:
    _promote(registry, registry.publish_model(new_bundle()))
    store.delete("pointer.json")
    assert registry.pointer() is None
    assert registry.last_known_pointer() is None


def test_copies_of_another_store_are_not_used(tmp_path: Path, new_bundle: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Settings(home=tmp_path, store="one", cache="cache")
    other = replace(one, store="other")
    registry = Registry(open_store(one), one)
    _promote(registry, registry.publish_model(new_bundle()))
    store = open_store(other)
    _away(monkeypatch, store)
    registry = Registry(store, other)
    assert registry.last_known_pointer() is None
    with pytest.raises(StoreUnavailable):
        registry.load_model("v1")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, new_bundle: Maker) -> None:
    (tmp_path / "cache").write_text("a file")
    settings = Settings(home=tmp_path, store="store", cache="cache")
    registry = Registry(open_store(settings), settings)
    version = registry.publish_model(new_bundle())
    with pytest.raises(StoreUnavailable, match=r"cache.*a file stands where a folder is needed"):
        registry.load_model(version)


# -- simulated and real --------------------------------------------------------------------


def test_a_store_is_either_simulated_or_real(store: Store, settings: Settings, new_bundle: Maker) -> None:
    demo = replace(settings, workspace="demo")
    Registry(store, settings).publish_model(new_bundle())
    before = [(entry.key, entry.size) for entry in store.list()]
    mixed = Registry(store, demo)
    for act in (
        mixed.pointer,
        mixed.versions,
        mixed.scorings,
        lambda: mixed.load_model("v1"),
        lambda: mixed.publish_model(new_bundle(simulated=True)),
        lambda: _promote(mixed, "v1"),
        lambda: check_workspace(store, demo),
        lambda: check_workspace(store, demo, claim=True),
    ):
        with pytest.raises(WorkspaceMixed, match="holds real data of workspace 'default'"):
            act()
    assert [(entry.key, entry.size) for entry in store.list()] == before


def test_what_is_published_must_match_the_workspace(
    store: Store, settings: Settings, new_bundle: Maker, new_scoring: Maker
) -> None:
    demo = replace(settings, workspace="demo")
    for workspace, simulated in ((settings, True), (demo, False)):
        registry = Registry(store, workspace)
        with pytest.raises(WorkspaceMixed, match="comes from"):
            registry.publish_model(new_bundle(simulated=simulated))
        with pytest.raises(WorkspaceMixed, match="comes from"):
            registry.publish_scoring(new_scoring("v1", simulated=simulated))
    assert store.list() == []
    assert Registry(store, demo).publish_model(new_bundle(simulated=True)) == "v1"


def test_one_of_two_workspaces_gets_an_empty_store(store: Store, settings: Settings, at_once: Callable[..., list[Any]]) -> None:
    both = [settings, replace(settings, workspace="demo")]
    results = at_once(lambda number: check_workspace(store, both[number % 2], claim=True), 6)
    marked = json.loads(store.read("workspace.json").data)["simulated"]
    assert [result is True for result in results] == [bool(number % 2) == marked for number in range(6)]
    assert all(isinstance(result, WorkspaceMixed) for result in results if result is not True)


# -- killed in the middle --------------------------------------------------------------------


_PUBLISH_FOR_EVER = """
import sys
from pathlib import Path
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings
settings = Settings(home=Path(sys.argv[1]), store="store", cache="cache")
registry = Registry(open_store(settings), settings)
print("ready", flush=True)
while True:
    version = registry.publish_model(Path(sys.argv[2]))
    registry.swap(model=version, scoring=None, action="promote", who="child", expected=registry.pointer())
"""


def test_killed_while_publishing_and_swapping(tmp_path: Path, new_bundle: Maker) -> None:
    settings = Settings(home=tmp_path, store="store", cache="cache")
    registry = Registry(open_store(settings), settings)
    folder = new_bundle()
    shown = _promote(registry, registry.publish_model(folder))
    for number in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _PUBLISH_FOR_EVER, str(tmp_path), str(folder)],
            stdout=subprocess.PIPE,
            cwd=Path(module.__file__).parents[2],
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.15 + 0.021 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        now = registry.pointer()
        assert now is not None
        assert now.history[: len(shown.history)] == shown.history  # old or new, nothing lost
        assert Registry(open_store(settings), settings).load_model(now.model).version == now.model
        assert all(info.problem is None for info in registry.versions())
        shown = _promote(registry, registry.publish_model(folder))


# -- rewriting, for a customer who is forgotten ------------------------------------


def _rewrite(registry: Registry, id: str, folder: Path, content: bytes, **changed: Any) -> None:
    (info,) = (info for info in registry.scorings() if info.id == id)
    folder.mkdir(exist_ok=True)
    (folder / "rows.parquet").write_bytes(content)
    registry.rewrite("scoring", id, info.facts, folder, ["rows.parquet"], **changed)


@EVERYWHERE
def test_a_rewritten_scoring_is_whole_and_has_none_of_its_old_content(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, tmp_path: Path
) -> None:
    version = registry.publish_model(new_bundle())
    id = registry.publish_scoring(new_scoring(version))
    _promote(registry, version, id)
    old = (registry.scoring_folder(id) / "rows.parquet").read_bytes()
    for content, rows in ((b"first", 1), (b"again", 0)):
        _rewrite(registry, id, tmp_path / "new", content, rows=rows)
        assert registry.problem("scoring", id) is None
        assert registry.scorings()[0].rows == rows
        assert registry.renew_copy("scoring", id)
        assert not registry.renew_copy("scoring", id), "the copy is the new one already"
        folder = registry.scoring_folder(id)
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".parquet"} == {
            "rows.parquet": content
        }
        _promote(registry, version, id)  # every sum of the pair is verified
    kept = [store.read(entry.key).data for entry in store.list("scorings/") if "manifest" not in entry.key]
    assert kept == [b"again"]
    assert old not in kept
    with pytest.raises(BundleRejected, match="published there only"):
        registry.publish_scoring(registry.scoring_folder(id))


def test_of_two_who_rewrite_at_once_one_is_told(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, tmp_path: Path
) -> None:
    id = registry.publish_scoring(new_scoring(registry.publish_model(new_bundle())))
    (seen,) = registry.scorings()
    _rewrite(registry, id, tmp_path / "a", b"first")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "rows.parquet").write_bytes(b"second")
    with pytest.raises(StoreConflict, match="rewritten by somebody else"):
        registry.rewrite("scoring", id, seen.facts, tmp_path / "b", ["rows.parquet"])
    assert (registry.scoring_folder(id) / "rows.parquet").read_bytes() == b"first"


def test_what_a_killed_rewriting_left_is_cleared_away_and_never_read(
    registry: Registry, store: Store, new_bundle: Maker, new_scoring: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = registry.publish_scoring(new_scoring(registry.publish_model(new_bundle())))
    monkeypatch.setattr(registry, "clear", lambda *_: 0)  # killed before it
    _rewrite(registry, id, tmp_path / "new", b"first")
    monkeypatch.undo()
    store.write(f"scorings/{id}/rows.parquet~20200101000000-abcdef", b"of a rewriting that was killed before its manifest")
    assert (registry.scoring_folder(id) / "rows.parquet").read_bytes() == b"first"
    assert registry.clear("scoring", id) == 2
    assert registry.clear("scoring", id) == 0
    assert registry.problem("scoring", id) is None
