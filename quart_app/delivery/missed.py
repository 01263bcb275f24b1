"""What a client missed: counted first, because the welcome says how much it is, then read again as the client takes it.

So a client that reads slowly costs the process no more than a piece of its replay, however long that is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from heapq import merge
from types import TracebackType
from typing import Self

from bus import Bus, BusUnavailable, Settings, Stored, subjects
from bus.messages import JobEvent, JobOutput, JobStarted
from quart_app.channel import CLIENT
from quart_app.delivery.batch import Batch, Encoded
from quart_app.delivery.carried_jobs import CarriedJobs
from quart_app.delivery.event_parser import EventParser
from quart_app.delivery.ordered_events import TURN_BYTES
from quart_app.delivery.replay_budget import ReplayBudget
from quart_app.delivery.replay_plan import Part, ReplayPlan
from quart_app.delivery.replayed_output import ReplayedOutput

PIECE_BYTES = 64 * 1024
"""Bytes of events that are read and sent at a time; one larger event is a piece of its own."""
KEPT_BYTES = 2 * PIECE_BYTES
"""Bytes of events that are few enough to be kept from when they are counted, and not read again."""
EVENT_OVERHEAD = 512
"""Bytes that an event counts for besides its data."""
COPIES = 4
"""How often an event is in memory on its way: as it was read, parsed, encoded, and framed."""
COUNTING_BYTES = KEPT_BYTES * COPIES
"""Bytes to be taken while events are counted: for what was read, for their sequences, and for those that are kept."""
FEW = 256
"""So many events of a client are read at once; of more, what its jobs wrote is read apart from everything else."""
MOST_LEFT_OUT = 10
"""Times `replay_max_events`: as many pieces of jobs may be left out."""
TURN_EVENT = 2048
"""Bytes that take about as long as what is to be done for each event whatever its size."""


class Missed:
    """The stored events of a client's scopes after its cursors, in stream order.

    Pieces of a job's output are left out where a later event replaces them (`ReplayedOutput`). What has expired when
    this is made is left out too; what expires later is not, so that what was counted is what is sent.

    Use it as a context manager: it may keep a part of the process's memory for replays until the end of the block.

    Args:
        bus: whose stream is read.
        parser: makes events of what is stored.
        budget: what all replays share.
        client_id: whose events those of the scope `client` are.
        shown: the actions of the events that the client's channel shows.
        settings: `replay_max_events` and `replay_max_bytes`.
    """

    def __init__(
        self,
        bus: Bus,
        parser: EventParser,
        budget: ReplayBudget,
        *,
        client_id: str,
        shown: Collection[str],
        settings: Settings,
    ) -> None:
        self.shown = 0
        """How many of the events the client is shown."""
        self.cut = False
        """Whether there is more than may be replayed."""
        self.events = self.size = 0
        """How many events were counted or left out, and the bytes of all."""
        self._bus = bus
        self._parser = parser
        self._budget = budget
        self._client_id = client_id
        self._actions = shown
        self._room = [settings.replay_max_events, settings.replay_max_bytes, MOST_LEFT_OUT * settings.replay_max_events]
        """Events, their bytes, and events that are left out, for which there is room."""
        self._now = datetime.now(UTC)
        self._until = 0
        self._output = ReplayedOutput()
        self._carried: CarriedJobs | None = None
        self._plan = ReplayPlan()
        self._kept: list[Encoded] | None = []
        """All events, when they are few."""
        self._kept_size = 0
        """Bytes of those."""
        self._held = 0
        """Bytes of the budget."""
        self._shared: list[Batch] = []
        """Events that were read for everybody."""
        self._since_turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold_only(0)

    async def count(self, cursors: Mapping[str, int], until: int) -> None:
        """Find out what there is after these cursors; it waits for memory, unless there are none.

        Args:
            cursors: by scope.
            until: the last sequence that counts, as the stream has it at some moment before the call.

        Raises:
            BusUnavailable: NATS is away or silent.
        """
        if not cursors:
            return
        self._until = until
        self._held = await self._budget.memory.take(COUNTING_BYTES)
        for scope, after in cursors.items():
            if scope == CLIENT:
                await self._count_client(after)
            else:
                await self._count(Part(subjects.group(scope), after))
        self._output.settle()
        self._plan.divide(PIECE_BYTES)
        if self._kept is not None and self._kept_size * COPIES > self._held:
            self._kept, self._kept_size = None, 0
        self._hold_only(self._kept_size * COPIES)

    def _hold_only(self, size: int) -> None:
        """What is kept stays in memory that was taken to count: one that had to ask for more could wait for others."""
        self._budget.memory.give_back(self._held - size)
        self._held = size

    def share(self, batch: Batch) -> bool:
        """Take events of one more scope that were read for others too. Call it before `count`.

        Returns:
            False when there is no room for all of them: then count that scope too, to have as many as may be.
        """
        if self._room[0] < len(batch) or self._room[1] < batch.bytes:
            return False
        self._room[0] -= len(batch)
        self._room[1] -= batch.bytes
        self._shared.append(batch)
        self.shown += sum(one.event.action in self._actions for one in batch.events)
        self.size += batch.bytes
        return True

    async def _count_client(self, after: int) -> None:
        """The steps of its jobs come before what these wrote: then it is known which of that is replaced."""
        client = self._client_id
        if not after:
            self._carried = CarriedJobs()
        parts = [
            Part(subjects.steps(client), after),
            Part(subjects.client_event(client), after),
            Part(subjects.all_output(client), after, output=True),
        ]
        few = await self._few(after)
        for index, part in enumerate(parts[: 3 if JobOutput.action_name() in self._actions else 2]):
            if few is not None:
                await self._count(part, _each(few[index]))
                continue
            if part.output and not after and JobStarted.action_name() in self._actions:
                if self._output.begin is None:  # the beginning of every job was noted
                    break
                part.after = self._output.begin
            await self._count(part)

    async def _few(self, after: int) -> tuple[list[Stored], list[Stored], list[Stored]] | None:
        """All steps, other events, and pieces, read at once; None when they are many."""
        steps: list[Stored] = []
        other: list[Stored] = []
        output: list[Stored] = []
        count = size = 0
        subject = subjects.client(self._client_id)
        stream = self._bus.stream
        async with aclosing(stream.replay_until(subject, after=after, until=self._until, events=FEW)) as read:
            async for stored in read:
                count, size = count + 1, size + len(stored.data)
                if count == FEW or size > PIECE_BYTES:
                    return None
                if (address := subjects.parse(stored.subject)) is not None:
                    (output if address.output else steps if address.job_id is not None else other).append(stored)
        return steps, other, output

    async def _count(self, part: Part, events: AsyncGenerator[Stored] | None = None) -> None:
        if self.cut:
            return
        self._plan.parts.append(part)
        stored_until = self._bus.stream.replay_until
        async with aclosing(events or stored_until(part.subject, after=part.after, until=self._until)) as read:
            async for stored in read:
                self.events, self.size = self.events + 1, self.size + len(stored.data)
                self._note(part, stored)
                if min(self._room) < 0:
                    self.cut = True
                    break
                if self._is_turn(stored):
                    await self._budget.turn()

    def _note(self, part: Part, stored: Stored) -> None:
        if part.output and not self._output.take(_job_id(stored), stored.seq):
            self._room[2] -= 1
            return
        size = len(stored.data) + EVENT_OVERHEAD
        part.seqs.append(stored.seq)
        part.sizes.append(size)
        self._room[0] -= 1
        self._room[1] -= len(stored.data)
        one = self._shown(stored)
        self.shown += one is not None
        if one is not None and isinstance(one.event, JobEvent):
            self._output.note(one.event, stored.seq)
        if self._kept is not None:
            self._kept_size += size
            if self._kept_size > KEPT_BYTES:
                self._kept, self._kept_size = None, 0
            elif one is not None:
                self._kept.append(one)

    async def pieces(self) -> AsyncGenerator[Batch]:
        """What the client is shown, in stream order. A piece is to be sent before the next one is asked for.

        Raises:
            BusUnavailable: NATS is away or silent, or events were removed since they were counted.
        """
        shared = [batch.events for batch in self._shared]
        if self._kept is not None:
            if self._kept or len(self._shared) != 1:
                yield _batch(merge(sorted(self._kept, key=_seq), *shared, key=_seq))
            else:
                yield self._shared[0]  # as everybody has it who missed the same
            return
        others = list(merge(*shared, key=_seq))
        for size, parts in self._plan:
            async with self._budget.memory.hold(size * COPIES):
                piece = await self._piece(parts)
                before = bisect_right(others, piece[-1].seq, key=_seq) if piece else 0
                yield _batch(merge(piece, others[:before], key=_seq))
                del others[:before]
        if others:
            yield _batch(others)

    async def _piece(self, parts: Iterable[tuple[Part, int, int]]) -> list[Encoded]:
        shown: list[Encoded] = []
        for part, count, last in parts:
            read = 0
            # As many as there are to be read are enough, unless pieces between them are left out.
            for most in (count, None):
                if not count or part.after >= last:
                    break
                async with aclosing(self._bus.stream.replay(part.subject, after=part.after, events=most)) as events:
                    async for stored in events:
                        part.after = stored.seq
                        if not part.output or self._output.has(_job_id(stored), stored.seq):
                            read += 1
                            if (one := self._shown(stored)) is not None:
                                shown.append(one)
                        if stored.seq >= last:
                            break
                        if self._is_turn(stored):
                            await self._budget.turn()
            if count and (read, part.after) != (count, last):
                raise BusUnavailable("events were removed from the stream while they were replayed")
        return sorted(shown, key=_seq)

    def _shown(self, stored: Stored) -> Encoded | None:
        told = stored if self._carried is None else self._carried.told(stored)
        one = self._parser.parse(told, now=self._now)
        return one if one is not None and one.event.action in self._actions else None

    def _is_turn(self, stored: Stored) -> bool:
        """Whether it is time to let others have the loop, after this event."""
        self._since_turn += len(stored.data) + TURN_EVENT
        if self._since_turn <= TURN_BYTES:
            return False
        self._since_turn = 0
        return True


def _seq(one: Encoded) -> int:
    return one.seq


def _batch(events: Iterable[Encoded]) -> Batch:
    batch = Batch(CLIENT)
    for one in events:
        batch.add(one)
    return batch


async def _each(events: Iterable[Stored]) -> AsyncGenerator[Stored]:
    for stored in events:
        yield stored


def _job_id(stored: Stored) -> str:
    address = subjects.parse(stored.subject)
    return (address.job_id if address is not None else None) or ""
