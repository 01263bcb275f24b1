"""Hostile processes that flood one web process, each in every way they know, and one client that wants to be served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.flood import ALL, KINDS
from tests.http import get
from tests.raw import raw
from tests.servers import System, Web

ROOT = Path(__file__).parents[2]
SECONDS = 4
SOON = 5.0
"""Seconds within which anybody is served, on a machine that the attackers have to themselves. On one that is the
server's, `benchmarks/bystander.py` measures milliseconds."""


async def flood(web: Web, kind: str, sockets: int, *cafile: str) -> asyncio.subprocess.Process:
    arguments = [str(ROOT / "tests/flood.py"), *map(str, (web.port, kind, sockets, SECONDS)), *cafile]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize("sockets", [len(KINDS), 2 * len(KINDS)])
async def test_others_are_served_while_all_kinds_of_floods_go_on(system: System, sockets: int) -> None:
    web = await asyncio.to_thread(system.web, BUS_FRAME_BURST="200")
    async with raw(web.port) as bystander:
        await bystander.ping()
        process = await flood(web, ALL, sockets)
        ending = asyncio.create_task(process.communicate())
        while not ending.done():
            async with asyncio.timeout(SOON):
                await bystander.ping()
            async with asyncio.timeout(SOON), raw(web.port) as newcomer:
                await newcomer.ping()
            async with asyncio.timeout(SOON):
                assert (await asyncio.to_thread(get, f"{web.url}/livez"))[0] == 200
            await asyncio.sleep(0.01)
        told, _ = await ending
        codes = json.loads(told)
        assert {"1002", "1009", "4429"} <= codes.keys(), codes
        await bystander.ping()
    assert await asyncio.to_thread(web.stop) == 0
    assert "raised exception" not in web.output()
    assert "Traceback" not in web.output(), web.output()
    assert web.output().count("\n") < 50
