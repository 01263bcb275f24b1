"""Bus.follow of several subjects: a job's steps and what it writes between them, in the order of the stream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Bus, FollowedEvents, Settings, subjects
from bus.replay import READ_EVENTS
from testbed.servers import Nats

DEADLINE = 20.0


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Nats]:
    """A server that the test may stop."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def job_id() -> str:
    return f"j{secrets.token_hex(4)}"


async def act(bus: Bus, job_id: str, acts: str) -> list[int]:
    """Store one event for each letter: `s` a step of the job, `o` output, `x` something of another job."""
    where = {
        "s": subjects.job("ann", job_id),
        "o": subjects.output("ann", job_id),
        "x": subjects.output("ann", f"{job_id}x"),
    }
    seqs = [(letter, await bus.stream.append(where[letter], b"{}")) for letter in acts]
    return [seq for letter, seq in seqs if letter != "x"]


async def taken(events: FollowedEvents, count: int) -> list[int]:
    async with asyncio.timeout(DEADLINE):
        return [(await anext(events)).seq for _ in range(count)]


@pytest.mark.parametrize("client_id", ["ann", None])
async def test_what_was_stored_and_what_is_live_come_in_order(
    settings: Settings, job_id: str, client_id: str | None
) -> None:
    both = (
        (subjects.job(client_id, job_id), subjects.output(client_id, job_id))
        if client_id
        else (subjects.any_client(job_id), subjects.any_output(job_id))
    )
    async with Bus(settings) as bus:
        seqs = await act(bus, job_id, "ssooxos")
        async with bus.follow(*both, after=0) as events, bus.follow(*both) as new:
            assert await taken(events, len(seqs)) == seqs
            live = await act(bus, job_id, "oosxoos")
            assert await taken(events, len(live)) == await taken(new, len(live)) == live


async def test_they_stay_in_order_while_they_are_written(settings: Settings, job_id: str) -> None:
    acts = "soooooooos" * 30
    async with Bus(settings) as bus, Bus(settings) as other:
        async with bus.follow(subjects.job("ann", job_id), subjects.output("ann", job_id), after=0) as events:
            got, seqs = await asyncio.gather(taken(events, len(acts)), act(other, job_id, acts))
        assert got == seqs


async def test_a_forged_live_message_does_not_mix_them_up(settings: Settings, job_id: str) -> None:
    forged = subjects.job("ann", job_id)
    headers = {
        "Nats-Stream": subjects.STREAM,
        "Nats-Subject": forged,
        "Nats-Sequence": str(2**62),
        "Nats-Time-Stamp": "2026-01-02T03:04:05Z",
    }
    async with Bus(settings) as bus, Bus(settings) as other:
        async with bus.follow(forged, subjects.output("ann", job_id), after=0) as events, asyncio.timeout(DEADLINE):
            await other._connection.publish(subjects.live(forged), b"{}", headers=headers)
            while events._heard < 2**62:
                await asyncio.sleep(0.01)
            seqs = await act(other, job_id, "s" * (READ_EVENTS + 1))
            got = await taken(events, 1)  # and of the other subject all has been read
            seqs += await act(other, job_id, "os")
            got += await taken(events, len(seqs) - 1)
        assert got == seqs


async def test_nothing_is_lost_or_doubled_over_an_outage(own_nats: Nats, job_id: str) -> None:
    settings = Settings.load(nats_url=own_nats.url)
    both = subjects.job("ann", job_id), subjects.output("ann", job_id)
    async with Bus(settings) as listening, listening.follow(*both) as events:
        async with Bus(settings) as other:
            seqs = await act(other, job_id, "so" * 100)
        got = await taken(events, 50)
        own_nats.kill()
        waiting = asyncio.create_task(taken(events, 154))
        await asyncio.to_thread(own_nats.start)
        async with Bus(settings) as other:
            seqs += await act(other, job_id, "oxsos")
        got += await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(events)
    assert got == seqs
