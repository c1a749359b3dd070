"""Take the README's pictures from a running app: `make screenshots`, with the demo open at the address given."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu"]


def main(address: str) -> None:
    """Write overview.png and customer.png beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.goto(address)
        page.get_by_text("How risk is spread").wait_for(timeout=30_000)
        page.wait_for_timeout(2_000)  # charts fade in
        page.screenshot(path=Path(__file__).with_name("overview.png"))
        page.goto(f"{address}/customer")
        search = page.get_by_placeholder("Customer number", exact=False)
        search.wait_for(timeout=30_000)
        search.fill((search.get_attribute("placeholder") or "").split()[-1])
        search.press("Enter")
        page.get_by_text("From a typical customer to this one").wait_for(timeout=30_000)
        page.wait_for_timeout(2_000)
        page.screenshot(path=Path(__file__).with_name("customer.png"))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8501")
