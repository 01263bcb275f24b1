"""A reader of Server-Sent Events for tests, over HTTP/1.1 by hand."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from quart_app.http.openapi import build
from testbed.raw import SMALL_SEGMENT, SMALL_WINDOW
from testbed.servers import Web

DEADLINE = 30.0


class Listening(Protocol):
    """What listens on this machine."""

    port: int


@dataclass
class Record:
    """What stands between two blank lines."""

    event: str = ""
    id: str = ""
    data: Any = None
    retry: int | None = None


class Reader:
    """One response; every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id = ""
        """What a browser would send as Last-Event-ID."""
        self._reader = reader
        self._text = b""

    async def begin(self) -> None:
        async with asyncio.timeout(DEADLINE):
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def cookie(self) -> str:
        """What a browser sends back."""
        return self.headers["set-cookie"].partition(";")[0]

    async def record(self) -> Record | None:
        """The next record that is no comment; None at the end of the response, orderly or not."""
        while True:
            while b"\n\n" not in self._text:
                if not await self._chunk():
                    return None
            block, _, self._text = self._text.partition(b"\n\n")
            record = Record()
            for line in block.decode().split("\n"):
                name, _, value = line.partition(": ")
                if name == "data":
                    record.data = json.loads(value)
                elif name == "retry":
                    record.retry = int(value)
                elif name:
                    setattr(record, name, value)
            if record != Record():
                self.last_id = record.id or self.last_id
                return record

    async def until(self, event: str) -> list[Record]:
        """Every record up to and including the first of that event."""
        records: list[Record] = []
        while not records or records[-1].event != event:
            record = await self.record()
            assert record is not None, f"the stream ended before {event}, after {records}"
            records.append(record)
        return records

    async def _chunk(self) -> bool:
        if "content-length" in self.headers:
            self._text += (more := await self._reader.read(int(self.headers["content-length"])))
            return bool(more)
        try:
            async with asyncio.timeout(DEADLINE):
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                self._text += (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return size > 0


@asynccontextmanager
async def reading(
    web: Listening, query: str = "", *, slowly: bool = False, tls: ssl.SSLContext | None = None, **headers: str
) -> AsyncIterator[Reader]:
    """Read events.

    Args:
        web: a web process, or what stands before it.
        query: begins with its question mark.
        slowly: leave little room to the server's kernel, and none beyond what is asked for.
        tls: with which to ask.
        headers: with _ in place of -.
    """
    sock = socket.socket()
    sock.setblocking(False)
    if slowly:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", web.port))
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=tls, server_hostname="127.0.0.1" if tls else None, limit=4096 if slowly else 2**16
    )
    try:
        lines = [f"GET /api/events{query} HTTP/1.1", f"Host: 127.0.0.1:{web.port}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        opened = Reader(reader, writer)
        await opened.begin()
        yield opened
    finally:
        writer.transport.abort()


class Follower:
    """A browser's EventSource: a cookie and the last id.

    It checks that nothing comes twice or out of order, and that whenever it comes back nothing was lost.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        """The frames of all that was stored."""
        self.closed: Any = None
        """Why the last stream ended, if the server said so."""
        self.client_id = ""
        self.headers: dict[str, str] = {}
        self._seen: dict[str, int] = {}

    @asynccontextmanager
    async def reading(self, web: Web, query: str = "") -> AsyncIterator[Reader]:
        """Come, or come back."""
        async with reading(web, query, **self.headers) as reader:
            self.headers["Cookie"] = reader.cookie
            [welcome] = await reader.until("welcome")
            assert welcome.retry is not None
            assert welcome.data["payload"]["recovered"] is True
            self.client_id = welcome.data["payload"]["client_id"]
            self.headers["Last-Event-ID"] = reader.last_id
            yield reader

    async def see_until(self, reader: Reader, action: str, count: int) -> None:
        """Take events until so many of that action were seen, over all connections."""
        while sum(event["action"] == action for event in self.events) < count:
            await self.see(reader, action)

    async def see(self, reader: Reader, last: str | None = None) -> None:
        """Take events up to the next of this kind, or all there are."""
        while (record := await reader.record()) is not None:
            self.headers["Last-Event-ID"] = reader.last_id
            if record.event == "close":
                self.closed = record.data["payload"]
            elif (seq := record.data.get("seq")) is not None:
                scope = record.data.get("group", "client")
                assert seq > self._seen.get(scope, 0), "an event came twice or out of order"
                self._seen[scope] = seq
                self.events.append(record.data)
            if record.event == last:
                return
        assert last is None, f"the stream ended before {last}"


@dataclass(frozen=True)
class Answer:
    """Of a request."""

    status: int
    headers: Mapping[str, str]
    body: Any


DOCUMENTED = {
    (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + r"(\?.*)?")): set(operation["responses"])
    for path, methods in build({})["paths"].items()
    for method, operation in methods.items()
}
"""The statuses that the OpenAPI document has, by method and path."""


async def ask(web: Listening, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Ask the API something; a body that is no bytes goes as JSON. The answer's status is one that is documented."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    try:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {"Host": f"127.0.0.1:{web.port}", "Connection": "close", "Content-Length": str(len(data))} | kind
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + data)
        async with asyncio.timeout(DEADLINE):
            head, _, text = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    first, *rest = head.decode().split("\r\n")
    told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    is_json = told.get("content-type") == "application/json"
    status = first.split()[1]
    for (documented, pattern), statuses in DOCUMENTED.items():
        assert documented != method.lower() or not pattern.fullmatch(path) or status in statuses, (method, path, status)
    return Answer(int(status), told, json.loads(text) if is_json else text)
