"""Hostile clients in a process of their own: `python testbed/flood.py PORT KIND SOCKETS SECONDS [CAFILE]`.

So many sockets send one kind of nonsense as fast as they can, each connecting again when it is cut off, for so many
seconds. Then how often each close code came is printed as JSON (`null` is an end without one).
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import sys
from collections import Counter
from contextlib import suppress

from testbed.raw import BINARY, PING, PONG, TEXT, frame, frames, upgrade

BLOCK = 64 * 1024


def times(unit: bytes) -> bytes:
    """About 64 KiB of the same."""
    return unit * (BLOCK // len(unit))


GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
BODY = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
H2_BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + bytes(5)
OPEN = frame("", TEXT, final=False)

WEBSOCKETS: dict[str, tuple[bytes, bytes]] = {
    "pings": (b"", times(frame(b"", PING))),
    "full pings": (b"", times(frame(b"x" * 125, PING))),
    "pongs": (b"", times(frame(b"", PONG))),
    "empty continuations": (OPEN, times(frame(b"", 0, final=False))),
    "tiny fragments": (OPEN, times(frame(b"x", 0, final=False))),
    "empty texts": (b"", times(frame("", TEXT))),
    "one-byte texts": (b"", times(frame("x", TEXT))),
    "empty binaries": (b"", times(frame(b"", BINARY))),
    "endless frame": (frame(b"", BINARY, declared=2**62), bytes(BLOCK)),
    "not masked": (b"", times(b"\x89\x00")),
}
"""By kind, what is sent once on an open WebSocket, and what for ever after it."""
HTTP: dict[str, tuple[bytes, bytes]] = {
    "garbage": (b"", b"\xff" * BLOCK),
    "pipelined requests": (b"", times(GET)),
    "endless head": (HEAD + b"X: ", b"x" * BLOCK),
    "many headers": (HEAD, times(b"a:b\r\n")),
    "tiny chunks": (BODY, times(b"1\r\nx\r\n")),
    "HTTP/2 pings": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        times(b"\0\0\x08\6\0\0\0\0\0" + bytes(8)),
    ),
}
"""The same without a WebSocket."""
RESET = "pings and a reset"
DRIP = "a frame byte by byte"
IDLE = "idle"
KINDS = (*WEBSOCKETS, *HTTP, RESET, DRIP, IDLE)
ALL = "all"
"""Each socket another kind."""


async def connect(port: int, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return reader, writer


async def close_code(reader: asyncio.StreamReader) -> int | None:
    """Read to the end; the code of the close frame that came."""
    buffer = bytearray()
    while data := await reader.read(BLOCK):
        buffer += data
        for opcode, payload in frames(buffer):
            if opcode == 0x8:
                return int.from_bytes(payload[:2])
    return None


async def send(writer: asyncio.StreamWriter, kind: str) -> None:
    """Send one kind of nonsense until the connection is cut."""
    if kind == IDLE:
        await asyncio.sleep(3600)
    if kind == RESET:
        writer.write(WEBSOCKETS["pings"][1] * 5)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.1)
        writer.transport.abort()
        return
    if kind == DRIP:
        writer.write(frame(b"", BINARY, declared=60_000))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0)
    begin, block = (WEBSOCKETS | HTTP)[kind]
    writer.write(begin)
    while True:
        writer.write(block)
        await writer.drain()
        await asyncio.sleep(0)


async def attack(port: int, kind: str, context: ssl.SSLContext | None) -> int | None:
    """One connection from its beginning to its end; its close code."""
    reader, writer = await connect(port, context)
    sending: asyncio.Task[None] | None = None
    try:
        if kind not in HTTP and kind != IDLE:
            writer.write(upgrade())
            await reader.readuntil(b"\r\n\r\n")
        sending = asyncio.create_task(send(writer, kind))
        return await close_code(reader)
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.wait({sending})
            if not sending.cancelled():
                sending.exception()
        writer.transport.abort()


async def main(port: int, kind: str, sockets: int, seconds: float, cafile: str | None = None) -> None:
    """Attack, then say how it went."""
    codes: Counter[str] = Counter()
    context = ssl.create_default_context(cafile=cafile) if cafile else None

    async def again_and_again(kind: str) -> None:
        while True:
            code: int | None = None
            with suppress(OSError, asyncio.IncompleteReadError, AssertionError):
                code = await attack(port, kind, context)
            codes[str(code)] += 1
            await asyncio.sleep(0)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(sockets):
                group.create_task(again_and_again(KINDS[number % len(KINDS)] if kind == ALL else kind))
    print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    port, kind, sockets, seconds, *rest = sys.argv[1:]
    asyncio.run(main(int(port), kind, int(sockets), float(seconds), *rest))
