"""A bundle comes back as it went in, or is refused with the file and the reason."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.model import bundle, manifest
from churn.model.scoring import ScoringModel

from .tiny import CUSTOMERS

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
OWN = (
    "schema.json",
    "encoder.json",
    "tables.npz",
    "calibrator.json",
    "metrics.json",
    "leaderboard.json",
    "card.md",
    "reference.parquet",
)


@pytest.fixture
def folder(new_bundle: Callable[..., Path]) -> Path:
    return new_bundle()


def _reseal(folder: Path, **facts: Any) -> None:
    """What somebody with a hand on the files, sums and all, could make."""
    before = json.loads((folder / "manifest.json").read_bytes())
    given = {"simulated": before["simulated"], "schema_hash": before["schema_hash"], **facts}
    manifest.seal(folder, kind="model", **given)


def test_what_is_saved_comes_back(folder: Path, tiny_model: ScoringModel) -> None:
    loaded = bundle.load(folder)
    assert loaded.version == ""
    assert loaded.schema == tiny_model.schema
    assert loaded.metrics == {"log_loss": 0.41}
    assert loaded.leaderboard == [{"name": "tiny", "log_loss": 0.41}]
    assert loaded.card == "# Tiny\n"
    assert loaded.reference.columns == ["tenure", "plan", "__risk__"]
    assert json.loads(loaded.extra["profile.json"]) == {"rows": 2}
    assert loaded.extra["notes.txt"] == b"plain"
    assert sorted(loaded.extra) == ["notes.txt", "profile.json"]
    assert "card.md" not in loaded.extra
    with pytest.raises(KeyError):
        loaded.extra["nothing"]
    assert loaded.manifest["simulated"] is False
    assert loaded.created.tzinfo is not None
    assert loaded.model.encoder == tiny_model.encoder
    assert loaded.model.calibrator == tiny_model.calibrator
    saved, again = tiny_model.explain(CUSTOMERS), loaded.model.explain(CUSTOMERS)
    np.testing.assert_array_equal(again.risk, saved.risk)
    np.testing.assert_array_equal(again.points, saved.points)


def test_a_bundle_holds_plain_data_only(folder: Path) -> None:
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz", ".md", ".parquet", ".txt"}
    with np.load(folder / "tables.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.parametrize("name", [*OWN, "profile.json"])
def test_an_altered_file_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleRejected, match=rf"{name} was altered"):
        bundle.load(folder)


@pytest.mark.parametrize("name", OWN)
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(BundleRejected, match=rf"{name} must have [\d,]+ bytes"):
        bundle.load(folder)


@pytest.mark.parametrize("name", OWN)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleRejected, match=rf"{name} is missing"):
        bundle.load(folder)
    _reseal(folder)
    with pytest.raises(BundleRejected, match=rf"{name} is missing"):
        bundle.load(folder)


def test_a_file_too_many_is_refused(folder: Path) -> None:
    (folder / "run_me.py").write_text("print('hello')")
    with pytest.raises(BundleRejected, match=r"run_me\.py is not in the manifest"):
        bundle.load(folder)


NONSENSE = (b"", b"\x80nonsense", b"[]", b"{}", b"null", b"PK\x03\x04", b"PAR1")
VALID = {("leaderboard.json", b"[]"), ("metrics.json", b"{}"), *(("card.md", text) for text in NONSENSE if text.isascii())}


@pytest.mark.parametrize(("name", "content"), [(name, text) for name in OWN for text in NONSENSE if (name, text) not in VALID])
def test_nonsense_under_right_sums_is_refused_by_name(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    _reseal(folder)
    with pytest.raises(BundleRejected, match=name):
        bundle.load(folder)


def test_arrays_that_would_run_code_are_refused(folder: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path("/tmp/churn-test-was-run").touch, ())

    with np.load(folder / "tables.npz") as stored:
        arrays = {**stored, "sizes": np.array([Harmful()], dtype=object)}
    np.savez(folder / "tables.npz", **arrays)
    _reseal(folder)
    with pytest.raises(BundleRejected, match=r"tables\.npz cannot be read"):
        bundle.load(folder)
    assert not Path("/tmp/churn-test-was-run").exists()


def test_parts_of_different_models_are_refused(folder: Path, new_bundle: Callable[..., Path], tiny_model: ScoringModel) -> None:
    encoder = json.loads((folder / "encoder.json").read_text())
    encoder["features"][0]["thresholds"] = [1.0]
    (folder / "encoder.json").write_text(json.dumps(encoder))
    _reseal(folder)
    with pytest.raises(BundleRejected, match="numbers of codes differ"):
        bundle.load(folder)
    encoder["features"].reverse()
    (folder / "encoder.json").write_text(json.dumps(encoder))
    _reseal(folder)
    with pytest.raises(BundleRejected, match="made for other features"):
        bundle.load(folder)
    other = new_bundle()
    _reseal(other, schema_hash="0" * 64)
    with pytest.raises(BundleRejected, match="not the schema the manifest names"):
        bundle.load(other)


# -- the manifest ----------------------------------------------------------------


def test_a_folder_without_a_manifest_is_unfinished(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleRejected, match="no finished model"):
        bundle.load(folder)
    with pytest.raises(BundleRejected):
        bundle.load(folder / "nowhere")


@pytest.mark.parametrize("cut", [0, 1, 100, -2])
def test_a_truncated_manifest_is_refused(folder: Path, cut: int) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BundleRejected, match=r"manifest\.json is damaged"):
        bundle.load(folder)


def test_a_manifest_knows_when_it_was_altered(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"simulated": false', '"simulated": true'))
    with pytest.raises(BundleRejected, match=r"manifest\.json was altered"):
        bundle.load(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": manifest.FORMAT + 1, "written_by": "churn 9.1"}, r"by a newer version of churn \(churn 9\.1\)"),
        ({"format": 0}, "format 0 is not known"),
        ({"format": None}, "format None is not known"),
        ({"kind": "scoring"}, "belongs to a scoring"),
        ({"simulated": "no"}, "'simulated' is missing or malformed"),
        ({"created": "yesterday"}, "'created' is no moment"),
        ({"files": []}, "'files' is missing or malformed"),
        ({"files": {"card.md": "abc"}}, "'card.md' is malformed"),
        ({"files": {"../x": {"sha256": "a", "bytes": 1}}}, "leads out of the folder"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(folder: Path, change: dict[str, Any], why: str) -> None:
    path = folder / "manifest.json"
    path.write_bytes(manifest.dump({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(BundleRejected, match=why):
        bundle.load(folder)


def test_a_schema_of_a_newer_version_is_said_in_words(folder: Path) -> None:
    """Even where the format did not rise: names the fields, the version, what to do, and neither a dump nor a path."""
    document = json.loads((folder / "schema.json").read_text())
    for feature in document["features"]:
        feature["season"] = None
    (folder / "schema.json").write_text(json.dumps(document | {"planets": []}))
    _reseal(folder)
    facts = manifest.verify(folder, "model")
    with pytest.raises(BundleRejected) as told:
        bundle.read(folder, facts, "model v2")
    assert str(told.value) == (
        "model v2 was written by a newer version of churn (its schema has 'planets' and 'season', which this one does not know); "
        "update churn"
    )


def test_a_schema_that_is_none_is_refused_without_a_dump(folder: Path) -> None:
    (folder / "schema.json").write_text("{}")
    _reseal(folder)
    with pytest.raises(BundleRejected, match=r"schema\.json cannot be read: key: Field required$"):
        bundle.load(folder)


# -- saving ----------------------------------------------------------------------


@pytest.mark.parametrize("column", ["id", "mail", "left", "anything"])
def test_ids_and_contacts_stay_out(new_bundle: Callable[..., Path], column: str) -> None:
    with pytest.raises(BundleRejected, match=f"no ids and no contacts; column '{column}'"):
        new_bundle(reference=pl.DataFrame({"tenure": [1.0], column: ["x"]}))


def test_a_bundle_that_would_carry_ids_is_refused_too(folder: Path) -> None:
    rows = io.BytesIO()
    pl.DataFrame({"tenure": [1.0], "mail": ["a@b.c"]}).write_parquet(rows)
    (folder / "reference.parquet").write_bytes(rows.getvalue())
    _reseal(folder)
    with pytest.raises(BundleRejected, match="'mail'"):
        bundle.load(folder)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(new_bundle: Callable[..., Path], tmp_path: Path) -> None:
    for given in ({"metrics": {"auc": float("nan")}}, {"leaderboard": [{"at": Path()}]}, {"extra": {"card.md": b""}}):
        with pytest.raises(BundleRejected):
            new_bundle(**given)
    assert not (tmp_path / "made").exists()


def test_a_folder_in_use_is_left_alone(folder: Path, tiny_model: ScoringModel) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BundleRejected, match="not empty"):
        bundle.save(folder, tiny_model, metrics={}, leaderboard=[], card="", reference=pl.DataFrame(), simulated=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# -- bundles of earlier versions ---------------------------------------------------

OLD = [path.parent for path in sorted(FIXTURES.glob("bundle-*/manifest.json"))]
ESTIMATORS = [path.parent for path in sorted(FIXTURES.glob("estimator-*/manifest.json"))]


def test_the_format_is_of_all_that_a_schema_can_say() -> None:
    """A field that the fixture's schema lacks is one that a reader of its format would refuse.

    Then raise `manifest.FORMAT`, say in its docstring what is new, and make a fixture: `python -m tests.model.tiny …`.
    """
    stored = json.loads((OLD[-1] / "schema.json").read_text())
    written = {name: sorted(part["properties"]) for name, part in Schema.model_json_schema()["$defs"].items()}
    for name, entry in (("Feature", stored["features"][0]), ("Rule", stored["rules"][0]), ("Target", stored["target"])):
        assert sorted(entry) == written[name], name
    assert sorted(stored) == sorted(Schema.model_json_schema()["properties"])
    assert sorted(stored["contacts"]) == written["Contacts"]


def test_every_format_has_a_fixture() -> None:
    assert [folder.name for folder in OLD] == [f"bundle-{number}" for number in range(1, manifest.FORMAT + 1)]
    assert ESTIMATORS


@pytest.mark.parametrize("folder", [*OLD, *ESTIMATORS], ids=lambda folder: folder.name)
def test_old_bundles_stay_loadable(folder: Path, tmp_path: Path) -> None:
    expected = json.loads((folder.with_suffix(".json")).read_text())
    shutil.copytree(folder, tmp_path / "bundle")
    model = bundle.load(tmp_path / "bundle").model
    np.testing.assert_allclose(model.explain(CUSTOMERS).risk, expected["risk"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.explain(CUSTOMERS).points, expected["points"], rtol=0, atol=1e-12)
