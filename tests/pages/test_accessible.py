"""Every page through axe-core: no serious fault, light on a desk, dark on a phone; two pages in all four ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from .browsing import PAGES, open_a_customer, settled


@pytest.mark.browser
@pytest.mark.xdist_group("accessible")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_serious_fault(page: str, dark: bool, base: Callable[[str], Any], serve: Any, visit: Any) -> None:
    app = serve(base("small"))
    desk, phone = (1440, 900), (390, 844)
    for width, height in (desk, phone) if page in ("", "customer") else (phone,) if dark else (desk,):
        opened = visit(f"{app.url}/{page}", width=width, height=height, dark=dark)
        settled(opened)
        if page == "customer":
            open_a_customer(opened)
        found = Axe().run(opened).response["violations"]
        faults = [
            (rule["id"], node["target"], node["html"][:200])
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
        assert not faults, f"{width} px: {faults}"
