"""Watcher: a client that sees to it that it is shown everything once and in order, over all of its connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from testbed.servers import Web
from tests.clients import Client, Frame, client

ENDS = {"job_result", "job_failed", "job_cancelled"}


class Watcher:
    """A bus.v1 client, new until it has connected, that keeps every stored event it saw from then on.

    It checks that none came twice or out of order, and that whenever it comes back nothing was lost.
    """

    def __init__(self) -> None:
        self.events: list[Frame] = []
        self.resume: str | None = None
        self.cursors: dict[str, int] = {}

    @asynccontextmanager
    async def connect(self, web: Web) -> AsyncIterator[Client]:
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            payload: dict[str, Any] = {"cursors": self.cursors, "resume": self.resume} if self.resume else {}
            await connected.send({"action": "connect", "payload": payload})
            welcome = await connected.receive(30)
            assert welcome["action"] == "welcome", welcome
            assert welcome["payload"]["recovered"] is True
            self.cursors = welcome["payload"]["cursors"] | self.cursors
            self.resume = welcome["payload"]["resume"]
            yield connected

    async def see(self, connected: Client, deadline: float = 30.0) -> Frame:
        """The next event."""
        while True:
            frame = await connected.receive(deadline)
            self.take(frame)
            if "seq" in frame or frame["action"] == "error":
                return frame

    def take(self, frame: Frame) -> None:
        """Note a frame that came, if it is an event."""
        if "seq" in frame:
            scope = frame.get("group", "client")
            assert frame["seq"] > self.cursors[scope], "an event came twice or out of order"
            self.cursors[scope] = frame["seq"]
            self.events.append(frame)

    async def see_until(self, connected: Client, action: str, count: int = 1, deadline: float = 60.0) -> None:
        """Every event until `count` of that action were seen, over all connections."""
        while sum(event["action"] == action for event in self.events) < count:
            await self.see(connected, deadline)

    def results(self) -> list[str]:
        return [event["payload"] for event in self.events if event["action"] == "job_result"]

    def one_end_each(self) -> bool:
        ends = Counter(event["job_id"] for event in self.events if event["action"] in ENDS)
        queued = {event["job_id"] for event in self.events if event["action"] == "job_queued"}
        return ends == dict.fromkeys(queued, 1)
