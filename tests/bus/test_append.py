"""Appends to the EVENTS stream, against a real nats-server."""

import pytest

from bus import AppendRefused, Bus, BusUnavailable, EventTooLarge, Settings, StreamFull, SystemNotification, subjects
from testbed.system import System
from tests.raw_jetstream import connected


async def test_an_append_that_expects_another_last_event_is_refused(settings: Settings) -> None:
    async with Bus(settings) as bus:
        first = await bus.stream.append("bus.group.append", b"{}", expected_last=0)
        with pytest.raises(AppendRefused):
            await bus.stream.append("bus.group.append", b"{}", expected_last=0)
        second = await bus.stream.append("bus.group.append", b"{}", expected_last=first)
        assert second > first


async def test_a_repeated_append_is_stored_once(settings: Settings) -> None:
    async with Bus(settings) as bus:
        first = await bus.stream.append("bus.group.repeat", b"{}", message_id="a")
        assert await bus.stream.append("bus.group.repeat", b"{}", message_id="a") == first
        third = await bus.stream.append("bus.group.repeat", b"{}", message_id="b", expected_last=first)
        assert await bus.stream.append("bus.group.repeat", b"{}", message_id="b", expected_last=first) == third
        with pytest.raises(AppendRefused):
            await bus.stream.append("bus.group.repeat", b"{}", message_id="c", expected_last=first)


async def test_an_event_over_the_servers_limit_is_refused_before_it_is_sent(settings: Settings) -> None:
    async with Bus(settings) as bus:
        with pytest.raises(EventTooLarge, match="max_payload"):
            await bus.broadcast_event(SystemNotification(payload="x" * (1 << 20)))
        await bus.ping()


@pytest.mark.parametrize(("limit", "raised"), [("max_bytes", "BUS_STREAM_MAX_BYTES"), ("max_msgs", "max_msgs of")])
async def test_the_limit_of_a_full_stream_is_named(fresh: System, limit: str, raised: str) -> None:
    settings = Settings.load(nats_url=fresh.nats.url, append_timeout=0.2)
    async with Bus(settings) as bus, connected(fresh.nats.url) as operator:
        await bus.stream.append("bus.group.x", b"{}")
        await operator.edit(**{limit: 1})
        with pytest.raises(StreamFull, match=f"raise {raised}"):
            await bus.stream.append("bus.group.x", b"{}")


async def test_a_stream_that_was_removed_is_named(fresh: System) -> None:
    async with Bus(Settings.load(nats_url=fresh.nats.url)) as bus, connected(fresh.nats.url) as operator:
        await operator.ask(f"STREAM.DELETE.{subjects.STREAM}")
        with pytest.raises(BusUnavailable, match="no stream stores"):
            await bus.stream.append("bus.group.x", b"{}")
        for read in (bus.stream.last("bus.group.x"), bus.stream.state()):
            with pytest.raises(BusUnavailable, match="stream not found"):
                await read
