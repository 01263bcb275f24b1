"""How fast one client may talk: a burst, then a rate; past it 4429 for that connection alone."""

from __future__ import annotations

import asyncio

import pytest

from quart_app.websocket.rate_limit import TokenBucket
from testbed.raw import frame, raw, raw_v1
from testbed.servers import Web
from testbed.system import System

BURST = 50
NEVER = 1e-9
FAST = 1e9


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    servers.worker()
    return servers


async def test_a_burst_may_come_at_once_and_one_more_may_not() -> None:
    rate = TokenBucket(NEVER, BURST)
    assert [rate.exceeded() for _ in range(BURST + 1)] == [False] * BURST + [True]


async def test_tokens_come_back() -> None:
    rate = TokenBucket(FAST, 1)
    before = asyncio.get_running_loop().time()
    assert not rate.exceeded()
    while asyncio.get_running_loop().time() == before:
        await asyncio.sleep(0)
    assert not rate.exceeded()


async def test_no_more_than_a_burst_is_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    rate = TokenBucket(1.0, BURST)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: now + 1_000_000)
        assert [rate.exceeded() for _ in range(BURST + 1)] == [False] * BURST + [True]
        patch.setattr(loop, "time", lambda: now + 1_000_010)
        assert [rate.exceeded() for _ in range(10)] == [False] * 9 + [True]


@pytest.fixture(scope="module")
def strict(system: System) -> Web:
    return system.web(BUS_FRAME_BURST=str(BURST), BUS_FRAME_RATE="0.001")


PING = frame('{"action":"ping"}')


async def test_past_the_burst_a_connection_is_closed_with_4429_and_no_other(strict: Web) -> None:
    async with raw(strict.port) as calm, raw(strict.port, mute=True) as wild:
        wild.write(PING * 10 * BURST)
        assert len(await wild.rest()) == BURST
        assert wild.close_code == 4429
        for _ in range(BURST):
            await calm.ping()
        assert not calm.gone


@pytest.mark.parametrize("sent", ["no json", b"", b"binary", '{"action":"unknown"}'])
async def test_bad_frames_count_too(strict: Web, sent: str | bytes) -> None:
    async with raw(strict.port) as wild:
        wild.write(frame(sent, 1 if isinstance(sent, str) else 2) * (BURST + 1))
        assert [message["action"] for message in await wild.rest()] == ["error"] * BURST
        assert wild.close_code == 4429


async def test_the_same_client_comes_back_and_has_missed_nothing(strict: Web) -> None:
    async with raw_v1(strict.port) as (wild, welcome):
        wild.send({"action": "system_message", "payload": {"task_type": "default", "content": "x"}, "ref": "job"})
        wild.write(PING * 2 * BURST)
        await wild.rest()
        assert wild.close_code == 4429
    resumed = {"resume": welcome["resume"], "cursors": {"client": 0}}
    async with raw_v1(strict.port, **resumed) as (again, second):
        assert second["client_id"] == welcome["client_id"]
        assert second["recovered"]
        life = [(await again.receive())["action"] for _ in range(3)]
        assert life == ["job_queued", "job_started", "job_result"]
        await again.ping()
