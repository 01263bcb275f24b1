"""A stored step of a job's life: the event that clients are shown, and what workers read beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bus import subjects
from bus.errors import AppendRefused, CorruptJob
from bus.messages import JobEvent, StoredJobEvent
from bus.stored import Stored
from bus.stream import EventStream

LOST = "its worker was lost"
"""Why an attempt failed of whose worker no more was heard."""


class JobRequest(BaseModel):
    """What a client asked for. Stored inside `job_queued`, for workers."""

    model_config = ConfigDict(frozen=True, strict=True)

    task_type: str
    """The type as the client wrote it; it may not exist."""
    job_type: str
    """The registered type that runs."""
    content: Any
    """A JSON value; text, unless the job takes another type."""
    retry_of: str | None = None
    """The ended job that is done again by this one."""


class _Beside(BaseModel):
    """What is stored beside an event's frame, and never shown to clients."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    request: JobRequest | None = None
    instance: str | None = None


_EVENT: TypeAdapter[StoredJobEvent] = TypeAdapter(Annotated[StoredJobEvent, Field(discriminator="action")])


@dataclass(frozen=True, slots=True)
class Step:
    """One stored event of a job.

    Args:
        client_id, job_id: the job.
        event: what happened. Its class says whether the job has ended, and whether an attempt is running.
        request: what the client asked for; in `job_queued` alone.
        instance: the process that runs the job from this step on, if that is known; see `bus.liveness`.
        stored: the event as NATS has it.
    """

    client_id: str
    job_id: str
    event: JobEvent
    request: JobRequest | None
    instance: str | None
    stored: Stored

    @property
    def seq(self) -> int:
        """The event's sequence in the stream."""
        return self.stored.seq

    @property
    def at(self) -> datetime:
        """When it was stored, in UTC."""
        return datetime.fromisoformat(self.stored.timestamp)


def step_of(stored: Stored) -> Step:
    """The step that a stored event of a job's subject is.

    Raises:
        CorruptJob: it was not written by `bus.job_log`.
    """
    address = subjects.parse(stored.subject)
    if address is None or address.client_id is None or address.job_id is None or address.output:
        raise CorruptJob(f"event {stored.seq} on {stored.subject} is not about a job")
    try:
        event = _EVENT.validate_json(stored.data)
        beside = _Beside.model_validate_json(stored.data)
    except ValidationError as error:
        raise CorruptJob(
            f"event {stored.seq} on {stored.subject} is not what this system stores: {error.errors()[0]['msg']}"
        ) from error
    return Step(address.client_id, address.job_id, event, beside.request, beside.instance, stored)


async def steps(
    stream: EventStream,
    subject: str,
    *,
    after: int = 0,
    on_foreign: Callable[[Stored, CorruptJob], None] = lambda stored, error: None,
) -> AsyncIterator[Step]:
    """The steps of one job, or of many, in the order in which they were stored.

    What another program wrote on these subjects is passed over: it has a place in the order, and no meaning.

    Args:
        subject: of one job, or with wildcards; other events than those of jobs are passed over too.
        after: begin after this sequence.
        on_foreign: called with each event on a job's subject that is passed over, and with the reason.

    Raises:
        BusUnavailable: NATS went away, or was silent past `append_timeout`.
    """
    async for stored in stream.replay(subject, after=after):
        try:
            step = step_of(stored)
        except CorruptJob as error:
            on_foreign(stored, error)
        else:
            yield step


async def append_step(
    stream: EventStream,
    subject: str,
    frame: str,
    *,
    after: int,
    message_id: str | None = None,
    step_subject: str | None = None,
) -> int:
    """Store an event of a job that follows its step `after`, and return its sequence.

    What another program wrote on the job's subject since `after` does not stop the job; a step does.

    Args:
        frame: the event as JSON.
        after: the sequence of the job's last step, 0 for none.
        message_id: as for `EventStream.append`.
        step_subject: where the steps are, when the event is none itself and `subject` is another one.

    Raises:
        AppendRefused: the job has made another step.
        BusUnavailable, EventTooLarge: as for `EventStream.append`.
    """
    expected = after
    while True:
        try:
            return await stream.append(
                subject,
                frame.encode(),
                expected_last=expected,
                expected_subject=step_subject,
                message_id=message_id,
            )
        except AppendRefused:
            since = [stored async for stored in stream.replay(step_subject or subject, after=expected)]
            for stored in since:
                if message_id is not None and stored.message_id == message_id:
                    return stored.seq
                if _is_step(stored):
                    raise
            if not since:
                raise
            expected = since[-1].seq


def _is_step(stored: Stored) -> bool:
    try:
        step_of(stored)
    except CorruptJob:
        return False
    return True
