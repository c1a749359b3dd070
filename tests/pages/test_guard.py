"""What every answer of the server carries, and that the real pages do without what it forbids."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pages.shared.guard import headers, index_page

WANTED = {
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
    "Cross-Origin-Opener-Policy",
}


def ask(url: str, **given: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=given), timeout=10) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def lacking(answered: Any) -> set[str]:
    return {name for name in WANTED if name not in answered}


def test_the_policy_lets_nothing_evaluate_and_nobody_frame() -> None:
    policy = headers(index_page())["Content-Security-Policy"]
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy  # nothing from another machine


def test_inline_scripts_are_allowed_by_their_sums() -> None:
    # the sum of an empty script, FIPS 180-4
    found = headers(b"<p><script></script></p>")["Content-Security-Policy"]
    assert "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='" in found


def test_every_answer_is_guarded_and_some_addresses_are_closed(workspace: Path, serve: Callable[..., Any]) -> None:
    url = serve(workspace).url
    for path in ("/", "/customer", "/health", "/ready", "/_stcore/health", "/static/nothing.js", "/%2e%2e/etc/passwd"):
        status, answered = ask(url + path)
        assert lacking(answered) == set(), path
        assert answered.get_all("X-Content-Type-Options") == ["nosniff"], path
        assert status < 500
    for path in (
        "/_stcore/metrics",
        "/_stcore/metrics/",
        "//_stcore//metrics",
        "/_stcore/%6detrics",
        "/_stcore/agent/openapi.json",
    ):
        status, answered = ask(url + path)
        assert (status, lacking(answered)) == (404, set()), path


@pytest.mark.browser
def test_pages_and_charts_work_under_the_policy(workspace: Path, serve: Callable[..., Any], visit: Callable[..., Any]) -> None:
    url = serve(workspace).url
    page = visit(url, guarded=True)
    refused: list[str] = []
    page.on("console", lambda line: refused.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    page.goto(url)
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.goto(f"{url}/customer")
    page.wait_for_selector("canvas")  # the table
    page.get_by_placeholder("Customer number").fill("C*0001_")
    page.keyboard.press("Enter")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    later = "() => new Promise(tell => setTimeout(() => { try { tell(eval('1')) } catch (error) { tell(error.name) } }))"
    assert page.evaluate(later) == "EvalError"
    assert [text for text in refused if "EvalError" not in text and "unsafe-eval" not in text] == []
