"""What the server says to browsers about the pages: what they may load, who may frame them; and what it keeps to itself.

An ASGI layer around the whole app, so that no answer of Streamlit's leaves without it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

# Unauthenticated counts of sessions and of memory, for whoever asks; not for a public side.
CLOSED = ("/_stcore/metrics", "/_stcore/agent")

_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_SCRIPT = Path(__file__).parent / "page.js"


class Guard:
    """Wrap an ASGI app: every answer over HTTP carries the headers, and closed addresses answer 404."""

    def __init__(self, app: _App, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: _Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in self._headers}
                kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in names]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        path = re.sub("/{2,}", "/", scope["path"])
        if any(path == closed or path.startswith(f"{closed}/") for closed in CLOSED):
            await guarded({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await guarded({"type": "http.response.body", "body": b"Not Found"})
            return
        await self._app(scope, receive, guarded)


def headers(index: bytes) -> dict[str, str]:
    """The headers for an app whose page is `index`: its inline scripts and `own_script` are allowed by their sums, no other ones.

    Styles are inline all over Streamlit and Plotly. Neither evaluates text as a program, so nobody may.
    """
    scripts = _INLINE.findall(index + own_script().encode())
    sums = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    policy = {
        "default-src": "'self'",
        "script-src": f"'self' {sums}".strip(),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "frame-src": "'none'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",  # filters stand in the address
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), display-capture=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


@cache
def own_script() -> str:
    """The one script that the pages bring along, in its element."""
    return f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>"


def index_page() -> bytes:
    """The page that Streamlit serves for every address of the app."""
    import streamlit

    return (Path(streamlit.__file__).parent / "static" / "index.html").read_bytes()
