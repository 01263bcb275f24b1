"""Reads stored events back by batched direct get (ADR-31 of the NATS architecture), so that no consumer is needed.

What is on its way from NATS is bounded in bytes for the whole process. More would not only need memory: the answers to
everybody's appends come behind it on the same connection, and past `max_pending` (64 MiB) NATS cuts the process off. An
answer that nobody waits for any more is sent all the same, so it counts until it has ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import nats.errors
from nats.aio.msg import Msg

from bus import subjects
from bus.byte_budget import ByteBudget
from bus.errors import BusUnavailable, ReplayIncomplete
from bus.requests import NO_RESPONDERS
from bus.settings import Settings
from bus.stored import Stored, from_direct

READ_EVENTS = 256
"""Most events of one direct get."""
READ_BYTES = 128 * 1024
"""Bytes after which NATS ends the answer to one direct get; the event that passes it is still in it."""
MOMENT = 0.05
"""Seconds of which the deadline of an answer need not take notice."""
IN_FLIGHT = 8 * 1024 * 1024
"""Bytes that may be on their way from NATS."""


class Connection(Protocol):
    """What a replay uses of a NATS connection."""

    @property
    def is_connected(self) -> bool: ...
    @property
    def max_payload(self) -> int: ...
    def hear_answers(self, on_answer: Callable[[Msg], None]) -> AbstractContextManager[str]: ...
    async def publish(self, subject: str, payload: bytes, *, reply: str) -> None: ...


@dataclass(slots=True)
class _Answer:
    """What has come of the answer to one direct get."""

    events: list[Stored] = field(default_factory=list)
    more: bool = False


class Replays:
    """Direct gets over one NATS connection.

    Args:
        connection: where to ask.
        settings: `append_timeout`, the longest silence.
    """

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._patience = settings.append_timeout
        self._in_flight = ByteBudget(IN_FLIGHT)
        self._asking: set[asyncio.Task[_Answer]] = set()
        """Each ends with its answer, or at its deadline."""

    async def read(self, subject: str, *, after: int, events: int | None = None) -> AsyncGenerator[list[Stored], None]:
        """Stored events of a subject (wildcards allowed) with a sequence larger than `after`, in order, some at a time.

        Args:
            events: how many at most; None for all, those included that are stored meanwhile.

        Raises:
            BusUnavailable: NATS was silent past `append_timeout`, or not all of an answer arrived.
        """
        more, left = True, events
        while more and left != 0:
            if not self._connection.is_connected:
                raise BusUnavailable("NATS is away; try again when it is back")
            # The bound on bytes is passed by the last event, which may be as large as NATS takes.
            size = await self._in_flight.take(READ_BYTES + max(0, self._connection.max_payload))
            batch = self._batch(subject, after, READ_EVENTS if left is None else min(READ_EVENTS, left))
            asking = asyncio.create_task(batch, name="read from the stream")
            self._asking.add(asking)
            asking.add_done_callback(partial(self._asked, size))
            answer = await asyncio.shield(asking)
            more = answer.more
            left = None if left is None else left - len(answer.events)
            if answer.events:
                after = answer.events[-1].seq
                yield answer.events

    def _asked(self, size: int, asking: asyncio.Task[_Answer]) -> None:
        self._asking.discard(asking)
        self._in_flight.give_back(size)
        if not asking.cancelled():
            asking.exception()  # seen, whether or not somebody still waits for it

    async def _batch(self, subject: str, after: int, events: int) -> _Answer:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        answer = _Answer()
        ended: asyncio.Future[None] = loop.create_future()
        deadline = asyncio.timeout(self._patience)

        def on_message(message: Msg) -> None:
            nonlocal heard
            if ended.done() or deadline.expired():
                return
            headers = message.headers or {}
            # Each names the one before it, so that one which was dropped on the way is missed.
            last = str(answer.events[-1].seq if answer.events else 0)
            if headers.get("Nats-Last-Sequence", last) != last:
                ended.set_exception(ReplayIncomplete("part of a replay was lost on its way; try again"))
            elif "Nats-Sequence" in headers:  # whatever else its publisher wrote there, a Status too
                if (now := loop.time()) > heard + MOMENT:
                    deadline.reschedule(now + self._patience)
                    heard = now
                answer.events.append(from_direct(message.data, headers))
            elif (status := headers.get("Status")) in ("204", "404"):
                answer.more = headers.get("Nats-Num-Pending", "0") != "0"
                ended.set_result(None)
            elif status == NO_RESPONDERS:
                text = (
                    f"nobody answers a replay: the stream {subjects.STREAM} is away, or was edited to deny direct gets"
                )
                ended.set_exception(BusUnavailable(text))
            else:
                text = f"NATS refused a replay: {status} {headers.get('Description', '')}"
                ended.set_exception(BusUnavailable(text))

        request = {"seq": after + 1, "next_by_subj": subject, "batch": events, "max_bytes": READ_BYTES}
        try:
            with self._connection.hear_answers(on_message) as reply:
                async with deadline:
                    await self._connection.publish(
                        f"$JS.API.DIRECT.GET.{subjects.STREAM}", json.dumps(request).encode(), reply=reply
                    )
                    await ended
            return answer
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(
                f"NATS did not go on with a replay within {self._patience:g} s; see whether it is up and not "
                "overloaded, then try again"
            ) from error
