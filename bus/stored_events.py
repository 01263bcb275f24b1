"""What the EVENTS stream holds: read back whole, though a replica may answer that lags behind its leader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from bus.errors import BusUnavailable
from bus.jetstream import JetStream
from bus.replay import Replays
from bus.stored import Stored
from bus.stream_leader import StreamLeader, StreamState

READS = 4
"""How often something is read that the leader is known to have, before it is said that a replica lags."""
LAG = 0.1
"""Seconds that a replica gets between two reads to take what its leader has."""


class StoredEvents:
    """The events of the stream, and what is known of it.

    Args:
        jetstream: where to ask for single events.
        replays: read many.
        leader: knows how far the stream reaches.
    """

    def __init__(self, jetstream: JetStream, replays: Replays, leader: StreamLeader) -> None:
        self._jetstream = jetstream
        self._replays = replays
        self._leader = leader

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
