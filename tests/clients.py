"""A WebSocket client for tests that speaks frames as dictionaries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

Frame = dict[str, Any]


class Client:
    """One connection; every wait has a deadline."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, frame: Any) -> None:
        """Send a frame; text and bytes go as they are."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self, deadline: float = 15.0) -> Frame:
        async with asyncio.timeout(deadline):
            frame: Frame = json.loads(await self.socket.recv())
        return frame

    async def receive_until(self, action: str, deadline: float = 15.0) -> list[Frame]:
        """Every frame up to and including the first of that action."""
        frames = [await self.receive(deadline)]
        while frames[-1]["action"] != action:
            frames.append(await self.receive(deadline))
        return frames

    async def submit(self, task_type: str, content: str, **extra: Any) -> None:
        payload = {"task_type": task_type, "content": content}
        await self.send({"action": "system_message", "payload": payload, **extra})

    async def ping(self, deadline: float = 15.0) -> None:
        """Ping, and pass over whatever comes before the pong."""
        await self.send({"action": "ping"})
        await self.receive_until("pong", deadline)


@asynccontextmanager
async def client(url: str, *, open_timeout: float = 15, **options: Any) -> AsyncIterator[Client]:
    """Connect, and close at the end of the block."""
    async with connect(url, proxy=None, open_timeout=open_timeout, **options) as socket:
        yield Client(socket)
