"""Visit: one WebSocket from its handshake to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from busctl_client.close_codes import ABNORMAL, FINAL, FINAL_STATUS, TOO_BIG, UNAUTHORIZED
from busctl_client.events import Frame
from busctl_client.limits import Limits, Timings
from busctl_client.pace import Pace
from busctl_client.session import Session
from busctl_client.tokens import Tokens

log = logging.getLogger("busctl_client")

SUBPROTOCOL = Subprotocol("bus.v1")
LONGEST_AFTER = 3600.0
"""Most seconds that a server may ask a client to stay away for."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect.

    Args:
        url: `ws:` or `wss:`.
        headers: beside those of a WebSocket handshake.
        tls: how to verify the server; None as the system does.
    """

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class End:
    """How a visit ended.

    Args:
        code: the close code, or the HTTP status of a refused handshake.
        reason: what the server said, or what it means.
        final: whether connecting again by itself cannot help.
        welcomed: whether it got so far.
        after: seconds that the server asks to stay away for, an hour at most.
    """

    code: int
    reason: str
    final: bool = False
    welcomed: bool = False
    after: float = 0.0

    @property
    def unauthorized(self) -> bool:
        """Whether the token was not taken."""
        return self.code in (UNAUTHORIZED, 401)


class Host(Protocol):
    """What a visit needs of its client."""

    def welcomed(self, payload: Mapping[str, Any]) -> None:
        """The server has answered `connect`."""

    def connected(self) -> None:
        """What was missed has arrived."""

    def heard(self, frame: Frame) -> None:
        """A frame has arrived that is new."""

    async def next_request(self) -> Frame:
        """Wait for something to ask of the server."""

    async def ask_doubtful(self) -> None:
        """Learn how jobs stand whose history was cut."""


class Visit:
    """One WebSocket: greets, then passes on what comes and what is asked, until it is gone.

    Args:
        address: where to.
        session: who comes.
        tokens: proves it.
        timings: its deadlines.
        limits: its bounds.
        host: is told.
    """

    def __init__(
        self, address: Address, session: Session, tokens: Tokens, timings: Timings, limits: Limits, host: Host
    ) -> None:
        self._address = address
        self._session = session
        self._tokens = tokens
        self._timings = timings
        self._limits = limits
        self._host = host
        self._welcomed = False

    async def run(self) -> End:
        """Be connected for as long as that lasts; raises nothing but what cancels it, or the client's own faults."""
        try:
            token = await self._tokens.get()
        except Exception as error:
            log.warning("no token could be had: %r", error)
            return End(ABNORMAL, f"no token could be had: {error!r}")
        try:
            async with self._socket() as socket:
                await self._greet(socket, token)
                await self._serve(socket)
        except ConnectionClosed as error:
            return self._closed(error)
        except InvalidStatus as error:
            return _refused(error)
        except TimeoutError:
            return End(ABNORMAL, "the server did not answer in time", welcomed=self._welcomed)
        except (OSError, WebSocketException, EOFError) as error:
            return End(ABNORMAL, str(error) or repr(error), welcomed=self._welcomed)
        raise RuntimeError("a connection ended without a reason")

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[ClientConnection]:
        """An open WebSocket, closed within `Timings.close` at the end."""
        timings = self._timings
        options: dict[str, Any] = {} if self._address.tls is None else {"ssl": self._address.tls}
        socket = await _Opening(
            self._address.url,
            subprotocols=[SUBPROTOCOL],
            additional_headers=dict(self._address.headers),
            open_timeout=timings.open,
            ping_interval=timings.ping_after,
            ping_timeout=timings.pong_within,
            close_timeout=timings.close,
            max_size=self._limits.message_bytes,
            compression=None,
            **options,
        )
        try:
            yield socket
        finally:
            await socket.close()

    async def _greet(self, socket: ClientConnection, token: str | None) -> None:
        async with asyncio.timeout(self._timings.welcome):
            if socket.subprotocol != SUBPROTOCOL:
                await socket.close()
                raise InvalidHandshake("what answers there does not speak bus.v1")
            await socket.send(_text(self._session.connect(token)))
            while not self._welcomed:
                frame = _frame(await socket.recv())
                if frame is not None and frame["action"] == "welcome":
                    self._welcomed = True
                    self._host.welcomed(frame["payload"])
                elif frame is not None:
                    self._host.heard(frame)

    async def _serve(self, socket: ClientConnection) -> None:
        """Read and write until the connection is gone, which raises."""
        caught_up = asyncio.Event()
        refreshed: asyncio.Queue[Frame] = asyncio.Queue(1)
        tasks = [
            asyncio.create_task(each)
            for each in (
                self._read(socket, caught_up),
                self._write(socket, caught_up, self._host.next_request),
                self._write(socket, caught_up, refreshed.get),
                self._tokens.refresh(refreshed.put),
                _after(caught_up, self._host.ask_doubtful),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(self, socket: ClientConnection, caught_up: asyncio.Event) -> None:
        self._look(caught_up)
        while True:
            frame = _frame(await socket.recv())
            if frame is None:
                continue
            if frame["action"] == "resume_token":
                self._session.renew(frame["payload"]["resume"])
            elif self._session.is_new(frame):
                self._host.heard(frame)
            self._look(caught_up)

    def _look(self, caught_up: asyncio.Event) -> None:
        if not caught_up.is_set() and not self._session.replaying:
            self._host.connected()
            caught_up.set()

    async def _write(
        self, socket: ClientConnection, caught_up: asyncio.Event, frame: Callable[[], Awaitable[Frame]]
    ) -> None:
        await caught_up.wait()
        pace = Pace(self._limits.frame_rate, self._limits.frame_burst)
        while True:
            await pace.next()
            await socket.send(_text(await frame()))

    def _closed(self, error: ConnectionClosed) -> End:
        if error.rcvd is not None:
            code, reason = error.rcvd.code, error.rcvd.reason
            return End(code, reason or FINAL.get(code, ""), code in FINAL, self._welcomed)
        if error.sent is not None and error.sent.code == TOO_BIG:
            reason = f"a message from the server has more than {self._limits.message_bytes:,} bytes"
            return End(TOO_BIG, reason, final=True, welcomed=self._welcomed)
        reason = "the server did not answer a ping in time" if error.sent is not None else "the connection broke"
        return End(ABNORMAL, reason, welcomed=self._welcomed)


class _Opening(connect):
    """Follows no redirect: whoever it names would get the token."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """What a handshake ended with, as it is."""
        return exc


def _refused(error: InvalidStatus) -> End:
    """How a handshake that was answered with an HTTP status ended."""
    status = error.response.status_code
    locations = error.response.headers.get_all("Location")
    if 300 <= status < 400 and locations:
        # Not final: it may be a proxy that shows a page while the server is away.
        return End(status, f"the server redirects to {locations[0]}; give that address")
    said = (error.response.body or b"")[:200].decode(errors="replace").strip()
    if status == 401:
        return End(status, said or FINAL[UNAUTHORIZED], final=True)
    after = 0.0
    with contextlib.suppress(LookupError, ValueError):
        after = min(LONGEST_AFTER, max(0.0, float(error.response.headers["Retry-After"])))
    return End(status, FINAL_STATUS.get(status, said or f"HTTP {status}"), status in FINAL_STATUS, after=after)


async def _after(event: asyncio.Event, action: Callable[[], Awaitable[None]]) -> None:
    await event.wait()
    await action()


def _text(frame: Frame) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def _frame(data: str | bytes) -> Frame | None:
    """What a message says; None, with a line in the log, when that is no frame."""
    try:
        frame = json.loads(data)
    except ValueError:
        frame = None
    if isinstance(frame, dict) and isinstance(frame.get("action"), str):
        return frame
    log.warning("the server sent what is no frame; it is passed over: %.200r", data)
    return None
