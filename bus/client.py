"""Bus: one asyncio connection to NATS, over which events are stored and heard.

async with Bus(Settings.load()) as bus:
    await bus.broadcast_event(SystemNotification(payload="hello"))
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from bus import subjects
from bus.errors import BusUnavailable
from bus.messages import Event, JobEvent, JobProgress
from bus.settings import Settings
from bus.stream import EventStream, Stored, without_credentials

log = structlog.get_logger(__name__)

Handler = Callable[[Stored], None]

RECONNECT_WAIT = 0.5
"""Seconds between two attempts to reach a lost server."""
PAUSE_AFTER = 64 * 1024
"""Bytes of events after which other tasks get a turn."""
PING_INTERVAL = 10
"""Seconds between protocol pings; a server that misses two is taken for dead."""


class Subscription:
    """A live subscription; `close` ends it."""

    def __init__(self, inner: NatsSubscription, end: Callable[[NatsSubscription], Awaitable[None]]) -> None:
        self._inner = inner
        self._end = end

    async def close(self) -> None:
        """Stop hearing. Does nothing when the connection is gone already."""
        await self._end(self._inner)


class Bus:
    """An asyncio connection to the event bus.

    Reconnects for ever once connected, and subscriptions come back with it. Use it from one event loop; from
    synchronous code use `bus.sync.SyncBus`.

    Args:
        settings: where NATS is, and the deadlines.
        name: how this process appears in NATS monitoring.
        update_stream: change an existing EVENTS stream to these settings (see `EventStream.declare`).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "busctl",
        update_stream: bool = False,
    ) -> None:
        self._settings = settings
        self._name = name
        self._update_stream = update_stream
        self.on_gap: Callable[[], None] | None = None
        """Called, on the event loop, when live events may be missed: when NATS is lost, after a reconnect, and when
        this process was too slow for a subscription and messages were dropped."""
        self._url = without_credentials(settings.nats_url)
        self._connection = Client()
        self._last_trouble: str | None = None
        self._since_pause = 0
        self.stream = EventStream(self._connection, settings)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether NATS can be talked to at this moment."""
        return self._connection.is_connected

    async def connect(self) -> None:
        """Connect and declare the stream, within `connect_timeout`.

        Raises:
            BusUnavailable: no server answered in time, or it refused the credentials.
            UnsupportedServer: the server is older than NATS 2.11 or has no JetStream.
            StreamConflict: a stream of other settings is in the way.
        """
        try:
            deadline = asyncio.get_running_loop().time() + self._settings.connect_timeout
            async with asyncio.timeout_at(deadline):
                await self._connection.connect(
                    servers=[url.strip() for url in self._settings.nats_url.split(",") if url.strip()],
                    name=self._name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]
                    ping_interval=PING_INTERVAL,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                )
            left = deadline - asyncio.get_running_loop().time()
            await self.stream.declare(update=self._update_stream, within=max(left, self._settings.append_timeout))
        except TimeoutError as error:
            await self.close()
            raise BusUnavailable(
                f"no NATS server answered at {self._url} within {self._settings.connect_timeout:g} s"
                + (f" (last: {self._last_trouble})" if self._last_trouble else "")
                + "; start one, or set NATS_URL"
            ) from error
        except (nats.errors.Error, OSError, ValueError) as error:
            await self.close()
            raise BusUnavailable(
                f"cannot connect to NATS at {self._url}: {error}; check NATS_URL and its credentials"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let what was sent and received finish, then disconnect. Safe to call twice."""
        if self._connection.is_connected:
            try:
                async with asyncio.timeout(self._settings.append_timeout):
                    await self._connection.drain()
                    return
            except (nats.errors.Error, OSError) as error:
                log.warning("the NATS connection did not drain; closing it", error=str(error))
        connection = self._connection
        if connection.is_reconnecting:
            # nats-py would write what is pending to the socket that was lost: an OSError, or from Python 3.12 on a
            # TypeError, and the rest of its closing would not be done.
            connection._pending, connection._pending_data_size = [], 0
        if connection.is_connected or connection.is_connecting or connection.is_reconnecting:
            try:
                await connection.close()
            except (nats.errors.Error, OSError) as error:
                log.warning(
                    "NATS was gone before the connection was closed; what was not sent is lost", error=str(error)
                )

    async def ping(self) -> None:
        """One round trip to the stream.

        Raises:
            BusUnavailable: NATS is away or silent past `append_timeout`.
        """
        await self.stream.state()

    async def send_event(self, event: Event, client_id: str) -> int:
        """Store an event for every connection of one client.

        Args:
            event: any event but those of jobs, which only `bus.job_log` writes.
            client_id: the client.

        Returns:
            The event's sequence, once the stream has acknowledged it.

        Raises:
            InvalidName: `client_id` is no subject token.
            BusUnavailable, EventTooLarge: as for `EventStream.append`.
        """
        return await self.stream.append(subjects.client_event(client_id), _bytes(event))

    async def broadcast_event(self, event: Event, groups: Iterable[str] = ("system",)) -> list[int]:
        """Store an event for every connection in each of `groups`.

        Returns:
            One sequence per group, once the stream has acknowledged them all.

        Raises:
            InvalidName: a group is no subject token; then nothing is stored.
            BusUnavailable, EventTooLarge: as for `EventStream.append`.
        """
        if isinstance(groups, str):
            raise TypeError("groups is a sequence of names; write groups=[name] for one group")
        data = _bytes(event)
        return [await self.stream.append(subject, data) for subject in [subjects.group(name) for name in groups]]

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Hear every event stored on `subject` from now on, in stream order.

        Args:
            subject: a `bus.` subject, wildcards allowed; the republished `live.` one is what is subscribed, so
                duplicates and refused appends are never heard.
            handler: called on the event loop with each event; it must not block and not raise.

        Raises:
            BusUnavailable: NATS is away.
        """

        async def on_message(message: Msg) -> None:
            stored = _from_live(message)
            if stored is None:
                log.warning("dropped a message that the stream did not republish", subject=message.subject)
            else:
                handler(stored)
            # nats-py calls back for all that has arrived without a pause; writers must get a turn in between, or a
            # burst looks like a reader that does not keep up.
            self._since_pause += len(message.data)
            if self._since_pause > PAUSE_AFTER:
                self._since_pause = 0
                await asyncio.sleep(0)

        try:
            inner = await self._connection.subscribe(subjects.live(subject), cb=on_message)
        except nats.errors.Error as error:
            raise BusUnavailable(f"cannot subscribe to {subject}: {error}") from error
        return Subscription(inner, self._unsubscribe)

    async def request(self, subject: str, data: bytes, *, timeout: float) -> bytes | None:
        """Ask whoever responds on `subject`.

        Returns:
            The answer, or None when NATS knows of nobody who listens there.

        Raises:
            BusUnavailable: NATS is away, or somebody listens and was silent past `timeout` (`maybe_done`).
        """
        if not self._connection.is_connected:
            raise BusUnavailable(f"NATS at {self._url} is away; try again when it is back")
        try:
            answer: bytes = (await self._connection.request(subject, data, timeout=timeout)).data
        except nats.errors.NoRespondersError:
            return None
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"nobody answered on {subject} within {timeout:g} s", maybe_done=True) from error
        return answer

    async def respond(self, subject: str, responder: Callable[[bytes], bytes]) -> Subscription:
        """Answer requests on `subject` until the subscription is closed.

        Args:
            responder: called on the event loop with each request; it must not block and not raise.

        Raises:
            BusUnavailable: the connection is closed.
        """

        async def on_request(message: Msg) -> None:
            answer = responder(message.data)
            if message.reply:
                await self._connection.publish(message.reply, answer)

        try:
            inner = await self._connection.subscribe(subject, cb=on_request)
        except nats.errors.Error as error:
            raise BusUnavailable(f"cannot respond on {subject}: {error}") from error
        return Subscription(inner, self._unsubscribe)

    async def publish_progress(self, event: JobProgress, client_id: str, job_id: str) -> None:
        """Show a job's progress to its client's live connections. Nothing is stored, and nothing is acknowledged."""
        data = event.encode().encode()
        if len(data) > self.stream.room:
            log.debug("progress was not sent: it is larger than NATS takes", bytes=len(data))
            return
        try:
            await self._connection.publish(subjects.progress(client_id, job_id), data)
        except nats.errors.Error as error:
            log.debug("progress was not sent", error=str(error))

    async def confirm_subscriptions(self) -> None:
        """Wait until the server has taken every subscription made so far.

        A request, because it follows the subscriptions in nats-py's write buffer; the PING of its `flush` overtakes it.

        Raises:
            BusUnavailable: NATS is away or silent past `append_timeout`.
        """
        await self.ping()

    async def _unsubscribe(self, subscription: NatsSubscription) -> None:
        reconnecting = self._connection.is_reconnecting
        try:
            await subscription.unsubscribe()
        except nats.errors.Error:
            log.debug("subscription was gone already", subject=subscription.subject)
            return
        if reconnecting:
            # nats-py tells the server nothing now, but a SUB in its write buffer will reach it: let an UNSUB follow.
            await self._connection._send_unsubscribe(subscription._id)

    async def _on_error(self, error: Exception) -> None:
        trouble = str(error) or type(error).__name__
        if self._last_trouble is None or not isinstance(error, OSError):
            self._last_trouble = trouble  # a refusal says more than the broken connection that follows it
        if isinstance(error, nats.errors.SlowConsumerError):
            log.warning("this process was too slow for NATS; missed events will be read again", error=str(error))
            self._missed()
        elif self._connection.is_connected or not isinstance(error, OSError):
            log.warning("NATS reported an error", error=trouble)
        else:
            log.debug("NATS cannot be reached", error=trouble)

    async def _on_disconnect(self) -> None:
        if not self._connection.is_closed and not self._connection.is_draining:
            log.warning("lost NATS; reconnecting until it is back", url=self._url)
            self._missed()  # now, because live events come again before the reconnect is reported

    async def _on_reconnect(self) -> None:
        log.info("NATS is back", url=self._url)
        self._missed()

    def _missed(self) -> None:
        if self.on_gap is not None:
            self.on_gap()


def _bytes(event: Event) -> bytes:
    if isinstance(event, JobEvent):
        raise TypeError(
            f"{type(event).__name__} is a step of a job and is only stored through bus.job_log, "
            "which keeps a job at one end; send another event, or finish the job"
        )
    return event.encode().encode()


def _from_live(message: Msg) -> Stored | None:
    headers: dict[str, Any] = message.headers or {}
    subject = "bus." + message.subject.removeprefix("live.")
    seq, previous = headers.get("Nats-Sequence", ""), headers.get("Nats-Last-Sequence", "0")
    if seq.isdecimal() and previous.isdecimal():
        timestamp = headers.get("Nats-Time-Stamp", "")
        return Stored(int(seq), subject, message.data, previous=int(previous), timestamp=timestamp)
    address = subjects.parse(subject)
    return Stored(0, subject, message.data) if address is not None and address.progress else None
