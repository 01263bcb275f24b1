"""What all jobs of one process share: the bus, and the instance that the process is to others."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from bus import AppendRefused, Bus, BusError, CorruptJob, InvalidName, NoLease, Settings, SyncBus, UnknownJob
from bus.backoff import Backoff
from bus.liveness import Instance
from workers.job_loop import JobLoop
from workers.metrics import WorkerMetrics
from workers.resources import Resources

T = TypeVar("T")
Verb = Callable[[Bus], Coroutine[Any, Any, T]]

NATS_AGAIN = 0.2
NATS_AGAIN_LONGEST = 5.0
"""Seconds between two attempts to reach NATS: doubled from the first up to the longest."""

NO_LEASE_PAUSE = 3.0
"""Seconds that a worker that may take no job keeps a task from going round."""

FINAL_ANSWERS = (AppendRefused, UnknownJob, CorruptJob, InvalidName, NoLease)
"""What repeating does not change, or not soon."""

log = structlog.get_logger(__name__)


class WorkerProcess:
    """A Celery child, or a worker whose pool has no children. Made before Celery forks; nothing connects before use.

    Args:
        bus: the bus; each process that uses it has a connection of its own.
        settings: settings of the worker.
        metrics: of the worker, whose `ChildCounter`s alone are for children.
    """

    def __init__(self, bus: SyncBus, settings: Settings, metrics: WorkerMetrics | None = None) -> None:
        self.bus = bus
        self.metrics = metrics or WorkerMetrics(())
        self.settings = settings
        self.loop = JobLoop()
        """For the coroutines of its jobs."""
        self.resources = Resources(self.loop)
        """What its jobs share."""
        self._started = secrets.token_hex(6)
        self._instance: Instance | None = None
        self._epochs: set[str] = set()
        """Of the event stream, as this process has seen them: it may be made anew."""

    def instance_id(self, pid: int) -> str:
        """The instance that a child of this process is; its own with its own pid."""
        return f"{self._started}-{pid}"

    async def instance(self, bus: Bus) -> Instance:
        """The instance that this process is, proven to live. Called on the bus's loop.

        Raises:
            NoLease, BusUnavailable: it cannot be proven; see `Instance.prove`.
        """
        if self._instance is None or self._instance.bus is not bus:
            self._epochs.add((await bus.stream.state()).epoch)
            self._instance = Instance(bus, self.instance_id(os.getpid()))
        await self._instance.prove()
        return self._instance

    async def is_ours(self, bus: Bus, epoch: str | None) -> bool:
        """Whether an epoch is that of this system's event stream, or was since this process began.

        Raises:
            BusUnavailable: NATS is away.
        """
        self._epochs.add((await bus.stream.state()).epoch)
        return epoch in self._epochs

    def persist(self, verb: Verb[T], *, between: Callable[[], None] = lambda: None) -> T:
        """Repeat `verb` with growing pauses until it has an answer, however long NATS is away.

        Args:
            between: called after each failure; what it raises ends the waiting.

        Raises:
            AppendRefused, UnknownJob, CorruptJob, InvalidName, NoLease: the answers that are none.
        """
        backoff = Backoff(NATS_AGAIN, NATS_AGAIN_LONGEST)
        while True:
            try:
                return self.bus.call(verb)
            except Exception as error:
                _tell_or_raise(error, pause := backoff.pause())
            between()
            time.sleep(pause)

    def close(self) -> None:
        """Close what jobs have kept, give up the lease, and disconnect."""
        self.resources.close()
        self.loop.close()
        instance, self._instance = self._instance, None
        if instance is not None and instance.id == self.instance_id(os.getpid()):

            async def give_up(bus: Bus) -> None:
                if bus is instance.bus:
                    await instance.close()

            try:
                self.bus.call(give_up, timeout=self.settings.append_timeout)
            except BusError as error:
                log.debug("the lease was not given up; it expires by itself", error=str(error))
        self.bus.close()


async def persist(bus: Bus, verb: Verb[object]) -> None:
    """Repeat `verb` on the bus's loop with growing pauses, however long NATS is away.

    When somebody else took the step (`AppendRefused`), there is nothing left to do, and it returns.

    Raises:
        UnknownJob, CorruptJob, InvalidName, NoLease: repeating does not change these answers.
    """
    backoff = Backoff(NATS_AGAIN, NATS_AGAIN_LONGEST)
    while True:
        try:
            await verb(bus)
        except AppendRefused:
            return
        except Exception as error:
            _tell_or_raise(error, pause := backoff.pause())
            await asyncio.sleep(pause)
        else:
            return


def _tell_or_raise(error: Exception, pause: float) -> None:
    if isinstance(error, FINAL_ANSWERS):
        raise error
    if isinstance(error, BusError):
        log.warning("waiting for NATS", error=str(error), retry_in=pause)
    else:
        log.error("the bus failed in an unexpected way; trying again", retry_in=pause, exc_info=error)
