"""A network between one client and its server, which can fail in every way that networks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass(eq=False)
class Wire:
    """One connection: the client's end and the server's, and what it still carries.

    Args:
        left: bytes that still reach the client; None for as many as there are.
    """

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    to_client: bool = True
    to_server: bool = True
    left: int | None = None

    def carried(self, data: bytes, *, to_server: bool) -> bytes:
        """What of it arrives."""
        if not (self.to_server if to_server else self.to_client):
            return b""
        if to_server or self.left is None:
            return data
        arrives = data[: self.left]
        self.left -= len(arrives)
        return arrives


class Network:
    """Passes bytes on in both directions."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.away = False
        """Whether nobody can connect."""
        self.carries: int | None = None
        """Bytes that reach the client on the next connection; None for as many as there are."""
        self._target = port
        self._wires: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def drop(self) -> None:
        """Every connection breaks."""
        for wire in self._wires:
            wire.client.transport.abort()
            wire.server.transport.abort()

    def swallow(self) -> None:
        """What is sent on the connections that there are arrives nowhere, in both directions; they look open."""
        for wire in self._wires:
            wire.to_client = wire.to_server = False

    def deafen(self) -> None:
        """The same for what the server sends."""
        for wire in self._wires:
            wire.to_client = False

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client's connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Break everything, and wait until it is over."""
        self.away = True
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        if self.away:
            writer.transport.abort()
            their_writer.transport.abort()
            return
        wire = Wire(writer, their_writer, left=self.carries)
        self.carries = None
        self._wires.add(wire)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, wire, to_server=True))
                group.create_task(self._pass(their_reader, wire, to_server=False))
        finally:
            self._wires.discard(wire)
            writer.close()
            their_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, wire: Wire, *, to_server: bool) -> None:
        to = wire.server if to_server else wire.client
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                to.write(wire.carried(data, to_server=to_server))
                await to.drain()
        to.close()


@asynccontextmanager
async def network(port: int) -> AsyncIterator[Network]:
    """A network to a local port, until the end of the block."""
    made = Network(port)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            await made.stop()
