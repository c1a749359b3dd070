"""Publish a scoring: the desk shows it, and the log has its predictions, or neither."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import polars as pl

from churn.base.snapshot import CONTACTS, POINTS, ROWS
from churn.errors import BundleRejected, ChurnError, NoChampion, NotInStore, PromotionRefused, StoreConflict
from churn.model.bundle import Bundle
from churn.model.interactions import Interactions
from churn.model.registry import Pointer, Registry
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.score import forgotten, log, sketch
from churn.score.batch import Progress, Scored, run_id, without, write_scoring

_log = logging.getLogger("churn.score")


@dataclass(frozen=True, slots=True)
class Published:
    """The scoring the desk shows now. `new` is False where the same run was there already and nothing was done.

    `forgotten`: how many customers were left out because they asked to be forgotten.
    """

    scoring: str
    run: str
    pointer: Pointer
    new: bool
    forgotten: int = 0


def publish(
    scored: Scored,
    bundle: Bundle,
    registry: Registry,
    store: Store,
    *,
    as_of: date,
    who: str,
    reason: str = "",
    action: Literal["publish", "promote"] = "publish",
    expected: Pointer | None = None,
    progress: Progress | None = None,
) -> Published:
    """Write the scoring to the store, log its predictions, and swap the pointer to {this model, this scoring}.

    Customers who asked to be forgotten are left out, whoever brings them. The risks that the scoring shown until now gave its
    customers, and those it knew of, go along (`churn.score.history`).

    Whatever fails before the swap leaves the desk as it was. A swap that loses the race takes the log part back; the scoring's
    files stay in the store, seen by nobody, and serve if the same run is repeated. The same run (date, model, schema and
    values, but for customers forgotten since) done again changes nothing, unless it asks for more reasons than are kept, or what
    lies in the store is damaged; nor does one that loses to the same run.

    Parameters
    ----------
    bundle: the model that scored, from `Registry.load_model`.
    as_of: the day the rows were true.
    action: `publish` shows a new scoring of the champion; `promote` makes this model the champion with it.
    expected: for `promote`, the pointer the decision was made on (None: there was no champion).

    Raises
    ------
    NoChampion: `publish` without a champion. StoreConflict: the champion is another model, or somebody was faster.
    StoreUnavailable, BundleRejected, WorkspaceMixed: as the registry says.
    """
    version = bundle.version
    if version is None:
        raise BundleRejected("only a model in the store can be shown; publish the model before its scoring")
    gone = forgotten.of(store).among(scored.rows[bundle.schema.key])
    scored, left_out = without(scored, gone), int(gone.sum())
    run = run_id(scored, model_version=version, schema=bundle.model.schema, as_of=as_of)
    run = _before_erasure(registry, scored, bundle, as_of) or run
    now = registry.pointer()
    if action == "publish":
        if now is None:
            raise NoChampion(f"there is no champion to publish a scoring of; promote model {version} first")
        if now.model != version:
            raise StoreConflict(
                f"the champion is model {now.model} by now, and this scoring was made with {version}; score again"
            )
        expected = now
    scoring = _there(registry, run, scored, now)
    step = progress or _silent
    step("Publishing", 0, 3)
    uploaded = scoring is None
    if scoring is None:
        scoring = _upload(registry, scored, bundle, as_of, run, _before(registry, now))
    step("Publishing", 1, 3)
    part, fresh = log.append(store, scored.rows, bundle.model.schema, model=version, as_of=as_of, run=run, source=action)
    step("Publishing", 2, 3)
    if action == "publish" and now is not None and (now.model, now.scoring) == (version, scoring):
        step("Publishing", 3, 3)
        return Published(scoring, run, now, new=False, forgotten=left_out)
    try:
        pointer = registry.swap(model=version, scoring=scoring, action=action, who=who, reason=reason, expected=expected)
    except (StoreConflict, PromotionRefused, BundleRejected, NotInStore) as error:
        # sure not to have happened
        won = registry.pointer() if isinstance(error, (StoreConflict, NotInStore)) else None
        if won is not None and won.model == version and won.scoring and _has_all(registry, won.scoring, run, scored):
            if uploaded and won.scoring != scoring:
                registry.withdraw_scoring(scoring)
            if action == "publish":
                step("Publishing", 3, 3)
                return Published(won.scoring, run, won, new=False, forgotten=left_out)
        if fresh and not _was_shown(registry, run):
            store.delete(part)
            store.delete(sketch.of_run(version, as_of, run))
        raise
    _count(store, registry)
    step("Publishing", 3, 3)
    return Published(scoring, run, pointer, new=True, forgotten=left_out)


def _count(store: Store, registry: Registry) -> None:
    """Have what was logged counted for the pages that watch; what fails is done when one of them is opened."""
    try:
        sketch.ensure(store, registry)
    except ChurnError as error:
        _log.warning("what was logged is not counted yet: %s", error)


def _there(registry: Registry, run: str, scored: Scored, now: Pointer | None) -> str | None:
    """A scoring of this run in the store, whole and with all that is kept of one; that on the desk before any other."""
    found = [info.id for info in registry.scorings() if not info.problem and _same(info.facts, run, scored)]
    found.sort(key=lambda id: now is None or id != now.scoring)
    for id in found:
        damage = registry.problem("scoring", id)
        if damage is None:
            return id
        _log.warning("it is published anew: %s", damage)
    return None


def _before_erasure(registry: Registry, scored: Scored, bundle: Bundle, as_of: date) -> str | None:
    """The run of these very rows, where it has lost customers who were forgotten since; None where there is none.

    Its id is made of all rows it once had, theirs too, so it is known again by those that are left.
    """
    asked = (bundle.version, as_of.isoformat(), bundle.schema.hash, scored.rows.height)
    for info in registry.scorings():
        if info.problem or not info.facts.get("rewritten"):
            continue
        if asked != tuple(info.facts.get(name) for name in ("model", "as_of", "schema_hash", "rows")):
            continue
        try:
            folder = registry.scoring_folder(info.id)
        except (BundleRejected, NotInStore) as error:
            _log.warning("whether it is the same run cannot be told: %s", error)
            continue
        contacts = folder / CONTACTS
        if _same_rows(scored.rows, pl.read_parquet(folder / ROWS), bundle.schema.needed) and _same_rows(
            scored.contacts, pl.read_parquet(contacts) if contacts.exists() else None
        ):
            return str(info.facts["run"])
    return None


def _same_rows(ours: pl.DataFrame | None, theirs: pl.DataFrame | None, columns: Sequence[str] | None = None) -> bool:
    """Whether two tables, the key first, have the same rows, in whatever order."""
    if ours is None or theirs is None:
        return ours is theirs
    columns = columns or ours.columns
    if not set(columns) <= set(theirs.columns):
        return False
    return ours.select(columns).sort(columns[0]).equals(theirs.select(columns).sort(columns[0]))


def _was_shown(registry: Registry, run: str) -> bool:
    """Whether the desk has ever shown this very run, whoever published it: then its predictions stay logged."""
    shown = {entry.scoring for entry in registry.history()}
    return any(info.id in shown and info.facts.get("run") == run for info in registry.scorings())


def _has_all(registry: Registry, scoring: str, run: str, scored: Scored) -> bool:
    return any(info.id == scoring and not info.problem and _same(info.facts, run, scored) for info in registry.scorings())


def _same(facts: Mapping[str, Any], run: str, scored: Scored) -> bool:
    """Whether a scoring in the store is of this run, and has all that this version keeps of one and that was asked for."""
    return (
        facts.get("run") == run
        and (scored.points is None or POINTS in facts["files"])
        and facts.get("reasons", -1) >= scored.reasons
        and facts.get("explained", 0) >= (scored.rows.height if scored.explained is None else scored.explained)
    )


def _before(registry: Registry, now: Pointer | None) -> Path | None:
    """The folder of the scoring shown until now; None where there is none. One that is damaged ends the line of the past."""
    if now is None or now.scoring is None:
        return None
    try:
        return registry.scoring_folder(now.scoring)
    except (BundleRejected, NotInStore) as error:
        _log.warning("the scoring before cannot be read, so earlier risks are lost: %s", error)
        return None


def _pairs(scored: Scored, bundle: Bundle) -> dict[str, Any] | None:
    """How much each pair of columns matters together, over all customers; None for a model that has no tables to tell from.

    `sizes` are two features and their mean |points| (0–1 scale); `exact`: against the whole background the model has.
    """
    model = bundle.model
    if not isinstance(model, ScoringModel):
        return None
    found = Interactions.of(model, bundle.reference)
    sizes = found.sizes(scored.rows).tolist()
    names = model.feature_names
    listed = [[names[i], names[j], size] for (i, j), size in zip(found.pairs, sizes, strict=True)]
    return {"exact": found.exact, "sizes": listed}


def _upload(registry: Registry, scored: Scored, bundle: Bundle, as_of: date, run: str, before: Path | None) -> str:
    with tempfile.TemporaryDirectory(prefix="churn-") as place:
        folder = Path(place) / "scoring"
        write_scoring(
            folder,
            scored,
            model_version=bundle.version,
            schema=bundle.model.schema,
            as_of=as_of,
            simulated=bundle.manifest["simulated"],
            calibration_covariance=bundle.metrics.get("calibration_covariance"),
            run=run,
            before=before,
            pairs=_pairs(scored, bundle),
        )
        return registry.publish_scoring(folder)


def _silent(doing: str, done: int, total: int) -> None:
    pass
