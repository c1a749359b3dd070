"""With a finger on a phone, and with the keyboard alone: what can be chosen is chosen at once, and is not chosen by mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
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


_BOXES = """elements => elements.map(element => {
  const box = element.getBoundingClientRect();
  return [box.top, box.bottom];
})"""


@pytest.mark.parametrize("width", [390, 1440])
def test_entries_of_the_menu_stand_apart_and_evenly(width: int, url: str, visit: Visit) -> None:
    page = visit(url, width=width, height=844)
    settled(page)
    if width == 390:
        page.get_by_test_id("stExpandSidebarButton").click()
        settled(page)
    first, second, *_ = page.locator(".st-key-_menu").get_by_test_id("stPageLink-NavLink").evaluate_all(_BOXES)
    entries = page.locator(".st-key-_menu > *").evaluate_all(_BOXES)
    gaps = [below[0] - above[1] for above, below in pairwise(entries)]
    assert min(gaps) > 2
    assert max(gaps) - min(gaps) < 1
    assert first[1] - first[0] >= 24
    assert second[0] - first[1] == pytest.approx(gaps[1], abs=1)


# -- the keyboard --------------------------------------------------------------

# What the eye takes for the element with the focus, and the contrast of the ring around it.
_RING = """() => {
  const here = document.activeElement;
  const kind = here.dataset.testid ?? here.getAttribute("role") ?? here.type ?? "";
  const light = colour => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map(part => part / 255);
    const linear = part => part > 0.04045 ? ((part + 0.055) / 1.055) ** 2.4 : part / 12.92;
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  };
  let ring = here, painted = here;
  const solid = element => getComputedStyle(element).outlineStyle === "solid" && element.getBoundingClientRect().width > 2;
  for (let up = 0; up < 3 && !solid(ring); up++) ring = ring.parentElement;
  if (!solid(ring)) return [here.tagName, kind, 0];
  do painted = painted.parentElement; while (/, 0\\)$/.test(getComputedStyle(painted).backgroundColor));
  const [a, b] = [getComputedStyle(ring).outlineColor, getComputedStyle(painted).backgroundColor].map(light);
  return [here.tagName, kind, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_whatever_has_the_focus_has_a_ring(dark: bool, url: str, visit: Visit) -> None:
    page = visit(f"{url}/cohorts", dark=dark)
    drawn(page)
    found = {}
    for _ in range(40):
        page.keyboard.press("Tab")
        tag, kind, contrast = page.evaluate(_RING)
        if tag in ("CANVAS", "TD"):  # in a table the cell has the ring, and it is drawn
            break
        found.setdefault(f"{tag} {kind}".strip(), contrast)
    kinds = {"A stPageLink-NavLink", "BUTTON button", "SUMMARY", "INPUT combobox", "BUTTON radio", "BUTTON stBaseButton-tertiary"}
    assert found.keys() >= kinds
    assert {kind: contrast for kind, contrast in found.items() if contrast < 3} == {}


# -- what stands where ---------------------------------------------------------


@pytest.mark.parametrize("width", [390, 720])
def test_no_hole_beside_the_last_tile(width: int, url: str, visit: Visit) -> None:
    page = visit(url, width=width, height=844)
    settled(page)
    tiles = page.locator(".st-key-_tiles > *")
    assert tiles.count() == 4
    for left_out in range(2):  # four tiles; then three, as where the table has no money
        if left_out:
            tiles.last.evaluate("tile => tile.remove()")
        edges = tiles.evaluate_all("tiles => tiles.map(tile => tile.getBoundingClientRect().right)")
        assert max(edges) - edges[-1] < 1


def test_the_title_stands_off_the_sentence_below_it(url: str, visit: Visit) -> None:
    page = visit(url)
    settled(page)
    written = "title => title.getBoundingClientRect().bottom - parseFloat(getComputedStyle(title).paddingBottom)"
    sentence = page.locator("[data-testid=stElementContainer]:has(h1) + * p").first
    assert 4 <= sentence.bounding_box()["y"] - page.locator("h1").evaluate(written) <= 8


@pytest.mark.parametrize("page", ["no champion", "champion"])
def test_commands_are_broken_where_they_do_not_fit(page: str, url: str, serve: Visit, visit: Visit, tmp_path: Path) -> None:
    """A block to be scrolled sideways is out of the keyboard's reach."""
    shown = visit(f"{url}/champion" if page == "champion" else serve(tmp_path).url, width=320, height=844)
    commands = shown.get_by_test_id("stMain").locator("pre").first
    commands.wait_for()
    settled(shown)
    assert commands.evaluate("block => block.scrollWidth - block.clientWidth") <= 0


@pytest.mark.parametrize("page", ["cohorts?by_row=Plan&by_column=Contract", ""], ids=["groups", "customers"])
def test_a_table_tells_the_risk_on_a_phone_whatever_the_names(page: str, url: str, visit: Visit) -> None:
    shown = visit(f"{url}/{page}", width=390, height=844)
    settled(shown)
    for table in shown.get_by_test_id("stDataFrame").all():
        table.scroll_into_view_if_needed()
        table.locator("canvas th").first.wait_for(state="attached")
        heads = [head for head in table.locator("canvas th").all_text_contents() if head]  # of the columns in sight
        assert heads[:3] in (["Group", "Risk", "At risk"], ["Customer", "Risk", "At risk"])


@pytest.mark.parametrize("width", [390, 720, 1200])
def test_the_example_of_a_number_is_whole(width: int, url: str, visit: Visit) -> None:
    page = visit(f"{url}/customer", width=width, height=900)
    box = page.get_by_placeholder("Customer number, e.g.")
    settled(page)
    needed = """box => {
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = getComputedStyle(box).font;
      return pen.measureText(box.placeholder).width;
    }"""
    assert box.evaluate(needed) < box.evaluate("box => box.clientWidth - parseFloat(getComputedStyle(box).paddingLeft)")
