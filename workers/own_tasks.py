"""What each worker sees to itself, because nobody else can: tasks that were revoked here, children that are stuck here.

Only the worker that heard an operator revoke a task knows of it; the one that reconciles may not have heard it.
"""

from __future__ import annotations

import threading

import structlog
from celery.worker.state import revoked

from bus import Bus, BusError, CorruptJob, SyncBus, UnknownJob, job_log, subjects
from bus.liveness import Observer
from workers.main_process import MainProcess, cancel_revoked

log = structlog.get_logger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks."""


class OwnTasks:
    """Looks at this worker's own tasks now and then.

    Args:
        bus: the bus.
        main_process: of this worker.
    """

    def __init__(self, bus: SyncBus, main_process: MainProcess) -> None:
        self._bus = bus
        self._main_process = main_process
        self._leases = Observer()
        self._done: set[str] = set()
        """Revoked tasks of which nothing is left to do."""
        self._stop = threading.Event()

    def run(self, every: float = LOOK_EVERY) -> None:
        """Look every few seconds, until `stop`."""
        while not self._stop.wait(every):
            try:
                self.look()
            except BusError as error:
                log.debug("could not look at this worker's own tasks; trying again", error=str(error))
            except Exception:
                log.exception("looking at this worker's own tasks failed; trying again")

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def look(self) -> None:
        """Cancel the jobs of revoked tasks, and kill children that nothing runs in any more.

        Raises:
            BusError: NATS is away.
        """
        ids = set(revoked)
        self._done &= ids
        for job_id in ids - self._done:
            if self._bus.call(lambda bus, job_id=job_id: _is_over(bus, job_id)):  # type: ignore[misc]
                self._done.add(job_id)
        if overdue := self._main_process.overdue():
            self._main_process.kill_stuck(self._bus.call(lambda bus: self._leases.look(bus, overdue)))


async def _is_over(bus: Bus, job_id: str) -> bool:
    """Cancel the job of a revoked task, unless it runs. Returns whether it has ended, or there is none."""
    try:
        newest = await bus.stream.last(subjects.any_client(job_id))
        address = None if newest is None else subjects.parse(newest.subject)
        if address is None or address.client_id is None:
            return False  # revoked before it was queued
        await cancel_revoked(bus, address.client_id, job_id)
        return (await job_log.read(bus.stream, address.client_id, job_id)).ended
    except (UnknownJob, CorruptJob, ValueError):
        return True
