"""One visitor of a served Streamlit app without a browser, over the real WebSocket protocol as the front end of 1.67 speaks it.

A visitor keeps what a browser keeps: the messages it may be referred to by hash, the values of its widgets, and the fragments
that run by themselves. One request is under way at a time, as the server works through a session's requests one by one; the
time of a request includes waiting for its turn.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

_DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
_TEXTS = {"markdown": ("body",), "heading": ("body",), "alert": ("body",), "metric": ("label", "body"), "exception": ("message",)}


@dataclass(slots=True)
class Answer:
    """What came back of one request: seconds from sending to the end of the script, bytes, and every text on the way."""

    seconds: float
    received: int
    good: bool
    texts: list[str]


@dataclass
class Visitor:
    """A session of the app at `url` (http://host:port)."""

    url: str
    query: str = ""
    pages: dict[str, str] = field(default_factory=dict)  # name in the address → hash
    widgets: dict[str, tuple[str, Any]] = field(default_factory=dict)  # key → id and the element
    exceptions: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)  # of the last whole run
    ticks: list[Answer] = field(default_factory=list)  # what ran by itself

    def __post_init__(self) -> None:
        self._values: dict[str, tuple[str, Any]] = {}
        self._fragments: dict[str, str] = {}  # widget id → fragment
        self._known: dict[str, ForwardMsg] = {}
        self._page = ""
        self._turn = asyncio.Lock()
        self._every: dict[str, float] = {}  # fragment → seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: ClientConnection | None = None

    async def open(self) -> Answer:
        """Connect and draw the first page; fragments with a rhythm of their own begin to run."""
        started = time.perf_counter()
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = await connect(
            address,
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(self.url),
            max_size=None,
            compression=None,
            ping_interval=None,
            open_timeout=60,
        )
        answer = await self.run()
        answer.seconds = time.perf_counter() - started
        return answer

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def run(self, page: str | None = None) -> Answer:
        """Draw a page (by its name in the address; the present one unless given) from top to bottom."""
        if page is not None:
            self._page = self.pages[page]
        return await self._request(None)

    async def set(self, key: str, field: str, value: Any, *, whole: bool = False) -> Answer:
        """Give a widget a value, as its field of the protocol; its fragment runs, or the whole page where it is in none."""
        identity = self.widgets[key][0]
        self._values[identity] = (field, value)
        answer = await self._request(None if whole else self._fragments.get(identity))
        if field == "trigger_value":
            del self._values[identity]
        return answer

    def keep(self, key: str, field: str, value: Any) -> None:
        """Give a widget a value that goes along with the next request."""
        self._values[self.widgets[key][0]] = (field, value)

    async def tick(self) -> None:
        """Run what the page asked to be run again and again, once each."""
        for fragment in list(self._every):
            if fragment in self._every:  # not drawn anew meanwhile
                self.ticks.append(await self._request(fragment, by_itself=True))

    def follow(self) -> None:
        """From now on run what the page asked to be run again and again, in its rhythm, as long as the visitor is there."""

        async def again() -> None:
            while True:
                await asyncio.sleep(min(self._every.values(), default=1.0))
                await self.tick()

        self._tasks.append(asyncio.create_task(again()))

    async def _request(self, fragment: str | None, *, by_itself: bool = False) -> Answer:
        started = time.perf_counter()
        async with self._turn:
            if by_itself and fragment not in self._every:  # drawn anew meanwhile: the server would not say a word
                return Answer(time.perf_counter() - started, 0, True, [])
            await self._send(fragment, by_itself)
            received, texts = 0, list[str]()
            while True:
                message, size = await self._receive()
                received += size
                kind = message.WhichOneof("type")
                if kind == "new_session":
                    self._begin(message)
                    if not message.metadata.run.fragment_ids:
                        texts = []  # a run of the whole page, perhaps after a fragment asked for it
                elif kind == "delta":
                    texts += self._learn(message)
                else:
                    self._note(message, kind)
                if kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    good = message.script_finished in _DONE
                    return Answer(time.perf_counter() - started, received, good, texts)

    async def _send(self, fragment: str | None, by_itself: bool) -> None:
        message = BackMsg()
        rerun = message.rerun_script
        rerun.query_string, rerun.page_script_hash = self.query, self._page
        rerun.cached_message_hashes.extend(self._known)
        rerun.context_info.timezone, rerun.context_info.locale = "UTC", "en-GB"
        rerun.context_info.url = self.url
        rerun.is_auto_rerun = by_itself
        if fragment is not None:
            rerun.fragment_id = fragment
        for identity, (kind, value) in self._values.items():
            state = rerun.widget_states.widgets.add()
            state.id = identity
            if kind.endswith("_array_value"):
                getattr(state, kind).data.extend(value)
            else:
                setattr(state, kind, value)
        assert self._socket is not None
        await self._socket.send(message.SerializeToString())

    async def _receive(self) -> tuple[ForwardMsg, int]:
        assert self._socket is not None
        raw = await self._socket.recv()
        message = ForwardMsg()
        message.ParseFromString(bytes(raw))  # type: ignore[arg-type]
        if message.WhichOneof("type") == "ref_hash":
            known = ForwardMsg()
            known.CopyFrom(self._known[message.ref_hash])
            known.metadata.CopyFrom(message.metadata)
            message = known
        elif message.metadata.cacheable and message.hash:
            self._known[message.hash] = message
        return message, len(raw)

    def _begin(self, message: ForwardMsg) -> None:
        session = message.new_session
        self._page = session.page_script_hash or self._page
        if not message.metadata.run.fragment_ids:
            self.alerts, self._every = [], {}

    def _note(self, message: ForwardMsg, kind: str | None) -> None:
        if kind == "navigation":
            self.pages = {page.url_pathname or page.page_name: page.page_script_hash for page in message.navigation.app_pages}
            self._page = message.navigation.page_script_hash or self._page
        elif kind == "auto_rerun":
            self._every[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string

    def _learn(self, message: ForwardMsg) -> list[str]:
        if message.delta.WhichOneof("type") != "new_element":
            return []
        element = message.delta.new_element
        kind = element.WhichOneof("type") or ""
        body = getattr(element, kind, None)
        identity = getattr(body, "id", "")
        if isinstance(identity, str) and identity.startswith("$$ID-"):
            key = identity.split("-", 2)[2]
            self.widgets[key] = (identity, body)
            if identity in self._values and getattr(body, "set_value", False):  # the script put another value there
                field = self._values[identity][0]
                self._values[identity] = (field, list(body.value) if field.endswith("_array_value") else body.value)
            if message.delta.fragment_id:
                self._fragments[identity] = message.delta.fragment_id
        texts = [str(getattr(body, name)) for name in _TEXTS.get(kind, ()) if getattr(body, name, "")]
        if kind == "exception":
            self.exceptions += texts
        elif kind == "alert":
            self.alerts += texts
        return texts
