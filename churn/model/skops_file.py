"""Estimators in skops files: what is in one, whether that may be loaded, and loading it.

A skops file (https://skops.readthedocs.io/en/stable/persistence.html) is a zip of JSON and arrays. It names every type it is
made of, and nothing of a type that is not allowed is built. Allowed are the types skops vouches for, and `ALLOWED`: names
spelt out one by one, since whole modules hold functions that would run what a file says (`numpy.testing.runstring`). skops
leaves scikit-learn's trees out because predicting follows their indices without looking; here they are looked at instead.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from churn.errors import BundleRejected

ALLOWED = frozenset(
    {
        "collections.OrderedDict",
        "functools.partial",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.metrics._classification.log_loss",
        "sklearn.metrics._ranking.average_precision_score",
        "sklearn.metrics._ranking.roc_auc_score",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)
_INDEX = "schema.json"  # inside the zip: what the file is made of


@dataclass(frozen=True, slots=True)
class Contents:
    """What a skops file is made of: all its types; those of them that need to be allowed by name; those that are not."""

    types: tuple[str, ...]
    trusted: tuple[str, ...]
    unknown: tuple[str, ...]


def dump(estimator: Any) -> bytes:
    """A fitted estimator as a skops file. Raises BundleRejected for one that skops cannot store, or we would not load."""
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = bytes(skops.io.dumps(estimator, compression=zipfile.ZIP_DEFLATED))
    except UnsupportedTypeException as error:
        raise BundleRejected(f"the model cannot be stored with skops: {error}") from error
    refuse_unknown(contents(data))
    return data


def listed(data: bytes) -> tuple[str, ...]:
    """Every type named in a skops file, sorted; nothing is imported or built. Raises BundleRejected where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            document = json.loads(archive.read(_INDEX))
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise BundleRejected(f"the file is no skops file: {error}") from error
    return tuple(sorted(set(_names(document))))


def contents(data: bytes) -> Contents:
    """Look a skops file over without building anything of it. Raises BundleRejected where it is none."""
    import skops.io

    types = listed(data)
    try:
        untrusted = skops.io.get_untrusted_types(data=data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ImportError, OSError) as error:
        raise BundleRejected(f"the file is no skops file that skops {skops.__version__} can read: {error}") from error
    return Contents(types, tuple(t for t in untrusted if t in ALLOWED), tuple(t for t in untrusted if t not in ALLOWED))


def refuse_unknown(found: Contents) -> None:
    """Raise BundleRejected naming the types that are not allowed."""
    if found.unknown:
        raise BundleRejected(
            f"the model is made of types that are not on the list of those that may be loaded: {', '.join(found.unknown)}; "
            "nothing of it was loaded"
        )


def load(data: bytes) -> Any:
    """Build the estimator of a skops file, on one core, if all its types are allowed and its trees are sound.

    Raises BundleRejected naming the types that are not allowed, or what cannot be read.
    """
    import skops.io

    found = contents(data)
    refuse_unknown(found)
    with warnings.catch_warnings():
        # another version of scikit-learn: whether it predicts the same is tried on rows (`churn.model.estimator`)
        warnings.simplefilter("ignore")
        try:
            estimator = skops.io.loads(data, trusted=list(found.trusted))
        except (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError, IndexError, RecursionError) as error:
            raise BundleRejected(f"the model cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    for part in _parts(estimator):
        _check_trees(part)
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = None  # starting threads costs more than a page's few rows, and takes cores from its neighbours
    return estimator


def versions(names: Iterable[str] = ()) -> dict[str, str]:
    """The libraries here, name → version: those every file needs, and LightGBM where one of the names is of it."""
    wanted = ["scikit-learn", "skops"] + ["lightgbm"] * any(name.startswith("lightgbm") for name in names)
    return {name: version(name) for name in wanted}


def _names(document: Any) -> Iterator[str]:
    queue = [document]
    while queue:
        part = queue.pop()
        if isinstance(part, dict):
            if isinstance(part.get("__class__"), str) and isinstance(part.get("__module__"), str):
                yield f"{part['__module__']}.{part['__class__']}"
            queue.extend(part.values())
        elif isinstance(part, list):
            queue.extend(part)


def _parts(estimator: Any) -> Iterator[Any]:
    """Every object an estimator is made of, containers looked into."""
    seen: set[int] = set()
    queue = [estimator]
    while queue:
        part = queue.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type, type(None))):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            queue.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            queue.extend(part)
        elif isinstance(part, np.ndarray):
            queue.extend(part.ravel().tolist() if part.dtype == object else ())
        else:
            queue.extend(vars(part).values() if hasattr(part, "__dict__") else ())


def _check_trees(part: Any) -> None:
    """Raise BundleRejected for trees whose nodes point elsewhere than to later nodes, or to columns the model does not get."""
    kind = type(part).__module__ + "." + type(part).__name__
    members: list[Any] = []
    if hasattr(part, "tree_"):
        members = [part]
    elif kind.startswith(("sklearn.ensemble._forest.", "sklearn.ensemble._gb.")):
        members = list(np.asarray(getattr(part, "estimators_", []), dtype=object).ravel())
    for member in members:
        tree, width = member.tree_, _width(part)
        left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
        inner = left != -1
        _check(kind, left[inner], right[inner], np.flatnonzero(inner), np.asarray(tree.feature)[inner], tree.node_count, width)
        if (right[~inner] != -1).any() or tree.n_outputs != 1:
            raise BundleRejected(f"a tree of the model's {kind} is damaged")
    if kind.startswith("sklearn.ensemble._hist_gradient_boosting.") and hasattr(part, "_predictors"):
        for predictor in [one for step in part._predictors for one in step]:
            nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
            inner = nodes["is_leaf"] == 0
            own = nodes[inner]
            _check(kind, own["left"], own["right"], np.flatnonzero(inner), own["feature_idx"], len(nodes), _width(part))
            own = own[own["is_categorical"] != 0]
            known = np.flatnonzero(part._bin_mapper.is_categorical_)
            there = bitsets.ndim == 2 and bitsets.shape[1] == 8 and (own["bitset_idx"] < len(bitsets)).all()
            if not there or not np.isin(own["feature_idx"], known).all():
                raise BundleRejected(f"a tree of the model's {kind} is damaged: a set of categories is not there")


def _width(part: Any) -> int:
    return int(getattr(part, "n_features_in_", 0))


def _check(kind: str, left: Any, right: Any, at: Any, feature: Any, count: int, width: int) -> None:
    later = (left > at) & (left < count) & (right > at) & (right < count)
    if not count or not later.all() or ((feature < 0) | (feature >= width)).any():
        raise BundleRejected(f"a tree of the model's {kind} is damaged: its nodes lead nowhere")
