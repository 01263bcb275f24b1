"""Slow readers, on the fast path and on the ordinary one: each has its own bounds, and nobody else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bus import Bus, Settings, SystemNotification, subjects
from bus.messages import Event
from quart_app.close_codes import SERVICE_RESTART
from quart_app.delivery.prepared import PreparedFrames
from quart_app.websocket.send_queue import SendQueue
from testbed.raw import DEADLINE, SMALL_SEGMENT, SMALL_WINDOW, Frame, Peer, raw, raw_v1
from testbed.servers import SERVE, Web, wait_until
from testbed.system import System

OTHERS = 499
KEPT = 64 * 1024
"""BUS_SEND_BUFFER_BYTES. With the transport's 64 KiB and the kernel's 100 KB that is where a stalled reader ends."""
SECRET = "s" * 64

SERVERS = pytest.mark.parametrize("command", [SERVE, ("hypercorn", "quart_app:app")], ids=["wired", "ordinary"])


@asynccontextmanager
async def serving(system: System, command: tuple[str, ...], **settings: str) -> AsyncIterator[Web]:
    """A web process for one test, so that those of other tests get no announcements meant for its clients."""
    web = await asyncio.to_thread(partial(system.web, *command, BUS_SECRET=SECRET, **settings))
    try:
        yield web
    finally:
        await asyncio.to_thread(web.kill)


async def announce(system: System, count: int, size: int) -> list[int]:
    """Broadcast so many notifications of so many characters; their sequences."""
    data = SystemNotification(payload="x" * size).encode().encode()
    async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
        return [await bus.stream.append(subjects.group("system"), data) for _ in range(count)]


async def said(web: Web, words: str) -> None:
    await asyncio.to_thread(wait_until, lambda: words in web.output(), f"word of {words!r}", DEADLINE)


def seqs(frames: list[Frame]) -> list[int]:
    return [frame["seq"] for frame in frames]


async def take(peer: Peer, count: int) -> list[int]:
    """The sequences of so many events."""
    return [(await peer.receive())["seq"] for _ in range(count)]


async def rest_after_resume(web: Web, welcome: Frame, seen: list[int], count: int) -> list[int]:
    """What a client that has seen so much of `count` announcements gets when it comes back."""
    cursors = welcome["cursors"] | {"system": max(seen, default=welcome["cursors"]["system"])}
    async with raw_v1(web.port, resume=welcome["resume"], cursors=cursors) as (again, second):
        assert second["client_id"] == welcome["client_id"]
        assert second["recovered"]
        rest = await take(again, count - len(seen))
        await again.ping()
        return rest


@SERVERS
async def test_one_stalled_reader_among_500_is_closed_alone_and_misses_nothing(
    system: System, command: tuple[str, ...]
) -> None:
    count = 48
    async with serving(system, command, BUS_SEND_BUFFER_BYTES=str(KEPT), BUS_SEND_TIMEOUT="60") as web:
        async with AsyncExitStack() as stack:
            stalled, welcome = await stack.enter_async_context(
                raw_v1(web.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT)
            )
            others: list[Peer] = []
            while len(others) < OTHERS:
                entering = [stack.enter_async_context(raw_v1(web.port)) for _ in range(min(50, OTHERS - len(others)))]
                others += [peer for peer, _ in await asyncio.gather(*entering)]
            stalled.stall()
            sent: list[int] = []
            while len(sent) < count:
                some = await announce(system, 4, 8 * 1024)  # no more than fits, so that only standing still counts
                for other in others:
                    assert await take(other, 4) == some
                sent += some
            await said(web, "closing a connection that reads too slowly")
            stalled.read_on()
            seen = seqs(await stalled.rest())
            assert stalled.close_code == 1013
            assert seen == sent[: len(seen)]
            assert seen != sent
            for other in others:
                await other.ping()
        assert seen + await rest_after_resume(web, welcome, seen, count) == sent


@SERVERS
async def test_a_reader_that_never_reads_again_is_cut_after_the_deadline(
    system: System, command: tuple[str, ...]
) -> None:
    """What it finds if it comes to after all must not tell it that all was well."""
    count = 60
    async with serving(system, command, BUS_SEND_TIMEOUT="2") as web:
        async with (
            raw_v1(web.port) as (other, _),
            raw_v1(web.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT) as (stalled, welcome),
        ):
            stalled.stall()
            sent: list[int] = []
            while len(sent) < count:
                some = await announce(system, 4, 8 * 1024)
                assert await take(other, 4) == some
                sent += some
            await said(web, "cutting off a connection that has stopped reading")
            stalled.read_on()
            seen = seqs(await stalled.rest())
            assert stalled.close_code in (1013, None)
            assert seen == sent[: len(seen)]
            await other.ping()
        assert seen + await rest_after_resume(web, welcome, seen, count) == sent


@SERVERS
async def test_a_slow_reader_that_moves_is_not_closed_by_a_burst_that_fits(
    system: System, command: tuple[str, ...]
) -> None:
    """It takes longer over the whole burst than the deadline, which is for one write."""
    count, size, deadline = 50, 16 * 1024, 2.0
    async with (
        serving(system, command, BUS_SEND_TIMEOUT=str(deadline)) as web,
        raw_v1(web.port, window=SMALL_WINDOW, segment=SMALL_SEGMENT) as (slow, _),
    ):
        slow.stall()
        sent = await announce(system, count, size)
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.5 * deadline
        while loop.time() < end:
            slow.sip()
            await asyncio.sleep(0.05)
        slow.read_on()
        assert await take(slow, count) == sent
        await slow.ping()


@SERVERS
async def test_a_replay_larger_than_the_bound_is_sent_no_faster_than_it_is_read(
    system: System, command: tuple[str, ...]
) -> None:
    count = 60
    async with serving(system, command, BUS_SEND_BUFFER_BYTES=str(KEPT)) as web:
        async with raw_v1(web.port) as (_, welcome):
            pass
        sent = await announce(system, count, 16 * 1024)
        assert await rest_after_resume(web, welcome, [], count) == sent


@SERVERS
async def test_one_event_larger_than_the_bound_is_not_slowness(system: System, command: tuple[str, ...]) -> None:
    async with (
        serving(system, command, BUS_SEND_BUFFER_BYTES="1000") as web,
        raw_v1(web.port) as (one, _),
        raw(web.port) as plain,
    ):
        await plain.ping()
        sent = await announce(system, 1, 200_000)
        assert await take(one, 1) == await take(plain, 1) == sent
        await one.ping()
        await plain.ping()


async def test_closing_a_connection_whose_client_has_just_left_does_nothing(settings: Settings) -> None:
    websocket: Any = SimpleNamespace(scope={})

    async def show(event: Event) -> None:
        return None

    outbound = SendQueue(websocket, settings, show, client_id="gone")
    async with asyncio.TaskGroup() as tasks:
        outbound.start(tasks)
        outbound.stop()
    outbound.cork(PreparedFrames("late"))
    outbound.close(SERVICE_RESTART)
    assert outbound.closing is SERVICE_RESTART
