"""A job's life as events: queued, then started, then exactly one end.

A job's state *is* the last event on its own subject. Every step is appended with the sequence it follows
(`Nats-Expected-Last-Subject-Sequence`), so NATS itself refuses a second end, a second create, or the late word of
a worker that was thought dead.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from bus import subjects
from bus.errors import AppendRefused, BusError, UnknownJob
from bus.messages import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobResult,
    JobStarted,
    State,
)
from bus.stored import Stored
from bus.stream import EventStream

E = TypeVar("E", bound=JobEvent)

SPARE_BYTES = 256
"""How much longer than its first `job_started` another step of a job may have to be, such as a short `job_failed`."""
LONGEST_INSTANCE = 64 * "x"


class JobRequest(BaseModel):
    """What a client asked for. Stored inside `job_queued`, never shown to clients."""

    model_config = ConfigDict(frozen=True, strict=True)

    task_type: str
    """The type as the client wrote it; it may not exist."""
    job_type: str
    """The registered type that runs."""
    content: str


class _Queued(JobQueued):
    """`job_queued` as it is stored: the frame, and the request that workers read."""

    request: JobRequest


class _Started(JobStarted):
    """`job_started` as it is stored: the frame, and which process runs the job."""

    instance: str | None = None


STEPS: dict[str, type[JobEvent]] = {
    step.action_name(): step for step in (_Queued, _Started, JobRequeued, JobResult, JobFailed, JobCancelled)
}


class CorruptJob(BusError):
    """An event on a job's subject was not written by this module."""


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as its events tell it. `seq` is the last event's sequence; the next step must follow it."""

    client_id: str
    job_id: str
    request: JobRequest
    last: JobEvent
    seq: int
    ref: str | None
    attempt: int = 0
    """How often a worker has begun. Known while the job is open."""
    instance: str | None = None
    """The process that runs the job, or that ran it when it was cancelled; see `bus.liveness`."""
    requeued: int = 0
    """How often it was enqueued again since a worker began."""

    @property
    def state(self) -> State:
        """The state's name: the action of the last event that clients are shown."""
        return "job_queued" if isinstance(self.last, JobRequeued) else cast(State, self.last.action)

    @property
    def started(self) -> bool:
        """Whether a worker has said that it runs the job, and nothing was said since."""
        return isinstance(self.last, JobStarted)

    @property
    def ended(self) -> bool:
        """Whether the job has its one end."""
        return self.last.ended


def instance_of(step: JobEvent) -> str | None:
    """The process that runs the job after this step, if it is known."""
    return step.instance if isinstance(step, _Started) else None


def new_job_id() -> str:
    """An unguessable job id."""
    return secrets.token_hex(8)


def job_id_of_key(client_id: str, key: str) -> str:
    """The job id that a client's idempotency key stands for."""
    return hashlib.sha256(f"{client_id}\0{key}".encode()).hexdigest()[:32]


async def create(
    stream: EventStream, client_id: str, request: JobRequest, *, job_id: str, ref: str | None = None
) -> JobState:
    """Accept a job: append `job_queued`, the first event of its subject.

    Raises:
        AppendRefused: this client has a job of that id already.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
        EventTooLarge: the content is larger than NATS takes, or no later step of the job would fit; nothing was stored.
    """
    queued = _Queued(
        payload=f"⏳ Job queued: {request.task_type} for '{request.content}' (ID: {job_id})",
        job_id=job_id,
        ref=ref,
        request=request,
    )
    state = JobState(client_id, job_id, request, queued, 0, ref)
    stream.require_room(len(_start(state, LONGEST_INSTANCE).encode().encode()) + SPARE_BYTES)
    seq = await _append(stream, subjects.job(client_id, job_id), queued, after=0)
    return replace(state, seq=seq)


async def read(stream: EventStream, client_id: str, job_id: str) -> JobState:
    """A job's state now.

    Raises:
        UnknownJob: no event of it is stored.
        CorruptJob: none of its events was written by this module. One that was not is passed over.
        BusUnavailable: NATS is away or silent.
    """
    subject = subjects.job(client_id, job_id)
    stored = await stream.last(subject)
    if stored is None:
        raise UnknownJob(client_id, job_id)
    try:
        last = _parse_step(stored)
        first = stored if isinstance(last, _Queued) else await stream.first(subject)
        queued = _parse(first, _Queued) if first is not None else None
    except CorruptJob:
        # Another program wrote on this subject. That has its place in the order, and no other meaning.
        steps = [step async for event in stream.replay(subject, after=0) if (step := _step_or_none(event))]
        queued = next((step for step in steps if isinstance(step, _Queued)), None)
        if queued is None:
            raise
        last = steps[-1]
    if queued is None:
        raise UnknownJob(client_id, job_id)
    job = JobState(client_id, job_id, queued.request, last, stored.seq, queued.ref)
    return _after(job, last, stored.seq)


def step_of(stored: Stored) -> JobEvent:
    """The step that a stored event of a job's subject is.

    Raises:
        CorruptJob: it was not written by this module.
    """
    return _parse_step(stored)


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
    return await _step(stream, job, _start(job, instance), message_id)


async def finish(stream: EventStream, job: JobState, text: str, *, message_id: str | None = None) -> JobState:
    """End the job with its result. Raises as `start` does; `message_id` as for `EventStream.append`."""
    return await _step(stream, job, JobResult(payload=text, job_id=job.job_id, ref=job.ref), message_id)


async def fail(stream: EventStream, job: JobState, reason: str, *, message_id: str | None = None) -> JobState:
    """End the job with the reason why it will not be done. Raises as `start` does."""
    payload = f"❌ Job failed: {reason}"
    return await _step(stream, job, JobFailed(payload=payload, job_id=job.job_id, ref=job.ref), message_id)


async def requeue(stream: EventStream, job: JobState) -> JobState:
    """Note that the job is enqueued again because nobody held it. Of several that try, one succeeds.

    Raises:
        AppendRefused: somebody else took the next step.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
    """
    payload = f"↻ Job enqueued again: {job.request.task_type}"
    again = JobRequeued(payload=payload, job_id=job.job_id, attempt=job.attempt, times=job.requeued + 1)
    return await _step(stream, job, again)


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
            return await _step(stream, job, JobCancelled(payload=payload, job_id=job_id, ref=job.ref))
        except AppendRefused:
            continue


def _start(job: JobState, instance: str | None) -> _Started:
    attempt = job.attempt + 1
    payload = f"▶ Job started: {job.request.task_type} (attempt {attempt})"
    return _Started(payload=payload, job_id=job.job_id, ref=job.ref, attempt=attempt, instance=instance)


async def _step(stream: EventStream, job: JobState, event: JobEvent, message_id: str | None = None) -> JobState:
    seq = await _append(stream, subjects.job(job.client_id, job.job_id), event, after=job.seq, message_id=message_id)
    return _after(job, event, seq)


def _after(job: JobState, event: JobEvent, seq: int) -> JobState:
    match event:
        case _Started():
            return replace(job, last=event, seq=seq, attempt=event.attempt, instance=event.instance, requeued=0)
        case JobRequeued():
            return replace(job, last=event, seq=seq, attempt=event.attempt, instance=None, requeued=event.times)
        case _:
            return replace(job, last=event, seq=seq)


async def _append(
    stream: EventStream, subject: str, event: JobEvent, *, after: int, message_id: str | None = None
) -> int:
    # What another program wrote on the subject since `after` does not stop the job; a step does.
    expected = after
    while True:
        try:
            return await stream.append(subject, event.encode().encode(), expected_last=expected, message_id=message_id)
        except AppendRefused:
            since = [stored async for stored in stream.replay(subject, after=expected)]
            for stored in since:
                if message_id is not None and stored.message_id == message_id:
                    return stored.seq
                if _step_or_none(stored) is not None:
                    raise
            if not since:
                raise
            expected = since[-1].seq


def _step_or_none(stored: Stored) -> JobEvent | None:
    try:
        return _parse_step(stored)
    except CorruptJob:
        return None


def _parse_step(stored: Stored) -> JobEvent:
    try:
        action = json.loads(stored.data)["action"]
        step = STEPS[action]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptJob(f"event {stored.seq} on {stored.subject} is no step of a job") from error
    return _parse(stored, step)


def _parse(stored: Stored, step: type[E]) -> E:
    try:
        return step.model_validate_json(stored.data)
    except ValidationError as error:
        raise CorruptJob(
            f"event {stored.seq} on {stored.subject} is not what this system stores: {error.errors()[0]['msg']}"
        ) from error
