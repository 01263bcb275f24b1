"""What happens to clients: stored in the stream, and shown to them from there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import AliasChoices, AliasPath, Field, ValidationInfo, field_validator

from bus import times
from bus.messages.message import Message, Ref, Time

Level = Literal["info", "warning", "critical"]
State = Literal["job_queued", "job_started", "job_retrying", "job_result", "job_failed", "job_cancelled"]


class Event(Message):
    """A message that is stored in the stream and shown to clients."""

    plain: ClassVar[bool] = True
    """Whether clients without the subprotocol `bus.v1` are shown it."""

    seq: int | None = Field(
        default=None, description="The event's sequence in the stream; larger is later.", examples=[42]
    )
    at: str | None = Field(
        default=None,
        description="When it was stored: RFC 3339, in UTC, with microseconds.",
        examples=["2026-01-02T03:04:05.678901Z"],
        json_schema_extra={"format": "date-time"},
    )
    group: str | None = Field(default=None, description="The group the event was sent to, if it was.")

    def expired(self, now: datetime) -> bool:
        """Whether it is not to be shown any more, live or replayed, at this time."""
        return False


class SystemNotification(Event):
    """An operator tells something: everybody, a group, or one client."""

    action: Literal["system_notification"] = "system_notification"
    payload: str = Field(examples=["Server restart in 5 minutes"])
    level: Level | None = Field(
        default=None,
        description="How much it matters; left out, it means `info`.",
        examples=["warning"],
    )
    expires_at: Time | None = Field(
        default=None,
        description="From then on it is neither shown nor replayed: RFC 3339 with a time zone. The server goes by its "
        "own clock.",
        examples=["2026-01-02T03:14:05.000000Z"],
    )

    def expired(self, now: datetime) -> bool:
        """Whether `expires_at` has come."""
        return self.expires_at is not None and times.read(self.expires_at) <= now


class JobEvent(Event):
    """A step in the life of one job. Only ever stored on that job's own subject.

    What it means for the job stands here and in its class, so whoever follows jobs need not know every kind of event.
    """

    ended: ClassVar[bool] = False
    """Whether this is the last event of its job."""
    running: ClassVar[bool] = False
    """Whether a worker is running the job after it."""
    replaces_output: ClassVar[bool] = False
    """Whether what the job wrote before it means nothing any more: it says the whole, or the job begins again."""

    job_id: str | None = Field(default=None, description="The job this is about.", examples=["3f1c0a5be2774d0f"])
    ref: Ref | None = Field(default=None, description="The `ref` of the frame that submitted the job, if it had one.")
    task_type: str | None = Field(
        default=None,
        description="What was asked for, as the client wrote it. Events of older versions may lack it.",
        examples=["translate"],
    )
    attempt: int | None = Field(
        default=None,
        ge=0,
        description="The latest attempt, counted from 1; left out before the first.",
        examples=[1],
    )

    @property
    def state(self) -> State:
        """What clients are told about a job whose last event this is."""
        return cast(State, self.action)

    @property
    def requeued(self) -> int:
        """How often in a row the job was enqueued again, without a worker that began, by now."""
        return 0


class JobQueued(JobEvent):
    """The job is accepted: its end will come, whatever dies in between."""

    nullable: ClassVar[frozenset[str]] = frozenset({"content"})

    action: Literal["job_queued"] = "job_queued"
    payload: str = Field(examples=["⏳ Job queued: translate for 'hello' (ID: 3f1c0a5be2774d0f)"])
    # The content is stored once, in the request that workers read; the type too in events of older versions.
    task_type: str | None = Field(
        default=None,
        validation_alias=AliasChoices("task_type", AliasPath("request", "task_type")),
        description="What was asked for, as the client wrote it.",
        examples=["translate"],
    )
    content: Any = Field(
        default=None,
        validation_alias=AliasChoices("content", AliasPath("request", "content")),
        description="What to work on: a text, or the JSON value that the job takes.",
        examples=["hello"],
    )
    runs: str | None = Field(
        default=None,
        validation_alias=AliasChoices("runs", AliasPath("request", "job_type")),
        description="The job type that runs, where it is another than was asked for: `default`, for an unknown type.",
    )
    retry_of: str | None = Field(
        default=None,
        validation_alias=AliasChoices("retry_of", AliasPath("request", "retry_of")),
        description="The job that is done again by this one.",
    )
    not_before: str | None = Field(
        default=None,
        validation_alias=AliasChoices("not_before", AliasPath("request", "not_before")),
        description="When the job may begin, if it was submitted for later: RFC 3339, in UTC.",
        json_schema_extra={"format": "date-time"},
    )
    slot: str | None = Field(
        default=None,
        validation_alias=AliasChoices("slot", AliasPath("request", "slot")),
        description="The time for which its schedule made the job, if one did: RFC 3339, in UTC. It may run late.",
        json_schema_extra={"format": "date-time"},
    )

    @field_validator("runs")
    @classmethod
    def _only_where_it_differs(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value == info.data.get("task_type") else value


class JobStarted(JobEvent):
    """A worker has begun; `attempt` counts from 1 and grows when a worker died."""

    plain: ClassVar[bool] = False
    running: ClassVar[bool] = True
    replaces_output: ClassVar[bool] = True

    action: Literal["job_started"] = "job_started"
    payload: str = Field(examples=["▶ Job started: translate (attempt 1)"])
    attempt: int = Field(ge=1, description="Counts from 1.", examples=[1])


class JobRetrying(JobEvent):
    """An attempt has ended without bringing the job to its end, and another one follows.

    The function raised something after which the job is tried again, at `next_at`; or its worker was lost, and another
    takes the job as soon as one is free.
    """

    plain: ClassVar[bool] = False
    action: Literal["job_retrying"] = "job_retrying"
    payload: str = Field(examples=["↻ Job will be tried again: ConnectionError: the dictionary is away"])
    reason: str = Field(
        description="Why, without the words around it.", examples=["ConnectionError: the dictionary is away"]
    )
    attempt: int = Field(ge=1, description="The attempt that failed, counted from 1.", examples=[1])
    next_at: str | None = Field(
        default=None,
        description="When the next attempt begins: RFC 3339, in UTC. Left out when a worker has to be found first.",
        examples=["2026-01-02T03:04:07.678901Z"],
        json_schema_extra={"format": "date-time"},
    )

    @property
    def requeued(self) -> int:
        """Whoever waits for `next_at` holds the job; else it was enqueued again."""
        return int(self.next_at is None)


class JobRequeued(JobEvent):
    """The task of a waiting job was lost, so it was enqueued again. Stored for workers, not shown to clients."""

    plain: ClassVar[bool] = False
    action: Literal["job_requeued"] = "job_requeued"
    payload: str
    attempt: int = Field(ge=0)
    times: int = Field(default=1, ge=1, description="How often in a row, without a worker that began.")

    @property
    def state(self) -> State:
        """To clients it waits, as it did before."""
        return "job_retrying" if self.attempt else "job_queued"

    @property
    def requeued(self) -> int:
        """How often in a row the job was enqueued again, without a worker that began, by now."""
        return self.times


class JobProgress(JobEvent):
    """How far a job has come. Live only: not stored, without `seq`, and the latest wins."""

    plain: ClassVar[bool] = False
    running: ClassVar[bool] = True
    action: Literal["job_progress"] = "job_progress"
    payload: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Done, from 0 to 1; null when that cannot be said.", examples=[0.25]
    )
    message: str | None = Field(default=None, description="What is going on.", examples=["reading the dictionary"])


class JobOutput(JobEvent):
    """A piece of the answer of a running job, as it is written.

    The pieces of one attempt, in the order of `index`, are the answer so far. A new attempt begins at index 0, and its
    pieces replace those of the attempt before it. The payload of `job_result` is the whole.
    """

    plain: ClassVar[bool] = False
    running: ClassVar[bool] = True
    action: Literal["job_output"] = "job_output"
    payload: str = Field(examples=["Once upon a time "])
    attempt: int = Field(ge=1, description="Which attempt wrote it, counted from 1.", examples=[1])
    index: int = Field(ge=0, description="The piece's place within its attempt, counted from 0.", examples=[0])


class JobResult(JobEvent):
    """The job is done; the payload is its text, or the JSON value that the job gives."""

    ended: ClassVar[bool] = True
    replaces_output: ClassVar[bool] = True
    action: Literal["job_result"] = "job_result"
    payload: Any = Field(examples=["🌍 Translated: 'hello' → 'hola'"])


class JobFailed(JobEvent):
    """The job will not be done; the payload says why."""

    ended: ClassVar[bool] = True
    action: Literal["job_failed"] = "job_failed"
    payload: str = Field(examples=["❌ Job failed: the dictionary could not be read"])
    reason: str | None = Field(
        default=None,
        description="Why, without the words around it. Events of older versions may lack it.",
        examples=["the dictionary could not be read"],
    )


class JobCancelled(JobEvent):
    """The job was called off before it ended."""

    ended: ClassVar[bool] = True
    action: Literal["job_cancelled"] = "job_cancelled"
    payload: str = Field(examples=["🚫 Job cancelled"])
    by: str | None = Field(
        default=None, description="Who called it off, if it was not the client.", examples=["an operator"]
    )


StoredJobEvent: TypeAlias = JobQueued | JobStarted | JobRetrying | JobRequeued | JobResult | JobFailed | JobCancelled
"""Every event that can be stored on a job's own subject: its steps, but neither its output nor its progress."""
