"""Both clients against the real server, in the scenarios of clients/conformance: each on its own network."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance.driver import Driver, driving
from tests.conformance.player import Player
from tests.conformance.scenario import CONFORMANCE, Scenario, scenarios
from tests.conformance.world import World, world

NODE = shutil.which("node")
COMMANDS = {
    "python": [sys.executable, str(CONFORMANCE / "driver.py")],
    # Node has a WebSocket from version 22 on; before, one has to ask for it.
    "js": [NODE or "node", "--no-warnings", "--experimental-websocket", str(CONFORMANCE / "driver.mjs")],
}
SCENARIOS = {scenario.name: scenario for scenario in scenarios()}

Outcomes = dict[tuple[str, str], BaseException | None]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """How every scenario that is asked for went, by client and name."""
    calls = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    wanted = [(params["client"], params["name"]) for params in calls if set(params) == {"client", "name"}]
    wanted = [(client, name) for client, name in wanted if client != "js" or NODE]
    return asyncio.run(play(wanted, tmp_path_factory.mktemp("conformance")))


async def play(wanted: list[tuple[str, str]], directory: Path) -> Outcomes:
    """Play scenarios, all at once; those that harm others after them."""
    outcomes: Outcomes = {}
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(world(directory))
        drivers = {
            client: await stack.enter_async_context(driving(COMMANDS[client], directory / f"{client}.log"))
            for client in sorted({client for client, _ in wanted})
        }
        for alone in (False, True):
            turn = [each for each in wanted if SCENARIOS[each[1]].alone is alone]
            ends = await asyncio.gather(
                *(one(SCENARIOS[name], drivers[client], there, directory, client) for client, name in turn),
                return_exceptions=True,
            )
            outcomes |= dict(zip(turn, ends, strict=True))
    return outcomes


async def one(scenario: Scenario, driver: Driver, there: World, directory: Path, client: str) -> None:
    """Play one scenario with one client."""
    async with AsyncExitStack() as stack:
        name = f"{scenario.name.replace(' ', '-')} {client}"
        await Player(scenario, driver, there, directory, name, stack).play()


@pytest.mark.timeout(240)  # the first one plays all of them
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("client", COMMANDS)
def test_conformance(client: str, name: str, outcomes: Outcomes) -> None:
    if client == "js" and NODE is None:
        pytest.skip("the client for JavaScript: no node on PATH; install Node.js")
    outcome = outcomes[client, name]
    if outcome is not None:
        raise outcome
