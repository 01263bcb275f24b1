"""The EVENTS stream: declare it, append to it, read it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Any

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
from bus.stored import Stored
from bus.stream_leader import StreamLeader, StreamState

OLDEST_SERVER = (2, 11)
SUBJECTS_PAGE = 100_000
"""Subjects that NATS names in one answer."""
READS = 4
"""How often something is read that the leader is known to have, before it is said that a replica lags."""
LAG = 0.1
"""Seconds that a replica gets between two reads to take what its leader has."""


class EventStream:
    """The EVENTS stream over one NATS connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._jetstream = JetStream(connection, settings)
        self._limit = EventLimit(connection, settings)
        self._appends = Appends(connection, self._jetstream, self._limit, settings)
        self._replays = Replays(connection, settings)
        self._space = Space(self._jetstream)
        self._leader = StreamLeader(self._jetstream, replicated=settings.stream_replicas > 1)

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
    def replicated(self) -> bool:
        """Whether it has replicas, as far as is known."""
        return self._leader.replicated

    @property
    def republisher(self) -> str:
        """Who republishes what is stored, at the last `state`; see `StreamLeader`."""
        return self._leader.republisher

    @property
    def keeps_guarantees(self) -> bool:
        """Whether it could be used as it was, at the last `state`; if not, `declare` sets it back, or says why not."""
        return self._leader.keeps_guarantees

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
        found: set[str] = set()
        while page := (await self._leader.ask(subjects_filter=">", offset=len(found)))["state"].get("subjects"):
            found.update(page)
            if len(page) < SUBJECTS_PAGE:
                break
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

    async def last(self, subject: str) -> Stored | None:
        """The newest stored event of a subject, or None.

        Where there are replicas, the leader that has answered is asked whether most of them still follow it: only then
        nobody else can have stored a newer one.

        Raises:
            NoQuorum: they do not.
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        stored = await self._jetstream.message({"last_by_subj": subject})
        if self.replicated:
            await self._leader.require_followed()
        return stored

    async def first(self, subject: str, *, seq: int = 1) -> Stored | None:
        """The oldest stored event of a subject (wildcards allowed) at sequence `seq` or later, or None.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        return await self._jetstream.message({"seq": seq, "next_by_subj": subject})

    async def state(self) -> StreamState:
        """What the stream holds now.

        Raises:
            NoQuorum: who answers cannot know.
            NoStream: there is none.
            BusUnavailable: NATS is away, or silent past `append_timeout` (`maybe_done`).
        """
        return await self._leader.state()

    async def info(self) -> dict[str, Any]:
        """What NATS says of the stream: its configuration, what it holds, who has it, and what time it is there (`ts`).

        Raises:
            ApiError: it refuses, such as for want of the stream or of JetStream.
            BusUnavailable: NATS is away, or silent past `append_timeout`, or nobody answers for want of JetStream.
        """
        return await self._jetstream.info()

    async def subjects(self, subject: str) -> AsyncGenerator[str, None]:
        """The subjects that have events, of those that a subject with wildcards means; NATS tells them by the thousand.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        told = 0
        while True:
            answer = await self._leader.ask(subjects_filter=subject, offset=told)
            page = answer["state"].get("subjects") or {}
            for name in page:
                yield name
            told += len(page)
            if not page or told >= answer.get("total", 0):
                return

    async def replay(
        self, subject: str, *, after: int, events: int | None = None, known: int = 0
    ) -> AsyncGenerator[Stored, None]:
        """Every stored event of a subject (wildcards allowed) with a sequence larger than `after`, in order.

        Events that are stored meanwhile may be included. See `bus.replay`.

        A replica may answer that has not yet taken what its leader has. Where there is one, the leader is asked
        whether more follows what was read, and it is read again until that is all.

        Args:
            events: how many at most; None for all.
            known: up to which sequence nothing may be left out, such as what `reached` says; by default a replica may
                lag as it likes.

        Raises:
            BusUnavailable: NATS went away, or was silent past `append_timeout`; or a replica lags behind its leader.
        """
        async with aclosing(self._batches(subject, after=after, events=events, known=known)) as read:
            async for batch in read:
                for stored in batch:
                    yield stored

    async def _batches(
        self, subject: str, *, after: int, events: int | None = None, known: int = 0
    ) -> AsyncGenerator[list[Stored], None]:
        """The same as `replay`, as many at a time as NATS sends."""
        for _ in range(READS):
            async with aclosing(self._replays.read(subject, after=after, events=events)) as read:
                async for batch in read:
                    yield batch
                    after = batch[-1].seq
                    events = None if events is None else events - len(batch)
            if events == 0 or await self.left_out(subject, after=after, until=known) is None:
                return
            await asyncio.sleep(LAG)
        raise BusUnavailable("a replica of the stream lags behind its leader; try again")

    async def replay_until(
        self, subject: str, *, after: int, until: int, events: int | None = None
    ) -> AsyncGenerator[Stored, None]:
        """Every stored event of a subject (wildcards allowed) after one sequence and up to another, in order.

        Args:
            until: the last sequence of the stream at some moment before the call. Nothing up to there is left out.
            events: how many at most; None for all.

        Raises:
            BusUnavailable: as for `replay`.
        """
        async with aclosing(self._batches(subject, after=after, events=events, known=until)) as read:
            async for batch in read:
                for stored in batch:
                    if stored.seq > until:
                        return
                    yield stored

    async def reached(self) -> int:
        """The stream's last sequence, where replicas may lag behind it; 0 without replicas, where nobody is asked.

        Raises:
            BusUnavailable: as for `state`.
        """
        return (await self.state()).last_seq if self.replicated else 0

    async def left_out(self, subject: str, *, after: int, until: int) -> Stored | None:
        """The event that a read left out which ended after one sequence, because a replica answered that lags.

        The leader is asked; without replicas nobody is.

        Args:
            until: the last sequence of the stream at some moment before the read.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        if not self.replicated or after >= until:
            return None
        following = await self.first(subject, seq=after + 1)
        return following if following is not None and following.seq <= until else None
