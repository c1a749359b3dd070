"""How long predictions are kept: older ones leave the log, and what was counted of them stays to tell drift from."""

from __future__ import annotations

from datetime import date

from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import log, sketch
from churn.score.log import Compacted, Part


def compact(store: Store, registry: Registry) -> Compacted:
    """Make one part of the many of each day (`churn.score.log.compact`), and count the new parts."""
    done = log.compact(store)
    sketch.ensure(store, registry)
    return done


def expire(store: Store, registry: Registry, before: date) -> tuple[Part, ...]:
    """Remove predictions about days before this one, each counted first, and say which parts those were.

    A day without parts is told from all the sketches it has, so those of parts that were made one since go too.

    Raises
    ------
    StoreUnavailable: what was removed stays removed; repeat it.
    """
    sketch.ensure(store, registry)
    old = [part for part in log.parts(store) if part.date < before]
    counted = {sketch.of_run(part.model, part.date, part.run) for part in old}
    for place in {sketch.of_run(part.model, part.date, "") for part in old}:
        for entry in store.list(place.removesuffix(".npz")):
            if entry.key not in counted:
                store.delete(entry.key)
    return log.expire(store, before)
