"""Requests: what this client asks of the server and has no answer to yet. Each is sent once on every connection."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from busctl_client.errors import Refused, TooManyRequests
from busctl_client.events import Frame
from busctl_client.signal import Signal


@dataclass(eq=False)
class Request:
    """A frame, and what became of it.

    Args:
        frame: its `ref` says which request an answer is of.
        changed: fires when there is an answer.
    """

    frame: Frame
    changed: Signal | None = None
    answered: bool = False
    refused: Refused | None = None

    @property
    def asks_for_job(self) -> bool:
        """Whether it asks for a new job; its ref is that one's key then."""
        return "key" in self.frame

    @property
    def ref(self) -> str:
        """What its answer repeats."""
        return str(self.frame["ref"])


class Requests:
    """Those without an answer, in order.

    Args:
        limit: most of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, Request] = {}
        self._unsent: deque[Request] = deque()
        self._due = asyncio.Event()

    def ask(self, frame: Frame, changed: Signal | None = None) -> Request:
        """Send a frame as soon as that can be, and on each new connection until there is an answer.

        Raises:
            TooManyRequests: too many have none yet.
        """
        if len(self._open) >= self._limit:
            raise TooManyRequests(
                f"{self._limit:,} requests wait for the server's answer already; wait for some, for example with "
                "`await job.accepted()`"
            )
        request = Request(frame, changed)
        self._open[request.ref] = request
        self._unsent.append(request)
        self._due.set()
        return request

    def answer(self, ref: object, refused: Refused | None = None) -> Request | None:
        """There is an answer, or nobody waits for one any more; None when there is no such request."""
        request = self._open.pop(ref, None) if isinstance(ref, str) else None
        if request is not None:
            request.answered = True
            request.refused = refused
            if request.changed is not None:
                request.changed.fire()
        return request

    def send_again(self) -> None:
        """There is a new connection, which has heard of none of them."""
        self._unsent = deque(self._open.values())
        self._due.set()

    async def next(self) -> Frame:
        """Wait for one that is to be sent."""
        while True:
            while self._unsent:
                request = self._unsent.popleft()
                if not request.answered:
                    return request.frame
            self._due.clear()
            await self._due.wait()
