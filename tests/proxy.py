"""A TCP proxy in front of a server, which can say things in its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on in both directions."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.accepted = 0
        """How many connections there have been."""
        self._target = port
        self._clients: set[asyncio.StreamWriter] = set()
        self._swallowed: set[asyncio.StreamWriter] = set()

    async def say(self, words: bytes, *, close: bool) -> None:
        """Send words to every client, between what the server says; then perhaps close its connection."""
        for writer in list(self._clients):
            with suppress(ConnectionError):
                writer.write(words)
                await writer.drain()
                if close:
                    writer.close()

    def swallow(self) -> None:
        """Pass nothing on any more of the connections that there are: they look open, and nobody is there."""
        self._swallowed |= self._clients

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one client and the server say."""
        self.accepted += 1
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._clients.add(writer)
        try:
            done, left = await asyncio.wait(
                [
                    asyncio.create_task(self._pass(reader, their_writer, of=writer)),
                    asyncio.create_task(self._pass(their_reader, writer, of=writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in left:
                task.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        finally:
            self._clients.discard(writer)
            self._swallowed.discard(writer)
            for each in (writer, their_writer):
                each.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, of: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if of not in self._swallowed:
                    writer.write(data)
                    await writer.drain()


@asynccontextmanager
async def proxy_of(port: int) -> AsyncIterator[Proxy]:
    """A proxy of a local port, until the end of the block."""
    proxy = Proxy(port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        await proxy.say(b"", close=True)
