"""Files of estimators: what is in them is known before anything is built, and what could do harm is not built at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from churn.errors import BundleRejected
from churn.model import skops_file

FOREST = "sklearn.ensemble._forest.RandomForestClassifier"
TREE = "sklearn.tree._tree.Tree"


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 4))
    return matrix, (matrix[:, 0] + matrix[:, 1] * (matrix[:, 2] > 0) > 0).astype(int)


def fitted(name: str, rows: tuple[np.ndarray, np.ndarray]) -> Any:
    from sklearn import calibration, ensemble, linear_model, tree

    small = {"max_leaf_nodes": 6, "random_state": 0}
    forest = ensemble.RandomForestClassifier(5, n_jobs=2, **small)
    models = {
        "forest": forest,
        "extra trees": ensemble.ExtraTreesClassifier(4, **small),
        "tree": tree.DecisionTreeClassifier(**small),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=4, **small),
        "hist": ensemble.HistGradientBoostingClassifier(max_iter=4, categorical_features=[3]),
        "calibrated": calibration.CalibratedClassifierCV(forest, cv=2),
        "bagging": ensemble.BaggingClassifier(tree.DecisionTreeClassifier(**small), n_estimators=3, max_features=0.5),
        "linear": linear_model.LogisticRegression(),
    }
    matrix, y = rows
    if name == "hist":
        matrix[:, 3] = np.abs(matrix[:, 3]).round()
    return models[name].fit(matrix, y)


KINDS = ("forest", "extra trees", "tree", "boosting", "hist", "calibrated", "bagging", "linear")


@pytest.mark.parametrize("name", KINDS)
def test_what_is_stored_comes_back_on_one_core(name: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = fitted(name, rows)
    data = skops_file.dump(model)
    found = skops_file.contents(data)
    assert not found.unknown
    assert set(found.trusted) <= set(found.types)
    assert f"{type(model).__module__}.{type(model).__name__}" in found.types
    again = skops_file.load(data)
    np.testing.assert_allclose(again.predict_proba(rows[0]), model.predict_proba(rows[0]), atol=1e-15)
    assert getattr(again, "n_jobs", None) is None


def test_looking_needs_no_library(rows: tuple[np.ndarray, np.ndarray], tmp_path: Any) -> None:
    (tmp_path / "m.skops").write_bytes(skops_file.dump(fitted("forest", rows)))
    code = f"""
import sys
from pathlib import Path
from churn.model import skops_file
print(skops_file.listed(Path({str(tmp_path / "m.skops")!r}).read_bytes()))
assert not {{"skops", "sklearn", "scipy", "pandas"}} & set(sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert FOREST in found
    assert TREE in found


class Unknown:
    """A class of the user's own."""

    def __init__(self) -> None:
        self.value = 1


def harmful() -> list[tuple[Any, str]]:
    from numpy.testing import _private
    from sklearn.preprocessing import FunctionTransformer

    return [
        (FunctionTransformer(os.system), "posix.system"),
        (FunctionTransformer(eval), "builtins.eval"),
        (FunctionTransformer(_private.utils.runstring), "numpy.testing._private.utils.runstring"),
        (FunctionTransformer(np.load), "numpy.load"),
        (FunctionTransformer(subprocess.check_output), "subprocess.check_output"),
        (Unknown(), f"{Unknown.__module__}.Unknown"),
    ]


@pytest.mark.parametrize("place", range(6))
def test_types_that_are_not_allowed_are_refused_by_name(place: int) -> None:
    import skops.io
    from sklearn.pipeline import make_pipeline

    part, name = harmful()[place]
    data = skops.io.dumps(make_pipeline("passthrough", part))
    assert name in skops_file.contents(data).unknown
    for refused in (lambda: skops_file.load(data), lambda: skops_file.dump(make_pipeline("passthrough", part))):
        with pytest.raises(BundleRejected, match=rf"may be loaded: .*{name.split('.')[-1]}.*nothing of it was loaded"):
            refused()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04\x95pickle", b"{}"])
def test_what_is_no_skops_file_is_refused(data: bytes) -> None:
    for look in (skops_file.listed, skops_file.contents, skops_file.load):
        with pytest.raises(BundleRejected, match="no skops file"):
            look(data)


def altered(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with its index changed."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(result, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "schema.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            after.writestr(name, content)
    return result.getvalue()


def test_an_index_that_makes_no_sense_is_refused(rows: tuple[np.ndarray, np.ndarray]) -> None:
    data = skops_file.dump(fitted("linear", rows))

    def unheard_of(document: Any) -> None:
        document["__loader__"] = "NobodyKnowsThisNode"

    def elsewhere(document: Any) -> None:
        document["__module__"] = "sklearn.linear_model._nowhere"

    def empty(document: Any) -> None:
        document.clear()

    for change in (unheard_of, elsewhere, empty):
        with pytest.raises(BundleRejected):
            skops_file.load(altered(data, change))


@pytest.mark.parametrize("name", ["forest", "extra trees", "tree", "boosting", "calibrated", "bagging"])
@pytest.mark.parametrize(
    ("column", "value"),
    [(side, value) for side in ("left_child", "right_child") for value in (10**6, 0, -7)] + [("feature", 4), ("feature", -7)],
)
def test_trees_that_lead_nowhere_are_refused(name: str, column: str, value: int, rows: tuple[np.ndarray, np.ndarray]) -> None:
    """scikit-learn follows a tree's indices without looking: a file made by hand could read any memory."""
    assert_refused_when_damaged(name, column, value, rows)


@pytest.mark.parametrize(("column", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 9), ("bitset_idx", 10**6)])
def test_hist_trees_that_lead_nowhere_are_refused(column: str, value: int, rows: tuple[np.ndarray, np.ndarray]) -> None:
    assert_refused_when_damaged("hist", column, value, rows)


def assert_refused_when_damaged(name: str, column: str, value: int, rows: tuple[np.ndarray, np.ndarray]) -> None:
    data = skops_file.dump(fitted(name, rows))
    result, damaged = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(result, "w") as after:
        for file in before.namelist():
            content = before.read(file)
            if file.endswith(".npy"):
                array = np.load(io.BytesIO(content), allow_pickle=False)
                if array.dtype.names and column in array.dtype.names:
                    where = array["is_categorical"] != 0 if column == "bitset_idx" else slice(0, 1)
                    array = array.copy()
                    damaged += bool(len(array[column][where]))
                    array[column][where] = value
                    buffer = io.BytesIO()
                    np.save(buffer, array)
                    content = buffer.getvalue()
            after.writestr(file, content)
    assert damaged
    with pytest.raises(BundleRejected, match="damaged"):
        skops_file.load(result.getvalue())


def test_lightgbm_can_be_stored_too(rows: tuple[np.ndarray, np.ndarray]) -> None:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(*rows)
    data = skops_file.dump(model)
    assert "lightgbm" in skops_file.versions(skops_file.listed(data))
    np.testing.assert_array_equal(skops_file.load(data).predict_proba(rows[0]), model.predict_proba(rows[0]))
