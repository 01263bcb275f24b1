"""The refill: feeds that are behind are brought up to date together, and tried again until they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus import BusUnavailable, StreamState
from quart_app.delivery import refill as refill_module
from quart_app.delivery.refill import FEEDS_AT_ONCE, Refill

EPOCH = "the first"


class Feed:
    """What is refilled."""

    def __init__(self, failures: int = 0) -> None:
        self.closed = False
        self.refilled: list[int] = []
        self._failures = failures

    async def refill(self, last_seq: int) -> None:
        if self._failures:
            self._failures -= 1
            raise BusUnavailable("away")
        self.refilled.append(last_seq)


class Stream:
    """What the refill asks, and whom it tells: bus, stream's end and hub in one."""

    def __init__(self) -> None:
        self.reachable = True
        self.epoch = EPOCH
        self.asked = 0
        self.begun_anew = 0
        self.away = False

    async def state(self) -> StreamState:
        self.asked += 1
        if self.away:
            raise BusUnavailable("away")
        return StreamState(self.epoch, first_seq=1, last_seq=9)

    def begin_anew(self) -> None:
        self.begun_anew += 1


@asynccontextmanager
async def refilling(stream: Stream, *feeds: Feed) -> AsyncIterator[asyncio.Queue[Any]]:
    """A refill of these feeds, which are behind."""
    behind: asyncio.Queue[Any] = asyncio.Queue()
    for feed in feeds:
        behind.put_nowait(feed)
    refill = Refill(stream, stream, stream, behind)  # type: ignore[arg-type]
    refill.start(EPOCH)
    try:
        yield behind
    finally:
        await refill.stop()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refill_module, "REFILL_AGAIN", 0.01)
    monkeypatch.setattr(refill_module, "ROUND_PAUSE", 0.001)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_all_that_are_behind_share_a_look_at_the_stream() -> None:
    stream, feeds = Stream(), [Feed() for _ in range(5)]
    async with refilling(stream, *feeds):
        await until(lambda: all(feed.refilled for feed in feeds))
    assert [feed.refilled for feed in feeds] == [[9]] * 5
    assert stream.asked == 1


async def test_a_feed_that_falls_behind_later_is_refilled_too() -> None:
    first, second = Feed(), Feed()
    async with refilling(Stream(), first) as behind:
        await until(lambda: first.refilled)
        behind.put_nowait(second)
        await until(lambda: second.refilled)


async def test_only_who_could_not_be_refilled_is_tried_again() -> None:
    lucky, unlucky = Feed(), Feed(failures=2)
    async with refilling(Stream(), lucky, unlucky):
        await until(lambda: unlucky.refilled)
    assert (lucky.refilled, unlucky.refilled) == ([9], [9])


async def test_all_are_tried_again_when_the_stream_did_not_answer() -> None:
    stream, feeds = Stream(), [Feed(), Feed()]
    stream.away = True
    async with refilling(stream, *feeds):
        await until(lambda: stream.asked == 2)
        stream.away = False
        await until(lambda: all(feed.refilled for feed in feeds))


async def test_nothing_is_asked_while_nats_cannot_be_reached() -> None:
    stream, feed = Stream(), Feed()
    stream.reachable = False
    async with refilling(stream, feed) as behind:
        await until(behind.empty)
        assert stream.asked == 0
        stream.reachable = True
        await until(lambda: feed.refilled)


async def test_a_feed_that_was_closed_meanwhile_is_let_be() -> None:
    gone, here = Feed(), Feed()
    gone.closed = True
    async with refilling(Stream(), gone, here):
        await until(lambda: here.refilled)
    assert gone.refilled == []


async def test_feeds_begin_anew_with_another_stream_before_they_are_refilled() -> None:
    stream = Stream()
    stream.epoch = "the second"

    class Watching(Feed):
        async def refill(self, last_seq: int) -> None:
            assert stream.begun_anew == 1
            await super().refill(last_seq)

    feeds = [Watching(), Watching()]
    async with refilling(stream, *feeds) as behind:
        await until(lambda: all(feed.refilled for feed in feeds))
        behind.put_nowait(feeds[0])
        await until(lambda: len(feeds[0].refilled) == 2)
    assert stream.begun_anew == 1


async def test_only_so_many_read_the_stream_at_once() -> None:
    at_once: list[int] = []
    reading = 0

    class Slow(Feed):
        async def refill(self, last_seq: int) -> None:
            nonlocal reading
            reading += 1
            at_once.append(reading)
            await asyncio.sleep(0)
            reading -= 1
            await super().refill(last_seq)

    feeds = [Slow() for _ in range(3 * FEEDS_AT_ONCE)]
    async with refilling(Stream(), *feeds):
        await until(lambda: all(feed.refilled for feed in feeds))
    assert max(at_once) == FEEDS_AT_ONCE
