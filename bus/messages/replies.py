"""What the server sends on one connection alone: answers to its frames, its own resume token, what it is not shown."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bus.messages.events import State
from bus.messages.message import Message, Ref


class Reply(Message):
    """An answer to one frame, on the connection it came from."""

    ref: Ref | None = Field(default=None, description="The `ref` of the frame this answers, if it had one.")


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
    replayed: int = Field(
        description="How many events follow before live ones, each as one frame with its `seq`.", examples=[2]
    )
    cursors: dict[str, int] = Field(
        description="Per scope, the sequence from which on events are live.", examples=[{"client": 57, "system": 40}]
    )


class Welcome(Reply):
    """The answer to `connect`. Replayed events follow in stream order, then live ones."""

    action: Literal["welcome"] = "welcome"
    payload: WelcomePayload


class EventSkipped(Message):
    """Stands for a replayed event that the channel does not show this client: `replayed` counts it.

    The client's cursor moves past it, as past any other. Sent with `bus.v1` only.
    """

    action: Literal["event_skipped"] = "event_skipped"
    payload: None = None
    seq: int = Field(description="The event's sequence in the stream.", examples=[42])
    group: str | None = Field(default=None, description="The group the event was sent to, if it was.")


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


class TokenLifePayload(BaseModel):
    """Until when the token of a connection is good."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    expires_at: str = Field(
        description="The token's `exp`: RFC 3339, in UTC. The connection is closed then, with 4401.",
        examples=["2026-01-02T03:04:05.000000Z"],
        json_schema_extra={"format": "date-time"},
    )


class TokenExpiring(Message):
    """The token of this connection expires within a minute: send a newer one with `refresh_token`.

    Sent with `bus.v1` only.
    """

    action: Literal["token_expiring"] = "token_expiring"
    payload: TokenLifePayload


class TokenRefreshed(Reply):
    """The answer to `refresh_token`: the newer token is taken."""

    action: Literal["token_refreshed"] = "token_refreshed"
    payload: TokenLifePayload


class JobAttempt(BaseModel):
    """One attempt at a job."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    attempt: int = Field(ge=1, description="Counts from 1.", examples=[1])
    started_at: str = Field(
        description="When a worker began: RFC 3339, in UTC.",
        examples=["2026-01-02T03:04:05.678901Z"],
        json_schema_extra={"format": "date-time"},
    )
    reason: str | None = Field(
        description="Why it brought no result; null for one that did, was cancelled, or goes on.",
        examples=["ConnectionError: the dictionary is away"],
    )


class JobStatusPayload(BaseModel):
    """How a job stands: its last event, and its attempts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str = Field(examples=["3f1c0a5be2774d0f"])
    state: State = Field(description="The action of the job's last event.", examples=["job_result"])
    text: str = Field(description="That event's text.", examples=["🌍 Translated: 'hello' → 'hola'"])
    result: Any = Field(
        description="What the job gives, as `job_result` has it; null before, and without a result.",
        examples=["🌍 Translated: 'hello' → 'hola'"],
    )
    reason: str | None = Field(
        description="Why it failed or is tried again, without the words around it; else null.", examples=[None]
    )
    by: str | None = Field(description="Who called it off, if it was not the client; else null.", examples=[None])
    attempt: int = Field(description="How often a worker has begun.", examples=[2])
    attempts: tuple[JobAttempt, ...] = Field(description="The latest 20 attempts, in order.")
    not_before: str | None = Field(
        description="When it may begin, if it was submitted for later and no worker has begun: RFC 3339, in UTC; else "
        "null.",
        examples=[None],
        json_schema_extra={"format": "date-time"},
    )


class JobStatus(Reply):
    """The answer to `get_job`, and to a `system_message`, `cancel_job` or `retry_job` that changed nothing."""

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
    """A frame could not be accepted. The connection stays open.

    Nothing was done with the frame, unless `bus_unavailable` or `internal_error` says otherwise.
    """

    action: Literal["error"] = "error"
    payload: tuple[ErrorItem, ...]
