"""A WebSocket over HTTP/2 in cleartext, with prior knowledge (RFC 8441 and RFC 9113 section 3.3)."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import h2.settings

from testbed.raw import CLOSE, DEADLINE, TEXT, Frame, frame, frames

BLOCK = 16 * 1024
"""Most bytes of an HTTP/2 frame, unless the server allows more."""


class H2Peer:
    """One WebSocket, alone on its HTTP/2 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.close_code: int | None = None
        self.gone = False
        """Whether the server has ended the stream or the connection."""
        self._reader = reader
        self._writer = writer
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration())
        self._stream = 0
        self._buffer = bytearray()
        self._messages: deque[Frame] = deque()

    async def open(self, path: str, *headers: tuple[str, str]) -> None:
        """Wait until the server says that it knows extended CONNECT, then ask for a WebSocket."""
        connection = self._connection
        connection.initiate_connection()
        self._flush()
        while not connection.remote_settings.enable_connect_protocol:
            assert not self.gone, "the server has ended the connection"
            await self._take()
        self._stream = connection.get_next_available_stream_id()
        pseudo = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "http",
            ":authority": "localhost",
            ":path": path,
        }
        connection.send_headers(self._stream, [*pseudo.items(), ("sec-websocket-version", "13"), *headers])
        self._flush()
        while not (answers := [e for e in await self._take() if isinstance(e, h2.events.ResponseReceived)]):
            assert not self.gone, "the server has ended the connection"
        assert dict(answers[0].headers).get(b":status") == b"200", answers

    def send(self, message: Frame) -> None:
        self._connection.send_data(self._stream, frame(json.dumps(message)))
        self._flush()

    async def pour(self, begin: bytes, most: int) -> None:
        """Send a beginning and then so many bytes, or as many as the server takes before it ends the connection."""
        self._connection.send_data(self._stream, begin)
        while most > 0 and not self.gone:
            room = min(BLOCK, self._connection.local_flow_control_window(self._stream), most)
            if room > 0:
                self._connection.send_data(self._stream, bytes(room))
                most -= room
                self._flush()
            else:
                await self._take()

    async def receive(self, action: str | None = None) -> Frame:
        """The next message, or the next of this action."""
        while True:
            while not self._messages:
                assert not self.gone, f"the stream ended with {self.close_code}"
                await self._take()
            message = self._messages.popleft()
            if action is None or message["action"] == action:
                return message

    async def closed(self) -> int:
        """Wait for the close frame; its code."""
        while self.close_code is None:
            assert not self.gone, "the stream ended without a close frame"
            await self._take()
        return self.close_code

    async def _take(self) -> list[h2.events.Event]:
        async with asyncio.timeout(DEADLINE):
            data = await self._reader.read(65536)
        self.gone = self.gone or not data
        events = self._connection.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated):
                self.gone = True
            if isinstance(event, h2.events.DataReceived):
                self._connection.acknowledge_received_data(event.flow_controlled_length, self._stream)
                self._buffer += event.data
        for opcode, payload in frames(self._buffer):
            if opcode == TEXT:
                self._messages.append(json.loads(payload))
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2])
        self._flush()
        return events

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())


@asynccontextmanager
async def http2(port: int, *headers: tuple[str, str], path: str = "/ws/system") -> AsyncIterator[H2Peer]:
    """An open WebSocket over HTTP/2."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        peer = H2Peer(reader, writer)
        await peer.open(path, *headers)
        yield peer
    finally:
        writer.close()
        await writer.wait_closed()
