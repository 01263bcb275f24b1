"""The jobs, without any server, and once with all of them."""

from __future__ import annotations

from app_name.jobs.tea import tea
from busctl.testing import Communicators, run


def test_every_cup_is_shown_as_it_is_made() -> None:
    done = run(tea, {"cups": 2, "extras": ["milk"]})
    assert done.output == ["Cup 1 of green tea with milk.\n", "Cup 2 of green tea with milk.\n"]
    assert done.progress[-1] == (1.0, "cup 2")


async def test_a_client_gets_its_tea(communicator: Communicators) -> None:
    async with communicator() as client:
        await client.submit("tea", {"cups": 1, "kind": "black"})
        frames = await client.collect()
        assert (frames[-1]["action"], frames[-1]["payload"]) == ("job_result", "Cup 1 of black tea.\n")


async def test_an_order_that_cannot_be_filled_is_refused(communicator: Communicators) -> None:
    async with communicator() as client:
        await client.submit("tea", {"cups": 0})
        error = await client.receive()
        assert error["action"] == "error"
        assert error["payload"][0]["loc"][-1] == "cups"
