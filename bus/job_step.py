"""A stored step of a job's life: the event that clients are shown, and what workers read beside it.

What an open job needs is carried forward before retention cuts it: its latest event is stored once more, inside a
`job_carried` with the request beside it. That changes nothing about the job, and clients are not shown it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic_core import to_json

from bus import subjects, times
from bus.errors import CorruptJob
from bus.messages import JobEvent, JobQueued, Message, StoredJobEvent
from bus.stored import Stored
from bus.stream import EventStream
from bus.traces import Traceparent

DEFAULT_QUEUE = "jobs"
"""The Celery queue of jobs that name none."""
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
    queue: str = DEFAULT_QUEUE
    """The Celery queue in which its tasks wait for a worker."""
    not_before: str | None = None
    """When it may begin: RFC 3339, in UTC. It waits in the log until then."""
    traceparent: Traceparent | None = None
    """The step of a trace that asked for it; see `bus.traces`."""
    slot: str | None = None
    """The time for which its schedule made it, if one did: RFC 3339, in UTC."""

    @property
    def begins(self) -> datetime | None:
        """`not_before` as a time."""
        return None if self.not_before is None else times.read(self.not_before)

    @property
    def slot_time(self) -> datetime | None:
        """`slot` as a time."""
        return None if self.slot is None else times.read(self.slot)

    @field_validator("not_before", "slot")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            times.read(value)
        return value


class JobCarried(Message):
    """A job's latest event, stored once more before what stands before it is cut."""

    action: Literal["job_carried"] = "job_carried"
    event: Annotated[StoredJobEvent, Field(discriminator="action")]


_CARRIED = f'{{"action":"{JobCarried.action_name()}"'.encode()
"""How its frames begin."""


class _Beside(BaseModel):
    """What is stored beside an event's frame, and never shown to clients."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    request: JobRequest | None = None
    instance: str | None = None
    waits: bool = False


_STEP: TypeAdapter[StoredJobEvent | JobCarried] = TypeAdapter(
    Annotated[StoredJobEvent | JobCarried, Field(discriminator="action")]
)


@dataclass(frozen=True, slots=True)
class Step:
    """One stored event of a job.

    Args:
        client_id, job_id: the job.
        event: what happened. Its class says whether the job has ended, and whether an attempt is running.
        request: what the client asked for; in the first step, and in one that was carried forward.
        instance: the process that runs the job from this step on, if that is known; see `bus.liveness`.
        stored: the event as NATS has it.
        carried: whether this is the step before it once more, and the job has not moved on.
        waits: whether no task of the job was made by whoever stored it; in `job_queued` alone. The reconciler makes it
            when its time has come, and earlier jobs of its client have ended.
    """

    client_id: str
    job_id: str
    event: JobEvent
    request: JobRequest | None
    instance: str | None
    stored: Stored
    carried: bool = False
    waits: bool = False

    @property
    def seq(self) -> int:
        """The event's sequence in the stream."""
        return self.stored.seq

    @property
    def at(self) -> datetime:
        """When it was stored first, in UTC."""
        return datetime.fromisoformat((self.carried and self.event.at) or self.stored.timestamp)


def step_of(stored: Stored) -> Step:
    """The step that a stored event of a job's subject is.

    Raises:
        CorruptJob: it was not written by `bus.job_log`.
    """
    address = subjects.parse(stored.subject)
    if address is None or address.client_id is None or address.job_id is None or address.output:
        raise CorruptJob(f"event {stored.seq} on {stored.subject} is not about a job")
    try:
        event = _STEP.validate_json(stored.data)
        beside = _Beside.model_validate_json(stored.data)
    except ValidationError as error:
        raise CorruptJob(
            f"event {stored.seq} on {stored.subject} is not what this system stores: {error.errors()[0]['msg']}"
        ) from error
    carried = isinstance(event, JobCarried)
    told = event.event if isinstance(event, JobCarried) else event
    return Step(address.client_id, address.job_id, told, beside.request, beside.instance, stored, carried, beside.waits)


def carried(event: JobEvent, *, at: str | None, request: JobRequest, instance: str | None, waits: bool) -> str:
    """The frame of a step once more; see `JobCarried`.

    Args:
        event: the job's latest.
        at: when that was stored first.
        request, instance, waits: as in `Step`.
    """
    in_request = {"content": None, "runs": None, "retry_of": None, "not_before": None, "slot": None}
    inner = json.loads(event.encode(at=at, **in_request))
    asked = request.model_dump(exclude_defaults=True)
    frame = {"action": JobCarried.action_name(), "payload": None, "event": inner, "request": asked}
    beside = {"instance": instance, "waits": waits or None}
    return to_json(frame | {key: value for key, value in beside.items() if value is not None}).decode()


def beginning(stored: Stored) -> Stored | None:
    """The `job_queued` that was carried forward, as if it had been stored there first; None for any other event."""
    if not stored.data.startswith(_CARRIED):
        return None
    try:
        step = step_of(stored)
    except CorruptJob:
        return None
    if not isinstance(step.event, JobQueued) or step.request is None:
        return None
    asked = step.request.model_dump(exclude_defaults=True)
    frame = step.event.encode(request=asked, waits=step.waits or None, content=step.request.content)
    return stored._replace(data=frame.encode(), timestamp=step.event.at or stored.timestamp)


async def steps(
    stream: EventStream,
    subject: str,
    *,
    after: int = 0,
    on_foreign: Callable[[Stored, CorruptJob], None] = lambda stored, error: None,
) -> AsyncGenerator[Step, None]:
    """The steps of one job, or of many, in the order in which they were stored.

    What another program wrote on these subjects is passed over: it has a place in the order, and no meaning.

    Args:
        subject: of one job, or with wildcards; other events than those of jobs are passed over too.
        after: begin after this sequence.
        on_foreign: called with each event on a job's subject that is passed over, and with the reason.

    Raises:
        BusUnavailable: as for `EventStream.replay`.
    """
    async for stored in stream.replay(subject, after=after, known=await stream.reached()):
        try:
            step = step_of(stored)
        except CorruptJob as error:
            on_foreign(stored, error)
        else:
            yield step
