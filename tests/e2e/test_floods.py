"""Hostile processes that flood one web process, each in every way they know, and one client that wants to be served."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import pytest

from testbed.flood import ALL, KINDS
from testbed.servers import SERVE, Web
from testbed.system import System
from tests.certificates import self_signed
from tests.clients import client

ROOT = Path(__file__).parents[2]
SECONDS = 2
SOON = 5.0
"""Seconds within which anybody is served, on a machine that the attackers have to themselves. On one that is the
server's, `benchmarks/bystander.py` measures milliseconds."""
ENOUGH = 60.0
"""Seconds within which attackers, a round of a few seconds after the other, have met everything they are to meet."""
EXPECTED = {"1002", "1009", "4429"}
"""Close codes: nonsense, more than may be sent at once, and more often than may be sent."""


async def flood(web: Web, kind: str, sockets: int, *cafile: str) -> asyncio.subprocess.Process:
    arguments = [str(ROOT / "testbed/flood.py"), *map(str, (web.port, kind, sockets, SECONDS)), *cafile]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_others_are_served_while_all_kinds_of_floods_go_on(
    system: System, certificate: tuple[Path, Path], tls: bool
) -> None:
    certfile, keyfile = map(str, certificate)
    files = ("--certfile", certfile, "--keyfile", keyfile) if tls else ()
    web = await asyncio.to_thread(system.web, *SERVE, *files, BUS_FRAME_BURST="200")
    context = ssl.create_default_context(cafile=certfile) if tls else None
    url = web.ws_url.replace("ws:", "wss:") if tls else web.ws_url
    async with client(url, ssl=context) as bystander:
        await bystander.ping(SOON)
        codes: set[str] = set()
        async with asyncio.timeout(ENOUGH):
            while not codes >= EXPECTED:  # how far the attackers get in one round is up to the machine
                process = await flood(web, ALL, len(KINDS), *([certfile] if tls else []))
                ending = asyncio.create_task(process.communicate())
                while not ending.done():
                    await bystander.ping(SOON)
                    async with asyncio.timeout(SOON), client(url, ssl=context) as newcomer:
                        await newcomer.ping()
                    await asyncio.sleep(0.01)
                told, _ = await ending
                codes |= json.loads(told).keys()
        await bystander.ping()
    assert await asyncio.to_thread(web.stop) == 0, web.output()
    for unwanted in ("raised exception", "SSL connection is closed", "Traceback"):
        assert unwanted not in web.output(), web.output()
    lines = web.output().splitlines()
    visits = [line for line in lines if "connection opened" in line or "connection closed" in line]
    assert len(lines) - len(visits) < 50  # two for each connection, and few for what it did
