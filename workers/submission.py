"""Submit, cancel and retry: what can be done about jobs, the same for every way in.

from workers import submission

job_id = submission.new_job_id("ann", key="order-17")
task = TaskPayload(task_type="translate", content="hello")
done = await submission.submit(
    bus, jobs, task, client_id="ann", job_id=job_id, queue=enqueuer.place(), client_jobs=client_jobs
)
await submission.cancel(bus, "ann", job_id)
again = submission.new_job_id("ann")
await submission.retry(bus, jobs, job_id, client_id="ann", job_id=again, queue=enqueuer.place())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import structlog

from bus import AppendRefused, Bus, BusUnavailable, CorruptJob, UnknownJob, job_log, liveness, times, traces
from bus.job_log import JobRequest, JobState
from bus.messages import MOST_AHEAD, TaskPayload
from workers.client_jobs import Acceptance, ClientJobs
from workers.errors import JobNotEnded, TooFarAhead, TooManyBytes, TooManyJobs
from workers.registry import Job, resolve

log = structlog.get_logger(__name__)

Place: TypeAlias = AbstractContextManager[Callable[[JobState], Awaitable[None]]]
"""A place among the jobs whose tasks wait for Redis: taken on entering, used by calling what that gives."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of a submit.

    Args:
        job: how the job stands.
        accepted: whether the job was accepted just now; False when its id was used before, and then nothing was done.
    """

    job: JobState
    accepted: bool


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What came of a cancel.

    Args:
        job: how the job stands.
        cancelled: False when the job had ended already, as `job` says.
        untold: why the process that runs the job could not be told: it may work on for a while, and what it returns
            is not shown. None when it was told, or when no process ran the job.
    """

    job: JobState
    cancelled: bool
    untold: BusUnavailable | None = None


def new_job_id(client_id: str, key: str | None = None) -> str:
    """An unguessable job id; with an idempotency key, the one id that the key stands for among the client's jobs.

    Raises:
        ValueError: the key is no valid Unicode.
    """
    try:
        return job_log.new_job_id() if key is None else job_log.job_id_of_key(client_id, key)
    except UnicodeEncodeError as error:
        raise ValueError(f"{key!r} is no key: it has lone surrogates, which are no valid Unicode") from error


async def submit(
    bus: Bus,
    jobs: Mapping[str, Job],
    task: TaskPayload,
    *,
    client_id: str,
    job_id: str,
    queue: Place,
    client_jobs: ClientJobs | None = None,
    ref: str | None = None,
    not_before: datetime | None = None,
    traceparent: str | None = None,
) -> Submission:
    """Accept a job: store it, then hand its task to Celery.

    A job that is stored is accepted, whatever becomes of its task: workers enqueue a job again that has none.

    Args:
        jobs: the registered jobs by name; a type that is not among them runs `default`, if there is that one.
        job_id: as `new_job_id` makes it.
        queue: its place is taken before the job is stored, so that no stored job has to be refused. What it gives is
            called with the stored job, unless it has to wait for earlier ones of its client, and must not raise.
        client_jobs: how many a client may have; without it, as many as it wants.
        ref: of the frame that asked for it.
        not_before: when it may begin, with a time zone. Until then it waits in the log, without a task.
        traceparent: the step of a trace that asks for it; see `bus.traces`.

    Raises:
        BusUnavailable: NATS is away or silent; the job is not stored, or (`maybe_done`) perhaps it is.
        Misfit: the content is not what a job of this type takes; nothing was stored.
        EventTooLarge: the content is larger than NATS takes; nothing was stored.
        CorruptJob: the id was used before, for a job whose events are foreign.
        UnknownTaskType: no job runs it; nothing was stored.
        TooManyJobs, TooManyBytes: the client has as many open jobs as it may, or they take as much of the stream as
            they may; nothing was stored.
        TooFarAhead: it may begin in more than `MOST_AHEAD` seconds; nothing was stored.
        ValueError: `not_before` has no time zone; nothing was stored.
        InvalidName: the client id or the job id cannot be one.
        Exception: what taking the place raises, such as `BacklogFull`; nothing was stored.
    """
    runs = resolve(jobs, task.task_type)
    runs.signature.check(task.content)
    request = JobRequest(
        task_type=task.task_type,
        job_type=runs.name,
        content=task.content,
        queue=runs.queue,
        not_before=_later(not_before),
        traceparent=traceparent,
    )
    return await _accept(bus, request, client_id, job_id, queue, client_jobs, ref)


async def retry(
    bus: Bus,
    jobs: Mapping[str, Job],
    ended_id: str,
    *,
    client_id: str,
    job_id: str,
    queue: Place,
    client_jobs: ClientJobs | None = None,
    ref: str | None = None,
    traceparent: str | None = None,
) -> Submission:
    """Do a job again that has ended, however it did: accept a new one with the same request.

    The job that has ended stays as it is: a job has one end.

    Args:
        ended_id: the job to do again. It is the same client's.
        jobs, job_id, queue, client_jobs, ref, traceparent: of the new job, as for `submit`.

    Raises:
        UnknownJob, CorruptJob: there is no such job, or what it was asked for is past retention.
        JobNotEnded: it is queued or running.
        Misfit: its content is no longer what such a job takes.
        BusUnavailable, EventTooLarge, UnknownTaskType, TooManyJobs, TooManyBytes, Exception: as for `submit`.
    """
    ended = await job_log.read(bus.stream, client_id, ended_id)
    if not ended.ended:
        raise JobNotEnded(ended_id)
    if ended.request_is_cut:
        raise CorruptJob(f"what job {ended_id} was asked for is past retention, so it cannot be done again")
    runs = resolve(jobs, ended.request.task_type)
    runs.signature.check(ended.request.content)
    asked = {"job_type": runs.name, "queue": runs.queue, "retry_of": ended_id, "not_before": None}
    asked["traceparent"] = traceparent
    request = ended.request.model_copy(update=asked)
    return await _accept(bus, request, client_id, job_id, queue, client_jobs, ref)


def _later(not_before: datetime | None) -> str | None:
    """What is stored of when a job may begin: nothing, if that is now."""
    if not_before is None:
        return None
    if not_before.tzinfo is None:
        raise ValueError(f"{not_before} has no time zone: give not_before one, such as datetime.now(UTC) has")
    ahead = (not_before - datetime.now(UTC)).total_seconds()
    if ahead > MOST_AHEAD:
        raise TooFarAhead(not_before)
    return times.written(not_before) if ahead > 0 else None


async def _accept(
    bus: Bus,
    request: JobRequest,
    client_id: str,
    job_id: str,
    queue: Place,
    client_jobs: ClientJobs | None,
    ref: str | None,
) -> Submission:
    known = {"busctl.job.id": job_id, "busctl.job.type": request.job_type, "messaging.destination.name": request.queue}
    with traces.span(f"submit {request.job_type}", request.traceparent, "producer", known) as span:
        request = request.model_copy(update={"traceparent": span.traceparent})
        return await _accept_in_trace(bus, request, client_id, job_id, queue, client_jobs, ref)


async def _accept_in_trace(
    bus: Bus,
    request: JobRequest,
    client_id: str,
    job_id: str,
    queue: Place,
    client_jobs: ClientJobs | None,
    ref: str | None,
) -> Submission:
    scheduled = request.not_before is not None
    accepting = (
        nullcontext(Acceptance(waits=scheduled))
        if client_jobs is None
        else client_jobs.accept(client_id, request.queue, scheduled=scheduled)
    )
    try:
        async with accepting as acceptance:
            with queue as enqueue:
                submitted = await _store(bus, client_id, request, job_id, ref, acceptance)
                if submitted.accepted:
                    acceptance.stored = submitted.job
                    # Not the type as it was asked for: that is a client's text.
                    told = {"client_id": client_id, "job_id": job_id, "type": request.job_type}
                    log.info("job accepted", **told, waits=acceptance.waits)
                    if not acceptance.waits:
                        await enqueue(submitted.job)
    except (TooManyJobs, TooManyBytes):
        with suppress(UnknownJob):  # a job that was accepted before is none too many
            return Submission(await job_log.read(bus.stream, client_id, job_id), accepted=False)
        raise
    return submitted


async def _store(
    bus: Bus, client_id: str, request: JobRequest, job_id: str, ref: str | None, acceptance: Acceptance
) -> Submission:
    waits, allow = acceptance.waits, acceptance.allow
    while True:  # ends: every refusal means that the id was used, and it is free again only when that job was cut
        try:
            job = await job_log.create(bus.stream, client_id, request, job_id=job_id, ref=ref, waits=waits, allow=allow)
        except AppendRefused:
            with suppress(UnknownJob):  # it was cut since, as a job that ended long ago may be
                return Submission(await job_log.read(bus.stream, client_id, job_id), accepted=False)
        except BusUnavailable as error:
            raise _doubtful(error, f"job {job_id} may have been accepted all the same") from error
        else:
            return Submission(job, accepted=True)


async def cancel(bus: Bus, client_id: str, job_id: str, *, by: str = "") -> Cancellation:
    """Call a job off, queued or running, and tell the process that runs it.

    A cancel that is stored is done, even when NATS goes away before that process was told.

    Args:
        by: who does, if it is not its client.

    Raises:
        UnknownJob, CorruptJob: there is no such job.
        BusUnavailable: NATS is away or silent; the job is not cancelled, or (`maybe_done`) perhaps it is.
    """
    job = await job_log.read(bus.stream, client_id, job_id)
    if job.ended:
        return Cancellation(job, cancelled=False)
    try:
        job = await job_log.cancel(bus.stream, client_id, job_id, by=by)
    except BusUnavailable as error:
        raise _doubtful(error, f"job {job_id} may be cancelled all the same") from error
    if job.state != "job_cancelled":
        return Cancellation(job, cancelled=False)
    log.info("job cancelled", client_id=client_id, job_id=job_id, by=by or "its client")
    try:
        await liveness.tell_cancelled(bus, job.instance, job_id)
    except BusUnavailable as error:
        log.warning("a worker could not be told that its job is cancelled", job_id=job_id, error=str(error))
        return Cancellation(job, cancelled=True, untold=error)
    return Cancellation(job, cancelled=True)


def _doubtful(error: BusUnavailable, doubt: str) -> BusUnavailable:
    """The error with what may have been done, when only the answer of NATS is missing."""
    return BusUnavailable(f"{error}; {doubt}", maybe_done=True) if error.maybe_done else error
