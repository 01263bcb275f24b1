"""Ticket: what a task carries of its job, so that a worker can begin without asking for it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued

LARGEST_CONTENT = 4096
"""Characters of text that a ticket carries; a longer one is read from the stream, so that Redis stays small.

Other content than text is read from there too: Celery's JSON has a meaning of its own for some objects.
"""


class Ticket(BaseModel):
    """A waiting job as it was when its task was made.

    It may be out of date, never wrong: its holder claims the job with `seq`, and NATS refuses that when the job has
    moved on. Then the job is read.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    seq: Annotated[int, Field(gt=0)]
    attempt: Annotated[int, Field(ge=0)]
    ref: str | None
    request: JobRequest

    @classmethod
    def of(cls, job: JobState) -> Self | None:
        """The ticket of a waiting job, or None when its content is no text, or too long to be carried twice."""
        if not isinstance(job.request.content, str) or len(job.request.content) > LARGEST_CONTENT:
            return None
        return cls(seq=job.seq, attempt=job.attempt, ref=job.ref, request=job.request)

    @classmethod
    def read(cls, carried: object) -> Self | None:
        """The ticket that a task carries, or None when it carries none that can be used."""
        try:
            return cls.model_validate(carried)
        except ValidationError:
            return None

    def job(self, client_id: str, job_id: str) -> JobState:
        """The job as the ticket tells it."""
        waiting = JobQueued(payload="", job_id=job_id, ref=self.ref)
        return JobState(client_id, job_id, self.request, waiting, self.seq, self.ref, self.attempt)
