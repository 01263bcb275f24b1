"""The EVENTS stream, against a real nats-server."""

import asyncio
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from bus import (
    Bus,
    NoQuorum,
    Settings,
    UnsupportedServer,
    subjects,
)
from testbed.servers import Nats
from testbed.system import System


async def test_many_processes_may_declare_it_at_once(settings: Settings) -> None:
    async def connect() -> None:
        async with Bus(settings, update_stream=True) as bus:
            await bus.ping()

    await asyncio.gather(*(connect() for _ in range(20)))


async def test_a_server_that_is_too_old_is_refused_with_the_way_out() -> None:
    """No old server is in the package registries, so a peer that only introduces itself stands in for one."""

    async def introduce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"x","version":"2.9.25","go":"go1","host":"127.0.0.1","port":1,'
            b'"headers":true,"max_payload":1048576,"jetstream":true}\r\n'
        )
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(introduce, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnsupportedServer, match=r"is 2\.9\.25; 2\.11 or newer is needed"):
            await Bus(Settings.load(nats_url=f"nats://127.0.0.1:{port}")).connect()


async def test_an_event_is_not_believed_to_be_the_newest_of_a_leader_that_was_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bus(settings) as bus:
        seq = await bus.stream.append("bus.group.led", b"{}")
        monkeypatch.setattr(bus.stream._leader, "replicated", True)
        info = bus.stream._jetstream.info
        unheard = {"leader": "n1", "replicas": [{"name": name, "active": 5 * 10**9} for name in ("n2", "n3")]}

        async def cut_off(**details: object) -> dict[str, Any]:
            return await info(**details) | {"cluster": unheard}

        monkeypatch.setattr(bus.stream._jetstream, "info", cut_off)
        for subject in ("bus.group.led", "bus.group.led-by-nobody"):
            with pytest.raises(NoQuorum, match="its leader n1 does not hear n2, n3"):
                await bus.stream.last(subject)
        monkeypatch.undo()
        stored = await bus.stream.last("bus.group.led")
        assert stored is not None
        assert stored.seq == seq


async def test_reading_back(settings: Settings) -> None:
    async with Bus(settings) as bus:
        subject = "bus.group.read"
        assert await bus.stream.last(subject) is None
        assert await bus.stream.first(subject) is None
        first = await bus.stream.append(subject, b"1")
        last = await bus.stream.append(subject, b"2", message_id="m2")
        stored = await bus.stream.last(subject)
        assert stored is not None
        assert (stored.seq, stored.subject, stored.data, stored.message_id) == (last, subject, b"2", "m2")
        oldest = await bus.stream.first(subject)
        assert oldest is not None
        assert oldest.seq == first


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
async def test_replay_gives_every_event_after_a_cursor_in_order(settings: Settings, count: int) -> None:
    async with Bus(settings) as bus:
        subject = f"bus.group.replay{count}"
        before = await bus.stream.append(subject, b"before")
        sent = [await bus.stream.append(subject, str(n).encode()) for n in range(count)]
        await bus.stream.append("bus.group.other", b"not this")
        replayed = [stored async for stored in bus.stream.replay(subject, after=before)]
        assert [stored.seq for stored in replayed] == sent
        assert [stored.data for stored in replayed] == [str(n).encode() for n in range(count)]
        assert [stored.seq async for stored in bus.stream.replay("bus.group.*", after=before)][:count] == sent


async def test_replay_of_nothing_is_nothing(settings: Settings) -> None:
    async with Bus(settings) as bus:
        assert [stored async for stored in bus.stream.replay("bus.group.nothing", after=0)] == []
        assert [stored async for stored in bus.stream.replay("bus.>", after=2**40)] == []


async def test_the_state_tells_epoch_and_ends(fresh: System) -> None:
    settings = Settings.load(nats_url=fresh.nats.url)
    async with Bus(settings, update_stream=True) as bus:
        empty = await bus.stream.state()
        assert (empty.first_seq, empty.last_seq) == (1, 0)
        for _ in range(3):
            await bus.stream.append("bus.group.x", b"{}")
        full = await bus.stream.state()
        assert (full.epoch, full.first_seq, full.last_seq) == (empty.epoch, 1, 3)
        connection = await nats_py.connect(fresh.nats.url)
        await connection.jetstream().purge_stream(subjects.STREAM)
        cut = await bus.stream.state()
        assert (cut.epoch, cut.first_seq, cut.last_seq) == (empty.epoch, 4, 3)
        await connection.jetstream().delete_stream(subjects.STREAM)
        await bus.stream.declare(update=True)
        assert (await bus.stream.state()).epoch != empty.epoch
        await connection.close()


async def test_the_state_tells_the_last_event_that_is_gone_from_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = Nats(tmp_path)
    nats.start()
    try:
        connection = await nats_py.connect(nats.url)
        jetstream = connection.jetstream()
        async with Bus(Settings.load(nats_url=nats.url)) as bus:
            for number in range(12):
                await bus.stream.append(f"bus.group.g{number % 2}", b"{}")
            holes = []
            for seq in (1, 2, 6, 4, 9, 12):  # the first two move the beginning
                await jetstream.delete_msg(subjects.STREAM, seq)
                holes.append((await bus.stream.state()).last_hole)
            assert holes == [0, 0, 6, 6, 9, 12]
            await bus.stream.append("bus.group.g0", b"{}")
            assert (await bus.stream.state()).last_hole == 12
            monkeypatch.setattr("bus.stream_leader.MOST_HOLES", 3)
            assert (await bus.stream.state()).last_hole == 13  # too many to tell: any may be gone
            await jetstream.purge_stream(subjects.STREAM)
            assert (await bus.stream.state()).last_hole == 0
        await connection.close()
    finally:
        nats.stop()
