"""Bus: one asyncio connection to NATS, over which events are stored and heard.

async with Bus(Settings.load()) as bus:
    await bus.broadcast_event(SystemNotification(payload="hello"))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress

import nats.errors
import structlog
from nats.aio.msg import Msg

from bus import subjects
from bus.errors import BusRefused, BusUnavailable
from bus.follow import FollowedEvents, Interruption, follow
from bus.gather import gather
from bus.lifecycle import Lifecycle
from bus.messages import Event, JobEvent, JobProgress
from bus.settings import Settings
from bus.stored import Stored, from_live
from bus.subscriptions import Subscription as NatsSubscription

log = structlog.get_logger(__name__)

Handler = Callable[[Stored], None]

PAUSE_AFTER = 64 * 1024
"""Bytes of events after which other tasks get a turn."""
DROP_LOG_INTERVAL = 1.0
"""Least seconds between two log lines about messages dropped for the same reason."""


class Subscription:
    """A live subscription; `close` ends it."""

    def __init__(self, inner: NatsSubscription) -> None:
        self._inner = inner

    @property
    def refused(self) -> BusRefused | None:
        """Why NATS does not take it, once that was confirmed."""
        return self._inner.refused

    async def close(self) -> None:
        """Stop hearing, now and when NATS is back. Safe to call twice."""
        await self._inner.unsubscribe()


class Bus(Lifecycle):
    """An asyncio connection to the event bus.

    Once it is begun it heals by itself, whatever ended a connection, and subscriptions come back with it. What cannot
    heal without other settings is told to `on_lost`. Use it from one event loop; from synchronous code use
    `bus.sync.SyncBus`.

    Args:
        settings: where NATS is, and the deadlines.
        name: how this process appears in NATS monitoring.
        update_stream: change an existing EVENTS stream to these settings (see `EventStream.declare`).
        declare: make and correct the stream. If not, a process that only sends needs no permission to see it either.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "busctl",
        update_stream: bool = False,
        declare: bool = True,
    ) -> None:
        super().__init__(settings, name=name, update_stream=update_stream, declare=declare)
        self.on_drop: Callable[[], None] | None = None
        """Called, on the event loop, for each message that was heard and cannot be used."""
        self._drops_logged: dict[str, float] = {}
        self._since_pause = 0
        """Bytes of live events that were handled since other tasks got a turn."""

    async def send_event(self, event: Event, client_id: str) -> int:
        """Store an event for every connection of one client.

        Args:
            event: any event but those of jobs, which only `bus.job_log` writes.
            client_id: the client.

        Returns:
            The event's sequence, once the stream has acknowledged it.

        Raises:
            InvalidName: `client_id` is not a subject token.
            BusUnavailable, EventTooLarge: as for `EventStream.append`.
        """
        return await self.stream.append(subjects.client_event(client_id), _bytes(event))

    async def broadcast_event(self, event: Event, groups: Iterable[str] = ("system",)) -> list[int]:
        """Store an event for every connection in each of `groups`.

        Returns:
            One sequence per group, once the stream has acknowledged them all.

        Raises:
            InvalidName: a group is not a subject token; then nothing is stored.
            BusUnavailable, EventTooLarge: as for `EventStream.append`.
        """
        if isinstance(groups, str):
            raise TypeError("groups is a sequence of names; write groups=[name] for one group")
        data = _bytes(event)
        return [await self.stream.append(subject, data) for subject in [subjects.group(name) for name in groups]]

    async def subscribe(
        self, subject: str, handler: Handler, on_refused: Callable[[BusRefused], None] | None = None
    ) -> Subscription:
        """Hear every event stored on `subject` from now on, in stream order.

        Args:
            subject: a `bus.` subject, wildcards allowed; the republished `live.` one is what is subscribed, so
                duplicates and refused appends are never heard.
            handler: called on the event loop with each event; it must not block and not raise.
            on_refused: called on the event loop when NATS does not take it, now or over a later connection, for want
                of a permission or at a limit. It is tried again now and then until it is closed.

        Raises:
            BusUnavailable: the bus is closed.
            InvalidName: nothing can be heard on `subject`.
        """

        async def on_message(message: Msg) -> None:
            stored = from_live(message.subject, message.data, message.headers or {})
            if stored is None:
                self.drop("dropped a message that the stream did not republish", subject=message.subject)
            else:
                handler(stored)
            # All that has arrived is handled without a pause; writers must get a turn in between, or a burst looks like
            # a reader that does not keep up.
            self._since_pause += len(message.data)
            if self._since_pause > PAUSE_AFTER:
                self._since_pause = 0
                await asyncio.sleep(0)

        return await self._subscribe(subjects.live(subjects.audible(subject)), on_message, on_refused)

    def follow(
        self, *subjects: str, after: int | None = None, on_interruption: Callable[[Interruption], None] | None = None
    ) -> AbstractAsyncContextManager[FollowedEvents]:
        """The events of these subjects, each once and in order, whatever happens to NATS meanwhile.

            async with bus.follow(subjects.client("ann"), after=0) as events:
                async for stored in events:
                    ...

        When the block begins, NATS has taken the subscription; when it ends, cancelled or not, none is left behind.
        Each event costs one read of the stream, so where thousands are heard at once see `subscribe`.

        Args:
            subjects: `bus.` subjects, wildcards allowed, none of which means what another one means.
            after: begin after this sequence, 0 for everything that the stream holds; None for what is stored from now
                on.
            on_interruption: called on the event loop when NATS goes away, when it is back, and when the stream turns
                out to be another one; it must not block and not raise.

        Raises:
            InvalidName: at the beginning, nothing can be heard on one of the subjects.
            BusUnavailable: at the beginning, NATS is away or silent; later, the bus was closed. An outage is waited
                for without end.
            BusRefused: at the beginning, NATS does not take the subscription; later, it has refused this process for
                `heal_timeout`.
        """
        return follow(self, subjects, after=after, on_interruption=on_interruption)

    async def subscribe_progress(self, client_id: str, handler: Handler) -> Subscription:
        """Hear the progress of a client's jobs from now on; of what is heard `seq` is 0, for it is not stored.

        Raises:
            BusUnavailable: NATS is away.
        """

        async def on_message(message: Msg) -> None:
            handler(Stored(0, message.subject, message.data))

        return await self._subscribe(subjects.all_progress(client_id), on_message)

    async def _subscribe(
        self,
        subject: str,
        on_message: Callable[[Msg], Awaitable[None]],
        on_refused: Callable[[BusRefused], None] | None = None,
    ) -> Subscription:
        inner = await self._connection.subscribe(subject, on_message)
        inner.on_refused = on_refused
        return Subscription(inner)

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: dict[str, str] | None = None
    ) -> bytes | None:
        """Ask whoever responds on `subject`.

        Returns:
            The answer, or None when NATS knows of nobody who listens there.

        Raises:
            BusUnavailable: NATS is away, or somebody listens and was silent past `timeout` (`maybe_done`).
        """
        try:
            answer: bytes = (await self._connection.request(subject, data, timeout=timeout, headers=headers)).data
        except nats.errors.NoRespondersError:
            return None
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"nobody answered on {subject} within {timeout:g} s", maybe_done=True) from error
        return answer

    async def respond(
        self, subject: str, responder: Callable[[bytes], bytes | None], *, optional: bool = False
    ) -> Subscription:
        """Answer requests on `subject` until the subscription is closed.

        Args:
            responder: called on the event loop with each request; it must not block and not raise. None is no answer.
            optional: this process can do its work without it, so that one may lack the permission.

        Raises:
            BusUnavailable: the connection is closed.
            InvalidName: nothing can be heard on `subject`.
        """

        async def on_request(message: Msg) -> None:
            answer = responder(message.data)
            if message.reply and answer is not None:
                with suppress(BusUnavailable):  # whoever asked asks again when NATS is back
                    await self._connection.publish(message.reply, answer)

        inner = await self._connection.subscribe(subject, on_request)
        inner.optional = optional
        return Subscription(inner)

    async def gather(self, subject: str, data: bytes = b"", *, within: float, quiet: float, most: int) -> list[bytes]:
        """Ask all who respond on `subject`; see `bus.gather`.

        Raises:
            BusUnavailable: NATS is away.
            NotPermitted: the user may not publish there.
        """
        return await gather(self._connection, subject, data, within=within, quiet=quiet, most=most)

    async def publish_progress(self, event: JobProgress, client_id: str, job_id: str) -> None:
        """Show a job's progress to its client's live connections. Nothing is stored, and nothing is acknowledged."""
        data = event.encode().encode()
        if len(data) > self.stream.room:
            log.debug("progress was not sent: it is larger than NATS takes", bytes=len(data))
            return
        try:
            await self._connection.publish(subjects.progress(client_id, job_id), data)
        except (nats.errors.Error, BusUnavailable) as error:
            log.debug("progress was not sent", error=str(error))

    async def notify(self, subject: str, data: bytes = b"") -> None:
        """Tell whoever responds on `subject`, without an answer. Nothing is acknowledged, and it may be lost."""
        try:
            await self._connection.publish(subject, data)
        except (nats.errors.Error, BusUnavailable) as error:
            log.debug("somebody was not told", subject=subject, error=str(error))

    async def confirm_subscriptions(self) -> None:
        """Wait until the server has taken every subscription made so far.

        Raises:
            BusUnavailable: NATS is away, or silent.
            BusRefused: it does not take one of them: a permission is missing, or a limit is reached.
        """
        await self._connection.confirm()

    def drop(self, why: str, **about: object) -> None:
        """Count a message that was heard and cannot be used, and log it, but each reason only once a second.

        Args:
            about: what the log says besides.
        """
        if self.on_drop is not None:
            self.on_drop()
        now = time.monotonic()
        if now - self._drops_logged.get(why, -DROP_LOG_INTERVAL) >= DROP_LOG_INTERVAL:
            self._drops_logged[why] = now
            log.warning(why, **about)


def _bytes(event: Event) -> bytes:
    if isinstance(event, JobEvent):
        raise TypeError(
            f"{type(event).__name__} is a step of a job and is only stored through bus.job_log, "
            "which keeps a job at one end; send another event, or finish the job"
        )
    return event.encode().encode()
