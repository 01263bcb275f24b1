"""Network: TCP links between the hosts of a test, each of which can be cut in either direction or in both.

A direction that is cut is silent, as when a cable is: what is sent waits, nobody is told of an end, and who connects
gets no answer. What waits arrives when it is mended, unless its sender has given up.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import TypeVar

from testbed.ports import free_port

CHUNK = 64 * 1024

T = TypeVar("T")


class Network:
    """Passes on what hosts say to each other, on a thread of its own, until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open: dict[tuple[str, str], asyncio.Event] = {}
        """By who speaks and who hears."""
        self._listening: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def link(self, source: str, target: str, *, listen: str, to: tuple[str, int]) -> int:
        """The way from one host to a server of another.

        Args:
            source, target: names of the hosts.
            listen: address on which the source finds it.
            to: where the server is.

        Returns:
            The port.
        """
        port = free_port()

        async def begin() -> None:
            forth, back = self._direction(source, target), self._direction(target, source)

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(_pass_on(reader, writer, to, forth, back))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)

            self._listening.append(await asyncio.start_server(serve, listen, port))

        self._run(begin())
        return port

    def cut(self, source: str, target: str) -> None:
        """From now on the target does not hear the source; the other way round it may."""
        self._loop.call_soon_threadsafe(lambda: self._direction(source, target).clear())

    def isolate(self, host: str, others: Iterable[str]) -> None:
        """Cut a host off these others, in both directions."""
        for other in others:
            self.cut(host, other)
            self.cut(other, host)

    def mend(self) -> None:
        """Everybody hears everybody."""

        def open_all() -> None:
            for each in self._open.values():
                each.set()

        self._loop.call_soon_threadsafe(open_all)

    def close(self) -> None:
        """End every connection and the thread. Safe to call twice."""
        if not self._thread.is_alive():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._listening:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _direction(self, source: str, target: str) -> asyncio.Event:
        if (source, target) not in self._open:
            self._open[source, target] = asyncio.Event()
            self._open[source, target].set()
        return self._open[source, target]

    def _run(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to: tuple[str, int],
    forth: asyncio.Event,
    back: asyncio.Event,
) -> None:
    """One connection, from the moment at which it was accepted."""
    writers = [writer]
    try:
        await forth.wait()
        await back.wait()
        with suppress(OSError):
            their_reader, their_writer = await asyncio.open_connection(*to)
            writers.append(their_writer)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_direct(reader, their_writer, forth, back))
                directions.create_task(_direct(their_reader, writer, back, forth))
    finally:
        for each in writers:
            each.transport.abort()


async def _direct(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event, answered: asyncio.Event
) -> None:
    with suppress(OSError):
        while True:
            await heard.wait()
            data = await reader.read(CHUNK)
            await heard.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    # One end is gone without a word; the other end hears of it over the way that is left.
    await heard.wait()
    await answered.wait()
    writer.transport.abort()
