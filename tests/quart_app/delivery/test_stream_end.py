"""The stream's state is asked once for all who want it at the same moment, and is never older than the question."""

from __future__ import annotations

import asyncio

import pytest

from bus import Bus, BusUnavailable, Settings
from quart_app.delivery.stream_end import MARGIN, StreamEnd
from testbed.servers import Nats
from tests.deadlines import impatient_bus


async def test_an_answer_is_never_older_than_the_question(settings: Settings) -> None:
    async with Bus(settings) as bus:
        end = StreamEnd(bus)
        for _ in range(20):
            earlier = asyncio.create_task(end.state())
            await asyncio.sleep(0)
            seq = await bus.stream.append("bus.group.end", b"{}")
            assert (await end.state()).last_seq >= seq
            await earlier


async def test_all_who_ask_at_once_share_a_request(settings: Settings, nats: Nats) -> None:
    async with Bus(settings) as bus:
        end = StreamEnd(bus)
        before = nats.monitored("jsz")["api"]["total"]
        states = await asyncio.gather(*(end.state() for _ in range(200)))
        assert len(set(states)) == 1
        assert nats.monitored("jsz")["api"]["total"] - before <= 2


async def test_only_what_the_stream_said_moves_its_known_end(settings: Settings) -> None:
    async with Bus(settings) as bus:
        end = StreamEnd(bus)
        seq = await bus.stream.append("bus.group.end", b"{}")
        assert not end.reaches(seq + MARGIN + 1)
        await end.state()
        assert end.last_seq >= seq
        assert end.reaches(end.last_seq + MARGIN)
        assert not end.reaches(end.last_seq + MARGIN + 1)
        await end.stop()


async def test_after_a_gap_a_stream_that_went_on_or_was_cut_is_the_one_that_it_was(settings: Settings) -> None:
    async with Bus(settings) as bus:
        end = StreamEnd(bus)
        end.on_put_back = lambda: pytest.fail("it was not put back")
        for cut in (False, True):
            seq = await bus.stream.append("bus.group.end", b"{}")
            await end.state()
            end.doubt()
            await bus.stream.append("bus.group.end", b"{}")
            if cut:
                await bus.stream.cut(seq + 1)
            await end.state()
        assert end.lost == 0


async def test_a_question_that_nobody_waits_for_any_more_fails_silently(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    nats = Nats(tmp_path_factory.mktemp("nats"))
    nats.start()
    try:
        async with impatient_bus(Settings.load(nats_url=nats.url), append_timeout=0.2) as bus:
            end = StreamEnd(bus)
            nats.pause()
            asking = asyncio.create_task(end.state())
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(BusUnavailable):
                await end.state()
            await end.stop()
            nats.resume()
    finally:
        nats.stop()
