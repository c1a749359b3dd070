"""Putting another model in use from a page: on a thread of its own, one at a time in this process, seen by every session.

Two processes, or a page and a command, may still change the model at once: then one of them is told that it came second.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from churn.errors import ChurnError, StoreConflict
from churn.model.registry import Pointer
from churn.model.store import open_store

if TYPE_CHECKING:
    from pages.shared.data import Desk


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the model in use, on its way or done.

    `to`: the version that is put in use; `back`: whether that is a way back. `doing`, `done`, `total`: how far it is, in rows or
    steps. `running` until it ended; then `error` says why nothing was changed, or `rescored` how many customers were scored.
    `second`: somebody else was faster.
    """

    id: str
    to: str
    back: bool
    who: str
    doing: str = ""
    done: int = 0
    total: int = 0
    running: bool = True
    error: str | None = None
    second: bool = False
    rescored: int = 0


class Changing:
    """The change that is under way in this process, or the last one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self.change: Change | None = None
        self._thread: threading.Thread | None = None

    def promote(self, version: str, *, seen: Pointer, who: str, reason: str, despite_gates: bool) -> Change | None:
        """Begin to put a version in use; None where another change is under way.

        seen: the pointer that the decision was made on.
        """
        from churn.score import promotion

        def work() -> None:
            desk = self._desk
            done = promotion.promote(
                version,
                desk.registry,
                open_store(desk.settings),
                desk.settings,
                who=who,
                reason=reason,
                despite_gates=despite_gates,
                seen=seen,
                progress=self._report,
            )
            self._note(rescored=done.rescored)

        return self._begin(Change(uuid.uuid4().hex, version, back=False, who=who), work)

    def roll_back(self, version: str, *, seen: Pointer, who: str, reason: str) -> Change | None:
        """Begin to show the pair before, which is of `version`; None where another change is under way."""

        def work() -> None:
            self._report("Checking the files", 0, 0)
            self._desk.registry.rollback(who, reason, seen=seen)

        return self._begin(Change(uuid.uuid4().hex, version, back=True, who=who), work)

    def wait(self) -> None:
        """Until the change that is under way has ended."""
        if (thread := self._thread) is not None:
            thread.join()

    def _begin(self, change: Change, work: Callable[[], None]) -> Change | None:
        with self._lock:
            if self.change is not None and self.change.running:
                return None
            self.change = change
            self._thread = threading.Thread(target=self._run, args=(work,), name="changing", daemon=True)
            self._thread.start()
        return change

    def _run(self, work: Callable[[], None]) -> None:
        """The work, and then the desk's look at what came of it, so that whoever waits sees it at once."""
        error: str | None = "It ended for a reason that nobody foresaw; the log of the app says which. Look whether it was done"
        second = False
        try:
            work()
            error = None
        except ChurnError as refusal:
            error, second = str(refusal), isinstance(refusal, StoreConflict)
        finally:
            self._desk.look()
            self._note(running=False, error=error, second=second)

    def _report(self, doing: str, done: int, total: int) -> None:
        self._note(doing=doing, done=done, total=total)

    def _note(self, **parts: Any) -> None:
        with self._lock:
            assert self.change is not None
            self.change = replace(self.change, **parts)
