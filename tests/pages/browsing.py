"""What the journeys through a real browser have in common."""

from __future__ import annotations

from typing import Any

_QUIET = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  const busy = '[data-testid="stSkeleton"], [data-stale="true"]';
  const quiet = app && app.dataset.testScriptState === 'notRunning' && !document.querySelector(busy);
  const now = performance.now();
  if (!quiet) window.busyAt = now;
  return quiet && now - (window.busyAt ?? (window.busyAt = now)) > 250;
}"""


def settled(page: Any) -> None:
    """Wait until no script has run for a quarter of a second: what is on the page then stays attached to it."""
    page.evaluate("window.busyAt = performance.now()")
    page.wait_for_function(_QUIET)
