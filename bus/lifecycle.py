"""How a bus begins, heals and ends, and who is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import structlog

from bus.connection import Connection
from bus.errors import BusRefused, BusUnavailable, NoQuorum
from bus.nats_login import NatsLogin
from bus.nats_url import redacted
from bus.settings import Settings
from bus.stream import EventStream
from bus.stream_leader import STREAM_QUESTION, StreamState

log = structlog.get_logger(__name__)


class Lifecycle:
    """What a bus has besides its verbs: one connection to NATS and the stream on it, from its first moment to its last.

    Args:
        settings: where NATS is, and the deadlines.
        name: how this process appears in NATS monitoring.
        update_stream: change an existing EVENTS stream to these settings (see `EventStream.declare`).
        declare: make and correct the stream; otherwise it is only looked at, while somebody is to be told of gaps.
    """

    def __init__(self, settings: Settings, *, name: str, update_stream: bool, declare: bool) -> None:
        self._settings = settings
        self._update_stream = update_stream
        self._declare = declare
        self._declare_within = min(2 * settings.append_timeout, settings.connect_timeout / 2)
        """Seconds for JetStream to have a leader; what it lacks is known before a first connection is given up."""
        self._gap_callbacks: list[Callable[[], None]] = []
        self._url = redacted(settings.nats_url)
        self._connection = Connection(
            NatsLogin.of(settings),
            name=name,
            heal_timeout=settings.heal_timeout,
            check=self._check,
            question=STREAM_QUESTION,
        )
        self._connection.condition.on_gap = self._missed
        self._closed = False
        self._known: tuple[str, str] | None = None
        """Which stream it was at the last look, and who republished it."""
        self.stream = EventStream(self._connection, settings)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def settings(self) -> Settings:
        """The settings that this bus was made with."""
        return self._settings

    @property
    def connected(self) -> bool:
        """Whether everything works at this moment: NATS, the stream, and all that is subscribed."""
        return self._connection.condition.trouble is None

    @property
    def reachable(self) -> bool:
        """Whether NATS answers, though perhaps not everything works."""
        return self._connection.is_connected

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server says of itself, as the protocol's INFO has it, such as `version`.

        Raises:
            BusUnavailable: NATS is away.
        """
        return self._connection.server.server_info

    @property
    def closed(self) -> bool:
        """Whether this process has closed it; it does not connect again then."""
        return self._closed

    @property
    def lost(self) -> BusRefused | None:
        """Why it does not heal: NATS has refused this process for `heal_timeout`. None while there is hope."""
        return self._connection.condition.lost

    @property
    def on_lost(self) -> Callable[[str], None] | None:
        """Called once, on the event loop, with the reason when `lost` begins; the process should end then."""
        return self._connection.condition.on_lost

    @on_lost.setter
    def on_lost(self, callback: Callable[[str], None] | None) -> None:
        self._connection.condition.on_lost = callback

    @property
    def on_change(self) -> Callable[[bool], None]:
        """Called, on the event loop, with whether everything works, each time that this changes. It must not raise."""
        return self._connection.condition.on_change

    @on_change.setter
    def on_change(self, callback: Callable[[bool], None]) -> None:
        self._connection.condition.on_change = callback

    async def connect(self) -> None:
        """Begin, and wait until everything works, for at most `connect_timeout`. What fails is closed again.

        Raises:
            BusUnavailable: no server answered in time, or it refused us (`BusRefused`).
            UnsupportedServer: the server is older than NATS 2.11 or has no JetStream.
            StreamConflict: a stream of other settings is in the way.
        """
        self.begin()
        try:
            await self.ready()
        except BaseException:
            await self.close()
            raise

    def begin(self) -> None:
        """Connect from now on, for ever, on the running event loop. `ready` waits for it."""
        self._connection.start()

    async def ready(self) -> None:
        """Wait until everything works, for at most `connect_timeout`; a refusal is raised at once.

        Raises:
            BusError: as for `connect`; it goes on trying.
        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._connection.condition.ready()
        except TimeoutError:
            trouble = self._connection.condition.trouble
            if trouble is not None and self._connection.is_connected:
                raise trouble.error from None
            raise BusUnavailable(
                f"no NATS server answered at {self._url} within {self._settings.connect_timeout:g} s"
                + (f" (last: {trouble.error})" if trouble is not None else "")
                + "; start one, as 'busctl dev' does, or set NATS_URL"
            ) from None

    async def close(self) -> None:
        """Let what was sent and received finish, then disconnect. Safe to call twice."""
        self._closed = True
        await self._connection.close(self._settings.append_timeout)

    def add_gap_callback(self, callback: Callable[[], None]) -> None:
        """Be told, on the event loop, when live events may have been missed.

        That is when NATS is lost, after a reconnect, when the stream was made anew, and when this process was too slow
        for a subscription and messages were dropped.

        Args:
            callback: called without arguments; it must not block and not raise. Added twice it is called twice.
        """
        self._gap_callbacks.append(callback)

    def remove_gap_callback(self, callback: Callable[[], None]) -> None:
        """Withdraw what `add_gap_callback` has added, once; it is not an error when that is not there."""
        with suppress(ValueError):
            self._gap_callbacks.remove(callback)

    async def ping(self) -> None:
        """One round trip to the stream, unless it is known already that something does not work.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`, or refuses something that we need.
            UnsupportedServer, StreamConflict: as for `connect`.
        """
        trouble = self._connection.condition.trouble
        if trouble is not None:
            raise trouble.error
        await self.stream.state()

    async def look(self) -> StreamState:
        """What the stream holds now. Whoever is told of gaps is told if it is another one than at the last look, has
        another leader, or was corrected.

        Raises:
            BusUnavailable: as for `EventStream.state`.
        """
        state = await self.stream.state()
        # Only a leader republishes what is stored: what one had stored when it was lost, nobody has heard; nor what was
        # stored while the stream was edited to republish nothing.
        known = state.epoch, self.stream.republisher
        if self._known not in (None, known):
            self._missed()
        self._known = known
        return state

    async def _check(self, fresh: bool) -> None:
        """See to the stream, on a new connection and when it cannot be read any more or was edited."""
        if not self._declare:
            if self._gap_callbacks:  # who only sends needs no permission to look
                await self.look()
            return
        if not fresh:
            try:
                await self.look()
                fresh = not self.stream.keeps_guarantees
            except NoQuorum:
                raise
            except BusUnavailable as error:
                if error.maybe_done:  # to declare the stream would only be another question without an answer
                    raise
                fresh = True
        if fresh:
            await self.stream.declare(update=self._update_stream, within=self._declare_within)
            await self.look()

    def _missed(self) -> None:
        for callback in list(self._gap_callbacks):
            try:
                callback()
            except Exception:  # the others have to know all the same
                log.exception("a gap callback raised; what it should have read again may be missing")
