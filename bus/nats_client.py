"""nats-py's Client for one connection to one server: it ends when it should, and only then.

nats-py 2.16 reconnects by itself, but not after most errors that a server reports, and then it is closed for good.
`bus.connection` makes a new client instead, so here reconnecting is off, and some things are corrected that would
leave a client deaf, or end it without need. They override methods that nats-py does not promise to keep; the tests in
tests/bus/test_connection.py fail when it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol import command

from bus.nats_login import Proof
from bus.nats_url import NatsServer

log = structlog.get_logger(__name__)

STEP_TIMEOUT = 2
"""Seconds for each step of connecting: TCP, the server's INFO, TLS, the answer to CONNECT."""
PING_INTERVAL = 3
"""Seconds between protocol pings; a server that misses two is taken for dead."""
CLOSE_TIMEOUT = 1.0

HARMLESS = ("maximum subscriptions exceeded", "invalid subject", "invalid publish subject")
"""Errors after which nats-server leaves the connection open (client.go); nats-py would close it."""

T = TypeVar("T")

ErrorHandler = Callable[["NatsClient", Exception], Awaitable[None]]
Handler = Callable[[Msg], Awaitable[None]]


class NatsClient(Client):
    """A connection that is used until its first end.

    Args:
        server: where to connect to, and as whom.
        proof: what it is shown besides user and password.
        name: how it appears in NATS monitoring.
        on_error: called with each error that does not raise in the caller.
    """

    def __init__(self, server: NatsServer, proof: Proof, *, name: str, on_error: ErrorHandler) -> None:
        super().__init__()
        self.server = server
        self._proof = proof
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as the connection is of no use any more."""
        self.refusal: str | None = None
        """What the server said before it ended the connection, in lower case."""
        self.used = False
        """Whether the connection has been made."""
        self.trouble: Exception | None = None
        """The last error that did not raise."""
        self._name = name
        self._on_error = on_error
        self._heard: dict[int, Handler] = {}
        """By the number of a subscription."""

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server says of itself, as the protocol's INFO has it."""
        return dict(self._server_info)

    async def open(self) -> None:
        """Connect, once.

        Raises:
            OSError, TimeoutError: the server cannot be reached, is silent, or TLS fails (`ssl.SSLError`).
            nats.errors.Error: it refuses the connection.
        """

        async def on_error(error: Exception) -> None:
            self.trouble = error
            await self._on_error(self, error)

        server, proof = self.server, self._proof
        if proof.key is not None and proof.jwt is None:
            self._public_nkey = proof.key.public
        try:
            await self.connect(
                [server.url],
                name=self._name,
                user=server.user,
                password=server.password,
                token=server.token,
                tls=proof.tls,
                tls_hostname=server.tls_name,
                user_jwt_cb=None if proof.jwt is None else proof.jwt.encode,
                signature_cb=None if proof.key is None else proof.key.sign,
                allow_reconnect=False,
                # Zero means without end, and each refused TCP connection counts: so this is two attempts.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=STEP_TIMEOUT,
                ping_interval=PING_INTERVAL,
                # Whoever waits for room in it would wait for ever for a server that is frozen, and pings would too.
                flusher_queue_size=0,
                flush_timeout=STEP_TIMEOUT,
                error_cb=on_error,
            )
        except OSError:
            self._hear_last_words()
            raise
        if not self.is_connected:  # nats-py takes an end in place of the answer to CONNECT for success
            raise nats.errors.UnexpectedEOF
        self.used = True

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, Any] | None = None
    ) -> None:
        """Send a message. While a server does not take what was sent before, this waits for at most `STEP_TIMEOUT`.

        nats-py does not count headers, and the server ends the connection over a message that is too large.
        """
        if headers is not None:
            head = sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
            if len("NATS/1.0\r\n\r\n") + head + len(payload) > self.max_payload:
                raise nats.errors.MaxPayloadError
        await super().publish(subject, payload, reply, headers)

    async def hear(self, subject: str, handler: Handler) -> int:
        """Subscribe a subject, one that `subjects.audible` knows.

        nats-py has a queue and a task for each subscription, which take 4 KB, and a turn of the event loop for each
        message. Here messages are handled in the order in which they are read, and nothing is dropped: what comes
        meanwhile waits in the socket.

        Args:
            handler: awaited for each message, before the next one is read: it must not wait for anything from NATS.

        Returns:
            A number, for `unhear`.

        Raises:
            nats.errors.Error: the connection is closed.
        """
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        self._sid += 1
        number: int = self._sid
        self._heard[number] = handler
        try:
            await self._send_command(command.sub_cmd(subject, "", number))
            await self._flush_pending()
        except asyncio.CancelledError:  # whoever is cancelled here never learns of it, so nobody would end it
            await self.unhear(number)
            raise
        return number

    async def unhear(self, number: int) -> None:
        """End a subscription. Safe to call twice."""
        if self._heard.pop(number, None) is not None and not self.is_closed:
            with suppress(nats.errors.Error):
                await self._send_unsubscribe(number)

    async def settle(self, timeout: float) -> None:
        """Wait until the server has looked at everything that was sent.

        Twice, since nats-py's PING overtakes what waits in its write buffer: when it is answered, that has left.

        Raises:
            nats.errors.Error: no answer within `timeout` seconds, or the connection ended.
        """
        for _ in range(2):
            await _or_cancelled(self.flush(timeout))  # type: ignore[arg-type]  # a float does as well

    async def finish(self, timeout: float) -> None:
        """Let what was sent leave, and what has arrived be handled; nats-py's `drain` cannot be given up half-way.

        Raises:
            nats.errors.Error: the server does not answer within `timeout` seconds, or the connection ended.
        """
        for number in list(self._heard):
            await self._send_unsubscribe(number)
        await self.settle(timeout)

    async def leave(self) -> None:
        """Close, whatever has become of the socket, and if there was none."""
        if self._flush_queue is None:  # nothing was begun, and nats-py would stumble over that
            return
        await self._close(Client.CLOSED)

    def _hear_last_words(self) -> None:
        """A server that refuses a connection says why and is gone; writing to it then fails before that is read."""
        reader = getattr(self._transport, "_io_reader", None)
        words = bytes(getattr(reader, "_buffer", b""))
        if self.refusal is None and words.startswith(b"-ERR"):
            self.refusal = words.split(b"\r\n")[0].decode("ascii", "replace")[4:].strip(" '").lower()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """nats-py waits until what is written has left, and a server that is frozen never takes it."""
        if not self.ended.done():
            self.ended.set_result(None)
        # It would write what is pending to a socket that is lost: an OSError or, from Python 3.12 on, a TypeError.
        self._pending, self._pending_data_size = [], 0
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await super()._close(status, False)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.debug("a connection to NATS was cut", error=str(error))
        finally:
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
            while self._flush_queue is not None and not self._flush_queue.empty():
                if not (written := self._flush_queue.get_nowait()).done():
                    written.set_result(None)  # nothing will be: whoever waits for it need not wait any longer

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """nats-py swallows a cancellation here, and whoever was cancelled would go on."""
        return await _or_cancelled(super()._flush_pending(force_flush))

    async def _process_err(self, err_msg: str) -> None:
        """nats-py closes after every error but permissions violations, and may then name another reason for it."""
        said = err_msg.strip("'")
        if said.startswith(HARMLESS):
            await self._on_error(self, nats.errors.Error(said))
            return
        if "permissions violation" not in said and self.refusal is None:
            self.refusal = said
        await super()._process_err(err_msg)

    async def _process_pong(self) -> None:
        """A PONG for somebody who waits no longer would end nats-py's reading without a sign."""
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """nats-py looks at each letter of each name for whitespace: half of what reading an event cost."""
        headers = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip()] = value.strip()
        return headers

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Whatever is wrong with a message, a subject or a header that is no UTF-8 say, the next ones are read."""
        if (handler := self._heard.get(sid)) is None:
            return
        try:
            await handler(self._build_message(sid, subject, reply, data, await self._process_headers(headers)))
        except Exception as error:
            await self._on_error(self, error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """With tls:// nats-py sends the password in the clear to a server that does not ask for TLS."""
        if initial_connection and self.server.scheme == "tls" and not info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        """nats-py does not tell the reader of a TLS connection what it reads from: then it cannot make a server wait
        that sends too much, and asyncio warns in the log each time that a server ends the connection."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None and writer.transport.get_extra_info("sslcontext") is not None:
            protocol = writer.transport.get_protocol()
            if protocol is not None:  # else the connection is lost already
                protocol.connection_made(writer.transport)
        return super()._connect_command()

    async def _read_loop(self) -> None:
        """Whatever ends the reading ends the connection."""
        await super()._read_loop()
        if not self.is_closed:
            await self._process_op_err(nats.errors.ProtocolError())


async def _or_cancelled(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that may swallow a cancellation, as nats-py does, and `asyncio.wait_for` of Python 3.11."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await work
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result
