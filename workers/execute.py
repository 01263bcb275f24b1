"""Claim a job, run it, append its end: what every Celery task of this system does.

A task is acknowledged when `execute` returns, so it returns only when the job has its end in the stream, or when
somebody else answers for the job.
"""

from __future__ import annotations

import secrets
import time
from contextlib import AbstractContextManager, suppress

import structlog
from celery.exceptions import Reject

from bus import (
    AppendRefused,
    Bus,
    BusUnavailable,
    CorruptJob,
    InvalidName,
    NoLease,
    UnknownJob,
    job_log,
    liveness,
    traces,
)
from bus.job_log import JobState
from bus.tracebacks import described
from bus.traces import Span
from workers import ends
from workers.attempt import Attempt
from workers.cancelled import Cancelled
from workers.interrupt import Signals
from workers.limits import Limits
from workers.process import NO_LEASE_PAUSE, WorkerProcess
from workers.registry import Job
from workers.retrying import NextAttempt
from workers.running_job import AlreadyRunning, RunningJob
from workers.ticket import Ticket

CLAIM_PATIENCE = 5.0
"""Seconds that a task which has not been begun waits here for a NATS that is away."""

log = structlog.get_logger(__name__)


def execute(
    job: Job,
    client_id: str,
    job_id: str,
    process: WorkerProcess,
    ticket: Ticket | None = None,
    limits: Limits | None = None,
    *,
    system: str | None = None,
) -> None:
    """Bring one job to its stored end, or leave it to whoever answers for it.

    While NATS is away a task that has been begun, or may have been, waits for it with this worker, unacknowledged. One
    that has not goes back to Redis after a few seconds: other workers may be able to use NATS.

    Args:
        ticket: what the task tells of the job; without it, or when the job has moved on since, the job is read.
        limits: how long one attempt may take; by default what the job asks for.
        system: the epoch of the event stream that the task says its job is in.

    Raises:
        Reject: this worker cannot prove that it lives, or cannot use NATS, and the task goes back to Redis; or the job
            is unknown here, and the task may be another system's: it is left in Redis.
    """
    named = structlog.contextvars.bound_contextvars(job_id=job_id, client_id=client_id, type=job.name)
    with named, traces.of_a_job(), Signals() as signals:
        execution = Execution(job, client_id, job_id, process, limits or Limits.of(job), signals)
        try:
            execution.run(ticket)
        except UnknownJob as error:
            if not process.persist(lambda bus: process.is_ours(bus, system)):
                log.warning("left a task in Redis that may be another system's", error=described(error))
                process.metrics.returned.add("foreign")
                raise Reject("another system's task", requeue=False) from None
            log.warning("dropped a task whose job is gone", error=described(error))
        except (CorruptJob, InvalidName) as error:
            log.warning("dropped a task without a job behind it", error=described(error))
        except AlreadyRunning:
            log.info("this process works on the job already; this task is dropped")
        except (NoLease, NatsAway) as error:
            log.error("gave a task back", error=described(error))
            process.metrics.returned.add("no_lease" if isinstance(error, NoLease) else "nats_away")
            time.sleep(NO_LEASE_PAUSE)
            raise Reject(str(error), requeue=True) from error
        finally:
            execution.running.end()


class NatsAway(Exception):
    """NATS has been away for longer than a task waits for it that has not been begun."""


class Execution:
    """One worker's work on one job: as many attempts as the job may have, then its end."""

    def __init__(
        self, job: Job, client_id: str, job_id: str, process: WorkerProcess, limits: Limits, signals: Signals
    ) -> None:
        self._job = job
        self._client_id = client_id
        self._job_id = job_id
        self._process = process
        self._limits = limits
        self._signals = signals
        self._cancelled = Cancelled()
        self._began = self._taken = time.monotonic()
        self._perhaps_claimed = False
        """Whether a claim was sent whose answer is missing: then nobody else may be told to take the job."""
        self.running = RunningJob(client_id, job_id, process, self._on_cancel)

    def run(self, ticket: Ticket | None) -> None:
        """Claim the job, run it, and store its end. `execute` answers the errors of the bus that this raises."""
        attempt = self._claim_if_open(ticket)
        while attempt is not None:
            with self._span(attempt.state) as span:
                outcome = attempt.run()
                if not isinstance(outcome, NextAttempt):
                    self._end(outcome, span)
                    return
                span.end("job_retrying")
            attempt = self._claim_again(attempt, outcome)

    def _span(self, state: JobState) -> AbstractContextManager[Span]:
        known: dict[str, str | int] = {"busctl.job.id": self._job_id, "busctl.job.type": self._job.name}
        known |= {"busctl.attempt": state.attempt, "messaging.destination.name": state.request.queue}
        return traces.span(f"run {self._job.name}", state.request.traceparent, "consumer", known)

    def _read(self) -> JobState:
        return self._process.persist(
            lambda bus: job_log.read(bus.stream, self._client_id, self._job_id), between=self._not_for_long
        )

    def _is_running(self, state: JobState) -> bool:
        if self.running.answers_as(state.instance):
            return False  # it is this very task for which this process would say yes
        return self._process.persist(lambda bus: liveness.is_running(bus, state.instance, state.job_id))

    def _not_for_long(self) -> None:
        if not self._perhaps_claimed and time.monotonic() - self._taken > CLAIM_PATIENCE:
            raise NatsAway(f"NATS has been away for {CLAIM_PATIENCE:g} s, and the task has not been begun")

    def _claim_if_open(self, ticket: Ticket | None) -> Attempt | None:
        if ticket is not None and ticket.attempt < self._job.max_attempts:
            state = ticket.job(self._client_id, self._job_id)
        else:
            state = self._read()
        while not state.ended:
            if state.held and self._is_running(state):
                log.info("another worker runs the job; this task is dropped")
                return None
            if state.attempt >= self._job.max_attempts:
                self._end(ends.failed(state, ends.worker_died(state)))
                return None
            if (attempt := self._claim(state)) is not None:
                return attempt
            state = self._read()
        log.info("the job has ended already; nothing to do")
        return None

    def _claim_again(self, attempt: Attempt, following: NextAttempt) -> Attempt | None:
        again = None
        with suppress(AppendRefused):
            waiting = self._process.persist(following.note(attempt.state), between=self._signals.release_if_overdue)
            self._signals.release()
            log.info("the job will be tried again", seconds=round(following.pause, 3))
            if not self._cancelled.wait(following.pause):
                self._taken = time.monotonic()
                again = self._claim(waiting)
            elif attempt.over_time:  # which came just after the function had raised
                self._end(ends.failed(waiting, self._limits.reason))
        if again is None:
            log.info("the job was ended by somebody else meanwhile")
        return again

    def _claim(self, state: JobState) -> Attempt | None:
        traces.bind(state.request.traceparent)
        message_id = secrets.token_hex(12)  # one for all repetitions
        try:
            return self._process.persist(lambda bus: self._start(bus, state, message_id), between=self._not_for_long)
        except AppendRefused:
            log.info("somebody else took the next step of the job; looking again")
            self._process.metrics.refused.add("claim")
            return None
        finally:
            self._perhaps_claimed = False

    async def _start(self, bus: Bus, state: JobState, message_id: str) -> Attempt:
        # Answer for the job first, then begin its next attempt, whose time runs from now on.
        try:
            instance = await self.running.begin(bus)
        except NoLease as error:
            if self._perhaps_claimed:
                raise BusUnavailable(str(error)) from error  # which is waited for
            raise
        self._began = time.monotonic()
        perhaps_claimed, self._perhaps_claimed = self._perhaps_claimed, True
        try:
            started = await job_log.start(bus.stream, state, instance=instance, message_id=message_id)
        except BusUnavailable as error:
            self._perhaps_claimed = perhaps_claimed or error.maybe_done
            raise
        log.info("job started", attempt=started.attempt)
        process, running, limits = self._process, self.running, self._limits
        return Attempt(self._job, started, bus, process, running, limits, self._cancelled, self._signals)

    def _end(self, end: ends.End, span: Span | None = None) -> None:
        async def end_and_let_go(bus: Bus) -> JobState:
            ended = await end(bus)
            self.running.let_go()
            return ended

        try:
            ended = self._process.persist(end_and_let_go, between=self._signals.release_if_overdue)
        except AppendRefused:
            log.info("the job was ended by somebody else meanwhile; this end is dropped")
            self._process.metrics.refused.add("end")
        else:
            seconds = round(time.monotonic() - self._began, 3)
            if span is not None:
                span.end(ended.state)
            log.info("job ended", state=ended.state, attempt=ended.attempt, seconds=seconds)

    def _on_cancel(self) -> None:
        if not self._cancelled.is_set():  # or what the function does in the end would be left, too
            self._cancelled.set()
            self._signals.interrupt()
