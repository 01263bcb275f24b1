"""What the HTTP API takes and gives besides the messages of the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bus.messages import MOST_AHEAD, ErrorItem, State
from bus.messages.message import Time

MOST_WAIT = 60.0
"""Seconds that a request may wait for the end of a job."""


class Later(BaseModel):
    """When a job begins, if not at once."""

    not_before: Time | None = Field(
        None,
        description="When the job may begin at the earliest: RFC 3339 with a time zone, 366 days ahead at most. A time "
        "that has passed means at once.",
    )
    delay: float | None = Field(
        None, ge=0, le=MOST_AHEAD, description="In place of `not_before`: in so many seconds from now."
    )


class Wait(BaseModel):
    """How long a request waits."""

    wait: float = Field(
        0, ge=0, le=MOST_WAIT, allow_inf_nan=False, description="Seconds to wait for the job's end before the answer."
    )


class Accepted(BaseModel):
    """A job that will come to its end, whatever dies in between."""

    model_config = ConfigDict(frozen=True)

    job_id: str = Field(examples=["3f1c0a5be2774d0f"])
    state: State = Field(
        description="`job_queued`; how the job stands, where its `Idempotency-Key` was used before.",
        examples=["job_queued"],
    )
    client_id: str = Field(description="Whose job it is.", examples=["q3kJ0vYzS7mXo2Hn4tB1Lw"])
    resume: str | None = Field(
        None,
        description="Of an anonymous client: proves with later requests, as `Authorization: Bearer`, that it is the "
        "same. The cookie that comes too does that by itself. Keep it secret; the newest lives longest.",
        examples=["eyJhbGciOi…"],
    )


class Refusal(BaseModel):
    """Why something is not done."""

    type: str = Field(description="A stable name for the kind of error.", examples=["too_many_jobs"])
    msg: str = Field(description="What is wrong, for people.")
    items: tuple[ErrorItem, ...] = Field(
        (), description="Where the request does not have the right form, all that is wrong; `loc` begins with `body`, "
        "`header`, `query` or `path`."
    )  # fmt: skip


class Refused(BaseModel):
    """The answer when something is not done."""

    error: Refusal
