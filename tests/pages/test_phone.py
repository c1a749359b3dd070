"""With a finger on a phone, and with the keyboard alone: what can be chosen is chosen at once, and is not chosen by mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .browsing import settled

Visit = Callable[..., Any]
PHONE = {"width": 390, "height": 844, "has_touch": True}
_PLOT = ".js-plotly-plot"

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("phone")]


@pytest.fixture(scope="module")
def url(base: Callable[[str], Path], serve: Visit) -> str:
    """Where the small base is served."""
    return str(serve(base("small")).url)


def drawn(page: Any, chart: int = 0) -> Any:
    page.locator(f"{_PLOT} .barlayer").nth(chart).wait_for()
    settled(page)
    plot = page.locator(_PLOT).nth(chart)
    plot.scroll_into_view_if_needed()
    settled(page)
    return plot


def tap(page: Any, of: Any) -> None:
    box = of.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def swipe(page: Any, of: Any) -> None:
    """Draw a finger upwards over an element, as one scrolls."""
    box = of.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for moved in range(10, 130, 10):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - moved}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settled(page)


# -- charts --------------------------------------------------------------------


def test_the_first_tap_on_a_tile_opens_its_group_and_the_next_one_another(url: str, visit: Visit) -> None:
    page = visit(f"{url}/cohorts", **PHONE)
    tiles = drawn(page).locator(".annotation-text", has_text=re.compile("%"))
    opened = set()
    for place in (0, 1):
        tiles.nth(place).scroll_into_view_if_needed()
        settled(page)
        before = page.url
        tap(page, tiles.nth(place))
        page.wait_for_url(lambda now, before=before: "by_group" in now and now != before)
        settled(page)
        opened.add(page.url)
    assert len(opened) == 2


def test_the_first_tap_on_a_bar_narrows_to_its_group(url: str, visit: Visit) -> None:
    page = visit(url, **PHONE)
    tap(page, drawn(page).locator(".annotation-text").first)
    page.wait_for_url(re.compile("contract="))


def test_a_finger_on_a_chart_scrolls_and_chooses_nothing(url: str, visit: Visit) -> None:
    page = visit(f"{url}/cohorts", **PHONE)
    tile = drawn(page).locator(".annotation-text", has_text=re.compile("%")).nth(1)
    reached = [0]
    for _ in range(2):
        swipe(page, tile)
        reached.append(page.get_by_test_id("stMain").evaluate("main => main.scrollTop"))
    assert reached == sorted(set(reached)), "each swipe scrolls on"
    assert page.url == f"{url}/cohorts"


# -- the menu ------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1440])
def test_the_menu_closes_behind_a_choice_where_it_covers_the_page(width: int, url: str, visit: Visit) -> None:
    page = visit(url, **{**PHONE, "width": width}, guarded=True)  # under the policy that forbids scripts it does not know
    menu = page.get_by_test_id("stSidebar")
    if width == 390:
        page.get_by_test_id("stExpandSidebarButton").tap()
    menu.get_by_role("link", name="Champion").tap()
    page.wait_for_url(f"{url}/champion")
    page.get_by_text("Why it was chosen").wait_for()
    covers = page.locator(f'[data-testid=stSidebar][data-collapsed="{"true" if width == 390 else "false"}"]')
    covers.wait_for(state="attached")
