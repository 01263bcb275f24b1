"""The queue in front of an application: in order, with a bound, and nobody waits in it for ever."""

from __future__ import annotations

import asyncio

import pytest

from quart_app.server.inbox import Inbox
from testbed.raw import DEADLINE


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_events_are_taken_in_the_order_in_which_they_were_put() -> None:
    inbox = Inbox(10)
    for number in range(10):
        await inbox.put(number)
    assert [await inbox.get() for _ in range(10)] == list(range(10))


async def test_a_reader_waits_for_an_event() -> None:
    inbox = Inbox(10)
    reading = asyncio.create_task(inbox.get())
    await settled()
    assert not reading.done()
    await inbox.put("event")
    async with asyncio.timeout(DEADLINE):
        assert await reading == "event"


async def test_who_puts_more_than_there_is_room_for_waits() -> None:
    inbox = Inbox(2)

    async def put_five() -> None:
        for number in range(5):
            await inbox.put(number)

    putting = asyncio.create_task(put_five())
    await settled()
    assert not putting.done()
    async with asyncio.timeout(DEADLINE):
        assert [await inbox.get() for _ in range(5)] == list(range(5))
        await putting


async def test_room_goes_to_another_when_who_waited_for_it_is_cancelled() -> None:
    inbox = Inbox(1)
    await inbox.put("first")
    gone, stays = (asyncio.create_task(inbox.put(name)) for name in ("gone", "stays"))
    await settled()
    assert await inbox.get() == "first"
    gone.cancel()
    async with asyncio.timeout(DEADLINE):
        assert await inbox.get() == "stays"
        await stays
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_reader_that_is_cancelled_takes_nothing_with_it() -> None:
    inbox = Inbox(10)
    reading = asyncio.create_task(inbox.get())
    await settled()
    await inbox.put("event")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(DEADLINE):
        assert await inbox.get() == "event"


async def test_several_may_read_and_each_event_goes_to_one() -> None:
    inbox = Inbox(10)
    reading = [asyncio.create_task(inbox.get()) for _ in range(3)]
    await settled()
    for number in range(3):
        await inbox.put(number)
    async with asyncio.timeout(DEADLINE):
        assert sorted(await asyncio.gather(*reading)) == [0, 1, 2]


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    empty, full = Inbox(1), Inbox(1)
    await full.put("event")
    for _ in range(10):
        for waiting in (asyncio.create_task(empty.get()), asyncio.create_task(full.put("another"))):
            await settled()
            waiting.cancel()
            await asyncio.wait([waiting])
    assert not empty._waiting
    assert not full._waiting


async def test_what_is_cleared_is_gone_and_lets_go_on_who_waits() -> None:
    inbox = Inbox(1)
    await inbox.put("dropped")
    putting = asyncio.create_task(inbox.put("kept"))
    await settled()
    inbox.clear()
    async with asyncio.timeout(DEADLINE):
        await putting
        assert await inbox.get() == "kept"
