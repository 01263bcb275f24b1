"""What the operator's console asks of a web process, besides what every channel takes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bus.messages.events import Level
from bus.messages.from_clients import ClientMessage
from bus.messages.message import Time

MOST_ROWS = 200
"""Jobs in one page of the list."""
MOST_NAMED = 200
"""Jobs that one frame names."""

ListedState = Literal[
    "job_queued", "scheduled", "job_started", "job_retrying", "job_result", "job_failed", "job_cancelled"
]
"""A job's state, as `job_status` has it, but for one that is queued for a time that is still to come."""

Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class JobFilter(_Model):
    """Which jobs. One has to fit in every respect that is given."""

    states: list[ListedState] = Field(default_factory=list, max_length=7, description="Any of these; none means all.")
    task_type: str | None = Field(default=None, max_length=64, examples=["translate"])
    client_id: str | None = Field(default=None, max_length=64)
    text: str | None = Field(
        default=None,
        max_length=200,
        description="Somewhere in the ids, or in the first 200 characters of the content or of what came of it; upper "
        "and lower case are the same.",
        examples=["hello"],
    )
    since: Time | None = Field(default=None, description="Submitted then or later.")
    before: Time | None = Field(default=None, description="Submitted earlier.")


class ListJobsPayload(_Model):
    """Which jobs, and which part of the list of them, the newest first."""

    filter: JobFilter = JobFilter()
    offset: int = Field(default=0, ge=0, le=10_000_000, description="Jobs to pass over.")
    limit: int = Field(default=50, ge=1, le=MOST_ROWS)
    until: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="The `n` of a job: newer ones are counted, and not listed. So a list stays where it is.",
    )
    again: bool = Field(default=False, description="Tell every job of the page, though it was told before.")


class ListJobs(ClientMessage):
    """Show this part of the list of jobs from now on, in place of any other. `jobs_page` follows, again and again."""

    action: Literal["list_jobs"] = "list_jobs"
    payload: ListJobsPayload = ListJobsPayload()


class NamedJob(_Model):
    """One job of one client."""

    client_id: Name
    job_id: Name = Field(examples=["3f1c0a5be2774d0f"])


class WatchJob(ClientMessage):
    """Tell everything about a job from now on, in place of any other. `job_events` follows, again and again."""

    action: Literal["watch_job"] = "watch_job"
    payload: NamedJob


class UnwatchJob(ClientMessage):
    """Tell no more about the job that is watched."""

    action: Literal["unwatch_job"] = "unwatch_job"
    payload: None = None


class WhichJobs(_Model):
    """Jobs by name, or all that fit a filter."""

    jobs: list[NamedJob] | None = Field(default=None, min_length=1, max_length=MOST_NAMED)
    filter: JobFilter | None = None
    expected: int | None = Field(
        default=None, ge=0, description="With a filter: how many jobs that are, as the operator was told."
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.jobs is None) == (self.filter is None):
            raise PydanticCustomError("jobs_or_filter", "Give either jobs or a filter")
        if (self.filter is None) != (self.expected is None):
            raise PydanticCustomError("expected_with_filter", "expected belongs to a filter, and a filter needs it")
        return self


class CancelJobs(ClientMessage):
    """Call jobs off, whoever's they are. `jobs_acted` follows until it is over."""

    action: Literal["cancel_jobs"] = "cancel_jobs"
    payload: WhichJobs


class RetryJobs(ClientMessage):
    """Do jobs again that have ended, as new jobs of their clients. `jobs_acted` follows until it is over."""

    action: Literal["retry_jobs"] = "retry_jobs"
    payload: WhichJobs


class StopActing(ClientMessage):
    """Leave the jobs as they are that `cancel_jobs` or `retry_jobs` has not come to."""

    action: Literal["stop_acting"] = "stop_acting"
    payload: None = None


class GetSystem(ClientMessage):
    """Ask how the whole system stands."""

    action: Literal["get_system"] = "get_system"
    payload: None = None


class GetConnectionsPayload(_Model):
    """Of which web process."""

    web: Name = Field(description="The `id` of a web process.")
    after: int = Field(default=0, ge=0, lt=2**63, description="The `number` of the last connection of the page before.")
    client_id: Name | None = Field(default=None, description="Those of this client alone.")


class GetConnections(ClientMessage):
    """Ask for the connections of one web process, a page at a time."""

    action: Literal["get_connections"] = "get_connections"
    payload: GetConnectionsPayload


class AnnouncePayload(_Model):
    """What to say, and to whom: everybody, or one of a group, a client and a user."""

    text: str = Field(min_length=1, max_length=10_000, examples=["Server restart in 5 minutes"])
    level: Level | None = None
    expires_at: Time | None = Field(default=None, description="When it is not shown any more.")
    group: Name | None = None
    client_id: Name | None = None
    user: str | None = Field(default=None, min_length=1, max_length=1000, description="The `sub` of the user's tokens.")

    @model_validator(mode="after")
    def _says_it_to_one(self) -> Self:
        if not self.text.strip():
            raise PydanticCustomError("empty_text", "Say something")
        if sum(each is not None for each in (self.group, self.client_id, self.user)) > 1:
            raise PydanticCustomError("one_audience", "Give one of group, client_id and user")
        return self


class Announce(ClientMessage):
    """Tell everybody something, or a group, one client or one user. `announced` follows when it is stored."""

    action: Literal["announce"] = "announce"
    payload: AnnouncePayload
