"""How columns go together: what a test of that says, kept in the store as a small file the pages read.

The test itself trains a classifier (`churn.learn.joint`), which no page does.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass
from datetime import date

from churn.errors import StoreDamaged
from churn.model.store import Store

PREFIX = "joint/"
_NAME = re.compile(r"joint/model=(?P<model>[\w.-]+)/(?P<start>\d{4}-\d\d-\d\d)_(?P<end>\d{4}-\d\d-\d\d)\.json")
_FORMAT = 1
_log = logging.getLogger("churn.watch")


@dataclass(frozen=True, slots=True)
class JointDrift:
    """Whether a window's rows can be told from the reference's by how columns go together, each column by itself being alike.

    `distance`: how far apart a classifier that had not seen them puts the two (Kolmogorov–Smirnov, 0–1). `auc`: how often it
    picks the window's row of one of each. `p`: of that under no difference. `drivers`: the columns it goes by, the foremost
    first, and their shares of what it uses. `rows`: of the window, tested on.
    """

    model: str
    start: date
    end: date
    distance: float
    auc: float
    p: float
    drivers: tuple[tuple[str, float], ...]
    rows: int


def write(store: Store, found: JointDrift) -> str:
    """Keep a result; one of the same window is replaced. Returns its name in the store."""
    name = f"{PREFIX}model={found.model}/{found.start.isoformat()}_{found.end.isoformat()}.json"
    facts = {"format": _FORMAT, **asdict(found), "start": found.start.isoformat(), "end": found.end.isoformat()}
    store.write(name, json.dumps(facts, ensure_ascii=False, sort_keys=True).encode())
    return name


def read(store: Store, model: str) -> tuple[JointDrift, ...]:
    """What is kept of one model, oldest first; a file that cannot be understood is passed over with a word in the log."""
    found = []
    for entry in store.list(f"{PREFIX}model={model}/"):
        if _NAME.fullmatch(entry.key) is None:
            continue
        try:
            found.append(_parse(store.read(entry.key).data))
        except StoreDamaged as error:
            _log.warning("%s is left out: %s", entry.key, error)
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def _parse(data: bytes) -> JointDrift:
    try:
        facts = json.loads(data)
        return JointDrift(
            model=str(facts["model"]),
            start=date.fromisoformat(facts["start"]),
            end=date.fromisoformat(facts["end"]),
            distance=float(facts["distance"]),
            auc=float(facts["auc"]),
            p=float(facts["p"]),
            drivers=tuple((str(name), float(share)) for name, share in facts["drivers"]),
            rows=int(facts["rows"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"it is no result of a test ({error})") from error
