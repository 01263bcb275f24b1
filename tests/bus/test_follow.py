"""bus.follow: every event of a subject once and in order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import nats as nats_py
import pytest

from bus import Bus, BusUnavailable, FollowedEvents, Interruption, Settings, SystemNotification, subjects
from bus import follow as follow_module
from testbed.servers import Nats

DEADLINE = 20.0


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with Bus(settings) as bus:
        yield bus


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[Nats]:
    """A server that the test may stop."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


NAMES = count()


@pytest.fixture
def group() -> str:
    """A group that nobody else uses."""
    return f"followed-{next(NAMES)}"


async def say(bus: Bus, group: str, *texts: str) -> list[int]:
    return [(await bus.broadcast_event(SystemNotification(payload=text), [group]))[0] for text in texts]


async def taken(events: FollowedEvents, number: int) -> list[int]:
    """The sequences of the next events."""
    async with asyncio.timeout(DEADLINE):
        return [(await anext(events)).seq for _ in range(number)]


async def pass_by(turns: int) -> None:
    """Let so many turns of the loop pass, and now and then time for NATS to answer."""
    for turn in range(turns):
        await asyncio.sleep(0.001 if turn % 8 == 7 else 0)


@contextmanager
def deaf(bus: Bus, subject: str) -> Iterator[None]:
    """What comes on a live subject meanwhile is not heard, and nothing tells of it but that something was missed."""
    client = bus._connection._client
    assert client is not None
    [subscription] = [each for each in bus._connection._subscriptions._all if each.subject == subjects.live(subject)]
    assert subscription._heard is not None
    handler = client._heard.pop(subscription._heard)
    yield
    client._heard[subscription._heard] = handler
    bus._missed()


async def test_it_begins_where_it_is_told_to_and_goes_on_live(bus: Bus, group: str) -> None:
    before = await say(bus, group, "one", "two", "three")
    async with (
        bus.follow(subjects.group(group), after=0) as all_of_them,
        bus.follow(subjects.group(group), after=before[1]) as some,
        bus.follow(subjects.group(group)) as new,
    ):
        since = await say(bus, group, "four", "five")
        assert await taken(all_of_them, 5) == before + since
        assert await taken(some, 3) == before[2:] + since
        assert await taken(new, 2) == since


async def test_it_takes_wildcards_and_nothing_besides(bus: Bus, group: str) -> None:
    async with bus.follow(subjects.client(group)) as events:
        await say(bus, group, "to a group of that name")
        own = await bus.send_event(SystemNotification(payload="to the client"), group)
        stored = await anext(events)
    assert (stored.seq, stored.subject) == (own, subjects.client_event(group))


async def test_nothing_is_lost_or_doubled_over_an_outage(own_nats: Nats, group: str) -> None:
    told: list[Interruption] = []
    settings = Settings.load(nats_url=own_nats.url)
    async with (
        Bus(settings) as listening,
        listening.follow(subjects.group(group), on_interruption=told.append) as events,
    ):
        async with Bus(settings) as other:
            sent = await say(other, group, *map(str, range(300)))
        got = await taken(events, 100)  # the others are on their way
        own_nats.kill()
        waiting = asyncio.create_task(taken(events, 203))
        async with asyncio.timeout(DEADLINE):
            while Interruption.AWAY not in told:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(own_nats.start)
        async with Bus(settings) as other:
            sent += await say(other, group, "stored", "before it", "is back")
        got += await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await anext(events)
    assert got == sent
    assert told == [Interruption.AWAY, Interruption.BACK]


async def test_what_was_missed_is_read(bus: Bus, group: str) -> None:
    async with bus.follow(subjects.group(group)) as events:
        with deaf(bus, subjects.group(group)):
            sent = await say(bus, group, "missed", "missed too")
        assert await taken(events, 2) == sent
        sent = await say(bus, group, "heard")
        assert await taken(events, 1) == sent


async def test_a_forged_live_message_shows_nothing_and_hides_nothing(bus: Bus, settings: Settings, group: str) -> None:
    subject = subjects.group(group)
    headers = {
        "Nats-Stream": subjects.STREAM,
        "Nats-Subject": subject,
        "Nats-Time-Stamp": "2026-01-02T03:04:05Z",
    }
    async with bus.follow(subject) as events:
        forger = await nats_py.connect(settings.nats_url)
        for seq in (str(2**62), "9" * 5000, "-1", "1"):
            await forger.publish(subjects.live(subject), b"{}", headers=headers | {"Nats-Sequence": seq})
        await forger.close()
        sent = await say(bus, group, "real", "too")
        assert await taken(events, 2) == sent


async def test_a_stream_made_anew_is_followed_from_its_first_event(own_nats: Nats, group: str) -> None:
    told: list[Interruption] = []
    settings = Settings.load(nats_url=own_nats.url)
    async with (
        Bus(settings) as listening,
        listening.follow(subjects.group(group), on_interruption=told.append) as events,
    ):
        await say(listening, group, "old", "old", "old")
        assert await taken(events, 3) == [1, 2, 3]
        own_nats.kill()
        await asyncio.to_thread(shutil.rmtree, own_nats.directory / "nats")
        await asyncio.to_thread(own_nats.start)
        async with Bus(settings) as other:
            await say(other, group, "new", "new")
        assert await taken(events, 2) == [1, 2]
    assert Interruption.MADE_ANEW in told


async def test_who_may_not_declare_the_stream_notices_as_well_that_it_was_made_anew(own_nats: Nats, group: str) -> None:
    """Nothing tells of it: the connection lasts, and the new stream's events have sequences that were seen."""
    told: list[Interruption] = []
    settings = Settings.load(nats_url=own_nats.url)
    async with (
        Bus(settings) as other,
        Bus(settings, declare=False) as listening,
        listening.follow(subjects.group(group), on_interruption=told.append) as events,
    ):
        await say(other, group, "old", "old", "old")
        assert await taken(events, 3) == [1, 2, 3]
        await other.request(f"$JS.API.STREAM.DELETE.{subjects.STREAM}", b"", timeout=DEADLINE)
        await other.stream.declare(update=False)
        await say(other, group, "new", "new")
        assert await taken(events, 2) == [1, 2]
    assert Interruption.MADE_ANEW in told


async def test_who_gives_up_waiting_may_ask_again(bus: Bus, group: str) -> None:
    """At whatever moment: before a read, within it, after it."""
    got: list[int] = []
    async with bus.follow(subjects.group(group)) as events:
        sent = await say(bus, group, *map(str, range(50)))
        for turns in range(100):
            waiting = asyncio.create_task(anext(events))  # type: ignore[arg-type]
            await pass_by(turns % 20)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                got.append((await waiting).seq)
        assert len(got) > 0
        got += await taken(events, len(sent) - len(got))
    assert got == sent


async def test_a_cancellation_leaves_no_subscription_behind(own_nats: Nats, group: str) -> None:
    """Whatever it comes upon: subscribing, its confirmation, a read, or waiting for an event."""

    async def follow() -> None:
        async with bus.follow(subjects.group(group), after=0) as events:
            async for _ in events:
                pass

    async def subscribed() -> list[str]:
        await bus.confirm_subscriptions()  # so that the server has looked at what was withdrawn, too
        answer = await asyncio.to_thread(own_nats.monitored, "subsz?subs=1")
        return sorted(entry["subject"] for entry in answer["subscriptions_list"])

    async with Bus(Settings.load(nats_url=own_nats.url)) as bus:
        await say(bus, group, *map(str, range(3)))
        ours, known_to_nats = set(bus._connection._subscriptions._all), await subscribed()
        for turns in range(60):
            following = asyncio.create_task(follow())
            await pass_by(turns)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
        assert set(bus._connection._subscriptions._all) == ours
        assert await subscribed() == known_to_nats
        assert bus._gap_callbacks == []


async def test_several_follow_at_once_and_leave_when_they_like(bus: Bus, group: str) -> None:
    async with bus.follow(subjects.group(group)) as staying:
        async with bus.follow(subjects.group(group)) as leaving:
            sent = await say(bus, group, "for both")
            assert await taken(leaving, 1) == sent
        with deaf(bus, subjects.group(group)):
            sent += await say(bus, group, "missed, so that only the gap tells of it")
        assert await taken(staying, 2) == sent


async def test_it_ends_with_its_bus(settings: Settings, group: str) -> None:
    bus = Bus(settings)
    await bus.connect()
    async with bus.follow(subjects.group(group)) as events:
        waiting = asyncio.create_task(anext(events))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await bus.close()
        with pytest.raises(BusUnavailable, match="closed"):
            async with asyncio.timeout(DEADLINE):
                await waiting


async def test_without_nats_it_does_not_begin(own_nats: Nats, group: str) -> None:
    async with Bus(Settings.load(nats_url=own_nats.url)) as bus:
        own_nats.kill()
        async with asyncio.timeout(DEADLINE):
            while bus.connected:
                await asyncio.sleep(0.01)
        with pytest.raises(BusUnavailable):
            async with bus.follow(subjects.group(group)):
                pass
        assert bus._gap_callbacks == []


async def test_the_script_in_the_documentation_works(own_nats: Nats) -> None:
    assert follow_module.__doc__ is not None
    _, begin, rest = follow_module.__doc__.partition("    import asyncio")
    script = textwrap.dedent(begin + rest)
    async with Bus(Settings.load(nats_url=own_nats.url)) as bus:
        [first] = await say(bus, "system", "before")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env={"NATS_URL": own_nats.url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(DEADLINE):
                lines = [await process.stdout.readline()]
                [second] = await say(bus, "system", "since")
                lines.append(await process.stdout.readline())
                process.send_signal(signal.SIGINT)
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    shown = [(int(line.split(maxsplit=1)[0]), json.loads(line.split(maxsplit=1)[1])["payload"]) for line in lines]
    assert shown == [(first, "before"), (second, "since")]
