"""The wire: frames as wsproto makes them, one write a turn, in order, and only while data frames may be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from bus import Settings, SyncBus, SystemNotification
from quart_app.delivery.prepared import PreparedFrames, text_frame
from quart_app.websocket.frame_writer import ROOM, FrameWriter, Turn, frame_writer_of
from testbed.raw import DEADLINE, Peer, dial, frames, raw, raw_v1, segments_in, upgrade
from testbed.servers import Web
from testbed.system import System
from tests.in_process import serving


def of_size(size: int) -> st.SearchStrategy[str]:
    return st.text(max_size=8).map(lambda text: text + "x" * (size - len(text.encode())))


ANY_TEXT = st.text() | st.sampled_from([124, 125, 126, 127, 65535, 65536, 65537]).flatmap(of_size)


@given(ANY_TEXT)
@example("é" * 62 + "x")
@example("é" * 63)
@example("€" * 21845)
@example("x" * 65536)
def test_a_text_frame_is_what_wsproto_makes(text: str) -> None:
    assert text_frame(text) == Connection(ConnectionType.SERVER).send(TextMessage(data=text))


@given(st.lists(st.text(), max_size=5))
def test_frames_hold_every_text_in_order(texts: list[str]) -> None:
    prepared = PreparedFrames(*texts)
    assert prepared.texts == tuple(texts)
    assert [payload.decode() for _, payload in frames(bytearray(prepared.data))] == texts


class Recorder(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False
        self.left = 0
        """Bytes that the peer has not taken."""
        self.on_write: Callable[[], object] = bool

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self.on_write()

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.left


class Bench:
    """Wires of one turn, each with the transport at its end."""

    def __init__(self) -> None:
        self._turn = Turn()
        self._writers: list[asyncio.StreamWriter] = []

    def wire(self, *, is_open: bool = True) -> tuple[FrameWriter, Recorder]:
        recorder, loop = Recorder(), asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), loop=loop)
        self._writers.append(asyncio.StreamWriter(recorder, protocol, None, loop))
        wire = FrameWriter(self._writers[-1], self._turn)
        wire.open = is_open
        return wire, recorder

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


async def test_what_is_corked_in_one_turn_leaves_in_one_write(bench: Bench) -> None:
    wire, end = bench.wire()
    assert all(wire.cork(b"%d" % number) for number in range(10))
    assert end.written == []
    await asyncio.sleep(0)
    assert end.written == [b"0123456789"]
    assert wire.cork(b"next turn")
    await asyncio.sleep(0)
    assert end.written == [b"0123456789", b"next turn"]


async def test_what_is_offered_leaves_at_once_with_what_is_corked_before_it(bench: Bench) -> None:
    wire, end = bench.wire()
    assert wire.offer(b"one")
    assert end.written == [b"one"]
    assert wire.cork(b"two")
    assert wire.offer(b"three")
    await asyncio.sleep(0)
    assert end.written == [b"one", b"twothree"]


@pytest.mark.parametrize("how", ["flush", "write"])
async def test_what_is_corked_is_written_once_and_first(bench: Bench, how: str) -> None:
    wire, end = bench.wire()
    wire.cork(b"one")
    wire.flush() if how == "flush" else wire.write(b"two")
    assert end.written == [b"one"] if how == "flush" else [b"one", b"two"]
    written = list(end.written)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert end.written == written


async def test_nothing_is_taken_while_the_peer_has_not_taken_everything(bench: Bench) -> None:
    wire, end = bench.wire()
    end.left = 1
    assert not wire.offer(b"x")
    assert not wire.cork(b"x")
    wire.write(b"a writer that waits may")
    end.left = 0
    assert wire.offer(b"y")
    assert end.written == [b"a writer that waits may", b"y"]


async def test_a_turn_has_room_for_so_much_and_no_more(bench: Bench) -> None:
    wire, end = bench.wire()
    taken = 0
    while wire.cork(b"x" * 1000):
        taken += 1000
        assert taken <= ROOM + 1000
    wire.flush()
    assert sum(map(len, end.written)) == taken
    assert wire.cork(b"x")


@pytest.mark.parametrize("how", ["no data frames may be sent", "the transport is closing"])
async def test_on_a_closed_socket_nothing_happens(bench: Bench, how: str) -> None:
    wire, end = bench.wire(is_open=how == "the transport is closing")
    end.closing = how == "the transport is closing"
    assert wire.offer(b"late")
    assert wire.cork(b"late")
    await asyncio.sleep(0)
    wire.write(b"late")
    assert end.written == []


async def test_wires_of_one_turn_are_written_in_the_order_in_which_they_were_used(bench: Bench) -> None:
    wires = [bench.wire() for _ in range(3)]
    order: list[int] = []
    for number, (wire, end) in enumerate(wires):
        end.on_write = partial(order.append, number)
        wire.cork(b"x")
        wire.cork(b"y")
    await asyncio.sleep(0)
    assert order == [0, 1, 2]


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {}}, {"extensions": {"other": {}}}])
def test_a_scope_without_the_extension_has_no_wire(scope: dict[str, Any]) -> None:
    assert frame_writer_of(scope) is None


# From here on with a real Hypercorn and real sockets.


def app(script: Any) -> Any:
    """An ASGI app whose WebSockets run a script: a coroutine function of the wire, `receive` and `send`."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await script(frame_writer_of(scope), receive, send)

    return run


ACCEPT = {"type": "websocket.accept"}


def text(data: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": data}


async def texts(peer: Peer) -> list[str]:
    """Every message until the end."""
    return [message["text"] for message in await peer.rest()]


def note(words: str) -> str:
    return f'{{"text":"{words}"}}'


async def test_the_servers_own_messages_keep_their_place() -> None:
    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        wire.cork(text_frame(note("one")))
        await send(text(note("two")))
        wire.cork(text_frame(note("three")))
        wire.cork(text_frame(note("four")))
        await send(text(note("five")))
        wire.cork(text_frame(note("six")))
        await send({"type": "websocket.close", "code": 4000})

    async with serving(app(script), wired=True) as port, raw(port) as peer:
        assert await texts(peer) == ["one", "two", "three", "four", "five", "six"]
        assert peer.close_code == 4000


async def test_nothing_is_written_before_accept_nor_after_a_close_frame() -> None:
    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        wire.write(text_frame(note("too early")))
        wire.offer(text_frame(note("too early")))
        wire.cork(text_frame(note("too early")))
        wire.flush()
        await send(ACCEPT)
        wire.cork(text_frame(note("in time")))
        await send({"type": "websocket.close", "code": 4000})
        wire.write(text_frame(note("too late")))
        wire.offer(text_frame(note("too late")))
        wire.cork(text_frame(note("too late")))

    async with serving(app(script), wired=True) as port, raw(port) as peer:
        assert await texts(peer) == ["in time"]
        assert peer.close_code == 4000


async def test_nothing_is_written_after_a_refusal() -> None:
    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})
        wire.write(text_frame(note("too late")))
        wire.offer(text_frame(note("too late")))
        wire.cork(text_frame(note("too late")))

    async with serving(app(script), wired=True) as port:
        peer = await dial(port)
        assert peer.status == 403
        await peer.ended()
        assert peer.body == b""


async def test_nothing_is_written_after_the_peers_close_frame() -> None:
    closed = asyncio.Event()

    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        assert (await receive())["type"] == "websocket.disconnect"
        wire.write(text_frame(note("too late")))
        wire.offer(text_frame(note("too late")))
        wire.cork(text_frame(note("too late")))
        closed.set()

    async with serving(app(script), wired=True) as port, raw(port) as peer:
        peer.write(b"\x88\x82" + bytes(4) + (1000).to_bytes(2))
        async with asyncio.timeout(DEADLINE):
            await closed.wait()
        assert await texts(peer) == []
        assert peer.close_code == 1000


async def test_a_hundred_frames_of_one_turn_are_one_segment() -> None:
    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        for number in range(100):
            wire.cork(text_frame(note(str(number))))
        await receive()

    async with serving(app(script), wired=True) as port, raw(port) as peer:
        before = segments_in(peer)
        peer.send({})
        assert [(await peer.receive())["text"] for _ in range(100)] == [str(number) for number in range(100)]
        assert segments_in(peer) - before == 1


async def test_a_drain_waits_for_a_peer_that_reads_nothing_and_ends_with_it() -> None:
    ended = asyncio.get_running_loop().create_future()

    async def script(wire: FrameWriter, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        try:
            for _ in range(1000):
                wire.write(text_frame("x" * ROOM))
                await wire.drain()
            ended.set_result("the peer has taken everything")
        except ConnectionError:
            ended.set_result("the peer is gone")

    async with serving(app(script), wired=True) as port:
        async with raw(port) as peer:
            peer.stall()
            peer.send({})
            await arrived(peer)
        async with asyncio.timeout(DEADLINE):
            assert await ended == "the peer is gone"


async def arrived(peer: Peer) -> None:
    """Wait until something has come that nobody has read."""
    before = segments_in(peer)
    async with asyncio.timeout(DEADLINE):
        while segments_in(peer) == before:
            await asyncio.sleep(0.01)


async def test_a_hundred_missed_events_arrive_in_a_handful_of_segments(system: System, web: Web) -> None:
    missed = 100
    async with raw_v1(web.port) as (_, welcome):
        pass

    def announce() -> list[int]:
        with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
            return [bus.broadcast_event(SystemNotification(payload=str(number)))[0] for number in range(missed)]

    seqs = await asyncio.to_thread(announce)
    async with raw(web.port, upgrade("Sec-WebSocket-Protocol: bus.v1")) as peer:
        before = segments_in(peer)
        asked = {"resume": welcome["resume"], "cursors": welcome["cursors"]}
        peer.send({"action": "connect", "payload": asked})
        assert (await peer.receive())["payload"]["replayed"] == missed
        assert [(await peer.receive())["seq"] for _ in range(missed)] == seqs
        assert segments_in(peer) - before <= 5
