"""One hostile process against one web process: its memory stays bounded, and others are served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.raw import BINARY, DEADLINE, TEXT, Peer, frame, raw
from testbed.servers import Web
from testbed.system import System
from tests.sizes import sized

ROOT = Path(__file__).parents[2]

CAP = sized(2_000, 500)
CONNECTIONS = sized(10_000, 2_500)
FRAMES = sized(100_000, 25_000)
MAX_FRAME = 16 * 1024

IDLE = 40 * 1024
"""Bytes that an idle connection takes."""
READ = 64 * 1024
"""Bytes that Hypercorn reads at once; while it reads more, the last ones are taken apart."""
BOUND = CAP * (IDLE + MAX_FRAME + 2 * READ)
"""Bytes of memory when each connection has a message that is not finished, and all send as much as they can."""


def memory(web: Web, kind: str) -> int:
    """Bytes of memory that a server holds (`VmRSS`) or has ever held (`VmHWM`)."""
    status = Path(f"/proc/{web.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(kind))


def subscriptions(system: System) -> int:
    """How many NATS subscriptions the web processes hold."""
    connections = system.nats.monitored("connz")["connections"]
    return sum(entry["subscriptions"] for entry in connections if entry.get("name") == "busctl web")


@asynccontextmanager
async def hostile(web: Web) -> AsyncIterator[asyncio.subprocess.Process]:
    """The hostile process; it is gone at the end of the block."""
    arguments = map(str, (ROOT / "tests/hostile.py", web.port, CONNECTIONS, FRAMES, MAX_FRAME))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def job(peer: Peer) -> None:
    peer.send({"action": "system_message", "payload": {"task_type": "default", "content": "x"}})
    assert (await peer.receive("job_result"))["payload"] == "✅ Processed: X"


async def report(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What the hostile process says became of it."""
    assert process.stdout is not None
    async with asyncio.timeout(100):
        line = await process.stdout.readline()
    assert line, "the hostile process has failed"
    told: dict[str, Any] = json.loads(line)
    return told


async def until(condition: Any, what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"within {DEADLINE:g} s there was no {what}") from None


async def test_more_connections_than_may_be_and_a_flood_of_frames_are_borne(system: System) -> None:
    bounds = {"BUS_MAX_CONNECTIONS": str(CAP), "BUS_MAX_FRAME_BYTES": str(MAX_FRAME)}
    # None is cut off for its silence, which would make room for others, however long it takes to dial so often.
    web = await asyncio.to_thread(lambda: system.web(BUS_READ_TIMEOUT="3600", **bounds))
    async with raw(web.port) as ordinary:
        await job(ordinary)
        before = memory(web, "VmRSS")
        subjects = await asyncio.to_thread(subscriptions, system)
        async with hostile(web) as attacker:
            telling = asyncio.create_task(report(attacker))
            while not telling.done():
                await ordinary.ping()
                await job(ordinary)
                await asyncio.wait({telling}, timeout=0.3)
            told = telling.result()
            await ordinary.ping()
            await job(ordinary)
            peak = memory(web, "VmHWM")
        assert told["answers"] == {"101": CAP - 1, "503": CONNECTIONS - CAP + 1}
        assert told["frames"] >= FRAMES
        assert told["flood"] == 4429
        assert peak - before < BOUND
        await until(lambda: subscriptions(system) == subjects, "end of the hostile client's subscriptions")
        await until(lambda: web.connections() == 1, "end of the hostile client's connections")
        await job(ordinary)
        async with raw(web.port) as newcomer:
            await job(newcomer)
    assert "Traceback" not in web.output()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("way", ["one frame", "fragments"])
async def test_a_message_without_an_end_is_cut_and_not_kept(system: System, web: Web, way: str, opcode: int) -> None:
    size, most = 64 * 1024, 64 * 1024 * 1024
    block = b"x" * size if way == "one frame" else frame(b"x" * size, 0, final=False)
    begin = frame(b"", opcode, declared=2**62) if way == "one frame" else frame(b"x", opcode, final=False)
    async with raw(web.port) as ordinary, raw(web.port, mute=True) as endless:
        await ordinary.ping()
        before = memory(web, "VmRSS")
        endless.write(begin)
        async with asyncio.timeout(DEADLINE):
            for _ in range(most // size):
                endless.write(block)
                await endless.drain()
        await endless.ended()
        assert memory(web, "VmRSS") - before < most / 4
        await ordinary.ping()


@pytest.mark.parametrize("end", [b"\xff" * 100, frame(b"\xff\xfe"), b"\x81\x05plain", frame("x" * 200_000)])
async def test_frames_that_nobody_reads_any_more_do_not_keep_a_connection(web: Web, end: bytes) -> None:
    """More frames than the server's queue holds, and then an end of whatever kind."""
    async with raw(web.port) as ordinary:
        await ordinary.ping()
        async with raw(web.port, mute=True) as peer:
            peer.write(frame('{"action":"ping"}') * 2000 + end)
            await peer.ended()
        await until(lambda: web.connections() == 1, "end of the connection")
        await ordinary.ping()


async def test_clients_that_leave_after_a_message_too_big_leave_no_trace(system: System) -> None:
    web = await asyncio.to_thread(system.web)
    too_big = frame("x" * 100_000)
    for _ in range(10):
        async with raw(web.port) as peer:
            peer.write(too_big)
            while peer.close_code is None and not peer.gone:
                await asyncio.sleep(0.01)
            assert peer.close_code == 1009
    async with raw(web.port, mute=True) as stubborn:
        stubborn.write(too_big)
        assert await stubborn.ended() == 1009  # it came last: whatever was to happen to the others has happened
    await asyncio.to_thread(web.kill)
    assert "Traceback" not in web.output()
