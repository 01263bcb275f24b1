"""WebSockets that submit jobs and count their results, as cheaply as they can, since they share the machine."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from benchmarks.figure import Invalid
from benchmarks.websocket import masked

CONNECTIONS = 20
DEADLINE = 180.0
"""Seconds that one measurement may take."""

SUBMIT = masked(json.dumps({"action": "system_message", "payload": {"task_type": "noop", "content": "hello"}}).encode())
RESULT = b'{"action":"job_result"'
WRONG = (b'{"action":"job_failed"', b'{"action":"error"')


class Submitter(asyncio.Protocol):
    """One WebSocket in plain mode. Frames of the server are looked at only where they begin."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = b""
        self._upgraded = False
        self._left = 0
        self._transport: Any = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set when the WebSocket is open, and then by `submit`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(
            f"GET /ws/system HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def submit(self, jobs: int) -> asyncio.Future[None]:
        """Submit jobs. The future is set when each of them has its result."""
        self._left = jobs
        self.done = asyncio.get_running_loop().create_future()
        self._transport.write(SUBMIT * jobs)
        return self.done

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(Invalid(f"the server closed a submitter's socket: {error}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._upgraded:
            head, upgraded, rest = self._received.partition(b"\r\n\r\n")
            if not upgraded:
                return
            if b" 101 " not in head:
                raise Invalid(f"no WebSocket: {head.decode(errors='replace')}")
            self._upgraded, self._received = True, rest
            self.done.set_result(None)
        at = 0
        while (frame := _frame(self._received, at)) is not None:
            start, at = frame
            self._count(start, at)
        self._received = self._received[at:]

    def _count(self, start: int, end: int) -> None:
        if self._received.startswith(RESULT, start):
            self._left -= 1
            if not self._left:
                self.done.set_result(None)
        elif self._received.startswith(WRONG, start) and not self.done.done():
            self.done.set_exception(Invalid(f"not a result: {self._received[start:end].decode()}"))


def _frame(received: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and ends, if all of it is here. It is shorter than 64 KiB."""
    if len(received) < at + 4:
        return None
    size, start = received[at + 1], at + 2
    if size == 126:
        size, start = int.from_bytes(received[at + 2 : at + 4], "big"), at + 4
    return (start, start + size) if len(received) >= start + size else None


async def _connect(port: int) -> Submitter:
    loop = asyncio.get_running_loop()
    _, submitter = await loop.create_connection(lambda: Submitter(port), "127.0.0.1", port)
    await submitter.done
    return submitter


def at_once(port: int, jobs: int) -> tuple[float, float]:
    """Submit all jobs at once, spread over a few connections.

    Returns:
        Wall seconds and own CPU seconds from the first frame sent to the last result received.
    """

    async def run() -> tuple[float, float]:
        async with asyncio.timeout(DEADLINE):
            submitters = [await _connect(port) for _ in range(CONNECTIONS)]
            shares = [jobs // CONNECTIONS + (n < jobs % CONNECTIONS) for n in range(CONNECTIONS)]
            begun, cpu = time.monotonic(), time.process_time()
            await asyncio.gather(*(one.submit(share) for one, share in zip(submitters, shares, strict=True) if share))
            return time.monotonic() - begun, time.process_time() - cpu

    return asyncio.run(run())


def one_by_one(port: int, jobs: int) -> list[float]:
    """Submit one job after the other. Returns the seconds from each frame sent to its result received."""

    async def run() -> list[float]:
        seconds = []
        async with asyncio.timeout(DEADLINE):
            submitter = await _connect(port)
            for _ in range(jobs):
                begun = time.perf_counter()
                await submitter.submit(1)
                seconds.append(time.perf_counter() - begun)
        return seconds

    return asyncio.run(run())
