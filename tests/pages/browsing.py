"""What the journeys through a real browser have in common."""

from __future__ import annotations

import re
from typing import Any

# addresses of the menu's pages
PAGES = ("", "cohorts", "explain", "retention", "customer", "value", "call-list", "drift", "performance", "champion")

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


def open_a_customer(page: Any) -> None:
    """On the page Customer, open the customer whose number the search box gives as an example."""
    box = page.get_by_placeholder("Customer number, e.g.")
    box.fill(box.get_attribute("placeholder").rsplit(" ", 1)[-1])
    box.press("Enter")
    page.get_by_role("heading", level=1, name=re.compile("risk of leaving")).wait_for()
    settled(page)
