"""What closes a WebSocket from the server's side: frames that RFC 6455 does not know, and too many of any kind."""

from __future__ import annotations

import asyncio
import struct

import pytest

from testbed.raw import BINARY, CLOSE, DEADLINE, PING, PONG, TEXT, Peer, dial, frame, raw, raw_v1, upgrade
from testbed.servers import Web
from testbed.system import System
from tests.quart_app.test_metrics import counted

CONTINUATION = 0x0
BURST = 100
READ = 64 * 1024


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(struct.pack("!H", code) + reason, CLOSE)


UNMASKED = b"\x81\x05plain"
BROKEN = {
    "no mask": UNMASKED,
    "first reserved bit": b"\xc1" + frame("x")[1:],
    "second reserved bit": b"\xa1" + frame("x")[1:],
    "unknown opcode": frame("x", 0x3),
    "unknown control opcode": frame("", 0xB),
    "fragmented ping": frame("", PING, final=False),
    "ping of 126 bytes": frame(b"x" * 126, PING),
    "continuation of nothing": frame("x", CONTINUATION),
    "message within a message": frame("x", TEXT, final=False) + frame("x", TEXT),
    "length in more bytes than needed": b"\x81\xfe\x00\x01" + bytes(4) + b"x",
    "close code of one byte": frame(b"\x03", CLOSE),
    "close code below 1000": close(999),
    "close code that must not be sent": close(1005),
    "close code that nobody has assigned": close(2999),
    "close code above 4999": close(5000),
}
NO_TEXT = {
    "text": frame(b"\xff\xfe"),
    "text over fragments": frame(b"\xe2", final=False) + frame(b"\x28\xa1", CONTINUATION),
    "text that ends in a character": frame(b"\xe2\x82"),
    "surrogate": frame(b"\xed\xa0\x80"),
    "reason of a close": close(1000, b"\xff"),
}


@pytest.fixture(scope="module")
def strict(system: System) -> Web:
    return system.web(BUS_FRAME_BURST=str(BURST), BUS_FRAME_RATE="0.001", BUS_MAX_FRAME_BYTES="1000")


async def reason(peer: Peer) -> tuple[int, str]:
    """The code and the reason of the close frame."""
    async with asyncio.timeout(DEADLINE):
        while peer.close_code is None:
            assert not peer.gone, "the connection ended without a close frame"
            await asyncio.sleep(0.005)
    [payload] = [payload for opcode, payload in peer.control if opcode == CLOSE]
    return int.from_bytes(payload[:2]), payload[2:].decode()


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_a_frame_that_breaks_the_protocol_is_answered_with_1002(strict: Web, sent: bytes) -> None:
    async with raw(strict.port, mute=True) as peer:
        peer.write(sent)
        code, text = await reason(peer)
        assert code == 1002
        assert text.startswith("the frame breaks the WebSocket protocol: ")


@pytest.mark.parametrize("sent", NO_TEXT.values(), ids=NO_TEXT)
async def test_text_that_is_not_utf_8_is_answered_with_1007(strict: Web, sent: bytes) -> None:
    async with raw(strict.port, mute=True) as peer:
        peer.write(sent)
        assert await reason(peer) == (1007, "the data is not what its frame says; text must be UTF-8")


@pytest.mark.parametrize(
    "sent",
    [
        frame("x" * 2000),
        frame("x" * 900, final=False) + frame("x" * 900, CONTINUATION, final=False),
        frame(b"x" * 100, BINARY, final=False) + frame(b"x" * 100, CONTINUATION, final=False) * 10,
        frame(b"x" * 2000, BINARY, declared=2**62),
        frame("é" * 600),
    ],
    ids=["one frame", "two fragments", "many fragments", "a beginning", "characters of two bytes"],
)
async def test_a_message_too_big_is_answered_with_1009_and_why(strict: Web, sent: bytes) -> None:
    async with raw(strict.port, mute=True) as peer:
        peer.write(sent)
        assert await reason(peer) == (1009, "the message is too big")


async def test_the_connection_is_ended_soon_after_the_close_frame_whatever_the_peer_does(strict: Web) -> None:
    async with raw(strict.port, mute=True) as silent, raw(strict.port, mute=True) as stubborn:
        for peer in (silent, stubborn):
            peer.write(UNMASKED)
        while not stubborn.gone:
            stubborn.write(bytes(READ))
            await asyncio.sleep(0.01)
        assert (await silent.ended(), stubborn.close_code) == (1002, 1002)


async def test_what_came_before_a_broken_frame_is_answered_and_the_close_is_counted_once(strict: Web) -> None:
    before = await asyncio.to_thread(counted, strict)
    async with raw(strict.port) as peer:
        await peer.ping()
        peer.write(frame(b"hello", PING) + UNMASKED + frame(b"too late", PING))
        assert (await reason(peer))[0] == 1002
        assert peer.control[0] == (PONG, b"hello")
        assert len(peer.control) == 2
    after = await asyncio.to_thread(counted, strict)
    closed = "busctl_closed_total 1002 protocol_error"
    assert after[closed] - before.get(closed, 0) == 1


FLOODS = {
    "pings": (b"", frame(b"", PING)),
    "pongs": (b"", frame(b"", PONG)),
    "empty fragments": (frame("", final=False), frame("", CONTINUATION, final=False)),
    "fragments of a byte": (frame("x", final=False), frame("x", CONTINUATION, final=False)),
    "empty texts": (b"", frame("")),
    "texts of a byte": (b"", frame("x")),
    "empty binaries": (b"", frame(b"", BINARY)),
    "a message and a ping in turn": (b"", frame("x") + frame(b"", PING)),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_every_frame_counts_and_too_many_are_answered_with_4429(strict: Web, flood: tuple[bytes, bytes]) -> None:
    begin, unit = flood
    async with raw(strict.port) as bystander, raw(strict.port, mute=True) as wild:
        wild.write(begin + unit * (READ // len(unit)))
        await bystander.ping()
        assert await reason(wild) == (4429, "too many frames; send fewer and reconnect")
        assert sum(opcode == PONG for opcode, _ in wild.control) <= BURST
        await bystander.ping()


async def test_frames_count_before_a_client_has_said_who_it_is(strict: Web) -> None:
    async with raw(strict.port, upgrade("Sec-WebSocket-Protocol: bus.v1"), mute=True) as wild:
        wild.write(frame(b"", PING) * 1000)
        assert (await reason(wild))[0] == 4429


async def test_a_burst_of_all_kinds_is_allowed(strict: Web) -> None:
    async with raw_v1(strict.port) as (peer, _):
        third = BURST // 3 - 1
        peer.write(frame(b"p", PING) * third + frame(b"", PONG) * third)
        for _ in range(third):
            await peer.ping()
        assert sum(opcode == PONG for opcode, _ in peer.control) == third
        assert not peer.gone


async def test_frames_that_come_with_the_handshake_are_answered_after_it(strict: Web) -> None:
    before = await asyncio.to_thread(counted, strict)
    for _ in range(5):
        peer = await dial(strict.port, upgrade() + frame('{"action":"ping"}'))
        assert peer.status == 101
        await peer.receive("pong")
        peer.transport.abort()
    refused = await dial(strict.port, upgrade("Origin: https://evil.example") + frame('{"action":"ping"}') * 100)
    assert refused.status == 403
    refused.transport.abort()
    async with asyncio.timeout(DEADLINE):
        while (await asyncio.to_thread(counted, strict))["busctl_connections"] > before["busctl_connections"]:
            await asyncio.sleep(0.05)


async def test_a_peer_that_has_reset_the_connection_is_not_written_to(strict: Web, system: System) -> None:
    web = await asyncio.to_thread(system.web, BUS_FRAME_BURST="1000000")
    async with raw(web.port) as bystander:
        for _ in range(3):
            async with raw(web.port) as rude:
                rude.write(frame(b"", PING) * (5 * READ // 6))
                await bystander.ping()
        await bystander.ping()
    assert await asyncio.to_thread(web.stop) == 0
    assert "raised exception" not in web.output()
    assert "Traceback" not in web.output()
    assert web.output().count("\n") < 20
