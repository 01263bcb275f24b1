"""WebSockets by hand: cheap enough for thousands, and free to do what no library would."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

Frame = dict[str, Any]

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
DEADLINE = 60.0
"""Seconds within which anything happens, on a machine that is busy with other things."""
SMALL_WINDOW = 4096
SMALL_SEGMENT = 1000
"""A peer with this window and segment size leaves the server's kernel little room: about 100 KB."""


def upgrade(*headers: str, path: str = "/ws/system") -> bytes:
    """The request that opens a WebSocket (RFC 6455 section 4.1)."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(payload: str | bytes, opcode: int = TEXT, *, final: bool = True, declared: int | None = None) -> bytes:
    """A frame as clients send it, masked with zeros (RFC 6455 section 5.2).

    Args:
        declared: the length that the header names, when it is not the payload's.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if declared is None else declared
    first = opcode | (0x80 if final else 0)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + data


def frames(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take the whole frames, opcode and payload, off the front of what a server sent. It must not fragment them."""
    found = []
    begin = 0
    while len(buffer) - begin >= 2:
        size, head = buffer[begin + 1], 2
        if size == 126:
            head = 4
        elif size == 127:
            head = 10
        if len(buffer) - begin < head:
            break
        if head > 2:
            size = int.from_bytes(buffer[begin + 2 : begin + head])
        end = begin + head + size
        if len(buffer) < end:
            break
        assert buffer[begin] & 0xF0 == 0x80, "a fragment, or a reserved bit"
        found.append((buffer[begin] & 0x0F, bytes(buffer[begin + head : end])))
        begin = end
    del buffer[:begin]
    return found


class Peer(asyncio.Protocol):
    """One connection. By itself it answers pings and close frames, unless it is mute."""

    def __init__(self, *, mute: bool = False) -> None:
        self.status = 0
        """Of the answer to the upgrade."""
        self.head = b""
        """That answer."""
        self.close_code: int | None = None
        """Of the close frame that came, if one did."""
        self.control: list[tuple[int, bytes]] = []
        """Pongs and close frames that came."""
        self.pings = 0
        """How many pings came."""
        self.transport: asyncio.Transport
        self._mute = mute
        self._buffer = bytearray()
        self._answered = asyncio.get_running_loop().create_future()
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.status:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            self.head = bytes(self._buffer[:end])
            del self._buffer[:end]
            self.status = int(self.head.split()[1])
            if not self._answered.done():
                self._answered.set_result(None)
        if self.status != 101:
            return
        for opcode, payload in frames(self._buffer):
            if opcode == TEXT:
                self._messages.put_nowait(payload)
            elif opcode == PING:
                self.pings += 1
                if not self._mute:
                    self.transport.write(frame(payload, PONG))
            elif opcode in (CLOSE, PONG):
                self.control.append((opcode, payload))
                if opcode == CLOSE:
                    self.close_code = int.from_bytes(payload[:2])
                    if not self._mute:
                        self.transport.write(frame(payload, CLOSE))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_result(None)
        self._messages.put_nowait(None)
        self._gone.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def body(self) -> bytes:
        """What came after the answer's head, when that was a refusal."""
        return bytes(self._buffer)

    @property
    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self._gone.is_set()

    def stall(self) -> None:
        """Read no more."""
        self.transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        self.transport.resume_reading()

    def sip(self, size: int = 8192) -> None:
        """Take a little of what has come, while stalled."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        with suppress(BlockingIOError), socket.socket(fileno=os.dup(sock.fileno())) as twin:
            self.data_received(twin.recv(size))

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the server's side has taken most of what was sent."""
        await self._writable.wait()

    def send(self, message: Frame) -> None:
        """Send a message."""
        self.write(frame(json.dumps(message)))

    async def message(self) -> Frame | None:
        """The next text message; None when the connection has ended and no more come."""
        async with asyncio.timeout(DEADLINE):
            data = await self._messages.get()
        if data is None:
            self._messages.put_nowait(None)
            return None
        message: Frame = json.loads(data)
        return message

    async def receive(self, action: str | None = None) -> Frame:
        """The next text message, or the next of this action."""
        while (message := await self.message()) is not None:
            if action is None or message["action"] == action:
                return message
        raise AssertionError(f"the connection ended with {self.close_code} before {action or 'a message'} came")

    async def rest(self) -> list[Frame]:
        """Every message until the connection ends."""
        messages = []
        while (message := await self.message()) is not None:
            messages.append(message)
        return messages

    async def ping(self) -> None:
        """Have a ping of the application answered, passing over what comes before."""
        self.send({"action": "ping"})
        await self.receive("pong")

    async def answered(self) -> None:
        """Wait for the answer to the upgrade, or the end."""
        async with asyncio.timeout(DEADLINE):
            await self._answered

    async def ended(self) -> int | None:
        """Wait until the server has ended the connection; the close code."""
        async with asyncio.timeout(DEADLINE):
            await self._gone.wait()
        return self.close_code


async def dial(port: int, request: bytes = b"", *, mute: bool = False, window: int = 0, segment: int = 0) -> Peer:
    """Connect to a local port and ask for a WebSocket; how it was answered is in `status`, 0 for not at all.

    Args:
        request: instead of the usual one.
        window: bytes that this side's kernel takes before anybody reads; 0 for as many as usual.
        segment: most bytes of a TCP segment to this side; a small one makes the server's kernel buffer less.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    try:
        sock.setblocking(False)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if segment:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        async with asyncio.timeout(DEADLINE):
            await loop.sock_connect(sock, ("127.0.0.1", port))
            _, peer = await loop.create_connection(lambda: Peer(mute=mute), sock=sock)
    except BaseException:
        sock.close()
        raise
    peer.write(request or upgrade())
    await peer.answered()
    return peer


@asynccontextmanager
async def raw(port: int, request: bytes = b"", **options: Any) -> AsyncIterator[Peer]:
    """An open WebSocket, cut at the end of the block."""
    peer = await dial(port, request, **options)
    try:
        assert peer.status == 101, peer.head
        yield peer
    finally:
        peer.transport.abort()
        await peer.ended()


@asynccontextmanager
async def raw_v1(port: int, **options: Any) -> AsyncIterator[tuple[Peer, Frame]]:
    """A welcomed bus.v1 connection, and the payload of its welcome.

    Args:
        options: of the `connect` frame's payload: `resume`, `cursors`; others are those of `dial`.
    """
    asked = {name: options.pop(name) for name in ("resume", "cursors") if name in options}
    async with raw(port, upgrade("Sec-WebSocket-Protocol: bus.v1"), **options) as peer:
        peer.send({"action": "connect", "payload": asked})
        welcome = await peer.receive()
        assert welcome["action"] == "welcome", welcome
        yield peer, welcome["payload"]


def segments_in(peer: Peer) -> int:
    """Data segments that this side has got so far (Linux, `tcpi_data_segs_in` of struct tcp_info)."""
    sock: socket.socket = peer.transport.get_extra_info("socket")
    information = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    count: int = struct.unpack_from("I", information, 152)[0]
    return count
