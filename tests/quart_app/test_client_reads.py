"""How much of the stream is read for one client: it waits, then it is refused, and others are served."""

from __future__ import annotations

import asyncio
import gc

import pytest
from websockets.exceptions import ConnectionClosed

from bus import Settings
from quart_app import client_reads, rate_by_key
from quart_app.client_reads import EVENT_BYTES, ClientReads
from quart_app.errors import TooFast
from quart_app.rate_by_key import RateByKey
from testbed.planted import SECRET
from testbed.servers import Web
from testbed.system import System
from tests.clients import Client, client
from tests.http import get

FEW = 8
"""Events that are read for a client at once, where none is paid for while a test runs."""


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(
        BUS_SECRET=SECRET, BUS_CLIENT_READ_RATE="1", BUS_CLIENT_READ_BURST=str(FEW * EVENT_BYTES), BUS_FRAME_BURST="10"
    )


async def greet(connected: Client, **payload: object) -> str:
    """Come in; the resume token."""
    await connected.send({"action": "connect", "payload": payload})
    welcome = await connected.receive()
    assert welcome["action"] == "welcome"
    return str(welcome["payload"]["resume"])


async def come_back_without_end(web: Web, token: str) -> None:
    for _ in range(6):
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            await connected.send({"action": "connect", "payload": {"resume": token, "cursors": {"client": 0}}})
            assert (await connected.receive())["payload"]["recovered"] is True


async def ended_job(connected: Client) -> str:
    await connected.submit("default", "hello")
    job_id = str((await connected.receive_until("job_queued"))[-1]["job_id"])
    await connected.send({"action": "cancel_job", "payload": {"job_id": job_id}})
    await connected.receive_until("job_cancelled")
    return job_id


async def status(connected: Client, job_id: str) -> str:
    """How a job stands, or the type of the error."""
    await connected.send({"action": "get_job", "payload": {"job_id": job_id}})
    answer = await connected.receive()
    return str(answer["payload"]["state"] if answer["action"] == "job_status" else answer["payload"][0]["type"])


async def metrics(web: Web) -> str:
    return (await asyncio.to_thread(get, f"{web.url}/metrics"))[1]


async def test_who_asks_how_jobs_stand_without_end_is_refused_and_others_are_not(web: Web) -> None:
    async with client(web.ws_url) as greedy, client(web.ws_url) as other:
        theirs, job_id = await ended_job(other), await ended_job(greedy)
        answers = [await status(greedy, job_id) for _ in range(6)]
        assert set(answers) == {"job_cancelled", "too_fast"}
        assert answers == sorted(answers)
        assert await status(other, theirs) == "job_cancelled"
        await greedy.ping()
    assert 'busctl_errors_total{type="too_fast"}' in await metrics(web)


async def test_who_comes_back_without_end_is_sent_away_and_others_are_not(web: Web) -> None:
    options = {"subprotocols": ["bus.v1"]}
    async with client(web.ws_url, **options) as greedy:
        token = await greet(greedy)
        await ended_job(greedy)
    with pytest.raises(ConnectionClosed) as closed:
        await come_back_without_end(web, token)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4429
    assert "too much was replayed" in closed.value.rcvd.reason
    async with client(web.ws_url, **options) as other:
        token = await greet(other)
        await ended_job(other)
    async with client(web.ws_url, **options) as other:
        await greet(other, resume=token, cursors={"client": 0})
    assert 'busctl_closed_total{code="4429",reason="too_much_read"} 1.0' in await metrics(web)


def reads(rate: float, burst: int) -> ClientReads:
    return ClientReads(Settings.load(client_read_rate=rate, client_read_burst=burst))


async def test_what_is_soon_paid_for_is_waited_for() -> None:
    limited = reads(1_000_000, 1)
    limited.charge("a", events=100, size=0)
    async with asyncio.timeout(10):
        await limited.wait("a")
    limited.charge("a", events=10_000, size=0)
    with pytest.raises(TooFast):
        await limited.wait("a")
    await limited.wait("b")


async def test_one_resume_of_a_client_goes_on_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_reads, "TURN", 0.05)
    limited = reads(1_000_000, 1_000_000)
    async with limited.alone("a"), limited.alone("b"):
        with pytest.raises(TooFast):
            async with limited.alone("a"):
                raise AssertionError("two of one client are in")
    async with limited.alone("a"):
        pass


async def test_of_clients_that_are_gone_nothing_is_kept() -> None:
    limited = reads(1_000_000, 1_000_000)
    for number in range(100):
        async with limited.alone(str(number)):
            pass
    gc.collect()
    assert not limited._locks


def test_a_bucket_fills_with_time_and_a_debt_is_paid_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rate_by_key.time, "monotonic", lambda: now)
    buckets = RateByKey(rate=2, burst=10)
    assert [buckets.take("a", 4) for _ in range(3)] == [True, True, False]
    assert buckets.take("a", 2)
    assert buckets.owes("a") == 0
    buckets.charge("a", 6)
    assert buckets.owes("a") == pytest.approx(3)
    assert buckets.owes("b") == 0
    now += 2
    assert buckets.owes("a") == pytest.approx(1)
    assert not buckets.take("a", 1)
    now += 1.5
    assert buckets.take("a", 1)
