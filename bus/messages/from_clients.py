"""What clients send."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from bus.messages.message import Message, Ref, Time
from bus.traces import Traceparent

Key = Annotated[str, Field(min_length=1, max_length=128)]
TRACEPARENT = "The trace that the job belongs to, of W3C Trace Context: spans of the job are below this one."
Cursor = Annotated[int, Field(ge=0, lt=2**63)]
MOST_AHEAD = 366 * 86_400
"""Seconds from now within which a job has to be able to begin."""
MOST_SCOPES = 64
"""Cursors that a client can give: of its own events, and of every group that it can be in."""


class ClientMessage(Message):
    """What a client may send. `ref` comes back on the direct reply."""

    ref: Ref | None = Field(default=None, description="Any text; the reply to this frame repeats it.")


class Ping(ClientMessage):
    """Ask whether the server is there."""

    action: Literal["ping"] = "ping"
    payload: None = None


class TaskPayload(BaseModel):
    """What to do, and with what."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    task_type: str = Field(
        max_length=64,
        description="A job type of the registry; any other runs `default`, if there is that one.",
        examples=["translate"],
    )
    content: Any = Field(
        description="What to work on: a text, unless the job takes another JSON value.", examples=["hello"]
    )

    @field_validator("content")
    @classmethod
    def _is_text_if_nobody_knows_for_whom(cls, content: Any, info: ValidationInfo) -> Any:
        # What the job of a usable type takes is looked at when the job is submitted.
        if "task_type" not in info.data and not isinstance(content, str):
            raise PydanticKnownError("string_type")
        return content


class SystemMessage(ClientMessage):
    """Submit a job."""

    action: Literal["system_message"] = "system_message"
    payload: TaskPayload
    key: Key | None = Field(
        default=None,
        description="Idempotency key: the same key from the same client is the same job.",
        examples=["order-17"],
    )
    not_before: Time | None = Field(
        default=None,
        description="When the job may begin at the earliest: RFC 3339 with a time zone, 366 days ahead at most. Until "
        "then it waits, and can be cancelled. A time that has passed means at once.",
    )
    delay: float | None = Field(
        default=None, ge=0, le=MOST_AHEAD, description="In place of `not_before`: in so many seconds from now."
    )
    traceparent: Traceparent | None = Field(default=None, description=TRACEPARENT)

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.not_before is not None and self.delay is not None:
            raise PydanticCustomError("not_before_and_delay", "Give either not_before or delay, not both")
        return self


class JobPayload(BaseModel):
    """Which job."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    job_id: str = Field(max_length=64, examples=["3f1c0a5be2774d0f"])


class CancelJob(ClientMessage):
    """Call a job off. `job_cancelled` follows; for a job that has ended, `job_status`."""

    action: Literal["cancel_job"] = "cancel_job"
    payload: JobPayload


class RetryJob(ClientMessage):
    """Do a job again that has ended: a new job with the same request. `job_queued` follows, with its `retry_of`.

    The job that has ended stays as it is.
    """

    action: Literal["retry_job"] = "retry_job"
    payload: JobPayload
    key: Key | None = Field(
        default=None, description="Idempotency key of the new job, as in `system_message`.", examples=["order-17-again"]
    )
    traceparent: Traceparent | None = Field(default=None, description=TRACEPARENT)


class GetJob(ClientMessage):
    """Ask how a job stands."""

    action: Literal["get_job"] = "get_job"
    payload: JobPayload


class ConnectPayload(BaseModel):
    """Who the client is, and what it has seen."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    token: str | None = Field(
        default=None,
        description="Proof of identity: a JWT of the identity provider, where the server asks for one and neither "
        "header nor cookie brings it.",
        repr=False,
    )
    resume: str | None = Field(
        default=None, repr=False, description="`resume` of the last `welcome` or `resume_token`."
    )
    cursors: dict[str, Cursor] = Field(
        default_factory=dict,
        max_length=MOST_SCOPES,
        description="Per scope (`client`, or a group's name) the last `seq` that was seen; 0 for everything retained. "
        "A scope that is left out is live from now on.",
        examples=[{"client": 41, "system": 40}],
    )


class Connect(ClientMessage):
    """The first frame of `bus.v1`."""

    action: Literal["connect"] = "connect"
    payload: ConnectPayload = ConnectPayload()


class RefreshTokenPayload(BaseModel):
    """A newer proof of identity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    token: str = Field(description="A JWT of the same user.", repr=False, examples=["eyJhbGciOi…"])


class RefreshToken(ClientMessage):
    """Bring a newer token, before the one that the connection was opened with expires. `token_refreshed` follows.

    One that is not valid, or another user's, is answered with an `error` of type `token_refused`, and changes nothing.
    """

    action: Literal["refresh_token"] = "refresh_token"
    payload: RefreshTokenPayload
