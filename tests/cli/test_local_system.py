"""The processes of `busctl dev`, as its own process minds them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from cli.local_system import Check, LocalSystem, Plan
from cli.processes import Processes

DEADLINE = 20.0


@pytest.mark.parametrize(
    ("ends", "how"),
    [("exit 3", "exit status 3"), ("kill -KILL $$", "signal SIGKILL"), ("kill -40 $$", "signal 40")],
)
async def test_how_a_process_ended_is_told_whatever_it_was(ends: str, how: str) -> None:
    async with asyncio.timeout(DEADLINE), Processes(lambda name, line: None) as processes:
        processes.start("one", ["sh", "-c", ends], os.environ)
        assert (await processes.deaths.get()).how_it_ended() == how


class StubbornPlan(Plan):
    """One server, and a question to it that goes on though it was told to stop, as redis-py's does at times."""

    def servers(self) -> dict[str, tuple[list[str], Check]]:
        asked = count(1)

        async def answers() -> bool:
            if next(asked) > 1:
                await asyncio.sleep(DEADLINE)
                return False
            os.kill(os.getpid(), signal.SIGINT)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(DEADLINE)
            return False

        return {"valkey": (["sleep", "60"], answers)}


async def test_ctrl_c_is_heard_while_a_question_swallows_it(tmp_path: Path) -> None:
    plan = StubbornPlan(
        web_port=1,
        nats_url="",
        redis_url="",
        nats_ports=None,
        redis_port=1,
        given=frozenset(),
        data_dir=tmp_path,
        concurrency=1,
        sources=None,
    )
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    try:
        async with asyncio.timeout(DEADLINE):
            assert await LocalSystem(plan, lock).run() == signal.SIGINT
    finally:
        os.close(lock)
