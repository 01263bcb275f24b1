"""The budget of replays: within one turn of the event loop only one of them goes on."""

from __future__ import annotations

import asyncio

from quart_app.delivery.replay_budget import ReplayBudget


async def test_replays_take_turns_of_the_loop() -> None:
    budget, turn = ReplayBudget(1), 0
    ran: dict[int, list[str]] = {}

    async def replay(name: str) -> None:
        for _ in range(5):
            await budget.turn()
            ran.setdefault(turn, []).append(name)

    tasks = asyncio.gather(*(replay(name) for name in "abc"))
    while not tasks.done():
        turn += 1
        await asyncio.sleep(0)
    assert sorted(name for names in ran.values() for name in names) == sorted("abc" * 5)
    assert {len(names) for names in ran.values()} == {1}
