"""The EVENTS stream: declare it, append to it, keep it within its bounds; reading it back is in `bus.stored_events`."""

from __future__ import annotations

import json
from collections.abc import Collection

from bus import subjects
from bus.append import Appends
from bus.connection import Connection
from bus.declaration import Declaration
from bus.errors import BusUnavailable, UnsupportedServer
from bus.event_limit import LONGEST_HEADERS, EventLimit
from bus.jetstream import ApiError, JetStream
from bus.replay import Replays
from bus.settings import Settings
from bus.space import Space, Usage
from bus.stored_events import StoredEvents
from bus.stream_leader import StreamLeader

OLDEST_SERVER = (2, 11)


class EventStream(StoredEvents):
    """The EVENTS stream over one NATS connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        jetstream = JetStream(connection, settings)
        leader = StreamLeader(jetstream, replicated=settings.stream_replicas > 1)
        super().__init__(jetstream, Replays(connection, settings), leader)
        self._connection = connection
        self._settings = settings
        self._limit = EventLimit(connection, settings)
        self._appends = Appends(connection, jetstream, self._limit, settings)
        self._space = Space(jetstream)

    async def declare(self, *, update: bool, within: float | None = None) -> None:
        """Make sure that the stream exists and keeps the guarantees; safe to call from many processes at once.

        A stream that exists is looked at first, and one that is not ours is not touched. On ours, what the guarantees
        rest on is corrected, and everything else stays as it was edited (`bus.stream_config`).

        Args:
            update: apply settings that were changed since they were last applied. Processes that run the system pass
                True; a command line with other defaults passes False.
            within: seconds that JetStream may take, which may have no leader yet; by default twice
                `append_timeout`, but at most half of `connect_timeout`.

        Raises:
            UnsupportedServer: the server is older than NATS 2.11, or it or the account has no JetStream.
            StreamConflict: the stream of that name is not ours, or NATS refuses to create or to correct it.
            BusUnavailable: JetStream could not answer in time.
        """
        version = self._connection.server.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            raise UnsupportedServer(
                f"the NATS server at {self._jetstream.where} is {version.major}.{version.minor}.{version.patch}; "
                "2.11 or newer is needed (batched direct get): upgrade it"
            )
        if within is None:
            within = min(2 * self._settings.append_timeout, self._settings.connect_timeout / 2)
        config = await Declaration(self._connection, self._settings, self._jetstream.where).run(
            update=update, within=within
        )
        self._limit.max_msg_size = config.get("max_msg_size", -1)

    @property
    def room(self) -> int:
        """Most bytes that an event may have to be appended now, with the longest headers that an append can need.

        What the server (`max_payload`) and the stream (`max_msg_size`) take can change, so `append` may refuse an
        event all the same.
        """
        return self._limit.room

    def require_room(self, size: int) -> None:
        """Make sure that an event of `size` bytes can be appended now, whatever its headers.

        Raises:
            EventTooLarge: it cannot.
        """
        self._limit.require(size, LONGEST_HEADERS)
        self._limit.require_of_stream(size + LONGEST_HEADERS)

    async def require_space(self, size: int) -> None:
        """Make sure that the stream has room for another job, whose request has `size` bytes; see `bus.space`.

        Raises:
            StreamFull: it has none, now.
        """
        await self._space.require(size)

    async def refresh_space(self) -> None:
        """Learn how much room is left, when that was not asked for some time."""
        await self._space.refresh()

    async def max_bytes(self) -> int:
        """Bytes that its events may take, as far as is known, which is asked now and then; -1 for any number."""
        return await self._space.max_bytes()

    async def usage(self) -> Usage:
        """How much of the stream is used.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        return await self._space.usage()

    async def cut(self, before: int) -> None:
        """Remove every event with a sequence smaller than `before`.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`, or refuses it.
        """
        await self._purge({"seq": before})

    async def cut_all_but(self, kept: Collection[str], *, before: int) -> None:
        """Remove every event with a sequence smaller than `before` whose subject is none of `kept`.

        That leaves holes, and costs a request for each subject; so it is for a stream that is nearly full alone.

        Raises:
            BusUnavailable: as for `cut`.
        """
        found = {subject async for subject in self.subjects(">")}
        for subject in found.difference(kept):
            await self._purge({"filter": subject, "seq": before})

    async def _purge(self, what: dict[str, object]) -> None:
        try:
            await self._jetstream.request(f"$JS.API.STREAM.PURGE.{subjects.STREAM}", json.dumps(what).encode())
        except ApiError as error:
            raise BusUnavailable(f"NATS cuts nothing from the stream {subjects.STREAM}: {error}") from error

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        expected_last: int | None = None,
        expected_subject: str | None = None,
        message_id: str | None = None,
        traceparent: str | None = None,
    ) -> int:
        """Store one event and wait until the stream has acknowledged it.

        Args:
            subject: a `bus.` subject.
            data: the event as UTF-8 JSON.
            expected_last: sequence of the subject's last event, 0 for none. NATS refuses the append when it is
                another one (header `Nats-Expected-Last-Subject-Sequence`).
            expected_subject: whose last event that is, if not this subject's: then the append is fenced by what happens
                on another subject (header `Nats-Expected-Last-Subject-Sequence-Subject`). Of several on their way at
                once a stream with replicas takes only the first, so append them one after the other.
            message_id: pass the same one, of at most 64 characters, when you repeat an append whose outcome is
                unknown, and it is stored once (header `Nats-Msg-Id`): within the stream's duplicate window, or, with
                `expected_last`, for as long as it is the subject's last event.
            traceparent: of the trace that it belongs to, as another header.

        Returns:
            The event's sequence in the stream.

        Raises:
            AppendRefused: the subject, or `expected_subject`, has moved on since `expected_last`.
            EventTooLarge: more bytes, headers included, than the server or the stream takes; nothing was stored.
            NoStream: there is no stream to store it.
            StreamFull: the stream has no room, and nobody made some within `append_timeout`.
            BusUnavailable: NATS is away, or silent past `append_timeout`; then `maybe_done` is True.
        """
        seq = await self._appends.append(
            subject,
            data,
            expected_last=expected_last,
            expected_subject=expected_subject,
            message_id=message_id,
            traceparent=traceparent,
        )
        self._leader.saw(seq)
        return seq
