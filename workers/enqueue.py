"""Enqueue from asyncio without blocking the loop, whatever state Redis is in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import structlog
from celery import Celery

from bus import Bus, BusError, Settings
from bus.backoff import Backoff
from bus.job_log import JobState
from workers.config import create_celery
from workers.errors import BacklogFull, BrokerUnavailable, ForeignRedis
from workers.redis_owner import REDIS_ERRORS, RENEWED_EVERY, Identity, hand_over, settle
from workers.task_message import send

log = structlog.get_logger(__name__)

T = TypeVar("T")

LARGEST_BATCH = 100
"""Jobs handed over in one command."""
ENQUEUE_AGAIN = 0.2
ENQUEUE_AGAIN_LONGEST = 5.0


class Enqueuer:
    """Hands stored jobs to Celery from a thread of its own, in the order they came, all that wait at a time.

    `put` never waits: a job whose task cannot be handed over stays in line until Redis is back.

        async with Enqueuer(settings, bus) as enqueuer:
            enqueuer.put(job)

    Args:
        settings: where Redis is, and the deadlines.
        bus: to ask which system this is; without it nobody looks whose Redis it is.
    """

    def __init__(self, settings: Settings, bus: Bus | None = None) -> None:
        self._settings = settings
        self._bus = bus
        self._identity: Identity | None = None
        self._celery: Celery = create_celery(settings, socket_timeout=settings.enqueue_timeout)
        self._waiting: asyncio.Queue[JobState] = asyncio.Queue(settings.enqueue_backlog)
        self._places = 0
        """In line, kept for jobs that are about to be stored."""
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="enqueue")  # one for jobs, one for pings
        self._tasks: list[asyncio.Task[None]] = []
        self._away = False

    async def __aenter__(self) -> Enqueuer:
        """Begin, on a Redis that is this system's as far as one can see; one that is away is looked at later.

        Raises:
            ForeignRedis: it is another system's.
        """
        if self._bus is not None:
            await self._settle(self._bus)
        self._tasks = [asyncio.create_task(self._work(), name="enqueue")]
        if self._bus is not None:
            self._tasks.append(asyncio.create_task(self._renew(self._bus), name="renew the claim on Redis"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give what waits one more moment, then stop."""
        if not self._away:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), self._settings.enqueue_timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if left := self._waiting.qsize():
            log.warning("jobs were not handed to Redis before the end; they stay queued in the stream", jobs=left)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._celery.close()

    @contextmanager
    def place(self) -> Iterator[Callable[[JobState], Awaitable[None]]]:
        """Keep a place in line for a job that is about to be stored: what is given takes it, and always has room.

            with enqueuer.place() as enqueue:
                await enqueue(await job_log.create(...))

        Raises:
            BacklogFull: `enqueue_backlog` jobs wait already, or are about to.
        """
        self._require_room()
        self._places += 1
        try:
            yield self._take
        finally:
            self._places -= 1

    def put(self, job: JobState) -> None:
        """Take a stored job for enqueueing.

        Raises:
            BacklogFull: `enqueue_backlog` jobs wait already, or are about to.
        """
        self._require_room()
        self._waiting.put_nowait(job)

    def waiting(self) -> int:
        """How many jobs wait for Redis."""
        return self._waiting.qsize()

    async def _take(self, job: JobState) -> None:
        self._waiting.put_nowait(job)

    def _require_room(self) -> None:
        if self._waiting.qsize() + self._places >= self._waiting.maxsize:
            raise BacklogFull(f"{self._waiting.maxsize} jobs wait for Redis already; try again later")

    async def ping(self) -> None:
        """Ask Redis whether it would take a task now; nothing is left there.

        Raises:
            BrokerUnavailable: it would not, it cannot be reached, or does not answer within `enqueue_timeout`.
        """
        try:
            async with asyncio.timeout(self._settings.enqueue_timeout):
                await self._in_thread(self._ping)
        except ForeignRedis as error:
            raise BrokerUnavailable(str(error)) from error
        except REDIS_ERRORS as error:
            raise BrokerUnavailable.because(error) from error

    def _ping(self) -> None:
        with self._celery.connection_for_write() as connection:
            _ = connection.default_channel  # opening it is the question: see workers.transport.check_writable
            if self._identity is not None:
                hand_over(connection, self._identity)

    async def _settle(self, bus: Bus) -> None:
        over = threading.Event()

        def give_up() -> None:
            if over.is_set():
                raise BrokerUnavailable("nobody waits for it any more")

        try:
            await self._know(bus)
            await self._in_thread(settle, self._celery, self._identity, give_up)
        except ForeignRedis:
            self._celery.close()
            raise
        except (BusError, *REDIS_ERRORS) as error:
            log.warning("whose Redis it is will be looked at later", error=str(error) or type(error).__name__)
        finally:
            over.set()

    async def _renew(self, bus: Bus) -> None:
        """Say every few seconds that this system lives, and notice when its event stream was made anew."""
        while True:
            await asyncio.sleep(RENEWED_EVERY)
            try:
                await self._know(bus)
                await self.ping()
            except (BusError, BrokerUnavailable) as error:
                log.debug("could not renew the claim on Redis", error=str(error))
            except Exception:
                log.exception("renewing the claim on Redis failed; trying again")

    async def _know(self, bus: Bus) -> None:
        epoch = (await bus.stream.state()).epoch
        self._identity = Identity(epoch) if self._identity is None else self._identity.now(epoch)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _work(self) -> None:
        while True:
            jobs = [await self._waiting.get()]
            while not self._waiting.empty() and len(jobs) < LARGEST_BATCH:
                jobs.append(self._waiting.get_nowait())
            try:
                await self._hand_over(jobs)
            finally:
                for _ in jobs:
                    self._waiting.task_done()

    async def _hand_over(self, jobs: list[JobState]) -> None:
        backoff = Backoff(ENQUEUE_AGAIN, ENQUEUE_AGAIN_LONGEST)
        while True:
            try:
                await self._in_thread(send, self._celery, jobs, self._identity)
            except (*REDIS_ERRORS, ForeignRedis) as error:
                if not self._away:
                    log.warning("jobs cannot be handed to Redis and wait in line", error=str(error))
                self._away = True
                await asyncio.sleep(backoff.pause())
            except Exception:
                log.exception("handing jobs to Redis failed in an unexpected way; trying again")
                await asyncio.sleep(backoff.pause())
            else:
                if self._away:
                    log.info("Redis is back")
                self._away = False
                return


def enqueue_once(settings: Settings, job: JobState, identity: Identity | None = None) -> None:
    """Hand one stored job to Celery and wait for Redis to take it: for a program that hands in a job and ends.

    Args:
        identity: of the job's system; without it nobody looks whose Redis it is.

    Raises:
        ForeignRedis: it is another system's; the job stays queued like below.
        BrokerUnavailable: Redis did not take it within `enqueue_timeout` or a little more. The job stays queued in
            the stream, and a worker's reconciler enqueues it.
    """
    celery = create_celery(settings, socket_timeout=settings.enqueue_timeout)
    try:
        send(celery, [job], identity)
    except REDIS_ERRORS as error:
        raise BrokerUnavailable.because(error) from error
    finally:
        celery.close()
