"""Every message on the wire, one pydantic model each.

A frame is `{"action": ..., "payload": ...}` plus optional flat keys, in that order. To add a message, add a
class here and a handler in a channel; routing, the docs page and the AsyncAPI document follow.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

Ref = Annotated[str, Field(max_length=128)]
Key = Annotated[str, Field(min_length=1, max_length=128)]
Cursor = Annotated[int, Field(ge=0, lt=2**63)]
State = Literal["job_queued", "job_started", "job_result", "job_failed", "job_cancelled"]


class Message(BaseModel):
    """Anything with an `action`. Subclasses narrow it to one `Literal` and say what `payload` is."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    action: str
    payload: Any = None

    @classmethod
    def action_name(cls) -> str:
        """The one `action` of this class.

        Raises:
            TypeError: the class does not narrow `action` to a `Literal` of one string.
        """
        values = get_args(cls.model_fields["action"].annotation)
        if len(values) != 1 or not isinstance(values[0], str):
            raise TypeError(f"{cls.__name__}.action must be a Literal of one string, e.g. Literal['ping'] = 'ping'")
        return values[0]

    def encode(self, **extra: object) -> str:
        """The frame as compact JSON: action, payload, then every other key that has a value.

        Args:
            extra: flat keys to add, such as `seq`; None leaves one out.
        """
        keys = self.model_dump(mode="json")
        frame = {"action": keys.pop("action"), "payload": keys.pop("payload")}
        frame.update((key, value) for key, value in (keys | extra).items() if value is not None)
        if isinstance(self.payload, float):
            return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))  # to_json writes 1e-05 in another way
        return to_json(frame).decode()


# --- client to server ------------------------------------------------------------------------------------


class ClientMessage(Message):
    """What a client may send. `ref` comes back on the direct reply."""

    ref: Ref | None = Field(None, description="Any text; the reply to this frame repeats it.")


class Ping(ClientMessage):
    """Ask whether the server is there."""

    action: Literal["ping"] = "ping"
    payload: None = None


class TaskPayload(BaseModel):
    """What to do, and with what."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    task_type: str = Field(
        max_length=64,
        description="A job type of the registry; any other runs `default`.",
        examples=["translate"],
    )
    content: str = Field(description="The text to work on.", examples=["hello"])


class SystemMessage(ClientMessage):
    """Hand in a job."""

    action: Literal["system_message"] = "system_message"
    payload: TaskPayload
    key: Key | None = Field(
        None, description="Idempotency key: the same key from the same client is the same job.", examples=["order-17"]
    )


class JobPayload(BaseModel):
    """Which job."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    job_id: str = Field(max_length=64, examples=["3f1c0a5be2774d0f"])


class CancelJob(ClientMessage):
    """Call a job off. `job_cancelled` follows; for a job that has ended, `job_status`."""

    action: Literal["cancel_job"] = "cancel_job"
    payload: JobPayload


class GetJob(ClientMessage):
    """Ask how a job stands."""

    action: Literal["get_job"] = "get_job"
    payload: JobPayload


class ConnectPayload(BaseModel):
    """Who the client is, and what it has seen."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    token: str | None = Field(None, description="Proof of identity, if the operators gave one.")
    resume: str | None = Field(None, description="`resume` of the last `welcome` or `resume_token`.")
    cursors: dict[str, Cursor] = Field(
        default_factory=dict,
        max_length=64,
        description="Per scope (`client`, or a group's name) the last `seq` that was seen; 0 for everything retained. "
        "A scope that is left out is live from now on.",
        examples=[{"client": 41, "system": 40}],
    )


class Connect(ClientMessage):
    """The first frame of `bus.v1`."""

    action: Literal["connect"] = "connect"
    payload: ConnectPayload = ConnectPayload()


# --- server to client: direct replies --------------------------------------------------------------------


class Reply(Message):
    """An answer to one frame, on the connection it came from."""

    ref: Ref | None = Field(None, description="The `ref` of the frame this answers, if it had one.")


class Pong(Reply):
    """The answer to a ping."""

    action: Literal["pong"] = "pong"
    payload: None = None


class WelcomePayload(BaseModel):
    """Who the client is from now on, and whether it missed anything for good."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str = Field(examples=["q3kJ0vYzS7mXo2Hn4tB1Lw"])
    resume: str = Field(description="Keep it secret and send it with the next `connect`.", examples=["eyJhbGciOi…"])
    epoch: str = Field(
        description="The stream's identity; sequences of two epochs cannot be compared.",
        examples=["2026-01-02T03:04:05.678901Z"],
    )
    recovered: bool = Field(
        description="Whether everything after the cursors is replayed. False when history was cut, or the stream or "
        "the client is another one.",
    )
    replayed: int = Field(description="How many events follow before live ones.", examples=[2])
    cursors: dict[str, int] = Field(
        description="Per scope, the sequence from which on events are live.", examples=[{"client": 57, "system": 40}]
    )


class Welcome(Reply):
    """The answer to `connect`. Replayed events follow in stream order, then live ones."""

    action: Literal["welcome"] = "welcome"
    payload: WelcomePayload


class ResumeTokenPayload(BaseModel):
    """How to come back from now on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    resume: str = Field(
        description="Keep it secret, in place of that of the `welcome`, and send it with the next `connect`.",
        examples=["eyJhbGciOi…"],
    )


class ResumeToken(Message):
    """A newer resume token, before the one that the client has expires. Sent with `bus.v1` only."""

    action: Literal["resume_token"] = "resume_token"
    payload: ResumeTokenPayload


class JobStatusPayload(BaseModel):
    """How a job stands: its last event."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str = Field(examples=["3f1c0a5be2774d0f"])
    state: State = Field(description="The action of the job's last event.", examples=["job_result"])
    text: str = Field(description="That event's text.", examples=["🌍 Translated: 'hello' → 'hola'"])


class JobStatus(Reply):
    """The answer to `get_job`, and to a `system_message` or `cancel_job` that changed nothing."""

    action: Literal["job_status"] = "job_status"
    payload: JobStatusPayload


class ErrorItem(BaseModel):
    """One thing that is wrong with a frame, as pydantic reports it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(description="A stable name for the kind of error.", examples=["missing"])
    loc: tuple[str | int, ...] = Field(
        description="Where in the frame: the action, then keys and indexes; empty for the whole frame.",
        examples=[["system_message", "payload", "content"]],
    )
    msg: str = Field(description="What is wrong, for people.", examples=["Field required"])


class Error(Reply):
    """A frame could not be accepted. Nothing was done with it, and the connection stays open."""

    action: Literal["error"] = "error"
    payload: tuple[ErrorItem, ...]


# --- server to client: events ----------------------------------------------------------------------------


class Event(Message):
    """A message that is stored in the stream and shown to clients."""

    plain: ClassVar[bool] = True
    """Whether clients without the subprotocol `bus.v1` are shown it."""

    seq: int | None = Field(None, description="The event's sequence in the stream; larger is later.", examples=[42])
    group: str | None = Field(None, description="The group the event was sent to, if it was.")


class SystemNotification(Event):
    """An operator tells everybody something."""

    action: Literal["system_notification"] = "system_notification"
    payload: str = Field(examples=["Server restart in 5 minutes"])


class JobEvent(Event):
    """A step in the life of one job. Only ever stored on that job's own subject."""

    ended: ClassVar[bool] = False
    """Whether this is the last event of its job."""

    job_id: str | None = Field(None, description="The job this is about.", examples=["3f1c0a5be2774d0f"])
    ref: Ref | None = Field(None, description="The `ref` of the frame that handed the job in, if it had one.")


class JobQueued(JobEvent):
    """The job is accepted: its end will come, whatever dies in between."""

    action: Literal["job_queued"] = "job_queued"
    payload: str = Field(examples=["⏳ Job queued: translate for 'hello' (ID: 3f1c0a5be2774d0f)"])


class JobStarted(JobEvent):
    """A worker has begun; `attempt` counts from 1 and grows when a worker died."""

    plain: ClassVar[bool] = False

    action: Literal["job_started"] = "job_started"
    payload: str = Field(examples=["▶ Job started: translate (attempt 1)"])
    attempt: int = Field(ge=1, description="Counts from 1.", examples=[1])


class JobRequeued(JobEvent):
    """Nobody held the job, so it was enqueued again. Stored for workers, not shown to clients."""

    plain: ClassVar[bool] = False
    action: Literal["job_requeued"] = "job_requeued"
    payload: str
    attempt: int = Field(ge=0)
    times: int = Field(1, ge=1, description="How often in a row, without a worker that began.")


class JobProgress(JobEvent):
    """How far a job has come. Live only: not stored, without `seq`, and the latest wins."""

    plain: ClassVar[bool] = False
    action: Literal["job_progress"] = "job_progress"
    payload: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Done, from 0 to 1; null when that cannot be said.", examples=[0.25]
    )
    message: str | None = Field(None, description="What is going on.", examples=["reading the dictionary"])


class JobResult(JobEvent):
    """The job is done; the payload is its text."""

    ended: ClassVar[bool] = True
    action: Literal["job_result"] = "job_result"
    payload: str = Field(examples=["🌍 Translated: 'hello' → 'hola'"])


class JobFailed(JobEvent):
    """The job will not be done; the payload says why."""

    ended: ClassVar[bool] = True
    action: Literal["job_failed"] = "job_failed"
    payload: str = Field(examples=["❌ Job failed: the dictionary could not be read"])


class JobCancelled(JobEvent):
    """The job was called off before it ended."""

    ended: ClassVar[bool] = True
    action: Literal["job_cancelled"] = "job_cancelled"
    payload: str = Field(examples=["🚫 Job cancelled"])
