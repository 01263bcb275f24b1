"""What a web process tells the operator's console, besides what every channel sends."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bus.messages.from_operators import ListedState
from bus.messages.replies import Reply


class JobRow(BaseModel):
    """A job in the list."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="Its number: larger than that of every job that was submitted before.", examples=[41])
    client_id: str
    job_id: str = Field(examples=["3f1c0a5be2774d0f"])
    task_type: str = Field(examples=["translate"])
    state: ListedState
    content: str = Field(description="What was asked for, the first 200 characters.", examples=["hello"])
    text: str = Field(description="What came of it, the first 200 characters; empty while there is nothing.")
    attempt: int = Field(description="How often a worker has begun.")
    queued_at: str
    started_at: str | None = Field(description="When a worker began the latest attempt.")
    last_at: str = Field(description="When its latest event was stored.")
    retry_of: str | None
    not_before: str | None
    instance: str | None = Field(description="The process that runs it, or did.")


class JobsPagePayload(BaseModel):
    """A part of the list of jobs."""

    model_config = ConfigDict(frozen=True)

    total: int = Field(description="Jobs that fit the filter.")
    newer: int = Field(description="Those of them that are newer than `until`.")
    offset: int
    until: int | None
    order: list[int] = Field(description="The `n` of each job of the page, the newest first.")
    rows: list[JobRow] = Field(description="Those that were not told as they are before on this connection.")
    counts: dict[str, int] = Field(description="By state, the jobs that fit the filter in every other respect.")
    types: list[str] = Field(description="Every job type that there is a job of.")
    indexed: float = Field(description="How much of the stream was looked through by now: 1 is all of it.")
    cut: bool = Field(description="Whether there are older jobs than can be listed.")


class JobsPage(Reply):
    """The answer to `list_jobs`, and how it has changed since, a few times a second at most."""

    action: Literal["jobs_page"] = "jobs_page"
    payload: JobsPagePayload


class ToldEvent(BaseModel):
    """An event of a job, as it is stored and as its client sees it."""

    model_config = ConfigDict(frozen=True)

    seq: int | None = Field(description="Its sequence in the stream; null for progress, which is not stored.")
    at: str
    size: int = Field(description="Bytes.")
    stored: Any = Field(description="As it is stored; null for progress, and when it has more than 64 KiB.")
    shown: Any = Field(description="The frame that its client gets; null when it gets none.")


class JobEventsPayload(BaseModel):
    """What is new about a job."""

    model_config = ConfigDict(frozen=True)

    client_id: str
    job_id: str
    first: bool = Field(description="Whether this is the beginning: what was told before is to be forgotten.")
    events: list[ToldEvent]
    cut: bool = Field(description="Whether the job has written more than is told.")


class JobEvents(Reply):
    """The answer to `watch_job`, and what has happened since."""

    action: Literal["job_events"] = "job_events"
    payload: JobEventsPayload


class NotActed(BaseModel):
    """A job with which it could not be done, and why."""

    model_config = ConfigDict(frozen=True)

    client_id: str
    job_id: str
    msg: str


class RetriedJob(BaseModel):
    """A job that is done again, and the new one."""

    model_config = ConfigDict(frozen=True)

    client_id: str
    job_id: str
    new_job_id: str


class JobsActedPayload(BaseModel):
    """How far it has come."""

    model_config = ConfigDict(frozen=True)

    verb: Literal["cancel", "retry"]
    total: int
    done: int
    skipped: int = Field(description="Jobs for which there was nothing to do: they had ended already, or not yet.")
    failed: int
    errors: list[NotActed] = Field(description="The first few that failed.")
    retried: list[RetriedJob] = Field(description="The first few that are done again.")
    over: bool


class JobsActed(Reply):
    """The answer to `cancel_jobs` and `retry_jobs`, and how far it has come since."""

    action: Literal["jobs_acted"] = "jobs_acted"
    payload: JobsActedPayload


class SystemStateReply(Reply):
    """The answer to `get_system`: what `busctl status --json` prints."""

    action: Literal["system_state"] = "system_state"
    payload: dict[str, Any] = Field(examples=[{"ok": True, "faults": []}])


class Connections(Reply):
    """The answer to `get_connections`."""

    action: Literal["connections"] = "connections"
    payload: dict[str, Any] = Field(examples=[{"web": "4be2774d0f3f-41", "connections": [], "more": False}])


class AnnouncedPayload(BaseModel):
    """What became of it."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(description="Its sequence in the stream.")


class Announced(Reply):
    """The answer to `announce`."""

    action: Literal["announced"] = "announced"
    payload: AnnouncedPayload
