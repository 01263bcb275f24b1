"""A job's life as events: queued, then started, then exactly one end.

A job's state *is* the last event on its own subject. Every step is appended with the sequence it follows
(`Nats-Expected-Last-Subject-Sequence`), so NATS itself refuses a second end, a second create, or the late word of
a worker that was thought dead.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from bus import subjects, times
from bus.errors import AppendRefused, CorruptJob, UnknownJob
from bus.job_append import append_step
from bus.job_state import JobState
from bus.job_step import DEFAULT_QUEUE, LOST, JobRequest, Step, beginning, carried, step_of, steps
from bus.messages import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobResult,
    JobRetrying,
    JobStarted,
    as_text,
)
from bus.stored import Stored, size
from bus.stream import EventStream

SPARE_BYTES = 384
"""How much longer than its `job_queued` another step of a job may have to be: it names the process that runs the job,
or says in short why it failed, or is carried forward."""


def new_job_id() -> str:
    """An unguessable job id."""
    return secrets.token_hex(8)


def job_id_of_key(client_id: str, key: str) -> str:
    """The job id that a client's idempotency key stands for."""
    return hashlib.sha256(f"{client_id}\0{key}".encode()).hexdigest()[:32]


async def create(
    stream: EventStream,
    client_id: str,
    request: JobRequest,
    *,
    job_id: str,
    ref: str | None = None,
    waits: bool = False,
    allow: Callable[[int], Awaitable[None]] | None = None,
) -> JobState:
    """Accept a job: append `job_queued`, the first event of its subject.

    Args:
        waits: the caller makes no task of it; the reconciler does, when it is the job's turn. Of a request with a
            `not_before` that has not come nobody else may.
        allow: called before anything is stored with about how many bytes of the stream the job will take; what it
            raises is passed on.

    Raises:
        AppendRefused: this client has a job of that id already.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
        StreamFull: there is no room for another job; nothing was stored.
        EventTooLarge: the content is larger than NATS takes, or no later step of the job would fit; nothing was stored.
    """
    content = f"'{request.content}'" if isinstance(request.content, str) else as_text(request.content)
    payload = f"⏳ Job queued: {request.task_type} for {content} (ID: {job_id})"
    stored = JobQueued(payload=payload, job_id=job_id, ref=ref, task_type=request.task_type)
    runs = None if request.job_type == request.task_type else request.job_type
    inside = {"content": request.content, "runs": runs, "retry_of": request.retry_of}
    inside |= {"not_before": request.not_before, "slot": request.slot}
    queued = stored.model_copy(update=inside)
    asked = request.model_dump(exclude_defaults=True)  # in which the rest stands
    frame = stored.encode(request=asked, waits=waits or None)
    data = frame.encode()
    stream.require_room(len(data) + SPARE_BYTES)
    taken = size(data)
    if allow is not None:
        await allow(taken)
    await stream.require_space(taken)
    done = await append_step(stream, subjects.job(client_id, job_id), frame, after=0, traceparent=request.traceparent)
    await stream.refresh_space()
    return JobState(client_id, job_id, request, queued, done.seq, ref)


async def read(stream: EventStream, client_id: str, job_id: str) -> JobState:
    """A job's state now. Of one that has ended the beginning may be cut already: see `JobState.request_is_cut`.

    Raises:
        UnknownJob: no event of it is stored.
        CorruptJob: none of its events is a step of a job, or it is open and the first one is gone. Foreign ones are
            passed over.
        BusUnavailable: NATS is away or silent.
    """
    subject = subjects.job(client_id, job_id)
    newest = await stream.last(subject)
    if newest is None:
        raise UnknownJob(client_id, job_id)
    asked, last = await _telling(stream, subject, newest)
    if asked is None or asked.request is None:
        if not last.event.ended:
            raise CorruptJob(f"the first event of job {job_id} is gone, and with it what was asked for")
        rest = JobRequest(task_type=last.event.task_type or "", job_type="", content=None)
        job = JobState(client_id, job_id, rest, last.event, last.seq, last.event.ref, request_is_cut=True)
        return job.after(last.event, last.seq, last.instance)
    job = JobState(client_id, job_id, asked.request, asked.event, asked.seq, asked.event.ref)
    return job.after(last.event, last.seq, last.instance)


async def start(
    stream: EventStream, job: JobState, *, instance: str | None = None, message_id: str | None = None
) -> JobState:
    """Claim the job for one more attempt.

    Args:
        instance: the process that runs it, as it can be asked by `bus.liveness`.
        message_id: as for `EventStream.append`.

    Raises:
        AppendRefused: somebody else took the next step.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
    """
    return await _step(stream, job, _started(job), message_id, instance)


async def finish(stream: EventStream, job: JobState, value: Any, *, message_id: str | None = None) -> JobState:
    """End the job with its result, a text or another JSON value.

    Raises as `start` does; `message_id` as for `EventStream.append`.
    """
    return await _step(stream, job, JobResult(payload=value, **_facts(job)), message_id)


async def fail(stream: EventStream, job: JobState, reason: str, *, message_id: str | None = None) -> JobState:
    """End the job with the reason why it will not be done. Raises as `start` does."""
    failed = JobFailed(payload=f"❌ Job failed: {reason}", reason=reason, **_facts(job))
    return await _step(stream, job, failed, message_id)


async def retry(
    stream: EventStream, job: JobState, reason: str, *, next_at: datetime, message_id: str | None = None
) -> JobState:
    """Note that an attempt has failed, and that the same process begins the next one.

    Args:
        reason: why it failed, for clients.
        next_at: when the next attempt begins, in UTC.

    Raises:
        AppendRefused, BusUnavailable: as for `start`.
    """
    return await _step(stream, job, _retrying(job, reason, next_at), message_id, job.instance)


async def requeue(stream: EventStream, job: JobState) -> JobState:
    """Note that the job is enqueued again because nobody held it. Of several that try, one succeeds.

    Clients are shown that the process was lost that ran it, or waited to; of a lost task there is nothing to show.

    Raises:
        AppendRefused: somebody else took the next step.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
    """
    if job.held:
        return await _step(stream, job, _retrying(job, LOST))
    payload = f"↻ Job enqueued again: {job.request.task_type}"
    facts = _facts(job) | {"attempt": job.attempt}
    return await _step(stream, job, JobRequeued(payload=payload, times=job.requeued + 1, **facts))


async def cancel(stream: EventStream, client_id: str, job_id: str, *, by: str = "") -> JobState:
    """Call a job off, queued or running. Returns its state: cancelled now, or the end that it had already.

    Args:
        by: who did, if it was not its client.

    Raises:
        UnknownJob, CorruptJob, BusUnavailable: as for `read`.
    """
    while True:  # ends: every refusal means that the job moved on, and a job has few steps
        job = await read(stream, client_id, job_id)
        if job.ended:
            return job
        try:
            payload = "🚫 Job cancelled" + (f" by {by}" if by else "")
            return await _step(stream, job, JobCancelled(payload=payload, by=by or None, **_facts(job)))
        except AppendRefused:
            continue


async def carry(stream: EventStream, client_id: str, job_id: str) -> int | None:
    """Store an open job's latest event once more, with all that is needed to go on with the job.

    What stands before it in the stream can be cut then. Nothing changes about the job: whoever was about to append its
    next step still can.

    Returns:
        The sequence from which on the stream has all that the job needs. None for a job that has ended: nothing was
        done.

    Raises:
        UnknownJob, CorruptJob, BusUnavailable: as for `read`.
    """
    subject = subjects.job(client_id, job_id)
    while True:  # ends: every refusal means that the job moved on, and a job has few steps
        job = await read(stream, client_id, job_id)
        stored = await stream.first(subject, seq=job.seq)
        if job.ended:
            return None
        if stored is None:
            continue
        waits = step_of(stored).waits
        at = job.last.at or stored.at
        frame = carried(job.last, at=at, request=job.request, instance=job.instance, waits=waits)
        try:
            return (await append_step(stream, subject, frame, after=job.seq)).seq
        except AppendRefused:
            continue


async def _telling(stream: EventStream, subject: str, newest: Stored) -> tuple[Step | None, Step]:
    """The step that says what was asked for, and the last one: nearly always the oldest and the newest event."""
    with suppress(CorruptJob):  # another program wrote on this subject
        last = step_of(newest)
        oldest = newest if last.request is not None else await stream.first(subject)
        if oldest is not None and (first := step_of(oldest)).request is not None:
            return first, last
    known = [step async for step in steps(stream, subject)]
    asked = [step for step in known if step.request is not None]
    return asked[-1] if asked else None, known[-1] if known else step_of(newest)


def _started(job: JobState) -> JobStarted:
    attempt = job.attempt + 1
    payload = f"▶ Job started: {job.request.task_type} (attempt {attempt})"
    return JobStarted(payload=payload, **_facts(job) | {"attempt": attempt})


def _retrying(job: JobState, reason: str, next_at: datetime | None = None) -> JobRetrying:
    at = None if next_at is None else times.written(next_at)
    facts = _facts(job) | {"attempt": job.attempt}
    return JobRetrying(payload=f"↻ Job will be tried again: {reason}", reason=reason, next_at=at, **facts)


def _facts(job: JobState) -> dict[str, Any]:
    """The keys that every event of a job has."""
    return {
        "job_id": job.job_id,
        "ref": job.ref,
        "task_type": job.request.task_type,
        "attempt": job.attempt or None,
    }


async def _step(
    stream: EventStream, job: JobState, event: JobEvent, message_id: str | None = None, instance: str | None = None
) -> JobState:
    subject, frame = subjects.job(job.client_id, job.job_id), event.encode(instance=instance)
    trace = job.request.traceparent
    done = await append_step(stream, subject, frame, after=job.seq, job=job, message_id=message_id, traceparent=trace)
    return job.after(event, done.seq, instance)


__all__ = [
    "DEFAULT_QUEUE",
    "CorruptJob",
    "JobRequest",
    "JobState",
    "Step",
    "beginning",
    "cancel",
    "carry",
    "create",
    "fail",
    "finish",
    "job_id_of_key",
    "new_job_id",
    "read",
    "requeue",
    "retry",
    "start",
    "step_of",
    "steps",
]
