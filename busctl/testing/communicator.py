"""Communicator: a client in the test's own process, that speaks frames to the app by ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from bus import Settings
from quart_app import serving
from quart_app.app import Edge
from quart_app.channel_set import our_channels

Frame = dict[str, Any]

ENDS = ("job_result", "job_failed", "job_cancelled", "error")
"""The actions after which nothing more comes of a frame."""
PATIENCE = 10.0
"""Seconds within which something comes, unless a test says otherwise."""
MOST_WAITING = 10_000
"""Frames that may wait for the test to receive them, or for the app."""


class Closed(Exception):
    """The app has closed the WebSocket, or not taken it.

    Args:
        code: the close code, or the HTTP status of a handshake that was refused.
        reason: what the app says.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the app closed the WebSocket with {code} {reason}".rstrip())


class Communicator:
    """One WebSocket, from its handshake to its end. `Communicators` opens it."""

    def __init__(self, app: Any, path: str, protocol: str | None, headers: Mapping[str, str]) -> None:
        self._to_app: asyncio.Queue[Any] = asyncio.Queue(MOST_WAITING)
        self._from_app: asyncio.Queue[Any] = asyncio.Queue(MOST_WAITING)
        self._closed: Closed | None = None
        self._scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "subprotocols": [protocol] if protocol is not None else [],
            "extensions": {"websocket.http.response": {}},
        }
        self._app = app
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Do the handshake.

        Raises:
            Closed: the app does not accept it.
            TimeoutError: nothing came within ten seconds.
        """
        self._running = asyncio.create_task(self._app(self._scope, self._to_app.get, self._take), name="communicator")
        await self._give({"type": "websocket.connect"})
        message = await self._next(PATIENCE)
        if message["type"] != "websocket.accept":
            raise AssertionError(f"the app sent {message['type']} before it accepted the WebSocket")

    async def send(self, frame: Frame | str | bytes) -> None:
        """Send a frame: as JSON, or a text or bytes as they are.

        Raises:
            TimeoutError: the app takes no more for ten seconds.
        """
        if isinstance(frame, dict):
            frame = json.dumps(frame)
        field = "bytes" if isinstance(frame, bytes) else "text"
        await self._give({"type": "websocket.receive", field: frame})

    async def submit(self, task_type: str, content: Any, **beside: Any) -> None:
        """Send a `system_message`.

        Args:
            beside: keys of the frame besides, such as `ref` and `key`.
        """
        payload = {"task_type": task_type, "content": content}
        await self.send({"action": "system_message", "payload": payload, **beside})

    async def receive(self, timeout: float = PATIENCE) -> Frame:
        """The next frame.

        Args:
            timeout: the longest to wait for it, in seconds.

        Raises:
            TimeoutError: none came.
            Closed: the app has closed the WebSocket.
        """
        message = await self._next(timeout)
        frame: Frame = json.loads(message.get("text") or message["bytes"])
        return frame

    async def collect(self, until: str | Collection[str] = ENDS, timeout: float = PATIENCE) -> list[Frame]:
        """The frames up to one of these actions, that one included: by default up to the end of a job.

        Args:
            until: an action, or several.
            timeout: the longest to wait for that one, in seconds.

        Raises:
            TimeoutError: it did not come; the message has the actions of those that did.
            Closed: the app has closed the WebSocket.
        """
        ends = (until,) if isinstance(until, str) else until
        frames: list[Frame] = []
        try:
            async with asyncio.timeout(timeout):
                while not frames or frames[-1]["action"] not in ends:
                    frames.append(await self.receive(timeout))
        except TimeoutError:
            came = ", ".join(frame["action"] for frame in frames) or "nothing"
            raise TimeoutError(f"within {timeout:g} s there was no {' or '.join(ends)}; there was {came}") from None
        return frames

    async def nothing(self, within: float = 0.2) -> bool:
        """Whether no frame comes in so many seconds; one that does stays to be received."""
        await asyncio.sleep(within)
        return self._from_app.empty()

    async def close(self, code: int = 1000) -> None:
        """Leave as a client does, and wait until the app has noticed."""
        if self._running is None:
            return
        with suppress(TimeoutError):
            await self._give({"type": "websocket.disconnect", "code": code, "reason": ""})
            await asyncio.wait_for(asyncio.shield(self._running), PATIENCE)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._running = None

    async def _give(self, message: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._to_app.put(message)

    async def _take(self, message: Any) -> None:
        await self._from_app.put(message)

    async def _next(self, timeout: float) -> Any:
        if self._closed is not None:
            raise self._closed
        if self._running is None:
            raise Closed(1006, "it is not open")
        getting = asyncio.create_task(self._from_app.get())
        done, _ = await asyncio.wait({getting, self._running}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if getting not in done:
            getting.cancel()
            if self._running in done:
                self._running.result()  # raises what the app raised
                self._closed = Closed(1006, "the app ended without closing it")
                raise self._closed
            raise TimeoutError(f"no frame came within {timeout:g} s")
        message = getting.result()
        if message["type"] == "websocket.close":
            self._closed = Closed(message.get("code", 1000), message.get("reason") or "")
        elif message["type"] == "websocket.http.response.start":
            self._closed = Closed(message["status"], "the handshake was refused")
        if self._closed is not None:
            raise self._closed
        return message


class Communicators:
    """Opens WebSockets to the app, which runs in the test's own process while one is open.

        async with communicator("/ws/rooms") as ann, communicator("/ws/rooms") as bob:
            ...

    Args:
        settings: of the app; its channels are those that `BUS_CHANNELS` names, and the system channel.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = 0
        self._edge: Edge | None = None
        self._serving: Any = None

    @asynccontextmanager
    async def __call__(
        self, path: str = "/ws/system", *, protocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Communicator]:
        """A block in which a WebSocket is open.

        Args:
            path: of the channel.
            protocol: the subprotocol, such as "bus.v1": then the first frame is yours to send; None for plain mode.
            headers: of the handshake, such as Authorization.

        Raises:
            Closed: the app does not accept it.
        """
        app = await self._enter()
        try:
            communicator = Communicator(app, path, protocol, headers or {})
            try:
                await communicator.open()
                yield communicator
            finally:
                await communicator.close()
        finally:
            await self._leave()

    async def _enter(self) -> Any:
        if self._edge is None:
            edge = Edge(self._settings, our_channels(self._settings.channels), embedded=True)
            served = serving(edge.app)
            await served.__aenter__()
            self._edge, self._serving = edge, served
        self._open += 1
        return self._edge.app

    async def _leave(self) -> None:
        self._open -= 1
        if not self._open and self._serving is not None:
            self._edge, leaving, self._serving = None, self._serving, None
            await leaving.__aexit__(None, None, None)
