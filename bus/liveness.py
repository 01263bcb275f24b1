"""Who runs a job: the instance that its `job_started` names, for as long as that instance lives.

An instance is one process that runs jobs, such as a Celery child. While it lives it keeps a lease: a key in a NATS
key-value bucket whose entries expire. The lease alone says who lives; silence says nothing, because anybody may listen.
An instance also answers requests on a subject of its own: whether it runs a job, and that a job was cancelled.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable

import structlog

from bus import leases, subjects
from bus.client import Bus, Subscription
from bus.errors import BusError, BusUnavailable, NoLease, NotPermitted, StreamConflict

RENEW_EVERY = 3.0
"""Seconds between two renewals; three of them may fail before the lease is gone (see `leases.AGE`)."""
RENEW_AGAIN = 0.5
"""Seconds until the next try after a renewal that failed."""
LONGEST_SILENCE = leases.AGE - RENEW_EVERY
"""Seconds after a renewal for which this process counts as proven to live."""
SETTLE = 8.0
"""Seconds of looks without a failure before a missing lease means anything: time for the living to renew theirs."""
LOOKS = 3
"""How often an instance that does not answer is asked before it is taken for one that may run the job all the same."""
SUSPECT_FOR = 0.5
"""Seconds between two looks: a lease that is missing in both is gone, and not only late."""

log = structlog.get_logger(__name__)


class Instance:
    """This process as one that runs jobs. All of it is used on the bus's event loop.

    Args:
        bus: its connection to NATS.
        instance: a name that no other process ever has.
    """

    def __init__(self, bus: Bus, instance: str) -> None:
        self.bus = bus
        self.id = instance
        self._subject = subjects.instance(instance)
        self._holder = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        self._jobs: dict[str, Callable[[], None]] = {}
        self._subscription: Subscription | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._declared = False
        self._renewed = float("-inf")

    async def prove(self) -> None:
        """Make sure that others can see this process live, and can reach it. Cheap when it was so lately.

        Raises:
            NoLease: it cannot, and why; then it must not take a job.
            BusUnavailable: NATS is away.
        """
        async with self._lock:
            if time.monotonic() - self._renewed > LONGEST_SILENCE:
                try:
                    await self._renew()
                except (StreamConflict, NotPermitted) as error:
                    raise NoLease(str(error)) from error
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._keep_renewing(), name="lease")

    def begin(self, job_id: str, on_cancel: Callable[[], None]) -> bool:
        """Note that this process works on a job. False when it does so already.

        Args:
            on_cancel: called on the event loop when the job was cancelled.
        """
        if job_id in self._jobs:
            return False
        self._jobs[job_id] = on_cancel
        return True

    def works_on(self, job_id: str) -> bool:
        """Whether this process works on a job."""
        return job_id in self._jobs

    def end(self, job_id: str) -> None:
        """Note that this process no longer works on a job."""
        self._jobs.pop(job_id, None)

    async def close(self) -> None:
        """Give the lease up: what this process has begun is nobody's from now on."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            try:
                await leases.give_up(self.bus, self.id)
            except BusError as error:
                log.debug("the lease was not given up; it expires by itself", error=str(error))
        if self._subscription is not None:
            await self._subscription.close()

    async def _keep_renewing(self) -> None:
        trouble = ""
        while True:
            await asyncio.sleep(RENEW_AGAIN if trouble else RENEW_EVERY)
            try:
                async with self._lock:
                    await self._renew()
            except Exception as error:
                if str(error) != trouble:
                    log.warning("the lease of this worker could not be renewed; trying again", error=str(error))
                trouble = str(error) or type(error).__name__
            else:
                trouble = ""

    async def _renew(self) -> None:
        await self._hear_itself()
        if not self._declared:
            await leases.declare(self.bus)
        self._declared = False  # and declared again, should the bucket be gone
        await leases.put(self.bus, self.id, self._holder)
        self._declared = True
        self._renewed = time.monotonic()

    async def _hear_itself(self) -> None:
        if self._subscription is None:
            self._subscription = await self.bus.respond(self._subject, self._answer)
        word = secrets.token_hex(4)
        try:
            answer = await self.bus.request(self._subject, f"echo {word}".encode(), timeout=leases.LEASE_TIMEOUT)
        except BusUnavailable as error:
            if not error.maybe_done and not self.bus.connected:
                raise
            raise NoLease(f"it does not hear itself: {error}", publish=self._subject) from error
        if answer != word.encode():
            # Refused once is refused for ever: the next try subscribes anew.
            await self._subscription.close()
            self._subscription = None
            raise NoLease("it does not hear of cancelled jobs", subscribe=self._subject)

    def _answer(self, request: bytes) -> bytes:
        verb, _, word = request.decode(errors="replace").partition(" ")
        if verb == "echo":
            return word.encode()
        on_cancel = self._jobs.get(word)
        if on_cancel is not None and verb == "cancel":
            on_cancel()
        return b"no" if on_cancel is None else b"yes"


async def tell_cancelled(bus: Bus, instance: str | None, job_id: str) -> bool:
    """Tell the instance that runs a job that it was cancelled. False when none does.

    Raises:
        BusUnavailable: NATS itself is away.
    """
    return instance is not None and await _ask(bus, instance, f"cancel {job_id}") is not False


async def is_running(bus: Bus, instance: str | None, job_id: str) -> bool:
    """Whether a started job must be left alone, for all that can be known within seconds.

    False when its instance gave up its lease, or says that it does not run the job. One that is silent still may, until
    its lease is found missing by an `Observer`.

    Raises:
        BusUnavailable: NATS is away.
    """
    if instance is None:
        return True
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(SUSPECT_FOR)
        if await leases.was_given_up(bus, instance):
            return False
        answer = await _ask(bus, instance, f"runs {job_id}")
        if answer is not None:
            return answer
    return True


async def denies(bus: Bus, instance: str, job_id: str) -> bool:
    """Whether the instance lives and says that it does not run the job.

    Raises:
        BusUnavailable: NATS itself is away.
    """
    return await _ask(bus, instance, f"runs {job_id}") is False


async def _ask(bus: Bus, instance: str, question: str) -> bool | None:
    """What the instance says; None for silence."""
    try:
        answer = await bus.request(subjects.instance(instance), question.encode(), timeout=1.0)
    except BusUnavailable as error:
        if error.maybe_done:
            return None
        raise
    return {b"yes": True, b"no": False}.get(answer or b"")


class Observer:
    """Tells which instances are gone, from a look at all leases now and then.

    A lease is missing for good when two looks in a row did not find it, and looks have succeeded for `SETTLE` seconds
    without a pause: after an outage, or in a bucket that was made anew, the living need time to renew.
    """

    def __init__(self) -> None:
        self._made: str | None = None
        self._last = self._settled_at = float("-inf")
        self._missing: dict[str, float] = {}

    @property
    def suspects(self) -> bool:
        """Whether a lease was missing at the last look, so that the next look should come soon."""
        return bool(self._missing)

    async def look(self, bus: Bus, instances: Iterable[str]) -> set[str]:
        """Which of these instances are gone: dead, or frozen for so long that they count as dead.

        A look for none costs little, and counts as one.

        Raises:
            BusUnavailable, NoLease: NATS is away, or does not tell; nobody is gone then.
            StreamConflict: the bucket is another program's.
        """
        instances = set(instances)
        try:
            made, found = await leases.read_all(bus) if instances else (await leases.made(bus), set())
        except BaseException:
            self._made = None
            raise
        now = time.monotonic()
        if made != self._made or now - self._last > SETTLE:
            self._made, self._settled_at, self._missing = made, now + SETTLE, {}
        self._last = now
        self._missing = {instance: self._missing.get(instance, now) for instance in instances if instance not in found}
        if now < self._settled_at:
            return set()
        return {instance for instance, since in self._missing.items() if now - since >= SUSPECT_FOR}
