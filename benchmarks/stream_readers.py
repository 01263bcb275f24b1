"""WebSockets of `bus.v1` that submit jobs, and check what these write while they read it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.figure import Invalid

DEADLINE = 180.0
"""Seconds that one measurement may take."""


@dataclass(frozen=True)
class Read:
    """What came of one job.

    Args:
        result: its text.
        events: how many `job_output` it came in.
        first_at: when the first of them came, on the clock of all processes; 0 when there was none.
        took: seconds from the job's submission to its result.
    """

    result: str
    events: int
    first_at: float
    took: float


@asynccontextmanager
async def reader(port: int) -> AsyncIterator[ClientConnection]:
    """A welcomed connection."""
    url = f"ws://127.0.0.1:{port}/ws/system"
    async with connect(url, subprotocols=["bus.v1"], proxy=None, max_size=None, open_timeout=DEADLINE) as socket:  # type: ignore[list-item]
        await socket.send('{"action":"connect","payload":{}}')
        await socket.recv()
        yield socket


async def read(socket: ClientConnection, task_type: str, content: str) -> Read:
    """Submit a job and read to its end.

    Raises:
        Invalid: it did not end with its result, or pieces of it are missing, doubled, or not in order.
    """
    pieces: list[str] = []
    first_at, begun = 0.0, time.monotonic()
    frame = {"action": "system_message", "payload": {"task_type": task_type, "content": content}}
    await socket.send(json.dumps(frame))
    while True:
        event = json.loads(await socket.recv())
        match event["action"]:
            case "job_output":
                first_at = first_at or time.monotonic()
                if event["index"] != len(pieces):
                    raise Invalid(f"piece {event['index']} came where {len(pieces)} was to come")
                pieces.append(event["payload"])
            case "job_result":
                if pieces and "".join(pieces) != event["payload"]:
                    raise Invalid("the pieces are not the result")
                return Read(event["payload"], len(pieces), first_at, time.monotonic() - begun)
            case "job_failed" | "job_cancelled" | "error":
                raise Invalid(f"not a result: {event}")


def one_by_one(port: int, task_type: str, content: str, jobs: int) -> list[Read]:
    """One job after the other over one connection."""

    async def run() -> list[Read]:
        async with asyncio.timeout(DEADLINE), reader(port) as socket:
            return [await read(socket, task_type, content) for _ in range(jobs)]

    return asyncio.run(run())


def at_once(port: int, task_type: str, content: str, jobs: int) -> tuple[list[Read], float]:
    """So many jobs at once, each over a connection of its own; and own CPU seconds meanwhile."""

    async def run() -> tuple[list[Read], float]:
        async with asyncio.timeout(DEADLINE), AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(reader(port)) for _ in range(jobs)]
            cpu = time.process_time()
            found = await asyncio.gather(*(read(socket, task_type, content) for socket in sockets))
            return found, time.process_time() - cpu

    return asyncio.run(run())
