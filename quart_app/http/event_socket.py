"""EventSocket: Server-Sent Events (HTML, section 9.2) that a connection takes for a WebSocket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import from_json, to_json
from werkzeug.datastructures import Headers

from bus.messages import Welcome
from quart_app.channel import CLIENT
from quart_app.http.position import Position
from quart_app.websocket.session import Session

Send = Callable[[dict[str, Any]], Awaitable[None]]

RETRY = (1000, 4000)
"""Milliseconds, from and to, after which a reader comes back; each is told another time, so that not all come at
once."""
KEEP_ALIVE = ""
"""Sent as a comment, so that whoever is on the way does not take the silence for the end."""


def retry() -> str:
    """The line that tells a reader when to come back."""
    return f"retry: {random.randint(*RETRY)}\n"  # noqa: S311 - spreads load


class EventSocket:
    """One reader. Frames of `bus.v1` become records: `event` is the action, `data` the frame, `id` the position.

    The `id` of the welcome is where the reader stood: were it where the replay ends, a reader lost in the middle would
    not get the rest. Each event moves it on, the last one that is replayed to that end.

    Args:
        scope: of the request.
        headers: those of the request.
        asked: the cursors with which the reader comes.
        session: what is known of its past.
    """

    def __init__(self, scope: Any, headers: Headers, asked: Mapping[str, int], session: Session) -> None:
        self.scope = scope
        self.headers = headers
        self._session = session
        self._cursors = dict(asked)
        self._epoch = ""
        self._replayed_to: dict[str, int] = {}
        self._left = 0
        """How many events are still to be replayed."""
        self._send: Send | None = None

    async def open(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin the response.

        Args:
            send: of the ASGI server.
            headers: of the response.
        """
        self._send = send
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def receive(self) -> None:
        """Nothing comes. Who waits is cancelled when the reader has left."""
        await asyncio.Event().wait()

    async def send(self, data: str) -> None:
        """Send a frame. Returns when there is room for another; has no deadline of its own."""
        await self._write(self._record(data) if data else ":\n\n")

    async def close(self, code: int, reason: str = "") -> None:
        """Tell why it ends and when to come back, then end."""
        told = {"action": "close", "payload": {"code": code, "reason": reason}}
        with suppress(OSError):  # the reader has left before
            await self._write(f"{retry()}event: close\ndata: {to_json(told).decode()}\n\n", more=False)
        self._send = None

    async def _write(self, text: str, *, more: bool = True) -> None:
        if self._send is not None:
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": more})

    def _record(self, text: str) -> str:
        frame = from_json(text)
        action: str = frame["action"]
        if action == Welcome.action_name():
            self._welcomed(frame["payload"])
            return f"{retry()}id: {self._position}\nevent: {action}\ndata: {text}\n\n"
        if (seq := frame.get("seq")) is None:
            return f"event: {action}\ndata: {text}\n\n"
        self._advance({frame.get("group", CLIENT): seq})
        if self._left:
            self._left -= 1
            if not self._left:
                self._advance(self._replayed_to)
        return f"id: {self._position}\nevent: {action}\ndata: {text}\n\n"

    def _welcomed(self, payload: Mapping[str, Any]) -> None:
        self._epoch, end = payload["epoch"], payload["cursors"]
        elsewhere = self._session.known and self._session.epoch != self._epoch  # then all is replayed, see `resume`
        asked = {scope: 0 if elsewhere else seq for scope, seq in self._cursors.items()}
        self._cursors = {scope: min(asked.get(scope, seq), seq) for scope, seq in end.items()}
        self._replayed_to, self._left = end, payload["replayed"]
        if not self._left:
            self._advance(end)

    def _advance(self, cursors: Mapping[str, int]) -> None:
        for scope, seq in cursors.items():
            self._cursors[scope] = max(seq, self._cursors.get(scope, 0))

    @property
    def _position(self) -> Position:
        return Position(self._cursors, self._epoch)
