"""Handlers of somebody's own that fail: it costs what they were called for, and nobody a connection or a replay."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import pytest
import structlog
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from bus import Bus, Settings, SystemNotification
from bus.messages import Message, Ping
from quart_app import create_app
from quart_app.channel import Channel, channel, event_handler, ws_handler
from quart_app.websocket import answering, send_queue
from testbed.servers import Nats
from tests.clients import Client, client
from tests.in_process import serving
from tests.tokens import AUDIENCE, ISSUER, SHARED, token


class Said(Message):
    """Anything."""

    action: Literal["said"] = "said"
    payload: Any = None


async def do(what: str | None) -> Any:
    """What a handler makes of these words."""
    match what:
        case "raise":
            raise LookupError(what)
        case "cancelled":
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task
        case "hang":
            Hung.begun.release()
            await asyncio.Event().wait()
        case "slow":
            await asyncio.sleep(0.8)
        case "nothing":
            return None
        case "dict":
            return {"action": "said"}
        case "unwritable":
            return Said(payload=object())
    return Said(payload=what)


class Hung:
    """How often a handler has begun that never ends."""

    begun: ClassVar[asyncio.Semaphore]


FAILURES = ["raise", "cancelled", "dict", "unwritable"]
FAILING = pytest.mark.parametrize("what", FAILURES)
FAILING_EVENT = pytest.mark.parametrize("what", [*FAILURES, "hang", "nothing"])


@channel("/ws/odd", name="odd")
class OddChannel(Channel):
    """Does what it is told."""

    failing: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = (f"g{secrets.token_hex(4)}",)

    @ws_handler
    async def ping(self, message: Ping) -> Said:
        """Do what the `ref` says."""
        said: Said = await do(message.ref)
        return said

    @event_handler
    async def note(self, event: SystemNotification) -> Said:
        """Do what the payload says."""
        said: Said = await do(event.payload)
        return said

    def may_connect(self) -> bool:
        """Fail at it when the test says so."""
        if self.failing:
            raise LookupError("may it connect?")
        return True


class Odd:
    """A server of `OddChannel`, and a bus."""

    def __init__(self, port: int, bus: Bus) -> None:
        self.port = port
        self._bus = bus

    async def announce(self, *texts: str) -> list[int]:
        """Store announcements. Returns their sequences."""
        events = (SystemNotification(payload=text) for text in texts)
        return [(await self._bus.broadcast_event(event, OddChannel.groups))[0] for event in events]

    @asynccontextmanager
    async def v1(self, **payload: Any) -> AsyncIterator[tuple[Client, dict[str, Any]]]:
        """A client of `bus.v1`, and what its welcome says."""
        async with client(f"ws://127.0.0.1:{self.port}/ws/odd", subprotocols=["bus.v1"]) as one:
            await one.send({"action": "connect", "payload": payload})
            yield one, (await one.receive())["payload"]


@asynccontextmanager
async def serving_odd(settings: Settings) -> AsyncIterator[Odd]:
    Hung.begun = asyncio.Semaphore(0)
    async with serving(create_app(settings, [OddChannel]), wired=True, settings=settings) as port, Bus(settings) as bus:
        yield Odd(port, bus)


@pytest.fixture
async def odd(settings: Settings) -> AsyncIterator[Odd]:
    async with serving_odd(settings) as odd:
        yield odd


@FAILING
async def test_a_frame_that_its_handler_fails_at_is_answered_with_an_error(odd: Odd, what: str) -> None:
    async with odd.v1() as (one, _):
        await one.send({"action": "ping", "ref": what})
        answer = await one.receive()
        assert (answer["action"], answer["ref"], answer["payload"][0]["type"]) == ("error", what, "internal_error")
        await one.send({"action": "ping", "ref": "after"})
        assert (await one.receive())["payload"] == "after"


@FAILING_EVENT
async def test_an_event_that_its_handler_fails_at_is_not_shown_and_the_next_one_is(
    odd: Odd, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(answering, "SHOW_TIMEOUT", 0.05)
    async with odd.v1() as (one, _):
        await odd.announce("before", what, "after")
        assert [(await one.receive())["payload"] for _ in range(2)] == ["before", "after"]


@FAILING_EVENT
async def test_each_event_of_a_replay_is_a_frame_with_its_place_also_one_that_is_not_shown(
    odd: Odd, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(answering, "SHOW_TIMEOUT", 0.05)
    async with odd.v1() as (_, first):
        pass
    seqs = await odd.announce("before", what, "after")
    async with odd.v1(resume=first["resume"], cursors=first["cursors"]) as (one, welcome):
        assert welcome["replayed"] == 3
        [live] = await odd.announce("live")
        frames = [await one.receive() for _ in range(4)]
        assert [(frame["seq"], frame["group"]) for frame in frames] == [
            (seq, *OddChannel.groups) for seq in [*seqs, live]
        ]
        assert [frame["action"] for frame in frames] == ["said", "event_skipped", "said", "said"]
        assert [frame["payload"] for frame in frames] == ["before", None, "after", "live"]


async def test_an_event_handler_that_hangs_holds_up_no_close(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SHOW_TIMEOUT", 0.05)
    monkeypatch.setattr(send_queue, "FINISH_TIMEOUT", 0.0)
    async with serving_odd(settings.model_copy(update={"frame_burst": 5})) as odd, odd.v1() as (one, _):
        await odd.announce(*["hang"] * 3)
        async with asyncio.timeout(15):
            await Hung.begun.acquire()
        for _ in range(10):
            await one.send({"action": "ping"})
        with pytest.raises(ConnectionClosed) as closed:
            await one.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429


async def test_a_client_is_not_taken_for_slow_because_an_event_handler_is(settings: Settings) -> None:
    async with serving_odd(settings.model_copy(update={"send_timeout": 0.5})) as odd:
        async with odd.v1() as (_, first):
            pass
        await odd.announce("slow", "after")
        async with odd.v1(resume=first["resume"], cursors=first["cursors"]) as (one, welcome):
            assert welcome["replayed"] == 2
            assert [(await one.receive())["payload"] for _ in range(2)] == ["slow", "after"]


async def test_a_channel_that_fails_closes_with_1011_and_that_is_logged(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OddChannel, "failing", True)
    with structlog.testing.capture_logs() as logs, pytest.raises(ConnectionClosed) as closed:
        async with odd.v1():
            pass
    assert closed.value.rcvd == Close(1011, "the server failed; reconnect")
    ends = [(line["code"], line["reason"]) for line in logs if line["event"] == "connection closed"]
    assert ends == [(1011, "internal_error")]
    with pytest.raises(InvalidStatus) as refused:
        async with client(f"ws://127.0.0.1:{odd.port}/ws/odd"):
            pass
    assert refused.value.response.status_code == 500


async def test_a_channel_that_fails_at_a_newer_token_closes_with_1011(
    nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"auth": "jwt", "auth_secret": SHARED, "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
    settings = Settings.load(nats_url=nats.url, **asked)
    async with serving_odd(settings) as odd, odd.v1(token=token()) as (one, _):
        monkeypatch.setattr(OddChannel, "failing", True)
        await one.send({"action": "refresh_token", "payload": {"token": token()}})
        with pytest.raises(ConnectionClosed) as closed:
            await one.receive_until("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
