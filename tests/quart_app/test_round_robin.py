"""Turns: one goes on in each turn of the event loop, in order, whoever was cancelled meanwhile."""

from __future__ import annotations

import asyncio

from quart_app.round_robin import RoundRobin


async def test_one_goes_on_in_each_turn_of_the_loop_and_all_in_order() -> None:
    turns, done = RoundRobin(), []

    async def work(name: str, count: int) -> None:
        for _ in range(count):
            await turns.turn()
            done.append(name)

    tasks = [asyncio.create_task(work(name, 3)) for name in "abc"]
    had = 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        assert len(done) - had <= 1
        had = len(done)
    assert "".join(done) == "abcabcabc"


async def test_who_is_cancelled_takes_no_turn() -> None:
    turns = RoundRobin()
    first, second, third = (asyncio.create_task(turns.turn()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(first, third)
    await asyncio.wait({second})
    async with asyncio.timeout(5):
        await turns.turn()
