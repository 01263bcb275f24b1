"""What is larger than NATS takes is refused before it is sent, and what is accepted can be carried to its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Bus, BusUnavailable, EventTooLarge, Settings, Stored, SystemNotification, UnsupportedServer, job_log
from bus.job_log import JobRequest
from testbed.servers import Nats, wait_until
from tests.raw_jetstream import connected, nats_with

LIMIT = 4096


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with nats_with(tmp_path_factory.mktemp("nats"), f"max_payload: {LIMIT}") as server:
        yield server


def connections(server: Nats) -> int:
    """How many were ever made."""
    made: int = server.monitored("varz")["total_connections"]
    return made


@pytest.mark.parametrize("expected_last", [None, 0])
@pytest.mark.parametrize("character", ["", "m"])
async def test_headers_count_and_what_fits_to_the_byte_is_stored_and_heard(
    server: Nats, expected_last: int | None, character: str
) -> None:
    subject = f"bus.group.size{expected_last}{character}"
    message_id = f"{expected_last!s:m<64}" if character else None
    heard: asyncio.Queue[Stored] = asyncio.Queue()
    async with Bus(Settings.load(nats_url=server.url)) as bus:

        async def append(size: int) -> None:
            await bus.stream.append(subject, b"x" * size, expected_last=expected_last, message_id=message_id)

        await bus.subscribe(subject, heard.put_nowait)
        await bus.ping()
        made = connections(server)
        with pytest.raises(EventTooLarge) as caught:
            await append(LIMIT)
        fits = LIMIT - (caught.value.size - LIMIT)
        with pytest.raises(EventTooLarge, match=r"4097 bytes, and NATS takes at most 4096.*max_payload"):
            await append(fits + 1)
        await append(fits)
        assert len((await asyncio.wait_for(heard.get(), 10)).data) == fits
        stored = await bus.stream.last(subject)
        assert stored is not None
        assert len(stored.data) == fits
        assert fits >= bus.stream.room > LIMIT - 300
        assert connections(server) == made


async def test_every_verb_refuses_what_is_too_large(server: Nats) -> None:
    async with Bus(Settings.load(nats_url=server.url)) as bus:
        made = connections(server)
        for text in ("x" * 3980, "\x01" * 700, "é" * 1990):
            event = SystemNotification(payload=text)
            with pytest.raises(EventTooLarge):
                await bus.broadcast_event(event)
            with pytest.raises(EventTooLarge):
                await bus.send_event(event, "somebody")
        await bus.ping()
        assert connections(server) == made


async def test_the_largest_message_of_the_stream_is_a_limit_too(tmp_path: Path, server: Nats) -> None:
    async with Bus(Settings.load(nats_url=server.url)) as bus, connected(server.url) as operator:
        await bus.stream.append("bus.group.limit", b"x" * 1000)
        await operator.edit(max_msg_size=500)
        try:
            with pytest.raises(EventTooLarge, match=r"at most 500.*max_msg_size of the stream EVENTS"):
                await bus.stream.append("bus.group.limit", b"x" * 1000)
            assert bus.stream.room < 500
            await bus.stream.append("bus.group.limit", b"x" * bus.stream.room)
            async with Bus(Settings.load(nats_url=server.url)) as another:
                assert another.stream.room == bus.stream.room
        finally:
            await operator.edit(max_msg_size=-1)


async def test_a_limit_lowered_by_a_reload_costs_one_connection_and_is_learnt(tmp_path: Path) -> None:
    """NATS does not say that its limit is another one, and ends the connection that does not know."""
    config = tmp_path / "reloaded.conf"
    config.write_text("max_payload: 8192\n")
    server = Nats(tmp_path, "-c", str(config))
    server.start()
    try:
        async with Bus(Settings.load(nats_url=server.url)) as bus:
            await bus.stream.append("bus.group.x", b"x" * 6000)
            config.write_text(f"max_payload: {LIMIT}\n")
            os.kill(server.pid, signal.SIGHUP)
            await asyncio.to_thread(wait_until, lambda: server.monitored("varz")["max_payload"] == LIMIT, "new limit")
            with pytest.raises(BusUnavailable, match="maximum payload violation"):
                await bus.stream.append("bus.group.x", b"x" * 6000)
            async with asyncio.timeout(10):
                while not bus.connected:
                    await asyncio.sleep(0.02)
            with pytest.raises(EventTooLarge, match=f"at most {LIMIT}"):
                await bus.stream.append("bus.group.x", b"x" * 6000)
            await bus.stream.append("bus.group.x", b"x" * 3000)
    finally:
        server.kill()


async def test_a_limit_that_nats_does_not_announce_is_a_setting(tmp_path: Path) -> None:
    account = "A { jetstream: enabled, limits: { max_payload: 2000 }, users: [ { user: a, password: a } ] }"
    config = f'jetstream {{ store_dir: "DIR" }}\naccounts {{ {account} }}\nno_auth_user: a\n'
    with nats_with(tmp_path, config, jetstream=False) as server:
        async with Bus(Settings.load(nats_url=server.url, max_event_bytes=2000)) as bus:
            made = connections(server)
            await bus.stream.append("bus.group.x", b"x" * bus.stream.room)
            with pytest.raises(EventTooLarge, match="at most 2000"):
                await bus.stream.append("bus.group.x", b"x" * 2000)
            assert connections(server) == made


@pytest.mark.parametrize(("limit", "expected"), [(1150, {"refused", "ended"}), (1400, {"ended"})])
async def test_a_job_is_accepted_only_when_its_later_steps_fit_too(
    tmp_path: Path, limit: int, expected: set[str]
) -> None:
    with nats_with(tmp_path, f"max_payload: {limit}") as small:
        outcomes = set()
        async with Bus(Settings.load(nats_url=small.url)) as bus:
            for number, length in enumerate(range(0, 129, 16)):
                ref = "\x01" * (length // 4) + "r" * (length - length // 4)
                request = JobRequest(task_type="t" * 64, job_type="default", content="")
                try:
                    job = await job_log.create(bus.stream, "c" * 64, request, job_id=f"{number}", ref=ref)
                except EventTooLarge:
                    outcomes.add("refused")
                    assert await bus.stream.last(f"bus.client.{'c' * 64}.job.{number}") is None
                    continue
                started = await job_log.start(bus.stream, job)
                await job_log.fail(bus.stream, started, "x" * 100)
                outcomes.add("ended")
        assert outcomes == expected


async def test_a_server_that_takes_less_than_a_request_for_the_stream_is_refused(tmp_path: Path) -> None:
    with (
        nats_with(tmp_path, "max_payload: 400") as tiny,
        pytest.raises(UnsupportedServer, match="raise max_payload"),
    ):
        await Bus(Settings.load(nats_url=tiny.url)).connect()
