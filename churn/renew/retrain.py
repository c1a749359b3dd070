"""Training anew: a challenger against the champion on rows neither has seen, and what becomes of it.

Nothing is changed on the desk before the last step, which is one conditional write: whoever was faster wins, and the new version
stays in the store, seen by nobody. Each decision is kept with the figures it was made from.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.base.records import Records
from churn.base.snapshot import RISK
from churn.data.quality import LEFT
from churn.data.source import read_table
from churn.errors import ChurnError, DataError, NoChampion, PromotionRefused, SettingsError, StoreConflict
from churn.learn import tracking, training
from churn.learn.evaluation import Paired, paired
from churn.learn.tuning import Progress, silent
from churn.model.bundle import Bundle
from churn.model.gates import judge
from churn.model.registry import Registry
from churn.model.store import Store, ensure_room
from churn.renew import decide, shadow
from churn.renew.decide import ASKED, Calibration
from churn.renew.rows import to_judge_on, to_train_on, trained_until
from churn.score import log, outcomes, promotion
from churn.settings import Settings
from churn.watch import decisions
from churn.watch.decisions import FAILED, PROMOTED, RETURNED, SHADOW, STOPPED, Decision
from churn.watch.matured import labelled

_log = logging.getLogger("churn.renew")
_KEPT: dict[str, str] = {"promote": PROMOTED, "shadow": SHADOW, "stop": STOPPED}
_MOST_ASKED = 50_000  # customers that the model before is asked about
DRAWS = 1_000  # resampled holdouts that two models are compared on


@dataclass(frozen=True, slots=True)
class Desk:
    """Where renewal works: the store and its registry, the database, the settings, and who does it.

    `now`: the moment that alerts and decisions are dated with; the one they are made at unless given, as for a story told later.
    """

    registry: Registry
    store: Store
    records: Records
    settings: Settings
    who: str
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a training came to: the new version, both models on the same rows, and the decision."""

    version: str
    paired: Paired
    decision: Decision


def retrain(
    desk: Desk,
    *,
    today: date,
    table: str | None = None,
    query: str | None = None,
    candidates: Sequence[str] | None = None,
    trials: int | None = None,
    cause: str = ASKED,
    answers: str | None = None,
    progress: Progress | None = None,
) -> Renewal:
    """Train on the champion's schema, hold the new version against it, and promote it, let it run in shadow, or leave it.

    Parameters
    ----------
    today: the day by which outcomes count as known.
    table, query: what to train on; the settings' `training_table` unless given.
    candidates, trials: as `churn.learn.training.train` takes them; those of the settings unless given.
    cause, answers: the trigger this is the end of, if there was one.

    Raises
    ------
    NoChampion, SettingsError: there is nothing to renew, or nothing to train on.
    StoreConflict: the champion or the challenger was changed meanwhile; nothing was done but that the version is in the store.
    Else as reading, training and promoting. What fails is kept as a decision too.
    """
    pointer = desk.registry.pointer()
    if pointer is None:
        raise NoChampion("there is no champion to renew; train a first one: churn train TABLE --schema schema.yaml --promote")
    source = table or desk.settings.training_table
    if not source:
        raise SettingsError("there is nothing to train on; name a table, or set 'training_table'")
    champion = desk.registry.load_model(pointer.model)
    try:
        with tracking.runs(desk.settings, desk.registry, _log.warning) as runs:
            return _retrain(desk, champion, source, query, candidates, trials, today, cause, answers, runs, progress or silent)
    except ChurnError as error:
        _keep(desk, FAILED, cause, champion.version, _without_values(error), {}, today, answers=answers)
        raise


def _retrain(
    desk: Desk,
    champion: Bundle,
    source: str,
    query: str | None,
    candidates: Sequence[str] | None,
    trials: int | None,
    today: date,
    cause: str,
    answers: str | None,
    runs: tracking.Runs,
    progress: Progress,
) -> Renewal:
    settings, schema = desk.settings, champion.schema
    ensure_room(desk.store)  # now, not after minutes of training
    progress("Reading", 0, 0)
    own = source == settings.training_table
    raw = read_table(
        source, query=query or (settings.training_query if own else "") or None, settings=settings, real=real(settings)
    )
    rows = to_train_on(raw, schema, desk.store, today=today)
    asked = candidates or tuple(name.strip() for name in settings.retrain_candidates.split(",") if name.strip()) or None
    as_of = today if schema.snapshot else None
    result = training.train(
        rows,
        schema,
        settings=settings,
        trials=trials,
        candidates=asked,
        as_of=as_of,
        parent=champion.version,
        progress=progress,
    )
    progress("Saving", 0, 0)
    with tempfile.TemporaryDirectory(prefix="churn-") as place:
        training.write_bundle(result, Path(place) / "bundle", simulated=settings.simulated)
        version = desk.registry.publish_model(Path(place) / "bundle")
    runs.add(result, version)
    progress("Comparing with the champion", 0, 0)
    challenger = desk.registry.load_model(version)
    judged = to_judge_on(rows, schema, (champion, challenger), today=today)
    found = held_against(champion, challenger, judged, seed=settings.seed)
    gates = judge(challenger, champion, settings)
    chosen, why = decide.outcome(found, settings, gates_hold=all(check.passed for check in gates))
    failed = " ".join(check.words for check in gates if not check.passed)
    why = f"{why} {failed}".strip()
    evidence: dict[str, Any] = {"paired": asdict(found), "gates": [asdict(check) for check in gates]}
    if schema.snapshot is not None:
        days = judged[schema.snapshot.column]
        evidence |= {"judged_from": days.min(), "judged_to": days.max()}
    if chosen == "promote":
        chosen, why = _promote(desk, version, champion.version, why, progress)
    if chosen == "shadow":
        standing = desk.registry.challenger()
        if (now := desk.registry.pointer()) is None or now.model != champion.version:
            raise StoreConflict(f"the champion is another model by now, not {champion.version}; nothing was changed")
        desk.registry.set_challenger(version, who=desk.who, reason=why, expected=standing)
        shadow.score(desk.registry, desk.store, challenger)
    kept = _keep(desk, _KEPT[chosen], cause, champion.version, why, evidence, today, challenger=version, answers=answers)
    return Renewal(version, found, kept)


def _without_values(error: ChurnError) -> str:
    """What went wrong, as it may be kept for good: what is wrong with a table names cells of it, and those are customers'."""
    if isinstance(error, DataError):
        return "The table to train on does not fit the schema; churn schema check says where."
    return str(error)


def real(settings: Settings) -> bool:
    """Whether a table that is read must be real: the demo's own workspace takes simulated ones."""
    return not settings.simulated


def held_against(champion: Bundle, challenger: Bundle, judged: pl.DataFrame, *, seed: int) -> Paired:
    """Both models on the same labelled rows; whole customers are drawn where a key repeats."""
    y = judged[LEFT].to_numpy().astype(np.float64)
    first, second = champion.model.score(judged).risk, challenger.model.score(judged).risk
    return paired(y, first, second, groups=judged[champion.schema.key].to_numpy(), seed=seed, draws=DRAWS)


def _promote(desk: Desk, version: str, champion: str, why: str, progress: Progress) -> tuple[decide.Outcome, str]:
    """Promote it; a gate that does not hold leaves the champion. Raises StoreConflict as promotion does."""
    try:
        promotion.promote(
            version,
            desk.registry,
            desk.store,
            desk.settings,
            who=desk.who,
            reason=why,
            champion=champion,
            progress=progress,
        )
    except PromotionRefused as error:
        return "stop", f"{why} But it was not promoted: {error}"
    return "promote", why


# -- a model in shadow ---------------------------------------------------------------


def follow_shadow(desk: Desk, *, today: date, progress: Progress | None = None) -> Decision | None:
    """Let the model in shadow score whom the champion shows, and decide about it as outcomes become known.

    None where none is in shadow, or it stays there. A challenger to a champion that is no longer one is let go. Raises
    StoreConflict where somebody else changed champion or challenger meanwhile.
    """
    pointer, standing = desk.registry.pointer(), desk.registry.challenger()
    if pointer is None or standing is None or standing.model is None:
        return None
    version, champion = standing.model, pointer.model
    if version == champion or standing.champion != champion:
        why = (
            "It is the champion now."
            if version == champion
            else f"The champion it was held against, {standing.champion}, is gone."
        )
        desk.registry.set_challenger(None, who=desk.who, reason=why, expected=standing)
        if version == champion:
            return None
        return _keep(desk, STOPPED, SHADOW, champion, why, {}, today, challenger=version)
    challenger = desk.registry.load_model(version)
    shadow.score(desk.registry, desk.store, challenger)
    found = shadow.compare(desk.store, champion, version, challenger.schema, today=today, seed=desk.settings.seed)
    first = min((part.date for part in log.parts(desk.store, model=version)), default=today)
    chosen, why = decide.shadow_outcome(found, desk.settings, days=(today - first).days)
    if chosen == "shadow":
        return None
    if chosen == "promote":
        chosen, why = _promote(desk, version, champion, why, progress or silent)
    desk.registry.set_challenger(None, who=desk.who, reason=why, expected=standing)
    evidence = {"paired": asdict(found) if found else None}
    return _keep(desk, _KEPT[chosen], SHADOW, champion, why, evidence, today, challenger=version)


# -- going back ------------------------------------------------------------------------


def go_back(desk: Desk, *, today: date, progress: Progress | None = None) -> Decision | None:
    """Bring the model before back, where the champion that took over by itself foretells wrongly.

    Judged on outcomes only: the customers it has scored whose outcomes are known, on matured days. The model before is asked
    about those of the last such day from the values that were logged. It happens once to a champion, and never to one that people
    promoted. Raises StoreConflict where somebody else changed the champion meanwhile.
    """
    pointer = desk.registry.pointer()
    if pointer is None:
        return None
    past = decisions.listed(desk.records)
    took_over = next((one for one in past if one.kind == PROMOTED and one.challenger == pointer.model), None)
    if took_over is None or any(one.kind == RETURNED and one.model == pointer.model for one in past):
        return None
    champion, before = desk.registry.load_model(pointer.model), desk.registry.load_model(took_over.model)
    known = _lived(desk, champion, [log.KEY, log.AS_OF, RISK], today)
    if known.is_empty():
        return None
    now = calibration(known[outcomes.LEFT].to_numpy(), known[RISK].to_numpy())
    if not decide.is_off(now, desk.settings):
        return None  # as nearly always: then no more of the log has to be read
    columns = [log.KEY, log.AS_OF, *before.schema.names]
    rows = _lived(desk, champion, columns, today, since=known[log.AS_OF].max())  # type: ignore[arg-type]
    if any(name not in rows.columns for name in before.schema.names):
        return None  # the model before needs a column that is no longer logged
    some = rows.sample(min(_MOST_ASKED, rows.height), seed=desk.settings.seed)
    both = some.join(known.select(log.KEY, log.AS_OF, RISK), on=[log.KEY, log.AS_OF])
    left = both[outcomes.LEFT].to_numpy()
    now, then = calibration(left, both[RISK].to_numpy()), calibration(left, before.model.score(both).risk)
    if not decide.is_broken(now, then, desk.settings):
        return None
    why = (
        f"Of {now.rows:,} customers whose outcomes are known, {now.observed:.1%} left; model {champion.version} foretold "
        f"{now.foretold:.1%}, model {before.version} would have foretold {then.foretold:.1%}. Model {before.version} is back."
    )
    promotion.promote(
        before.version,
        desk.registry,
        desk.store,
        desk.settings,
        who=desk.who,
        reason=why,
        despite_gates=True,
        champion=champion.version,
        progress=progress,
    )
    evidence = {"now": asdict(now), "before": asdict(then)}
    return _keep(desk, RETURNED, took_over.cause, champion.version, why, evidence, today, challenger=before.version)


def _lived(desk: Desk, champion: Bundle, columns: list[str], today: date, since: date | None = None) -> pl.DataFrame:
    """What a champion logged about days after its training, with `__left__`, where that is known: one row a customer and day."""
    begin = max(day for day in (since, trained_until(champion) + timedelta(days=1)) if day is not None)
    rows = log.read(desk.store, champion.version, since=begin, until=today, columns=columns)
    rows = rows.unique([log.KEY, log.AS_OF], keep="last", maintain_order=True).filter(pl.col(log.AS_OF) >= begin)
    known = labelled(rows, outcomes.statements(desk.store), champion.schema, today=today)
    return known.filter(pl.col(outcomes.LEFT).is_not_null())


def calibration(left: np.ndarray, risk: np.ndarray) -> Calibration:
    """Foretold against observed; `left` 0/1 [n], `risk` 0–1 [n], n ≥ 1."""
    spread = float(np.sqrt((risk * (1 - risk)).sum()))
    apart = abs(float(left.sum() - risk.sum()))
    return Calibration(
        len(left), float(risk.mean()), float(left.mean()), apart / spread if spread else float("inf") * bool(apart)
    )


def _keep(
    desk: Desk,
    kind: str,
    cause: str,
    model: str,
    why: str,
    evidence: dict[str, Any],
    today: date,
    *,
    challenger: str | None = None,
    answers: str | None = None,
) -> Decision:
    kept = decisions.record(
        desk.records,
        kind,
        cause=cause,
        model=model,
        words=why,
        evidence=evidence,
        day=today,
        who=desk.who,
        challenger=challenger,
        answers=answers,
        now=desk.now,
    )
    assert kept is not None  # only triggers and idle words may be there already
    return kept
