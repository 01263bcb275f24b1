"""Every message on the wire, one pydantic model each.

A frame is `{"action": ..., "payload": ...}` plus optional flat keys, in that order. To add a message, add a
class here and a handler in a channel; routing, the docs page and the AsyncAPI document follow.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Ref = Annotated[str, Field(max_length=128)]


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
        return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


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


# --- server to client: direct replies --------------------------------------------------------------------


class Reply(Message):
    """An answer to one frame, on the connection it came from."""

    ref: Ref | None = Field(None, description="The `ref` of the frame this answers, if it had one.")


class Pong(Reply):
    """The answer to a ping."""

    action: Literal["pong"] = "pong"
    payload: None = None


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

    action: Literal["job_started"] = "job_started"
    payload: str = Field(examples=["▶ Job started: translate (attempt 1)"])
    attempt: int = Field(ge=1, description="Counts from 1.", examples=[1])


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
